//! Decrypting a file from its first byte to its last.

use std::io::{self, Read};

use super::stream::{CHUNK, NONCE, SEALED_CHUNK};
use super::{AgeError, Decryptor, Identity, header};

/// The plaintext of an age file that is read from `R`. Truncation and damage are errors (an [`AgeError`] inside the
/// `io::Error`), never a short stream.
#[derive(Debug)]
pub struct DecryptReader<R> {
    inner: R,
    decryptor: Decryptor,
    header_length: usize,
    /// Sealed bytes read ahead: at most one chunk and the first byte of the next.
    sealed: Vec<u8>,
    plain: Vec<u8>,
    position: usize,
    next: u64,
    done: bool,
}

impl<R: Read> DecryptReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// An `io::Error` of `inner`, or one that holds the [`AgeError`].
    pub fn new(mut inner: R, identities: &[Identity]) -> io::Result<Self> {
        let mut start = Vec::new();
        let length = loop {
            if !header::begins(&start) {
                return Err(invalid(AgeError::NotAge));
            }
            match header::length(&start) {
                Some(length) if start.len() >= length + NONCE => break length,
                _ if start.len() > header::MAX_HEADER => {
                    return Err(invalid(AgeError::Header("it is too long")));
                }
                _ => {}
            }
            let before = start.len();
            fill(&mut inner, &mut start, before + 1024)?;
            if start.len() == before {
                // Says what is missing, or that no key fits.
                Decryptor::new(&start, identities).map_err(invalid)?;
                return Err(invalid(AgeError::Truncated { chunk: 0 }));
            }
        };
        let (decryptor, header_length) = Decryptor::new(&start, identities).map_err(invalid)?;
        debug_assert_eq!(length, header_length);
        start.drain(..header_length + NONCE);
        Ok(DecryptReader {
            inner,
            decryptor,
            header_length,
            sealed: start,
            plain: Vec::new(),
            position: 0,
            next: 0,
            done: false,
        })
    }

    /// Bytes of the header, the nonce not counted.
    pub fn header_length(&self) -> usize {
        self.header_length
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        fill(&mut self.inner, &mut self.sealed, SEALED_CHUNK + 1)?;
        let last = self.sealed.len() <= SEALED_CHUNK;
        let ahead = self.sealed.split_off(self.sealed.len().min(SEALED_CHUNK));
        let chunk = self.next;
        // A stream cut at the end of a chunk opens as one that is not the last: that is truncation, not damage.
        let whole = last && self.sealed.len() == SEALED_CHUNK;
        let mut copy = if whole { self.sealed.clone() } else { Vec::new() };
        let length = match self.decryptor.open(chunk, last, &mut self.sealed) {
            Ok(plain) => plain.len(),
            Err(_) if whole && self.decryptor.open(chunk, false, &mut copy).is_ok() => {
                return Err(invalid(AgeError::Truncated { chunk: chunk + 1 }));
            }
            Err(AgeError::Tampered { .. }) if last && !whole => {
                return Err(invalid(AgeError::Truncated { chunk }));
            }
            Err(error) => return Err(invalid(error)),
        };
        self.sealed.truncate(length);
        self.plain = std::mem::replace(&mut self.sealed, ahead);
        self.position = 0;
        self.next += 1;
        self.done = last;
        Ok(())
    }
}

impl<R: Read> Read for DecryptReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.position == self.plain.len() {
            if self.done || buffer.is_empty() {
                return Ok(0);
            }
            self.next_chunk()?;
        }
        let rest = self.plain.get(self.position..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        Ok(count)
    }
}

/// Reads until `bytes` has `length` bytes or the source ends.
fn fill(inner: &mut impl Read, bytes: &mut Vec<u8>, length: usize) -> io::Result<()> {
    debug_assert!(length <= CHUNK * 2);
    let missing = length.saturating_sub(bytes.len()) as u64;
    inner.by_ref().take(missing).read_to_end(bytes).map(|_| ())
}

fn invalid(error: AgeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
