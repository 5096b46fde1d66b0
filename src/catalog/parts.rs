//! Parts: what of a set lies on one volume.

use std::ops::Range;

use rusqlite::{Connection, Row, params};

use super::ids::{Int, optional_uint, uint};
use super::{Catalog, CatalogError, Result, SetId, VolumeId};

/// A part to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewPart {
    /// The set.
    pub set: SetId,
    /// Number in the set, from 1.
    pub number: u32,
    /// The volume.
    pub volume: VolumeId,
    /// Ordinal of its first member.
    pub first_ordinal: u64,
}

/// A part as the catalog knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The set.
    pub set: SetId,
    /// Number in the set, from 1.
    pub number: u32,
    /// The volume.
    pub volume: VolumeId,
    /// Ordinal of its first member.
    pub first_ordinal: u64,
    /// Committed members.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Directories among them.
    pub directories: u64,
    /// Tape file number of its index; `None` while none is written.
    pub index_file: Option<u64>,
    /// Logical block of the index's first record.
    pub index_block: Option<u64>,
}

impl Part {
    /// Ordinals of its members.
    pub fn ordinals(&self) -> Range<u64> {
        self.first_ordinal..self.first_ordinal + self.members
    }
}

const SELECT: &str =
    "SELECT set_id, number, volume_id, first_ordinal, members, bytes, directories, index_file, index_block
  FROM part WHERE loading = 0 AND set_id IN (SELECT id FROM backup_set WHERE state <> 3) AND";

/// Where a part's index stands, and the volume behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartEnd {
    /// Tape file of the index.
    pub index_file: u64,
    /// Its first logical block.
    pub index_block: u64,
    /// Its length in bytes.
    pub index_bytes: u64,
    /// Logical block behind the filemark.
    pub end_block: u64,
    /// Number of the tape file that begins there.
    pub end_file: u64,
    /// MAM volume change reference, where the drive has it.
    pub change_reference: Option<u32>,
    /// Nanoseconds since the epoch.
    pub written: i64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Part> {
    Ok(Part {
        set: row.get(0)?,
        number: row.get(1)?,
        volume: row.get(2)?,
        first_ordinal: uint(row, 3)?,
        members: uint(row, 4)?,
        bytes: uint(row, 5)?,
        directories: uint(row, 6)?,
        index_file: optional_uint(row, 7)?,
        index_block: optional_uint(row, 8)?,
    })
}

/// The parts of a set that may be seen, in order.
pub(super) fn of_set(connection: &Connection, set: SetId) -> Result<Vec<Part>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} set_id = ?1 ORDER BY number"))?;
    Ok(statement.query_map([set], read)?.collect::<rusqlite::Result<_>>()?)
}

/// Numbers of the parts that are missing before the last that is known.
pub(super) fn missing(connection: &Connection, set: SetId) -> Result<Vec<u32>> {
    Ok(gaps(&of_set(connection, set)?))
}

/// Numbers missing between 1 and the last of `parts`, which ascend, and those of parts that end before the next begins. A
/// number from tape can be any: 100 gaps are named.
fn gaps(parts: &[Part]) -> Vec<u32> {
    let (mut expected, mut end) = (1, 0);
    let mut missing = Vec::new();
    for part in parts {
        let before = expected - u32::from(part.number == expected && part.first_ordinal > end);
        missing.extend((before.max(1)..part.number).take(100 - missing.len().min(100)));
        expected = part.number.saturating_add(1);
        end = part.ordinals().end;
    }
    missing
}

/// Says where the index of a part stands: the part is closed.
pub(super) fn locate_index(
    connection: &Connection,
    set: SetId,
    number: u32,
    file: u64,
    block: u64,
) -> Result<()> {
    let changed = connection.execute(
        "UPDATE part SET index_file = ?3, index_block = ?4 WHERE set_id = ?1 AND number = ?2",
        params![set, number, Int(file), Int(block)],
    )?;
    match changed {
        0 => Err(CatalogError::NotFound { what: "part", name: format!("{number} of set {set}") }),
        _ => Ok(()),
    }
}

impl Catalog {
    /// Begins a part.
    pub fn begin_part(&self, new: &NewPart) -> Result<()> {
        self.durably(|c| {
            c.execute(
                "INSERT INTO part (set_id, number, volume_id, first_ordinal) VALUES (?1, ?2, ?3, ?4)",
                params![new.set, new.number, new.volume, Int(new.first_ordinal)],
            )?;
            c.execute("UPDATE volume SET write_count = write_count + 1 WHERE id = ?1", [new.volume])?;
            Ok(())
        })
    }

    /// Closes a part: its index stands on tape, and the volume ends behind it. One transaction, on the disk when this
    /// returns.
    pub fn close_part(&self, set: SetId, number: u32, end: &PartEnd) -> Result<()> {
        self.durably(|c| {
            c.execute(
                "UPDATE volume SET end_block = ?3, end_file = ?4, change_reference = ?5, used = used + ?6,
                   last_written = ?7, status = CASE status WHEN 0 THEN 1 ELSE status END
                 WHERE id = (SELECT volume_id FROM part WHERE set_id = ?1 AND number = ?2)",
                params![
                    set,
                    number,
                    Int(end.end_block),
                    Int(end.end_file),
                    end.change_reference,
                    Int(end.index_bytes),
                    end.written
                ],
            )?;
            locate_index(c, set, number, end.index_file, end.index_block)
        })
    }

    /// The parts of a set, in order.
    pub fn parts_of(&self, set: SetId) -> Result<Vec<Part>> {
        of_set(&*self.pool.get()?, set)
    }

    /// Numbers of the parts of a set that are missing before the last that is known: their volumes were not read by a
    /// rebuild. At most 100.
    pub fn missing_parts(&self, set: SetId) -> Result<Vec<u32>> {
        missing(&*self.pool.get()?, set)
    }

    /// The parts on a volume, in the order of the sets.
    pub fn parts_on(&self, volume: VolumeId) -> Result<Vec<Part>> {
        let reader = self.pool.get()?;
        let mut statement =
            reader.prepare_cached(&format!("{SELECT} volume_id = ?1 ORDER BY set_id, number"))?;
        Ok(statement.query_map([volume], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The part on this volume that has no index: left by a crash, or of a running task.
    pub fn open_part_on(&self, volume: VolumeId) -> Result<Option<Part>> {
        Ok(self.parts_on(volume)?.into_iter().find(|p| p.index_file.is_none()))
    }
}
