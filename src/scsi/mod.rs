//! SCSI: one command descriptor block (CDB) at a time.

pub mod generation;
pub mod opcode;
pub mod transport;

pub use generation::{BarcodeKind, Generation};
pub use transport::{Data, Reply, Status, Transport, TransportError};
