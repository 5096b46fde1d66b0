//! A state directory in use: its catalog, its lock, its devices.

use std::collections::HashSet;
use std::fs::File;
use std::hash::Hash;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::devices::Devices;
use super::{DeviceChoice, EngineError, Operator, Station};
use crate::catalog::{Catalog, CatalogError, SetId, SetState, VolumeId};

/// Where an appliance keeps its state and which devices a command uses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Catalog, lock, embedded virtual library.
    pub state: PathBuf,
    /// Devices named on the command line.
    pub devices: DeviceChoice,
}

/// An open state directory.
pub struct Appliance {
    settings: Settings,
    catalog: Catalog,
    /// Shared by all tasks of this process.
    devices: Arc<Mutex<Devices>>,
    /// Held by tasks that change anything; released by the kernel whatever happens.
    lock: Option<Arc<Flock<File>>>,
    /// Volumes that a task of this process works on.
    in_use: VolumesInUse,
    /// Sets that a task of this process writes.
    sets_in_use: SetsInUse,
    /// Who is asked for cartridges.
    operator: Option<Arc<dyn Operator>>,
    /// Drives are taken from other hosts that hold them.
    pub(super) break_reservations: bool,
}

/// The catalog's file in the state directory.
const CATALOG: &str = "catalog.sqlite";

impl Appliance {
    /// Opens the state directory, making it when it is missing.
    ///
    /// # Errors
    /// The directory cannot be made or read, or the catalog is damaged.
    pub fn open(settings: Settings) -> Result<Appliance, EngineError> {
        make_directory(&settings.state)?;
        let catalog = Catalog::open(&settings.state.join(CATALOG))?;
        let devices = Arc::new(Mutex::new(Devices::default()));
        Ok(Appliance {
            settings,
            catalog,
            devices,
            lock: None,
            in_use: VolumesInUse::default(),
            sets_in_use: SetsInUse::default(),
            operator: None,
            break_reservations: false,
        })
    }

    /// The same state directory, catalog, lock and open devices for a further task of this process, with devices of its
    /// own choice.
    pub fn sibling(&self, devices: DeviceChoice) -> Appliance {
        Appliance {
            settings: Settings { state: self.settings.state.clone(), devices },
            catalog: self.catalog.clone(),
            devices: self.devices.clone(),
            lock: self.lock.clone(),
            in_use: self.in_use.clone(),
            sets_in_use: self.sets_in_use.clone(),
            operator: None,
            break_reservations: self.break_reservations,
        }
    }

    /// Has a person asked for cartridges that are not there, instead of ending the task.
    #[must_use]
    pub fn asking(self, operator: Arc<dyn Operator>) -> Appliance {
        Appliance { operator: Some(operator), ..self }
    }

    /// Volumes that tasks of this process work on: no other task may take them.
    pub fn volumes_in_use(&self) -> &VolumesInUse {
        &self.in_use
    }

    /// Sets that tasks of this process write.
    pub fn sets_in_use(&self) -> &SetsInUse {
        &self.sets_in_use
    }

    /// Opens and claims the state directory even where its catalog is damaged, in whatever way [`Catalog::check`] finds:
    /// that one is moved aside, never deleted, and a new one begun. Returns where it was moved.
    ///
    /// # Errors
    /// As [`Appliance::open`] and [`Appliance::claim`]; the damaged file cannot be renamed.
    pub fn open_for_rebuild(settings: Settings) -> Result<(Appliance, Option<PathBuf>), EngineError> {
        make_directory(&settings.state)?;
        // Nobody may write to the file that is looked at and perhaps moved.
        let lock = Arc::new(take_lock(&settings.state)?);
        match Appliance::open(settings.clone()).and_then(|opened| opened.recovered().map(|()| opened)) {
            Ok(opened) if is_undamaged(&opened.catalog)? => {
                return Ok((Appliance { lock: Some(lock), ..opened }, None));
            }
            Ok(_) => {}
            Err(EngineError::Catalog(error)) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        let moved = Catalog::move_aside(&settings.state.join(CATALOG))?;
        Ok((Appliance { lock: Some(lock), ..Appliance::open(settings)? }, Some(moved)))
    }

    /// Opens a state directory for looking only: nothing is made.
    ///
    /// # Errors
    /// [`EngineError::NoState`] where no catalog lies there; as [`Appliance::open`].
    pub fn open_existing(settings: Settings) -> Result<Appliance, EngineError> {
        match std::fs::metadata(settings.state.join(CATALOG)) {
            Ok(_) => Appliance::open(settings),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(match has_written_cartridges(&settings.state) {
                    true => EngineError::LostCatalog { path: settings.state },
                    false => EngineError::NoState { path: settings.state },
                })
            }
            Err(source) => Err(EngineError::State { path: settings.state, source }),
        }
    }

    /// The catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where the catalog lies, for threads that need a connection of their own.
    pub fn catalog_path(&self) -> PathBuf {
        self.settings.state.join(CATALOG)
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        &self.settings.state
    }

    /// The state directory and the devices named.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the catalog knows nothing while cartridges of the embedded library hold something: it was lost, and a
    /// rebuild brings it back.
    ///
    /// # Errors
    /// The catalog failed.
    pub fn seems_lost(&self) -> Result<bool, EngineError> {
        let is_empty = self.catalog.sets()?.is_empty() && self.catalog.volumes()?.is_empty();
        Ok(is_empty && has_written_cartridges(&self.settings.state))
    }

    /// Device and inode of directories that no backup may enter: a backup must not store itself.
    pub(super) fn own_directories(&self) -> Vec<(u64, u64)> {
        std::fs::metadata(&self.settings.state).map(|m| vec![(m.dev(), m.ino())]).unwrap_or_default()
    }

    /// Whether a path is the state directory or lies in it, whatever links lead there. What is not there yet lies where
    /// the nearest directory above it does.
    pub fn holds(&self, path: &Path) -> bool {
        let own = self.own_directories();
        let full = path.ancestors().find_map(|above| above.canonicalize().ok());
        full.iter().flat_map(|full| full.ancestors()).any(|above| {
            std::fs::metadata(above).is_ok_and(|found| own.contains(&(found.dev(), found.ino())))
        })
    }

    /// Claims the state directory for a task that changes it, and clears what a task that died left behind.
    ///
    /// # Errors
    /// [`EngineError::Busy`] while another task holds it.
    pub fn claim(&mut self) -> Result<(), EngineError> {
        if self.lock.is_some() {
            return Ok(());
        }
        self.lock = Some(Arc::new(take_lock(&self.settings.state)?));
        self.recovered()
    }

    /// Clears what a task that died left behind; the lock is held.
    fn recovered(&self) -> Result<(), EngineError> {
        for left in self.catalog.recover()? {
            self.catalog.finish_set(left.set, SetState::Interrupted, super::now())?;
        }
        Ok(())
    }

    /// Opens the drive and, where there is one, the changer: those named; else the embedded virtual library's where there
    /// is one; else those of the machine; else, on a machine without tape drives, the library is made.
    ///
    /// # Errors
    /// A device that cannot be opened.
    pub fn station(&mut self) -> Result<Station, EngineError> {
        let choice = self.settings.devices.clone();
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match choice {
            choice if choice.is_embedded() => None,
            DeviceChoice { drive: None, changer: None } => {
                super::discovery::choose(&mut devices, &self.settings.state)?
            }
            named => Some(named),
        };
        let Some(choice) = found else {
            let library = devices.embedded(&self.settings.state)?;
            let changer = devices.embedded_changer(&library, &self.settings.state)?;
            drop(devices);
            let station = Station::open(Some(Box::new(library.drive(0)?)), Some(changer))?;
            return Ok(station.asking(self.operator.clone()).watched(&self.catalog));
        };
        let drive = choice.drive.map(|name| devices.open(&name)).transpose()?;
        let changer = choice.changer.map(|name| devices.changer(&name, &self.settings.state)).transpose()?;
        drop(devices);
        Ok(Station::open(drive, changer)?.asking(self.operator.clone()).watched(&self.catalog))
    }
}

/// What tasks of one process work on: no other task may take it.
#[derive(Debug)]
pub struct InUse<T>(Arc<Mutex<HashSet<T>>>);

/// Volumes in use.
pub type VolumesInUse = InUse<VolumeId>;
/// Sets in use.
pub type SetsInUse = InUse<SetId>;

impl<T> Clone for InUse<T> {
    fn clone(&self) -> Self {
        InUse(self.0.clone())
    }
}

impl<T> Default for InUse<T> {
    fn default() -> Self {
        InUse(Arc::default())
    }
}

/// A volume or set held for one task until this is dropped.
#[derive(Debug)]
pub struct Held<T: Copy + Eq + Hash> {
    all: InUse<T>,
    held: T,
}

/// A volume held for one task until this is dropped.
pub type HeldVolume = Held<VolumeId>;

impl<T: Copy + Eq + Hash> InUse<T> {
    /// Holds one; none where another task has it.
    pub fn hold(&self, wanted: T) -> Option<Held<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(wanted).then(|| Held { all: self.clone(), held: wanted })
    }

    /// Whether a task has it.
    pub fn holds(&self, wanted: T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&wanted)
    }
}

impl<T: Copy + Eq + Hash> Drop for Held<T> {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.held);
    }
}

fn make_directory(state: &Path) -> Result<(), EngineError> {
    let error = |source| EngineError::State { path: state.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(error)
}

fn take_lock(state: &Path) -> Result<Flock<File>, EngineError> {
    let error = |source| EngineError::State { path: state.to_owned(), source };
    let file =
        File::options().create(true).truncate(false).write(true).open(state.join("lock")).map_err(error)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EWOULDBLOCK => EngineError::Busy { path: state.to_owned() },
        other => error(other.into()),
    })
}

/// Whether the check finds no damage; parts that are missing are none.
fn is_undamaged(catalog: &Catalog) -> Result<bool, EngineError> {
    match catalog.check() {
        Ok(report) => Ok(!report.is_damaged()),
        Err(error) if error.is_damage() => Ok(false),
        // What SQLite itself did not complain of: a value that is not what its column holds.
        Err(CatalogError::Sql(error)) if error.sqlite_error_code().is_none() => Ok(false),
        Err(CatalogError::Json(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a cartridge of the embedded library is not blank; nothing is opened or made.
fn has_written_cartridges(state: &Path) -> bool {
    let Ok(cartridges) = std::fs::read_dir(Devices::embedded_directory(state).join("cartridges")) else {
        return false;
    };
    cartridges
        .flatten()
        .any(|cartridge| std::fs::metadata(cartridge.path().join("index")).is_ok_and(|index| index.len() > 0))
}
