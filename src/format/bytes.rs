//! Little-endian integers and LEB128: the byte order of everything on tape that is ours. SCSI has its own helper.

/// Why bytes could not be read as what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// The bytes end inside a value.
    #[error("the bytes end inside {0}")]
    Short(&'static str),
    /// A varint has more than 64 bits.
    #[error("a number in {0} has more than 64 bits")]
    TooLong(&'static str),
}

/// Appends LEB128 of `value`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] writes for `value`, 1..=10.
#[inline]
pub fn varint_length(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads from the front of a slice; never beyond it.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Cursor<'a> {
    /// Begins at the first byte; `what` names the structure in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Cursor { rest: bytes, what }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, BytesError> {
        let (&first, rest) = self.rest.split_first().ok_or(BytesError::Short(self.what))?;
        self.rest = rest;
        Ok(first)
    }

    /// The next four bytes as a little-endian number.
    pub fn u32(&mut self) -> Result<u32, BytesError> {
        let (head, rest) = self.rest.split_first_chunk::<4>().ok_or(BytesError::Short(self.what))?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*head))
    }

    /// The next eight bytes as a little-endian number.
    pub fn u64(&mut self) -> Result<u64, BytesError> {
        let (head, rest) = self.rest.split_first_chunk::<8>().ok_or(BytesError::Short(self.what))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*head))
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], BytesError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(BytesError::Short(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next LEB128 number.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, BytesError> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                return Err(BytesError::TooLong(self.what));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// The bytes up to the next NUL, which is taken too.
    pub fn name(&mut self) -> Result<&'a [u8], BytesError> {
        let end = memchr::memchr(0, self.rest).ok_or(BytesError::Short(self.what))?;
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(name)
    }

    /// A varint length and as many bytes.
    pub fn group(&mut self) -> Result<&'a [u8], BytesError> {
        let length = self.varint()?;
        self.bytes(usize::try_from(length).map_err(|_| BytesError::Short(self.what))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(value in any::<u64>(), shift in 0u32..64, signed in any::<i64>()) {
            let value = value >> shift;
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(out.len(), varint_length(value));
            prop_assert_eq!(Cursor::new(&out, "test").varint(), Ok(value));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut cursor = Cursor::new(&bytes, "test");
            while cursor.varint().is_ok() {}
            let _ = Cursor::new(&bytes, "test").group();
            let _ = Cursor::new(&bytes, "test").name();
        }
    }

    #[test]
    fn more_than_64_bits_are_refused() {
        let mut bytes = [0xff; 10];
        bytes[9] = 2;
        assert_eq!(Cursor::new(&bytes, "test").varint(), Err(BytesError::TooLong("test")));
        bytes[9] = 1;
        assert_eq!(Cursor::new(&bytes, "test").varint(), Ok(u64::MAX));
    }
}
