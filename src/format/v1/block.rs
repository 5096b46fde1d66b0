//! The member block (chapter 8): up to 1024 members as columns, on tape and in the catalog alike.

mod members;

use super::entry::Kind;
use super::member::{Member, Notes};
use crate::format::bytes::{BytesError, Cursor, put_varint, zigzag};

pub use members::Members;

/// Members a block holds at most.
pub const MAX_MEMBERS: usize = 1024;
/// Different (kind, mode, uid, gid) a block holds at most.
pub const MAX_KINDS: usize = 256;
/// A block is full at this size even with few members; long names and links then keep it below 2 MiB.
const FULL_BYTES: usize = 1 << 20;
const VERSION: u8 = 1;
const WHOLE_SECONDS: u8 = 1;
const SECOND: i64 = 1_000_000_000;

/// Why bytes are not a member block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A value is cut off or too long.
    #[error("member block: malformed")]
    Bytes(#[from] BytesError),
    /// The checksum at the end does not match.
    #[error("member block: checksum mismatch")]
    Checksum,
    /// Written by a later version of the format.
    #[error("member block: version {0} is not known")]
    Version(u8),
    /// A column contradicts the count or another column.
    #[error("member block: {0} do not agree with the rest")]
    Column(&'static str),
    /// A directory id of a run is not listed in the index.
    #[error("member block: directory {0} is not in the index")]
    Directory(u64),
}

/// A finished block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Ordinal in the set of its first member.
    pub first_ordinal: u64,
    /// Members, 1..=1024.
    pub count: u32,
    /// As on tape.
    pub bytes: Vec<u8>,
    /// Where the group of names begins; names and checksum stand behind it.
    pub names_at: usize,
}

impl Block {
    /// The names, each ended by NUL.
    pub fn names(&self) -> &[u8] {
        names_of(self.bytes.get(self.names_at..).unwrap_or_default()).unwrap_or_default()
    }
}

/// The names in the tail of a block: what stands from [`Block::names_at`] on.
pub fn names_of(tail: &[u8]) -> Result<&[u8], BytesError> {
    Cursor::new(tail, "names").group()
}

/// What members of a block share: one row of its table of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindRow {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Collects members with consecutive ordinals.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    first_ordinal: u64,
    count: u32,
    runs: Vec<(u64, u64)>,
    archives: Vec<(u64, u64)>,
    kinds: Vec<KindRow>,
    kind_index: Vec<u8>,
    last_kind: usize,
    sizes: Vec<u8>,
    times: Vec<i64>,
    last_offset: i64,
    offsets: Vec<u8>,
    hashes: Vec<u8>,
    links: Vec<u8>,
    notes: Vec<u8>,
    notes_count: u64,
    names: Vec<u8>,
}

fn extend_run(runs: &mut Vec<(u64, u64)>, id: u64) {
    match runs.last_mut() {
        Some(last) if last.0 == id => last.1 += 1,
        _ => runs.push((id, 1)),
    }
}

fn group(out: &mut Vec<u8>, payload: &[u8]) {
    put_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

fn pairs(list: &[(u64, u64)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(list.len() * 5 + 3);
    put_varint(&mut out, list.len() as u64);
    for &(a, b) in list {
        put_varint(&mut out, a);
        put_varint(&mut out, b);
    }
    out
}

impl BlockBuilder {
    /// An empty block whose first member will have this ordinal.
    pub fn new(first_ordinal: u64) -> Self {
        BlockBuilder { first_ordinal, ..Default::default() }
    }

    /// Members held so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether [`BlockBuilder::finish`] is due before the next push.
    pub fn is_full(&self) -> bool {
        self.count as usize >= MAX_MEMBERS
            || self.kinds.len() >= MAX_KINDS
            || self.names.len() + self.links.len() >= FULL_BYTES
    }

    /// Appends a member of this directory. The caller finishes a block that [`is_full`](Self::is_full); a NUL in name or
    /// link ends it there.
    pub fn push(&mut self, directory: u64, member: &Member) {
        extend_run(&mut self.runs, directory);
        extend_run(&mut self.archives, u64::from(member.archive));
        let row = KindRow { kind: member.kind, mode: member.mode, uid: member.uid, gid: member.gid };
        if self.kinds.get(self.last_kind) != Some(&row) {
            self.last_kind = self.kinds.iter().position(|k| *k == row).unwrap_or_else(|| {
                self.kinds.push(row);
                self.kinds.len() - 1
            });
        }
        self.kind_index.push(self.last_kind as u8);
        put_varint(&mut self.sizes, member.size);
        self.times.push(member.mtime);
        let offset = (member.offset / 512) as i64;
        put_varint(&mut self.offsets, zigzag(offset.wrapping_sub(self.last_offset)));
        self.last_offset = offset;
        match member.kind {
            Kind::Regular => self.hashes.extend_from_slice(&member.sha256),
            Kind::Symlink | Kind::HardLink => push_name(&mut self.links, &member.link),
            _ => {}
        }
        if member.notes != Notes::default() {
            put_varint(&mut self.notes, u64::from(self.count));
            self.notes.push(member.notes.0);
            self.notes_count += 1;
        }
        push_name(&mut self.names, &member.name);
        self.count += 1;
    }

    /// The block, and an empty builder that goes on behind it. `None` when nothing was pushed.
    pub fn finish(&mut self) -> Option<Block> {
        if self.count == 0 {
            return None;
        }
        let done = std::mem::replace(self, BlockBuilder::new(self.first_ordinal + u64::from(self.count)));
        let whole = done.times.iter().all(|t| t % SECOND == 0);
        let mut out = Vec::with_capacity(
            done.hashes.len() + done.names.len() + done.links.len() + 16 * done.count as usize + 256,
        );
        put_head(&mut out, if whole { WHOLE_SECONDS } else { 0 }, done.count, done.first_ordinal, &done.runs);
        group(&mut out, &pairs(&done.archives));
        let mut kinds = Vec::with_capacity(done.kinds.len() * 8 + done.kind_index.len());
        put_varint(&mut kinds, done.kinds.len() as u64);
        for row in &done.kinds {
            kinds.push(row.kind as u8);
            for value in [row.mode, row.uid, row.gid] {
                put_varint(&mut kinds, u64::from(value));
            }
        }
        if done.kinds.len() > 1 {
            kinds.extend_from_slice(&done.kind_index);
        }
        group(&mut out, &kinds);
        group(&mut out, &done.sizes);
        let mut times = Vec::with_capacity(done.times.len() * 9);
        let mut last = 0i64;
        for &time in &done.times {
            let time = if whole { time / SECOND } else { time };
            put_varint(&mut times, zigzag(time.wrapping_sub(last)));
            last = time;
        }
        group(&mut out, &times);
        group(&mut out, &done.offsets);
        group(&mut out, &done.hashes);
        group(&mut out, &done.links);
        let mut notes = Vec::with_capacity(done.notes.len() + 2);
        put_varint(&mut notes, done.notes_count);
        notes.extend_from_slice(&done.notes);
        group(&mut out, &notes);
        let names_at = out.len();
        group(&mut out, &done.names);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Some(Block { first_ordinal: done.first_ordinal, count: done.count, bytes: out, names_at })
    }
}

fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(name.split(|b| *b == 0).next().unwrap_or_default());
    out.push(0);
}

fn put_head(out: &mut Vec<u8>, flags: u8, count: u32, first_ordinal: u64, runs: &[(u64, u64)]) {
    out.push(VERSION);
    out.push(flags);
    put_varint(out, u64::from(count));
    put_varint(out, first_ordinal);
    group(out, &pairs(runs));
}

/// A checked block: every column is known to hold what the count says.
#[derive(Debug, Clone)]
pub struct BlockReader<'a> {
    flags: u8,
    first_ordinal: u64,
    count: u32,
    runs: &'a [u8],
    archives: &'a [u8],
    kinds: Vec<KindRow>,
    kind_index: &'a [u8],
    sizes: &'a [u8],
    times: &'a [u8],
    offsets: &'a [u8],
    hashes: &'a [u8],
    links: &'a [u8],
    notes: &'a [u8],
    names: &'a [u8],
    /// What stands between the runs and the names.
    middle: &'a [u8],
    tail: &'a [u8],
}

impl<'a> BlockReader<'a> {
    /// Checks the checksum and every column of a block as it is on tape.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BlockError> {
        let mut cursor = Cursor::new(bytes, "member block");
        cursor.bytes(2)?;
        cursor.varint()?;
        cursor.varint()?;
        for _ in 0..9 {
            cursor.group()?;
        }
        let (body, tail) = bytes.split_at(bytes.len() - cursor.rest().len());
        BlockReader::from_parts(body, tail)
    }

    /// The same for a block that is kept as what stands before its names, and the rest.
    pub fn from_parts(body: &'a [u8], tail: &'a [u8]) -> Result<Self, BlockError> {
        let mut end = Cursor::new(tail, "names");
        let names = end.group()?;
        let checked = tail.len() - end.rest().len();
        let crc = end.u32()?;
        let whole = crc32c::crc32c_append(crc32c::crc32c(body), tail.get(..checked).unwrap_or_default());
        if crc != whole || !end.is_empty() {
            return Err(BlockError::Checksum);
        }
        let mut cursor = Cursor::new(body, "member block");
        let version = cursor.u8()?;
        if version != VERSION {
            return Err(BlockError::Version(version));
        }
        let flags = cursor.u8()?;
        let count = cursor.varint()?;
        if count == 0 || count > MAX_MEMBERS as u64 {
            return Err(BlockError::Column("counts"));
        }
        let first_ordinal = cursor.varint()?;
        if first_ordinal > i64::MAX as u64 {
            return Err(BlockError::Column("ordinals"));
        }
        let runs = cursor.group()?;
        let middle = cursor.rest();
        let archives = cursor.group()?;
        let kinds_group = cursor.group()?;
        let sizes = cursor.group()?;
        let times = cursor.group()?;
        let offsets = cursor.group()?;
        let hashes = cursor.group()?;
        let links = cursor.group()?;
        let notes = cursor.group()?;
        if !cursor.is_empty() {
            return Err(BlockError::Column("groups"));
        }
        let (kinds, kind_index) = read_kinds(kinds_group, count as usize)?;
        let reader = BlockReader {
            flags,
            first_ordinal,
            count: count as u32,
            runs,
            archives,
            kinds,
            kind_index,
            sizes,
            times,
            offsets,
            hashes,
            links,
            notes,
            names,
            middle,
            tail,
        };
        reader.check()?;
        Ok(reader)
    }

    fn check(&self) -> Result<(), BlockError> {
        let count = self.count as usize;
        for (group, what) in [(self.runs, "runs"), (self.archives, "archives")] {
            let mut cursor = Cursor::new(group, what);
            let mut total = 0u64;
            for _ in 0..cursor.varint()? {
                let id = cursor.varint()?;
                let length = cursor.varint()?;
                if length == 0 || (what == "archives" && id > u64::from(u32::MAX)) || id > i64::MAX as u64 {
                    return Err(BlockError::Column(what));
                }
                total = total.saturating_add(length);
            }
            if total != count as u64 || !cursor.is_empty() {
                return Err(BlockError::Column(what));
            }
        }
        for (group, what) in [(self.sizes, "sizes"), (self.times, "times"), (self.offsets, "offsets")] {
            let mut cursor = Cursor::new(group, what);
            for _ in 0..count {
                cursor.varint()?;
            }
            if !cursor.is_empty() {
                return Err(BlockError::Column(what));
            }
        }
        let (mut regular, mut linked) = (0, 0);
        for index in 0..count {
            match self.kind(index).map(|row| row.kind) {
                Some(Kind::Regular) => regular += 1,
                Some(Kind::Symlink | Kind::HardLink) => linked += 1,
                Some(_) => {}
                None => return Err(BlockError::Column("kinds")),
            }
        }
        if self.hashes.len() != regular * 32 {
            return Err(BlockError::Column("hashes"));
        }
        for (group, expected, what) in [(self.links, linked, "links"), (self.names, count, "names")] {
            let ends = group.last().is_none_or(|b| *b == 0);
            if !ends || memchr::memchr_iter(0, group).count() != expected {
                return Err(BlockError::Column(what));
            }
        }
        let mut cursor = Cursor::new(self.notes, "notes");
        let mut next = 0;
        for _ in 0..cursor.varint()? {
            let index = cursor.varint()?;
            cursor.u8()?;
            if index < next || index >= count as u64 {
                return Err(BlockError::Column("notes"));
            }
            next = index + 1;
        }
        if !cursor.is_empty() {
            return Err(BlockError::Column("notes"));
        }
        Ok(())
    }

    /// Ordinal in the set of the first member.
    pub fn first_ordinal(&self) -> u64 {
        self.first_ordinal
    }

    /// Members, 1..=1024.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Directory id and members of each run.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u32)> + 'a {
        read_pairs(self.runs)
    }

    /// Archive number and members of each run.
    pub fn archives(&self) -> impl Iterator<Item = (u64, u32)> + 'a {
        read_pairs(self.archives)
    }

    /// Kind, mode and owner of the member with this index in the block.
    #[inline]
    pub fn kind(&self, index: usize) -> Option<&KindRow> {
        match self.kinds.len() {
            1 => self.kinds.first(),
            _ => self.kinds.get(usize::from(*self.kind_index.get(index)?)),
        }
    }

    /// All names, each ended by NUL.
    pub fn names(&self) -> &'a [u8] {
        self.names
    }

    /// Bytes of content of each member.
    pub fn sizes(&self) -> impl Iterator<Item = u64> + 'a {
        let mut cursor = Cursor::new(self.sizes, "sizes");
        std::iter::from_fn(move || cursor.varint().ok())
    }

    /// The directory of the member with this index.
    pub fn directory(&self, index: usize) -> Option<u64> {
        at(self.runs(), index)
    }

    /// Members in order, each with its directory's id.
    pub fn members(&self) -> Members<'a, '_> {
        Members::new(self)
    }

    /// One member and its directory's id.
    pub fn member(&self, index: usize) -> Option<(u64, Member)> {
        let mut members = self.members();
        members.skip_members(index)?;
        members.next()
    }

    /// The same members with other directory ids.
    ///
    /// # Errors
    /// [`BlockError::Directory`] where `translate` knows no id.
    pub fn with_directories(&self, translate: impl Fn(u64) -> Option<u64>) -> Result<Block, BlockError> {
        let mut runs = Vec::new();
        for (id, length) in self.runs() {
            runs.push((translate(id).ok_or(BlockError::Directory(id))?, u64::from(length)));
        }
        let mut out = Vec::with_capacity(self.middle.len() + self.tail.len() + runs.len() * 6 + 32);
        put_head(&mut out, self.flags, self.count, self.first_ordinal, &runs);
        out.extend_from_slice(self.middle);
        let names_at = out.len();
        out.extend_from_slice(self.tail.get(..self.tail.len().saturating_sub(4)).unwrap_or_default());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        Ok(Block { first_ordinal: self.first_ordinal, count: self.count, bytes: out, names_at })
    }
}

fn read_kinds(group: &[u8], count: usize) -> Result<(Vec<KindRow>, &[u8]), BlockError> {
    let mut cursor = Cursor::new(group, "kinds");
    let n = cursor.varint()?;
    if n == 0 || n > MAX_KINDS as u64 {
        return Err(BlockError::Column("kinds"));
    }
    let mut kinds = Vec::with_capacity(n as usize);
    for _ in 0..n {
        let kind = Kind::from_number(cursor.u8()?).ok_or(BlockError::Column("kinds"))?;
        let mut values = [0u32; 3];
        for value in &mut values {
            *value = u32::try_from(cursor.varint()?).map_err(|_| BlockError::Column("kinds"))?;
        }
        let [mode, uid, gid] = values;
        kinds.push(KindRow { kind, mode, uid, gid });
    }
    let expected = if n > 1 { count } else { 0 };
    if cursor.rest().len() != expected {
        return Err(BlockError::Column("kinds"));
    }
    Ok((kinds, cursor.rest()))
}

fn read_pairs(group: &[u8]) -> impl Iterator<Item = (u64, u32)> {
    let mut cursor = Cursor::new(group, "runs");
    let _ = cursor.varint();
    std::iter::from_fn(move || Some((cursor.varint().ok()?, cursor.varint().ok()? as u32)))
}

fn at(runs: impl Iterator<Item = (u64, u32)>, index: usize) -> Option<u64> {
    let mut end = 0;
    for (id, length) in runs {
        end += length as usize;
        if index < end {
            return Some(id);
        }
    }
    None
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
