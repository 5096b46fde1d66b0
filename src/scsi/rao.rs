//! Recommended access order (SSC-5 clauses on GENERATE and RECEIVE RECOMMENDED ACCESS ORDER): the drive sorts places
//! to read by the way its head has to go. Full-height drives from LTO-9 on have it.

use super::bytes::{array_at, at_most, put, slice_at, u8_at, u16_at, u32_at, u64_at};
use super::opcode;

/// Bytes of one user data segment (UDS) descriptor.
pub const SEGMENT_LENGTH: usize = 32;

/// GENERATE RECOMMENDED ACCESS ORDER that reorders the segments in a list of `length` bytes (UDS type 0: no geometry).
pub fn generate(length: u32) -> [u8; 12] {
    let mut cdb = [opcode::MAINTENANCE_OUT, opcode::SA_GENERATE_RAO, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[6..10], length.into());
    cdb
}

/// RECEIVE RECOMMENDED ACCESS ORDER: the sorted list.
pub fn receive(allocation: u32) -> [u8; 12] {
    let mut cdb = [opcode::MAINTENANCE_IN, opcode::SA_RECEIVE_RAO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut cdb[6..10], allocation.into());
    cdb
}

/// RECEIVE RECOMMENDED ACCESS ORDER: how much the drive can sort.
pub fn receive_limits(allocation: u32) -> [u8; 12] {
    let mut cdb = receive(allocation);
    cdb[1] |= 0x80;
    cdb
}

/// A range of blocks to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The caller's name for it, returned unchanged.
    pub name: [u8; 10],
    /// Partition.
    pub partition: u8,
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
}

/// Parameter list of GENERATE RECOMMENDED ACCESS ORDER.
pub fn list(segments: &[Segment]) -> Vec<u8> {
    let mut list = vec![0; 8];
    put(&mut list[4..8], (segments.len() * SEGMENT_LENGTH) as u64);
    for segment in segments {
        let mut bytes = [0; SEGMENT_LENGTH];
        put(&mut bytes[0..2], SEGMENT_LENGTH as u64 - 2);
        bytes[5..15].copy_from_slice(&segment.name);
        bytes[15] = segment.partition;
        put(&mut bytes[16..24], segment.first);
        put(&mut bytes[24..32], segment.last);
        list.extend(bytes);
    }
    list
}

/// The sorted segments in a reply to [`receive`].
pub fn parse(bytes: &[u8]) -> Option<Vec<Segment>> {
    let length = usize::try_from(u32_at(bytes, 4)?).ok()?;
    let mut rest = at_most(bytes, 8, length);
    let mut found = Vec::new();
    while let Some(segment) = slice_at(rest, 0, SEGMENT_LENGTH) {
        found.push(Segment {
            name: array_at(segment, 5)?,
            partition: u8_at(segment, 15)?,
            first: u64_at(segment, 16)?,
            last: u64_at(segment, 24)?,
        });
        let step = usize::from(u16_at(segment, 0)?).saturating_add(2).max(SEGMENT_LENGTH);
        rest = rest.get(step..).unwrap_or_default();
    }
    Some(found)
}

/// How much the drive can sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most segments in one list.
    pub segments: u16,
    /// Most bytes of one descriptor.
    pub descriptor_length: u16,
}

/// A reply to [`receive_limits`].
pub fn parse_limits(bytes: &[u8]) -> Option<Limits> {
    Some(Limits { segments: u16_at(bytes, 4)?, descriptor_length: u16_at(bytes, 6)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_and_limits() {
        assert_eq!(generate(72), [0xa4, 0x1d, 2, 0, 0, 0, 0, 0, 0, 72, 0, 0]);
        assert_eq!(receive(8)[..2], [0xa3, 0x1d]);
        assert_eq!(receive_limits(8)[1], 0x9d);
        let limits = parse_limits(&[0, 0, 0, 0, 0x0a, 0x8c, 0, 32]).unwrap();
        assert_eq!((limits.segments, limits.descriptor_length), (2700, 32));
        assert_eq!(parse_limits(&[0; 7]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_list_reads_back(ranges in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..5)) {
            let segments: Vec<Segment> = ranges
                .into_iter()
                .map(|(first, last)| Segment { name: *b"segment 01", partition: 1, first, last })
                .collect();
            prop_assert_eq!(parse(&list(&segments)), Some(segments));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (parse(&bytes), parse_limits(&bytes));
        }
    }
}
