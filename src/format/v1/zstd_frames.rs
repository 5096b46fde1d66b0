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
