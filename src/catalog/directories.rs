//! Directories, shared by all sets, and where the members below one stand in a set.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, params};

use super::ids::{Int, uint};
use super::open::Writer;
use super::{Catalog, CatalogError, DirectoryId, Result, SetId};

/// One unbroken stretch of the walk below a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) directory: DirectoryId,
    /// First ordinal of its run.
    pub(super) first: u64,
    /// Whether the run begins with the directory's own member.
    pub(super) own: bool,
    /// Members of the run.
    pub(super) direct: u64,
    /// Members of the run and of everything below.
    pub(super) subtree: u64,
}

impl Span {
    /// Ordinals of the run.
    pub(super) fn run(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.direct)
    }

    /// Ordinals of everything below, the directory's own member included.
    pub(super) fn below(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.subtree)
    }
}

/// Reads columns `directory_id, first_ordinal, own, direct, subtree` from `at` on.
pub(super) fn span(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Span> {
    Ok(Span {
        directory: row.get(at)?,
        first: uint(row, at + 1)?,
        own: row.get(at + 2)?,
        direct: uint(row, at + 3)?,
        subtree: uint(row, at + 4)?,
    })
}

/// The stretches of a directory in a set, in order.
pub(super) fn spans(connection: &Connection, set: SetId, directory: DirectoryId) -> Result<Vec<Span>> {
    let mut statement = connection.prepare_cached(
        "SELECT directory_id, first_ordinal, own, direct, subtree FROM set_directory
         WHERE set_id = ?1 AND directory_id = ?2 ORDER BY first_ordinal",
    )?;
    Ok(statement.query_map(params![set, directory], |r| span(r, 0))?.collect::<rusqlite::Result<_>>()?)
}

/// Writes a stretch; one that is known only grows.
pub(super) fn put_span(connection: &Connection, set: SetId, span: &Span) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO set_directory (set_id, directory_id, first_ordinal, own, direct, subtree) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT DO UPDATE SET own = max(own, excluded.own), direct = max(direct, excluded.direct),
           subtree = max(subtree, excluded.subtree)",
    )?;
    statement.execute(params![
        set,
        span.directory,
        Int(span.first),
        span.own,
        Int(span.direct),
        Int(span.subtree)
    ])?;
    Ok(())
}

/// The directory with this name in `parent`.
pub(super) fn child(
    connection: &Connection,
    parent: DirectoryId,
    name: &[u8],
) -> Result<Option<DirectoryId>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM directory WHERE parent = ?1 AND name = ?2")?;
    Ok(statement.query_row(params![parent, name], |r| r.get(0)).optional()?)
}

/// The directory with this stored path.
pub(super) fn by_path(connection: &Connection, path: &[u8]) -> Result<Option<DirectoryId>> {
    let mut at = DirectoryId::ROOT;
    for component in components(path) {
        match child(connection, at, component)? {
            Some(id) => at = id,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The components of a path; slashes at its ends and doubled ones count for nothing.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty())
}

/// Parent and name of a directory; `None` for the root and for ids without a row.
pub(super) fn parent_and_name(
    connection: &Connection,
    directory: DirectoryId,
) -> Result<Option<(DirectoryId, Vec<u8>)>> {
    let mut statement = connection.prepare_cached("SELECT parent, name FROM directory WHERE id = ?1")?;
    Ok(statement.query_row([directory], |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
}

/// Whether `name` can be one component of a path.
pub(super) fn check_name(name: &[u8]) -> Result<()> {
    if name.is_empty() || name == b"." || name == b".." || memchr::memchr2(0, b'/', name).is_some() {
        return Err(CatalogError::Name(super::sets::escape(name)));
    }
    Ok(())
}

impl Writer {
    /// The id of a directory. A new one gets its row with the next transaction that calls [`Writer::write_directories`].
    pub(super) fn directory(&mut self, parent: DirectoryId, name: &[u8]) -> Result<DirectoryId> {
        let new = (parent.0, Box::from(name));
        if let Some(id) = self.new_directories.get(&new) {
            return Ok(DirectoryId(*id));
        }
        // A parent without a row has no children with one.
        if parent.0 < self.first_new
            && let Some(id) = child(&self.connection, parent, name)?
        {
            return Ok(id);
        }
        let id = self.next_directory;
        self.next_directory += 1;
        self.new_directories.insert(new, id);
        Ok(DirectoryId(id))
    }

    /// Writes the rows of new directories in a transaction of their own.
    ///
    /// # Errors
    /// [`CatalogError::OtherWriter`] where another process has given out the same ids.
    pub(super) fn write_directories(&mut self) -> Result<()> {
        if self.new_directories.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<_> =
            self.new_directories.iter().map(|((parent, name), id)| (*id, *parent, name)).collect();
        rows.sort_unstable_by_key(|row| row.0);
        let first = self.first_new;
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        let transaction = self.connection.unchecked_transaction()?;
        let next: i64 =
            transaction.query_row("SELECT ifnull(max(id), 0) + 1 FROM directory", [], |r| r.get(0))?;
        if next != first {
            return Err(CatalogError::OtherWriter);
        }
        {
            let mut statement =
                transaction.prepare_cached("INSERT INTO directory (id, parent, name) VALUES (?1, ?2, ?3)")?;
            for (id, parent, name) in rows {
                statement.execute(params![id, parent, name])?;
            }
        }
        transaction.commit()?;
        self.first_new = self.next_directory;
        self.new_directories.clear();
        Ok(())
    }
}

impl Catalog {
    /// The directory with this stored path (no leading `/`), if any set has it.
    pub fn directory(&self, path: &[u8]) -> Result<Option<DirectoryId>> {
        by_path(&*self.pool.get()?, path)
    }
}
