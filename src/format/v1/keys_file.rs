//! The keys file (chapter 11): what stands before the archives of a part that the drive encrypts.

use std::fmt;
use std::io::Read;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::error::FormatError;
use super::index_file::plain_header;
use super::tar_header::{END_OF_ARCHIVE, padding};
use super::tar_reader::TarReader;
use crate::format::age::{AgeError, DecryptReader, Encryptor, Identity, Recipient};

const FORMAT: &str = "reelward-keys";
const VERSION: u64 = 1;
/// First member.
pub const KEYS_JSON: &str = "keys.json";
const KEY_AGE: &str = "key.age";
const README: &str = "README.txt";
const NOTE: &str = include_str!("keys-note.txt");
/// What the drive does with the key.
pub const ALGORITHM: &str = "AES-256-GCM";
/// Bytes of a key.
const KEY: usize = 32;
/// Longest name of a key.
const LONGEST_NAME: usize = 32;

/// A data key. Wiped from memory when dropped; never printed.
pub struct DataKey(Zeroizing<[u8; KEY]>);

impl DataKey {
    /// A new random key.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate() -> Result<DataKey, AgeError> {
        let mut bytes = Zeroizing::new([0; KEY]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| AgeError::Random)?;
        Ok(DataKey(bytes))
    }

    /// For the drive alone.
    pub fn bytes(&self) -> &[u8; KEY] {
        &self.0
    }

    /// As in the file within `key.age`: 64 hexadecimal digits, a line with the name.
    fn to_text(&self, name: &str) -> Zeroizing<Vec<u8>> {
        // Long enough from the start: growing would leave copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(2 * KEY + name.len() + 32));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0x0f] {
                text.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
        text.push(b'\n');
        text.extend_from_slice(name.as_bytes());
        text.push(b'\n');
        text
    }

    fn from_text(text: &[u8]) -> Option<DataKey> {
        let digits = text.split(|byte| *byte == b'\n').next()?;
        if digits.len() != 2 * KEY {
            return None;
        }
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let mut bytes = Zeroizing::new([0; KEY]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(*pair.first()?)? << 4 | value(*pair.get(1)?)?;
        }
        Some(DataKey(bytes))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

/// `keys.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysDescription {
    /// `"reelward-keys"`.
    pub format: String,
    /// 1.
    pub version: u64,
    /// Identity of the set.
    pub set: String,
    /// Number of the part.
    pub part: u32,
    /// Name of the key, which the drive keeps with every block.
    pub name: String,
    /// `AES-256-GCM`.
    pub algorithm: String,
    /// age recipients for whom the key is wrapped.
    pub recipients: Vec<String>,
}

/// The name of the key of one part of a set: at most 32 bytes.
pub fn key_name(set: &str, part: u32) -> String {
    let set: String = set.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    let mut name = format!("reelward-{set}-{part}");
    name.truncate(LONGEST_NAME);
    name
}

/// A keys file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFile {
    /// `keys.json`.
    pub description: KeysDescription,
    /// `key.age`: the key, wrapped.
    wrapped: Vec<u8>,
}

impl KeysFile {
    /// Wraps `key` for the recipients.
    ///
    /// # Errors
    /// No recipient, or one that cannot be used.
    pub fn new(set: &str, part: u32, key: &DataKey, recipients: &[Recipient]) -> Result<KeysFile, AgeError> {
        let name = key_name(set, part);
        let mut text = key.to_text(&name);
        let (mut wrapped, mut encryptor) = Encryptor::new(recipients)?;
        encryptor.encrypt_chunk(&mut text, true)?;
        wrapped.extend_from_slice(&text);
        let description = KeysDescription {
            format: FORMAT.into(),
            version: VERSION,
            set: set.to_owned(),
            part,
            name,
            algorithm: ALGORITHM.into(),
            recipients: recipients.iter().map(ToString::to_string).collect(),
        };
        Ok(KeysFile { description, wrapped })
    }

    /// The whole file: one record. `seconds`: time of writing.
    ///
    /// # Errors
    /// `Json` when the object cannot be written (it always can).
    pub fn encode(&self, seconds: i64) -> Result<Vec<u8>, FormatError> {
        let mut json = serde_json::to_vec_pretty(&self.description)
            .map_err(|source| FormatError::Json { what: KEYS_JSON, source })?;
        json.push(b'\n');
        let note = NOTE.replace("{name}", &self.description.name).into_bytes();
        let mut file = Vec::new();
        for (name, content) in [(KEYS_JSON, &json), (KEY_AGE, &self.wrapped), (README, &note)] {
            plain_header(name, content.len() as u64, seconds, &mut file);
            file.extend_from_slice(content);
            file.resize(file.len() + padding(content.len() as u64), 0);
        }
        file.extend_from_slice(&END_OF_ARCHIVE);
        Ok(file)
    }

    /// Reads a keys file from its record.
    ///
    /// # Errors
    /// `Structure` when it is something else, `Version` when a later program wrote it, `Json` when it is damaged.
    pub fn decode(record: &[u8]) -> Result<KeysFile, FormatError> {
        let wrong = |reason: &str| FormatError::Structure { what: "keys file", reason: reason.to_owned() };
        let mut tar = TarReader::new(record);
        let mut member = |name: &str| -> Result<Vec<u8>, FormatError> {
            let item = tar.next()?.ok_or_else(|| wrong("it ends too early"))?;
            if item.entry.path != name.as_bytes() {
                return Err(wrong(&format!("it has no member {name} in its place")));
            }
            let (mut content, offset) = (Vec::new(), item.data_offset);
            tar.data().read_to_end(&mut content).map_err(|source| FormatError::Read { offset, source })?;
            Ok(content)
        };
        let (json, wrapped) = (member(KEYS_JSON)?, member(KEY_AGE)?);
        let error = |source| FormatError::Json { what: KEYS_JSON, source };
        let value: serde_json::Value = serde_json::from_slice(&json).map_err(error)?;
        if value.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            return Err(wrong("keys.json is another kind of object"));
        }
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(VERSION) => {
                let description = serde_json::from_value(value).map_err(error)?;
                Ok(KeysFile { description, wrapped })
            }
            version => {
                Err(FormatError::Version { what: "this keys file", version: version.unwrap_or_default() })
            }
        }
    }

    /// The key, where one of the identities opens it.
    ///
    /// # Errors
    /// An [`AgeError`] inside: no identity fits, or the file was altered; what is in it is no key.
    pub fn unwrap_key(&self, identities: &[Identity]) -> std::io::Result<DataKey> {
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        DecryptReader::new(self.wrapped.as_slice(), identities)?.take(200).read_to_end(&mut text)?;
        DataKey::from_text(&text).ok_or_else(|| std::io::Error::other("what is wrapped there is no key"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SET: &str = "2a7f3e1c-95d4-4b60-8a2e-0f6c1d9b7e35";

    #[test]
    fn there_and_back() {
        let (identity, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        let key = DataKey::generate().unwrap();
        let file = KeysFile::new(SET, 3, &key, &[identity.recipient()]).unwrap();
        let bytes = file.encode(1_700_000_000).unwrap();
        assert!(bytes.len().is_multiple_of(512) && bytes.len() < 16 * 1024);
        let again = KeysFile::decode(&bytes).unwrap();
        assert_eq!(again, file);
        assert_eq!(again.description.name, "reelward-2a7f3e1c95d44b60-3");
        assert!(again.unwrap_key(&[other]).is_err());
        assert_eq!(again.unwrap_key(&[identity]).unwrap().bytes(), key.bytes());
        // Nothing of the key is in the file, or in what is printed.
        let hex: String = key.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(memchr::memmem::find(&bytes, hex.as_bytes()).is_none());
        assert!(memchr::memmem::find(&bytes, key.bytes()).is_none());
        assert_eq!(format!("{key:?}"), "DataKey(..)");
        assert!(KeysFile::new(SET, 3, &key, &[]).is_err());
    }

    #[test]
    fn names_fit_a_drive() {
        assert!(key_name(SET, u32::MAX).len() <= LONGEST_NAME);
        assert_ne!(key_name(SET, 1), key_name(SET, 2));
    }

    #[test]
    fn other_files_and_later_versions() {
        let key = DataKey::generate().unwrap();
        let identity = Identity::generate().unwrap();
        let bytes = KeysFile::new(SET, 1, &key, &[identity.recipient()]).unwrap().encode(0).unwrap();
        let at = memchr::memmem::find(&bytes, b"\"version\": 1").unwrap();
        let mut later = bytes.clone();
        later[at + 11] = b'2';
        assert!(matches!(KeysFile::decode(&later), Err(FormatError::Version { version: 2, .. })));
        assert!(KeysFile::decode(&bytes[512..]).is_err());
        assert!(KeysFile::decode(&[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_record(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert!(KeysFile::decode(&bytes).is_err());
        }

        #[test]
        fn a_damaged_file_gives_no_other_key(at in 0usize..4096, byte: u8) {
            let identity = Identity::generate().unwrap();
            let key = DataKey::generate().unwrap();
            let mut bytes = KeysFile::new(SET, 1, &key, &[identity.recipient()]).unwrap().encode(0).unwrap();
            let length = bytes.len();
            bytes[at % length] = byte;
            if let Ok(file) = KeysFile::decode(&bytes)
                && let Ok(found) = file.unwrap_key(&[identity])
            {
                prop_assert_eq!(found.bytes(), key.bytes());
            }
        }

        #[test]
        fn key_texts(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = DataKey::from_text(&text);
        }
    }
}
