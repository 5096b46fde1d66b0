//! What an administrator asks for. Each task plans first and then executes; its request and its report are values.

mod allocate;
mod appliance;
mod backup;
mod devices;
mod error;
mod fence;
mod index_file;
mod label;
mod station;

pub use appliance::{Appliance, Settings};
pub use backup::{BackupReport, BackupRequest, Compression};
pub use devices::DeviceChoice;
pub use error::EngineError;
pub use label::{LabelRequest, LabelReport};
pub use station::Station;

/// Nanoseconds since the epoch, now.
fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
