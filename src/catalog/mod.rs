//! The index of what is on tape: SQLite, one file per resource. `docs/catalog.md` explains the schema.
//!
//! One [`Catalog`] of one process writes; any number of connections and processes read at the same time.

mod access_state;
mod api_keys;
mod alerts;
mod archives;
mod audit;
mod browse;
mod cartridges;
mod check;
mod database_copies;
mod delete;
mod directories;
mod drives;
mod error;
mod events;
mod export;
mod find;
mod fragments;
mod glob;
mod health;
mod ids;
mod jobs;
mod keys;
mod libraries;
mod load;
mod lookup;
mod members;
mod open;
mod parts;
mod pool;
mod pools;
mod recover;
mod roles;
mod scan;
mod segment;
mod sessions;
mod sets;
mod snapshots;
mod tasks;
mod settings;
mod slots;
mod sources;
mod text_enum;
mod volume_life;
mod users;
mod volumes;
mod write_index;
mod writer;

pub use access_state::{AccessRows, SigningKeyRow};
pub use alerts::{Alert, AlertSeverity, Complaint};
pub use api_keys::ApiKeyRow;
pub use archives::Archive;
pub use audit::{AuditChain, AuditFilter, AuditHead, AuditRow, NewAuditRecord};
pub use browse::{Listing, ListingEntry};
pub use cartridges::{Cartridge, CartridgeSeen};
pub use check::CheckReport;
pub use database_copies::{CopyStatus, DatabaseCopy};
pub use drives::{DriveRow, NewDrive};
pub use error::CatalogError;
pub use events::{EventRow, NewEvent, Severity};
pub use export::Export;
pub use find::{FindQuery, Found, FoundMember};
pub use fragments::Fragment;
pub use glob::Pattern;
pub use health::{Happened, HealthEvent, NewSample, PairTrend, Readings, Sample};
pub use ids::{
    CartridgeId, DatabaseCopyId, DirectoryId, DriveId, EventId, JobId, KeyId, LibraryId, PoolId, SetId,
    SlotId, SourceId, TaskId, VolumeId,
};
pub use jobs::{BackupType, Job, NewJob};
pub use keys::{EncryptionKey, NewKey};
pub use libraries::{LibraryRow, NewLibrary};
pub use load::{IndexLocation, Loaded};
pub use members::{MemberRows, PathResolver};
pub use open::Catalog;
pub use parts::{NewPart, Part, PartEnd};
pub use pools::{NewPool, Pool};
pub use recover::Recovered;
pub use roles::RoleRow;
pub use sessions::{Rotation, SessionRow};
pub use sets::{BackupSet, NewSet, SetKind, SetState};
pub use settings::SettingValue;
pub use slots::{NewSlot, Slot, SlotKind};
pub use snapshots::{Kept, Snapshot};
pub use sources::{NewSource, Source, SourceKind};
pub use tasks::{NewTaskRow, TaskFilter, TaskRow, TaskState};
pub use users::{NewUserRow, PasswordHash, UserChangeRow, UserRow};
pub use volume_life::{VolumeEdit, VolumeStatus};
pub use volumes::{NewVolume, Volume};
pub use writer::{Checkpoint, MemberWriter};

/// What every query of the catalog returns.
pub type Result<T> = std::result::Result<T, CatalogError>;

#[cfg(test)]
mod resource_tests;
#[cfg(test)]
mod health_tests;
#[cfg(test)]
mod tests;
