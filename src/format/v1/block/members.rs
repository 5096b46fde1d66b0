//! Members of a block, decoded in order.

use super::{BlockReader, KindRow, SECOND, WHOLE_SECONDS};
use crate::format::bytes::{Cursor, unzigzag};
use crate::format::v1::entry::Kind;
use crate::format::v1::member::{Member, Notes};

struct RunCursor<'a> {
    cursor: Cursor<'a>,
    id: u64,
    left: u64,
}

impl<'a> RunCursor<'a> {
    fn new(group: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(group, "runs");
        let _ = cursor.varint();
        RunCursor { cursor, id: 0, left: 0 }
    }

    fn next(&mut self) -> Option<u64> {
        while self.left == 0 {
            self.id = self.cursor.varint().ok()?;
            self.left = self.cursor.varint().ok()?;
        }
        self.left -= 1;
        Some(self.id)
    }
}

struct NoteCursor<'a> {
    cursor: Cursor<'a>,
    next: Option<(u64, u8)>,
}

impl<'a> NoteCursor<'a> {
    fn new(group: &'a [u8]) -> Self {
        let mut cursor = Cursor::new(group, "notes");
        let _ = cursor.varint();
        let mut notes = NoteCursor { cursor, next: None };
        notes.advance();
        notes
    }

    fn advance(&mut self) {
        self.next = self.cursor.varint().ok().and_then(|index| Some((index, self.cursor.u8().ok()?)));
    }

    fn of(&mut self, index: usize) -> Notes {
        match self.next {
            Some((at, note)) if at == index as u64 => {
                self.advance();
                Notes(note)
            }
            _ => Notes::default(),
        }
    }
}

/// The members of a block, decoded one after the other.
pub struct Members<'a, 'r> {
    reader: &'r BlockReader<'a>,
    index: usize,
    runs: RunCursor<'a>,
    archives: RunCursor<'a>,
    sizes: Cursor<'a>,
    times: Cursor<'a>,
    offsets: Cursor<'a>,
    time: i64,
    offset: i64,
    hashes: &'a [u8],
    links: Cursor<'a>,
    notes: NoteCursor<'a>,
    names: Cursor<'a>,
}

/// What [`Members`] reads of one member before anything is copied.
struct Row<'a> {
    directory: u64,
    archive: u64,
    kind: KindRow,
    size: u64,
    hash: [u8; 32],
    link: &'a [u8],
    notes: Notes,
    name: &'a [u8],
}

impl<'a, 'r> Members<'a, 'r> {
    pub(super) fn new(reader: &'r BlockReader<'a>) -> Self {
        Members {
            reader,
            index: 0,
            runs: RunCursor::new(reader.runs),
            archives: RunCursor::new(reader.archives),
            sizes: Cursor::new(reader.sizes, "sizes"),
            times: Cursor::new(reader.times, "times"),
            offsets: Cursor::new(reader.offsets, "offsets"),
            time: 0,
            offset: 0,
            hashes: reader.hashes,
            links: Cursor::new(reader.links, "links"),
            notes: NoteCursor::new(reader.notes),
            names: Cursor::new(reader.names, "names"),
        }
    }

    fn row(&mut self) -> Option<Row<'a>> {
        let index = self.index;
        if index >= self.reader.count as usize {
            return None;
        }
        let kind = *self.reader.kind(index)?;
        let size = self.sizes.varint().ok()?;
        self.time = self.time.wrapping_add(unzigzag(self.times.varint().ok()?));
        self.offset = self.offset.wrapping_add(unzigzag(self.offsets.varint().ok()?));
        let mut hash = [0; 32];
        let mut link: &[u8] = &[];
        match kind.kind {
            Kind::Regular => {
                let (head, rest) = self.hashes.split_first_chunk::<32>()?;
                hash = *head;
                self.hashes = rest;
            }
            Kind::Symlink | Kind::HardLink => link = self.links.name().ok()?,
            _ => {}
        }
        self.index += 1;
        Some(Row {
            directory: self.runs.next()?,
            archive: self.archives.next()?,
            kind,
            size,
            hash,
            link,
            notes: self.notes.of(index),
            name: self.names.name().ok()?,
        })
    }

    /// Goes over `n` members without copying them.
    pub fn skip_members(&mut self, n: usize) -> Option<()> {
        for _ in 0..n {
            self.row()?;
        }
        Some(())
    }
}

impl Iterator for Members<'_, '_> {
    type Item = (u64, Member);

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.row()?;
        let scale = if self.reader.flags & WHOLE_SECONDS != 0 { SECOND } else { 1 };
        let member = Member {
            name: row.name.to_vec(),
            kind: row.kind.kind,
            mode: row.kind.mode,
            uid: row.kind.uid,
            gid: row.kind.gid,
            size: row.size,
            mtime: self.time.wrapping_mul(scale),
            sha256: row.hash,
            archive: row.archive as u32,
            offset: (self.offset as u64).wrapping_mul(512),
            link: row.link.to_vec(),
            notes: row.notes,
        };
        Some((row.directory, member))
    }
}
