//! Threads joined by bounded channels between a source and a drive, and the way back.

mod buffer;
mod hasher;
mod prefetch;
mod progress;
mod sequencer;
mod store;
mod stream;
mod unpack;
mod writer;

use crate::drive::{BlockAddress, Drive, DriveError, FileNumber};
use crate::format::age::Recipient;
use crate::format::v1::seen::SeenEntry;
use crate::format::v1::{FrameTable, Member};

pub use prefetch::Prefetch;
pub use progress::{Phase, Progress, Snapshot};
pub use store::{Reporting, store};
pub use unpack::{Small, SmallBatch, Unpacked, Unpackers};

/// How a set is stored.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// RFC 9562 identity of the set, in lower case.
    pub set: String,
    /// Bytes of a record.
    pub record_size: usize,
    /// Bytes of records that may wait for the drive.
    pub buffer_bytes: usize,
    /// Let the buffer fill up again before a drive that had to wait goes on.
    pub streaming: bool,
    /// zstd level, where the archives are compressed.
    pub compression: Option<i32>,
    /// Who can read the archives; everybody when empty.
    pub recipients: Vec<Recipient>,
    /// An archive file is closed after this many bytes,
    pub checkpoint_bytes: u64,
    /// or after this time, at the next member boundary.
    pub checkpoint_time: std::time::Duration,
    /// Threads that compress.
    pub workers: usize,
}

/// Room on the volume for a part that begins.
#[derive(Debug, Clone, Copy)]
pub struct PartStart {
    /// Number of the part in the set, from 1.
    pub number: u32,
    /// Number of the first archive file in the set, from 1.
    pub first_archive: u32,
    /// Bytes that may be written before the volume is closed, where the drive can tell.
    pub remaining: Option<u64>,
}

/// A piece of a member that ends on a later volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Archive file that holds it.
    pub archive: u32,
    /// Where its header begins in the tar stream.
    pub stream_offset: u64,
    /// First byte of stored data it carries.
    pub data_offset: u64,
    /// Bytes of stored data.
    pub data_length: u64,
}

/// What the index is told, in stream order.
#[derive(Debug)]
pub enum IndexRow {
    /// Down into a component.
    Enter(Vec<u8>),
    /// Up.
    Leave,
    /// The name just stored, or one that was kept as it is in a base.
    Seen(SeenEntry),
    /// A member, complete in the stream.
    Member(Member),
    /// A member whose hash is still being taken.
    Streamed {
        /// The row, hash excepted.
        member: Member,
        /// Delivers the hash; closes without one when the member was given up, which then is no member.
        sha256: crossbeam_channel::Receiver<[u8; 32]>,
    },
    /// The volume ends inside the next member; this much of it stands there.
    Piece(Piece),
}

/// An archive file that stands on tape, its filemark flushed.
#[derive(Debug, Clone)]
pub struct ArchiveWritten {
    /// Number in the set.
    pub archive: u32,
    /// Part that holds it.
    pub part: u32,
    /// Tape file number.
    pub file: FileNumber,
    /// Its first record.
    pub block: BlockAddress,
    /// Records.
    pub records: u64,
    /// Length of the tar stream in bytes.
    pub stream_bytes: u64,
    /// Bytes on tape.
    pub stored_bytes: u64,
    /// Length of the age header, 0 without encryption.
    pub header_bytes: u32,
    /// Where its frames begin, where it is compressed.
    pub frames: Option<FrameTable>,
    /// Logical block after the filemark.
    pub end_block: BlockAddress,
    /// Tape file number after the filemark.
    pub end_file: FileNumber,
    /// Volume change reference of the cartridge memory, where there is one.
    pub change_reference: Option<u32>,
}

/// Keeps the index of what is stored. Rows become visible only by [`Index::commit`].
pub trait Index<E>: Send {
    /// Takes rows in stream order.
    ///
    /// # Errors
    /// The index cannot take more; the task ends.
    fn rows(&mut self, rows: Vec<IndexRow>) -> Result<(), E>;
    /// All rows up to here are stored: makes them visible.
    ///
    /// # Errors
    /// The index could not be made durable; the task ends.
    fn commit(&mut self, archive: ArchiveWritten) -> Result<(), E>;
}

/// Ends parts and begins others. Runs on the thread that owns the drive.
pub trait Volumes<E>: Send {
    /// Every archive file of the part is committed: writes its index file.
    ///
    /// # Errors
    /// The index file could not be written.
    fn finish_part(&mut self, drive: &mut Drive, ending: Ending) -> Result<(), E>;
    /// Has the next volume ready for appending.
    ///
    /// # Errors
    /// There is no further volume, or it must not be written.
    fn next_part(&mut self, drive: &mut Drive) -> Result<PartStart, E>;
}

/// Why a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All that was asked for is stored.
    Complete,
    /// The volume is full.
    Continued,
    /// The task was cancelled.
    Interrupted,
}

/// What a run stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Members, directories included.
    pub members: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes on tape, indexes excepted.
    pub stored_bytes: u64,
    /// Names that were kept as they are in a base.
    pub unchanged: u64,
    /// Volumes used.
    pub parts: u32,
    /// Whether the task was cancelled before its end.
    pub cancelled: bool,
}

/// A fault between the source and the drive.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The drive refused or failed.
    #[error("the drive failed while archive {archive} was written")]
    Drive {
        /// Archive file being written.
        archive: u32,
        /// The cause.
        source: DriveError,
    },
    /// The volume took no more before the archive could be closed.
    #[error(
        "the volume was full before archive {archive} could be closed; what was committed before it is safe"
    )]
    Full {
        /// Archive file being written.
        archive: u32,
    },
    /// A member cannot be encoded.
    #[error("archive {archive} could not be encoded")]
    Encode {
        /// Archive file being written.
        archive: u32,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A thread of the pipeline ended early; its own error says why.
    #[error("the pipeline stopped")]
    Stopped,
}
