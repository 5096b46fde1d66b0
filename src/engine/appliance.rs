//! A state directory in use: its catalog, its lock, its devices.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::devices::Devices;
use super::{DeviceChoice, EngineError, Station};
use crate::catalog::{Catalog, SetState};

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
    devices: Devices,
    /// Held by tasks that change anything; released by the kernel whatever happens.
    lock: Option<Flock<File>>,
}

/// The catalog's file in the state directory.
const CATALOG: &str = "catalog.sqlite";

impl Appliance {
    /// Opens the state directory, making it when it is missing.
    ///
    /// # Errors
    /// The directory cannot be made or read, or the catalog is damaged.
    pub fn open(settings: Settings) -> Result<Appliance, EngineError> {
        let state = |source| EngineError::State { path: settings.state.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.state).map_err(state)?;
        let catalog = Catalog::open(&settings.state.join(CATALOG))?;
        Ok(Appliance { settings, catalog, devices: Devices::default(), lock: None })
    }

    /// Opens a state directory for looking only: nothing is made.
    ///
    /// # Errors
    /// [`EngineError::NoState`] where no catalog lies there; as [`Appliance::open`].
    pub fn open_existing(settings: Settings) -> Result<Appliance, EngineError> {
        match std::fs::metadata(settings.state.join(CATALOG)) {
            Ok(_) => Appliance::open(settings),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(EngineError::NoState { path: settings.state })
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

    /// Device and inode of directories that no backup may enter: a backup must not store itself.
    pub(super) fn own_directories(&self) -> Vec<(u64, u64)> {
        std::fs::metadata(&self.settings.state).map(|m| vec![(m.dev(), m.ino())]).unwrap_or_default()
    }

    /// Claims the state directory for a task that changes it, and clears what a task that died left behind.
    ///
    /// # Errors
    /// [`EngineError::Busy`] while another task holds it.
    pub fn claim(&mut self) -> Result<(), EngineError> {
        if self.lock.is_some() {
            return Ok(());
        }
        let path = self.settings.state.join("lock");
        let error = |source| EngineError::State { path: self.settings.state.clone(), source };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(error)?;
        self.lock =
            Some(Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
                Errno::EWOULDBLOCK => EngineError::Busy { path: self.settings.state.clone() },
                other => error(other.into()),
            })?);
        for left in self.catalog.recover()? {
            self.catalog.finish_set(left.set, SetState::Interrupted, super::now())?;
        }
        Ok(())
    }

    /// Opens the drive and, where there is one, the changer: those named, else the embedded virtual library's.
    ///
    /// # Errors
    /// A device that cannot be opened.
    pub fn station(&mut self) -> Result<Station, EngineError> {
        let choice = self.settings.devices.clone();
        if choice.drive.is_none() && choice.changer.is_none() {
            let library = self.devices.embedded(&self.settings.state)?;
            return Station::open(Some(Box::new(library.drive(0)?)), Some(Box::new(library.changer())));
        }
        let drive = choice.drive.map(|name| self.devices.open(&name)).transpose()?;
        let changer = choice.changer.map(|name| self.devices.open(&name)).transpose()?;
        Station::open(drive, changer)
    }
}
