//! The payload: chunks of 64 KiB, each sealed under a nonce that is its number and whether it is the last.

use ring::aead;

use super::AgeError;
use super::header::{self, FileKey, chacha, derive};
use super::keys::{Identity, Recipient, random};

/// Bytes of plaintext in every chunk but the last.
pub const CHUNK: usize = 64 * 1024;
/// Bytes that sealing adds to a chunk.
pub const TAG: usize = 16;
/// Bytes of a sealed chunk, the last one excepted.
pub const SEALED_CHUNK: usize = CHUNK + TAG;
/// Bytes of the nonce between header and first chunk.
pub const NONCE: usize = 16;

/// Bytes that `plain` bytes take once sealed, header and nonce not counted.
pub const fn sealed_length(plain: u64) -> u64 {
    let chunks = plain.div_ceil(CHUNK as u64);
    plain + TAG as u64 * if chunks == 0 { 1 } else { chunks }
}

/// The inverse of [`sealed_length`]; `None` for a length that no sealed stream has.
pub const fn plain_length(sealed: u64) -> Option<u64> {
    let rest = sealed % SEALED_CHUNK as u64;
    let whole = sealed / SEALED_CHUNK as u64;
    // An empty last chunk is only the whole of an empty stream.
    if (rest == 0 && whole > 0) || rest > TAG as u64 || (whole == 0 && rest == TAG as u64) {
        Some(whole * CHUNK as u64 + rest.saturating_sub(TAG as u64))
    } else {
        None
    }
}

/// The key of one file's payload. Chunks may be sealed and opened in any order, by any number of threads.
pub struct ChunkKey(aead::LessSafeKey);

impl std::fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkKey")
    }
}

impl ChunkKey {
    fn new(file_key: &FileKey, nonce: &[u8; NONCE]) -> Result<Self, AgeError> {
        Ok(ChunkKey(chacha(&derive(file_key.as_ref(), nonce, b"payload"))?))
    }

    fn nonce(chunk: u64, last: bool) -> aead::Nonce {
        let mut nonce = [0; 12];
        nonce[3..11].copy_from_slice(&chunk.to_be_bytes());
        nonce[11] = u8::from(last);
        aead::Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts chunk number `chunk` (from 0) in place and returns its tag, which follows it in the file. Every chunk
    /// but the last has exactly [`CHUNK`] bytes, the last 1 to [`CHUNK`] (none only when it is the first). No number
    /// may be used twice.
    ///
    /// # Errors
    /// Only for a chunk longer than the cipher allows (256 GiB).
    pub fn seal(&self, chunk: u64, last: bool, plain: &mut [u8]) -> Result<[u8; TAG], AgeError> {
        debug_assert!(plain.len() == CHUNK || last && (plain.len() < CHUNK));
        let tag = self
            .0
            .seal_in_place_separate_tag(Self::nonce(chunk, last), aead::Aad::empty(), plain)
            .map_err(|_| AgeError::Tampered { chunk })?;
        tag.as_ref().try_into().map_err(|_| AgeError::Tampered { chunk })
    }

    /// Appends the sealed chunks of `plain`, whose first byte begins chunk number `first`. Unless `last`, its length
    /// is a multiple of [`CHUNK`]; with `last` the stream ends with it.
    ///
    /// # Errors
    /// As [`ChunkKey::seal`].
    pub fn seal_run(&self, first: u64, last: bool, plain: &[u8], out: &mut Vec<u8>) -> Result<(), AgeError> {
        debug_assert!(last || plain.len().is_multiple_of(CHUNK));
        out.reserve(plain.len() + (plain.len() / CHUNK + 1) * TAG);
        let mut chunks = plain.chunks(CHUNK).peekable();
        if last && chunks.peek().is_none() {
            out.extend_from_slice(&self.seal(first, true, &mut [])?);
        }
        let mut number = first;
        while let Some(chunk) = chunks.next() {
            let start = out.len();
            out.extend_from_slice(chunk);
            let tag = self.seal(number, last && chunks.peek().is_none(), &mut out[start..])?;
            out.extend_from_slice(&tag);
            number += 1;
        }
        Ok(())
    }

    /// Opens sealed chunk number `chunk` (ciphertext and tag) in place and lends the plaintext.
    ///
    /// # Errors
    /// `Truncated` when it is shorter than a tag, `Tampered` when it is not what was sealed under this number.
    pub fn open<'a>(&self, chunk: u64, last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], AgeError> {
        if sealed.len() < TAG || (!last && sealed.len() < SEALED_CHUNK) {
            return Err(AgeError::Truncated { chunk });
        }
        if sealed.len() > SEALED_CHUNK || (sealed.len() == TAG && chunk > 0) {
            return Err(AgeError::Tampered { chunk });
        }
        self.0
            .open_in_place(Self::nonce(chunk, last), aead::Aad::empty(), sealed)
            .map_err(|_| AgeError::Tampered { chunk })
    }
}

/// Encrypts one stream, chunk after chunk.
#[derive(Debug)]
pub struct Encryptor {
    key: ChunkKey,
    next: u64,
}

impl Encryptor {
    /// A fresh file key for these recipients. Returns the bytes that begin the file, header and nonce ([`NONCE`]
    /// bytes), and the encryptor.
    ///
    /// # Errors
    /// Without a recipient, with an unusable one, or without random bytes.
    pub fn new(recipients: &[Recipient]) -> Result<(Vec<u8>, Encryptor), AgeError> {
        let file_key: FileKey = random()?;
        let nonce = random::<NONCE>()?;
        let mut start = header::encode(&file_key, recipients)?;
        start.extend_from_slice(nonce.as_ref());
        Ok((start, Encryptor { key: ChunkKey::new(&file_key, &nonce)?, next: 0 }))
    }

    /// Seals the next chunk and appends its tag to it: [`CHUNK`] bytes, or fewer with `last`.
    ///
    /// # Errors
    /// As [`ChunkKey::seal`].
    pub fn encrypt_chunk(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), AgeError> {
        let tag = self.key.seal(self.next, last, chunk)?;
        chunk.extend_from_slice(&tag);
        self.next += 1;
        Ok(())
    }

    /// Seals a run of chunks that goes on where the last one ended; see [`ChunkKey::seal_run`].
    ///
    /// # Errors
    /// As [`ChunkKey::seal`].
    pub fn encrypt_run(&mut self, plain: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), AgeError> {
        self.key.seal_run(self.next, last, plain, out)?;
        self.next += plain.len().div_ceil(CHUNK).max(1) as u64;
        Ok(())
    }

    /// The key alone, for several threads that number the chunks themselves.
    pub fn into_key(self) -> ChunkKey {
        self.key
    }
}

/// Opens the chunks of one file in any order.
#[derive(Debug)]
pub struct Decryptor {
    key: ChunkKey,
}

impl Decryptor {
    /// Reads the header and the nonce that follows it, both at the beginning of `start`. Returns the length of the
    /// header; the first chunk begins [`NONCE`] bytes after it.
    ///
    /// # Errors
    /// `NotAge`, `Header`, `HeaderTampered`, `NoMatchingIdentity` (no data is needed to tell), or `Truncated` when
    /// `start` ends inside the nonce.
    pub fn new(start: &[u8], identities: &[Identity]) -> Result<(Decryptor, usize), AgeError> {
        let (file_key, length) = header::open(start, identities)?;
        let nonce = start.get(length..).and_then(|rest| rest.first_chunk::<NONCE>());
        let nonce = nonce.ok_or(AgeError::Truncated { chunk: 0 })?;
        Ok((Decryptor { key: ChunkKey::new(&file_key, nonce)? }, length))
    }

    /// See [`ChunkKey::open`].
    ///
    /// # Errors
    /// As [`ChunkKey::open`].
    pub fn open<'a>(&self, chunk: u64, last: bool, sealed: &'a mut [u8]) -> Result<&'a mut [u8], AgeError> {
        self.key.open(chunk, last, sealed)
    }
}
