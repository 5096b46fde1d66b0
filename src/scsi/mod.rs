//! SCSI: one command descriptor block (CDB) at a time.

pub mod transport;

pub use transport::{Data, Reply, Status, Transport, TransportError};
