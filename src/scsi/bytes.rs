//! Big-endian integers, the byte order of SCSI (SPC-4 clause 3.5): the only place that reads or writes them.
//!
//! Readers are checked: `None` where the bytes end too early. Writers put the least significant bytes into fixed arrays.

/// One byte at `at`.
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two bytes at `at`.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// Three bytes at `at`.
pub fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

/// Four bytes at `at`.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// Eight bytes at `at`.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_be_bytes)
}

/// `N` bytes at `at`.
pub fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    slice_at(bytes, at, N)?.try_into().ok()
}

/// `length` bytes at `at`.
pub fn slice_at(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

/// The bytes from `at` on, at most `length` of them: what is there of a field that a device may cut short.
pub fn at_most(bytes: &[u8], at: usize, length: usize) -> &[u8] {
    let from = at.min(bytes.len());
    let to = from.saturating_add(length).min(bytes.len());
    bytes.get(from..to).unwrap_or_default()
}

/// Whether any bit of `mask` is set in the byte at `at`; a missing byte has none.
pub fn bit_at(bytes: &[u8], at: usize, mask: u8) -> bool {
    bytes.get(at).is_some_and(|byte| byte & mask != 0)
}

/// A value of any width: the last eight bytes of `bytes` (log parameters are 1 to 8 bytes wide).
pub fn unsigned(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 8 {
        return None;
    }
    Some(bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte)))
}

/// Text padded with blanks or NULs (SPC-4 clause 4.3.1); bytes that are not printable ASCII become `?`.
pub fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let shown: String = bytes
        .iter()
        .take(end)
        .map(|&byte| if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '?' })
        .collect();
    shown.trim().to_owned()
}

/// Writes `value` big-endian over `field`, whatever its width; higher bytes than fit are cut off.
pub fn put(field: &mut [u8], value: u64) {
    let bytes = value.to_be_bytes();
    for (place, byte) in field.iter_mut().rev().zip(bytes.iter().rev()) {
        *place = *byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_there_and_no_more() {
        let bytes = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08];
        assert_eq!(u16_at(&bytes, 0), Some(0x0102));
        assert_eq!(u24_at(&bytes, 1), Some(0x02_0304));
        assert_eq!(u32_at(&bytes, 4), Some(0x0506_0708));
        assert_eq!(u64_at(&bytes, 0), Some(0x0102_0304_0506_0708));
        assert_eq!(u32_at(&bytes, 5), None);
        assert_eq!(u64_at(&bytes, usize::MAX), None);
        assert_eq!(at_most(&bytes, 6, 10), &[7, 8]);
        assert_eq!(at_most(&bytes, 60, usize::MAX), &[] as &[u8]);
        assert_eq!(unsigned(&[1, 0]), Some(256));
        assert_eq!(unsigned(&[0; 9]), None);
        assert_eq!(text(b" HP \0junk"), "HP");
        assert_eq!(text(b"a\xffb"), "a?b");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_put_is_read(value: u64) {
            let mut field = [0u8; 11];
            put(&mut field[2..10], value);
            prop_assert_eq!(u64_at(&field, 2), Some(value));
            put(&mut field[0..3], value & 0xff_ffff);
            prop_assert_eq!(u24_at(&field, 0), Some((value & 0xff_ffff) as u32));
        }
    }
}
