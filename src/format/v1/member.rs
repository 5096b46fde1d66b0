//! One row of the index: where a stored object is and how to recognise it (chapter 8).

use super::entry::{Entry, Kind};

/// What a reader must know about a member beyond its data. A set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notes(pub u8);

impl Notes {
    /// The file changed while it was read.
    pub const CHANGED: Notes = Notes(1);
    /// Part of it could not be read; zeros stand there.
    pub const UNREADABLE: Notes = Notes(2);
    /// Its data lies on more than one volume.
    pub const SPLIT: Notes = Notes(4);

    /// Whether all bits of `other` are set.
    pub fn contains(self, other: Notes) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    pub fn with(self, other: Notes) -> Notes {
        Notes(self.0 | other.0)
    }
}

/// One member as the index keeps it. The path is the directory's, known from context, and `name`;
/// a directory's own entry carries its own last component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Last path component, any bytes but NUL and `/`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content, holes included; 0 unless regular.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime: i64,
    /// SHA-256 of the content of a regular file; zeros for every other kind.
    pub sha256: [u8; 32],
    /// Number of the archive file in the set, from 1, that holds its (last) header.
    pub archive: u32,
    /// Offset in the tar stream of that archive of the member's first header, extended ones included; a multiple of 512.
    pub offset: u64,
    /// Target of a symbolic or hard link, else empty.
    pub link: Vec<u8>,
    /// Exceptions.
    pub notes: Notes,
}

impl Member {
    /// The row of an entry; archive and offset are still to be filled in.
    pub fn of(entry: &Entry, name: Vec<u8>, sha256: [u8; 32], notes: Notes) -> Member {
        Member {
            name,
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime.as_nanos(),
            sha256,
            archive: 0,
            offset: 0,
            link: entry.link.clone(),
            notes,
        }
    }
}
