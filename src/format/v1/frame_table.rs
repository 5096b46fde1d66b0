//! The frame table of one archive, ready to search: where each piece of its tar stream is stored. Index and catalog keep it
//! as [`PackedFrames`](super::index::PackedFrames).

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
}

#[cfg(test)]
mod tests {
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
}
