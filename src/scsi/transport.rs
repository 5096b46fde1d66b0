//! The seam of the whole product: execute one CDB (SAM-5 clause 5.1, the Execute Command procedure call).

use std::time::Duration;

/// The data phase of one command.
#[derive(Debug)]
pub enum Data<'a> {
    /// No data is transferred.
    None,
    /// The device sends at most `len()` bytes into this buffer.
    In(&'a mut [u8]),
    /// The device receives these bytes.
    Out(&'a [u8]),
}

impl Data<'_> {
    /// Bytes that the initiator offers or accepts.
    pub fn len(&self) -> usize {
        match self {
            Data::None => 0,
            Data::In(buffer) => buffer.len(),
            Data::Out(buffer) => buffer.len(),
        }
    }

    /// The same data phase for one more execution.
    pub fn again(&mut self) -> Data<'_> {
        match self {
            Data::None => Data::None,
            Data::In(buffer) => Data::In(buffer),
            Data::Out(buffer) => Data::Out(buffer),
        }
    }

    /// Whether no byte can move.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// SAM-5 table 31, the status codes a tape or changer returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 00h.
    Good,
    /// 02h: the sense data says what happened; it is not always an error.
    CheckCondition,
    /// 08h.
    Busy,
    /// 18h: another initiator holds the reservation.
    ReservationConflict,
    /// Any other code, as received.
    Other(u8),
}

impl From<u8> for Status {
    fn from(code: u8) -> Self {
        match code & 0x3e {
            0x00 => Status::Good,
            0x02 => Status::CheckCondition,
            0x08 => Status::Busy,
            0x18 => Status::ReservationConflict,
            _ => Status::Other(code),
        }
    }
}

/// What the device answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// SCSI status.
    pub status: Status,
    /// Raw sense bytes, empty unless the status is CHECK CONDITION.
    pub sense: Vec<u8>,
    /// Bytes moved in the data phase (the length offered, less the residual).
    pub transferred: usize,
}

impl Reply {
    /// GOOD status with `transferred` bytes moved.
    pub fn good(transferred: usize) -> Self {
        Reply { status: Status::Good, sense: Vec::new(), transferred }
    }
}

/// The command did not reach the device or no answer came back; the device's state is unknown.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// No answer within the time-out. The command may still be executing.
    #[error("{device}: no answer within {timeout:?} to command {opcode:02x}h")]
    TimedOut {
        /// The device as the user named it.
        device: String,
        /// First byte of the CDB.
        opcode: u8,
        /// The time-out that passed.
        timeout: Duration,
    },
    /// No answer, and the system call that waits for it does not end either: the device is out of use until it does.
    #[error(
        "{device}: command {opcode:02x}h did not end within {waited:?} and cannot be ended: the device is offline; power-cycle it, then run the command again"
    )]
    Hung {
        /// The device as the user named it.
        device: String,
        /// First byte of the CDB that hangs.
        opcode: u8,
        /// How long was waited.
        waited: Duration,
    },
    /// The device or the path to it is gone.
    #[error("{device}: device is gone ({reason})")]
    Gone {
        /// The device as the user named it.
        device: String,
        /// What was seen.
        reason: String,
    },
    /// The operating system or the store behind the device failed.
    #[error("{device}: command {opcode:02x}h could not be sent")]
    Io {
        /// The device as the user named it.
        device: String,
        /// First byte of the CDB.
        opcode: u8,
        /// The cause.
        source: std::io::Error,
    },
}

/// Executes CDBs on one logical unit. Nothing above this trait knows what stands behind it.
pub trait Transport: Send {
    /// Sends one CDB with its data and waits for the status.
    ///
    /// # Errors
    /// Only when no SCSI status came back; CHECK CONDITION is an `Ok` reply.
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, TransportError>;

    /// The largest data phase in bytes that one command may carry here.
    fn max_transfer(&self) -> usize;

    /// The device as the user named it, for messages.
    fn name(&self) -> &str;
}
