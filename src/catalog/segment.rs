//! Segments: which of up to 64 blocks may hold a few bytes in a row, and how often each extension occurs.
//!
//! A gram is three or four bytes of a name in ASCII lower case, NUL standing before its first byte and behind its last, so that
//! beginnings and ends are found too. Its hash picks a bucket; a bucket is a bitmap with a bit for each block. Almost any three
//! letters stand somewhere in a thousand names; four do not.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use super::ids::{SetId, key};
use crate::format::bytes::{Cursor, put_varint};

/// Blocks a segment covers at most.
pub(super) const MAX_BLOCKS: usize = 64;
const MAX_BUCKET_BITS: u32 = 15;
const MIN_BUCKET_BITS: u32 = 6;
/// Buckets in one row of `signature`.
const SLICE_BITS: u32 = 8;
/// Extensions a segment lists at most; of the rest it only knows that there are some.
const MAX_EXTENSIONS: usize = 255;
/// Longest extension that is listed.
const MAX_EXTENSION: usize = 12;
/// Extensions counted while a segment is built; later ones are never listed.
const MAX_COUNTED: usize = 4096;

/// The bucket of the last three of these four bytes, unless they join two names.
#[inline]
fn bucket_of_three(bytes: u32) -> Option<u32> {
    let gram = bytes & 0xff_ffff;
    (gram & 0xff00 != 0).then(|| gram.wrapping_mul(0x9E37_79B1) >> (32 - MAX_BUCKET_BITS))
}

/// The bucket of these four bytes, unless they join two names.
#[inline]
fn bucket_of_four(bytes: u32) -> Option<u32> {
    let apart = bytes & 0xff00 != 0 && bytes & 0xff_0000 != 0;
    apart.then(|| (bytes ^ bytes >> 15).wrapping_mul(0x85EB_CA6B) >> (32 - MAX_BUCKET_BITS))
}

/// What stands behind the last dot.
#[inline]
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = memchr::memrchr(b'.', name)?;
    name.get(dot + 1..).filter(|e| !e.is_empty() && e.len() <= MAX_EXTENSION)
}

/// The signature of a segment that is being filled.
#[derive(Debug)]
pub(super) struct SegmentBuilder {
    first_ordinal: u64,
    members: u64,
    counts: Vec<u16>,
    table: Vec<u64>,
    extensions: HashMap<Box<[u8]>, u32>,
    complete: bool,
}

impl SegmentBuilder {
    pub(super) fn new() -> Self {
        SegmentBuilder {
            first_ordinal: 0,
            members: 0,
            counts: Vec::with_capacity(MAX_BLOCKS),
            table: vec![0; 1 << MAX_BUCKET_BITS],
            extensions: HashMap::new(),
            complete: true,
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.counts.len() >= MAX_BLOCKS
    }

    /// Adds the names of the next block.
    pub(super) fn add(&mut self, first_ordinal: u64, count: u32, names: &[u8]) {
        if self.counts.is_empty() {
            self.first_ordinal = first_ordinal;
        }
        let bit = 1u64 << (self.counts.len() % MAX_BLOCKS);
        self.counts.push(count as u16);
        self.members += u64::from(count);
        let mut last = 0u32;
        for &byte in names {
            last = last << 8 | u32::from(byte.to_ascii_lowercase());
            for bucket in [bucket_of_three(last), bucket_of_four(last)].into_iter().flatten() {
                if let Some(slot) = self.table.get_mut(bucket as usize) {
                    *slot |= bit;
                }
            }
        }
        for name in names.split(|b| *b == 0) {
            let Some(extension) = extension(name) else {
                self.complete &= !long_extension(name);
                continue;
            };
            if let Some(count) = self.extensions.get_mut(extension) {
                *count += 1;
            } else if self.extensions.len() < MAX_COUNTED {
                self.extensions.insert(extension.into(), 1);
            } else {
                self.complete = false;
            }
        }
    }

    /// Writes the segment and begins an empty one. Nothing is written when it has no block.
    pub(super) fn write(&mut self, connection: &Connection, set: SetId) -> Result<()> {
        if self.counts.is_empty() {
            return Ok(());
        }
        let occupied = self.table.iter().filter(|b| **b != 0).count() as u32;
        let bits =
            (occupied.max(1).next_power_of_two().trailing_zeros()).clamp(MIN_BUCKET_BITS, MAX_BUCKET_BITS);
        let shift = MAX_BUCKET_BITS - bits;
        let counts: Vec<u8> = self.counts.iter().flat_map(|c| c.to_le_bytes()).collect();
        connection
            .prepare_cached(
                "INSERT INTO segment (key, members, counts, buckets, extensions) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                key(set, self.first_ordinal),
                self.members as i64,
                counts,
                1i64 << bits,
                self.pack_extensions()
            ])?;
        let id = connection.last_insert_rowid();
        let width = width(self.counts.len());
        let mut statement =
            connection.prepare_cached("INSERT INTO signature (key, bitmaps) VALUES (?1, ?2)")?;
        let per_slice = 1usize << (SLICE_BITS + shift).min(MAX_BUCKET_BITS);
        let mut bitmaps = Vec::with_capacity(width << SLICE_BITS);
        for (slice, buckets) in self.table.chunks(per_slice).enumerate() {
            bitmaps.clear();
            for folded in buckets.chunks(1 << shift) {
                let bitmap = folded.iter().fold(0, |all, b| all | b);
                bitmaps.extend(bitmap.to_le_bytes().iter().take(width));
            }
            statement.execute(params![(id << SLICE_BITS) | slice as i64, bitmaps])?;
        }
        self.table.fill(0);
        self.counts.clear();
        self.extensions.clear();
        self.members = 0;
        self.complete = true;
        Ok(())
    }

    fn pack_extensions(&mut self) -> Vec<u8> {
        let mut list: Vec<(u32, &[u8])> = self.extensions.iter().map(|(e, n)| (*n, &**e)).collect();
        list.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let complete = self.complete && list.len() <= MAX_EXTENSIONS;
        list.truncate(MAX_EXTENSIONS);
        let mut out = vec![u8::from(complete)];
        for (count, extension) in list {
            put_varint(&mut out, u64::from(count));
            out.push(extension.len() as u8);
            out.extend_from_slice(extension);
        }
        out
    }
}

fn long_extension(name: &[u8]) -> bool {
    memchr::memrchr(b'.', name).is_some_and(|dot| name.len() - dot - 1 > MAX_EXTENSION)
}

fn width(blocks: usize) -> usize {
    blocks.div_ceil(8).next_power_of_two().min(8)
}

/// A segment as a search sees it.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) id: i64,
    pub(super) set: SetId,
    pub(super) first_ordinal: u64,
    pub(super) members: u64,
    /// Members of each block.
    pub(super) counts: Vec<u16>,
    buckets: u32,
    extensions: Vec<u8>,
}

impl Segment {
    /// The segments of a set whose first ordinal is in the range, in order.
    pub(super) fn within(
        connection: &Connection,
        set: SetId,
        ordinals: &std::ops::Range<u64>,
    ) -> Result<Vec<Segment>> {
        let mut statement = connection.prepare_cached(
            "SELECT id, key, members, counts, buckets, extensions FROM segment WHERE key >= ?1 AND key < ?2 ORDER BY key",
        )?;
        let rows = statement.query_map([key(set, ordinals.start), key(set, ordinals.end)], |row| {
            let counts: Vec<u8> = row.get(3)?;
            let (set, first_ordinal) = super::ids::split_key(row.get(1)?);
            Ok(Segment {
                id: row.get(0)?,
                set,
                first_ordinal,
                members: row.get::<_, i64>(2)? as u64,
                counts: counts.as_chunks::<2>().0.iter().map(|c| u16::from_le_bytes(*c)).collect(),
                buckets: row.get::<_, i64>(4)? as u32,
                extensions: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// A bit for each block that may hold all grams of these buckets.
    pub(super) fn candidates(&self, connection: &Connection, buckets: &[u32]) -> Result<u64> {
        let blocks = self.counts.len();
        let mut all = if blocks >= 64 { u64::MAX } else { (1 << blocks) - 1 };
        let bits = self.buckets.max(1).trailing_zeros().min(MAX_BUCKET_BITS);
        let width = width(blocks);
        let mut statement = connection.prepare_cached("SELECT bitmaps FROM signature WHERE key = ?1")?;
        for bucket in buckets {
            if all == 0 {
                break;
            }
            let bucket = bucket >> (MAX_BUCKET_BITS - bits);
            let (slice, index) = (bucket >> SLICE_BITS, bucket as usize & ((1 << SLICE_BITS) - 1));
            let bitmap = statement
                .query_row([(self.id << SLICE_BITS) | i64::from(slice)], |row| {
                    let bytes = row.get_ref(0)?.as_blob()?;
                    Ok(bytes.get(index * width..(index + 1) * width).map(|bytes| {
                        let mut word = [0; 8];
                        word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                        u64::from_le_bytes(word)
                    }))
                })
                .optional()?
                .flatten();
            // A row that is missing excludes nothing.
            all &= bitmap.unwrap_or(u64::MAX);
        }
        Ok(all)
    }

    /// How many names end with `.` and this extension, where the segment knows.
    pub(super) fn extension_count(&self, wanted: &[u8], ignore_case: bool) -> Option<u64> {
        let mut cursor = Cursor::new(&self.extensions, "extensions");
        let complete = cursor.u8().ok()? == 1;
        let mut total = None;
        while !cursor.is_empty() {
            let count = cursor.varint().ok()?;
            let length = cursor.u8().ok()?;
            let extension = cursor.bytes(usize::from(length)).ok()?;
            if extension == wanted || (ignore_case && extension.eq_ignore_ascii_case(wanted)) {
                total = Some(total.unwrap_or(0) + count);
                if !ignore_case {
                    return total;
                }
            }
        }
        if complete { Some(total.unwrap_or(0)) } else { None }
    }
}

/// The buckets of the grams of a stretch that every matching name holds, the telling ones first; NULs in it stand for a
/// beginning or an end.
pub(super) fn buckets(literal: &[u8], out: &mut Vec<u32>) {
    let join = |bytes: &[u8]| bytes.iter().fold(0u32, |all, b| all << 8 | u32::from(b.to_ascii_lowercase()));
    let four = literal.windows(4).filter_map(|w| bucket_of_four(join(w)));
    let three = literal.windows(3).filter_map(|w| bucket_of_three(join(w)));
    for bucket in four.chain(three) {
        if !out.contains(&bucket) {
            out.push(bucket);
        }
    }
}
