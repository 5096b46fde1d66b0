//! Rebuild: a part found on tape goes into the catalog.

use std::collections::HashMap;
use std::io::Read;

use rusqlite::{Connection, OptionalExtension, params};

use super::directories::Span;
use super::ids::{Int, MAX_ORDINAL, optional_uint, uint};
use super::sets::{SetKind, SetState, id_by_uuid};
use super::writer::Batch;
use super::{
    Archive, Catalog, CatalogError, DirectoryId, Fragment, Result, SetId, VolumeId, archives, fragments,
    parts,
};
use crate::format::v1::block::BlockReader;
use crate::format::v1::index::{
    FragmentRow, IndexReader, Information, PackedFrames, PartState, Section, SetDescription, directory_rows,
};

/// Where an index was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexLocation {
    /// The volume, which the catalog already has.
    pub volume: VolumeId,
    /// Tape file number.
    pub file: u64,
    /// Logical block of its first record.
    pub block: u64,
}

/// What [`Catalog::load_index`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// The part is new.
    Added(SetId),
    /// The members were known, the place of the index was not.
    Located(SetId),
    /// Everything was known.
    Unchanged(SetId),
}

/// What the sections of an index gave, beyond rows that are written at once.
#[derive(Default)]
struct Gathered {
    /// Ids on tape, ascending, and here.
    ids: Vec<(u64, i64)>,
    directories: u64,
    blocks: u64,
    next: u64,
    frames: HashMap<u32, PackedFrames>,
    fragments: Vec<FragmentRow>,
    seen: u64,
}

impl Gathered {
    fn local(&self, id: u64) -> Option<i64> {
        if id == 0 {
            return Some(0);
        }
        let at = self.ids.binary_search_by_key(&id, |pair| pair.0).ok()?;
        self.ids.get(at).map(|pair| pair.1)
    }
}

impl Catalog {
    /// Adds a part from its index: `set.json`, parsed, and the plain bytes of `members.bin`. Parts may come in any order; one
    /// that is known stays as it is. Nothing is visible before everything is.
    pub fn load_index(
        &self,
        description: &SetDescription,
        reader: &mut dyn Read,
        location: IndexLocation,
    ) -> Result<Loaded> {
        let malformed = |what| malformed(description, what);
        let mut sections = IndexReader::new(reader)?;
        let Some(Section::Information(information)) = sections.next_section()? else {
            return Err(malformed("it does not begin with section I"));
        };
        let end = description.first_ordinal.checked_add(description.members).filter(|end| *end < MAX_ORDINAL);
        let end = end.ok_or_else(|| malformed("too many members"))?;
        let found = id_by_uuid(&self.lock().connection, &description.set)?;
        if let Some((set, state)) = found {
            if state == SetState::Deleting {
                self.finish_delete(set)?;
            } else if let Some(known) = self.known_part(set, description, location)? {
                return Ok(known);
            }
        }
        let set = self.durably(|c| begin(c, description, &information, location))?;
        let result = self.load_sections(set, description, &mut sections, end);
        let gathered = match result {
            Ok(gathered) => gathered,
            Err(error) => {
                self.abandon_load(set, description.part)?;
                return Err(error);
            }
        };
        self.durably(|c| finish(c, set, description, &information, gathered))?;
        Ok(Loaded::Added(set))
    }

    fn known_part(
        &self,
        set: SetId,
        description: &SetDescription,
        location: IndexLocation,
    ) -> Result<Option<Loaded>> {
        let row: Option<(bool, u64, Option<u64>)> = self
            .lock()
            .connection
            .query_row(
                "SELECT loading, members, index_file FROM part WHERE set_id = ?1 AND number = ?2",
                params![set, description.part],
                |r| Ok((r.get(0)?, uint(r, 1)?, optional_uint(r, 2)?)),
            )
            .optional()?;
        match row {
            None => Ok(None),
            Some((true, ..)) => {
                self.abandon_load(set, description.part)?;
                Ok(None)
            }
            Some((false, known, _)) if known != description.members => Err(CatalogError::Conflict {
                set: description.set.clone(),
                part: description.part,
                known,
                found: description.members,
            }),
            Some((false, _, Some(_))) => Ok(Some(Loaded::Unchanged(set))),
            Some((false, _, None)) => {
                // Where the volume ends is for the caller to say: more may stand behind this index.
                self.durably(|c| {
                    parts::locate_index(c, set, description.part, location.file, location.block)
                })?;
                Ok(Some(Loaded::Located(set)))
            }
        }
    }

    fn load_sections<R: Read>(
        &self,
        set: SetId,
        description: &SetDescription,
        sections: &mut IndexReader<R>,
        end: u64,
    ) -> Result<Gathered> {
        let malformed = |what| malformed(description, what);
        let mut gathered = Gathered { next: description.first_ordinal, ..Default::default() };
        let mut batch = Batch::new(set);
        let mut ended = false;
        while let Some(section) = sections.next_section()? {
            match section {
                Section::Information(_) => return Err(malformed("section I stands twice")),
                Section::Directories(rows) => {
                    self.load_directories(&rows, description, end, &mut gathered, &mut batch)?;
                }
                Section::Block(bytes) => {
                    let block = BlockReader::new(&bytes)?;
                    if block.first_ordinal() != gathered.next {
                        return Err(malformed("ordinals do not follow one another"));
                    }
                    gathered.next += u64::from(block.count());
                    gathered.blocks += 1;
                    if gathered.next > end {
                        return Err(malformed("more members than set.json says"));
                    }
                    batch.push(block.with_directories(|id| gathered.local(id).map(|id| id as u64))?);
                }
                Section::Frames(archive, table) => gathered.frames.entry(archive).or_default().append(table),
                Section::Fragments(rows) => gathered.fragments.extend(rows),
                Section::Seen(plain) => {
                    gathered.seen += self.load_seen(set, description.part, &plain)?;
                }
                Section::End { blocks, members } => {
                    ended =
                        blocks == gathered.blocks && members == description.members && gathered.next == end;
                }
            }
            if batch.is_due() {
                self.write_batch(&mut batch, false)?;
            }
        }
        if !ended {
            return Err(malformed("members are missing"));
        }
        self.write_batch(&mut batch, true)?;
        Ok(gathered)
    }

    fn write_batch(&self, batch: &mut Batch, cut: bool) -> Result<()> {
        self.lock().transaction(false, |c| batch.write(c, cut))
    }

    fn load_directories(
        &self,
        rows: &[u8],
        description: &SetDescription,
        end: u64,
        gathered: &mut Gathered,
        batch: &mut Batch,
    ) -> Result<()> {
        let malformed = |what| malformed(description, what);
        let mut writer = self.lock();
        for row in directory_rows(rows) {
            let row = row?;
            if row.first.saturating_add(row.subtree) > end {
                return Err(malformed("a directory goes beyond the end of the part"));
            }
            let known = gathered.ids.last().map_or(0, |pair| pair.0);
            let id = if row.id == 0 {
                0
            } else if row.id == known {
                gathered.local(row.id).unwrap_or(0)
            } else if row.id > known {
                super::directories::check_name(row.name)?;
                let parent =
                    gathered.local(row.parent).ok_or_else(|| malformed("a directory without its parent"))?;
                let id = writer.directory(DirectoryId(parent), row.name)?.0;
                gathered.ids.push((row.id, id));
                id
            } else {
                return Err(malformed("directories are not in order"));
            };
            if row.own && row.first >= description.first_ordinal {
                gathered.directories += 1;
            }
            batch.spans.push(Span {
                directory: DirectoryId(id),
                first: row.first,
                own: row.own,
                direct: row.direct,
                subtree: row.subtree,
            });
        }
        writer.write_directories()
    }

    /// Removes what a rebuild of this part left that did not come to its end.
    pub(super) fn abandon_load(&self, set: SetId, part: u32) -> Result<()> {
        let range: Option<(u64, u64)> = self
            .lock()
            .connection
            .query_row(
                "SELECT first_ordinal, first_ordinal + members FROM part WHERE set_id = ?1 AND number = ?2 AND loading <> 0",
                params![set, part],
                |r| Ok((uint(r, 0)?, uint(r, 1)?)),
            )
            .optional()?;
        let Some((start, end)) = range else { return Ok(()) };
        self.remove_blocks(set, start..end)?;
        let empty = self.durably(|c| {
            c.execute(
                "DELETE FROM seen WHERE key >= ?1 AND key < ?2 AND part = ?3",
                params![super::ids::key(set, 0), super::ids::key(set, MAX_ORDINAL), part],
            )?;
            c.execute("DELETE FROM part WHERE set_id = ?1 AND number = ?2", params![set, part])?;
            let left: i64 =
                c.query_row("SELECT count(*) FROM part WHERE set_id = ?1", [set], |r| r.get(0))?;
            Ok(left == 0)
        })?;
        if empty { self.remove_set(set) } else { Ok(()) }
    }
}

fn malformed(description: &SetDescription, what: &'static str) -> CatalogError {
    CatalogError::Malformed { set: description.set.clone(), part: description.part, what }
}

/// Nanoseconds since the epoch from RFC 3339.
fn parse_time(text: &str) -> Result<i64> {
    let time: jiff::Timestamp = text.parse().map_err(|_| CatalogError::Time(text.to_string()))?;
    i64::try_from(time.as_nanosecond()).map_err(|_| CatalogError::Time(text.to_string()))
}

fn begin(
    connection: &Connection,
    description: &SetDescription,
    information: &Information,
    location: IndexLocation,
) -> Result<SetId> {
    let set = match id_by_uuid(connection, &description.set)? {
        Some((set, _)) => set,
        None => {
            connection.execute(
                "INSERT INTO backup_set
                   (uuid, job, host, roots, compression, recipients, state, started, exclude, one_file_system,
                    kind, bases)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                params![
                    description.set,
                    information.job,
                    information.host,
                    serde_json::to_string(&information.roots)?,
                    description.compression,
                    serde_json::to_string(&description.recipients)?,
                    SetState::Interrupted as u8,
                    parse_time(&description.started)?,
                    serde_json::to_string(&information.exclude)?,
                    information.one_file_system,
                    information.kind.as_deref().and_then(SetKind::from_name).unwrap_or_default() as u8,
                    serde_json::to_string(&information.bases)?
                ],
            )?;
            SetId(connection.last_insert_rowid())
        }
    };
    let overlapping: i64 = connection.query_row(
        "SELECT count(*) FROM part WHERE set_id = ?1 AND first_ordinal < ?3 AND first_ordinal + members > ?2",
        params![set, Int(description.first_ordinal), Int(description.first_ordinal + description.members)],
        |r| r.get(0),
    )?;
    if overlapping > 0 {
        return Err(malformed(description, "its members are those of another part"));
    }
    connection.execute(
        "INSERT INTO part (set_id, number, volume_id, first_ordinal, members, bytes, index_file, index_block, loading)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1)",
        params![
            set,
            description.part,
            location.volume,
            Int(description.first_ordinal),
            Int(description.members),
            Int(description.bytes),
            Int(location.file),
            Int(location.block)
        ],
    )?;
    Ok(set)
}

fn finish(
    connection: &Connection,
    set: SetId,
    description: &SetDescription,
    information: &Information,
    mut gathered: Gathered,
) -> Result<()> {
    for a in &description.archives {
        let archive = Archive {
            number: a.archive,
            part: description.part,
            file: a.file,
            block: a.block,
            records: a.records,
            stream_bytes: a.stream_bytes,
            stored_bytes: a.stored_bytes,
            header_bytes: a.header_bytes,
            frames: gathered.frames.remove(&a.archive).unwrap_or_default(),
        };
        archives::insert(connection, set, &archive)?;
    }
    for row in &gathered.fragments {
        let fragment = Fragment {
            set,
            ordinal: row.ordinal,
            archive: row.archive,
            stream_offset: row.stream_offset,
            data_offset: row.data_offset,
            data_length: row.data_length,
        };
        fragments::insert(connection, &fragment)?;
    }
    connection.execute(
        "UPDATE part SET loading = 0, directories = ?3 WHERE set_id = ?1 AND number = ?2",
        params![set, description.part, Int(gathered.directories)],
    )?;
    connection.execute(
        "UPDATE backup_set SET committed_seen = committed_seen + ?2 WHERE id = ?1",
        params![set, Int(gathered.seen)],
    )?;
    connection.execute(
        "UPDATE backup_set SET committed_members = max(committed_members, ?2), warnings = max(warnings, ?3) WHERE id = ?1",
        params![set, Int(gathered.next), Int(information.warnings)],
    )?;
    let has_gaps = !parts::missing(connection, set)?.is_empty();
    // The last part says how the set ended; one before it that was interrupted was continued.
    let is_last = parts::of_set(connection, set)?.last().is_none_or(|last| last.number <= description.part);
    if description.last && is_last {
        let state = match description.state {
            PartState::Complete if has_gaps => SetState::Incomplete,
            PartState::Complete => SetState::Complete,
            PartState::Interrupted | PartState::Continued => SetState::Interrupted,
        };
        connection.execute(
            "UPDATE backup_set SET state = ?2, finished = ?3 WHERE id = ?1",
            params![set, state as u8, parse_time(&description.written)?],
        )?;
    } else if !has_gaps {
        connection.execute(
            "UPDATE backup_set SET state = ?2 WHERE id = ?1 AND state = ?3",
            params![set, SetState::Complete as u8, SetState::Incomplete as u8],
        )?;
    }
    Ok(())
}
