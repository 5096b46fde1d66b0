//! Pieces of split members on earlier volumes.

use std::ops::Range;

use rusqlite::{Connection, Row, params};

use super::ids::{Int, uint};
use super::{Catalog, Result, SetId};

/// A piece of a member that a volume's end split; the last piece is where the member's own row points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// The set.
    pub set: SetId,
    /// The member.
    pub ordinal: u64,
    /// The archive file that holds the piece.
    pub archive: u32,
    /// Where its first header begins in that tar stream.
    pub stream_offset: u64,
    /// First byte of stored data the piece holds.
    pub data_offset: u64,
    /// Bytes of stored data.
    pub data_length: u64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Fragment> {
    Ok(Fragment {
        set: row.get(0)?,
        ordinal: uint(row, 1)?,
        archive: row.get(2)?,
        stream_offset: uint(row, 3)?,
        data_offset: uint(row, 4)?,
        data_length: uint(row, 5)?,
    })
}

pub(super) fn insert(connection: &Connection, f: &Fragment) -> Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT OR REPLACE INTO fragment VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    statement.execute(params![
        f.set,
        Int(f.ordinal),
        f.archive,
        Int(f.stream_offset),
        Int(f.data_offset),
        Int(f.data_length)
    ])?;
    Ok(())
}

/// The pieces of members with these ordinals, in order.
pub(super) fn within(connection: &Connection, set: SetId, ordinals: Range<u64>) -> Result<Vec<Fragment>> {
    let mut statement = connection.prepare_cached(
        "SELECT set_id, ordinal, archive, stream_offset, data_offset, data_length FROM fragment
         WHERE set_id = ?1 AND ordinal >= ?2 AND ordinal < ?3 ORDER BY ordinal, archive",
    )?;
    Ok(statement
        .query_map(params![set, Int(ordinals.start), Int(ordinals.end)], read)?
        .collect::<rusqlite::Result<_>>()?)
}

impl Catalog {
    /// The pieces of one member on earlier volumes, in order; empty for a member that is whole.
    pub fn fragments_of(&self, set: SetId, ordinal: u64) -> Result<Vec<Fragment>> {
        within(&*self.pool.get()?, set, ordinal..ordinal.saturating_add(1))
    }
}
