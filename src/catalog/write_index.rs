//! `members.bin` of a part, streamed from the catalog.

use std::io::Write;
use std::ops::Range;

use rusqlite::{Connection, params};

use super::directories::span;
use super::ids::{Int, key, uint};
use super::sets::escape;
use super::{Catalog, Part, Result, archives, fragments, snapshots};
use crate::format::bytes::varint_length;
use crate::format::v1::index::{
    DirectoryRow, FragmentRow, IndexWriter, Information, MAGIC, SECTION_OVERHEAD, SECTION_TARGET,
};

impl Catalog {
    fn information(&self, part: &Part) -> Result<Information> {
        let set = self.set(part.set)?;
        Ok(Information {
            job: set.job,
            host: set.host,
            roots: set.roots.iter().map(|r| escape(r)).collect(),
            warnings: set.warnings,
            exclude: set.exclude,
            one_file_system: set.one_file_system,
            kind: (set.kind != super::SetKind::Full).then(|| set.kind.as_str().to_owned()),
            bases: set.bases,
        })
    }

    /// Streams the `members.bin` of a part; returns its bytes. Memory is bounded by a section.
    pub fn write_index(&self, part: &Part, out: &mut dyn Write) -> Result<u64> {
        let connection = self.pool.get()?;
        let information = self.information(part)?;
        // One snapshot for all sections.
        let connection = connection.unchecked_transaction()?;
        let mut writer = IndexWriter::new(out)?;
        writer.information(&information)?;
        let mut rows = Vec::new();
        directories(&connection, part, |row| {
            row.write(&mut rows);
            if rows.len() >= SECTION_TARGET {
                writer.directories(&rows)?;
                rows.clear();
            }
            Ok(())
        })?;
        if !rows.is_empty() {
            writer.directories(&rows)?;
        }
        let mut statement = connection.prepare_cached(
            "SELECT b.count, b.body, n.tail FROM member_block b JOIN member_names n ON n.key = b.key
             WHERE b.key >= ?1 AND b.key < ?2 ORDER BY b.key",
        )?;
        let mut blocks = statement.query(keys(part))?;
        while let Some(row) = blocks.next()? {
            let pieces = (row.get_ref(1)?.as_blob(), row.get_ref(2)?.as_blob());
            let (body, tail) =
                (pieces.0.map_err(rusqlite::Error::from)?, pieces.1.map_err(rusqlite::Error::from)?);
            writer.block(row.get::<_, i64>(0)? as u64, &[body, tail])?;
        }
        for archive in archives::of_part(&connection, part.set, part.number)? {
            writer.frames(archive.number, &archive.frames)?;
        }
        let split = fragment_rows(&connection, part)?;
        if !split.is_empty() {
            writer.fragments(&split)?;
        }
        snapshots::sections(&connection, part, |plain| Ok(writer.seen(plain)?))?;
        Ok(writer.finish()?)
    }

    /// Exactly what [`Catalog::write_index`] will write for this part, in bytes.
    pub fn index_length(&self, part: &Part) -> Result<u64> {
        let connection = self.pool.get()?;
        let information = serde_json::to_vec(&self.information(part)?)
            .map_err(crate::format::v1::index::IndexError::from)?;
        let connection = connection.unchecked_transaction()?;
        let section = |payload: usize| SECTION_OVERHEAD + payload as u64;
        let mut total = MAGIC.len() as u64 + section(information.len());
        let mut rows = 0;
        directories(&connection, part, |row| {
            rows += row.length();
            if rows >= SECTION_TARGET {
                total += section(rows);
                rows = 0;
            }
            Ok(())
        })?;
        if rows > 0 {
            total += section(rows);
        }
        let (count, members, bytes): (i64, i64, i64) = connection.query_row(
            "SELECT count(*), ifnull(sum(b.count), 0), ifnull(sum(length(b.body) + length(n.tail)), 0)
             FROM member_block b JOIN member_names n ON n.key = b.key WHERE b.key >= ?1 AND b.key < ?2",
            keys(part),
            |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)),
        )?;
        total += bytes as u64 + count as u64 * SECTION_OVERHEAD;
        for archive in archives::of_part(&connection, part.set, part.number)? {
            total += archive.frames.sections(archive.number).iter().map(|s| section(s.len())).sum::<u64>();
        }
        let split = fragment_rows(&connection, part)?;
        if !split.is_empty() {
            total += section(split.len());
        }
        let mut packed = IndexWriter::new(std::io::sink())?;
        snapshots::sections(&connection, part, |plain| Ok(packed.seen(plain)?))?;
        total += packed.written() - MAGIC.len() as u64;
        Ok(total + section(varint_length(count as u64) + varint_length(members as u64)))
    }
}

fn keys(part: &Part) -> [i64; 2] {
    let Range { start, end } = part.ordinals();
    [key(part.set, start), key(part.set, end)]
}

fn fragment_rows(connection: &Connection, part: &Part) -> Result<Vec<u8>> {
    let mut rows = Vec::new();
    for f in fragments::within(connection, part.set, part.ordinals())? {
        let row = FragmentRow {
            ordinal: f.ordinal,
            archive: f.archive,
            stream_offset: f.stream_offset,
            data_offset: f.data_offset,
            data_length: f.data_length,
        };
        row.write(&mut rows);
    }
    Ok(rows)
}

/// The directories that a part needs to stand alone, by id, which puts parents first; counted up to the end of the part.
fn directories(
    connection: &Connection,
    part: &Part,
    mut each: impl FnMut(&DirectoryRow<'_>) -> Result<()>,
) -> Result<()> {
    let Range { start, end } = part.ordinals();
    let mut statement = connection.prepare_cached(
        "SELECT s.directory_id, s.first_ordinal, s.own, s.direct, s.subtree, ifnull(d.parent, 0), ifnull(d.name, x'')
         FROM set_directory s LEFT JOIN directory d ON d.id = s.directory_id
         WHERE s.set_id = ?1 AND s.first_ordinal < ?2 AND s.first_ordinal + s.subtree > ?3
         ORDER BY s.directory_id, s.first_ordinal",
    )?;
    let mut rows = statement.query(params![part.set, Int(end), Int(start)])?;
    while let Some(row) = rows.next()? {
        let span = span(row, 0)?;
        let limit = end - span.first;
        each(&DirectoryRow {
            id: span.directory.0 as u64,
            parent: uint(row, 5)?,
            first: span.first,
            own: span.own,
            direct: span.direct.min(limit),
            subtree: span.subtree.min(limit),
            name: row.get_ref(6)?.as_blob().map_err(rusqlite::Error::from)?,
        })?;
    }
    Ok(())
}
