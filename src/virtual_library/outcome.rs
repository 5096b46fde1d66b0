//! How a command ends: bytes moved, or a reason in sense data.

use std::io;
use std::time::Duration;

use crate::scsi::{Reply, Status, TransportError};

/// Sense data to be (SPC-4 clause 4.5.3, fixed format).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    /// Sense key.
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// A filemark was met.
    pub filemark: bool,
    /// End or beginning of medium was met.
    pub eom: bool,
    /// The block had another length.
    pub ili: bool,
    /// INFORMATION field; `None` leaves VALID clear.
    pub info: Option<u32>,
    /// The error belongs to an earlier command (response code 71h).
    pub deferred: bool,
    /// Bytes that were moved all the same.
    pub transferred: usize,
}

impl Check {
    /// A sense triple with nothing else.
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Check {
        Check {
            key,
            asc,
            ascq,
            filemark: false,
            eom: false,
            ili: false,
            info: None,
            deferred: false,
            transferred: 0,
        }
    }

    /// With an INFORMATION field, as a two's complement number.
    pub const fn info(mut self, value: i64) -> Check {
        self.info = Some(value as u32);
        self
    }

    /// With the FILEMARK bit.
    pub const fn filemark(mut self) -> Check {
        self.filemark = true;
        self
    }

    /// With the EOM bit.
    pub const fn eom(mut self) -> Check {
        self.eom = true;
        self
    }

    /// With the ILI bit.
    pub const fn ili(mut self) -> Check {
        self.ili = true;
        self
    }

    /// As a deferred error.
    pub const fn deferred(mut self) -> Check {
        self.deferred = true;
        self
    }

    /// With bytes that were moved.
    pub const fn moved(mut self, bytes: usize) -> Check {
        self.transferred = bytes;
        self
    }

    /// The 18 bytes of fixed-format sense data.
    pub fn bytes(&self) -> Vec<u8> {
        let mut sense = vec![0u8; 18];
        let code = if self.deferred { 0x71 } else { 0x70 };
        sense[0] = code | if self.info.is_some() { 0x80 } else { 0 };
        sense[2] = self.key
            | if self.filemark { 0x80 } else { 0 }
            | if self.eom { 0x40 } else { 0 }
            | if self.ili { 0x20 } else { 0 };
        sense[3..7].copy_from_slice(&self.info.unwrap_or(0).to_be_bytes());
        sense[7] = 10;
        sense[12] = self.asc;
        sense[13] = self.ascq;
        sense
    }
}

/// Why a command did not end with GOOD status.
#[derive(Debug)]
pub(super) enum Stop {
    /// CHECK CONDITION.
    Check(Check),
    /// RESERVATION CONFLICT.
    Conflict,
    /// No answer comes.
    TimedOut,
    /// The unit is not there.
    Gone(&'static str),
    /// The files behind the unit failed.
    Io(io::Error),
}

impl From<Check> for Stop {
    fn from(check: Check) -> Self {
        Stop::Check(check)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

/// Bytes moved, or why not.
pub(super) type Outcome = Result<usize, Stop>;

/// 5/20/00 INVALID COMMAND OPERATION CODE.
pub(super) const INVALID_OPCODE: Check = Check::new(5, 0x20, 0);
/// 5/24/00 INVALID FIELD IN CDB.
pub(super) const INVALID_FIELD: Check = Check::new(5, 0x24, 0);
/// 5/26/00 INVALID FIELD IN PARAMETER LIST.
pub(super) const INVALID_PARAMETER: Check = Check::new(5, 0x26, 0);
/// 5/1A/00 PARAMETER LIST LENGTH ERROR.
pub(super) const LIST_LENGTH: Check = Check::new(5, 0x1a, 0);
/// 2/3A/00 MEDIUM NOT PRESENT.
pub(super) const NO_MEDIUM: Check = Check::new(2, 0x3a, 0);
/// B/4B/00 DATA PHASE ERROR: the initiator sent less than the CDB says.
pub(super) const DATA_PHASE: Check = Check::new(0xb, 0x4b, 0);
/// 5/53/02 MEDIUM REMOVAL PREVENTED.
pub(super) const REMOVAL_PREVENTED: Check = Check::new(5, 0x53, 2);

/// What the initiator sees.
pub(super) fn reply(
    outcome: Outcome,
    device: &str,
    opcode: u8,
    timeout: Duration,
) -> Result<Reply, TransportError> {
    match outcome {
        Ok(transferred) => Ok(Reply::good(transferred)),
        Err(Stop::Check(check)) => {
            Ok(Reply { status: Status::CheckCondition, sense: check.bytes(), transferred: check.transferred })
        }
        Err(Stop::Conflict) => {
            Ok(Reply { status: Status::ReservationConflict, sense: Vec::new(), transferred: 0 })
        }
        Err(Stop::TimedOut) => Err(TransportError::TimedOut { device: device.to_owned(), opcode, timeout }),
        Err(Stop::Gone(reason)) => {
            Err(TransportError::Gone { device: device.to_owned(), reason: reason.to_owned() })
        }
        Err(Stop::Io(source)) => Err(TransportError::Io { device: device.to_owned(), opcode, source }),
    }
}
