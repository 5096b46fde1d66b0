//! An archive file read from its first byte to its last without an index: what is needed when that is lost.

use std::io::{self, BufReader, Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::frame_scan::FrameScanner;
use super::frame_table::FrameTable;
use crate::format::age::{DecryptReader, Identity};

const AGE: &[u8] = b"age-encryption.org/v1\n";
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The tar stream of an archive file whose layers were found by looking.
pub struct ArchiveStream<'a> {
    inner: Box<dyn Read + 'a>,
    header_bytes: u32,
    scanner: Option<Arc<Mutex<FrameScanner>>>,
}

impl std::fmt::Debug for ArchiveStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveStream")
            .field("header_bytes", &self.header_bytes)
            .field("compressed", &self.is_compressed())
            .finish_non_exhaustive()
    }
}

impl<'a> ArchiveStream<'a> {
    /// Looks at the beginning of a tape file. `stored` gives its bytes.
    ///
    /// # Errors
    /// Those of `stored`; an [`AgeError`](crate::format::age::AgeError) inside the `io::Error` when it is encrypted and
    /// no identity opens it.
    pub fn open(stored: impl Read + 'a, identities: &[Identity]) -> io::Result<Self> {
        let (encrypted, stored) = begins_with(stored, AGE)?;
        let (inner, header_bytes): (Box<dyn Read + 'a>, u32) = if encrypted {
            let reader = DecryptReader::new(stored, identities)?;
            let header = reader.header_length() as u32; // bounded by MAX_HEADER
            (Box::new(reader), header)
        } else {
            (Box::new(stored), 0)
        };
        let (compressed, inner) = begins_with(inner, ZSTD)?;
        if !compressed {
            return Ok(ArchiveStream { inner: Box::new(inner), header_bytes, scanner: None });
        }
        let scanner = Arc::new(Mutex::new(FrameScanner::default()));
        let seen = Seen { inner, scanner: Arc::clone(&scanner) };
        let decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(128 << 10, seen))?;
        Ok(ArchiveStream { inner: Box::new(decoder), header_bytes, scanner: Some(scanner) })
    }

    /// Bytes of the age header, the nonce not counted; 0 when the file is not encrypted.
    pub fn header_bytes(&self) -> u32 {
        self.header_bytes
    }

    /// Whether the stream is stored in zstd frames.
    pub fn is_compressed(&self) -> bool {
        self.scanner.is_some()
    }

    /// The frames that were read so far, one row each: the archive's frame table once the stream was read to its end.
    /// `None` when it is not compressed.
    pub fn frames(&self) -> Option<FrameTable> {
        let scanner = self.scanner.as_ref()?;
        Some(scanner.lock().unwrap_or_else(PoisonError::into_inner).table().clone())
    }
}

impl Read for ArchiveStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

/// Shows a scanner what passes.
struct Seen<R> {
    inner: R,
    scanner: Arc<Mutex<FrameScanner>>,
}

impl<R: Read> Read for Seen<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let passed = buffer.get(..count).unwrap_or_default();
        self.scanner.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
        Ok(count)
    }
}

/// Whether a stream begins with `mark`, and the stream with nothing lost.
fn begins_with<R: Read>(mut inner: R, mark: &[u8]) -> io::Result<(bool, impl Read + use<R>)> {
    let mut start = Vec::new();
    inner.by_ref().take(mark.len() as u64).read_to_end(&mut start)?;
    Ok((start == mark, Cursor::new(start).chain(inner)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::age::Encryptor;
    use crate::format::v1::zstd_frames::FrameEncoder;

    #[test]
    fn layers_are_found() {
        let identity = Identity::generate().unwrap();
        let stream: Vec<u8> = (0..300_000u32).map(|n| (n / 7) as u8).collect();
        let mut compressed = Vec::new();
        let mut encoder = FrameEncoder::new(1).unwrap();
        stream.chunks(100_000).for_each(|piece| encoder.encode(piece, &mut compressed).unwrap());
        for (packed, is_compressed) in [(&stream, false), (&compressed, true)] {
            let (mut sealed, mut encryptor) = Encryptor::new(&[identity.recipient()]).unwrap();
            encryptor.encrypt_run(packed, true, &mut sealed).unwrap();
            for (file, encrypted) in [(packed, false), (&sealed, true)] {
                let mut archive =
                    ArchiveStream::open(file.as_slice(), std::slice::from_ref(&identity)).unwrap();
                assert_eq!(archive.is_compressed(), is_compressed);
                assert_eq!(archive.header_bytes() != 0, encrypted);
                let mut read = Vec::new();
                archive.read_to_end(&mut read).unwrap();
                assert!(read == stream);
                let frames = archive.frames().map(|table| (table.stored_length(), table.content_length()));
                assert_eq!(frames, is_compressed.then_some((packed.len() as u64, stream.len() as u64)));
                assert!(ArchiveStream::open(file.as_slice(), &[]).is_err() == encrypted);
            }
        }
        assert_eq!(ArchiveStream::open(&b""[..], &[]).unwrap().read(&mut [0; 9]).unwrap(), 0);
    }
}
