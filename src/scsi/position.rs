//! READ POSITION (SSC-4 clause 7.6): short, long and extended form.

use super::bytes::{bit_at, put, u8_at, u24_at, u32_at, u64_at};
use super::opcode;

/// Bytes of the short form's reply.
pub const SHORT_LENGTH: usize = 20;
/// Bytes of the long and the extended form's reply.
pub const LONG_LENGTH: usize = 32;

/// READ POSITION, short form (service action 00h); block numbers end at 2^32.
pub fn read_short() -> [u8; 10] {
    [opcode::READ_POSITION, 0x00, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// READ POSITION, long form (service action 06h): block and file number.
pub fn read_long() -> [u8; 10] {
    [opcode::READ_POSITION, 0x06, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// READ POSITION, extended form (service action 08h): what is still in the drive's buffer.
pub fn read_extended() -> [u8; 10] {
    let mut cdb = [opcode::READ_POSITION, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[7..9], LONG_LENGTH as u64);
    cdb
}

/// Where the drive says it is. A number the drive does not know is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reported {
    /// At the beginning of the partition.
    pub beginning: bool,
    /// Between early warning and the end of the partition.
    pub end: bool,
    /// Beyond programmable early warning.
    pub beyond_early_warning: bool,
    /// Partition number.
    pub partition: u32,
    /// The next block between host and drive ("first logical object" in the standard's short and extended form).
    pub block: Option<u64>,
    /// Filemarks before the position; long form only.
    pub file: Option<u64>,
    /// The next block between buffer and medium: everything before it is on the medium. Short and extended form.
    pub flushed: Option<u64>,
}

/// The long form (SSC-4 table 52).
pub fn parse_long(bytes: &[u8]) -> Option<Reported> {
    if bytes.len() < 24 {
        return None;
    }
    let block_known = !bit_at(bytes, 0, 0x04); // LONU: logical object number unknown
    let file_known = !bit_at(bytes, 0, 0x08); // MPU: mark position unknown
    Some(Reported {
        beginning: bit_at(bytes, 0, 0x80),
        end: bit_at(bytes, 0, 0x40),
        beyond_early_warning: bit_at(bytes, 0, 0x01),
        partition: u32_at(bytes, 4)?,
        block: u64_at(bytes, 8).filter(|block| block_known && credible(bytes, *block)),
        file: u64_at(bytes, 16).filter(|_| file_known),
        flushed: None,
    })
}

/// Block 0 is the beginning of the partition, and then the bit BOP is set. Targets that do not keep a position were seen
/// to answer zeros without it.
fn credible(bytes: &[u8], block: u64) -> bool {
    block != 0 || bit_at(bytes, 0, 0x80)
}

/// The short form (SSC-4 table 50).
pub fn parse_short(bytes: &[u8]) -> Option<Reported> {
    if bytes.len() < 12 {
        return None;
    }
    let known = !bit_at(bytes, 0, 0x04) && !bit_at(bytes, 0, 0x02); // LOLU, and PERR: the number overflowed
    Some(Reported {
        beginning: bit_at(bytes, 0, 0x80),
        end: bit_at(bytes, 0, 0x40),
        beyond_early_warning: bit_at(bytes, 0, 0x01),
        partition: u8_at(bytes, 1)?.into(),
        block: u32_at(bytes, 4).map(u64::from).filter(|block| known && credible(bytes, *block)),
        file: None,
        flushed: u32_at(bytes, 8).filter(|_| known).map(u64::from),
    })
}

/// The extended form (SSC-4 table 54).
pub fn parse_extended(bytes: &[u8]) -> Option<Reported> {
    if bytes.len() < 24 {
        return None;
    }
    let known = !bit_at(bytes, 0, 0x04) && !bit_at(bytes, 0, 0x02);
    Some(Reported {
        beginning: bit_at(bytes, 0, 0x80),
        end: bit_at(bytes, 0, 0x40),
        beyond_early_warning: bit_at(bytes, 0, 0x01),
        partition: u8_at(bytes, 1)?.into(),
        block: u64_at(bytes, 8).filter(|_| known),
        file: None,
        flushed: u64_at(bytes, 16).filter(|_| known),
    })
}

/// Blocks in the drive's buffer that are not on the medium yet: extended form, bytes 5 to 7.
pub fn buffered_blocks(bytes: &[u8]) -> Option<u32> {
    u24_at(bytes, 5).filter(|_| !bit_at(bytes, 0, 0x20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zeros_are_no_position() {
        let mut bytes = [0; LONG_LENGTH];
        bytes[0] = 0x20;
        assert_eq!(parse_long(&bytes).unwrap().block, None);
        assert_eq!(parse_short(&bytes).unwrap().block, None);
        bytes[0] = 0x80;
        assert_eq!(parse_long(&bytes).unwrap().block, Some(0));
    }

    #[test]
    fn long_form() {
        let mut bytes = [0u8; LONG_LENGTH];
        bytes[0] = 0x41;
        bytes[7] = 1;
        bytes[14] = 1;
        bytes[23] = 3;
        let at = parse_long(&bytes).unwrap();
        assert_eq!((at.partition, at.block, at.file), (1, Some(256), Some(3)));
        assert!(at.end && at.beyond_early_warning && !at.beginning);
        bytes[0] = 0x0c;
        let at = parse_long(&bytes).unwrap();
        assert_eq!((at.block, at.file), (None, None));
        assert_eq!(parse_long(&bytes[..20]), None);
    }

    #[test]
    fn short_and_extended_form() {
        let mut bytes = [0u8; SHORT_LENGTH];
        bytes[0] = 0x80;
        bytes[7] = 9;
        bytes[11] = 4;
        let at = parse_short(&bytes).unwrap();
        assert_eq!((at.beginning, at.block, at.flushed), (true, Some(9), Some(4)));
        bytes[0] = 0x04;
        assert_eq!(parse_short(&bytes).unwrap().block, None, "BPU");
        let mut bytes = [0u8; LONG_LENGTH];
        bytes[7] = 5;
        bytes[15] = 9;
        bytes[23] = 4;
        let at = parse_extended(&bytes).unwrap();
        assert_eq!((at.block, at.flushed, buffered_blocks(&bytes)), (Some(9), Some(4), Some(5)));
        assert_eq!(read_extended()[7..9], [0, 32]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_long(&bytes), parse_short(&bytes), parse_extended(&bytes), buffered_blocks(&bytes));
        }
    }
}
