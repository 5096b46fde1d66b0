//! REPORT LUNS (SPC-4 clause 6.33).

use super::bytes::{at_most, put, u8_at, u32_at};
use super::opcode;

/// Allocation length with room for 511 logical units.
pub const ALLOCATION: u32 = 4 << 10;

/// All logical units of the target.
pub fn report(allocation: u32) -> [u8; 12] {
    let mut cdb = [0; 12];
    cdb[0] = opcode::REPORT_LUNS;
    put(&mut cdb[6..10], allocation.into());
    cdb
}

/// The logical unit numbers of a reply that have one level (SAM-5 clause 4.7.3: peripheral and flat space addressing),
/// in order and once each.
pub fn parse(bytes: &[u8]) -> Option<Vec<u16>> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let (entries, _) = at_most(bytes, 8, length).as_chunks::<8>();
    let mut found: Vec<u16> = entries
        .iter()
        .filter(|entry| entry[2..].iter().all(|&byte| byte == 0))
        .filter_map(|entry| match u8_at(entry, 0)? >> 6 {
            0 => (entry[0] == 0).then_some(entry[1].into()), // bus 0
            1 => Some(u16::from_be_bytes([entry[0] & 0x3f, entry[1]])),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_units() {
        let mut bytes = vec![0, 0, 0, 48, 0, 0, 0, 0];
        for entry in [[0, 3], [0, 0], [0x40, 0xff], [0x41, 0], [0x01, 5], [0xc1, 1]] {
            bytes.extend(entry);
            bytes.extend([0; 6]);
        }
        assert_eq!(parse(&bytes).unwrap(), [0, 3, 255, 256]);
        bytes[10] = 1; // a second level
        assert_eq!(parse(&bytes).unwrap(), [0, 255, 256]);
        assert_eq!(parse(&bytes[..20]).unwrap(), [] as [u16; 0]);
        assert_eq!(parse(&bytes[..3]), None);
        assert_eq!(report(0x1234), [0xa0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 0, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }
    }
}
