//! What an administrator asks for. Each task plans first and then executes; its request and its report are values.

mod allocate;
mod appliance;
mod backup;
mod batch_label;
mod database_copies;
mod cartridge_memory;
mod clean;
mod devices;
mod discovery;
mod doctor;
mod drives;
mod error;
mod fence;
mod hardware_key;
mod health;
mod increment;
mod index_file;
mod jobs;
mod label;
mod library;
mod loaded;
mod operator;
mod pools;
mod rebuild;
mod register;
mod reservation;
mod restore;
mod resume;
mod robot;
mod sources;
mod station;
mod tape_file;
mod tapes;
mod transfer;
mod verify;

pub use crate::catalog::{CheckReport, SetKind as BackupKind};
pub use appliance::{Appliance, Held, HeldVolume, InUse, SetsInUse, Settings, VolumesInUse};
pub use backup::{BackupReport, BackupRequest, Compression};
pub use batch_label::{BatchLabelRequest, BatchLabelStatus, BatchTape};
pub use clean::{CleanReport, RetensionReport};
pub use database_copies::{DATABASE_JOB, enter_found_copies};
pub use devices::DeviceChoice;
pub use discovery::{
    Access, Adapter, Area, Bay, Contents, DevicePath, Discovery, DiscoveryRequest, DrivePlace, Finding,
    FoundChanger, FoundDrive, Holder, Roots, Severity, discover,
};
pub use doctor::{DoctorReport, examine};
pub use drives::{AlertRow, CartridgeRow, DriveStatus, PositionRow};
pub use error::{EngineError, OperatorRequest, chain};
pub use health::{
    Advice, CartridgeHealth, DriveHealth, DriveStatistics, HealthAlert, Judgement, MemoryRow, PairRow,
};
pub use jobs::{RecommendedTape, recommend_tape};
pub use label::{LabelReport, LabelRequest};
pub use library::{DeviceRow, ElementRow, LibraryInventory, LibraryStatus, MoveReport, Place, ReadLabel};
pub use loaded::LoadedTape;
pub use operator::Operator;
pub use pools::apply_retention;
pub use rebuild::{EncryptedIndex, RebuildReport, RebuildRequest, RebuiltVolume};
pub use register::{NamedDevices, Registered};
pub use restore::{Fault, PlannedSet, PlannedVolume, RestorePlan, RestoreReport, RestoreRequest};
pub use robot::{Robot, SharedRobot};
pub use sources::{SourceFault, check_destination, check_patterns, check_source, walk_patterns};
pub use station::{Loader, Station};
pub use tapes::{LtoType, NewTape, TapeInfo, TapeLabel, TapePart, TapeRow, enter_tape, lto_types};
pub use verify::{VerifyReport, VerifyRequest, VolumeCheck};

/// Nanoseconds since the epoch, now.
fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// An error and its causes in one line, nothing said twice in a row.
fn told(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut last = said.clone();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if text != last {
            said.push_str(": ");
            said.push_str(&text);
        }
        last = text;
        source = cause.source();
    }
    said
}

/// A time in nanoseconds since the epoch as RFC 3339, UTC.
fn rfc3339(nanos: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(nanos))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// A new identity: RFC 9562 version 4, lower case.
pub fn new_uuid() -> String {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 16];
    // The system's generator does not fail once it is seeded; an identity made of time is unique all the same.
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&now().to_be_bytes());
        bytes[8..12].copy_from_slice(&std::process::id().to_be_bytes());
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = hex.concat();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
