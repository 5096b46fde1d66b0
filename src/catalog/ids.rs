//! Newtypes for the catalog's ids, and the key of a block.

use rusqlite::types::{FromSql, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                self.0.to_sql()
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                i64::column_result(value).map($name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A volume in this catalog; the uuid is its identity beyond it.
    VolumeId
}
id! {
    /// A backup set in this catalog; the uuid is its identity beyond it.
    SetId
}
id! {
    /// A task of this catalog; never used again.
    TaskId
}
id! {
    /// An event of this catalog; rises, and is never used again.
    EventId
}
id! {
    /// A cartridge in this catalog, whatever volume it holds.
    CartridgeId
}
id! {
    /// A directory, shared by all sets of this catalog; 0 is the root.
    DirectoryId
}

id! {
    /// A pool of volumes.
    PoolId
}
id! {
    /// Something that can be backed up.
    SourceId
}
id! {
    /// A backup job.
    JobId
}
id! {
    /// A tape drive.
    DriveId
}
id! {
    /// A medium changer and what it serves.
    LibraryId
}
id! {
    /// An element of a library.
    SlotId
}
id! {
    /// An encryption key.
    KeyId
}
id! {
    /// A copy of the catalog on tape.
    DatabaseCopyId
}

impl DirectoryId {
    /// The root, which every path begins at.
    pub const ROOT: DirectoryId = DirectoryId(0);
}

const ORDINAL_BITS: u32 = 40;

/// Ordinals are below this.
pub(super) const MAX_ORDINAL: u64 = 1 << ORDINAL_BITS;

/// The key of the block or segment of `set` that begins with `ordinal`.
pub(super) fn key(set: SetId, ordinal: u64) -> i64 {
    (set.0 << ORDINAL_BITS) | ordinal.min(MAX_ORDINAL - 1) as i64
}

/// The inverse of [`key`].
pub(super) fn split_key(key: i64) -> (SetId, u64) {
    (SetId(key >> ORDINAL_BITS), key as u64 & (MAX_ORDINAL - 1))
}

/// An unsigned number in a statement; SQLite's integers are signed, so the largest do not fit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Int(pub(super) u64);

impl ToSql for Int {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let signed =
            i64::try_from(self.0).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
        Ok(ToSqlOutput::from(signed))
    }
}

impl FromSql for Int {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let signed = i64::column_result(value)?;
        u64::try_from(signed).map(Int).map_err(|_| rusqlite::types::FromSqlError::OutOfRange(signed))
    }
}

/// The unsigned number in a column.
pub(super) fn uint(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, Int>(column).map(|int| int.0)
}

/// The unsigned number in a column that may be NULL.
pub(super) fn optional_uint(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<Int>>(column).map(|int| int.map(|int| int.0))
}
