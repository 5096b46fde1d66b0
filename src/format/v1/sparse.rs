//! The map that begins the data of a sparse member (GNU sparse format 1.0): decimal lines, the number of extents,
//! then offset and length of each, padded with NUL to whole blocks.

use super::entry::Extent;
use super::error::FormatError;
use super::tar_header::{BLOCK, padding};

/// Widens extents to multiples of 512 at both ends (an end at most to `size`), joins those that meet and drops empty
/// ones, as members store them: GNU tar pads every extent to a block. Extents must be in order.
pub fn align(extents: &mut Vec<Extent>, size: u64) {
    let mut kept: usize = 0;
    for at in 0..extents.len() {
        let Extent { offset, length } = extents[at];
        let start = offset - offset % BLOCK as u64;
        let end = offset.saturating_add(length);
        let end = end.saturating_add(padding(end) as u64).min(size);
        if length == 0 || start >= end {
            continue;
        }
        match kept.checked_sub(1).and_then(|last| extents.get_mut(last)) {
            Some(last) if last.offset + last.length >= start => {
                last.length = end.max(last.offset + last.length) - last.offset;
            }
            _ => {
                extents[kept] = Extent { offset: start, length: end - start };
                kept += 1;
            }
        }
    }
    extents.truncate(kept);
}

/// Most extents that a member should have: so its map stays below 256 KiB, one record of the usual size.
pub const MAX_EXTENTS: usize = 8192;

/// Joins extents across their smallest gaps until there are at most `most` (and at least one); what lies in those gaps
/// is then stored as zeros.
pub fn coalesce(extents: &mut Vec<Extent>, most: usize) {
    let surplus = extents.len().saturating_sub(most.max(1));
    if surplus == 0 {
        return;
    }
    let gap = |pair: &[Extent]| match pair {
        [a, b] => b.offset.saturating_sub(a.offset + a.length),
        _ => 0,
    };
    let mut gaps: Vec<u64> = extents.windows(2).map(gap).collect();
    let (_, &mut largest, _) = gaps.select_nth_unstable(surplus - 1);
    let mut joined: Vec<Extent> = Vec::with_capacity(most);
    for extent in extents.drain(..) {
        match joined.last_mut() {
            Some(last) if extent.offset.saturating_sub(last.offset + last.length) <= largest => {
                last.length = extent.offset + extent.length - last.offset;
            }
            _ => joined.push(extent),
        }
    }
    *extents = joined;
}

/// A file that ends with a hole has an empty extent at its end: that is how extraction learns its size.
fn closing(extents: &[Extent], size: u64) -> Option<Extent> {
    let end = extents.last().map_or(0, |e| e.offset + e.length);
    (extents.is_empty() || end < size).then_some(Extent { offset: size, length: 0 })
}

fn digits(value: u64) -> u64 {
    u64::from(value.checked_ilog10().unwrap_or(0)) + 1
}

/// Bytes of the map of a file of `size` bytes, padding included.
pub fn map_length(extents: &[Extent], size: u64) -> u64 {
    let closing = closing(extents, size);
    let count = extents.len() + usize::from(closing.is_some());
    let lines: u64 = extents.iter().chain(&closing).map(|e| digits(e.offset) + digits(e.length) + 2).sum();
    let length = digits(count as u64) + 1 + lines;
    length + padding(length) as u64
}

/// Appends the map, padding included.
pub fn encode_map(extents: &[Extent], size: u64, out: &mut Vec<u8>) {
    use std::io::Write;
    let start = out.len();
    let closing = closing(extents, size);
    // Writing into a Vec cannot fail.
    let _ = writeln!(out, "{}", extents.len() + usize::from(closing.is_some()));
    for extent in extents.iter().chain(&closing) {
        let _ = write!(out, "{}\n{}\n", extent.offset, extent.length);
    }
    out.resize(out.len() + padding((out.len() - start) as u64), 0);
}

/// Checks that extents lie in order within a file of `size` bytes, and drops empty ones. `None` when they do not.
pub(super) fn checked(mut extents: Vec<Extent>, size: u64) -> Option<Vec<Extent>> {
    let mut end = 0;
    for extent in &extents {
        if extent.offset < end {
            return None;
        }
        end = extent.offset.checked_add(extent.length)?;
    }
    extents.retain(|e| e.length != 0);
    (end <= size).then_some(extents)
}

/// Reads the map line by line from blocks as they come.
#[derive(Debug, Default)]
pub(super) struct MapParser {
    number: u64,
    digits: u32,
    expected: Option<u64>,
    offset: Option<u64>,
    extents: Vec<Extent>,
}

impl MapParser {
    /// Takes one block; true once the map is complete. `at` is the member's offset, for errors.
    pub(super) fn block(&mut self, block: &[u8], at: u64) -> Result<bool, FormatError> {
        let wrong = || FormatError::Field { offset: at, field: "sparse map" };
        for &byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    self.number =
                        self.number.checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or_else(wrong)?;
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    if self.line() {
                        return Ok(true);
                    }
                }
                _ => return Err(wrong()),
            }
        }
        Ok(false)
    }

    /// Ends a line; true when it was the last.
    fn line(&mut self) -> bool {
        let number = std::mem::take(&mut self.number);
        self.digits = 0;
        match (self.expected, self.offset.take()) {
            (None, _) => self.expected = Some(number),
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.extents.push(Extent { offset, length: number }),
        }
        self.offset.is_none() && self.expected == Some(self.extents.len() as u64)
    }

    pub(super) fn into_extents(self) -> Vec<Extent> {
        self.extents
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(offset: u64, length: u64) -> Extent {
        Extent { offset, length }
    }

    #[test]
    fn extents_are_widened_to_blocks_and_joined() {
        let mut extents = vec![extent(10, 20), extent(600, 10), extent(5000, 0), extent(9999, 10)];
        align(&mut extents, 10_009);
        assert_eq!(extents, [extent(0, 1024), extent(9728, 281)]);
        let mut none = vec![extent(7, 0)];
        align(&mut none, 100);
        assert!(none.is_empty());
    }

    #[test]
    fn too_many_extents_are_joined_where_least_is_lost() {
        let mut extents = vec![extent(0, 512), extent(1024, 512), extent(8192, 512), extent(9216, 512)];
        let before = extents.clone();
        coalesce(&mut extents, 4);
        assert_eq!(extents, before);
        coalesce(&mut extents, 2);
        assert_eq!(extents, [extent(0, 1536), extent(8192, 1536)]);
        coalesce(&mut extents, 0);
        assert_eq!(extents, [extent(0, 9728)]);
        let many: Vec<Extent> = (0..MAX_EXTENTS as u64).map(|n| extent(n << 40 >> 8, 1 << 20)).collect();
        assert!(map_length(&many, 1 << 45) < 256 << 10);
    }

    #[test]
    fn the_map_ends_with_an_empty_extent_only_before_a_final_hole() {
        for (extents, size, text) in [
            (vec![extent(0, 512)], 512, "1\n0\n512\n"),
            (vec![extent(512, 512)], 2000, "2\n512\n512\n2000\n0\n"),
            (vec![], 7, "1\n7\n0\n"),
        ] {
            let mut map = Vec::new();
            encode_map(&extents, size, &mut map);
            assert_eq!(map.len() as u64, map_length(&extents, size));
            assert_eq!(&map[..text.len()], text.as_bytes());
            assert!(map[text.len()..].iter().all(|&b| b == 0));
            let mut parser = MapParser::default();
            assert!(parser.block(&map, 0).unwrap());
            assert_eq!(checked(parser.into_extents(), size).unwrap(), extents);
        }
    }

    #[test]
    fn impossible_maps_are_refused() {
        assert!(MapParser::default().block(b"x", 0).is_err());
        assert!(MapParser::default().block(b"99999999999999999999999", 0).is_err());
        assert!(checked(vec![extent(10, 10), extent(15, 1)], 100).is_none());
        assert!(checked(vec![extent(u64::MAX, 10)], 100).is_none());
        assert!(checked(vec![extent(0, 101)], 100).is_none());
    }
}
