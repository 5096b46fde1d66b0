//! REPORT DENSITY SUPPORT (SSC-4 clause 7.5 ff.).

use super::bytes::{at_most, bit_at, put, slice_at, text, u8_at, u16_at, u24_at, u32_at};
use super::opcode;

/// REPORT DENSITY SUPPORT: of the loaded medium, or of the drive.
pub fn report(of_medium: bool, allocation: u16) -> [u8; 10] {
    let mut cdb = [opcode::REPORT_DENSITY_SUPPORT, u8::from(of_medium), 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[7..9], allocation.into());
    cdb
}

/// One density (SSC-4 table 58).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Density {
    /// Primary density code.
    pub code: u8,
    /// Secondary density code.
    pub secondary: u8,
    /// The drive can write it.
    pub writable: bool,
    /// What the drive writes where nothing else is asked.
    pub default: bool,
    /// Bits per millimetre of a track.
    pub bits_per_mm: u32,
    /// Number of tracks.
    pub tracks: u16,
    /// Native capacity in MB (10^6 bytes) of the longest medium.
    pub capacity: u32,
    /// Assigning organisation.
    pub organization: String,
    /// Name, such as `U-932`.
    pub name: String,
    /// Description.
    pub description: String,
}

/// Every whole descriptor of a reply.
pub fn parse(bytes: &[u8]) -> Option<Vec<Density>> {
    let mut rest = at_most(bytes, 4, usize::from(u16_at(bytes, 0)?).saturating_sub(2));
    let mut found = Vec::new();
    while let Some(descriptor) = slice_at(rest, 0, 52) {
        found.push(Density {
            code: u8_at(descriptor, 0)?,
            secondary: u8_at(descriptor, 1)?,
            writable: bit_at(descriptor, 2, 0x80),
            default: bit_at(descriptor, 2, 0x20),
            bits_per_mm: u24_at(descriptor, 5)?,
            tracks: u16_at(descriptor, 10)?,
            capacity: u32_at(descriptor, 12)?,
            organization: text(at_most(descriptor, 16, 8)),
            name: text(at_most(descriptor, 24, 8)),
            description: text(at_most(descriptor, 32, 20)),
        });
        // DLV: the descriptor names its own length behind byte 4.
        let length = match u16_at(descriptor, 3) {
            Some(length) if bit_at(descriptor, 2, 0x01) => usize::from(length).saturating_add(5).max(52),
            _ => 52,
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_density() {
        assert_eq!(report(true, 512), [0x44, 1, 0, 0, 0, 0, 0, 2, 0, 0]);
        let mut bytes = vec![0, 54, 0, 0, 0x5e, 0x5e, 0xa0, 0, 0, 0, 1, 2, 0, 127, 0, 208, 0, 0xb7, 0x1b, 0];
        bytes.extend(b"LTO-CVE U-832   Ultrium 8/32T       ");
        let found = parse(&bytes).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].writable && found[0].default);
        assert_eq!((found[0].code, found[0].tracks, found[0].capacity), (0x5e, 208, 12_000_000));
        assert_eq!((found[0].name.as_str(), found[0].description.as_str()), ("U-832", "Ultrium 8/32T"));
        assert_eq!(parse(&bytes[..55]), Some(vec![]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
