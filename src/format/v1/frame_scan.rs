//! Finds the frames in a compressed stream as it passes by (RFC 8878 clause 3.1.1), for an archive whose frame table
//! was lost. Nothing is decompressed here.

use super::frame_table::FrameTable;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Magic number and descriptor.
    Start,
    /// The rest of the frame header: bytes to pass over, then the content size in that many bytes.
    Header { before: usize, size: usize, checksum: bool },
    /// A block header.
    Block { checksum: bool },
    /// The content of a block.
    Content { left: u64, last: bool, checksum: bool },
    /// The check sum.
    Checksum,
    /// Something that is no frame of ours: nothing more is told.
    Lost,
}

/// A frame table in the making: one row for each frame.
#[derive(Debug)]
pub(super) struct FrameScanner {
    stage: Stage,
    /// Bytes gathered for the current stage.
    gathered: Vec<u8>,
    stored: u64,
    content: u64,
    table: FrameTable,
}

impl Default for FrameScanner {
    fn default() -> Self {
        FrameScanner {
            stage: Stage::Start,
            gathered: Vec::new(),
            stored: 0,
            content: 0,
            table: FrameTable::default(),
        }
    }
}

impl FrameScanner {
    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = match self.stage {
                Stage::Start => 5,
                Stage::Header { before, size, .. } => before + size,
                Stage::Block { .. } => 3,
                Stage::Checksum => 4,
                Stage::Lost => return,
                Stage::Content { left, last, checksum } => {
                    let passed = left.min(bytes.len() as u64);
                    bytes = bytes.get(passed as usize..).unwrap_or_default();
                    self.stored += passed;
                    self.stage = Stage::Content { left: left - passed, last, checksum };
                    if left == passed {
                        self.block_ended(last, checksum);
                    }
                    continue;
                }
            };
            let missing = wanted - self.gathered.len();
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.gathered.extend_from_slice(now);
            self.stored += now.len() as u64;
            bytes = later;
            if self.gathered.len() == wanted {
                let gathered = std::mem::take(&mut self.gathered);
                self.stage = self.next(&gathered).unwrap_or(Stage::Lost);
                if let Stage::Content { left: 0, last, checksum } = self.stage {
                    self.block_ended(last, checksum);
                }
            }
        }
    }

    /// The stage after one whose bytes are all there; `None` when they make no sense.
    fn next(&mut self, bytes: &[u8]) -> Option<Stage> {
        Some(match self.stage {
            Stage::Start => {
                let descriptor = *bytes.strip_prefix(&MAGIC)?.first()?;
                let single = descriptor & 0x20 != 0;
                let size = match descriptor >> 6 {
                    0 if single => 1,
                    0 => return None, // no content size: not ours
                    1 => 2,
                    2 => 4,
                    _ => 8,
                };
                let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
                let before = usize::from(!single) + dictionary;
                Stage::Header { before, size, checksum: descriptor & 4 != 0 }
            }
            Stage::Header { before, size, checksum } => {
                let mut content = [0; 8];
                content.get_mut(..size)?.copy_from_slice(bytes.get(before..)?);
                self.content = u64::from_le_bytes(content).checked_add(if size == 2 { 256 } else { 0 })?;
                Stage::Block { checksum }
            }
            Stage::Block { checksum } => {
                let [a, b, c] = *bytes.first_chunk()?;
                let header = u32::from_le_bytes([a, b, c, 0]);
                let left = match header >> 1 & 3 {
                    1 => 1, // one byte repeated
                    3 => return None,
                    _ => u64::from(header >> 3),
                };
                Stage::Content { left, last: header & 1 == 1, checksum }
            }
            Stage::Checksum => {
                self.frame_ended();
                self.stage_after_frame()
            }
            Stage::Content { .. } | Stage::Lost => return None,
        })
    }

    fn block_ended(&mut self, last: bool, checksum: bool) {
        self.stage = match (last, checksum) {
            (false, _) => Stage::Block { checksum },
            (true, true) => Stage::Checksum,
            (true, false) => {
                self.frame_ended();
                self.stage_after_frame()
            }
        };
    }

    fn stage_after_frame(&self) -> Stage {
        if matches!(self.stage, Stage::Lost) { Stage::Lost } else { Stage::Start }
    }

    fn frame_ended(&mut self) {
        match (u32::try_from(self.stored), u32::try_from(self.content)) {
            (Ok(stored), Ok(content)) => self.table.push(stored, content),
            _ => self.stage = Stage::Lost,
        }
        self.stored = 0;
    }

    /// The frames that passed by whole.
    pub(super) fn table(&self) -> &FrameTable {
        &self.table
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::v1::zstd_frames::{FrameEncoder, decode};

    #[test]
    fn frames_are_found_whatever_the_cuts() {
        let mut state = 1u32;
        let stream: Vec<u8> = (0..1_500_000usize)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at / 400_000 % 2 == 0 { (state >> 24) as u8 } else { b"tape"[at % 4] }
            })
            .collect();
        let (mut packed, mut encoder) = (Vec::new(), FrameEncoder::new(1).unwrap());
        for piece in [&stream[..200], &stream[200..900_000], &stream[900_000..900_000], &stream[900_000..]] {
            encoder.encode(piece, &mut packed).unwrap();
        }
        for cut in [1, 7, 1000, packed.len()] {
            let mut scanner = FrameScanner::default();
            packed.chunks(cut).for_each(|part| scanner.push(part));
            let table = scanner.table();
            assert_eq!(table.stored_length(), packed.len() as u64);
            assert_eq!(table.content_length(), stream.len() as u64);
            let (mut at, mut whole) = (0, Vec::new());
            for &(stored, content) in table.frames() {
                decode(&packed[at..at + stored as usize], content as usize, &mut whole).unwrap();
                at += stored as usize;
            }
            assert!(whole == stream);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), frame: bool) {
            let mut scanner = FrameScanner::default();
            if frame {
                scanner.push(&MAGIC);
            }
            scanner.push(&bytes);
        }
    }
}
