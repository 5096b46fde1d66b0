//! Drives held against other hosts while a task of this appliance works with them.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Appliance, EngineError, Station};
use crate::drive::DriveError;

/// What tells hosts apart, where systemd made one.
const MACHINE_ID: &str = "/etc/machine-id";

/// The key that stands for this appliance: `RW` and six bytes of a hash of machine and state directory, which is locked
/// for one process. So a reservation under it that nobody here uses was left by a task that died.
pub(super) fn host_key(state: &Path) -> u64 {
    let machine = std::fs::read(MACHINE_ID).unwrap_or_default();
    let name = nix::unistd::gethostname().unwrap_or_default();
    let state = state.canonicalize().unwrap_or_else(|_| state.to_owned());
    let mut hash = Sha256::new();
    hash.update(&machine);
    hash.update(name.as_encoded_bytes());
    hash.update([0]);
    hash.update(state.as_os_str().as_encoded_bytes());
    let digest = hash.finalize();
    let mut key = *b"RW\0\0\0\0\0\0";
    key[2..].copy_from_slice(&digest[..6]);
    u64::from_be_bytes(key)
}

impl Appliance {
    /// Takes drives from other hosts that hold them: for hosts that are dead.
    pub fn break_reservations(&mut self, on: bool) {
        self.break_reservations = on;
    }

    /// The key under which this appliance holds drives.
    pub fn reservation_key(&self) -> u64 {
        host_key(self.state())
    }

    /// Opens the devices for a task, and reserves the drive, where it can be reserved, until the station is dropped.
    ///
    /// # Errors
    /// [`EngineError::Reserved`] with the holder's key: nothing was read or written.
    pub(super) fn task_station(&mut self) -> Result<Station, EngineError> {
        let mut station = self.station()?;
        if let Ok((drive, _)) = station.split() {
            match drive.reserve(host_key(self.state()), self.break_reservations) {
                Ok(_) => {}
                Err(DriveError::ReservationConflict { drive, holder }) => {
                    return Err(EngineError::Reserved { drive, holder });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(station)
    }
}
