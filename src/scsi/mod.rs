//! SCSI: one command descriptor block (CDB) at a time.
//!
//! Builders return fixed arrays, parsers take any bytes and never panic. Nothing here sends anything but
//! [`Transport`]; what replies mean for a running task is decided in `drive` and `changer`.

pub mod attribute;
pub mod bytes;
pub mod cartridge_memory;
pub mod density;
pub mod element;
pub mod encryption;
pub mod exchange;
pub mod generation;
pub mod identify;
pub mod inquiry;
pub mod iscsi;
pub mod linux_sg;
pub mod log;
pub mod luns;
pub mod mode;
pub mod opcode;
pub mod opcodes_report;
pub mod position;
pub mod rao;
pub mod reservation;
#[cfg(test)]
pub(crate) mod script;
pub mod sense;
pub mod tape;
pub mod tape_alert;
pub mod transport;
pub mod watchdog;

pub use generation::{BarcodeKind, Generation};
pub use sense::{Code, Sense, SenseKey};
pub use tape_alert::{Severity, TapeAlert};
pub use transport::{Data, Reply, Status, Transport, TransportError};
