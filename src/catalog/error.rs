//! What can go wrong with the catalog.

use std::io;
use std::path::PathBuf;

use super::ids::SetId;
use crate::format::bytes::BytesError;
use crate::format::v1::block::BlockError;
use crate::format::v1::index::IndexError;

/// An error of the catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Increments would be lost with it.
    #[error(
        "set {set} holds what {} did not store again, as it was unchanged: they could not be restored without it. Give those up first, the newest before the others",
        numbers(by)
    )]
    Depended {
        /// The set.
        set: SetId,
        /// Those that hang on it.
        by: Vec<SetId>,
    },
    /// The file is not a catalog, or damaged. Move it aside and rebuild from tape.
    #[error("the catalog {path} is damaged")]
    Corrupt {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("the catalog {path} has schema {found}; this program knows {known}")]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema this program knows.
        known: i64,
    },
    /// SQLite failed.
    #[error("the catalog could not be read or written")]
    Sql(#[from] rusqlite::Error),
    /// The file system failed.
    #[error("the catalog could not be accessed at {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A block in the catalog or an index is damaged.
    #[error("a block of members is damaged")]
    Block(#[from] BlockError),
    /// A packed column is damaged.
    #[error("a packed value is damaged")]
    Bytes(#[from] BytesError),
    /// An index on tape is damaged.
    #[error("an index could not be read or written")]
    Index(#[from] IndexError),
    /// JSON in a column or an index is malformed.
    #[error("malformed JSON")]
    Json(#[from] serde_json::Error),
    /// Nothing of this kind has this name or id.
    #[error("no {what} {name} in the catalog")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
        /// As asked for.
        name: String,
    },
    /// Something else of this kind has this name already.
    #[error("the {what} {name} exists already")]
    Exists {
        /// Kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Something else needs it, so it stays.
    #[error("the {what} {name} is in use: {by}")]
    InUse {
        /// Kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// What needs it.
        by: String,
    },
    /// A volume's life does not allow this change.
    #[error("volume {label} is {from} and cannot become {to}: {why}")]
    Status {
        /// The volume.
        label: String,
        /// What it is.
        from: &'static str,
        /// What was asked for.
        to: &'static str,
        /// Why, and the way out.
        why: &'static str,
    },
    /// Nobody would have this role any more.
    #[error("nobody else who is active has the role {role}")]
    LastOf {
        /// The role.
        role: String,
    },
    /// An index says something else about a part than the catalog.
    #[error("part {part} of set {set} is in the catalog with {known} members; its index on tape has {found}")]
    Conflict {
        /// The set.
        set: String,
        /// The part.
        part: u32,
        /// Members in the catalog.
        known: u64,
        /// Members in the index.
        found: u64,
    },
    /// An index on tape contradicts itself.
    #[error("the index of part {part} of set {set} is malformed: {what}")]
    Malformed {
        /// The set.
        set: String,
        /// The part.
        part: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// Another process wrote to the catalog.
    #[error("another process writes to the catalog")]
    OtherWriter,
    /// The members do not go on where the set was left.
    #[error("set {set} goes on at member {expected}, not {found}")]
    Ordinal {
        /// The set.
        set: SetId,
        /// Where it goes on.
        expected: u64,
        /// What was asked for.
        found: u64,
    },
    /// A name that no path may have.
    #[error("not a name of a file or directory: {0:?}")]
    Name(String),
    /// A time that is not RFC 3339.
    #[error("not a time: {0:?}")]
    Time(String),
    /// A thread that searched died.
    #[error("a search thread failed")]
    Thread,
}

/// A name or device that has to be unique and is taken is [`CatalogError::Exists`].
pub(super) fn unique(what: &'static str, name: &str) -> impl FnOnce(rusqlite::Error) -> CatalogError + use<> {
    let name = name.to_owned();
    move |error| match &error {
        rusqlite::Error::SqliteFailure(failure, _)
            if failure.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE =>
        {
            CatalogError::Exists { what, name }
        }
        _ => error.into(),
    }
}

/// One row was to change: none did, so there is none.
pub(super) fn changed_one(
    changed: usize,
    what: &'static str,
    id: impl std::fmt::Display,
) -> super::Result<()> {
    match changed {
        0 => Err(CatalogError::NotFound { what, name: id.to_string() }),
        _ => Ok(()),
    }
}

impl CatalogError {
    /// Whether the catalog itself is damaged: it can be moved aside and rebuilt from tape.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            CatalogError::Corrupt { .. } | CatalogError::Block(_) | CatalogError::Bytes(_) => true,
            CatalogError::Sql(error) => {
                matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }

    /// Whether there is no room left for it.
    pub fn is_full(&self) -> bool {
        matches!(self, CatalogError::Sql(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

fn numbers(sets: &[SetId]) -> String {
    let numbers: Vec<String> = sets.iter().map(ToString::to_string).collect();
    format!("set{} {}", if sets.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
