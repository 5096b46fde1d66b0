//! Sources: what can be backed up.

use rusqlite::{OptionalExtension, Row, params};

use super::error::{changed_one, unique};
use super::text_enum::text_enum;
use super::{Catalog, CatalogError, Result, SourceId};

text_enum! {
    /// Where a source's files are. All are read through the file system.
    SourceKind {
        /// On this machine.
        Local = "local",
        /// On an NFS mount.
        Nfs = "nfs",
        /// On an SMB mount.
        Smb = "smb",
    }
}

/// A source to add. Its time is nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSource {
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub kind: SourceKind,
    /// The directory or file.
    pub path: String,
    /// Patterns of files to take; all when empty.
    pub include: Vec<String>,
    /// Patterns of files and directories to leave out.
    pub exclude: Vec<String>,
    /// Whether other file systems mounted below are left out.
    pub one_file_system: bool,
    /// When it is added.
    pub created: i64,
}

/// A source. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Id in this catalog.
    pub id: SourceId,
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub kind: SourceKind,
    /// The directory or file.
    pub path: String,
    /// Patterns of files to take; all when empty.
    pub include: Vec<String>,
    /// Patterns of files and directories to leave out.
    pub exclude: Vec<String>,
    /// Whether other file systems mounted below are left out.
    pub one_file_system: bool,
    /// When it was added.
    pub created: i64,
    /// When it was changed.
    pub updated: i64,
}

const SELECT: &str =
    "SELECT id, name, kind, path, include, exclude, one_file_system, created, updated FROM source";

fn read(row: &Row<'_>) -> rusqlite::Result<Source> {
    Ok(Source {
        id: row.get(0)?,
        name: row.get(1)?,
        kind: row.get(2)?,
        path: row.get(3)?,
        include: super::sets::json(4, &row.get::<_, String>(4)?)?,
        exclude: super::sets::json(5, &row.get::<_, String>(5)?)?,
        one_file_system: row.get(6)?,
        created: row.get(7)?,
        updated: row.get(8)?,
    })
}

impl Catalog {
    /// Adds a source.
    ///
    /// # Errors
    /// [`CatalogError::Exists`].
    pub fn add_source(&self, new: &NewSource) -> Result<SourceId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO source (name, kind, path, include, exclude, one_file_system, created, updated)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                params![
                    new.name,
                    new.kind,
                    new.path,
                    serde_json::to_string(&new.include)?,
                    serde_json::to_string(&new.exclude)?,
                    new.one_file_system,
                    new.created
                ],
            )
            .map_err(unique("source", &new.name))?;
            Ok(SourceId(c.last_insert_rowid()))
        })
    }

    /// The source with this id.
    pub fn source(&self, id: SourceId) -> Result<Source> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found = statement.query_row([id], read).optional()?;
        found.ok_or_else(|| CatalogError::NotFound { what: "source", name: id.to_string() })
    }

    /// The source with this name.
    pub fn source_by_name(&self, name: &str) -> Result<Option<Source>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} WHERE name = ?1"))?;
        Ok(statement.query_row([name], read).optional()?)
    }

    /// All sources, in the order they were added.
    pub fn sources(&self) -> Result<Vec<Source>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
        Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Writes everything but id and creation.
    ///
    /// # Errors
    /// [`CatalogError::Exists`], [`CatalogError::NotFound`].
    pub fn update_source(&self, source: &Source) -> Result<()> {
        self.durably(|c| {
            let changed = c
                .execute(
                    "UPDATE source SET name = ?2, kind = ?3, path = ?4, include = ?5, exclude = ?6,
                       one_file_system = ?7, updated = ?8 WHERE id = ?1",
                    params![
                        source.id,
                        source.name,
                        source.kind,
                        source.path,
                        serde_json::to_string(&source.include)?,
                        serde_json::to_string(&source.exclude)?,
                        source.one_file_system,
                        source.updated
                    ],
                )
                .map_err(unique("source", &source.name))?;
            changed_one(changed, "source", source.id)
        })
    }

    /// Forgets a source.
    ///
    /// # Errors
    /// [`CatalogError::InUse`] while jobs back it up; [`CatalogError::NotFound`].
    pub fn remove_source(&self, id: SourceId) -> Result<()> {
        self.durably(|c| {
            let jobs: i64 =
                c.query_row("SELECT count(*) FROM job WHERE source_id = ?1", [id], |row| row.get(0))?;
            if jobs > 0 {
                let by = format!("{jobs} jobs back it up; delete them or give them another source first");
                return Err(CatalogError::InUse { what: "source", name: id.to_string(), by });
            }
            changed_one(c.execute("DELETE FROM source WHERE id = ?1", [id])?, "source", id)
        })
    }
}
