//! One member by its path.

use std::ops::Range;

use rusqlite::Connection;

use super::ids::{key, split_key};
use super::members::{block_of, count_visible, overlap, visible};
use super::{Catalog, DirectoryId, Result, SetId, directories};
use crate::format::v1::block::names_of;
use crate::format::v1::{Kind, Member};

/// The member with this ordinal and its directory.
pub(super) fn member_at(
    connection: &Connection,
    set: SetId,
    ordinal: u64,
) -> Result<Option<(DirectoryId, Member)>> {
    let Some(block) = block_of(connection, set, ordinal)? else { return Ok(None) };
    let reader = block.reader()?;
    let found = reader.member((ordinal - block.first_ordinal) as usize);
    Ok(found.map(|(directory, member)| (DirectoryId(directory as i64), member)))
}

/// The ordinal of the first member with this name in the range.
fn position(connection: &Connection, set: SetId, range: &Range<u64>, name: &[u8]) -> Result<Option<u64>> {
    let mut found = None;
    each_name(connection, set, range, |ordinal, candidate| {
        if candidate == name {
            found = Some(ordinal);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Calls `visit` with each name in a range of ordinals until it returns false.
pub(super) fn each_name(
    connection: &Connection,
    set: SetId,
    range: &Range<u64>,
    mut visit: impl FnMut(u64, &[u8]) -> bool,
) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT key, tail FROM member_names WHERE key < ?3 AND key >=
           ifnull((SELECT max(key) FROM member_names WHERE key <= ?2 AND key >= ?1), ?2)
         ORDER BY key",
    )?;
    let mut rows = statement.query([key(set, 0), key(set, range.start), key(set, range.end)])?;
    while let Some(row) = rows.next()? {
        let (_, mut ordinal) = split_key(row.get(0)?);
        let tail = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        for name in names_of(tail)?.split_inclusive(|b| *b == 0) {
            if range.contains(&ordinal) && !visit(ordinal, name.strip_suffix(b"\0").unwrap_or(name)) {
                return Ok(());
            }
            ordinal += 1;
        }
    }
    Ok(())
}

impl Catalog {
    /// The visible ordinals of a directory of a set with everything below it; empty when the set has no such directory.
    pub fn subtree(&self, set: SetId, path: &[u8]) -> Result<Vec<Range<u64>>> {
        let connection = self.pool.get()?;
        let visible = visible(&connection, set)?;
        let Some(directory) = directories::by_path(&connection, path)? else { return Ok(Vec::new()) };
        let spans = directories::spans(&connection, set, directory)?;
        let below = spans.iter().map(|span| span.first..span.first + span.subtree);
        Ok(below
            .flat_map(|range| visible.iter().map(move |v| overlap(v, &range)).collect::<Vec<_>>())
            .filter(|range| !range.is_empty())
            .collect())
    }

    /// The committed member of a set with this stored path (no leading `/`): its ordinal and itself.
    pub fn lookup(&self, set: SetId, path: &[u8]) -> Result<Option<(u64, Member)>> {
        let connection = self.pool.get()?;
        let visible = visible(&connection, set)?;
        if let Some(directory) = directories::by_path(&connection, path)? {
            for span in directories::spans(&connection, set, directory)? {
                if span.own
                    && count_visible(&visible, &(span.first..span.first + 1)) == 1
                    && let Some((_, member)) = member_at(&connection, set, span.first)?
                {
                    return Ok(Some((span.first, member)));
                }
            }
        }
        let components: Vec<&[u8]> = directories::components(path).collect();
        let Some((name, parents)) = components.split_last() else { return Ok(None) };
        let mut at = DirectoryId::ROOT;
        for component in parents {
            match directories::child(&connection, at, component)? {
                Some(id) => at = id,
                None => return Ok(None),
            }
        }
        for span in directories::spans(&connection, set, at)? {
            let files = span.first + u64::from(span.own)..span.run().end;
            for range in visible.iter().map(|v| overlap(v, &files)) {
                if let Some(ordinal) = position(&connection, set, &range, name)?
                    && let Some((_, member)) = member_at(&connection, set, ordinal)?
                    && member.kind != Kind::Directory
                {
                    return Ok(Some((ordinal, member)));
                }
            }
        }
        Ok(None)
    }
}

/// Calls `visit` with the members that have these ordinals, which ascend; each block is read once.
pub(super) fn each_member(
    connection: &Connection,
    set: SetId,
    ordinals: &[u64],
    mut visit: impl FnMut(u64, DirectoryId, Member) -> Result<()>,
) -> Result<()> {
    let mut rest = ordinals;
    while let Some(&first) = rest.first() {
        let Some(block) = block_of(connection, set, first)? else {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        };
        let end = block.first_ordinal + u64::from(block.count);
        let (here, later) = rest.split_at(rest.partition_point(|o| *o < end).max(1));
        rest = later;
        let reader = block.reader()?;
        let mut members = reader.members();
        let mut at = block.first_ordinal;
        for ordinal in here {
            let found =
                members.skip_members(ordinal.saturating_sub(at) as usize).and_then(|()| members.next());
            at = ordinal + 1;
            if let Some((directory, member)) = found {
                visit(*ordinal, DirectoryId(directory as i64), member)?;
            }
        }
    }
    Ok(())
}
