//! The frame table of one archive (chapter 7, kind `F`): where each piece of its tar stream is stored.

use super::error::FormatError;

/// Where a byte of the tar stream is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramePlace {
    /// Number of the piece, from 0.
    pub frame: usize,
    /// Offset in the compressed stream at which the piece's frames begin.
    pub stored: u64,
    /// Offset of the byte within the piece's content.
    pub within: usize,
}

/// Stored and content lengths of all pieces, in order, with their sums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameTable {
    frames: Vec<(u32, u32)>,
    /// (stored, content) bytes before each frame.
    starts: Vec<(u64, u64)>,
    end: (u64, u64),
}

impl FromIterator<(u32, u32)> for FrameTable {
    fn from_iter<T: IntoIterator<Item = (u32, u32)>>(frames: T) -> Self {
        let mut table = FrameTable::default();
        for (stored, content) in frames {
            table.push(stored, content);
        }
        table
    }
}

impl FrameTable {
    /// Adds a piece: `stored` bytes that hold `content` bytes of the tar stream.
    pub fn push(&mut self, stored: u32, content: u32) {
        self.frames.push((stored, content));
        self.starts.push(self.end);
        self.end = (self.end.0 + u64::from(stored), self.end.1 + u64::from(content));
    }

    /// (stored, content) lengths in bytes, in order.
    pub fn frames(&self) -> &[(u32, u32)] {
        &self.frames
    }

    /// Offset in the compressed stream at which piece `frame` begins.
    pub fn stored_start(&self, frame: usize) -> u64 {
        self.starts.get(frame).map_or(self.end.0, |start| start.0)
    }

    /// Offset in the tar stream at which piece `frame` begins.
    pub fn content_start(&self, frame: usize) -> u64 {
        self.starts.get(frame).map_or(self.end.1, |start| start.1)
    }

    /// Bytes of the compressed stream.
    pub fn stored_length(&self) -> u64 {
        self.end.0
    }

    /// Bytes of the tar stream.
    pub fn content_length(&self) -> u64 {
        self.end.1
    }

    /// Where the byte at `stream_offset` of the tar stream is; `None` at and beyond its end.
    pub fn locate(&self, stream_offset: u64) -> Option<FramePlace> {
        if stream_offset >= self.end.1 {
            return None;
        }
        // The last piece that begins at or before the offset: empty pieces before it are passed over.
        let frame = self.starts.partition_point(|start| start.1 <= stream_offset).checked_sub(1)?;
        let (stored, content) = *self.starts.get(frame)?;
        Some(FramePlace { frame, stored, within: (stream_offset - content) as usize })
    }

    /// Appends the payload of section `F` for archive number `archive`.
    pub fn encode(&self, archive: u32, out: &mut Vec<u8>) {
        varint(u64::from(archive), out);
        varint(self.frames.len() as u64, out);
        for &(stored, content) in &self.frames {
            varint(u64::from(stored), out);
            varint(u64::from(content), out);
        }
    }

    /// Reads the payload of section `F`: archive number and table.
    ///
    /// # Errors
    /// When the bytes are not a table.
    pub fn decode(payload: &[u8]) -> Result<(u32, FrameTable), FormatError> {
        let mut rest = payload;
        let mut next = || take_varint(&mut rest).ok_or_else(|| wrong("a number is cut off"));
        let archive = u32::try_from(next()?).map_err(|_| wrong("impossible archive number"))?;
        let count = next()?;
        let mut table = FrameTable::default();
        for _ in 0..count {
            let (stored, content) = (u32::try_from(next()?), u32::try_from(next()?));
            let (Ok(stored), Ok(content)) = (stored, content) else {
                return Err(wrong("impossible frame length"));
            };
            table.push(stored, content);
        }
        if rest.is_empty() { Ok((archive, table)) } else { Err(wrong("bytes follow it")) }
    }
}

fn wrong(reason: &str) -> FormatError {
    FormatError::Structure { what: "frame table", reason: reason.to_string() }
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_byte_is_found() {
        let mut table = FrameTable::default();
        for (stored, content) in [(10, 4), (20, 4), (7, 1)] {
            table.push(stored, content);
        }
        assert_eq!(table.locate(0), Some(FramePlace { frame: 0, stored: 0, within: 0 }));
        assert_eq!(table.locate(3), Some(FramePlace { frame: 0, stored: 0, within: 3 }));
        assert_eq!(table.locate(4), Some(FramePlace { frame: 1, stored: 10, within: 0 }));
        assert_eq!(table.locate(8), Some(FramePlace { frame: 2, stored: 30, within: 0 }));
        assert_eq!(table.locate(9), None);
        assert_eq!((table.stored_length(), table.content_length()), (37, 9));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn tables_survive(archive: u32, frames in proptest::collection::vec(any::<(u32, u32)>(), 0..50)) {
            let mut table = FrameTable::default();
            for &(stored, content) in &frames {
                table.push(stored, content);
            }
            let mut bytes = Vec::new();
            table.encode(archive, &mut bytes);
            prop_assert_eq!(FrameTable::decode(&bytes).unwrap(), (archive, table));
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = FrameTable::decode(&bytes);
        }
    }
}
