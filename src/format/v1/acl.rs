//! POSIX ACLs: the kernel's binary attribute and the text that pax archives carry.
//!
//! The attribute is a little-endian u32 version (2), then per entry u16 tag, u16 permissions, u32 id.

use std::io::Write;

const VERSION: u32 = 2;
const NO_ID: u32 = u32::MAX;
const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// The text of a binary ACL, entries in the attribute's order, with numeric ids:
/// `user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r--`. `None` when the bytes are not an ACL
/// of version 2 whose text says all of it.
pub fn to_text(binary: &[u8]) -> Option<Vec<u8>> {
    let (version, entries) = binary.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.is_empty() || entries.len() % 8 != 0 {
        return None;
    }
    let mut text = Vec::with_capacity(entries.len() * 2);
    for entry in entries.as_chunks::<8>().0 {
        let [t0, t1, p0, p1, id @ ..] = *entry;
        let (tag, permissions, id) =
            (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]), u32::from_le_bytes(id));
        let (name, named) = match tag {
            USER_OBJECT => ("user", false),
            USER => ("user", true),
            GROUP_OBJECT => ("group", false),
            GROUP => ("group", true),
            MASK => ("mask", false),
            OTHER => ("other", false),
            _ => return None,
        };
        if permissions > 7 || named == (id == NO_ID) {
            return None;
        }
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        if named {
            let _ = write!(text, "{id}"); // a Vec cannot fail
        }
        text.push(b':');
        for (bit, letter) in [(4, b'r'), (2, b'w'), (1, b'x')] {
            text.push(if permissions & bit != 0 { letter } else { b'-' });
        }
    }
    Some(text)
}

/// The binary attribute for an ACL text as tar programs write it: entries separated by `,` or line ends,
/// tags long or of one letter, ids numeric (or numeric in a fourth field, as star and libarchive add it).
/// `None` when it is not an ACL or names a user or group that only the writer's machine knew.
pub fn from_text(text: &[u8]) -> Option<Vec<u8>> {
    let mut binary = VERSION.to_le_bytes().to_vec();
    for line in text.split(|&b| b == b',' || b == b'\n') {
        let line = line.split(|&b| b == b'#').next().unwrap_or_default().trim_ascii();
        if line.is_empty() {
            continue;
        }
        let line = line.strip_prefix(b"default:").unwrap_or(line);
        let mut fields = line.split(|&b| b == b':').map(<[u8]>::trim_ascii);
        let tag = fields.next()?;
        let qualifier = fields.next()?;
        // `other` and `mask` may come without their empty qualifier.
        let (qualifier, permissions) = match fields.next() {
            Some(permissions) => (qualifier, permissions),
            None => (&b""[..], qualifier),
        };
        let id = match (qualifier.is_empty(), fields.next()) {
            (true, _) => NO_ID,
            (false, Some(number)) => number_of(number)?,
            (false, None) => number_of(qualifier)?,
        };
        let tag = match (tag, id == NO_ID) {
            (b"user" | b"u", true) => USER_OBJECT,
            (b"user" | b"u", false) => USER,
            (b"group" | b"g", true) => GROUP_OBJECT,
            (b"group" | b"g", false) => GROUP,
            (b"mask" | b"m", true) => MASK,
            (b"other" | b"o", true) => OTHER,
            _ => return None,
        };
        let mut bits = 0u16;
        for &letter in permissions {
            bits |= match letter {
                b'r' => 4,
                b'w' => 2,
                b'x' => 1,
                b'-' => 0,
                _ => return None,
            };
        }
        binary.extend_from_slice(&tag.to_le_bytes());
        binary.extend_from_slice(&bits.to_le_bytes());
        binary.extend_from_slice(&id.to_le_bytes());
    }
    (binary.len() > 4).then_some(binary)
}

fn number_of(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&id| id != NO_ID)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"user::rwx,user:1000:r-x,group::r-x,mask::rwx,other::r--";

    #[test]
    fn the_text_of_the_specification() {
        let binary = from_text(TEXT).unwrap();
        assert_eq!(binary.len(), 4 + 5 * 8);
        assert_eq!(&binary[12..20], &[2, 0, 5, 0, 0xe8, 3, 0, 0]);
        assert_eq!(to_text(&binary).unwrap(), TEXT);
    }

    #[test]
    fn other_programs_spellings() {
        let same = from_text(TEXT).unwrap();
        assert_eq!(from_text(b"u::rwx\nu:joe:r-x:1000\ng::r-x\nm:rwx\no:r--\n").unwrap(), same);
        assert_eq!(
            from_text(
                b"default:user::rwx,default:user:1000:r-x #effective:r-x,group::r-x,mask::rwx,other::r--"
            )
            .unwrap(),
            same
        );
        assert_eq!(from_text(b"user::rwx,user:joe:r-x"), None);
        assert_eq!(from_text(b""), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = from_text(&bytes);
            if let Some(text) = to_text(&bytes) {
                prop_assert_eq!(from_text(&text).unwrap(), bytes);
            }
        }

        #[test]
        fn binary_survives(entries in proptest::collection::vec((0usize..6, 0u16..8, 0u32..u32::MAX), 1..20)) {
            let mut binary = VERSION.to_le_bytes().to_vec();
            for (tag, permissions, id) in entries {
                let tag = [USER_OBJECT, USER, GROUP_OBJECT, GROUP, MASK, OTHER][tag];
                let id = if tag == USER || tag == GROUP { id } else { NO_ID };
                binary.extend_from_slice(&tag.to_le_bytes());
                binary.extend_from_slice(&permissions.to_le_bytes());
                binary.extend_from_slice(&id.to_le_bytes());
            }
            prop_assert_eq!(from_text(&to_text(&binary).unwrap()).unwrap(), binary);
        }
    }
}
