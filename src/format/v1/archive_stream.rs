//! The tar stream of an archive of which no index tells how it is stored: age and zstd are told by their first bytes, and
//! the frame table is made on the way.

use std::io::{self, Cursor, Read};

use zstd::zstd_safe;

use crate::format::age::{AgeError, DecryptReader, Identity};
use crate::format::v1::index::PackedFrames;
use crate::format::v1::zstd_frames::{FrameDecoder, PIECE};

/// First bytes of an age file, and of a zstd frame.
const AGE: &[u8] = b"age-encryption.org/v1\n";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The tar stream, decrypted and decompressed.
pub struct ArchiveStream<R> {
    layers: Layers<R>,
    header_bytes: u64,
    recipients: Vec<String>,
    produced: u64,
}

enum Layers<R> {
    Plain(Opened<R>),
    Frames(Box<Frames<Opened<R>>>),
}

/// What lies below compression, its first bytes put back.
type Opened<R> = io::Chain<Cursor<Vec<u8>>, Below<R>>;

enum Below<R> {
    Stored(io::Chain<Cursor<Vec<u8>>, R>),
    Age(Box<DecryptReader<io::Chain<Cursor<Vec<u8>>, R>>>),
}

impl<R: Read> ArchiveStream<R> {
    /// Looks at the first bytes.
    ///
    /// # Errors
    /// `InvalidData` that holds [`AgeError::NoMatchingIdentity`] where it is encrypted and no key given opens it; what
    /// `stored` meets.
    pub fn open(mut stored: R, identities: &[Identity]) -> io::Result<ArchiveStream<R>> {
        let mut head = Vec::new();
        stored.by_ref().take(crate::format::age::MAX_HEADER as u64).read_to_end(&mut head)?;
        let encrypted = head.starts_with(AGE);
        // Whoever can read it now is all that is known of its recipients.
        let fits = |identity: &&Identity| {
            let decryptor = crate::format::age::Decryptor::new(&head, std::slice::from_ref(*identity));
            !matches!(decryptor, Err(AgeError::NoMatchingIdentity { .. }))
        };
        let recipients = match encrypted {
            true => identities.iter().filter(fits).map(|identity| identity.recipient().to_string()).collect(),
            false => Vec::new(),
        };
        let stored = Cursor::new(head).chain(stored);
        let (mut below, header_bytes) = if encrypted {
            let opened = DecryptReader::new(stored, identities)?;
            let length = opened.header_length() as u64;
            (Below::Age(Box::new(opened)), length)
        } else {
            (Below::Stored(stored), 0)
        };
        let mut first = Vec::new();
        below.by_ref().take(ZSTD.len() as u64).read_to_end(&mut first)?;
        let compressed = first == ZSTD;
        let opened = Cursor::new(first).chain(below);
        let layers = match compressed {
            true => Layers::Frames(Box::new(Frames::new(opened)?)),
            false => Layers::Plain(opened),
        };
        Ok(ArchiveStream { layers, header_bytes, recipients, produced: 0 })
    }

    /// Bytes of the age header; 0 when not encrypted.
    pub fn header_bytes(&self) -> u64 {
        self.header_bytes
    }

    /// The public halves of the keys given that open it.
    pub fn recipients(&self) -> &[String] {
        &self.recipients
    }

    /// `none` or `zstd`.
    pub fn compression(&self) -> &'static str {
        if matches!(self.layers, Layers::Frames(_)) { "zstd" } else { "none" }
    }

    /// Bytes of the tar stream read so far, and the frame table of what was decompressed for them.
    pub fn finish(self) -> (u64, PackedFrames) {
        match self.layers {
            Layers::Plain(_) => (self.produced, PackedFrames::default()),
            // A stream that was not read to its end still has whole frames, which can all be read.
            Layers::Frames(frames) => (frames.decoded, frames.into_table()),
        }
    }
}

impl<R: Read> Read for ArchiveStream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.layers {
            Layers::Plain(opened) => opened.read(buffer)?,
            Layers::Frames(frames) => frames.read(buffer)?,
        };
        self.produced += count as u64;
        Ok(count)
    }
}

impl<R: Read> Read for Below<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Below::Stored(stored) => stored.read(buffer),
            Below::Age(opened) => opened.read(buffer),
        }
    }
}

/// Decompresses frame by frame.
struct Frames<R> {
    input: R,
    /// Compressed bytes read ahead; the next frame begins at `start`.
    ahead: Vec<u8>,
    start: usize,
    content: Vec<u8>,
    at: usize,
    decoder: FrameDecoder,
    table: PackedFrames,
    /// Stored and content length of the entry being put together.
    entry: (u32, u32),
    decoded: u64,
}

/// A frame never takes more than this.
const LONGEST_FRAME: usize = PIECE + (1 << 20);

impl<R: Read> Frames<R> {
    fn new(input: R) -> io::Result<Frames<R>> {
        Ok(Frames {
            input,
            ahead: Vec::new(),
            start: 0,
            content: Vec::new(),
            at: 0,
            decoder: FrameDecoder::new().map_err(io::Error::other)?,
            table: PackedFrames::default(),
            entry: (0, 0),
            decoded: 0,
        })
    }

    /// Decompresses the next frame; false at the end.
    fn next(&mut self) -> io::Result<bool> {
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        if self.ahead.len() - self.start < LONGEST_FRAME {
            self.ahead.drain(..self.start);
            self.start = 0;
            let missing = 2 * LONGEST_FRAME - self.ahead.len();
            self.input.by_ref().take(missing as u64).read_to_end(&mut self.ahead)?;
        }
        let ahead = self.ahead.get(self.start..).unwrap_or_default();
        if ahead.is_empty() {
            return Ok(false);
        }
        let stored =
            zstd_safe::find_frame_compressed_size(ahead).map_err(|_| invalid("a zstd frame is cut off"))?;
        let frame = ahead.get(..stored).ok_or_else(|| invalid("a zstd frame is cut off"))?;
        let length = match zstd_safe::get_frame_content_size(frame) {
            Ok(Some(length)) if length <= PIECE as u64 => length as usize,
            _ => return Err(invalid("a zstd frame of unusual length")),
        };
        self.content.clear();
        self.at = 0;
        self.decoder.decode(frame, length, &mut self.content).map_err(io::Error::other)?;
        self.start += stored;
        self.decoded += length as u64;
        // One entry of the table covers a whole piece, of several frames perhaps.
        if self.entry.1 as usize + length > PIECE {
            self.close_entry();
        }
        self.entry.0 += stored as u32;
        self.entry.1 += length as u32;
        Ok(true)
    }

    fn close_entry(&mut self) {
        let (stored, content) = std::mem::take(&mut self.entry);
        if stored > 0 {
            self.table.push(stored, content);
        }
    }

    fn into_table(mut self) -> PackedFrames {
        self.close_entry();
        self.table
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.content.len() {
            if buffer.is_empty() || !self.next()? {
                return Ok(0);
            }
        }
        let rest = self.content.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::age::Encryptor;
    use crate::format::v1::zstd_frames::FrameEncoder;
    use proptest::prelude::*;

    fn sample(length: usize) -> Vec<u8> {
        let mut state = 7u32;
        (0..length)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if n / 300_000 % 2 == 0 { b"tape "[n % 5] } else { (state >> 24) as u8 }
            })
            .collect()
    }

    #[test]
    fn a_compressed_and_encrypted_stream_gives_its_table_back() {
        let content = sample(PIECE * 2 + 12_345);
        let mut packed = Vec::new();
        let mut expected = PackedFrames::default();
        let mut encoder = FrameEncoder::new(1).unwrap();
        for piece in content.chunks(PIECE) {
            let before = packed.len();
            encoder.encode(piece, &mut packed).unwrap();
            expected.push((packed.len() - before) as u32, piece.len() as u32);
        }
        let identity = Identity::generate().unwrap();
        let (mut sealed, mut encryptor) = Encryptor::new(&[identity.recipient()]).unwrap();
        let header = (sealed.len() - crate::format::age::NONCE) as u64;
        let mut chunks = packed.chunks(crate::format::age::CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            let mut chunk = chunk.to_vec();
            encryptor.encrypt_chunk(&mut chunk, chunks.peek().is_none()).unwrap();
            sealed.extend(chunk);
        }
        let other = Identity::generate().unwrap();
        assert!(ArchiveStream::open(sealed.as_slice(), std::slice::from_ref(&other)).is_err());
        for (stored, header) in [(&packed, 0), (&sealed, header)] {
            let mut stream =
                ArchiveStream::open(stored.as_slice(), &[other.clone(), identity.clone()]).unwrap();
            let mut read = Vec::new();
            stream.read_to_end(&mut read).unwrap();
            assert!(read == content);
            assert_eq!((stream.header_bytes(), stream.compression()), (header, "zstd"));
            if header > 0 {
                assert_eq!(stream.recipients(), [identity.recipient().to_string()]);
            }
            let (produced, table) = stream.finish();
            assert_eq!(produced, content.len() as u64);
            assert_eq!(table, expected);
        }
    }

    #[test]
    fn plain_bytes_pass_through() {
        let content = sample(100_000);
        let mut stream = ArchiveStream::open(content.as_slice(), &[]).unwrap();
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert!(read == content);
        assert_eq!(stream.finish(), (100_000, PackedFrames::default()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), mark in 0usize..3) {
            let bytes = [[&b""[..], AGE, ZSTD][mark], &bytes].concat();
            if let Ok(mut stream) = ArchiveStream::open(bytes.as_slice(), &[]) {
                let _ = stream.read_to_end(&mut Vec::new());
            }
        }
    }
}
