//! Drives and a changer that answer CDBs from files: the embedded default and every test's device.
//!
//! A library is a directory: `library.json` says what it has and what lies where, `cartridges/BARCODE/` holds each
//! cartridge, `drives.json` what each drive has counted in its life, `faults.json` (optional, read when the library is opened) sets fault knobs, `statistics.json` (written when
//! it is closed) counts the commands of the process that had it open. One process at a time has a library open. A killed
//! process loses what a drive loses when its power fails: the records that no synchronising command covered.

mod cartridge;
mod changer;
mod drive;
mod error;
mod export;
mod faults;
mod layout;
mod outcome;
mod speed;
mod statistics;
mod store;
mod units;
mod url;
mod wire;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

pub use crate::scsi::generation::Generation;
pub use error::VirtualError;
pub use faults::{ChangerFaults, DriveFaults, Faults};
pub use layout::Layout;
pub use speed::{Clock, SimulatedClock, SpeedModel, SystemClock};
pub use statistics::{Statistics, UnitStatistics};
pub use units::{VirtualChanger, VirtualDrive};
pub use url::{Unit, parse_url};

use cartridge::Cartridge;
use changer::Changer;
use drive::{Drive, Life};
use faults::FaultFile;
use layout::LibraryFile;

/// How long opening waits for another process to let go.
const PATIENCE: Duration = Duration::from_secs(5);
/// The file whose lock says that the library is open.
const LOCK: &str = "lock";
/// What the drives have counted in their lives.
const LIVES: &str = "drives.json";
/// Stands in the directory until a new library is whole.
const UNFINISHED: &str = "unfinished";

/// The libraries that this process has open: opening one again shares it, so that drive and changer of one library can
/// be named separately. Locked while a library is being opened.
static OPEN: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// A library that is open; clones share it.
#[derive(Debug, Clone)]
pub struct VirtualLibrary(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// As the user named it.
    directory: PathBuf,
    /// The same, absolute and without symbolic links.
    path: PathBuf,
    lock: File,
    /// Locked before any drive.
    changer: Mutex<Changer>,
    drives: Vec<Mutex<Drive>>,
    faults: Faults,
}

/// A poisoned lock only says that another thread panicked: the state is still that of whole commands.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl VirtualLibrary {
    /// Makes a library in a directory that is empty or does not exist, and opens it. Cartridges fill the storage slots
    /// from the first, the cleaning cartridge takes the last.
    ///
    /// # Errors
    /// [`VirtualError::NotEmpty`], [`VirtualError::Exists`], [`VirtualError::Layout`], or what the file system says.
    pub fn create(dir: &Path, layout: &Layout) -> Result<VirtualLibrary, VirtualError> {
        let file = LibraryFile::new(dir, layout)?;
        fs::create_dir_all(dir).map_err(VirtualError::io("create", dir))?;
        let (name, unfinished) = (dir.join(layout::NAME), dir.join(UNFINISHED));
        if name.exists() {
            return Err(VirtualError::Exists(dir.to_path_buf()));
        }
        if !unfinished.exists() {
            let mut entries = fs::read_dir(dir).map_err(VirtualError::io("list", dir))?;
            if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOCK)) {
                return Err(VirtualError::NotEmpty(dir.to_path_buf()));
            }
        }
        let mut open = locked(&OPEN);
        let lock = acquire(dir)?;
        // Another process may have been first.
        if name.exists() {
            return Err(VirtualError::Exists(dir.to_path_buf()));
        }
        // What a killed process left of a library that nobody has seen yet is made anew.
        let cartridges = dir.join("cartridges");
        if unfinished.exists() && cartridges.exists() {
            fs::remove_dir_all(&cartridges).map_err(VirtualError::io("clear", &cartridges))?;
        }
        File::create(&unfinished).map_err(VirtualError::io("create", &unfinished))?;
        for held in &file.cartridges {
            let path = cartridge_path(dir, &held.barcode);
            Cartridge::create(&path, &file.new_memory(&held.barcode))
                .map_err(VirtualError::io("create", &path))?;
        }
        file.save(dir).map_err(VirtualError::io("write", dir))?;
        fs::remove_file(&unfinished).map_err(VirtualError::io("remove", &unfinished))?;
        VirtualLibrary::open_locked(dir, lock, &mut open)
    }

    /// Opens a library. Cartridges are where they were; drives report a power-on (6/29/00) and are at the beginning of
    /// their tapes. One that this process has open already is shared, as it is.
    ///
    /// # Errors
    /// [`VirtualError::Missing`], [`VirtualError::InUse`] after a few seconds, [`VirtualError::Damaged`], or what the file
    /// system says.
    pub fn open(dir: &Path) -> Result<VirtualLibrary, VirtualError> {
        if !dir.join(layout::NAME).exists() {
            return Err(VirtualError::Missing(dir.to_path_buf()));
        }
        let mut open = locked(&OPEN);
        let path = dir.canonicalize().map_err(VirtualError::io("find", dir))?;
        let same = |shared: &Arc<Shared>| shared.path == path && !locked(&shared.changer).dead;
        if let Some(shared) = open.iter().filter_map(Weak::upgrade).find(same) {
            return Ok(VirtualLibrary(shared));
        }
        let lock = acquire(dir)?;
        VirtualLibrary::open_locked(dir, lock, &mut open)
    }

    fn open_locked(
        dir: &Path,
        lock: File,
        open: &mut Vec<Weak<Shared>>,
    ) -> Result<VirtualLibrary, VirtualError> {
        let path = dir.canonicalize().map_err(VirtualError::io("find", dir))?;
        let file: LibraryFile = store::read(&dir.join(layout::NAME))?;
        file.check(dir)?;
        let fault_path = dir.join("faults.json");
        let fault_file = if fault_path.exists() { store::read(&fault_path)? } else { FaultFile::default() };
        let life_path = dir.join(LIVES);
        let lives: BTreeMap<u16, Life> =
            if life_path.exists() { store::read(&life_path)? } else { BTreeMap::new() };
        let mut drives = Vec::new();
        for index in 0..file.drives {
            let mut drive = Drive::new(file.drive_serial(index), file.generation);
            drive.life = lives.get(&index).copied().unwrap_or_default();
            drive.life.power_cycles += 1;
            if let Some(held) = file.at(layout::DRIVES + index) {
                let path = cartridge_path(dir, &held.barcode);
                let medium =
                    Cartridge::open(&path, file.keeping()).map_err(VirtualError::io("open", &path))?;
                drive.power_on_with(medium).map_err(VirtualError::io("load", &path))?;
            }
            drives.push(Mutex::new(drive));
        }
        let faults = Faults::new(file.drives, &fault_file);
        let shared = Arc::new(Shared {
            directory: dir.to_path_buf(),
            path,
            lock,
            changer: Mutex::new(Changer::new(file)),
            drives,
            faults,
        });
        open.retain(|library| library.strong_count() > 0);
        open.push(Arc::downgrade(&shared));
        Ok(VirtualLibrary(shared))
    }

    /// The directory it lies in.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// A drive, from 0.
    ///
    /// # Errors
    /// [`VirtualError::NoDrive`].
    pub fn drive(&self, index: u16) -> Result<VirtualDrive, VirtualError> {
        self.drive_of_host(index, 0)
    }

    /// A drive, from 0, as another host sees it: reservations tell hosts apart. [`VirtualLibrary::drive`] is host 0.
    ///
    /// # Errors
    /// [`VirtualError::NoDrive`].
    pub fn drive_of_host(&self, index: u16, host: u32) -> Result<VirtualDrive, VirtualError> {
        self.0.drive(index)?;
        Ok(VirtualDrive::new(Arc::clone(&self.0), index, host))
    }

    /// How many drives it has.
    pub fn drives(&self) -> u16 {
        self.0.drives.len() as u16
    }

    /// The medium changer.
    pub fn changer(&self) -> VirtualChanger {
        VirtualChanger::new(Arc::clone(&self.0))
    }

    /// All barcodes, the cleaning cartridge's too, in the order they were made.
    pub fn barcodes(&self) -> Vec<String> {
        locked(&self.0.changer).file.cartridges.iter().map(|held| held.barcode.clone()).collect()
    }

    /// Writes each tape file of a cartridge as one plain file `0000`, `0001`, ... into a directory that is made if need be:
    /// the data of its records joined (chapter 10 of the tape format). Returns the number of tape files. Records behind the last
    /// filemark make a file as well.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], [`VirtualError::Unreadable`] for encrypted or discarded records, or what the file
    /// system says.
    pub fn export(&self, barcode: &str, out_dir: &Path) -> Result<u32, VirtualError> {
        self.0.with_cartridge(barcode, |medium| export::export(medium, out_dir))?
    }

    /// Sets or clears a cartridge's write-protect tab.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], or what the file system says.
    pub fn set_write_protect(&self, barcode: &str, protected: bool) -> Result<(), VirtualError> {
        self.0.change_memory(barcode, |memory| memory.write_protected = protected)
    }

    /// Makes a cartridge write-once, or rewritable again.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], or what the file system says.
    pub fn set_worm(&self, barcode: &str, worm: bool) -> Result<(), VirtualError> {
        self.0.change_memory(barcode, |memory| memory.worm = worm)
    }

    /// Sets the life that a cartridge has left, in percent.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], or what the file system says.
    pub fn set_life_left(&self, barcode: &str, percent: u8) -> Result<(), VirtualError> {
        self.0.change_memory(barcode, |memory| memory.life_left = Some(percent))
    }

    /// Sets how many cleanings a cleaning cartridge has left.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], or what the file system says.
    pub fn set_cleanings_left(&self, barcode: &str, left: u32) -> Result<(), VirtualError> {
        self.0.change_memory(barcode, |memory| memory.cleanings = Some(left))
    }

    /// Has a cartridge say that it has so many partitions, as LTFS makes two.
    ///
    /// # Errors
    /// [`VirtualError::NoCartridge`], or what the file system says.
    pub fn set_partitions(&self, barcode: &str, partitions: u8) -> Result<(), VirtualError> {
        self.0.change_memory(barcode, |memory| memory.partitions = partitions)
    }

    /// The fault knobs.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Gives all drives a speed, on a clock; `None` lets them answer at once.
    pub fn set_speed(&self, model: Option<SpeedModel>, clock: &Arc<dyn Clock>) {
        for drive in &self.0.drives {
            locked(drive).motion.set(model, Arc::clone(clock));
        }
    }

    /// What all units have done since the library was opened.
    pub fn statistics(&self) -> Statistics {
        self.0.statistics()
    }

    /// What kill -9 does to the process: all that waits in drive buffers is gone, all units are gone, and the directory can
    /// be opened again. For tests.
    pub fn kill(&self) {
        locked(&self.0.changer).dead = true;
        for drive in &self.0.drives {
            locked(drive).dead = true;
        }
        // Closing the file would do the same; other clones may live on.
        let _ = flock(&self.0.lock, FlockOperation::Unlock);
    }
}

fn cartridge_path(directory: &Path, barcode: &str) -> PathBuf {
    directory.join("cartridges").join(barcode)
}

/// The exclusive lock of a library; the kernel releases it when the process ends, however it ends.
fn acquire(directory: &Path) -> Result<File, VirtualError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    let lock = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(VirtualError::io("open", &path))?;
    let begun = Instant::now();
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(VirtualError::InUse(directory.to_path_buf()));
            }
            Err(error) => return Err(VirtualError::io("lock", &path)(error.into())),
        }
    }
}

impl Shared {
    fn drive(&self, index: u16) -> Result<&Mutex<Drive>, VirtualError> {
        self.drives
            .get(usize::from(index))
            .ok_or_else(|| VirtualError::NoDrive { directory: self.directory.clone(), index })
    }

    /// Does something with a cartridge wherever it is; what waits in a drive's buffer is flushed first.
    fn with_cartridge<T>(
        &self,
        barcode: &str,
        work: impl FnOnce(&mut Cartridge) -> T,
    ) -> Result<T, VirtualError> {
        let changer = locked(&self.changer);
        let missing =
            || VirtualError::NoCartridge { directory: self.directory.clone(), barcode: barcode.to_owned() };
        let held = changer.file.cartridges.iter().find(|held| held.barcode == barcode);
        let held = held.ok_or_else(missing)?;
        let path = cartridge_path(&self.directory, barcode);
        let io = |error| VirtualError::io("open", &path)(error);
        if let Some(drive) = changer.file.drive_at(held.element) {
            let mut drive = locked(self.drive(drive)?);
            drive.synchronise().map_err(io)?;
            if let Some(medium) = &mut drive.medium {
                return Ok(work(medium));
            }
        }
        let mut medium = Cartridge::open(&path, changer.file.keeping()).map_err(io)?;
        Ok(work(&mut medium))
    }

    /// Keeps what the drives have counted in their lives. No drive may be locked by the caller.
    fn save_lives(&self) -> std::io::Result<()> {
        let lives: BTreeMap<usize, Life> =
            self.drives.iter().enumerate().map(|(index, drive)| (index, locked(drive).life())).collect();
        store::replace(&self.directory.join(LIVES), &lives, false)
    }

    fn change_memory(
        &self,
        barcode: &str,
        change: impl FnOnce(&mut cartridge::Memory),
    ) -> Result<(), VirtualError> {
        let path = cartridge_path(&self.directory, barcode);
        let saved = self.with_cartridge(barcode, |medium| {
            change(&mut medium.memory);
            medium.save_memory()
        })?;
        saved.map_err(VirtualError::io("write", &path))
    }
}

impl Drop for Shared {
    /// A drive that keeps its power writes its buffer out, whatever became of the host.
    fn drop(&mut self) {
        if locked(&self.changer).dead {
            return;
        }
        for drive in &self.drives {
            let mut drive = locked(drive);
            // Nobody is left to hear of a failure; the index stays consistent.
            if drive.synchronise().is_ok()
                && let Some(medium) = &drive.medium
            {
                let _ = medium.save_memory();
            }
        }
        let _ = self.save_lives();
        let _ = store::replace(&self.directory.join("statistics.json"), &self.statistics(), false);
    }
}

#[cfg(test)]
mod tests;
