//! The volume file (chapter 2), and what else the first record of a tape may be.

use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::error::FormatError;
use super::index_file::plain_header;
use super::tar_header::{END_OF_ARCHIVE, padding};
use super::tar_reader::TarReader;

const FORMAT: &str = "reelward-volume";
const VERSION: u64 = 1;
const VOLUME_JSON: &str = "volume.json";
const README: &str = "README.txt";
const NOTE: &str = include_str!("recovery-note.txt");

/// Who a cartridge is: `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeFile {
    /// `"reelward-volume"`.
    pub format: String,
    /// 1.
    pub version: u64,
    /// RFC 9562 version 4, lower case.
    pub uuid: String,
    /// The name its owner gave it.
    pub label: String,
    /// The cartridge's barcode.
    pub barcode: Option<String>,
    /// The pool it belongs to.
    pub pool: Option<String>,
    /// Bytes of every record on the volume but the last of each file.
    pub record_size: u32,
    /// RFC 3339, UTC.
    pub created: String,
    /// Program and version.
    pub writer: String,
}

impl VolumeFile {
    /// A volume file of this version, written by this program.
    pub fn new(uuid: String, label: String, record_size: u32, created: String) -> Self {
        VolumeFile {
            format: FORMAT.to_string(),
            version: VERSION,
            uuid,
            label,
            barcode: None,
            pool: None,
            record_size,
            created,
            writer: concat!("reelward ", env!("CARGO_PKG_VERSION")).to_string(),
        }
    }
}

/// The recovery note with the volume's own values.
pub fn recovery_note(volume: &VolumeFile) -> String {
    NOTE.replace("{uuid}", &volume.uuid)
        .replace("{record_size}", &volume.record_size.to_string())
        .replace("{created}", &volume.created)
        .replace("{writer}", &volume.writer)
        .replace("{barcode}", volume.barcode.as_deref().unwrap_or("none"))
        .replace("{label}", &volume.label)
}

/// The whole volume file: one record.
///
/// # Errors
/// `Json` when the object cannot be written (it always can).
pub fn encode(volume: &VolumeFile) -> Result<Vec<u8>, FormatError> {
    let mut json = serde_json::to_vec_pretty(volume)
        .map_err(|source| FormatError::Json { what: VOLUME_JSON, source })?;
    json.push(b'\n');
    let seconds = volume.created.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
    let mut file = Vec::new();
    for (name, content) in [(VOLUME_JSON, json), (README, recovery_note(volume).into_bytes())] {
        plain_header(name, content.len() as u64, seconds, &mut file);
        file.extend_from_slice(&content);
        file.resize(file.len() + padding(content.len() as u64), 0);
    }
    file.extend_from_slice(&END_OF_ARCHIVE);
    Ok(file)
}

/// Reads a volume file from the volume's first record.
///
/// # Errors
/// `Structure` when it is something else, `Version` when a later program wrote it, `Json` when it is damaged.
pub fn decode(record: &[u8]) -> Result<VolumeFile, FormatError> {
    let other = || FormatError::Structure {
        what: "volume file",
        reason: "its first member is not volume.json".to_string(),
    };
    let mut tar = TarReader::new(record);
    let first = tar.next()?.ok_or_else(other)?;
    if first.entry.path != VOLUME_JSON.as_bytes() {
        return Err(other());
    }
    let mut json = Vec::new();
    let offset = first.data_offset;
    tar.data().read_to_end(&mut json).map_err(|source| FormatError::Read { offset, source })?;
    let json_error = |source| FormatError::Json { what: VOLUME_JSON, source };
    let value: serde_json::Value = serde_json::from_slice(&json).map_err(json_error)?;
    if value.get("format").and_then(|f| f.as_str()) != Some(FORMAT) {
        return Err(other());
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(VERSION) => serde_json::from_value(value).map_err(json_error),
        version => Err(FormatError::Version { what: "this volume", version: version.unwrap_or_default() }),
    }
}

/// What the first record of a volume is.
#[derive(Debug)]
pub enum Found {
    /// One of our volumes.
    Reelward(Box<VolumeFile>),
    /// One of ours, but written by a later version or damaged.
    Unreadable(FormatError),
    /// A tar archive of somebody else.
    Tar {
        /// Path of its first member.
        first_member: Vec<u8>,
    },
    /// A tape labelled by TapeBackarr.
    TapeBackarr {
        /// Its label.
        label: String,
        /// Its identity.
        uuid: String,
    },
    /// An ANSI X3.27 label.
    Ansi {
        /// Volume identifier.
        identifier: String,
        /// Whether it belongs to an LTFS volume.
        ltfs: bool,
    },
    /// Nothing but zeros.
    Zeros,
    /// Something else, recognised by its first bytes or not at all.
    Other {
        /// What it seems to be.
        what: Option<&'static str>,
    },
}

/// First bytes (at an offset) by which other data is told.
const MARKS: &[(usize, &[u8], &str)] = &[
    (0, b"age-encryption.org/v1\n", "an age-encrypted file"),
    (0, &[0x28, 0xb5, 0x2f, 0xfd], "zstd-compressed data"),
    (0, &[0x1f, 0x8b], "gzip-compressed data"),
    (0, &[0xfd, b'7', b'z', b'X', b'Z', 0], "xz-compressed data"),
    (0, b"BZh", "bzip2-compressed data"),
    (12, b"BB02", "a volume of Bacula or Bareos"),
    (0, b"AMANDA: TAPESTART", "a volume of Amanda"),
    (0, b"070701", "a cpio archive"),
    (0, b"TAPE", "a volume in Microsoft Tape Format"),
];

/// Tells what the first record of a volume is. Never fails: the answer is for a message.
pub fn identify(record: &[u8]) -> Found {
    if let Some(text) = record.strip_prefix(b"TAPEBACKARR|") {
        let text = String::from_utf8_lossy(text.split(|&b| b == 0).next().unwrap_or_default()).into_owned();
        let mut fields = text.split('|').map(str::to_string);
        return Found::TapeBackarr {
            label: fields.next().unwrap_or_default(),
            uuid: fields.next().unwrap_or_default(),
        };
    }
    if let Some(label) = record.strip_prefix(b"VOL1") {
        let identifier = String::from_utf8_lossy(label.get(..6).unwrap_or_default()).trim().to_string();
        return Found::Ansi { identifier, ltfs: record.get(24..28) == Some(b"LTFS") };
    }
    if !record.is_empty() && record.iter().all(|&b| b == 0) {
        return Found::Zeros;
    }
    if let Ok(Some(first)) = TarReader::new(record).next() {
        return match decode(record) {
            Ok(volume) => Found::Reelward(Box::new(volume)),
            Err(FormatError::Structure { .. }) => Found::Tar { first_member: first.entry.path },
            Err(error) => Found::Unreadable(error),
        };
    }
    let mark = MARKS.iter().find(|(at, mark, _)| record.get(*at..).is_some_and(|r| r.starts_with(mark)));
    Found::Other { what: mark.map(|&(_, _, what)| what) }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Reelward(volume) => write!(f, "the volume {} ({})", volume.label, volume.uuid),
            Found::Unreadable(error) => write!(f, "a Reelward volume that cannot be read: {error}"),
            Found::Tar { first_member } => {
                write!(f, "a tar archive that begins with {}", first_member.escape_ascii())
            }
            Found::TapeBackarr { label, uuid } => {
                write!(
                    f,
                    "a TapeBackarr tape with the label {} ({})",
                    label.escape_debug(),
                    uuid.escape_debug()
                )
            }
            Found::Ansi { identifier, ltfs: true } => {
                write!(f, "an LTFS volume with the identifier {}", identifier.escape_debug())
            }
            Found::Ansi { identifier, ltfs: false } => {
                write!(f, "a tape with the ANSI label {}", identifier.escape_debug())
            }
            Found::Zeros => f.write_str("a record of zeros"),
            Found::Other { what: Some(what) } => f.write_str(what),
            Found::Other { what: None } => f.write_str("data of an unknown kind"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn volume() -> VolumeFile {
        VolumeFile::new(
            "2a7f3e1c-95d4-4b60-8a2e-0f6c1d9b7e35".into(),
            "Monday {uuid}".into(),
            262_144,
            "2026-01-02T03:04:05Z".into(),
        )
    }

    #[test]
    fn there_and_back() {
        let bytes = encode(&volume()).unwrap();
        assert!(bytes.len().is_multiple_of(512) && bytes.len() < 65_536);
        assert_eq!(decode(&bytes).unwrap(), volume());
        assert!(matches!(identify(&bytes), Found::Reelward(v) if *v == volume()));
        let note = recovery_note(&volume());
        assert!(note.contains("Monday {uuid}") && note.contains("262144"));
        assert!(!note.contains("{label}"));
    }

    #[test]
    fn unknown_fields_are_passed_over_and_later_versions_named() {
        let bytes = encode(&volume()).unwrap();
        let text = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len());
            let at = memchr::memmem::find(&bytes, from.as_bytes()).unwrap();
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        assert!(decode(&text("\"pool\": null", "\"p__l\": null")).is_ok());
        let later = text("\"version\": 1", "\"version\": 2");
        assert!(matches!(decode(&later), Err(FormatError::Version { version: 2, .. })));
        assert!(matches!(identify(&later), Found::Unreadable(_)));
        assert!(matches!(identify(&text("\"uuid\"", "\"uu'd\"")), Found::Unreadable(_)));
    }

    #[test]
    fn foreign_tapes_are_named() {
        let mut tar = Vec::new();
        plain_header("etc/passwd\n", 0, 0, &mut tar);
        let mut ansi = *b"VOL1ABC123L             LTFS                                ";
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (tar, "a tar archive that begins with etc/passwd\\n"),
            (
                b"TAPEBACKARR|Week 1|1234|pool|17\0\0\0".to_vec(),
                "a TapeBackarr tape with the label Week 1 (1234)",
            ),
            (ansi.to_vec(), "an LTFS volume with the identifier ABC123"),
            (vec![0; 512], "a record of zeros"),
            (vec![0x1f, 0x8b, 8], "gzip-compressed data"),
            (vec![1; 512], "data of an unknown kind"),
            (Vec::new(), "data of an unknown kind"),
        ];
        for (record, text) in cases {
            assert_eq!(identify(&record).to_string(), text);
        }
        ansi[24] = b'X';
        assert_eq!(identify(&ansi).to_string(), "a tape with the ANSI label ABC123");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_record(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), prefix in 0usize..4) {
            let prefixes: [&[u8]; 4] = [b"", b"VOL1", b"TAPEBACKARR|", b"volume.json"];
            let prefix = prefixes[prefix];
            if bytes.len() >= prefix.len() {
                bytes[..prefix.len()].copy_from_slice(prefix);
            }
            let _ = identify(&bytes).to_string();
        }

        #[test]
        fn a_damaged_volume_file(at in 0usize..2048, byte: u8) {
            let mut bytes = encode(&volume()).unwrap();
            bytes[at] = byte;
            let _ = identify(&bytes).to_string();
        }
    }
}
