//! Where a byte of an archive's tar stream lies on tape, and reading from there.
//!
//! tar stream → (zstd frames) → (age chunks) → records. Each step maps an offset above it to one below.

use std::io::{self, Read};
use std::sync::Arc;

use super::error::FormatError;
use super::frame_table::FrameTable;
use super::window::Skip;
use super::zstd_frames::{FrameDecoder, PIECE};
use crate::format::age::{self, Decryptor, Identity};

/// A gap of at most this many records is read through; a longer one is crossed by a seek.
pub const SEEK_PAYS: u64 = 16;

/// How one archive file lies on tape (chapter 7, `archives`).
#[derive(Debug, Clone)]
pub struct ArchiveLayout {
    /// Logical block number of its first record.
    pub start_block: u64,
    /// Bytes of every record but the last.
    pub record_size: u32,
    /// Bytes of the age header, the nonce after it not counted; 0 when not encrypted.
    pub header_bytes: u32,
    /// Bytes of the tar stream.
    pub stream_bytes: u64,
    /// Bytes on tape.
    pub stored_bytes: u64,
    /// Where the pieces are; `None` when not compressed.
    pub frames: Option<Arc<FrameTable>>,
}

/// Where reading begins for one byte of the tar stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadStart {
    /// Logical block number of the first record needed.
    pub block: u64,
    /// Bytes of that record that come before what is needed.
    pub skip: usize,
    /// The same place as an offset in the tape file.
    pub stored_offset: u64,
    /// Offset, in what decryption and decompression make of the bytes from there, of the byte asked for.
    pub within: usize,
}

impl ArchiveLayout {
    /// Where the byte at `stream_offset` begins on tape; `None` at and beyond the end of the stream. An encrypted
    /// archive's first record is needed besides, for its header.
    pub fn locate(&self, stream_offset: u64) -> Option<ReadStart> {
        if stream_offset >= self.stream_bytes {
            return None;
        }
        let (packed, piece) = match &self.frames {
            Some(frames) => frames.locate(stream_offset).map(|place| (place.stored, place.within))?,
            None => (stream_offset, 0),
        };
        let (stored_offset, chunk) = match self.header_bytes {
            0 => (packed, 0),
            header => {
                let chunk = packed / age::CHUNK as u64;
                let start = u64::from(header) + age::NONCE as u64 + chunk * age::SEALED_CHUNK as u64;
                (start, (packed % age::CHUNK as u64) as usize)
            }
        };
        Some(ReadStart {
            block: self.start_block + stored_offset / u64::from(self.record_size.max(1)),
            skip: (stored_offset % u64::from(self.record_size.max(1))) as usize,
            stored_offset,
            within: if self.frames.is_some() { piece } else { chunk },
        })
    }
}

/// Records of a volume, as a drive or anything that stands for one gives them.
pub trait RecordSource {
    /// Makes `block` (a logical block number) the next record.
    ///
    /// # Errors
    /// When the position cannot be reached.
    fn seek(&mut self, block: u64) -> io::Result<()>;

    /// Reads the next record into `record`, replacing what it held; false at a filemark or the end of data.
    ///
    /// # Errors
    /// When the record cannot be read.
    fn next_record(&mut self, record: &mut Vec<u8>) -> io::Result<bool>;
}

/// The bytes of one tape file, by offset.
#[derive(Debug)]
struct Stored<S> {
    source: S,
    start_block: u64,
    record_size: u64,
    length: u64,
    record: Vec<u8>,
    /// Number in the tape file of `record`, when one is held.
    held: Option<u64>,
    /// Number in the tape file of the record that the source gives next, when that is known.
    next: Option<u64>,
}

impl<S: RecordSource> Fetch for Stored<S> {
    /// The record that holds byte `offset`, from that byte on.
    fn fetch(&mut self, offset: u64) -> io::Result<&[u8]> {
        let number = offset / self.record_size;
        if self.held != Some(number) {
            self.load(number)?;
        }
        let within = (offset % self.record_size) as usize;
        match self.record.get(within..) {
            Some(rest) if !rest.is_empty() => Ok(rest),
            _ => Err(cut_off(offset)),
        }
    }
}

impl<S: RecordSource> Stored<S> {
    fn load(&mut self, number: u64) -> io::Result<()> {
        self.held = None;
        match self.next.take().filter(|&next| next <= number && number - next <= SEEK_PAYS) {
            Some(next) => {
                for _ in next..number {
                    self.read(number)?;
                }
            }
            None => self.source.seek(self.start_block + number)?,
        }
        self.read(number)?;
        let expected = self.length.saturating_sub(number * self.record_size).min(self.record_size);
        if self.record.len() as u64 != expected {
            return Err(invalid(FormatError::Structure {
                what: "archive file",
                reason: format!("record {number} has {} bytes, not {expected}", self.record.len()),
            }));
        }
        (self.held, self.next) = (Some(number), Some(number + 1));
        Ok(())
    }

    fn read(&mut self, number: u64) -> io::Result<()> {
        if self.source.next_record(&mut self.record)? {
            return Ok(());
        }
        Err(cut_off(number * self.record_size))
    }
}

/// Bytes that come in stretches.
trait Fetch {
    /// Some bytes from `offset` on, at least one.
    fn fetch(&mut self, offset: u64) -> io::Result<&[u8]>;

    /// Appends `count` bytes from `offset` on.
    fn copy(&mut self, mut offset: u64, count: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let end = out.len() + count;
        out.reserve(count);
        while out.len() < end {
            let missing = end - out.len();
            let part = self.fetch(offset)?;
            let part = part.get(..missing).unwrap_or(part);
            out.extend_from_slice(part);
            offset += part.len() as u64;
        }
        Ok(())
    }
}

/// The bytes below compression: the tape file's own, or what its chunks decrypt to.
#[derive(Debug)]
struct Packed<S> {
    stored: Stored<S>,
    cipher: Option<Cipher>,
}

#[derive(Debug)]
struct Cipher {
    decryptor: Arc<Decryptor>,
    /// Offset of the first chunk in the tape file.
    start: u64,
    length: u64,
    chunk: Vec<u8>,
    held: Option<u64>,
}

impl<S: RecordSource> Fetch for Packed<S> {
    fn fetch(&mut self, offset: u64) -> io::Result<&[u8]> {
        let Some(cipher) = &mut self.cipher else { return self.stored.fetch(offset) };
        if offset >= cipher.length {
            return Err(cut_off(offset));
        }
        let number = offset / age::CHUNK as u64;
        if cipher.held != Some(number) {
            cipher.held = None;
            let plain = (cipher.length - number * age::CHUNK as u64).min(age::CHUNK as u64);
            let last = number * age::CHUNK as u64 + plain == cipher.length;
            cipher.chunk.clear();
            let at = cipher.start + number * age::SEALED_CHUNK as u64;
            self.stored.copy(at, plain as usize + age::TAG, &mut cipher.chunk)?;
            cipher.decryptor.open(number, last, &mut cipher.chunk).map_err(|e| invalid(e.into()))?;
            cipher.chunk.truncate(plain as usize);
            cipher.held = Some(number);
        }
        Ok(cipher.chunk.get((offset % age::CHUNK as u64) as usize..).unwrap_or_default())
    }
}

/// Reads an archive's tar stream from any offset; records that are not needed are not read.
#[derive(Debug)]
pub struct ArchiveReader<S> {
    packed: Packed<S>,
    frames: Option<(Arc<FrameTable>, FrameDecoder)>,
    stream_bytes: u64,
    position: u64,
    stored_piece: Vec<u8>,
    piece: Vec<u8>,
    held: Option<usize>,
}

impl<S: RecordSource> ArchiveReader<S> {
    /// Opens an archive; its stream is read from offset 0 unless [`ArchiveReader::seek`] says otherwise. Of an encrypted
    /// one the header is read now, so that a wrong key is told here; otherwise nothing is.
    ///
    /// # Errors
    /// Those of the source, or a [`FormatError`] inside the `io::Error`.
    pub fn open(source: S, layout: &ArchiveLayout, identities: &[Identity]) -> io::Result<Self> {
        let mut stored = Stored::new(source, layout);
        let decryptor = match layout.header_bytes {
            0 => None,
            header => {
                let length = header as usize + age::NONCE;
                if header as usize > age::MAX_HEADER {
                    return Err(invalid(age::AgeError::Header("it is too long").into()));
                }
                let mut start = Vec::new();
                stored.copy(0, length, &mut start)?;
                let (decryptor, _) = Decryptor::new(&start, identities).map_err(|e| invalid(e.into()))?;
                Some(Arc::new(decryptor))
            }
        };
        Self::assemble(stored, layout, decryptor)
    }

    /// As [`ArchiveReader::open`] with the header read before: see [`ArchiveReader::decryptor`].
    ///
    /// # Errors
    /// As [`ArchiveReader::open`].
    pub fn open_with(
        source: S,
        layout: &ArchiveLayout,
        decryptor: Option<Arc<Decryptor>>,
    ) -> io::Result<Self> {
        Self::assemble(Stored::new(source, layout), layout, decryptor)
    }

    fn assemble(
        stored: Stored<S>,
        layout: &ArchiveLayout,
        decryptor: Option<Arc<Decryptor>>,
    ) -> io::Result<Self> {
        let cipher = match decryptor {
            None => None,
            Some(decryptor) => {
                let start = u64::from(layout.header_bytes) + age::NONCE as u64;
                let length = layout.stored_bytes.checked_sub(start).and_then(age::plain_length);
                let length = length.ok_or_else(|| {
                    invalid(FormatError::Structure {
                        what: "archive file",
                        reason: format!("{} bytes cannot be an age file", layout.stored_bytes),
                    })
                })?;
                Some(Cipher { decryptor, start, length, chunk: Vec::new(), held: None })
            }
        };
        let frames = match &layout.frames {
            None => None,
            Some(table) => Some((Arc::clone(table), FrameDecoder::new().map_err(invalid)?)),
        };
        Ok(ArchiveReader {
            packed: Packed { stored, cipher },
            frames,
            stream_bytes: layout.stream_bytes,
            position: 0,
            stored_piece: Vec::new(),
            piece: Vec::new(),
            held: None,
        })
    }

    /// What opens the chunks, to open the archive again without reading its header.
    pub fn decryptor(&self) -> Option<Arc<Decryptor>> {
        self.packed.cipher.as_ref().map(|cipher| Arc::clone(&cipher.decryptor))
    }

    /// Stream offset of the next byte.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Makes the byte at `offset` of the stream the next one. Nothing moves before it is read; whether the drive then
    /// seeks or reads through depends on the distance ([`SEEK_PAYS`]).
    pub fn seek(&mut self, offset: u64) {
        self.position = offset;
    }

    /// Gives the source back.
    pub fn into_source(self) -> S {
        self.packed.stored.source
    }

    fn fetch(&mut self) -> io::Result<&[u8]> {
        let Some((table, decoder)) = &mut self.frames else { return self.packed.fetch(self.position) };
        let place = table.locate(self.position).ok_or_else(|| cut_off(self.position))?;
        if self.held != Some(place.frame) {
            self.held = None;
            let (stored, content) = table.frames().get(place.frame).copied().unwrap_or_default();
            if stored as usize > 2 * PIECE || content as usize > PIECE {
                return Err(invalid(FormatError::Frame { reason: format!("{stored} bytes for {content}") }));
            }
            self.stored_piece.clear();
            self.piece.clear();
            self.packed.copy(place.stored, stored as usize, &mut self.stored_piece)?;
            decoder.decode(&self.stored_piece, content as usize, &mut self.piece).map_err(invalid)?;
            self.held = Some(place.frame);
        }
        Ok(self.piece.get(place.within..).unwrap_or_default())
    }
}

impl<S: RecordSource> Stored<S> {
    fn new(source: S, layout: &ArchiveLayout) -> Self {
        Stored {
            source,
            start_block: layout.start_block,
            record_size: u64::from(layout.record_size.max(1)),
            length: layout.stored_bytes,
            record: Vec::new(),
            held: None,
            next: None,
        }
    }
}

impl<S: RecordSource> Read for ArchiveReader<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.stream_bytes.saturating_sub(self.position);
        if left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let part = self.fetch()?;
        let count = part.len().min(buffer.len()).min(usize::try_from(left).unwrap_or(usize::MAX));
        buffer[..count].copy_from_slice(&part[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl<S: RecordSource> Skip for ArchiveReader<S> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let count = count.min(self.stream_bytes.saturating_sub(self.position));
        self.position += count;
        Ok(count)
    }
}

fn invalid(error: FormatError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn cut_off(offset: u64) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        FormatError::Truncated { offset, inside: "an archive file that should be longer" },
    )
}

#[cfg(test)]
mod tests;
