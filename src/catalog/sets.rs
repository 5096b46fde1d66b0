//! Backup sets: what one run of a backup stored.

use rusqlite::{OptionalExtension, Row, params};

use super::ids::{Int, uint};
use super::{Catalog, CatalogError, Result, SetId, VolumeId};

/// How far a set got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SetState {
    /// Being written, or left so by a crash.
    Open = 0,
    /// All that was asked for is stored.
    Complete = 1,
    /// A crash, a failure or a cancel ended it; what is committed can be restored. After a rebuild also: its last part is not known.
    Interrupted = 2,
    /// Being deleted: no query shows it.
    Deleting = 3,
    /// After a rebuild: its end is known and complete, a part before it is missing. Complete as soon as that is entered.
    Incomplete = 4,
}

impl SetState {
    /// `open`, `complete`, ...
    pub fn as_str(self) -> &'static str {
        match self {
            SetState::Open => "open",
            SetState::Complete => "complete",
            SetState::Interrupted => "interrupted",
            SetState::Deleting => "deleting",
            SetState::Incomplete => "incomplete",
        }
    }

    fn from_number(number: u8) -> SetState {
        match number {
            0 => SetState::Open,
            1 => SetState::Complete,
            2 => SetState::Interrupted,
            4 => SetState::Incomplete,
            _ => SetState::Deleting,
        }
    }
}

/// What of its tree a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum SetKind {
    /// All of it.
    #[default]
    Full = 0,
    /// What changed since the newest complete set of its job.
    Incremental = 1,
    /// What changed since the newest full set of its job.
    Differential = 2,
}

impl SetKind {
    /// `full`, `incremental`, `differential`.
    pub fn as_str(self) -> &'static str {
        match self {
            SetKind::Full => "full",
            SetKind::Incremental => "incremental",
            SetKind::Differential => "differential",
        }
    }

    /// The inverse of [`SetKind::as_str`].
    pub fn from_name(name: &str) -> Option<SetKind> {
        [SetKind::Full, SetKind::Incremental, SetKind::Differential]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }

    fn from_number(number: u8) -> SetKind {
        match number {
            1 => SetKind::Incremental,
            2 => SetKind::Differential,
            _ => SetKind::Full,
        }
    }
}

/// A set to begin. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSet {
    /// Identity.
    pub uuid: String,
    /// Name of the job.
    pub job: String,
    /// Name of the machine.
    pub host: String,
    /// What was asked for.
    pub roots: Vec<Vec<u8>>,
    /// `none` or `zstd`.
    pub compression: String,
    /// Public age recipients; empty when not encrypted.
    pub recipients: Vec<String>,
    /// When it began.
    pub started: i64,
    /// Wildcards of what is left out.
    pub exclude: Vec<String>,
    /// Whether the walk stays on the file systems of the roots.
    pub one_file_system: bool,
    /// What of the tree it will hold.
    pub kind: SetKind,
    /// Identities of the sets that hold what is unchanged, the nearest first.
    pub bases: Vec<String>,
}

/// A set as the catalog knows it. Times are nanoseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSet {
    /// Id in this catalog.
    pub id: SetId,
    /// Identity.
    pub uuid: String,
    /// Name of the job.
    pub job: String,
    /// Name of the machine.
    pub host: String,
    /// What was asked for.
    pub roots: Vec<Vec<u8>>,
    /// How far it got.
    pub state: SetState,
    /// When it began.
    pub started: i64,
    /// When it ended. After a rebuild: when its last index was written.
    pub finished: Option<i64>,
    /// Committed members.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Ordinal of the next member to commit.
    pub committed: u64,
    /// Warnings.
    pub warnings: u64,
    /// `none` or `zstd`.
    pub compression: String,
    /// Public age recipients; empty when not encrypted.
    pub recipients: Vec<String>,
    /// Wildcards of what was left out.
    pub exclude: Vec<String>,
    /// Whether the walk stayed on the file systems of the roots.
    pub one_file_system: bool,
    /// What of the tree it holds.
    pub kind: SetKind,
    /// Identities of the sets that hold what was unchanged, the nearest first.
    pub bases: Vec<String>,
    /// Rows of what it saw; without any nothing can be built upon it.
    pub seen: u64,
}

const SELECT: &str = "SELECT s.id, s.uuid, s.job, s.host, s.roots, s.state, s.started, s.finished,
   ifnull(sum(p.members), 0), ifnull(sum(p.bytes), 0), ifnull(sum(p.directories), 0), s.committed_members, s.warnings,
   s.compression, s.recipients, s.exclude, s.one_file_system,
   s.kind, s.bases, s.committed_seen
 FROM backup_set s LEFT JOIN part p ON p.set_id = s.id AND p.loading = 0 WHERE s.state <> 3 AND";

pub(super) fn json<T: serde::de::DeserializeOwned>(index: usize, text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(e))
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<BackupSet> {
    let roots: Vec<String> = json(4, &row.get::<_, String>(4)?)?;
    Ok(BackupSet {
        id: row.get(0)?,
        uuid: row.get(1)?,
        job: row.get(2)?,
        host: row.get(3)?,
        roots: roots.iter().map(|r| unescape(r)).collect(),
        state: SetState::from_number(row.get(5)?),
        started: row.get(6)?,
        finished: row.get(7)?,
        members: uint(row, 8)?,
        bytes: uint(row, 9)?,
        directories: uint(row, 10)?,
        committed: uint(row, 11)?,
        warnings: uint(row, 12)?,
        compression: row.get(13)?,
        recipients: json(14, &row.get::<_, String>(14)?)?,
        exclude: json(15, &row.get::<_, String>(15)?)?,
        one_file_system: row.get(16)?,
        kind: SetKind::from_number(row.get(17)?),
        bases: json(18, &row.get::<_, String>(18)?)?,
        seen: uint(row, 19)?,
    })
}

/// Bytes as text: what is not UTF-8, controls and `%` as `%XX`.
pub(super) fn escape(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' || c.is_ascii_control() {
                let _ = write!(out, "%{:02X}", c as u32);
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The inverse of [`escape`]; what is not an escape stays as it is.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = match (first, tail) {
            (b'%', [a, b, ..]) => {
                char::from(*a).to_digit(16).zip(char::from(*b).to_digit(16)).map(|(a, b)| (a * 16 + b) as u8)
            }
            _ => None,
        };
        out.push(hex.unwrap_or(first));
        rest = if hex.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    out
}

pub(super) fn roots_json(roots: &[Vec<u8>]) -> Result<String> {
    Ok(serde_json::to_string(&roots.iter().map(|r| escape(r)).collect::<Vec<_>>())?)
}

impl Catalog {
    /// Begins a set: open, without parts.
    pub fn begin_set(&self, new: &NewSet) -> Result<SetId> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO backup_set
                   (uuid, job, host, roots, compression, recipients, state, started, exclude, one_file_system,
                    kind, bases)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11)",
                params![
                    new.uuid,
                    new.job,
                    new.host,
                    roots_json(&new.roots)?,
                    new.compression,
                    serde_json::to_string(&new.recipients)?,
                    new.started,
                    serde_json::to_string(&new.exclude)?,
                    new.one_file_system,
                    new.kind as u8,
                    serde_json::to_string(&new.bases)?
                ],
            )?;
            Ok(SetId(c.last_insert_rowid()))
        })
    }

    fn sets_where(&self, condition: &str, value: &dyn rusqlite::ToSql) -> Result<Vec<BackupSet>> {
        let reader = self.pool.get()?;
        let mut statement =
            reader.prepare_cached(&format!("{SELECT} {condition} GROUP BY s.id ORDER BY s.started, s.id"))?;
        Ok(statement.query_map([value], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The set with this id.
    pub fn set(&self, id: SetId) -> Result<BackupSet> {
        let missing = || CatalogError::NotFound { what: "set", name: id.to_string() };
        self.sets_where("s.id = ?1", &id)?.pop().ok_or_else(missing)
    }

    /// The set with this identity.
    pub fn set_by_uuid(&self, uuid: &str) -> Result<Option<BackupSet>> {
        Ok(self.sets_where("s.uuid = ?1", &uuid)?.pop())
    }

    /// All sets, oldest first: by their beginning, for a rebuild numbers them as it meets them.
    pub fn sets(&self) -> Result<Vec<BackupSet>> {
        self.sets_where("s.id > ?1", &0)
    }

    /// The sets that have a part on this volume.
    pub fn sets_on_volume(&self, volume: VolumeId) -> Result<Vec<BackupSet>> {
        self.sets_where("s.id IN (SELECT set_id FROM part WHERE volume_id = ?1)", &volume)
    }

    /// Ends a set. Its warnings stay as [`Catalog::set_warnings`] left them.
    pub fn finish_set(&self, id: SetId, state: SetState, finished: i64) -> Result<()> {
        let changed = self.durably(|c| {
            Ok(c.execute(
                "UPDATE backup_set SET state = ?2, finished = ?3 WHERE id = ?1 AND state <> 3",
                params![id, state as u8, finished],
            )?)
        })?;
        match changed {
            0 => Err(CatalogError::NotFound { what: "set", name: id.to_string() }),
            _ => Ok(()),
        }
    }

    /// Opens an interrupted set again: what nobody committed is removed, and it is as if it had never ended.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] where it is not there, or not interrupted.
    pub fn reopen_set(&self, id: SetId) -> Result<BackupSet> {
        self.drop_uncommitted(id)?;
        let changed = self.durably(|c| {
            Ok(c.execute(
                "UPDATE backup_set SET state = 0, finished = NULL WHERE id = ?1 AND state IN (0, 2)",
                [id],
            )?)
        })?;
        match changed {
            0 => Err(CatalogError::NotFound { what: "interrupted set", name: id.to_string() }),
            _ => self.set(id),
        }
    }

    /// Ends a set whose task failed: what is committed stays, the rest is removed.
    pub fn interrupt_set(&self, id: SetId, finished: i64) -> Result<()> {
        self.drop_uncommitted(id)?;
        self.finish_set(id, SetState::Interrupted, finished)
    }

    /// Says how many warnings the set has so far.
    pub fn set_warnings(&self, id: SetId, warnings: u64) -> Result<()> {
        self.durably(|c| {
            c.execute("UPDATE backup_set SET warnings = ?2 WHERE id = ?1", params![id, Int(warnings)])?;
            Ok(())
        })
    }
}

/// The sets that may be seen, newest first: by their beginning, for a rebuild numbers them as it meets them.
pub(super) fn newest_first(connection: &rusqlite::Connection) -> Result<Vec<SetId>> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM backup_set WHERE state <> 3 ORDER BY started DESC, id DESC")?;
    Ok(statement.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// Id and whether a set with this identity is there, in any state.
pub(super) fn id_by_uuid(connection: &rusqlite::Connection, uuid: &str) -> Result<Option<(SetId, SetState)>> {
    let mut statement = connection.prepare_cached("SELECT id, state FROM backup_set WHERE uuid = ?1")?;
    Ok(statement.query_row([uuid], |r| Ok((r.get(0)?, SetState::from_number(r.get(1)?)))).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_survive_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = escape(&bytes);
            prop_assert_eq!(unescape(&text), bytes);
        }
    }
}
