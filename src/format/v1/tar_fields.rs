//! The fields of one 512-byte header, in all dialects.

use super::entry::Extent;
use super::tar_header::{BLOCK, byte_sum};

/// A header block as it was read.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a>(pub &'a [u8; BLOCK]);

impl Raw<'_> {
    fn field(&self, at: usize, length: usize) -> &[u8] {
        self.0.get(at..at + length).unwrap_or_default()
    }

    fn text(&self, at: usize, length: usize) -> &[u8] {
        let field = self.field(at, length);
        memchr::memchr(0, field).and_then(|end| field.get(..end)).unwrap_or(field)
    }

    pub(super) fn typeflag(&self) -> u8 {
        self.0[156]
    }

    fn is_ustar(&self) -> bool {
        self.field(257, 6) == b"ustar\0"
    }

    /// Whether the check sum fits, counted with unsigned or, as some old programs did, signed bytes.
    pub(super) fn sum_fits(&self) -> bool {
        let Some(said) = number(self.field(148, 8)) else { return false };
        let blanks = 8 * i64::from(b' ');
        let unsigned = byte_sum(self.0);
        let of_field: u32 = self.field(148, 8).iter().map(|&b| u32::from(b)).sum();
        if said == i64::from(unsigned - of_field) + blanks {
            return true;
        }
        let signed: i64 = self.0.iter().map(|&b| i64::from(b as i8)).sum();
        let of_field: i64 = self.field(148, 8).iter().map(|&b| i64::from(b as i8)).sum();
        said == signed - of_field + blanks
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let (name, prefix) = (self.text(0, 100), if self.is_ustar() { self.text(345, 155) } else { b"" });
        let mut path = Vec::with_capacity(prefix.len() + 1 + name.len());
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    pub(super) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    fn unsigned(&self, at: usize, length: usize) -> Option<u64> {
        number(self.field(at, length)).and_then(|n| u64::try_from(n).ok())
    }

    pub(super) fn mode(&self) -> Option<u64> {
        self.unsigned(100, 8)
    }

    pub(super) fn uid(&self) -> Option<u64> {
        self.unsigned(108, 8)
    }

    pub(super) fn gid(&self) -> Option<u64> {
        self.unsigned(116, 8)
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.unsigned(124, 12)
    }

    pub(super) fn mtime(&self) -> Option<i64> {
        number(self.field(136, 12))
    }

    pub(super) fn device_major(&self) -> Option<u64> {
        self.unsigned(329, 8)
    }

    pub(super) fn device_minor(&self) -> Option<u64> {
        self.unsigned(337, 8)
    }

    /// GNU typeflag `M`: bytes of the member that earlier volumes hold.
    pub(super) fn gnu_offset(&self) -> Option<u64> {
        self.unsigned(369, 12)
    }

    /// GNU typeflag `S`: the file's size with its holes.
    pub(super) fn gnu_real_size(&self) -> Option<u64> {
        self.unsigned(483, 12)
    }

    /// GNU typeflag `S`: the map's first four extents; true when blocks with more follow.
    pub(super) fn gnu_sparse(&self, extents: &mut Vec<Extent>) -> Option<bool> {
        gnu_extents(self.field(386, 96), extents)?;
        Some(self.0[482] != 0)
    }
}

/// A block of up to 21 further extents; true when another follows.
pub(super) fn gnu_sparse_extension(block: &[u8; BLOCK], extents: &mut Vec<Extent>) -> Option<bool> {
    gnu_extents(block.get(..504)?, extents)?;
    Some(block[504] != 0)
}

fn gnu_extents(table: &[u8], extents: &mut Vec<Extent>) -> Option<()> {
    for pair in table.as_chunks::<24>().0 {
        if pair[0] == 0 {
            break;
        }
        let (offset, length) = pair.split_at(12);
        extents.push(Extent {
            offset: number(offset).and_then(|n| u64::try_from(n).ok())?,
            length: number(length).and_then(|n| u64::try_from(n).ok())?,
        });
    }
    Some(())
}

/// A number in octal digits (blank: 0), or in base 256 when the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // Two's complement without the marking bit, big-endian; what does not fit 63 bits is refused.
        let negative = first & 0x40 != 0;
        let mut value = if negative { i128::from(first) - 256 } else { i128::from(first & 0x3f) };
        for &byte in rest {
            value = value.checked_mul(256)?.checked_add(i128::from(byte))?;
        }
        return i64::try_from(value).ok();
    }
    let mut value = 0i64;
    let digits = field.trim_ascii_start();
    for &byte in digits {
        match byte {
            b'0'..=b'7' => value = value.checked_mul(8)?.checked_add(i64::from(byte - b'0'))?,
            0 | b' ' => break,
            _ => return None,
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_dialects() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777\0"), Some(0o77_777_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(1 << 33));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf; 12]), None);
        assert_eq!(number(b"9"), None);
        assert_eq!(number(b""), None);
    }
}
