//! Independent zstd frames (chapter 5, RFC 8878) and the table that finds them.

use std::io::Cursor;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::error::FormatError;

/// Bytes of tar stream in a piece: what one entry of a frame table covers, the last of an archive excepted.
pub const PIECE: usize = 4 << 20;
/// Largest block of a zstd frame (RFC 8878 clause 3.1.1.2.4).
const BLOCK_MAXIMUM: usize = 128 << 10;
/// The unit in which data is judged worth compressing or not.
const SECTION: usize = 128 << 10;
/// A stretch that does not compress is set apart from this many sections on; shorter ones ride along.
const APART: usize = 2;
/// The sample of a section: this many slices of [`SLICE`] bytes.
const SLICES: usize = 16;
const SLICE: usize = 256;

/// Compresses pieces. One for each thread.
pub struct FrameEncoder {
    compressor: Compressor<'static>,
}

impl std::fmt::Debug for FrameEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameEncoder")
    }
}

fn frame_error(error: impl std::fmt::Display) -> FormatError {
    FormatError::Frame { reason: error.to_string() }
}

impl FrameEncoder {
    /// `level` is zstd's, -7 to 19.
    ///
    /// # Errors
    /// When zstd refuses the level or has no memory.
    pub fn new(level: i32) -> Result<Self, FormatError> {
        let mut compressor = Compressor::new(level).map_err(frame_error)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(frame_error)?;
        Ok(FrameEncoder { compressor })
    }

    /// Appends a piece of at most [`PIECE`] bytes as frames that need nothing from before them: one frame, or several
    /// where a stretch that does not compress is stored between others that do.
    ///
    /// # Errors
    /// When zstd fails (memory).
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), FormatError> {
        debug_assert!(piece.len() <= PIECE);
        let mut rest = piece;
        loop {
            let (stretch, compressible) = next_stretch(rest);
            let (now, later) = rest.split_at(stretch);
            if compressible {
                self.compress(now, out)?;
            } else {
                store(now, out);
            }
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    fn compress(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), FormatError> {
        let start = out.len();
        out.reserve(zstd::zstd_safe::compress_bound(data.len()));
        let mut end = Cursor::new(&mut *out);
        end.set_position(start as u64);
        let length = self.compressor.compress_to_buffer(data, &mut end).map_err(frame_error)?;
        if length > stored_length(data.len()) {
            out.truncate(start);
            store(data, out);
        }
        Ok(())
    }
}

/// Length of the stretch at the beginning of `data` that is treated alike, and whether it is worth compressing.
fn next_stretch(data: &[u8]) -> (usize, bool) {
    let mut worth = data.chunks(SECTION).map(compresses);
    let Some(first) = worth.next() else { return (0, false) };
    let mut length = SECTION;
    let mut against = 0; // sections at the end of the stretch that are of the other sort
    for section in worth {
        length += SECTION;
        if section == first {
            against = 0;
            continue;
        }
        against += 1;
        if against == if first { APART } else { 1 } {
            length -= against * SECTION;
            against = 0;
            break;
        }
    }
    let _ = against;
    (length.min(data.len()), first)
}

/// Whether a section is likely to shrink, from the distribution of bytes in a sample. Data that looks random byte by
/// byte is stored: zstd gains on it only where long strings repeat.
fn compresses(section: &[u8]) -> bool {
    if section.len() < SLICES * SLICE {
        return true;
    }
    let mut counts = [[0u16; 256]; 2];
    let step = (section.len() - SLICE) / (SLICES - 1);
    for slice in (0..SLICES).filter_map(|at| section.get(at * step..at * step + SLICE)) {
        for pair in slice.as_chunks::<2>().0 {
            counts[0][usize::from(pair[0])] += 1;
            counts[1][usize::from(pair[1])] += 1;
        }
    }
    // Pairs of equal bytes: n^2/256 + n in random data, more in any other. Random data passes 1.12 of it about never.
    let collisions: u64 =
        counts[0].iter().zip(&counts[1]).map(|(&a, &b)| u64::from(a + b)).map(|count| count * count).sum();
    let n = (SLICES * SLICE) as u64;
    let random = n * n / 256 + n;
    collisions * 100 > random * 112
}

/// Length of a frame of raw blocks.
fn stored_length(content: usize) -> usize {
    9 + content.div_ceil(BLOCK_MAXIMUM).max(1) * 3 + content
}

/// Appends a frame of raw blocks: magic, single segment with a content size of 4 bytes, no check sum (a SHA-256
/// stands over every member).
fn store(data: &[u8], out: &mut Vec<u8>) {
    out.reserve(stored_length(data.len()));
    out.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000]);
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    let mut blocks = data.chunks(BLOCK_MAXIMUM).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(block) = blocks.next() {
        let last = u32::from(blocks.peek().is_none());
        out.extend_from_slice(&((block.len() as u32) << 3 | last).to_le_bytes()[..3]);
        out.extend_from_slice(block);
    }
}

/// Decompresses pieces. One for each thread.
pub struct FrameDecoder {
    decompressor: Decompressor<'static>,
}

impl std::fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameDecoder")
    }
}

impl FrameDecoder {
    /// A decoder.
    ///
    /// # Errors
    /// When zstd has no memory.
    pub fn new() -> Result<Self, FormatError> {
        Ok(FrameDecoder { decompressor: Decompressor::new().map_err(frame_error)? })
    }

    /// Appends the content of one entry of the frame table, which is `content` bytes.
    ///
    /// # Errors
    /// When the bytes are damaged or hold another amount.
    pub fn decode(&mut self, stored: &[u8], content: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if content > PIECE {
            return Err(frame_error(format_args!("a piece of {content} bytes")));
        }
        let start = out.len();
        out.resize(start + content, 0);
        let filled =
            out.get_mut(start..).map_or(Ok(0), |to| self.decompressor.decompress_to_buffer(stored, to));
        match filled {
            Ok(length) if length == content => Ok(()),
            Ok(length) => {
                out.truncate(start);
                Err(frame_error(format_args!("{length} bytes where {content} belong")))
            }
            Err(error) => {
                out.truncate(start);
                Err(frame_error(error))
            }
        }
    }
}

/// Decodes one entry of a frame table with a decoder of its own; see [`FrameDecoder::decode`].
///
/// # Errors
/// As [`FrameDecoder::decode`].
pub fn decode(stored: &[u8], content: usize, out: &mut Vec<u8>) -> Result<(), FormatError> {
    FrameDecoder::new()?.decode(stored, content, out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let step = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        (0..length).map(step).collect()
    }

    fn text(length: usize) -> Vec<u8> {
        (0..length).map(|n| b"a tape is a long strip of patience "[n * n / 7 % 35]).collect()
    }

    fn encode(piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        FrameEncoder::new(1).unwrap().encode(piece, &mut out).unwrap();
        out
    }

    fn tool(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("zstd")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the zstd tool is needed for this test");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn the_zstd_tool_reads_every_sort_of_piece() {
        let mixed = [text(300_000), noise(400_000), text(1000), noise(700_000), vec![0; 500_000]].concat();
        for piece in
            [vec![], vec![1], noise(100), noise(131_072), noise(131_073), noise(PIECE), text(PIECE), mixed]
        {
            let stored = encode(&piece);
            assert!(stored.len() <= stored_length(piece.len()) + 64, "{} from {}", stored.len(), piece.len());
            assert!(tool(&["-dc"], &stored) == piece, "{}", piece.len());
            let mut back = Vec::new();
            decode(&stored, piece.len(), &mut back).unwrap();
            assert!(back == piece);
            assert!(decode(&stored, piece.len() + 1, &mut back).is_err());
        }
    }

    #[test]
    fn noise_is_stored_and_text_compressed_beside_it() {
        assert_eq!(encode(&noise(PIECE)).len(), stored_length(PIECE));
        let half = [text(PIECE / 2), noise(PIECE / 2)].concat();
        let ours = encode(&half).len();
        assert!(ours < PIECE * 6 / 10);
        assert!(ours <= tool(&["-1c"], &half).len() * 101 / 100);
    }

    #[test]
    fn damage_in_a_compressed_piece_is_noticed() {
        let piece = text(200_000);
        let stored = encode(&piece);
        for at in (0..stored.len()).step_by(stored.len() / 50 + 1) {
            let mut changed = stored.clone();
            changed[at] ^= 0x10;
            let mut out = vec![9];
            assert!(decode(&changed, piece.len(), &mut out).is_err() || out[1..] == piece, "byte {at}");
            assert_eq!(out[0], 9);
        }
    }

    #[test]
    fn frozen_frame_of_raw_blocks() {
        let mut out = Vec::new();
        store(b"xyz", &mut out);
        assert_eq!(out, [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 3, 0, 0, 0, 25, 0, 0, b'x', b'y', b'z']);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_mixture_survives(parts in proptest::collection::vec((any::<bool>(), 0usize..400_000), 0..6)) {
            let mut piece = Vec::new();
            for (random, length) in parts {
                piece.extend(if random { noise(length) } else { text(length) });
            }
            let stored = encode(&piece);
            let mut back = Vec::new();
            decode(&stored, piece.len(), &mut back).unwrap();
            prop_assert!(back == piece);
        }

        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200), content in 0usize..10_000) {
            let _ = decode(&bytes, content, &mut Vec::new());
            let _ = decode(&[&[0x28, 0xb5, 0x2f, 0xfd], &bytes[..]].concat(), content, &mut Vec::new());
        }
    }
}
