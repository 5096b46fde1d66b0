//! Members on their way into the catalog.

use std::ops::Range;

use rusqlite::{Connection, params};

use super::directories::{Span, check_name, put_span};
use super::ids::{Int, MAX_ORDINAL, key};
use super::segment::SegmentBuilder;
use super::snapshots::{self, SeenBuilder};
use super::{Archive, Catalog, CatalogError, DirectoryId, Fragment, Result, SetId, archives, fragments};
use crate::format::v1::block::{Block, BlockBuilder};
use crate::format::v1::seen::SeenEntry;
use crate::format::v1::{Kind, Member};

/// Blocks that wait in memory for one transaction.
const BATCH_BLOCKS: usize = 32;
/// Bytes of blocks that wait.
const BATCH_BYTES: usize = 4 << 20;
/// Closed directories that wait.
const BATCH_SPANS: usize = 8192;

/// What a filemark has made durable.
#[derive(Debug, Clone, Copy)]
pub struct Checkpoint<'a> {
    /// The archive file that the filemark ended.
    pub archive: &'a Archive,
    /// Pieces in this archive of members that end on a later volume.
    pub fragments: &'a [Fragment],
    /// Logical block behind the filemark.
    pub end_block: u64,
    /// Number of the tape file that begins there.
    pub end_file: u64,
    /// MAM volume change reference, where the drive has it.
    pub change_reference: Option<u32>,
    /// Bytes used on the volume.
    pub used: u64,
    /// Nanoseconds since the epoch.
    pub written: i64,
}

#[derive(Debug)]
struct Open {
    span: Span,
    name: Vec<u8>,
}

/// Takes the members of one set in the order of the walk. Nothing is visible before [`MemberWriter::commit`]; what a dropped
/// writer leaves is removed by [`Catalog::recover`] or the next writer of the set.
#[derive(Debug)]
pub struct MemberWriter {
    catalog: Catalog,
    set: SetId,
    next: u64,
    builder: BlockBuilder,
    batch: Batch,
    path: Vec<Open>,
    members: u64,
    bytes: u64,
    directories: u64,
    seen: Option<SeenBuilder>,
}

/// What waits for one transaction. Shared by backup and rebuild.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) set: SetId,
    segment: SegmentBuilder,
    blocks: Vec<Block>,
    bytes: usize,
    pub(super) spans: Vec<Span>,
    /// What was seen in directories, encoded.
    pub(super) seen: Vec<(DirectoryId, Vec<u8>)>,
    /// Number of the next row of it.
    pub(super) next_seen: u64,
}

impl Batch {
    pub(super) fn new(set: SetId) -> Self {
        Batch {
            set,
            segment: SegmentBuilder::new(),
            blocks: Vec::new(),
            bytes: 0,
            spans: Vec::new(),
            seen: Vec::new(),
            next_seen: 0,
        }
    }

    pub(super) fn push(&mut self, block: Block) {
        self.bytes += block.bytes.len();
        self.blocks.push(block);
    }

    /// Counts the lists that were added behind the first `before`.
    fn count_seen(&mut self, before: usize) {
        self.bytes += self.seen.iter().skip(before).map(|row| row.1.len()).sum::<usize>();
    }

    pub(super) fn is_due(&self) -> bool {
        self.blocks.len() >= BATCH_BLOCKS
            || self.bytes >= BATCH_BYTES
            || self.spans.len() + self.seen.len() >= BATCH_SPANS
    }

    /// Writes what waits. `cut` also ends the segment: a part or a checkpoint ends here.
    pub(super) fn write(&mut self, connection: &Connection, cut: bool) -> Result<()> {
        let mut body =
            connection.prepare_cached("INSERT INTO member_block (key, count, body) VALUES (?1, ?2, ?3)")?;
        let mut tail = connection.prepare_cached("INSERT INTO member_names (key, tail) VALUES (?1, ?2)")?;
        for block in self.blocks.drain(..) {
            if self.segment.is_full() {
                self.segment.write(connection, self.set)?;
            }
            self.segment.add(block.first_ordinal, block.count, block.names());
            let (front, back) = block.bytes.split_at(block.names_at);
            let key = key(self.set, block.first_ordinal);
            body.execute(params![key, block.count, front])?;
            tail.execute(params![key, back])?;
        }
        self.bytes = 0;
        for span in self.spans.drain(..) {
            put_span(connection, self.set, &span)?;
        }
        for (directory, list) in self.seen.drain(..) {
            snapshots::insert(connection, self.set, self.next_seen, directory, 0, &list)?;
            self.next_seen += 1;
        }
        if cut {
            self.segment.write(connection, self.set)?;
        }
        Ok(())
    }
}

impl Catalog {
    /// A writer for the members of an open set that begins with this ordinal, outside of any directory.
    ///
    /// # Errors
    /// [`CatalogError::Ordinal`] where the committed members of the set do not end there.
    pub fn writer(&self, set: SetId, first_ordinal: u64) -> Result<MemberWriter> {
        let expected = self.set(set)?.committed;
        if expected != first_ordinal {
            return Err(CatalogError::Ordinal { set, expected, found: first_ordinal });
        }
        self.remove_uncommitted(set)?;
        Ok(self.writer_at(set, first_ordinal))
    }

    /// A writer for members that come before parts which the catalog has already. `ordinals` lie between the part before
    /// and the part behind; what an earlier attempt left there is removed.
    pub fn gap_writer(&self, set: SetId, ordinals: Range<u64>) -> Result<MemberWriter> {
        self.remove_blocks(set, ordinals.clone())?;
        Ok(self.writer_at(set, ordinals.start))
    }

    fn writer_at(&self, set: SetId, first_ordinal: u64) -> MemberWriter {
        let root =
            Span { directory: DirectoryId::ROOT, first: first_ordinal, own: false, direct: 0, subtree: 0 };
        MemberWriter {
            catalog: self.clone(),
            set,
            next: first_ordinal,
            builder: BlockBuilder::new(first_ordinal),
            batch: Batch::new(set),
            path: vec![Open { span: root, name: Vec::new() }],
            members: 0,
            bytes: 0,
            directories: 0,
            seen: None,
        }
    }
}

impl MemberWriter {
    /// Keeps what is seen, too: [`MemberWriter::seen`] is called for each name that is no directory.
    pub fn keep_seen(&mut self) -> Result<()> {
        let set = self.catalog.set(self.set)?;
        self.batch.next_seen = set.seen;
        self.seen = Some(SeenBuilder::new(&self.catalog, &set)?);
        Ok(())
    }

    /// A name of the current directory that was stored, or kept as it is in a base.
    pub fn seen(&mut self, entry: SeenEntry) -> Result<()> {
        let Some(open) = self.path.last() else { return Ok(()) };
        let Some(builder) = &mut self.seen else { return Ok(()) };
        let before = self.batch.seen.len();
        builder.push(&self.catalog, open.span.directory, entry, &mut self.batch.seen)?;
        self.batch.count_seen(before);
        Ok(())
    }

    fn end_seen(&mut self) -> Result<()> {
        let Some(builder) = &mut self.seen else { return Ok(()) };
        let before = self.batch.seen.len();
        builder.end(&self.catalog, &mut self.batch.seen)?;
        self.batch.count_seen(before);
        Ok(())
    }

    /// Goes into a directory of the current one. Its own member, if it has one, is pushed next.
    pub fn enter(&mut self, name: &[u8]) -> Result<()> {
        check_name(name)?;
        self.end_seen()?;
        let parent = self.path.last().map_or(DirectoryId::ROOT, |open| open.span.directory);
        let directory = self.catalog.lock().directory(parent, name)?;
        let span = Span { directory, first: self.next, own: false, direct: 0, subtree: 0 };
        self.path.push(Open { span, name: name.to_vec() });
        Ok(())
    }

    /// Goes back to the parent; nothing happens at the root.
    pub fn leave(&mut self) -> Result<()> {
        self.end_seen()?;
        if self.path.len() > 1
            && let Some(open) = self.path.pop()
        {
            self.close(open.span);
            self.flush_if_due()?;
        }
        Ok(())
    }

    fn close(&mut self, mut span: Span) {
        span.subtree = self.next - span.first;
        if span.subtree > 0 {
            self.batch.spans.push(span);
        }
    }

    /// Ordinal of the next member.
    pub fn next_ordinal(&self) -> u64 {
        self.next
    }

    /// Appends a member of the current directory; one of kind Directory is the current directory itself.
    ///
    /// # Errors
    /// [`CatalogError::Name`] where the name is not one component, or a directory's is not the current one's.
    pub fn push(&mut self, member: &Member) -> Result<()> {
        let own = member.kind == Kind::Directory;
        let next = self.next;
        let Some(open) = self.path.last_mut() else { return Ok(()) };
        if own && open.name != member.name {
            return Err(CatalogError::Name(super::sets::escape(&member.name)));
        }
        if !own {
            check_name(&member.name)?;
        }
        if next + 1 >= MAX_ORDINAL {
            return Err(CatalogError::Ordinal { set: self.set, expected: MAX_ORDINAL, found: next });
        }
        let directory = open.span.directory;
        // The run was interrupted by a subdirectory, or its own member comes late: a new stretch begins.
        if next != open.span.first + open.span.direct || (own && open.span.direct > 0) {
            let fresh = Span { directory, first: next, own: false, direct: 0, subtree: 0 };
            let done = std::mem::replace(&mut open.span, fresh);
            open.span.own = own;
            open.span.direct = 1;
            self.close(done);
        } else {
            open.span.own |= own;
            open.span.direct += 1;
        }
        if own && let Some(builder) = &mut self.seen {
            builder.begin(&self.catalog, directory, &mut self.batch.seen)?;
        }
        self.builder.push(directory.0 as u64, member);
        self.next += 1;
        self.members += 1;
        self.bytes += member.size;
        self.directories += u64::from(own);
        if self.builder.is_full() {
            self.cut();
            self.flush_if_due()?;
        }
        Ok(())
    }

    fn cut(&mut self) {
        if let Some(block) = self.builder.finish() {
            self.batch.push(block);
        }
    }

    fn flush_if_due(&mut self) -> Result<()> {
        if !self.batch.is_due() {
            return Ok(());
        }
        let mut writer = self.catalog.lock();
        writer.write_directories()?;
        let batch = &mut self.batch;
        writer.transaction(false, |c| batch.write(c, false))
    }

    /// Makes everything pushed so far visible, in one transaction that is on the disk when this returns.
    pub fn commit(&mut self, checkpoint: Checkpoint<'_>) -> Result<()> {
        self.cut();
        self.end_seen()?;
        for open in &self.path {
            let subtree = self.next - open.span.first;
            if subtree > 0 {
                self.batch.spans.push(Span { subtree, ..open.span });
            }
        }
        let mut writer = self.catalog.lock();
        writer.write_directories()?;
        let (set, next, batch) = (self.set, self.next, &mut self.batch);
        let counts = (self.members, self.bytes, self.directories);
        writer.transaction(true, |c| {
            batch.write(c, true)?;
            archives::insert(c, set, checkpoint.archive)?;
            for fragment in checkpoint.fragments {
                fragments::insert(c, fragment)?;
            }
            snapshots::commit(c, set, batch.next_seen, checkpoint.archive.part)?;
            advance(c, set, next, counts, &checkpoint)
        })?;
        (self.members, self.bytes, self.directories) = (0, 0, 0);
        Ok(())
    }
}

fn advance(
    connection: &Connection,
    set: SetId,
    next: u64,
    (members, bytes, directories): (u64, u64, u64),
    checkpoint: &Checkpoint<'_>,
) -> Result<()> {
    connection.execute(
        "UPDATE backup_set SET committed_members = max(committed_members, ?2) WHERE id = ?1",
        params![set, Int(next)],
    )?;
    let part = checkpoint.archive.part;
    let changed = connection.execute(
        "UPDATE part SET members = members + ?3, bytes = bytes + ?4, directories = directories + ?5
         WHERE set_id = ?1 AND number = ?2",
        params![set, part, Int(members), Int(bytes), Int(directories)],
    )?;
    if changed == 0 {
        return Err(CatalogError::NotFound { what: "part", name: format!("{part} of set {set}") });
    }
    connection.execute(
        "UPDATE volume SET end_block = ?3, end_file = ?4, change_reference = ?5, used = ?6, last_written = ?7,
           status = CASE status WHEN 0 THEN 1 ELSE status END
         WHERE id = (SELECT volume_id FROM part WHERE set_id = ?1 AND number = ?2)",
        params![
            set,
            part,
            Int(checkpoint.end_block),
            Int(checkpoint.end_file),
            checkpoint.change_reference,
            Int(checkpoint.used),
            checkpoint.written
        ],
    )?;
    Ok(())
}
