//! Commands that move the medium or data to and from it (SSC-4 clauses 5 to 7), and those of every device (SPC-4).

use super::bytes::{put, u8_at, u16_at, u24_at};
use super::opcode;

/// TEST UNIT READY (SPC-4 clause 6.47).
pub fn test_unit_ready() -> [u8; 6] {
    [opcode::TEST_UNIT_READY, 0, 0, 0, 0, 0]
}

/// REQUEST SENSE in fixed format (SPC-4 clause 6.39).
pub fn request_sense(allocation: u8) -> [u8; 6] {
    [opcode::REQUEST_SENSE, 0, 0, 0, allocation, 0]
}

/// READ BLOCK LIMITS (SSC-4 clause 7.5); the reply has 6 bytes.
pub fn read_block_limits() -> [u8; 6] {
    [opcode::READ_BLOCK_LIMITS, 0, 0, 0, 0, 0]
}

/// The reply to READ BLOCK LIMITS, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// Largest record; `None` where the device names no limit.
    pub maximum: Option<u32>,
    /// Smallest record.
    pub minimum: u16,
    /// Record lengths are multiples of this power of two.
    pub granularity: u8,
}

impl BlockLimits {
    /// Parses the 6 bytes.
    pub fn parse(bytes: &[u8]) -> Option<BlockLimits> {
        Some(BlockLimits {
            granularity: u8_at(bytes, 0)? & 0x1f,
            maximum: Some(u24_at(bytes, 1)?).filter(|&maximum| maximum != 0),
            minimum: u16_at(bytes, 4)?,
        })
    }
}

/// A 24-bit length or count, at its largest where `value` does not fit.
fn u24(value: u32) -> [u8; 3] {
    let mut field = [0; 3];
    put(&mut field, value.min(0xff_ffff).into());
    field
}

/// A command with a 24-bit field at byte 2.
fn with_u24(opcode: u8, flags: u8, value: u32) -> [u8; 6] {
    let [a, b, c] = u24(value);
    [opcode, flags, a, b, c, 0]
}

/// READ(6) of one variable-length record of at most `length` bytes (below 2^24), SILI clear (SSC-4 clause 6.4).
pub fn read_variable(length: u32) -> [u8; 6] {
    with_u24(opcode::READ_6, 0, length)
}

/// READ(6) of `blocks` blocks of the size in the block descriptor.
pub fn read_fixed(blocks: u32) -> [u8; 6] {
    with_u24(opcode::READ_6, 0x01, blocks)
}

/// WRITE(6) of one record of `length` bytes (below 2^24; SSC-4 clause 6.10).
pub fn write_variable(length: u32) -> [u8; 6] {
    with_u24(opcode::WRITE_6, 0, length)
}

/// WRITE(6) of `blocks` blocks of the size in the block descriptor.
pub fn write_fixed(blocks: u32) -> [u8; 6] {
    with_u24(opcode::WRITE_6, 0x01, blocks)
}

/// VERIFY(6) of one variable-length record: the medium alone is checked, no data moves (SSC-4 clause 6.8).
pub fn verify_variable(length: u32) -> [u8; 6] {
    with_u24(opcode::VERIFY_6, 0, length)
}

/// VERIFY(6) with VTE: the drive checks everything up to the end of data by itself.
pub fn verify_to_end() -> [u8; 6] {
    with_u24(opcode::VERIFY_6, 0x20, 0)
}

/// WRITE FILEMARKS(6) (SSC-4 clause 6.12). Count 0 without `immediate` flushes the drive's buffer.
pub fn write_filemarks(count: u32, immediate: bool) -> [u8; 6] {
    with_u24(opcode::WRITE_FILEMARKS_6, u8::from(immediate), count)
}

/// What SPACE counts (SSC-4 table 47).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum SpaceOver {
    /// Records.
    Records = 0,
    /// Filemarks.
    Filemarks = 1,
    /// Everything: to the end of data; the count does not matter.
    EndOfData = 3,
}

/// SPACE(6) (SSC-4 clause 7.8): `count` is cut to 24 signed bits.
pub fn space_6(over: SpaceOver, count: i32) -> [u8; 6] {
    let [_, a, b, c] = count.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    [opcode::SPACE_6, over as u8, a, b, c, 0]
}

/// SPACE(16) (SSC-4 clause 7.9).
pub fn space_16(over: SpaceOver, count: i64) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode::SPACE_16;
    cdb[1] = over as u8;
    put(&mut cdb[4..12], count.cast_unsigned());
    cdb
}

/// LOCATE(10) to a block of the current partition (SSC-4 clause 7.2).
pub fn locate_10(block: u32) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[0] = opcode::LOCATE_10;
    put(&mut cdb[3..7], block.into());
    cdb
}

/// LOCATE(16) to a block; with a partition the drive changes to it first (SSC-4 clause 7.3). By block and never by
/// file: drives disagree on what follows a filemark.
pub fn locate_16(block: u64, partition: Option<u8>) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode::LOCATE_16;
    if let Some(partition) = partition {
        cdb[1] = 0x02;
        cdb[3] = partition;
    }
    put(&mut cdb[4..12], block);
    cdb
}

/// REWIND (SSC-4 clause 7.7).
pub fn rewind(immediate: bool) -> [u8; 6] {
    [opcode::REWIND, u8::from(immediate), 0, 0, 0, 0]
}

/// LOAD UNLOAD (SSC-4 clause 7.4).
pub fn load_unload(load: bool, immediate: bool) -> [u8; 6] {
    [opcode::LOAD_UNLOAD, u8::from(immediate), 0, 0, u8::from(load), 0]
}

/// LOAD UNLOAD with LOAD and RETEN: the tape is wound to its end and back.
pub fn retension() -> [u8; 6] {
    [opcode::LOAD_UNLOAD, 0, 0, 0, 0x03, 0]
}

/// PREVENT ALLOW MEDIUM REMOVAL (SPC-4 clause 6.16 of SMC-3 and SSC-4 alike).
pub fn prevent_removal(prevent: bool) -> [u8; 6] {
    [opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, u8::from(prevent), 0]
}

/// ERASE(6) from the position to the end of the partition; short (a mark only) unless `long` (SSC-4 clause 6.2).
pub fn erase(long: bool, immediate: bool) -> [u8; 6] {
    [opcode::ERASE_6, u8::from(long) | u8::from(immediate) << 1, 0, 0, 0, 0]
}

/// What FORMAT MEDIUM does with partitions (SSC-4 table 42).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum MediumFormat {
    /// The drive's default format: one partition.
    Default = 0,
    /// Partitions as the medium partition mode page says.
    Partition = 1,
    /// The default format first, then partitions.
    DefaultThenPartition = 2,
}

/// FORMAT MEDIUM without a parameter list (SSC-4 clause 7.1): at the beginning of the medium only, not on WORM.
pub fn format_medium(format: MediumFormat, immediate: bool) -> [u8; 6] {
    [opcode::FORMAT_MEDIUM, u8::from(immediate), format as u8, 0, 0, 0]
}

/// SET CAPACITY to `proportion`/65535 of the cartridge (SSC-4 clause 7.10).
pub fn set_capacity(proportion: u16, immediate: bool) -> [u8; 6] {
    let [a, b] = proportion.to_be_bytes();
    [opcode::SET_CAPACITY, u8::from(immediate), 0, a, b, 0]
}

/// ALLOW OVERWRITE of the current position, for a drive in append-only mode (SSC-4 clause 6.1).
pub fn allow_overwrite(partition: u8, block: u64) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = opcode::ALLOW_OVERWRITE;
    cdb[2] = 0x01;
    cdb[3] = partition;
    put(&mut cdb[4..12], block);
    cdb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_by_byte() {
        assert_eq!(read_variable(0x01_0203), [0x08, 0, 1, 2, 3, 0]);
        assert_eq!(read_fixed(2), [0x08, 1, 0, 0, 2, 0]);
        assert_eq!(write_variable(u32::MAX), [0x0a, 0, 0xff, 0xff, 0xff, 0]);
        assert_eq!(write_fixed(1), [0x0a, 1, 0, 0, 1, 0]);
        assert_eq!(verify_to_end(), [0x13, 0x20, 0, 0, 0, 0]);
        assert_eq!(verify_variable(512), [0x13, 0, 0, 2, 0, 0]);
        assert_eq!(write_filemarks(1, true), [0x10, 1, 0, 0, 1, 0]);
        assert_eq!(write_filemarks(0, false), [0x10, 0, 0, 0, 0, 0]);
        assert_eq!(space_6(SpaceOver::Filemarks, -1), [0x11, 1, 0xff, 0xff, 0xff, 0]);
        assert_eq!(space_6(SpaceOver::Records, i32::MIN), [0x11, 0, 0x80, 0, 0, 0]);
        assert_eq!(space_16(SpaceOver::EndOfData, 0)[..2], [0x91, 3]);
        assert_eq!(space_16(SpaceOver::Records, -2)[4..12], (-2i64).to_be_bytes());
        assert_eq!(locate_10(0x0102_0304), [0x2b, 0, 0, 1, 2, 3, 4, 0, 0, 0]);
        assert_eq!(locate_16(5, None), [0x92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]);
        assert_eq!(locate_16(5, Some(1))[..4], [0x92, 2, 0, 1]);
        assert_eq!(rewind(false), [0x01, 0, 0, 0, 0, 0]);
        assert_eq!(load_unload(true, false), [0x1b, 0, 0, 0, 1, 0]);
        assert_eq!(retension(), [0x1b, 0, 0, 0, 3, 0]);
        assert_eq!(prevent_removal(true), [0x1e, 0, 0, 0, 1, 0]);
        assert_eq!(erase(true, true), [0x19, 3, 0, 0, 0, 0]);
        assert_eq!(format_medium(MediumFormat::Default, false), [0x04, 0, 0, 0, 0, 0]);
        assert_eq!(set_capacity(0x8000, false), [0x0b, 0, 0, 0x80, 0, 0]);
        assert_eq!(allow_overwrite(0, 7)[..4], [0x82, 0, 1, 0]);
        assert_eq!(test_unit_ready(), [0; 6]);
        assert_eq!(request_sense(96), [0x03, 0, 0, 0, 96, 0]);
        assert_eq!(read_block_limits()[0], 0x05);
    }

    #[test]
    fn block_limits() {
        let limits = BlockLimits::parse(&[0, 0x80, 0, 0, 0, 1]).unwrap();
        assert_eq!((limits.maximum, limits.minimum), (Some(8 << 20), 1));
        assert_eq!(BlockLimits::parse(&[0, 0, 0, 0, 0, 1]).unwrap().maximum, None);
        assert_eq!(BlockLimits::parse(&[0, 0, 0, 0, 0]), None);
    }
}
