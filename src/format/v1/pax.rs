//! The records of extended headers.

use super::acl;
use super::entry::{Extent, Timestamp};
use super::error::FormatError;

/// What extended headers said, so far as it concerns a reader.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub comment: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<Timestamp>,
    pub device_major: Option<u64>,
    pub device_minor: Option<u64>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub acl_access: Option<Vec<u8>>,
    pub acl_default: Option<Vec<u8>>,
    pub acl_dropped: bool,
    pub sparse_version: (Option<u64>, Option<u64>),
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_real_size: Option<u64>,
    /// The maps of GNU's sparse formats 0.0 and 0.1 stand in the header.
    pub sparse_map: Vec<Extent>,
    sparse_offset: Option<u64>,
    pub volume_filename: Option<Vec<u8>>,
    pub volume_size: Option<u64>,
    pub volume_offset: Option<u64>,
}

/// Adds the records in the body of one extended header that begins at stream offset `at`.
pub(super) fn parse(mut body: &[u8], at: u64, records: &mut Records) -> Result<(), FormatError> {
    let wrong = |field| FormatError::Field { offset: at, field };
    // Some writers pad with NUL.
    while body.first().is_some_and(|&b| b != 0) {
        let space = memchr::memchr(b' ', body.get(..body.len().min(21)).unwrap_or_default())
            .ok_or_else(|| wrong("extended header"))?;
        let length = body.get(..space).and_then(decimal).ok_or_else(|| wrong("extended header"))?;
        let length = usize::try_from(length).map_err(|_| wrong("extended header"))?;
        let record = length.checked_sub(1).and_then(|end| body.get(space + 1..end));
        let (Some(record), Some(b'\n')) = (record, body.get(length.wrapping_sub(1))) else {
            return Err(wrong("extended header"));
        };
        body = body.get(length..).unwrap_or_default();
        let equals = memchr::memchr(b'=', record).ok_or_else(|| wrong("extended header"))?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        records.add(key, value).map_err(wrong)?;
    }
    Ok(())
}

impl Records {
    /// Takes one record; an error names it.
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = |what| decimal(value).map(Some).ok_or(what);
        let bytes = |what| match memchr::memchr(0, value) {
            None => Ok(Some(value.to_vec())),
            Some(_) => Err(what),
        };
        match key {
            b"path" => self.path = bytes("path")?,
            b"linkpath" => self.link = bytes("linkpath")?,
            b"comment" => self.comment = Some(value.to_vec()),
            b"size" => self.size = number("size")?,
            b"uid" => self.uid = number("uid")?,
            b"gid" => self.gid = number("gid")?,
            b"mtime" => self.mtime = Some(time(value).ok_or("mtime")?),
            b"SCHILY.devmajor" => self.device_major = number("device number")?,
            b"SCHILY.devminor" => self.device_minor = number("device number")?,
            b"SCHILY.acl.access" => {
                self.acl_access = acl::from_text(value);
                self.acl_dropped |= self.acl_access.is_none();
            }
            b"SCHILY.acl.default" => {
                self.acl_default = acl::from_text(value);
                self.acl_dropped |= self.acl_default.is_none();
            }
            b"GNU.sparse.major" => self.sparse_version.0 = number("sparse version")?,
            b"GNU.sparse.minor" => self.sparse_version.1 = number("sparse version")?,
            b"GNU.sparse.name" => self.sparse_name = bytes("sparse name")?,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.sparse_real_size = number("sparse size")?,
            b"GNU.sparse.offset" => self.sparse_offset = number("sparse map")?,
            b"GNU.sparse.numbytes" => {
                let length = decimal(value).ok_or("sparse map")?;
                let offset = self.sparse_offset.take().ok_or("sparse map")?;
                self.sparse_map.push(Extent { offset, length });
            }
            b"GNU.sparse.map" => {
                let mut numbers = value.split(|&b| b == b',').filter(|n| !n.is_empty());
                while let Some(offset) = numbers.next() {
                    let (Some(offset), Some(length)) = (decimal(offset), numbers.next().and_then(decimal))
                    else {
                        return Err("sparse map");
                    };
                    self.sparse_map.push(Extent { offset, length });
                }
            }
            b"GNU.volume.filename" => self.volume_filename = bytes("continuation")?,
            b"GNU.volume.size" => self.volume_size = number("continuation")?,
            b"GNU.volume.offset" => self.volume_offset = number("continuation")?,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    match unescaped(name).as_slice() {
                        b"system.posix_acl_access" => self.acl_access = Some(value.to_vec()),
                        b"system.posix_acl_default" => self.acl_default = Some(value.to_vec()),
                        name => self.xattrs.push((name.to_vec(), value.to_vec())),
                    }
                }
            }
        }
        Ok(())
    }
}

/// `%25` and `%3D` are `%` and `=`; anything else stands for itself.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        (plain, rest) = match (byte, after) {
            (b'%', [b'2', b'5', after @ ..]) => (pushed(plain, b'%'), after),
            (b'%', [b'3', b'D', after @ ..]) => (pushed(plain, b'='), after),
            _ => (pushed(plain, byte), after),
        };
    }
    plain
}

fn pushed(mut bytes: Vec<u8>, byte: u8) -> Vec<u8> {
    bytes.push(byte);
    bytes
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A decimal time, rounded down to nanoseconds.
fn time(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &b""[..]),
    };
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let (mut nanoseconds, mut beyond) = (0u32, false);
    for at in 0..fraction.len().max(9) {
        let digit = fraction.get(at).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        if at < 9 {
            nanoseconds = nanoseconds * 10 + u32::from(digit - b'0');
        } else {
            beyond |= digit != b'0';
        }
    }
    if !negative {
        return Some(Timestamp { seconds, nanoseconds });
    }
    // Down is away from zero here.
    let (seconds, nanoseconds) = match nanoseconds + u32::from(beyond) {
        1_000_000_000 => (seconds.checked_add(1)?, 0),
        sum => (seconds, sum),
    };
    Some(match nanoseconds {
        0 => Timestamp { seconds: -seconds, nanoseconds: 0 },
        _ => Timestamp { seconds: (-seconds).checked_sub(1)?, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let at = |seconds, nanoseconds| Some(Timestamp { seconds, nanoseconds });
        assert_eq!(time(b"12"), at(12, 0));
        assert_eq!(time(b"12.5"), at(12, 500_000_000));
        assert_eq!(time(b"12.0000000019"), at(12, 1));
        assert_eq!(time(b"-1.5"), at(-2, 500_000_000));
        assert_eq!(time(b"-0.000000001"), at(-1, 999_999_999));
        assert_eq!(time(b"-0.9999999999"), at(-1, 0));
        assert_eq!(time(b"-7"), at(-7, 0));
        for wrong in [&b""[..], b"-", b"1.x", b"x", b"99999999999999999999", b" 1"] {
            assert_eq!(time(wrong), None);
        }
    }

    #[test]
    fn records_that_lie_about_their_length() {
        let mut records = Records::default();
        for body in [
            &b"8 path=a\n"[..],
            b"11 path=a\n",
            b"0 path=a\n",
            b"3 \n",
            b"x",
            b"99999999999999999999999 a=b\n",
            b"18446744073709551615 a=b\n",
            b"2 ",
            b"1\n",
            b"6 a=\0\n",
        ] {
            let result = parse(body, 0, &mut records);
            assert!(result.is_err() || body.contains(&0), "{body:?}");
        }
        parse(b"9 path=a\n\0\0", 0, &mut records).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a"[..]));
    }

    #[test]
    fn names_of_attributes() {
        assert_eq!(unescaped(b"user.a%3Db%25c%2"), b"user.a=b%c%2");
    }
}
