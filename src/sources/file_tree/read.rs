//! Readers: open, read, encode and hash; small files whole, large ones in pieces.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender};
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FileType, SeekFrom, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::after::{Baseline, Known, Seen};
use super::attributes::Attributes;
use super::walk::{Directory, Item, Work, open_file};
use crate::format::v1::seen::{SeenEntry, Signature};
use crate::format::v1::sparse;
use crate::format::v1::tar_header::{encode_entry, padding};
use crate::format::v1::{Entry, Extent, Kind, Member, Notes, Timestamp};
use crate::sources::{Chunk, Part, Problem, ProblemKind, Row, Segment};

/// Files up to this size are stored whole in a segment; larger ones are streamed.
const WHOLE: u64 = 1 << 20;
/// A segment is handed on when it holds this much.
const SEGMENT_BYTES: usize = 512 * 1024;
/// Bytes of one read of a large file.
const CHUNK_BYTES: usize = 1 << 20;
/// Files below this are read by one system call: what it returns is one state of the file.
const ONE_CALL: u64 = 64 * 1024;

/// Buffers that were used once and can be used again: fresh memory costs page faults.
#[derive(Clone, Default)]
pub(super) struct Recycler(Arc<std::sync::Mutex<Vec<Vec<u8>>>>);

impl Recycler {
    /// Buffers kept at most.
    const KEPT: usize = 24;

    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if let Ok(mut kept) = self.0.lock()
            && kept.len() < Self::KEPT
        {
            kept.push(buffer);
        }
    }

    fn take(&self) -> Vec<u8> {
        self.0.lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default()
    }
}

/// What earlier runs of this set stored, and what an earlier set saw.
type Earlier<'a> = (Option<&'a dyn Known>, Option<&'a dyn Baseline>);

/// Works through batches until there are no more.
pub(super) fn run(work: &Receiver<Work>, recycler: &Recycler, earlier: Earlier<'_>, stop: &AtomicBool) {
    let mut attributes = Attributes::default();
    let (known, baseline) = earlier;
    for Work { items, output } in work {
        let segment = Segment { bytes: recycler.take(), rows: Vec::with_capacity(items.len() + 1) };
        let mut reader =
            Reader { output, recycler, attributes: &mut attributes, known, baseline, stored: None, segment };
        for item in items {
            if stop.load(Ordering::Relaxed) || reader.item(item).is_none() {
                break; // the pipeline is gone
            }
        }
        let _ = reader.flush();
        recycler.give(reader.segment.bytes);
    }
}

/// Reads one batch. `None` everywhere means that nobody listens any more.
struct Reader<'a> {
    output: Sender<Part>,
    recycler: &'a Recycler,
    attributes: &'a mut Attributes,
    known: Option<&'a dyn Known>,
    baseline: Option<&'a dyn Baseline>,
    /// Signature of the entry in work, once it was handed on.
    stored: Option<Signature>,
    segment: Segment,
}

impl Reader<'_> {
    fn item(&mut self, item: Item) -> Option<()> {
        match item {
            Item::Leave => self.segment.rows.push(Row::Leave),
            Item::Problem(problem) => self.problem(problem)?,
            Item::Reenter { name, member } => self.reenter(name, member.as_deref())?,
            Item::Passed { directory, name } => self.passed(&directory, &name)?,
            Item::Enter { name, member } => {
                self.segment.rows.push(Row::Enter(name.clone()));
                if let Some(directory) = member {
                    self.directory(name, &directory)?;
                }
            }
            Item::Entry { directory, name, kind } => self.entry(&directory, &name, kind)?,
        }
        if self.segment.bytes.len() >= SEGMENT_BYTES { self.flush() } else { Some(()) }
    }

    fn entry(&mut self, directory: &Directory, name: &CString, kind: FileType) -> Option<()> {
        if let Some(kept) = self.unchanged(directory, name) {
            self.segment.rows.push(Row::Seen(kept));
            return Some(());
        }
        self.stored = None;
        if kind == FileType::RegularFile {
            self.file(directory, name)?;
        } else {
            self.special(directory, name, kind)?;
        }
        if let Some(signature) = self.stored.take() {
            let name = name.to_bytes().to_vec();
            self.segment.rows.push(Row::Seen(SeenEntry { name, signature, origin: 0 }));
        }
        Some(())
    }

    /// The entry as the baseline has it, if it is still that.
    fn unchanged(&self, directory: &Directory, name: &CString) -> Option<SeenEntry> {
        let baseline = self.baseline?;
        let before = directory.before.get_or_init(|| {
            let path = stored(&directory.path);
            baseline.directory(path.strip_suffix(b"/").unwrap_or(path))
        });
        let before = before.get(name.to_bytes())?;
        let status = rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let signature = signature_of(&status, false);
        let kept = || SeenEntry { signature, ..before.clone() };
        before.signature.is_unchanged(&signature).then(kept)
    }

    /// Hands the segment on.
    fn flush(&mut self) -> Option<()> {
        if self.segment.rows.is_empty() {
            return Some(());
        }
        let bytes = self.recycler.take();
        let segment = std::mem::replace(&mut self.segment, Segment { bytes, rows: Vec::new() });
        self.output.send(Part::Segment(segment)).ok()
    }

    fn problem(&mut self, problem: Problem) -> Option<()> {
        self.flush()?;
        self.output.send(Part::Problem(problem)).ok()
    }

    fn failed(
        &mut self,
        directory: &Directory,
        name: &CString,
        kind: ProblemKind,
        errno: Errno,
    ) -> Option<()> {
        let kind = if errno == Errno::NOENT { ProblemKind::Vanished } else { kind };
        let path = [&directory.path, name.as_bytes()].concat();
        self.problem(Problem { path, kind, error: Some(errno) })
    }

    /// A directory in which an earlier run ended: its headers are repeated, it is no member again.
    fn reenter(&mut self, name: Vec<u8>, directory: Option<&Directory>) -> Option<()> {
        self.flush()?;
        let header = directory.and_then(|directory| {
            let path = directory.path.strip_suffix(b"/").unwrap_or(&directory.path);
            let status = rustix::fs::fstat(&directory.fd).ok()?;
            let mut entry = entry_of(stored(path).to_vec(), Kind::Directory, &status);
            let _ = self.attributes.of_open(&directory.fd, &mut entry); // told when it was stored
            let mut header = Vec::new();
            encode_entry(&entry, &mut header);
            Some(header)
        });
        self.output.send(Part::Reenter { name, header }).ok()
    }

    /// An entry that an earlier run stored: later names of the same object become links to it.
    fn passed(&mut self, directory: &Directory, name: &CString) -> Option<()> {
        let Some(known) = self.known else { return Some(()) };
        let Ok(status) = rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW) else {
            return Some(());
        };
        let kind = match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => Kind::Regular,
            FileType::Symlink => Kind::Symlink,
            _ => return Some(()),
        };
        if status.st_nlink < 2 {
            return Some(());
        }
        let size = if kind == Kind::Regular { u64::try_from(status.st_size).unwrap_or(0) } else { 0 };
        let path = [stored(&directory.path), name.as_bytes()].concat();
        let Some(first) = known.first_name(&path, &Seen { kind, size, mtime: mtime_of(&status) }) else {
            return Some(());
        };
        self.flush()?;
        let identity = (status.st_dev, status.st_ino);
        self.output.send(Part::Passed { first, identity, names: status.st_nlink }).ok()
    }

    fn directory(&mut self, name: Vec<u8>, directory: &Directory) -> Option<()> {
        let path = directory.path.strip_suffix(b"/").unwrap_or(&directory.path);
        let status = match rustix::fs::fstat(&directory.fd) {
            Ok(status) => status,
            Err(errno) => {
                let problem =
                    Problem { path: path.to_vec(), kind: ProblemKind::Unreadable, error: Some(errno) };
                return self.problem(problem);
            }
        };
        let mut entry = entry_of(stored(path).to_vec(), Kind::Directory, &status);
        if let Err(errno) = self.attributes.of_open(&directory.fd, &mut entry) {
            let kind = ProblemKind::Attributes;
            self.problem(Problem { path: path.to_vec(), kind, error: Some(errno) })?;
        }
        self.push(&entry, name, [0; 32], Notes::default());
        Some(())
    }

    /// Adds a member without data.
    fn push(&mut self, entry: &Entry, name: Vec<u8>, sha256: [u8; 32], notes: Notes) {
        let start = self.segment.bytes.len();
        encode_entry(entry, &mut self.segment.bytes);
        let end = self.segment.bytes.len();
        self.segment.rows.push(Row::Member { member: Member::of(entry, name, sha256, notes), start, end });
    }

    fn special(&mut self, directory: &Directory, name: &CString, kind: FileType) -> Option<()> {
        let kind = match kind {
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => {
                let path = [&directory.path, name.as_bytes()].concat();
                return self.problem(Problem { path, kind: ProblemKind::Socket, error: None });
            }
        };
        let status = match rustix::fs::statat(&directory.fd, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => status,
            Err(errno) => return self.failed(directory, name, ProblemKind::Unreadable, errno),
        };
        let mut path = [&directory.path, name.as_bytes()].concat();
        path.drain(..path.len() - stored(&path).len());
        let mut entry = entry_of(path, kind, &status);
        match kind {
            Kind::Symlink => match rustix::fs::readlinkat(&directory.fd, name, Vec::new()) {
                Ok(target) => entry.link = target.into_bytes(),
                Err(errno) => return self.failed(directory, name, ProblemKind::Unreadable, errno),
            },
            Kind::CharDevice | Kind::BlockDevice => {
                entry.device = (rustix::fs::major(status.st_rdev), rustix::fs::minor(status.st_rdev));
            }
            _ => {}
        }
        if let Err(errno) = self.attributes.of_unopened(directory, name, &mut entry) {
            self.failed(directory, name, ProblemKind::Attributes, errno)?;
        }
        self.stored = Some(signature_of(&status, is_recent(&status)));
        if kind == Kind::Symlink && status.st_nlink > 1 {
            self.flush()?;
            self.output.send(linked(entry, &status)).ok()?;
            return self.output.send(Part::End(Notes::default())).ok();
        }
        self.push(&entry, name.to_bytes().to_vec(), [0; 32], Notes::default());
        Some(())
    }

    fn file(&mut self, directory: &Directory, name: &CString) -> Option<()> {
        let opened = open_file(directory, name).and_then(|fd| rustix::fs::fstat(&fd).map(|s| (fd, s)));
        let (fd, status) = match opened {
            Ok(opened) => opened,
            // Listed as a file, a symbolic link now.
            Err(Errno::LOOP) => return self.special(directory, name, FileType::Symlink),
            Err(errno) => return self.failed(directory, name, ProblemKind::Unreadable, errno),
        };
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            // Listed as a file, something else now.
            return self.special(directory, name, FileType::from_raw_mode(status.st_mode));
        }
        let mut path = Vec::with_capacity(directory.path.len() + name.as_bytes().len());
        path.extend_from_slice(stored(&directory.path));
        path.extend_from_slice(name.as_bytes());
        let mut entry = entry_of(path, Kind::Regular, &status);
        if let Err(errno) = self.attributes.of_open(&fd, &mut entry) {
            self.failed(directory, name, ProblemKind::Attributes, errno)?;
        }
        self.stored = Some(signature_of(&status, is_recent(&status)));
        let occupied = u64::try_from(status.st_blocks).unwrap_or(0).saturating_mul(512);
        if status.st_nlink == 1 && entry.size <= WHOLE && occupied >= entry.size {
            return self.whole(directory, name, &fd, &entry);
        }
        if occupied < entry.size {
            entry.sparse = data_extents(&fd, entry.size);
        }
        self.stream(directory, name, &fd, entry, &status)
    }

    /// Stores a small file as one state of it, as far as the system can tell.
    fn whole(&mut self, directory: &Directory, name: &CString, fd: &OwnedFd, entry: &Entry) -> Option<()> {
        let start = self.segment.bytes.len();
        encode_entry(entry, &mut self.segment.bytes);
        let data = self.segment.bytes.len();
        let size = entry.size as usize;
        // One byte more than expected, so that a file that grew is seen.
        self.segment.bytes.reserve(size + 1 + padding(entry.size));
        let mut filled = 0;
        let mut failure = None;
        while filled <= size {
            match rustix::io::read(fd, spare_capacity(&mut self.segment.bytes)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    failure = Some(errno);
                    break;
                }
            }
            if filled >= size && entry.size <= ONE_CALL {
                break;
            }
        }
        let mut notes = Notes::default();
        if let Some(errno) = failure {
            self.segment.bytes.truncate(data + filled.min(size));
            self.segment.bytes.resize(data + size, 0);
            notes = notes.with(Notes::UNREADABLE);
            self.read_error(directory, name, errno)?;
        } else if filled < size {
            // It shrank: what was read is a state of it, so the header must say that size.
            let content = self.segment.bytes[data..].to_vec();
            self.segment.bytes.truncate(start);
            let shorter = Entry { size: filled as u64, ..entry.clone() };
            encode_entry(&shorter, &mut self.segment.bytes);
            self.segment.bytes.extend_from_slice(&content);
            return self.whole_end(directory, name, &shorter, start, content.len(), Notes::CHANGED);
        }
        if filled > size || (entry.size > ONE_CALL && changed(fd, entry)) {
            notes = notes.with(Notes::CHANGED);
        }
        self.segment.bytes.truncate(data + size);
        self.whole_end(directory, name, entry, start, size, notes)
    }

    fn whole_end(
        &mut self,
        directory: &Directory,
        name: &CString,
        entry: &Entry,
        start: usize,
        size: usize,
        notes: Notes,
    ) -> Option<()> {
        let bytes = &mut self.segment.bytes;
        let sha256 = Sha256::digest(&bytes[bytes.len() - size..]).into();
        bytes.resize(bytes.len() + padding(size as u64), 0);
        let member = Member::of(entry, name.to_bytes().to_vec(), sha256, notes);
        self.segment.rows.push(Row::Member { member, start, end: self.segment.bytes.len() });
        self.doubt(notes);
        if notes.contains(Notes::CHANGED) {
            let path = [&directory.path, name.as_bytes()].concat();
            self.problem(Problem { path, kind: ProblemKind::Changed, error: None })?;
        }
        Some(())
    }

    fn read_error(&mut self, directory: &Directory, name: &CString, errno: Errno) -> Option<()> {
        let path = [&directory.path, name.as_bytes()].concat();
        self.output
            .send(Part::Problem(Problem { path, kind: ProblemKind::ReadError, error: Some(errno) }))
            .ok()
    }

    /// Delivers a large, sparse or several-named file in pieces.
    fn stream(
        &mut self,
        directory: &Directory,
        name: &CString,
        fd: &OwnedFd,
        entry: Entry,
        status: &Stat,
    ) -> Option<()> {
        self.flush()?;
        let extents = entry.sparse.clone().unwrap_or_else(|| vec![Extent { offset: 0, length: entry.size }]);
        let (size, mtime) = (entry.size, entry.mtime);
        let begin = if status.st_nlink > 1 { linked(entry, status) } else { Part::Begin(Box::new(entry)) };
        self.output.send(begin).ok()?;
        let mut failure = None;
        let mut position = 0;
        for extent in extents {
            self.hole(extent.offset - position)?;
            position = extent.offset + extent.length;
            let mut at = extent.offset;
            while at < position {
                let length = (position - at).min(CHUNK_BYTES as u64) as usize;
                let mut chunk = self.recycler.take();
                chunk.resize(length, 0);
                if failure.is_none() {
                    failure = read_exactly(fd, &mut chunk, at).err();
                } else {
                    chunk.fill(0);
                }
                at += length as u64;
                self.output.send(Part::Chunk(Chunk::Data(chunk))).ok()?;
            }
        }
        self.hole(size - position)?;
        let mut notes = Notes::default();
        match failure {
            Some(ReadFailure::Error(errno)) => {
                notes = notes.with(Notes::UNREADABLE);
                self.read_error(directory, name, errno)?;
            }
            Some(ReadFailure::Shorter) => notes = notes.with(Notes::CHANGED),
            None => {}
        }
        let now = rustix::fs::fstat(fd).ok();
        if now.is_none_or(|now| mtime_of(&now) != mtime || now.st_size != status.st_size) {
            notes = notes.with(Notes::CHANGED);
        }
        if notes.contains(Notes::CHANGED) {
            let path = [&directory.path, name.as_bytes()].concat();
            self.output
                .send(Part::Problem(Problem { path, kind: ProblemKind::Changed, error: None }))
                .ok()?;
        }
        self.doubt(notes);
        self.output.send(Part::End(notes)).ok()
    }

    /// What is not stored as it was is stored again the next time.
    fn doubt(&mut self, notes: Notes) {
        if let Some(signature) = &mut self.stored {
            signature.unsure |= notes != Notes::default();
        }
    }

    fn hole(&mut self, length: u64) -> Option<()> {
        if length == 0 { Some(()) } else { self.output.send(Part::Chunk(Chunk::Hole(length))).ok() }
    }
}

/// An object with several names.
fn linked(entry: Entry, status: &Stat) -> Part {
    let identity = (status.st_dev, status.st_ino);
    Part::Linked { entry: Box::new(entry), identity, names: status.st_nlink }
}

enum ReadFailure {
    Error(Errno),
    /// The file ended before its declared size.
    Shorter,
}

/// Fills `buffer` from `offset`; what could not be had is zeros.
fn read_exactly(fd: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<(), ReadFailure> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(fd, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => {
                buffer[filled..].fill(0);
                return Err(ReadFailure::Shorter);
            }
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(errno) => {
                buffer[filled..].fill(0);
                return Err(ReadFailure::Error(errno));
            }
        }
    }
    Ok(())
}

/// Where the data of a file with holes lies; `None` where the file system sees no hole.
fn data_extents(fd: &OwnedFd, size: u64) -> Option<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut at = 0;
    while at < size {
        let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
            Ok(data) => data.min(size),
            Err(Errno::NXIO) => break, // a hole up to the end
            Err(_) => return None,
        };
        let end = rustix::fs::seek(fd, SeekFrom::Hole(data)).ok()?.min(size);
        if end <= data {
            break;
        }
        extents.push(Extent { offset: data, length: end - data });
        at = end;
    }
    sparse::align(&mut extents, size);
    sparse::coalesce(&mut extents, sparse::MAX_EXTENTS);
    let dense = matches!(extents.as_slice(), [only] if only.offset == 0 && only.length == size);
    if dense { None } else { Some(extents) }
}

fn changed(fd: &OwnedFd, entry: &Entry) -> bool {
    rustix::fs::fstat(fd)
        .map_or(true, |now| mtime_of(&now) != entry.mtime || now.st_size as u64 != entry.size)
}

/// The kernel's clock for times of files runs behind by as much.
const CLOCK_LAG: Duration = Duration::from_millis(20);

fn signature_of(status: &Stat, unsure: bool) -> Signature {
    let ctime = Timestamp { seconds: status.st_ctime, nanoseconds: status.st_ctime_nsec as u32 };
    Signature {
        inode: status.st_ino,
        size: u64::try_from(status.st_size).unwrap_or(0),
        mtime: mtime_of(status).as_nanos(),
        ctime: ctime.as_nanos(),
        device: (status.st_nlink > 1).then_some(status.st_dev),
        unsure,
    }
}

/// Whether a change after now could bear the same time as the last one before.
fn is_recent(status: &Stat) -> bool {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(since.saturating_sub(CLOCK_LAG).as_nanos()).unwrap_or(i64::MAX);
    let changed = Timestamp { seconds: status.st_ctime, nanoseconds: status.st_ctime_nsec as u32 };
    // Times without a fraction: the file system knows seconds only.
    let step = if changed.nanoseconds == 0 { 1_000_000_000 } else { 1 };
    changed.as_nanos() / step >= now / step
}

/// The path as the archive has it: absolute, without the leading `/`.
fn stored(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    &path[start..]
}

fn mtime_of(status: &Stat) -> Timestamp {
    Timestamp { seconds: status.st_mtime, nanoseconds: status.st_mtime_nsec as u32 }
}

fn entry_of(path: Vec<u8>, kind: Kind, status: &Stat) -> Entry {
    Entry {
        mode: status.st_mode & 0o7777,
        uid: status.st_uid,
        gid: status.st_gid,
        mtime: mtime_of(status),
        size: if kind == Kind::Regular { u64::try_from(status.st_size).unwrap_or(0) } else { 0 },
        ..Entry::new(path, kind)
    }
}
