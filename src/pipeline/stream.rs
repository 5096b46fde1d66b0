//! From the tar stream to records: frames compressed by several threads, one age file per archive, records of one size.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::buffer::{Buffer, Closed};
use super::{Ending, PartStart, PipelineError};
use crate::format::age::{CHUNK, Encryptor, NONCE, Recipient};
use crate::format::v1::zstd_frames::{FrameEncoder, PIECE};
use crate::format::v1::{FormatError, FrameTable};

/// What stands between records on their way to the drive.
#[derive(Debug)]
pub(super) enum Mark {
    /// An archive file ends here.
    Archive(ArchiveEnd),
    /// A part ends here; where it goes on, the answer says.
    Part { ending: Ending, reply: Sender<PartStart> },
}

/// An archive file as the stream saw it.
#[derive(Debug, Clone)]
pub(super) struct ArchiveEnd {
    pub archive: u32,
    pub part: u32,
    pub records: u64,
    pub stream_bytes: u64,
    pub stored_bytes: u64,
    pub header_bytes: u32,
    pub frames: Option<FrameTable>,
}

/// The end of the stream that fills records.
pub(super) struct Tail<'a> {
    buffer: &'a Buffer<Mark>,
    record_size: usize,
    record: Vec<u8>,
    recipients: &'a [Recipient],
    age: Option<AgeFile>,
    frames: Option<FrameTable>,
    /// Bytes that went into records of this part.
    stored: &'a AtomicU64,
    archive: ArchiveEnd,
}

struct AgeFile {
    encryptor: Encryptor,
    chunk: Vec<u8>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(
        buffer: &'a Buffer<Mark>,
        record_size: usize,
        recipients: &'a [Recipient],
        stored: &'a AtomicU64,
    ) -> Tail<'a> {
        let archive = ArchiveEnd {
            archive: 0,
            part: 0,
            records: 0,
            stream_bytes: 0,
            stored_bytes: 0,
            header_bytes: 0,
            frames: None,
        };
        let record = buffer.spare(record_size);
        Tail { buffer, record_size, record, recipients, age: None, frames: None, stored, archive }
    }

    /// Begins an archive file: its age header, where there is one.
    fn begin(&mut self, compressed: bool) -> Result<(), StreamError> {
        self.frames = compressed.then(FrameTable::default);
        if !self.recipients.is_empty() {
            let (header, encryptor) = Encryptor::new(self.recipients).map_err(StreamError::encode)?;
            // The nonce behind the header is counted with the chunks (chapter 6).
            self.archive.header_bytes = (header.len() - NONCE) as u32;
            self.store(&header)?;
            self.age = Some(AgeFile { encryptor, chunk: Vec::with_capacity(CHUNK + 16) });
        }
        Ok(())
    }

    /// Takes bytes of the (compressed) stream.
    fn bytes(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        let Some(mut age) = self.age.take() else { return self.store(data) };
        while !data.is_empty() {
            // A chunk is sealed only when more follows: the last one is marked as such.
            if age.chunk.len() == CHUNK {
                age.encryptor.encrypt_chunk(&mut age.chunk, false).map_err(StreamError::encode)?;
                self.store(&age.chunk)?;
                age.chunk.clear();
            }
            let take = data.len().min(CHUNK - age.chunk.len());
            age.chunk.extend_from_slice(&data[..take]);
            data = &data[take..];
        }
        self.age = Some(age);
        Ok(())
    }

    fn store(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        self.archive.stored_bytes += data.len() as u64;
        self.stored.fetch_add(data.len() as u64, Ordering::Relaxed);
        while !data.is_empty() {
            let take = data.len().min(self.record_size - self.record.len());
            self.record.extend_from_slice(&data[..take]);
            data = &data[take..];
            if self.record.len() == self.record_size {
                self.send_record()?;
            }
        }
        Ok(())
    }

    fn send_record(&mut self) -> Result<(), StreamError> {
        self.archive.records += 1;
        // Room for the protection bytes that the drive layer may append.
        let next = self.buffer.spare(self.record_size + 4);
        self.buffer.push(std::mem::replace(&mut self.record, next))?;
        Ok(())
    }

    fn frame(&mut self, stored: &[u8], content: usize) -> Result<(), StreamError> {
        if let Some(frames) = &mut self.frames {
            frames.push(stored.len() as u32, content as u32);
        }
        self.bytes(stored)
    }

    /// Ends the archive file: what is pending goes out, the last record may be short.
    fn end(&mut self, archive: u32, part: u32, stream_bytes: u64) -> Result<(), StreamError> {
        if let Some(mut age) = self.age.take() {
            age.encryptor.encrypt_chunk(&mut age.chunk, true).map_err(StreamError::encode)?;
            self.store(&age.chunk)?;
        }
        if !self.record.is_empty() {
            self.send_record()?;
        }
        let end =
            ArchiveEnd { archive, part, stream_bytes, frames: self.frames.take(), ..self.archive.clone() };
        self.archive.records = 0;
        self.archive.stored_bytes = 0;
        self.archive.header_bytes = 0;
        self.buffer.mark(Mark::Archive(end))?;
        Ok(())
    }
}

/// Why the stream stopped.
#[derive(Debug)]
pub(super) enum StreamError {
    /// The drive's side is gone; its own error says why.
    Closed,
    /// Encryption or compression failed.
    Encode(Box<dyn std::error::Error + Send + Sync>),
}

impl StreamError {
    fn encode(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StreamError {
        StreamError::Encode(error.into())
    }

    pub(super) fn into_error(self, archive: u32) -> PipelineError {
        match self {
            StreamError::Closed => PipelineError::Stopped,
            StreamError::Encode(source) => PipelineError::Encode { archive, source },
        }
    }
}

impl From<Closed> for StreamError {
    fn from(Closed: Closed) -> Self {
        StreamError::Closed
    }
}

/// A frame, done by one of the compressing threads.
pub(super) struct Compressed {
    piece: Vec<u8>,
    frame: Vec<u8>,
}

/// A piece to compress.
pub(super) struct Squeeze {
    piece: Vec<u8>,
    reply: Sender<Result<Compressed, FormatError>>,
}

/// Compresses until the channel closes.
pub(super) fn compress(jobs: &Receiver<Squeeze>, level: i32) {
    let mut encoder = FrameEncoder::new(level);
    for Squeeze { piece, reply } in jobs {
        let mut frame = Vec::with_capacity(piece.len() / 2);
        let done = match &mut encoder {
            Ok(encoder) => encoder.encode(&piece, &mut frame).map(|()| Compressed { piece, frame }),
            Err(error) => Err(FormatError::Frame { reason: error.to_string() }),
        };
        let _ = reply.send(done);
    }
}

/// A step for the thread that runs a [`Tail`].
pub(super) enum Step {
    Begin,
    Piece(Vec<u8>),
    Frame(Receiver<Result<Compressed, FormatError>>),
    End {
        archive: u32,
        part: u32,
        stream_bytes: u64,
    },
    Mark(Mark),
    /// Answer when everything before is in records.
    Sync(Sender<()>),
}

/// Runs a tail on its own thread; `spare` takes used pieces back.
pub(super) fn run_tail(
    mut tail: Tail<'_>,
    steps: &Receiver<Step>,
    spare: &Sender<Vec<u8>>,
    compressed: bool,
) -> Result<(), StreamError> {
    let give_back = |mut piece: Vec<u8>| {
        piece.clear();
        let _ = spare.try_send(piece);
    };
    for step in steps {
        match step {
            Step::Begin => tail.begin(compressed)?,
            Step::Piece(piece) => {
                tail.bytes(&piece)?;
                give_back(piece);
            }
            Step::Frame(reply) => {
                let done = reply.recv().map_err(|_| StreamError::Closed)?.map_err(StreamError::encode)?;
                tail.frame(&done.frame, done.piece.len())?;
                give_back(done.piece);
            }
            Step::End { archive, part, stream_bytes } => tail.end(archive, part, stream_bytes)?,
            Step::Mark(mark) => tail.buffer.mark(mark)?,
            Step::Sync(reply) => {
                let _ = reply.send(());
            }
        }
    }
    Ok(())
}

/// The tar stream as the sequencer writes it.
pub(super) enum TarStream<'a> {
    /// Straight into records.
    Direct(Box<Tail<'a>>),
    /// Through other threads.
    Staged {
        piece: Vec<u8>,
        piece_size: usize,
        steps: Sender<Step>,
        compressors: Option<Sender<Squeeze>>,
        spare: Receiver<Vec<u8>>,
    },
}

/// Bytes of a piece that is only encrypted.
pub(super) const PLAIN_PIECE: usize = 1 << 20;

impl TarStream<'_> {
    pub(super) fn staged(
        steps: Sender<Step>,
        compressors: Option<Sender<Squeeze>>,
        spare: Receiver<Vec<u8>>,
    ) -> Self {
        let piece_size = if compressors.is_some() { PIECE } else { PLAIN_PIECE };
        TarStream::Staged { piece: Vec::with_capacity(piece_size), piece_size, steps, compressors, spare }
    }

    pub(super) fn begin(&mut self) -> Result<(), StreamError> {
        match self {
            TarStream::Direct(tail) => tail.begin(false),
            TarStream::Staged { steps, .. } => steps.send(Step::Begin).map_err(|_| StreamError::Closed),
        }
    }

    pub(super) fn write(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        match self {
            TarStream::Direct(tail) => tail.store(data),
            TarStream::Staged { .. } => {
                while !data.is_empty() {
                    let TarStream::Staged { piece, piece_size, .. } = self else { break };
                    let take = data.len().min(*piece_size - piece.len());
                    piece.extend_from_slice(&data[..take]);
                    data = &data[take..];
                    if piece.len() == *piece_size {
                        self.send_piece()?;
                    }
                }
                Ok(())
            }
        }
    }

    fn send_piece(&mut self) -> Result<(), StreamError> {
        let TarStream::Staged { piece, piece_size, steps, compressors, spare } = self else { return Ok(()) };
        if piece.is_empty() {
            return Ok(());
        }
        let next = spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(*piece_size));
        let piece = std::mem::replace(piece, next);
        let step = match compressors {
            None => Step::Piece(piece),
            Some(compressors) => {
                let (reply, done) = bounded(1);
                compressors.send(Squeeze { piece, reply }).map_err(|_| StreamError::Closed)?;
                Step::Frame(done)
            }
        };
        steps.send(step).map_err(|_| StreamError::Closed)
    }

    /// Waits until everything written so far is in records, so that the count of stored bytes is exact.
    pub(super) fn drain(&mut self) -> Result<(), StreamError> {
        self.send_piece()?;
        if let TarStream::Staged { steps, .. } = self {
            let (reply, done) = bounded(1);
            steps.send(Step::Sync(reply)).map_err(|_| StreamError::Closed)?;
            done.recv().map_err(|_| StreamError::Closed)?;
        }
        Ok(())
    }

    pub(super) fn end(&mut self, archive: u32, part: u32, stream_bytes: u64) -> Result<(), StreamError> {
        self.send_piece()?;
        match self {
            TarStream::Direct(tail) => tail.end(archive, part, stream_bytes),
            TarStream::Staged { steps, .. } => {
                steps.send(Step::End { archive, part, stream_bytes }).map_err(|_| StreamError::Closed)
            }
        }
    }

    pub(super) fn mark(&mut self, mark: Mark) -> Result<(), StreamError> {
        match self {
            TarStream::Direct(tail) => Ok(tail.buffer.mark(mark)?),
            TarStream::Staged { steps, .. } => steps.send(Step::Mark(mark)).map_err(|_| StreamError::Closed),
        }
    }

    /// Whether bytes are under way between [`TarStream::write`] and the records.
    pub(super) fn is_staged(&self) -> bool {
        matches!(self, TarStream::Staged { .. })
    }
}
