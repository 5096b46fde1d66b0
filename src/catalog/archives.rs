//! Archive files: where the members' bytes are.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::ids::{Int, uint};
use super::{Catalog, CatalogError, Result, SetId};
use crate::format::v1::archive_layout::ArchiveLayout;
use crate::format::v1::index::{ArchiveDescription, PackedFrames};

/// An archive file of a set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Archive {
    /// Number in the set, from 1.
    pub number: u32,
    /// Number of its part.
    pub part: u32,
    /// Tape file number.
    pub file: u64,
    /// Logical block of its first record.
    pub block: u64,
    /// Records.
    pub records: u64,
    /// Bytes of the tar stream.
    pub stream_bytes: u64,
    /// Bytes on tape.
    pub stored_bytes: u64,
    /// Bytes of the age header; 0 when not encrypted.
    pub header_bytes: u64,
    /// The zstd frames; empty when not compressed.
    pub frames: PackedFrames,
}

impl Archive {
    /// As `set.json` lists it.
    pub fn describe(&self) -> ArchiveDescription {
        ArchiveDescription {
            archive: self.number,
            file: self.file,
            block: self.block,
            records: self.records,
            stream_bytes: self.stream_bytes,
            stored_bytes: self.stored_bytes,
            header_bytes: self.header_bytes,
        }
    }

    /// How it is stored, on a volume with records of `record_size` bytes.
    pub fn layout(&self, record_size: u32) -> ArchiveLayout {
        ArchiveLayout {
            start_block: self.block,
            record_size,
            header_bytes: u32::try_from(self.header_bytes).unwrap_or(u32::MAX),
            stream_bytes: self.stream_bytes,
            stored_bytes: self.stored_bytes,
            frames: (!self.frames.is_empty()).then(|| Arc::new(self.frames.iter().collect())),
        }
    }
}

const SELECT: &str =
    "SELECT number, part, file, block, records, stream_bytes, stored_bytes, header_bytes, frames
  FROM archive WHERE set_id = ?1";

fn read(row: &Row<'_>) -> rusqlite::Result<Archive> {
    let frames = PackedFrames::from_bytes(row.get(8)?).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(8, rusqlite::types::Type::Blob, Box::new(e))
    })?;
    Ok(Archive {
        number: row.get(0)?,
        part: row.get(1)?,
        file: uint(row, 2)?,
        block: uint(row, 3)?,
        records: uint(row, 4)?,
        stream_bytes: uint(row, 5)?,
        stored_bytes: uint(row, 6)?,
        header_bytes: uint(row, 7)?,
        frames,
    })
}

pub(super) fn insert(connection: &Connection, set: SetId, archive: &Archive) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO archive (set_id, number, part, file, block, records, stream_bytes, stored_bytes, header_bytes, frames)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?;
    let a = archive;
    statement.execute(params![
        set,
        a.number,
        a.part,
        Int(a.file),
        Int(a.block),
        Int(a.records),
        Int(a.stream_bytes),
        Int(a.stored_bytes),
        Int(a.header_bytes),
        a.frames.as_bytes()
    ])?;
    Ok(())
}

/// The archive files of one part, in order.
pub(super) fn of_part(connection: &Connection, set: SetId, part: u32) -> Result<Vec<Archive>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} AND part = ?2 ORDER BY number"))?;
    Ok(statement.query_map(params![set, part], read)?.collect::<rusqlite::Result<_>>()?)
}

impl Catalog {
    /// The archive files of a set, in order.
    pub fn archives_of(&self, set: SetId) -> Result<Vec<Archive>> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} ORDER BY number"))?;
        Ok(statement.query_map([set], read)?.collect::<rusqlite::Result<_>>()?)
    }

    /// One archive file.
    pub fn archive(&self, set: SetId, number: u32) -> Result<Archive> {
        let reader = self.pool.get()?;
        let mut statement = reader.prepare_cached(&format!("{SELECT} AND number = ?2"))?;
        statement.query_row(params![set, number], read).map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => {
                CatalogError::NotFound { what: "archive", name: format!("{number} of set {set}") }
            }
            error => error.into(),
        })
    }
}
