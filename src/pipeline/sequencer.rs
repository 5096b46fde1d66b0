//! Puts members into the tar stream in walk order, watches the room on the volume, closes archives at checkpoints and
//! splits members where a volume ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};

use super::hasher::Job;
use super::stream::{Mark, StreamError, TarStream};
use super::{Ending, IndexRow, PartStart, Piece, PipelineError, Progress, StoreOptions, Stored};
use crate::format::v1::tar_header::{
    END_OF_ARCHIVE, data_length, encode_entry, encode_fragment, encode_global, padding, volume_offset,
};
use crate::format::v1::{Entry, Kind, Member, Notes};
use crate::sources::{Chunk, FileTree, Part, Problem, Row, Segment};

/// Rows and marks for the index thread.
pub(super) enum ToIndex {
    Rows(Vec<IndexRow>),
    EndArchive,
}

/// Bytes of an index row beyond its name and link, at the very most on average.
const ROW_BYTES: u64 = 64;
/// Bytes of what is kept of a name beyond that, at the very most on average.
const SEEN_BYTES: u64 = 40;
/// Room kept for what closes a part: zero blocks, short records, filemarks, `set.json`, age's overhead.
const CLOSING_BYTES: u64 = 192 * 1024;
/// A split must leave at least this much of a member on the volume.
const LEAST_PIECE: u64 = 64 * 1024;

/// What the sequencer shares with the rest of the pipeline.
pub(super) struct Shared<'a> {
    pub options: &'a StoreOptions,
    pub progress: &'a Progress,
    pub cancel: &'a AtomicBool,
    /// The drive reported early warning on this volume.
    pub warned: &'a AtomicBool,
    /// Bytes in records of this part.
    pub stored: &'a AtomicU64,
    pub hasher: Sender<Job>,
    pub index: Sender<ToIndex>,
    pub problems: &'a (dyn Fn(Problem) + Sync),
}

pub(super) struct Sequencer<'a> {
    shared: Shared<'a>,
    stream: TarStream<'a>,
    part: PartStart,
    archive: u32,
    /// Bytes of the tar stream of the open archive; 0 when none is open.
    position: u64,
    opened: Instant,
    /// Bytes written to a staged stream since it was last drained.
    under_way: u64,
    /// Bytes the index of this part will need, estimated from above.
    index_bytes: u64,
    rows: Vec<IndexRow>,
    /// Headers of the directories that are open, outermost first; `None` for those that are no members.
    open: Vec<Option<Vec<u8>>>,
    /// Stored path of the innermost open directory.
    path: Vec<u8>,
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
    totals: Stored,
    frame_bytes: u64,
    /// Something was seen since the last archive ended.
    unsaved: bool,
}

/// A file being streamed.
struct Streaming {
    entry: Entry,
    name: Vec<u8>,
    /// Offset of the header in the open archive.
    header: u64,
    /// Stored bytes delivered, and of them those on earlier volumes.
    delivered: u64,
    before: u64,
    fragment: u32,
}

impl<'a> Sequencer<'a> {
    pub(super) fn new(shared: Shared<'a>, stream: TarStream<'a>, part: PartStart) -> Sequencer<'a> {
        let frame_bytes = if shared.options.compression.is_some() { 16 } else { 0 };
        Sequencer {
            shared,
            stream,
            archive: part.first_archive,
            part,
            position: 0,
            opened: Instant::now(),
            under_way: 0,
            index_bytes: 0,
            rows: Vec::new(),
            open: Vec::new(),
            path: Vec::new(),
            links: HashMap::new(),
            totals: Stored::default(),
            frame_bytes,
            unsaved: false,
        }
    }

    /// Stores everything the source has.
    pub(super) fn run(mut self, source: &FileTree) -> Result<Stored, PipelineError> {
        self.store(source).map_err(|error| error.into_error(self.archive))?;
        Ok(self.totals)
    }

    fn store(&mut self, source: &FileTree) -> Result<(), StreamError> {
        'batches: while let Some(batch) = source.next_batch() {
            let mut parts = batch.iter();
            while let Some(part) = parts.next() {
                match part {
                    Part::Segment(segment) => {
                        self.segment(&segment)?;
                        source.recycle(segment.bytes);
                    }
                    Part::Begin(entry) => self.stream_file(*entry, &mut parts)?,
                    Part::Linked { entry, identity, names } => {
                        self.linked(*entry, identity, names, &mut parts, source)?;
                    }
                    Part::Problem(problem) => (self.shared.problems)(problem),
                    Part::Reenter { name, header } => {
                        self.index_bytes += name.len() as u64 + 24;
                        self.open.push(header);
                        push_component(&mut self.path, &name);
                        self.rows.push(IndexRow::Enter(name));
                        continue; // not a step forward yet
                    }
                    Part::Passed { first, identity, names } => {
                        self.passed(first, identity, names);
                        continue;
                    }
                    Part::Chunk(_) | Part::End(_) => return Err(StreamError::Closed),
                }
                self.checkpoint_if_due()?;
                if self.shared.cancel.load(Ordering::Relaxed) {
                    self.totals.cancelled = true;
                    break 'batches;
                }
            }
        }
        if self.unsaved {
            self.open_archive()?; // what was seen becomes durable with an archive
        }
        self.end_archive(true)?;
        let ending = if self.totals.cancelled { Ending::Interrupted } else { Ending::Complete };
        let (reply, done) = bounded(1);
        self.stream.mark(Mark::Part { ending, reply })?;
        // The channel closes without an answer: no part follows.
        let _ = done.recv();
        self.totals.parts = self.part.number;
        Ok(())
    }

    fn segment(&mut self, segment: &Segment) -> Result<(), StreamError> {
        let mut rows = Vec::with_capacity(segment.rows.len());
        let mut written = 0;
        let mut bytes = 0;
        let mut members = 0;
        // Nothing is written where the walk only goes up, or over what is unchanged.
        if segment.rows.iter().any(|row| matches!(row, Row::Member { .. } | Row::Enter(_))) {
            self.open_archive()?;
        }
        let whole = self.has_room(segment.bytes.len() as u64, segment_index_bytes(&segment.rows))?;
        let mut base = self.position;
        for row in &segment.rows {
            let (member, start, end) = match row {
                Row::Enter(name) => {
                    self.index_bytes += name.len() as u64 + 24;
                    self.open.push(None);
                    push_component(&mut self.path, name);
                    rows.push(IndexRow::Enter(name.clone()));
                    continue;
                }
                Row::Leave => {
                    self.open.pop();
                    let parent = self.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    self.path.truncate(parent);
                    rows.push(IndexRow::Leave);
                    continue;
                }
                Row::Seen(seen) => {
                    self.index_bytes += seen.name.len() as u64 + SEEN_BYTES;
                    self.totals.unchanged += u64::from(seen.origin > 0);
                    self.unsaved = true;
                    rows.push(IndexRow::Seen(seen.clone()));
                    continue;
                }
                Row::Member { member, start, end } => (member, *start, *end),
            };
            let row_bytes = index_bytes(member);
            if !whole && !self.has_room((end - written) as u64, row_bytes)? {
                self.write(&segment.bytes[written..start])?;
                written = start;
                self.rows.append(&mut rows);
                self.next_part()?;
                self.open_archive()?;
                base = self.position;
                base = base.wrapping_sub(start as u64);
            }
            if member.kind == Kind::Directory
                && let Some(innermost) = self.open.last_mut()
            {
                *innermost = segment.bytes.get(start..end).map(<[u8]>::to_vec);
            }
            self.index_bytes += row_bytes;
            let member =
                Member { archive: self.archive, offset: base.wrapping_add(start as u64), ..member.clone() };
            bytes += member.size;
            members += 1;
            rows.push(IndexRow::Member(member));
            if !whole {
                self.write(&segment.bytes[written..end])?;
                written = end;
            }
        }
        self.write(&segment.bytes[written..])?;
        let last = rows.iter().rev().find(|row| !matches!(row, IndexRow::Seen(_)));
        if let Some(IndexRow::Member(last)) = last {
            let directory = self.path.len();
            if last.kind != Kind::Directory {
                push_component(&mut self.path, &last.name);
            }
            self.shared.progress.current(&self.path);
            self.path.truncate(directory);
        }
        self.rows.append(&mut rows);
        self.count(members, bytes);
        self.send_rows()
    }

    fn linked(
        &mut self,
        mut entry: Entry,
        identity: (u64, u64),
        names: u64,
        parts: &mut dyn Iterator<Item = Part>,
        source: &FileTree,
    ) -> Result<(), StreamError> {
        let Some((first, left)) = self.links.get_mut(&identity) else {
            if names > 1 {
                self.links.insert(identity, (entry.path.clone(), names - 1));
            }
            if entry.kind == Kind::Regular {
                return self.stream_file(entry, parts);
            }
            return self.single(&entry, parts, source);
        };
        entry.kind = Kind::HardLink;
        entry.link.clone_from(first);
        entry.size = 0;
        entry.sparse = None;
        entry.xattrs.clear();
        entry.acl_access = None;
        *left -= 1;
        if *left == 0 {
            self.links.remove(&identity); // every name was met: memory stays flat
        }
        self.single(&entry, parts, source)
    }

    /// A name that an earlier run stored.
    fn passed(&mut self, first: Vec<u8>, identity: (u64, u64), names: u64) {
        let (_, left) = self.links.entry(identity).or_insert((first, names));
        *left -= 1;
        if *left == 0 {
            self.links.remove(&identity);
        }
    }

    /// Stores an entry without data; what was read for it is dropped.
    fn single(
        &mut self,
        entry: &Entry,
        parts: &mut dyn Iterator<Item = Part>,
        source: &FileTree,
    ) -> Result<(), StreamError> {
        for part in &mut *parts {
            match part {
                Part::Chunk(Chunk::Data(data)) => source.recycle(data),
                Part::End(_) => break,
                Part::Problem(problem) => (self.shared.problems)(problem),
                _ => {}
            }
        }
        let mut bytes = Vec::new();
        encode_entry(entry, &mut bytes);
        let name = last_component(&entry.path).to_vec();
        let member = Member::of(entry, name, [0; 32], Notes::default());
        let end = bytes.len();
        self.segment(&Segment { bytes, rows: vec![Row::Member { member, start: 0, end }] })
    }

    fn stream_file(
        &mut self,
        entry: Entry,
        parts: &mut dyn Iterator<Item = Part>,
    ) -> Result<(), StreamError> {
        let name = last_component(&entry.path).to_vec();
        let mut header = Vec::new();
        encode_entry(&entry, &mut header);
        let row_bytes = ROW_BYTES + name.len() as u64;
        self.open_archive()?;
        let at_least = header.len() as u64 + entry.stored_size().min(LEAST_PIECE) + 512;
        if !self.has_room(at_least, row_bytes)? {
            self.next_part()?;
            self.open_archive()?;
        }
        self.index_bytes += row_bytes;
        self.shared.progress.current(&entry.path);
        // The sparse map is stored data, written with the header.
        let map = data_length(&entry) - entry.stored_size();
        let mut file =
            Streaming { header: self.position, name, delivered: map, before: 0, fragment: 1, entry };
        self.write(&header)?;
        let mut notes = Notes::default();
        for part in &mut *parts {
            match part {
                Part::Chunk(Chunk::Data(data)) => {
                    self.file_data(&mut file, &data)?;
                    self.shared.progress.done(0, data.len() as u64);
                    self.shared.hasher.send(Job::Data(data)).map_err(|_| StreamError::Closed)?;
                    if self.shared.cancel.load(Ordering::Relaxed) {
                        return self.give_up(&file);
                    }
                }
                Part::Chunk(Chunk::Hole(length)) => {
                    self.shared.progress.done(0, length);
                    self.shared.hasher.send(Job::Zeros(length)).map_err(|_| StreamError::Closed)?;
                }
                Part::Problem(problem) => (self.shared.problems)(problem),
                Part::End(found) => {
                    notes = found;
                    break;
                }
                Part::Segment(_)
                | Part::Begin(_)
                | Part::Linked { .. }
                | Part::Reenter { .. }
                | Part::Passed { .. } => return Err(StreamError::Closed),
            }
        }
        let (reply, sha256) = bounded(1);
        self.shared.hasher.send(Job::Finish(reply)).map_err(|_| StreamError::Closed)?;
        let zeros = [0; 512];
        self.write(&zeros[..padding(file.delivered)])?;
        if file.fragment > 1 {
            self.repeat_open()?;
        }
        if file.fragment > 1 {
            notes = notes.with(Notes::SPLIT);
        }
        let member = Member {
            archive: self.archive,
            offset: file.header,
            ..Member::of(&file.entry, file.name, [0; 32], notes)
        };
        self.totals.members += 1;
        self.totals.bytes += member.size;
        self.shared.progress.done(1, 0);
        self.rows.push(IndexRow::Streamed { member, sha256 });
        self.send_rows()
    }

    /// Leaves the file being streamed: what stands of it is no member, what came before it is safe.
    fn give_up(&mut self, file: &Streaming) -> Result<(), StreamError> {
        self.write(&[0; 512][..padding(file.delivered)])?;
        self.send_rows()?;
        self.shared.hasher.send(Job::Abandon).map_err(|_| StreamError::Closed)
    }

    /// Writes data of a streamed file, on as many volumes as it takes.
    fn file_data(&mut self, file: &mut Streaming, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() {
            let here = if self.has_room(data.len() as u64 + 512, 0)? {
                data.len()
            } else {
                // Cut where the stored data is at a whole tar block, at least one of them behind the header.
                let room = self.room().saturating_sub(512);
                let end = (file.delivered.saturating_add(room) / 512 * 512)
                    .max((file.delivered + 1).next_multiple_of(512));
                (end - file.delivered).min(data.len() as u64) as usize
            };
            self.write(&data[..here])?;
            file.delivered += here as u64;
            data = &data[here..];
            if !data.is_empty() {
                self.split(file)?;
            }
        }
        Ok(())
    }

    /// Goes on with a member on the next volume (chapter 4, "A member split over two volumes").
    fn split(&mut self, file: &mut Streaming) -> Result<(), StreamError> {
        debug_assert_eq!(padding(file.delivered), 0, "a split falls on a block boundary");
        self.rows.push(IndexRow::Piece(Piece {
            archive: self.archive,
            stream_offset: file.header,
            data_offset: file.before,
            data_length: file.delivered - file.before,
        }));
        file.before = file.delivered;
        file.fragment += 1;
        self.send_rows()?;
        self.end_archive(false)?;
        self.next_volume()?;
        let total = data_length(&file.entry);
        let remaining = total - file.delivered;
        let mut head = Vec::new();
        let comment = self.comment();
        let offset = volume_offset(&file.entry, remaining);
        encode_global(&comment, Some((&file.entry.path, remaining, offset)), &mut head);
        self.begin_stream()?;
        self.write(&head)?;
        file.header = 0;
        head.clear();
        encode_fragment(&file.entry, file.fragment, remaining, offset, &mut head);
        self.index_bytes += ROW_BYTES + 64;
        self.write(&head)
    }

    fn count(&mut self, members: u64, bytes: u64) {
        self.totals.members += members;
        self.totals.bytes += bytes;
        self.shared.progress.done(members, bytes);
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.position += bytes.len() as u64;
        if self.stream.is_staged() {
            self.under_way += bytes.len() as u64;
        }
        self.stream.write(bytes)
    }

    fn send_rows(&mut self) -> Result<(), StreamError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        self.shared.index.send(ToIndex::Rows(rows)).map_err(|_| StreamError::Closed)
    }

    /// Whether `bytes` more of stream, and a row of `row` bytes, leave room for everything that closes the part.
    fn has_room(&mut self, bytes: u64, row: u64) -> Result<bool, StreamError> {
        if self.shared.warned.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.part.remaining.is_none() {
            return Ok(true);
        }
        if self.free(row) >= bytes {
            return Ok(true);
        }
        if self.under_way == 0 {
            return Ok(false);
        }
        // What is being compressed or encrypted was counted at its full size: look again when it has arrived.
        self.stream.drain()?;
        self.under_way = 0;
        Ok(self.free(row) >= bytes)
    }

    fn room(&self) -> u64 {
        if self.shared.warned.load(Ordering::Relaxed) { 0 } else { self.free(0) }
    }

    fn free(&self, row: u64) -> u64 {
        let Some(remaining) = self.part.remaining else { return u64::MAX };
        let index = self.index_bytes + row;
        let frames = self.position / (4 << 20) * self.frame_bytes;
        // age adds 16 bytes to 64 KiB, zstd's worst case is of the same order.
        let stream = self.under_way + self.under_way / 2048;
        let used = self.shared.stored.load(Ordering::Relaxed) + stream;
        remaining.saturating_sub(used + index + index / 1024 + frames + CLOSING_BYTES)
    }

    fn comment(&self) -> String {
        let StoreOptions { set, .. } = self.shared.options;
        let open = self.open.iter().flatten().count();
        let repeated = if open > 0 { format!(" open={open}") } else { String::new() };
        format!("reelward v1 set={set} part={} archive={}{repeated}", self.part.number, self.archive)
    }

    /// Repeats the directories that are open, so that an archive restored by itself, or after the one before, gives them
    /// their attributes.
    fn repeat_open(&mut self) -> Result<(), StreamError> {
        let open: Vec<u8> = self.open.iter().flatten().flatten().copied().collect();
        self.write(&open)
    }

    fn begin_stream(&mut self) -> Result<(), StreamError> {
        self.opened = Instant::now();
        self.stream.begin()
    }

    fn open_archive(&mut self) -> Result<(), StreamError> {
        if self.position > 0 {
            return Ok(());
        }
        let mut head = Vec::new();
        encode_global(&self.comment(), None, &mut head);
        self.begin_stream()?;
        self.write(&head)?;
        self.repeat_open()
    }

    fn checkpoint_if_due(&mut self) -> Result<(), StreamError> {
        let options = self.shared.options;
        if self.position >= options.checkpoint_bytes
            || (self.position > 0 && self.opened.elapsed() >= options.checkpoint_time)
        {
            self.end_archive(true)?;
        }
        Ok(())
    }

    /// Closes the open archive. `whole`: no member goes on behind it.
    fn end_archive(&mut self, whole: bool) -> Result<(), StreamError> {
        self.send_rows()?;
        if self.position == 0 {
            return Ok(());
        }
        if whole {
            self.write(&END_OF_ARCHIVE)?;
        }
        self.stream.end(self.archive, self.part.number, self.position)?;
        self.shared.index.send(ToIndex::EndArchive).map_err(|_| StreamError::Closed)?;
        self.archive += 1;
        self.position = 0;
        self.unsaved = false;
        Ok(())
    }

    fn next_part(&mut self) -> Result<(), StreamError> {
        self.end_archive(true)?;
        self.next_volume()
    }

    fn next_volume(&mut self) -> Result<(), StreamError> {
        let (reply, answer) = bounded(1);
        self.stream.mark(Mark::Part { ending: Ending::Continued, reply })?;
        self.part = answer.recv().map_err(|_| StreamError::Closed)?;
        self.shared.stored.store(0, Ordering::Relaxed);
        self.shared.warned.store(false, Ordering::Relaxed);
        self.under_way = 0;
        self.index_bytes = 0;
        Ok(())
    }
}

fn index_bytes(member: &Member) -> u64 {
    ROW_BYTES + (member.name.len() + member.link.len()) as u64
}

fn segment_index_bytes(rows: &[Row]) -> u64 {
    rows.iter()
        .map(|row| match row {
            Row::Member { member, .. } => index_bytes(member),
            Row::Enter(name) => name.len() as u64 + 24,
            Row::Seen(seen) => seen.name.len() as u64 + SEEN_BYTES,
            Row::Leave => 0,
        })
        .sum()
}

fn push_component(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}
