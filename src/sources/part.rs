//! The pieces in which a source delivers what it read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crossbeam_channel::Receiver;

use crate::format::v1::seen::SeenEntry;
use crate::format::v1::{Entry, Member, Notes};

/// One step of a directory walk, in stream order.
#[derive(Debug)]
pub enum Row {
    /// The walk goes down into this component; it is not a member by itself.
    Enter(Vec<u8>),
    /// The walk leaves the innermost component.
    Leave,
    /// The name just stored, or one that is as the baseline has it and is not stored again.
    Seen(SeenEntry),
    /// A whole member: bytes `start..end` of its segment, headers and padding included. `member.archive` and
    /// `member.offset` are filled in by the pipeline.
    Member {
        /// The index row.
        member: Member,
        /// First byte of its first header.
        start: usize,
        /// One past its last padding byte.
        end: usize,
    },
}

/// Whole members, ready for the tar stream.
#[derive(Debug, Default)]
pub struct Segment {
    /// Headers, data and padding.
    pub bytes: Vec<u8>,
    /// What the bytes hold, in order.
    pub rows: Vec<Row>,
}

/// A piece of a large file.
#[derive(Debug)]
pub enum Chunk {
    /// Data as it goes into the archive.
    Data(Vec<u8>),
    /// A hole of a sparse file: hashed as zeros, not stored.
    Hole(u64),
}

/// A source delivers these in walk order.
#[derive(Debug)]
pub enum Part {
    /// Whole members.
    Segment(Segment),
    /// A file too large for a segment begins; [`Part::Chunk`]s and one [`Part::End`] follow.
    Begin(Box<Entry>),
    /// The next piece of the file begun.
    Chunk(Chunk),
    /// The file begun ends here, with exactly its declared data delivered.
    End(Notes),
    /// A regular file or symbolic link with several names begins: only the pipeline knows, in stream order, whether another name of it
    /// went before. Chunks and an end follow as for [`Part::Begin`]; they are dropped where one did.
    Linked {
        /// The entry as if it were the first name.
        entry: Box<Entry>,
        /// Device and inode.
        identity: (u64, u64),
        /// Names the inode has.
        names: u64,
    },
    /// The walk goes down into a component that an earlier run of the set has stored, or that is no member. With its headers:
    /// the archive that begins there repeats them.
    Reenter {
        /// The component.
        name: Vec<u8>,
        /// The directory's own member, encoded.
        header: Option<Vec<u8>>,
    },
    /// A name of an object with several names that an earlier run of the set has stored.
    Passed {
        /// The first of its names that the set has.
        first: Vec<u8>,
        /// Device and inode.
        identity: (u64, u64),
        /// Names the inode has.
        names: u64,
    },
    /// Something could not be stored, or not as it was.
    Problem(Problem),
}

/// The parts of up to a batch of entries, in order; the channel closes at the batch's end.
pub type Batch = Receiver<Part>;

/// Why an object is missing from the archive, or not exact in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// It was listed and gone when it was opened.
    Vanished,
    /// It could not be opened or listed; nothing of it is stored.
    Unreadable,
    /// It could not be read to its end; zeros stand for the rest.
    ReadError,
    /// It changed while it was read; what is stored mixes states.
    Changed,
    /// Sockets have no content and are not stored.
    Socket,
    /// A kernel file system (proc, sys, ...) below the root; not entered.
    PseudoFileSystem,
    /// Another file system, and the task was told to stay on one.
    OtherFileSystem,
    /// Attributes or ACLs could not be read; the rest is stored.
    Attributes,
}

/// One thing to tell the administrator about one path.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Absolute path.
    pub path: Vec<u8>,
    /// What happened.
    pub kind: ProblemKind,
    /// The system's reason, where there is one.
    pub error: Option<rustix::io::Errno>,
}

impl Problem {
    /// The path for people and file-system calls.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.path))
    }

    /// Whether the object is stored at all.
    pub fn is_stored(&self) -> bool {
        matches!(self.kind, ProblemKind::ReadError | ProblemKind::Changed | ProblemKind::Attributes)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.kind {
            ProblemKind::Vanished => "vanished before it could be read",
            ProblemKind::Unreadable => "cannot be opened",
            ProblemKind::ReadError => "could not be read to its end, zeros stand for the rest",
            ProblemKind::Changed => "changed while it was read",
            ProblemKind::Socket => "is a socket, not stored",
            ProblemKind::PseudoFileSystem => "is a kernel file system, not entered",
            ProblemKind::OtherFileSystem => "is another file system, not entered",
            ProblemKind::Attributes => "attributes could not be read",
        };
        write!(f, "{}: {what}", String::from_utf8_lossy(&self.path).escape_debug())?;
        if let Some(error) = self.error {
            write!(f, " ({error})")?;
        }
        Ok(())
    }
}
