//! Members in the order of the walk, and the paths of directories.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::ids::{key, split_key};
use super::pool::Reader;
use super::{Catalog, DirectoryId, Part, Result, SetId, directories, parts};
use crate::format::v1::Member;
use crate::format::v1::block::BlockReader;

/// Paths a resolver keeps before it forgets all of them.
const CACHED_PATHS: usize = 65_536;

/// One block as the catalog keeps it.
#[derive(Debug)]
pub(super) struct StoredBlock {
    pub(super) first_ordinal: u64,
    pub(super) count: u32,
    pub(super) body: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl StoredBlock {
    pub(super) fn reader(&self) -> Result<BlockReader<'_>> {
        Ok(BlockReader::from_parts(&self.body, &self.tail)?)
    }
}

const BLOCK: &str =
    "SELECT b.key, b.count, b.body, n.tail FROM member_block b JOIN member_names n ON n.key = b.key WHERE";

fn stored(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredBlock> {
    Ok(StoredBlock {
        first_ordinal: split_key(row.get(0)?).1,
        count: row.get(1)?,
        body: row.get(2)?,
        tail: row.get(3)?,
    })
}

/// The first block of a set that begins in this range.
pub(super) fn next_block(
    connection: &Connection,
    set: SetId,
    ordinals: &Range<u64>,
) -> Result<Option<StoredBlock>> {
    let sql = format!("{BLOCK} b.key >= ?1 AND b.key < ?2 ORDER BY b.key LIMIT 1");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([key(set, ordinals.start), key(set, ordinals.end)], stored).optional()?)
}

/// The block of a set that holds this ordinal, committed or not.
pub(super) fn block_of(connection: &Connection, set: SetId, ordinal: u64) -> Result<Option<StoredBlock>> {
    let sql = format!("{BLOCK} b.key <= ?1 AND b.key >= ?2 ORDER BY b.key DESC LIMIT 1");
    let mut statement = connection.prepare_cached(&sql)?;
    let block = statement.query_row([key(set, ordinal), key(set, 0)], stored).optional()?;
    Ok(block.filter(|b| ordinal < b.first_ordinal + u64::from(b.count)))
}

/// Where the visible members of a set are: the ordinals of its parts.
pub(super) fn visible(connection: &Connection, set: SetId) -> Result<Vec<Range<u64>>> {
    Ok(parts::of_set(connection, set)?.iter().map(Part::ordinals).filter(|r| !r.is_empty()).collect())
}

/// The ordinals that lie in both.
pub(super) fn overlap(a: &Range<u64>, b: &Range<u64>) -> Range<u64> {
    let start = a.start.max(b.start);
    start..a.end.min(b.end).max(start)
}

/// How many of these ordinals are visible.
pub(super) fn count_visible(visible: &[Range<u64>], ordinals: &Range<u64>) -> u64 {
    visible.iter().map(|v| overlap(v, ordinals)).map(|r| r.end - r.start).sum()
}

/// Committed members of a set in order, block by block.
pub struct MemberRows {
    connection: Reader,
    set: SetId,
    /// What is still to come, last first.
    ranges: Vec<Range<u64>>,
    rows: std::vec::IntoIter<(u64, DirectoryId, Member)>,
}

impl MemberRows {
    fn fill(&mut self) -> Result<bool> {
        let Some(range) = self.ranges.pop() else { return Ok(false) };
        let block = match block_of(&self.connection, self.set, range.start)? {
            Some(block) => Some(block),
            None => next_block(&self.connection, self.set, &range)?,
        };
        let Some(block) = block else { return Ok(true) };
        let reader = block.reader()?;
        let end = block.first_ordinal + u64::from(block.count);
        let rows: Vec<_> = (block.first_ordinal..)
            .zip(reader.members())
            .filter(|(ordinal, _)| range.contains(ordinal))
            .map(|(ordinal, (directory, member))| (ordinal, DirectoryId(directory as i64), member))
            .collect();
        self.rows = rows.into_iter();
        if end < range.end {
            self.ranges.push(end..range.end);
        }
        Ok(true)
    }
}

impl Iterator for MemberRows {
    /// Ordinal, directory, member; a directory's own member belongs to itself.
    type Item = Result<(u64, DirectoryId, Member)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.rows.next() {
                return Some(Ok(row));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.ranges.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Paths of directories, remembered; memory is bounded.
#[derive(Debug)]
pub struct PathResolver {
    connection: Reader,
    cache: HashMap<DirectoryId, Arc<[u8]>>,
}

impl PathResolver {
    /// The stored path of a directory, no leading `/`; empty for the root.
    pub fn path_of(&mut self, directory: DirectoryId) -> Result<Arc<[u8]>> {
        resolve(&self.connection, &mut self.cache, directory)
    }

    /// The stored path of a member.
    pub fn path_of_member(&mut self, directory: DirectoryId, member: &Member) -> Result<Vec<u8>> {
        let directory = self.path_of(directory)?;
        Ok(join(&directory, member))
    }
}

/// A member's path from its directory's.
pub(super) fn join(directory: &[u8], member: &Member) -> Vec<u8> {
    if member.kind == crate::format::v1::Kind::Directory {
        return directory.to_vec();
    }
    let mut path = Vec::with_capacity(directory.len() + member.name.len() + 1);
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(&member.name);
    path
}

pub(super) type PathCache = HashMap<DirectoryId, Arc<[u8]>>;

pub(super) fn resolve(
    connection: &Connection,
    cache: &mut PathCache,
    directory: DirectoryId,
) -> Result<Arc<[u8]>> {
    let mut missing = Vec::new();
    let mut at = directory;
    let mut path: Arc<[u8]> = loop {
        if at == DirectoryId::ROOT {
            break Arc::from(&[][..]);
        }
        if let Some(known) = cache.get(&at) {
            break known.clone();
        }
        // Ids fall towards the root, so this ends.
        match directories::parent_and_name(connection, at)? {
            Some((parent, name)) if parent < at => {
                missing.push((at, name));
                at = parent;
            }
            _ => break Arc::from(&b"?"[..]),
        }
    };
    if cache.len() + missing.len() > CACHED_PATHS {
        cache.clear();
    }
    for (id, name) in missing.into_iter().rev() {
        let mut longer = Vec::with_capacity(path.len() + name.len() + 1);
        longer.extend_from_slice(&path);
        if !longer.is_empty() {
            longer.push(b'/');
        }
        longer.extend_from_slice(&name);
        path = longer.into();
        cache.insert(id, path.clone());
    }
    Ok(path)
}

impl Catalog {
    /// The committed members of a set with these ordinals, in order; memory is bounded by one block.
    pub fn members(&self, set: SetId, ordinals: Range<u64>) -> Result<MemberRows> {
        let connection = self.pool.get()?;
        let mut ranges: Vec<_> = visible(&connection, set)?
            .iter()
            .map(|v| overlap(v, &ordinals))
            .filter(|r| !r.is_empty())
            .collect();
        ranges.sort_by_key(|r| std::cmp::Reverse(r.start));
        Ok(MemberRows { connection, set, ranges, rows: Vec::new().into_iter() })
    }

    /// A resolver with a connection of its own.
    pub fn paths(&self) -> Result<PathResolver> {
        Ok(PathResolver { connection: self.pool.get()?, cache: HashMap::new() })
    }

    /// The stored path of a directory. For many, use [`Catalog::paths`].
    pub fn path_of(&self, directory: DirectoryId) -> Result<Arc<[u8]>> {
        self.paths()?.path_of(directory)
    }
}
