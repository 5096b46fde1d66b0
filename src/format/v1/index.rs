//! The index file (chapter 7): `set.json` and `members.bin`.

use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize};

use crate::format::bytes::{BytesError, Cursor, put_varint, varint_length};

/// First bytes of `members.bin`.
pub const MAGIC: &[u8; 8] = b"RWIX\x01\0\0\0";
/// Longest section that is read.
pub const MAX_SECTION: u64 = 16 << 20;
/// Writers begin a new section of directories or frames at this size.
pub const SECTION_TARGET: usize = 1 << 20;
/// Bytes of a section beside its payload: kind, length, checksum.
pub const SECTION_OVERHEAD: u64 = 13;

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The stream under it failed.
    #[error("index: input or output failed")]
    Io(#[from] io::Error),
    /// It does not begin with the magic of `members.bin`, version 1.
    #[error("index: not a members.bin of version 1")]
    Magic,
    /// A section is longer than any writer makes it.
    #[error("index: a section {0:?} of {1} bytes is too long")]
    TooLong(char, u64),
    /// The checksum of a section does not match.
    #[error("index: checksum mismatch in a section {0:?}")]
    Checksum(char),
    /// A section of a kind that version 1 does not have.
    #[error("index: section {0:?} is not known")]
    Kind(char),
    /// A section contradicts itself or the ones before it.
    #[error("index: section {0:?} is malformed")]
    Malformed(char),
    /// JSON that does not say what it must.
    #[error("index: malformed JSON")]
    Json(#[from] serde_json::Error),
}

/// How far the set got with a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartState {
    /// All that was asked for is stored.
    Complete,
    /// A crash or a cancel ended the set.
    Interrupted,
    /// The set goes on on another volume.
    Continued,
}

/// One archive file, as `set.json` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveDescription {
    /// Number in the set, from 1.
    pub archive: u32,
    /// Tape file number on the volume.
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
}

/// `set.json`: what an index says without a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetDescription {
    /// `reelward-index`.
    pub format: String,
    /// 1.
    pub version: u32,
    /// Identity of the set.
    pub set: String,
    /// Number of this part, from 1.
    pub part: u32,
    /// Whether the set ends with this part.
    #[serde(rename = "final")]
    pub last: bool,
    /// How far the set got.
    pub state: PartState,
    /// RFC 3339, UTC.
    pub started: String,
    /// RFC 3339, UTC.
    pub written: String,
    /// Number in the set of the first member.
    pub first_ordinal: u64,
    /// Members of this part.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Bytes of a record of the volume.
    pub record_size: u32,
    /// `none` or `zstd`.
    pub compression: String,
    /// Public age recipients; empty when not encrypted.
    pub recipients: Vec<String>,
    /// Identity of the volume.
    pub volume: String,
    /// Identity of the volume with the part before.
    pub previous: Option<String>,
    /// The archive files of this part.
    pub archives: Vec<ArchiveDescription>,
}

impl SetDescription {
    /// The value of `format`.
    pub const FORMAT: &'static str = "reelward-index";

    /// As the bytes of `set.json`.
    pub fn to_json(&self) -> Result<Vec<u8>, IndexError> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// From the bytes of `set.json`; fields it does not know are ignored.
    pub fn from_json(bytes: &[u8]) -> Result<Self, IndexError> {
        let description: SetDescription = serde_json::from_slice(bytes)?;
        if description.format != Self::FORMAT || description.version != 1 {
            return Err(IndexError::Magic);
        }
        Ok(description)
    }
}

/// Section `I`: what `set.json` may not tell. Roots are byte strings; a byte that is not part of UTF-8, `%` and controls stand as `%XX`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Information {
    /// Name of the job.
    pub job: String,
    /// Name of the machine.
    pub host: String,
    /// What was asked for.
    pub roots: Vec<String>,
    /// Warnings of the set when the index was written.
    pub warnings: u64,
    /// What was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether the walk stayed on the file systems of the roots.
    #[serde(default, skip_serializing_if = "is_false")]
    pub one_file_system: bool,
    /// `incremental` or `differential`; absent for a full set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Sets that hold what was unchanged, the nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A directory, as section `D` lists it: one unbroken stretch of the walk below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryRow<'a> {
    /// Positive, unique in the set; ascending in the index. 0 is the root, which has no name.
    pub id: u64,
    /// 0 for the root.
    pub parent: u64,
    /// First ordinal of the directory's run.
    pub first: u64,
    /// Whether the run begins with the directory's own member.
    pub own: bool,
    /// Members of the run.
    pub direct: u64,
    /// Members of the run and of all directories below.
    pub subtree: u64,
    /// Last path component.
    pub name: &'a [u8],
}

impl DirectoryRow<'_> {
    /// Bytes that [`DirectoryRow::write`] appends.
    pub fn length(&self) -> usize {
        [self.id, self.parent, self.first, self.direct, self.subtree]
            .iter()
            .map(|v| varint_length(*v))
            .sum::<usize>()
            + 1
            + self.name.len()
            + 1
    }

    /// Appends the row to the payload of a section `D`.
    pub fn write(&self, out: &mut Vec<u8>) {
        for value in [self.id, self.parent, self.first, u64::from(self.own), self.direct, self.subtree] {
            put_varint(out, value);
        }
        out.extend_from_slice(self.name);
        out.push(0);
    }
}

/// A piece of a split member, as section `S` lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentRow {
    /// The member.
    pub ordinal: u64,
    /// The archive file that holds the piece.
    pub archive: u32,
    /// Where its header begins in that tar stream.
    pub stream_offset: u64,
    /// First byte of stored data the piece holds.
    pub data_offset: u64,
    /// Bytes of stored data.
    pub data_length: u64,
}

impl FragmentRow {
    /// Appends the row to the payload of a section `S`.
    pub fn write(&self, out: &mut Vec<u8>) {
        for value in
            [self.ordinal, u64::from(self.archive), self.stream_offset, self.data_offset, self.data_length]
        {
            put_varint(out, value);
        }
    }
}

/// Stored and content length of each zstd frame of an archive, packed: two varints a frame.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackedFrames(Vec<u8>);

impl PackedFrames {
    /// Appends a frame.
    pub fn push(&mut self, stored: u32, content: u32) {
        put_varint(&mut self.0, u64::from(stored));
        put_varint(&mut self.0, u64::from(content));
    }

    /// Frames in order: stored and content length in bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut cursor = Cursor::new(&self.0, "frames");
        std::iter::from_fn(move || Some((cursor.varint().ok()? as u32, cursor.varint().ok()? as u32)))
    }

    /// Whether there is no frame: the archive is not compressed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The packed form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks the packed form.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BytesError> {
        let mut cursor = Cursor::new(&bytes, "frames");
        while !cursor.is_empty() {
            for _ in 0..2 {
                u32::try_from(cursor.varint()?).map_err(|_| BytesError::TooLong("frames"))?;
            }
        }
        Ok(PackedFrames(bytes))
    }

    /// The payloads of sections `F` that hold this table, each below [`SECTION_TARGET`] and a little.
    pub fn sections(&self, archive: u32) -> Vec<Vec<u8>> {
        let mut cursor = Cursor::new(&self.0, "frames");
        let mut sections = Vec::new();
        while !cursor.is_empty() {
            let start = cursor.rest();
            let mut frames = 0;
            while start.len() - cursor.rest().len() < SECTION_TARGET
                && cursor.varint().is_ok()
                && cursor.varint().is_ok()
            {
                frames += 1;
            }
            let packed = start.get(..start.len() - cursor.rest().len()).unwrap_or_default();
            let mut out = Vec::with_capacity(packed.len() + 12);
            put_varint(&mut out, u64::from(archive));
            put_varint(&mut out, frames);
            out.extend_from_slice(packed);
            sections.push(out);
        }
        sections
    }

    /// Appends the frames of another table.
    pub fn append(&mut self, other: PackedFrames) {
        self.0.extend_from_slice(&other.0);
    }
}

impl FromIterator<(u32, u32)> for PackedFrames {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(iter: T) -> Self {
        let mut table = PackedFrames::default();
        for (stored, content) in iter {
            table.push(stored, content);
        }
        table
    }
}

/// zstd level of sections `w`.
const SEEN_LEVEL: i32 = 3;

/// Writes the sections of `members.bin`. The caller keeps their order.
pub struct IndexWriter<W> {
    out: W,
    written: u64,
    blocks: u64,
    members: u64,
}

impl<W: Write> IndexWriter<W> {
    /// Writes the magic.
    pub fn new(mut out: W) -> Result<Self, IndexError> {
        out.write_all(MAGIC)?;
        Ok(IndexWriter { out, written: MAGIC.len() as u64, blocks: 0, members: 0 })
    }

    /// Bytes so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn section(&mut self, kind: u8, payload: &[&[u8]]) -> Result<(), IndexError> {
        let length: usize = payload.iter().map(|p| p.len()).sum();
        let mut head = [0; 9];
        head[0] = kind;
        head[1..].copy_from_slice(&(length as u64).to_le_bytes());
        let mut crc = crc32c::crc32c(&head);
        self.out.write_all(&head)?;
        for piece in payload {
            crc = crc32c::crc32c_append(crc, piece);
            self.out.write_all(piece)?;
        }
        self.out.write_all(&crc.to_le_bytes())?;
        self.written += SECTION_OVERHEAD + length as u64;
        Ok(())
    }

    /// Section `I`.
    pub fn information(&mut self, information: &Information) -> Result<(), IndexError> {
        let json = serde_json::to_vec(information)?;
        self.section(b'I', &[&json])
    }

    /// Section `D`: rows that [`DirectoryRow::write`] made.
    pub fn directories(&mut self, rows: &[u8]) -> Result<(), IndexError> {
        self.section(b'D', &[rows])
    }

    /// Section `M`: a block in pieces that join to its bytes on tape.
    pub fn block(&mut self, members: u64, pieces: &[&[u8]]) -> Result<(), IndexError> {
        self.blocks += 1;
        self.members += members;
        self.section(b'M', pieces)
    }

    /// Sections `F` of one archive.
    pub fn frames(&mut self, archive: u32, table: &PackedFrames) -> Result<(), IndexError> {
        table.sections(archive).iter().try_for_each(|s| self.section(b'F', &[s]))
    }

    /// Section `S`: rows that [`FragmentRow::write`] made.
    pub fn fragments(&mut self, rows: &[u8]) -> Result<(), IndexError> {
        self.section(b'S', &[rows])
    }

    /// Section `w`: directories that [`put_directory`](super::seen::put_directory) wrote.
    pub fn seen(&mut self, plain: &[u8]) -> Result<(), IndexError> {
        let packed = zstd::bulk::compress(plain, SEEN_LEVEL)?;
        self.section(b'w', &[&packed])
    }

    /// Section `E`; returns the bytes of the whole `members.bin`.
    pub fn finish(mut self) -> Result<u64, IndexError> {
        let mut payload = Vec::new();
        put_varint(&mut payload, self.blocks);
        put_varint(&mut payload, self.members);
        self.section(b'E', &[&payload])?;
        self.out.flush()?;
        Ok(self.written)
    }
}

/// One section, checked as far as it can be alone.
#[derive(Debug)]
pub enum Section {
    /// `I`.
    Information(Information),
    /// `D`; see [`directory_rows`].
    Directories(Vec<u8>),
    /// `M`: give it to [`BlockReader::new`](super::block::BlockReader::new).
    Block(Vec<u8>),
    /// `F`.
    Frames(u32, PackedFrames),
    /// `S`.
    Fragments(Vec<FragmentRow>),
    /// `w`, unpacked; see [`directories`](super::seen::directories).
    Seen(Vec<u8>),
    /// `E`: blocks and members that must have come.
    End {
        /// Sections `M`.
        blocks: u64,
        /// Members in them.
        members: u64,
    },
}

/// The rows of a section `D`.
pub fn directory_rows(payload: &[u8]) -> impl Iterator<Item = Result<DirectoryRow<'_>, IndexError>> {
    let mut cursor = Cursor::new(payload, "directories");
    std::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        let row = directory_row(&mut cursor);
        if row.is_none() {
            cursor = Cursor::new(&[], "directories");
        }
        Some(row.ok_or(IndexError::Malformed('D')))
    })
}

fn directory_row<'a>(cursor: &mut Cursor<'a>) -> Option<DirectoryRow<'a>> {
    let limit = |v: u64| (v <= i64::MAX as u64).then_some(v);
    let mut number = || limit(cursor.varint().ok()?);
    let (id, parent, first) = (number()?, number()?, number()?);
    let own = match number()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let (direct, subtree) = (number()?, number()?);
    let name = cursor.name().ok()?;
    let sound = direct <= subtree
        && u64::from(own) <= direct
        && first.checked_add(subtree).is_some_and(|end| end <= i64::MAX as u64)
        && (if id == 0 { parent == 0 && name.is_empty() } else { parent < id && is_component(name) });
    sound.then_some(DirectoryRow { id, parent, first, own, direct, subtree, name })
}

fn is_component(name: &[u8]) -> bool {
    !name.is_empty() && !name.contains(&b'/')
}

/// Reads `members.bin` section by section; memory is bounded by [`MAX_SECTION`].
pub struct IndexReader<R> {
    input: R,
    ended: bool,
}

impl<R: Read> IndexReader<R> {
    /// Reads and checks the magic.
    pub fn new(mut input: R) -> Result<Self, IndexError> {
        let mut magic = [0; 8];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(IndexError::Magic);
        }
        Ok(IndexReader { input, ended: false })
    }

    /// The next section; `None` after `E`. A stream that ends before `E` is an error.
    pub fn next_section(&mut self) -> Result<Option<Section>, IndexError> {
        while !self.ended {
            if let Some(section) = self.section()? {
                return Ok(Some(section));
            }
        }
        Ok(None)
    }

    /// One section; none where it is of a later version and may be passed over.
    fn section(&mut self) -> Result<Option<Section>, IndexError> {
        let mut head = [0u8; 9];
        self.input.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let (name, length) = (char::from(kind), u64::from_le_bytes(length));
        if length > MAX_SECTION {
            return Err(IndexError::TooLong(name, length));
        }
        let mut payload = Vec::with_capacity(length.min(1 << 20) as usize);
        (&mut self.input).take(length).read_to_end(&mut payload)?;
        let mut crc = [0; 4];
        self.input.read_exact(&mut crc)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head), &payload) != u32::from_le_bytes(crc) {
            return Err(IndexError::Checksum(name));
        }
        let section = match kind {
            b'I' => Section::Information(serde_json::from_slice(&payload)?),
            b'D' => Section::Directories(payload),
            b'M' => Section::Block(payload),
            b'F' => frames(&payload).ok_or(IndexError::Malformed('F'))?,
            b'S' => fragments(&payload).ok_or(IndexError::Malformed('S'))?,
            b'E' => {
                self.ended = true;
                let mut cursor = Cursor::new(&payload, "end");
                match (cursor.varint(), cursor.varint(), cursor.is_empty()) {
                    (Ok(blocks), Ok(members), true) => Section::End { blocks, members },
                    _ => return Err(IndexError::Malformed('E')),
                }
            }
            b'w' => Section::Seen(zstd::bulk::decompress(&payload, MAX_SECTION as usize)?),
            kind if kind.is_ascii_lowercase() => return Ok(None),
            _ => return Err(IndexError::Kind(name)),
        };
        Ok(Some(section))
    }
}

fn frames(payload: &[u8]) -> Option<Section> {
    let mut cursor = Cursor::new(payload, "frames");
    let archive = u32::try_from(cursor.varint().ok()?).ok()?;
    let count = cursor.varint().ok()?;
    let table = PackedFrames::from_bytes(cursor.rest().to_vec()).ok()?;
    (table.iter().count() as u64 == count).then_some(Section::Frames(archive, table))
}

fn fragments(payload: &[u8]) -> Option<Section> {
    let mut cursor = Cursor::new(payload, "split members");
    let mut rows = Vec::new();
    while !cursor.is_empty() {
        let mut next = || cursor.varint().ok().filter(|v| *v <= i64::MAX as u64);
        rows.push(FragmentRow {
            ordinal: next()?,
            archive: u32::try_from(next()?).ok()?,
            stream_offset: next()?,
            data_offset: next()?,
            data_length: next()?,
        });
    }
    Some(Section::Fragments(rows))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
