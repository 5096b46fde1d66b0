//! What a run saw in a directory (chapter 7, section `w`): enough to tell whether a file changed since, and where its
//! content is.

use crate::format::bytes::{BytesError, Cursor, put_varint, unzigzag, zigzag};

/// The file has several names; the device follows.
const SEVERAL_NAMES: u64 = 1;
/// The times are one.
const SAME_TIMES: u64 = 2;
/// It may have changed without a trace: never taken for unchanged.
const UNSURE: u64 = 4;

const LISTED: u8 = 0;
const AS_IN: u8 = 1;

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Signature {
    /// Inode number.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// When its content changed last, nanoseconds since the epoch.
    pub mtime: i64,
    /// When anything of it changed last, nanoseconds since the epoch.
    pub ctime: i64,
    /// Its device, where the file has several names.
    pub device: Option<u64>,
    /// It was changed while it was read, or so shortly before that a change after it would have the same time.
    pub unsure: bool,
}

impl Signature {
    /// Whether a file with the signature `now` is the one that was stored with this. Devices have other numbers after a
    /// restart, so they say nothing.
    pub fn is_unchanged(&self, now: &Signature) -> bool {
        !self.unsure
            && (self.inode, self.size, self.mtime, self.ctime) == (now.inode, now.size, now.mtime, now.ctime)
    }
}

/// A name in a directory that is none itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEntry {
    /// Last path component.
    pub name: Vec<u8>,
    /// Its state.
    pub signature: Signature,
    /// The set that holds it: 0 this one, n the n-th of its bases.
    pub origin: u32,
}

/// The names of a directory, or some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeenList {
    /// These.
    Listed(Vec<SeenEntry>),
    /// All that the n-th base saw there, unchanged.
    AsIn(u32),
}

impl SeenList {
    /// Appends the list.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let entries = match self {
            SeenList::AsIn(base) => {
                out.push(AS_IN);
                return put_varint(out, u64::from(*base));
            }
            SeenList::Listed(entries) => entries,
        };
        out.push(LISTED);
        let mut before = Signature::default();
        for SeenEntry { name, signature, origin } in entries {
            let mut flags = 0;
            if signature.device.is_some() {
                flags |= SEVERAL_NAMES;
            }
            if signature.mtime == signature.ctime {
                flags |= SAME_TIMES;
            }
            if signature.unsure {
                flags |= UNSURE;
            }
            put_varint(out, u64::from(*origin) << 3 | flags);
            put_varint(out, zigzag(signature.inode.wrapping_sub(before.inode) as i64));
            put_varint(out, signature.size);
            put_varint(out, zigzag(signature.ctime.wrapping_sub(before.ctime)));
            if flags & SAME_TIMES == 0 {
                put_varint(out, zigzag(signature.mtime.wrapping_sub(signature.ctime)));
            }
            if let Some(device) = signature.device {
                put_varint(out, device);
            }
            out.extend_from_slice(name);
            out.push(0);
            before = *signature;
        }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<SeenList, BytesError> {
        let mut cursor = Cursor::new(bytes, "what was seen");
        let number = |value: u64| u32::try_from(value).map_err(|_| BytesError::TooLong("what was seen"));
        match cursor.u8()? {
            LISTED => {}
            AS_IN => return Ok(SeenList::AsIn(number(cursor.varint()?)?)),
            _ => return Err(BytesError::TooLong("what was seen")),
        }
        let mut entries = Vec::new();
        let mut before = Signature::default();
        while !cursor.is_empty() {
            let head = cursor.varint()?;
            let inode = before.inode.wrapping_add(unzigzag(cursor.varint()?) as u64);
            let size = cursor.varint()?;
            let ctime = before.ctime.wrapping_add(unzigzag(cursor.varint()?));
            let mtime = match head & SAME_TIMES {
                0 => ctime.wrapping_add(unzigzag(cursor.varint()?)),
                _ => ctime,
            };
            let device = if head & SEVERAL_NAMES == 0 { None } else { Some(cursor.varint()?) };
            let unsure = head & UNSURE != 0;
            let signature = Signature { inode, size, mtime, ctime, device, unsure };
            let (origin, name) = (number(head >> 3)?, cursor.name()?.to_vec());
            entries.push(SeenEntry { name, signature, origin });
            before = signature;
        }
        Ok(SeenList::Listed(entries))
    }
}

/// Appends a directory to the plain payload of a section `w`.
pub fn put_directory(path: &[u8], body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(path);
    out.push(0);
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// The directories of a section `w`: stored path and list, which is still to be decoded.
pub fn directories(payload: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), BytesError>> {
    let mut cursor = Cursor::new(payload, "what was seen");
    std::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        let row = cursor.name().and_then(|path| Ok((path, cursor.group()?)));
        if row.is_err() {
            cursor = Cursor::new(&[], "what was seen");
        }
        Some(row)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = SeenEntry> {
        let name = proptest::collection::vec(1..=255u8, 1..20);
        (name, any::<(u64, u64, i64, i64, Option<u64>, bool)>(), 0..100u32, any::<bool>()).prop_map(
            |(name, (inode, size, mtime, ctime, device, unsure), origin, same)| {
                let mtime = if same { ctime } else { mtime };
                let signature = Signature { inode, size, mtime, ctime, device, unsure };
                SeenEntry { name, signature, origin }
            },
        )
    }

    proptest! {
        #[test]
        fn lists_survive(entries in proptest::collection::vec(entry(), 0..20), base: u32) {
            for list in [SeenList::Listed(entries.clone()), SeenList::AsIn(base)] {
                let mut bytes = Vec::new();
                list.encode(&mut bytes);
                prop_assert_eq!(SeenList::decode(&bytes).unwrap(), list);
                let mut payload = Vec::new();
                put_directory(b"a/b", &bytes, &mut payload);
                put_directory(b"", &bytes, &mut payload);
                let rows: Vec<_> = directories(&payload).map(Result::unwrap).collect();
                prop_assert_eq!(rows, vec![(&b"a/b"[..], &bytes[..]), (&b""[..], &bytes[..])]);
            }
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = SeenList::decode(&bytes);
            prop_assert!(directories(&bytes).count() <= bytes.len() + 1);
        }
    }

    #[test]
    fn what_is_unsure_is_never_unchanged() {
        let stored = Signature { inode: 1, size: 2, mtime: 3, ctime: 4, device: Some(5), unsure: false };
        assert!(stored.is_unchanged(&Signature { device: Some(6), ..stored }));
        assert!(!Signature { unsure: true, ..stored }.is_unchanged(&stored));
        for other in [
            Signature { inode: 9, ..stored },
            Signature { size: 9, ..stored },
            Signature { mtime: 9, ..stored },
            Signature { ctime: 9, ..stored },
        ] {
            assert!(!stored.is_unchanged(&other));
        }
    }
}
