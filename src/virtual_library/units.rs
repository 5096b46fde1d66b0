//! The two kinds of logical unit, as transports.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::drive::LONGEST_RECORD;
use super::locked;
use super::outcome::reply;
use super::url::{Unit, unit_url};
use crate::scsi::{Data, Reply, Transport, TransportError};

/// A drive of a virtual library.
#[derive(Debug)]
pub struct VirtualDrive {
    shared: Arc<Shared>,
    index: u16,
    host: u32,
    name: String,
}

impl VirtualDrive {
    pub(super) fn new(shared: Arc<Shared>, index: u16, host: u32) -> VirtualDrive {
        let name = unit_url(&shared.directory, Unit::Drive(index));
        VirtualDrive { shared, index, host, name }
    }
}

impl Transport for VirtualDrive {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let code = cdb.first().copied().unwrap_or(0);
        let faults = self.shared.faults.for_drive(self.index, code);
        let Some(drive) = self.shared.drives.get(usize::from(self.index)) else {
            return Err(TransportError::Gone {
                device: self.name.clone(),
                reason: "no such drive".to_owned(),
            });
        };
        let outcome = locked(drive).execute(self.host, cdb, data, &faults);
        reply(outcome, &self.name, code, timeout)
    }

    fn max_transfer(&self) -> usize {
        LONGEST_RECORD as usize
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// The changer of a virtual library.
#[derive(Debug)]
pub struct VirtualChanger {
    shared: Arc<Shared>,
    name: String,
}

impl VirtualChanger {
    pub(super) fn new(shared: Arc<Shared>) -> VirtualChanger {
        let name = unit_url(&shared.directory, Unit::Changer);
        VirtualChanger { shared, name }
    }
}

impl Transport for VirtualChanger {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError> {
        let code = cdb.first().copied().unwrap_or(0);
        let faults = self.shared.faults.for_changer(code);
        let outcome = locked(&self.shared.changer).execute(&self.shared, cdb, data, &faults);
        reply(outcome, &self.name, code, timeout)
    }

    fn max_transfer(&self) -> usize {
        LONGEST_RECORD as usize
    }

    fn name(&self) -> &str {
        &self.name
    }
}
