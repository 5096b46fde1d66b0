//! The tar around an index (chapter 7): `set.json`, then `members.bin` or `members.bin.age`.

use std::io::{self, Read};

use super::entry::{Entry, Kind, Timestamp};
use super::error::FormatError;
use super::tar_header::{END_OF_ARCHIVE, encode_entry, padding};
use super::tar_reader::{Skip, TarReader};

/// First member: what may be read without a key.
pub const SET_JSON: &str = "set.json";
/// Second member of a set that is not encrypted.
pub const MEMBERS: &str = "members.bin";
/// Second member of an encrypted set.
pub const MEMBERS_ENCRYPTED: &str = "members.bin.age";
/// Largest `set.json` that is read, in bytes.
pub const MAX_SET_JSON: u64 = 64 << 20;

/// Appends a small member of our own: a regular file, mode 0644, owner 0.
pub(super) fn plain_header(name: &str, size: u64, seconds: i64, out: &mut Vec<u8>) {
    let entry = Entry {
        mode: 0o644,
        mtime: Timestamp { seconds, nanoseconds: 0 },
        size,
        ..Entry::new(name.as_bytes().to_vec(), Kind::Regular)
    };
    encode_entry(&entry, out);
}

/// Appends what stands before the members: `set_json` as a whole member and the header of the second one, whose data
/// (`members_length` bytes, exactly as they will be stored) follows. `seconds` is the time of writing.
pub fn encode_start(set_json: &[u8], members_length: u64, encrypted: bool, seconds: i64, out: &mut Vec<u8>) {
    plain_header(SET_JSON, set_json.len() as u64, seconds, out);
    out.extend_from_slice(set_json);
    out.resize(out.len() + padding(set_json.len() as u64), 0);
    plain_header(if encrypted { MEMBERS_ENCRYPTED } else { MEMBERS }, members_length, seconds, out);
}

/// Appends what stands after the members.
pub fn encode_end(members_length: u64, out: &mut Vec<u8>) {
    out.resize(out.len() + padding(members_length), 0);
    out.extend_from_slice(&END_OF_ARCHIVE);
}

/// An index file, read up to the data of its second member, which it gives as a reader.
#[derive(Debug)]
pub struct IndexFileReader<R> {
    tar: TarReader<R>,
    set_json: Vec<u8>,
    encrypted: bool,
    members_length: u64,
}

impl<R: Skip> IndexFileReader<R> {
    /// Reads `set.json` and the header of the second member.
    ///
    /// # Errors
    /// `Structure` when this is not an index file (an archive file, say), else what reading tar meets.
    pub fn open(inner: R) -> Result<Self, FormatError> {
        let wrong = |reason: &str| FormatError::Structure { what: "index file", reason: reason.to_string() };
        let mut tar = TarReader::new(inner);
        let first = tar.next()?.ok_or_else(|| wrong("it is empty"))?;
        if first.entry.path != SET_JSON.as_bytes() || first.entry.kind != Kind::Regular {
            return Err(wrong("its first member is not set.json"));
        }
        if first.data_length > MAX_SET_JSON {
            return Err(wrong("its set.json is too large"));
        }
        let mut set_json = Vec::new();
        let offset = first.data_offset;
        tar.data().read_to_end(&mut set_json).map_err(|source| FormatError::Read { offset, source })?;
        let second = tar.next()?.ok_or_else(|| wrong("it has no members.bin"))?;
        let encrypted = match second.entry.path.as_slice() {
            path if path == MEMBERS.as_bytes() => false,
            path if path == MEMBERS_ENCRYPTED.as_bytes() => true,
            _ => return Err(wrong("its second member is not members.bin")),
        };
        Ok(IndexFileReader { tar, set_json, encrypted, members_length: second.data_length })
    }

    /// The bytes of `set.json`.
    pub fn set_json(&self) -> &[u8] {
        &self.set_json
    }

    /// Whether what this reads is an age file.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Bytes of the second member as stored.
    pub fn members_length(&self) -> u64 {
        self.members_length
    }
}

impl<R: Skip> Read for IndexFileReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.data().read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(members: &[u8], encrypted: bool) -> Vec<u8> {
        let mut file = Vec::new();
        encode_start(
            b"{\"format\":\"reelward-index\"}",
            members.len() as u64,
            encrypted,
            1_700_000_000,
            &mut file,
        );
        file.extend_from_slice(members);
        encode_end(members.len() as u64, &mut file);
        file
    }

    #[test]
    fn there_and_back() {
        for (members, encrypted) in [(&b""[..], false), (&[7; 5000][..], true), (&[1; 512][..], false)] {
            let bytes = file(members, encrypted);
            assert_eq!(bytes.len() % 512, 0);
            let mut reader = IndexFileReader::open(bytes.as_slice()).unwrap();
            assert_eq!(reader.set_json(), b"{\"format\":\"reelward-index\"}");
            assert_eq!(reader.is_encrypted(), encrypted);
            assert_eq!(reader.members_length(), members.len() as u64);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert_eq!(read, members);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let bytes = file(&[3; 2000], false);
        for cut in [0, 100, 512, 1000, 1400] {
            assert!(IndexFileReader::open(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut reader = IndexFileReader::open(&bytes[..2000]).unwrap();
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
        let mut other = Vec::new();
        plain_header("usr/bin/x", 0, 0, &mut other);
        assert!(matches!(IndexFileReader::open(other.as_slice()), Err(FormatError::Structure { .. })));
    }
}
