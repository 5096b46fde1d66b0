//! Taking members out, in slices: readers are never blocked, and the writer is free between two slices.

use std::ops::Range;

use rusqlite::{OptionalExtension, params};

use super::ids::{MAX_ORDINAL, key};
use super::{Catalog, CatalogError, Result, SetId};

/// Blocks that one transaction deletes.
const SLICE_BLOCKS: i64 = 128;
/// Rows of `set_directory` that one transaction deletes.
const SLICE_ROWS: i64 = 20_000;

impl Catalog {
    /// Numbers of the sets that hold less than their tree because this one holds the rest, oldest first.
    pub fn dependents(&self, set: &super::BackupSet) -> Result<Vec<SetId>> {
        Ok(self
            .sets()?
            .into_iter()
            .filter(|other| other.bases.contains(&set.uuid))
            .map(|other| other.id)
            .collect())
    }

    /// Deletes a set. It is out of every query's sight at once; a crash in between is made up for by [`Catalog::recover`].
    ///
    /// # Errors
    /// [`CatalogError::Depended`] where increments hang on it.
    pub fn delete_set(&self, set: SetId) -> Result<()> {
        let by = self.dependents(&self.set(set)?)?;
        if !by.is_empty() {
            return Err(CatalogError::Depended { set, by });
        }
        self.remove_set(set)
    }

    /// The same, whatever hangs on it.
    pub(super) fn remove_set(&self, set: SetId) -> Result<()> {
        self.durably(|c| match c.execute("UPDATE backup_set SET state = 3 WHERE id = ?1", [set])? {
            0 => Err(CatalogError::NotFound { what: "set", name: set.to_string() }),
            _ => Ok(()),
        })?;
        self.finish_delete(set)
    }

    pub(super) fn finish_delete(&self, set: SetId) -> Result<()> {
        self.remove_blocks(set, 0..MAX_ORDINAL)?;
        loop {
            let gone = self.lock().transaction(false, |c| {
                Ok(c.execute(
                    "DELETE FROM set_directory WHERE set_id = ?1 AND (directory_id, first_ordinal) IN
                       (SELECT directory_id, first_ordinal FROM set_directory WHERE set_id = ?1 LIMIT ?2)",
                    params![set, SLICE_ROWS],
                )?)
            })?;
            if gone == 0 {
                break;
            }
        }
        self.remove_seen(set, 0)?;
        self.durably(|c| {
            for table in ["fragment", "archive", "part"] {
                c.execute(&format!("DELETE FROM {table} WHERE set_id = ?1"), [set])?;
            }
            c.execute("DELETE FROM backup_set WHERE id = ?1", [set])?;
            Ok(())
        })
    }

    /// Removes blocks and segments that begin in this range of ordinals.
    pub(super) fn remove_blocks(&self, set: SetId, ordinals: Range<u64>) -> Result<()> {
        let (from, to) = (key(set, ordinals.start), key(set, ordinals.end));
        self.lock().transaction(false, |c| {
            c.execute(
                "DELETE FROM signature WHERE key >> 8 IN (SELECT id FROM segment WHERE key >= ?1 AND key < ?2)
                   AND key >= (SELECT min(id) << 8 FROM segment WHERE key >= ?1 AND key < ?2)",
                [from, to],
            )?;
            c.execute("DELETE FROM segment WHERE key >= ?1 AND key < ?2", [from, to])?;
            Ok(())
        })?;
        loop {
            let more = self.lock().transaction(false, |c| {
                let last: Option<i64> = c
                    .query_row(
                        "SELECT key FROM member_block WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT 1 OFFSET ?3",
                        params![from, to, SLICE_BLOCKS],
                        |r| r.get(0),
                    )
                    .optional()?;
                let until = last.unwrap_or(to);
                c.execute("DELETE FROM member_block WHERE key >= ?1 AND key < ?2", [from, until])?;
                c.execute("DELETE FROM member_names WHERE key >= ?1 AND key < ?2", [from, until])?;
                Ok(last.is_some())
            })?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Removes what a writer left behind the committed members of a set; returns the members removed.
    pub(super) fn remove_uncommitted(&self, set: SetId) -> Result<u64> {
        let (committed, dropped): (i64, i64) = {
            let writer = self.lock();
            let committed: i64 = writer.connection.query_row(
                "SELECT committed_members FROM backup_set WHERE id = ?1",
                [set],
                |r| r.get(0),
            )?;
            let dropped = writer.connection.query_row(
                "SELECT ifnull(sum(count), 0) FROM member_block WHERE key >= ?1 AND key < ?2",
                [key(set, committed as u64), key(set, MAX_ORDINAL)],
                |r| r.get(0),
            )?;
            (committed, dropped)
        };
        let segments: i64 = self.lock().connection.query_row(
            "SELECT count(*) FROM segment WHERE key >= ?1 AND key < ?2",
            [key(set, committed as u64), key(set, MAX_ORDINAL)],
            |r| r.get(0),
        )?;
        if dropped > 0 || segments > 0 {
            self.remove_blocks(set, committed as u64..MAX_ORDINAL)?;
        }
        self.lock().transaction(false, |c| {
            c.execute(
                "DELETE FROM set_directory WHERE set_id = ?1 AND first_ordinal >= ?2",
                params![set, committed],
            )?;
            c.execute(
                "UPDATE set_directory SET subtree = ?2 - first_ordinal, direct = min(direct, ?2 - first_ordinal)
                 WHERE set_id = ?1 AND first_ordinal + subtree > ?2",
                params![set, committed],
            )?;
            Ok(())
        })?;
        let seen: i64 = self.lock().connection.query_row(
            "SELECT committed_seen FROM backup_set WHERE id = ?1",
            [set],
            |r| r.get(0),
        )?;
        self.remove_seen(set, seen as u64)?;
        Ok(dropped as u64)
    }

    /// Removes what a set saw, from this number on.
    pub(super) fn remove_seen(&self, set: SetId, from: u64) -> Result<()> {
        loop {
            let gone = self.lock().transaction(false, |c| {
                Ok(c.execute(
                    "DELETE FROM seen WHERE key IN (SELECT key FROM seen WHERE key >= ?1 AND key < ?2 LIMIT ?3)",
                    params![key(set, from), key(set, MAX_ORDINAL), SLICE_ROWS],
                )?)
            })?;
            if gone == 0 {
                return Ok(());
            }
        }
    }
}
