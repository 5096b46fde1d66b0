//! What can go wrong with a drive.

use std::time::Duration;

use crate::scsi::{Sense, TransportError};

/// Every variant names the drive as the user does.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)] // `drive` is the drive's name, `command` the SCSI command, `sense` what the drive said
pub enum DriveError {
    /// The device behind the name is something else.
    #[error("{drive}: not a tape drive ({found})")]
    NotATapeDrive { drive: String, found: String },
    /// There is a cartridge or a drive that is not ready, for longer than was allowed.
    #[error("{drive}: not ready ({sense})")]
    NotReady { drive: String, sense: Sense },
    /// No cartridge in the drive.
    #[error("{drive}: no cartridge in the drive")]
    NoMedium { drive: String },
    /// The cartridge's tab, its format or the drive forbids writing.
    #[error("{drive}: the cartridge is write-protected ({sense})")]
    WriteProtected { drive: String, sense: Sense },
    /// The write-once rule forbids this write.
    #[error("{drive}: write-once cartridge, this place was written already ({sense})")]
    Worm { drive: String, sense: Sense },
    /// No room for the record; it is not on the medium.
    #[error("{drive}: the cartridge is full")]
    VolumeFull { drive: String },
    /// The end-of-data mark is missing: the last write was cut off.
    #[error("{drive}: the end of data was not found ({sense})")]
    EndOfDataMissing { drive: String, sense: Sense },
    /// Nothing is recorded where the operation wanted to go.
    #[error("{drive}: {command} ran into blank tape or the end of data ({sense})")]
    Blank { drive: String, command: &'static str, sense: Sense },
    /// A filemark or the beginning of the medium ended a movement before its count was reached.
    #[error("{drive}: {command} stopped early, {left} short ({sense})")]
    StoppedShort { drive: String, command: &'static str, left: u64, sense: Sense },
    /// The medium could not be read or written.
    #[error("{drive}: medium error{} ({sense})", at_block(*block))]
    MediumError { drive: String, block: Option<u64>, sense: Sense },
    /// The drive is faulty.
    #[error("{drive}: hardware error in {command} ({sense})")]
    HardwareError { drive: String, command: &'static str, sense: Sense },
    /// A record came damaged through the cable, the drive or the memory: its CRC is wrong.
    #[error("{drive}: block protection: CRC of the record does not fit{}", at_block(*block))]
    BlockProtection { drive: String, block: Option<u64> },
    /// The drive has no AES-256-GCM, or it is switched off.
    #[error("{drive}: the drive does not encrypt")]
    NoEncryption { drive: String },
    /// The drive did not take the key; it has none now.
    #[error("{drive}: the key {key} was not taken: {why}")]
    KeyRefused { drive: String, key: String, why: &'static str },
    /// The drive still has a key after it was told to forget it.
    #[error("{drive}: the drive keeps its encryption key; switch it off and on")]
    KeyStays { drive: String },
    /// An encryption key is missing, wrong or not accepted.
    #[error("{drive}: encryption ({sense})")]
    Encryption { drive: String, sense: Sense },
    /// Another initiator holds the drive.
    #[error("{drive}: reserved by another host{}", holder.map_or(String::new(), |key| format!(", under the key {key:016x}")))]
    ReservationConflict { drive: String, holder: Option<u64> },
    /// The place on tape is not what it was: nothing may be read or written before a rewind.
    #[error("{drive}: position lost: {why}")]
    PositionLost { drive: String, why: String },
    /// The drive does not tell its position and it could not be counted: rewind first.
    #[error("{drive}: position unknown")]
    PositionUnknown { drive: String },
    /// An earlier write failed after it had been taken into the drive's buffer.
    #[error("{drive}: an earlier write failed ({sense})")]
    Deferred { drive: String, sense: Sense },
    /// The record on tape is longer than the buffer; the tape stands behind it.
    #[error("{drive}: the record has {found} bytes, the buffer {asked}")]
    RecordTooLong { drive: String, asked: usize, found: usize },
    /// A record that the drive or the path to it cannot carry.
    #[error("{drive}: a record of {asked} bytes, the limit is {limit}")]
    RecordRefused { drive: String, asked: usize, limit: usize },
    /// Fewer bytes moved than the drive said.
    #[error("{drive}: {command} moved {moved} of {asked} bytes")]
    ShortTransfer { drive: String, command: &'static str, asked: usize, moved: usize },
    /// The drive does not have the command.
    #[error("{drive}: does not have the command {command}")]
    Unsupported { drive: String, command: &'static str },
    /// Any other refusal.
    #[error("{drive}: {command} failed ({sense})")]
    Failed { drive: String, command: &'static str, sense: Sense },
    /// A status without an explanation.
    #[error("{drive}: {command} ended with {status} and no sense data")]
    Unexplained { drive: String, command: &'static str, status: String },
    /// The drive was busy all the time.
    #[error("{drive}: busy for {waited:?}")]
    Busy { drive: String, waited: Duration },
    /// A reply that does not say what it must.
    #[error("{drive}: reply to {command} cannot be understood")]
    Reply { drive: String, command: &'static str },
    /// No status came back.
    #[error("{drive}: no reply from the drive")]
    Transport { drive: String, source: TransportError },
}

/// ` at block N`, or nothing.
fn at_block(block: Option<u64>) -> String {
    block.map(|block| format!(" at block {block}")).unwrap_or_default()
}
