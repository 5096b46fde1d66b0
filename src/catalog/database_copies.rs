//! Copies of this catalog on tape.

use rusqlite::{OptionalExtension, Row, params};

use super::error::changed_one;
use super::ids::{Int, uint};
use super::text_enum::text_enum;
use super::{Catalog, CatalogError, DatabaseCopyId, Result, VolumeId};

text_enum! {
    /// How far a copy got.
    CopyStatus {
        /// A task writes it.
        Running = "running",
        /// It is on tape.
        Completed = "completed",
        /// It is not; the error says why.
        Failed = "failed",
    }
}

/// A copy of the catalog on tape. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseCopy {
    /// Id in this catalog.
    pub id: DatabaseCopyId,
    /// The volume it is on, while the catalog knows it.
    pub volume: Option<VolumeId>,
    /// Label of that volume.
    pub label: String,
    /// Identity of the backup set that it is.
    pub set: Option<String>,
    /// When the catalog was like this.
    pub taken: i64,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the file, hexadecimal.
    pub checksum: Option<String>,
    /// How far it got.
    pub status: CopyStatus,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub created: i64,
}

const SELECT: &str =
    "SELECT id, volume_id, label, set_uuid, taken, size, checksum, status, error, created FROM database_copy";

fn read(row: &Row<'_>) -> rusqlite::Result<DatabaseCopy> {
    Ok(DatabaseCopy {
        id: row.get(0)?,
        volume: row.get(1)?,
        label: row.get(2)?,
        set: row.get(3)?,
        taken: row.get(4)?,
        size: uint(row, 5)?,
        checksum: row.get(6)?,
        status: row.get(7)?,
        error: row.get(8)?,
        created: row.get(9)?,
    })
}

impl Catalog {
    /// Adds a copy that is about to be written.
    pub fn add_database_copy(
        &self,
        volume: Option<VolumeId>,
        label: &str,
        now: i64,
    ) -> Result<DatabaseCopyId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO database_copy (volume_id, label, taken, size, status, created) VALUES (?1, ?2, ?3, 0, ?4, ?3)",
                params![volume, label, now, CopyStatus::Running],
            )?;
            Ok(DatabaseCopyId(c.last_insert_rowid()))
        })
    }

    /// Writes everything but id and creation.
    pub fn update_database_copy(&self, copy: &DatabaseCopy) -> Result<()> {
        self.durably(|c| {
            let changed = c.execute(
                "UPDATE database_copy SET volume_id = ?2, label = ?3, set_uuid = ?4, taken = ?5, size = ?6, checksum = ?7,
                   status = ?8, error = ?9 WHERE id = ?1",
                params![
                    copy.id,
                    copy.volume,
                    copy.label,
                    copy.set,
                    copy.taken,
                    Int(copy.size),
                    copy.checksum,
                    copy.status,
                    copy.error
                ],
            )?;
            changed_one(changed, "database copy", copy.id)
        })
    }

    /// The copy with this id.
    pub fn database_copy(&self, id: DatabaseCopyId) -> Result<DatabaseCopy> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "database copy", name: id.to_string() })
    }

    /// All copies, newest first.
    pub fn database_copies(&self) -> Result<Vec<DatabaseCopy>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY taken DESC, id DESC"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// A consistent copy of the whole catalog as of now, in one new file that no log belongs to. Readers and the
    /// writer go on meanwhile.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn snapshot_to(&self, path: &std::path::Path) -> Result<()> {
        let target = path.to_str().ok_or_else(|| CatalogError::Name(path.to_string_lossy().into_owned()))?;
        let reader = self.readers()?;
        // The connection writes to no table of this catalog; VACUUM INTO counts as writing.
        reader.pragma_update(None, "query_only", false)?;
        reader.execute("VACUUM INTO ?1", [target])?;
        Ok(())
    }
}
