//! The index of what is on tape: SQLite, one file per resource. `docs/catalog.md` explains the schema.
//!
//! One [`Catalog`] of one process writes; any number of connections and processes read at the same time.

mod archives;
mod browse;
mod check;
mod delete;
mod directories;
mod error;
mod events;
mod export;
mod find;
mod fragments;
mod glob;
mod ids;
mod load;
mod lookup;
mod members;
mod open;
mod parts;
mod pool;
mod recover;
mod scan;
mod segment;
mod sets;
mod tasks;
mod volumes;
mod write_index;
mod writer;

pub use archives::Archive;
pub use browse::{Listing, ListingEntry};
pub use check::CheckReport;
pub use error::CatalogError;
pub use events::{EventRow, NewEvent, Severity};
pub use export::Export;
pub use find::{FindQuery, Found, FoundMember};
pub use fragments::Fragment;
pub use glob::Pattern;
pub use ids::{DirectoryId, EventId, SetId, TaskId, VolumeId};
pub use load::{IndexLocation, Loaded};
pub use members::{MemberRows, PathResolver};
pub use open::Catalog;
pub use parts::{NewPart, Part, PartEnd};
pub use recover::Recovered;
pub use sets::{BackupSet, NewSet, SetState};
pub use tasks::{NewTaskRow, TaskFilter, TaskRow, TaskState};
pub use volumes::{NewVolume, Volume, VolumeStatus};
pub use writer::{Checkpoint, MemberWriter};

/// What every query of the catalog returns.
pub type Result<T> = std::result::Result<T, CatalogError>;

#[cfg(test)]
mod tests;
