//! One entry of a cartridge's `index` file: what stands at one logical block position.
//!
//! ```text
//! 0 kind  1 flags  2 key u16  4 length u32  8 place u64  16 file u32  20 stored u32  24 zero u32  28 CRC32C u32
//! ```
//! Integers are little-endian. Position N of the tape is entry N.

/// Bytes of one entry.
pub(in crate::virtual_library) const ENTRY: usize = 32;

const RECORD: u8 = 1;
const FILEMARK: u8 = 2;
const ENCRYPTED: u8 = 0x01;
const DISCARDED: u8 = 0x02;

/// What stands at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::virtual_library) enum Object {
    /// A record.
    Record(Record),
    /// A filemark.
    Filemark,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::virtual_library) struct Record {
    /// Bytes that the host wrote.
    pub length: u32,
    /// Bytes that lie in `data`: more than `length` when encrypted.
    pub stored: u32,
    /// The drive encrypted it.
    pub encrypted: bool,
    /// Its bytes were not kept.
    pub discarded: bool,
    /// Which key-associated data of the cartridge memory belongs to it, where encrypted.
    pub key: u16,
}

/// An object and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::virtual_library) struct Entry {
    /// What it is.
    pub object: Object,
    /// Bytes of records before it: its offset in `data`.
    pub place: u64,
    /// Filemarks before it.
    pub file: u32,
}

impl Entry {
    /// Where the next object's bytes lie.
    pub fn end(&self) -> u64 {
        match self.object {
            Object::Record(record) => self.place.saturating_add(u64::from(record.stored)),
            Object::Filemark => self.place,
        }
    }

    /// Filemarks before the next object.
    pub fn files_after(&self) -> u32 {
        self.file.saturating_add(u32::from(self.object == Object::Filemark))
    }

    /// The bytes of the entry.
    pub fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0u8; ENTRY];
        match self.object {
            Object::Record(record) => {
                bytes[0] = RECORD;
                bytes[1] = if record.encrypted { ENCRYPTED } else { 0 }
                    | if record.discarded { DISCARDED } else { 0 };
                bytes[2..4].copy_from_slice(&record.key.to_le_bytes());
                bytes[4..8].copy_from_slice(&record.length.to_le_bytes());
                bytes[20..24].copy_from_slice(&record.stored.to_le_bytes());
            }
            Object::Filemark => bytes[0] = FILEMARK,
        }
        bytes[8..16].copy_from_slice(&self.place.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.file.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The entry, or `None` where the bytes are torn.
    pub fn decode(bytes: &[u8; ENTRY]) -> Option<Entry> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if u32_at(28) != crc32c::crc32c(&bytes[..28]) {
            return None;
        }
        let object = match bytes[0] {
            RECORD => Object::Record(Record {
                length: u32_at(4),
                stored: u32_at(20),
                encrypted: bytes[1] & ENCRYPTED != 0,
                discarded: bytes[1] & DISCARDED != 0,
                key: u16::from_le_bytes([bytes[2], bytes[3]]),
            }),
            FILEMARK => Object::Filemark,
            _ => return None,
        };
        let place = u64::from(u32_at(8)) | u64::from(u32_at(12)) << 32;
        Some(Entry { object, place, file: u32_at(16) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_come_back_and_torn_ones_do_not(
            length: u32, stored: u32, encrypted: bool, discarded: bool, key: u16, place: u64, file: u32,
            mark: bool, torn in 0usize..ENTRY * 8,
        ) {
            let object = if mark {
                Object::Filemark
            } else {
                Object::Record(Record { length, stored, encrypted, discarded, key })
            };
            let entry = Entry { object, place, file };
            let mut bytes = entry.encode();
            prop_assert_eq!(Entry::decode(&bytes), Some(entry));
            bytes[torn / 8] ^= 1 << (torn % 8);
            prop_assert_eq!(Entry::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_safe(bytes: [u8; ENTRY]) {
            let _ = Entry::decode(&bytes);
        }
    }
}
