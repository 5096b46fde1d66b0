//! One tape drive: typed operations over [`Transport`].
//!
//! Unit attentions, deferred errors, waits, time-outs and the place on tape are handled here, once. Three rules:
//! a write is never sent again after the drive took it; after a reset or a possible change of cartridge nothing is read
//! or written before [`Drive::rewind`], [`Drive::load`] or [`Drive::unload`]; early warning is a return value.

mod care;
mod command;
mod encryption;
mod error;
mod health;
mod medium;
mod motion;
mod reservation;
mod state;
mod timeouts;
mod transfer;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use care::{CleaningEnd, CleaningLimits, Retension};
pub use encryption::{KEY_LENGTH, KeyUse, LONGEST_NAME};
pub use error::DriveError;
pub use health::{Cleaning, Health};
pub use medium::{Capacity, Medium, MediumOptions};
pub use state::{Abilities, CartridgeState};

pub use crate::scsi::inquiry::Identity;
use crate::scsi::inquiry::{self, DeviceType, Inquiry};
use crate::scsi::opcodes_report::{self, Timeouts};
use crate::scsi::{Transport, opcode};

/// A logical object (record or filemark) on the current partition, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockAddress(pub u64);

/// A tape file, counted by the filemarks before it, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileNumber(pub u64);

impl fmt::Display for BlockAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for FileNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the tape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Partition.
    pub partition: u32,
    /// The next logical object to be read or written.
    pub block: BlockAddress,
    /// Filemarks before it, where known.
    pub file: Option<FileNumber>,
    /// At the beginning of the partition.
    pub at_beginning: bool,
    /// Between early warning and the end of the partition.
    pub at_end: bool,
    /// Beyond programmable early warning.
    pub beyond_early_warning: bool,
}

/// How near the end of the cartridge is. Once given it stays until the tape moves elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Warning {
    /// Far.
    #[default]
    None,
    /// In the programmable early warning zone.
    Programmable,
    /// At early warning: some records still fit.
    EarlyWarning,
}

/// What a read met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOutcome {
    /// A record of this many bytes.
    Record(usize),
    /// A filemark; the tape stands behind it.
    Filemark,
    /// The end of data.
    EndOfData,
}

/// What we know of the place on tape without asking.
#[derive(Debug, Default)]
struct Place {
    /// Why nothing may be read or written.
    lost: Option<String>,
    /// Somebody relies on the place: it can be lost.
    established: bool,
    /// Block address by our own count.
    counted: Option<u64>,
    /// Filemarks before it by our own count.
    file: Option<u64>,
}

/// Which LOCATE the drive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Locate {
    Sixteen,
    Ten,
    Missing,
}

/// One tape drive, owned by one thread.
pub struct Drive {
    transport: Box<dyn Transport>,
    identity: Identity,
    timeouts: Timeouts,
    place: Place,
    warned: Warning,
    /// Logical block protection is on: every record carries its CRC32C.
    protected: bool,
    locate: Locate,
    /// Whether READ POSITION tells the block; `None` until asked with a cartridge.
    reports_position: Option<bool>,
    /// TapeAlert flags that reading page 2Eh has cleared in the drive since the cartridge came.
    alerts: u64,
    scratch: Vec<u8>,
    /// The drive may have a key of ours.
    keyed: bool,
    /// The key under which this host holds the drive.
    reserved: Option<u64>,
    /// The target was seen to leave out data of records shorter than was asked for: the length of the last one read.
    cuts: Option<usize>,
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").field("name", &self.name()).field("identity", &self.identity).finish()
    }
}

/// However a task ends, the drive keeps nothing of it.
impl Drop for Drive {
    fn drop(&mut self) {
        self.drop_key();
        self.drop_reservation();
    }
}

impl Drive {
    /// Makes acquaintance: INQUIRY, serial number, time-outs. Unit attentions of power-on are taken away. Moves nothing,
    /// and needs no cartridge.
    ///
    /// # Errors
    /// `NotATapeDrive` where the device is something else; any error of the commands.
    pub fn open(transport: Box<dyn Transport>) -> Result<Drive, DriveError> {
        let mut drive = Drive {
            transport,
            identity: Identity::default(),
            timeouts: Timeouts::default(),
            place: Place::default(),
            warned: Warning::None,
            protected: false,
            locate: Locate::Sixteen,
            reports_position: None,
            alerts: 0,
            scratch: Vec::new(),
            keyed: false,
            reserved: None,
            cuts: None,
        };
        let reply = drive.ask(&inquiry::standard(inquiry::ALLOCATION), inquiry::ALLOCATION.into())?;
        let inquiry = reply.and_then(|bytes| Inquiry::parse(&bytes)).ok_or_else(|| DriveError::Reply {
            drive: drive.drive(),
            command: opcode::name(opcode::INQUIRY),
        })?;
        if !inquiry.connected || inquiry.device_type != DeviceType::SequentialAccess {
            let found = format!("{:?}: {} {}", inquiry.device_type, inquiry.vendor, inquiry.product);
            return Err(DriveError::NotATapeDrive { drive: drive.drive(), found });
        }
        let serial = drive.ask_serial()?;
        drive.identity = Identity::new(inquiry, serial);
        // Whether ready or not does not matter; unit attentions and what another's writes left behind are gone then.
        match drive.is_loaded() {
            Ok(_) | Err(DriveError::Deferred { .. }) => drive.place = Place::default(),
            Err(error) => return Err(error),
        }
        let report = drive
            .ask(&opcodes_report::report(opcodes_report::ALLOCATION), opcodes_report::ALLOCATION as usize)?;
        if let Some(commands) = report.and_then(|bytes| opcodes_report::parse(&bytes)) {
            drive.timeouts = Timeouts::from_report(&commands);
        }
        Ok(drive)
    }

    /// Vendor, product, revision and serial number.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The drive as the user named it.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// How long a command may take.
    fn timeout(&self, code: u8) -> Duration {
        timeouts::of(&self.timeouts, code)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod health_tests;
