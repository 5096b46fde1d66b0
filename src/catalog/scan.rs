//! Looking at names: which blocks, how many matches, which members.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memchr::memmem::Finder;
use rusqlite::{Connection, OptionalExtension};

use super::glob::Shape;
use super::ids::key;
use super::members::{PathCache, block_of, overlap, resolve};
use super::pool::Pool;
use super::segment::{Segment, buckets};
use super::{CatalogError, DirectoryId, Pattern, Result, SetId};
use crate::format::v1::Kind;
use crate::format::v1::block::names_of;

/// Buckets that are looked up for one pattern.
const MAX_BUCKETS: usize = 12;
/// Below this many blocks a second thread costs more than it saves.
const PARALLEL_BLOCKS: usize = 128;

/// A compiled search.
pub(super) struct Scan {
    pub(super) pattern: Pattern,
    kinds: Vec<Kind>,
    shape: Shape,
    /// Searches for the stretch of the shape.
    finder: Finder<'static>,
    buckets: Vec<u32>,
}

impl Scan {
    pub(super) fn new(pattern: Pattern, kinds: Vec<Kind>) -> Scan {
        let required = pattern.required();
        let mut wanted = Vec::new();
        required.iter().for_each(|stretch| buckets(stretch, &mut wanted));
        wanted.truncate(MAX_BUCKETS);
        let shape = if pattern.is_whole_path() {
            Shape::Holds(required.into_iter().next().unwrap_or_default())
        } else {
            pattern.shape()
        };
        let needle = match &shape {
            Shape::Everything => Vec::new(),
            Shape::Stretch(s) | Shape::Holds(s) => s.clone(),
        };
        Scan { pattern, kinds, shape, finder: Finder::new(&needle).into_owned(), buckets: wanted }
    }

    /// Whether every member matches.
    pub(super) fn takes_everything(&self) -> bool {
        self.shape == Shape::Everything && self.kinds.is_empty()
    }

    /// Calls `hit` with the index of each name that can match by its name alone.
    fn names(&self, names: &[u8], scratch: &mut Vec<u8>, mut hit: impl FnMut(usize, &[u8])) {
        let needle = self.finder.needle();
        if needle.is_empty() {
            for (index, name) in split(names).enumerate() {
                hit(index, name);
            }
            return;
        }
        // A NUL before the first name, so that beginnings are found there too.
        scratch.clear();
        scratch.push(0);
        scratch.extend_from_slice(names);
        if self.pattern.ignores_case() {
            scratch.make_ascii_lowercase();
        }
        let exact = matches!(self.shape, Shape::Stretch(_)) || self.pattern.is_whole_path();
        let (mut from, mut index, mut counted) = (0, 0, 1);
        while let Some(found) = scratch.get(from..).and_then(|rest| self.finder.find(rest)) {
            let at = from + found;
            // `at` is in the name, or at the NUL before it.
            let inside = at + usize::from(needle.first() == Some(&0));
            index += memchr::memchr_iter(0, scratch.get(counted..inside).unwrap_or_default()).count();
            counted = inside.max(counted);
            let tail = scratch.get(inside..).unwrap_or_default();
            let end = inside + memchr::memchr(0, tail).unwrap_or(tail.len());
            if exact {
                hit(index, &[]);
            } else {
                let start =
                    scratch.get(..inside).and_then(|head| memchr::memrchr(0, head)).map_or(0, |nul| nul + 1);
                let name = scratch.get(start..end).unwrap_or_default();
                if self.pattern.matches(name) {
                    hit(index, name);
                }
            }
            from = end;
        }
    }

    /// How many names match, without asking which.
    fn count(&self, names: &[u8], scratch: &mut Vec<u8>) -> u32 {
        let needle = self.finder.needle();
        let plain = matches!(self.shape, Shape::Stretch(_)) && !self.pattern.ignores_case();
        if !plain || needle.is_empty() {
            let mut count = 0;
            self.names(names, scratch, |_, name| count += u32::from(self.decides(name)));
            return count;
        }
        let mut count = 0;
        let mut from = 0;
        if let Some((0, rest)) = needle.split_first()
            && names.starts_with(rest)
        {
            count += 1;
            from = memchr::memchr(0, names).unwrap_or(names.len());
        }
        let ends = needle.last() == Some(&0);
        while let Some(found) = names.get(from..).and_then(|rest| self.finder.find(rest)) {
            count += 1;
            let behind = from + found + needle.len();
            from = if ends {
                behind - 1
            } else {
                let tail = names.get(behind..).unwrap_or_default();
                behind + memchr::memchr(0, tail).unwrap_or(tail.len())
            };
        }
        count
    }

    /// Names given without a needle have not been asked for the pattern yet.
    fn decides(&self, name: &[u8]) -> bool {
        !self.finder.needle().is_empty() || self.shape == Shape::Everything || self.pattern.matches(name)
    }
}

fn split(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split_inclusive(|b| *b == 0).map(|name| name.strip_suffix(b"\0").unwrap_or(name))
}

/// The candidates of one segment.
pub(super) struct Unit {
    segment: Segment,
    /// A bit for each block to look at.
    mask: u64,
    /// The ordinals that may match.
    ranges: Arc<[Range<u64>]>,
    /// Known without a look.
    known: Option<u64>,
    counts: Vec<u32>,
}

impl Unit {
    pub(super) fn set(&self) -> SetId {
        self.segment.set
    }

    /// Matches in the segment.
    pub(super) fn total(&self) -> u64 {
        self.known.unwrap_or_else(|| self.counts.iter().map(|c| u64::from(*c)).sum())
    }

    /// Candidate blocks: position in the segment and ordinals.
    fn blocks(&self) -> impl Iterator<Item = (usize, Range<u64>)> + '_ {
        let mut first = self.segment.first_ordinal;
        self.segment.counts.iter().enumerate().filter_map(move |(index, count)| {
            let start = first;
            first += u64::from(*count);
            (self.mask >> index & 1 == 1).then_some((index, start..first))
        })
    }

    fn scan(&mut self, connection: &Connection, scan: &Scan, worker: &mut Worker) -> Result<()> {
        let mut counts = vec![0; self.segment.counts.len()];
        for (index, ordinals) in self.blocks() {
            let count = worker.count(connection, scan, self.segment.set, &ordinals, &self.ranges)?;
            if let Some(slot) = counts.get_mut(index) {
                *slot = count;
            }
        }
        self.counts = counts;
        Ok(())
    }

    /// The ordinals of these matches of the segment.
    pub(super) fn hits(
        &self,
        connection: &Connection,
        scan: &Scan,
        paths: &mut PathCache,
        wanted: &Range<u64>,
    ) -> Result<Vec<u64>> {
        let mut worker = Worker { paths: std::mem::take(paths), scratch: Vec::new() };
        let mut hits = Vec::new();
        let mut seen = 0u64;
        for (index, ordinals) in self.blocks() {
            if seen >= wanted.end {
                break;
            }
            if let Some(count) = self.counts.get(index).map(|c| u64::from(*c))
                && (count == 0 || seen + count <= wanted.start)
            {
                seen += count;
                continue;
            }
            worker.hits(connection, scan, self.segment.set, &ordinals, &self.ranges, |ordinal| {
                if wanted.contains(&seen) {
                    hits.push(ordinal);
                }
                seen += 1;
            })?;
        }
        *paths = worker.paths;
        Ok(hits)
    }
}

/// What one thread keeps between blocks.
#[derive(Default)]
struct Worker {
    paths: PathCache,
    scratch: Vec<u8>,
}

impl Worker {
    fn count(
        &mut self,
        connection: &Connection,
        scan: &Scan,
        set: SetId,
        ordinals: &Range<u64>,
        ranges: &[Range<u64>],
    ) -> Result<u32> {
        let whole = ranges.iter().any(|r| r.start <= ordinals.start && ordinals.end <= r.end);
        if whole && scan.kinds.is_empty() && !scan.pattern.is_whole_path() {
            let scratch = &mut self.scratch;
            return Ok(
                with_names(connection, set, ordinals.start, |names| scan.count(names, scratch))?.unwrap_or(0)
            );
        }
        let mut count = 0;
        self.hits(connection, scan, set, ordinals, ranges, |_| count += 1)?;
        Ok(count)
    }

    fn hits(
        &mut self,
        connection: &Connection,
        scan: &Scan,
        set: SetId,
        ordinals: &Range<u64>,
        ranges: &[Range<u64>],
        mut hit: impl FnMut(u64),
    ) -> Result<()> {
        let mut indexes: Vec<usize> = Vec::new();
        let scratch = &mut self.scratch;
        with_names(connection, set, ordinals.start, |names| {
            scan.names(names, scratch, |index, name| {
                let ordinal = ordinals.start + index as u64;
                if (scan.pattern.is_whole_path() || scan.decides(name))
                    && ranges.iter().any(|r| r.contains(&ordinal))
                {
                    indexes.push(index);
                }
            });
        })?;
        if indexes.is_empty() {
            return Ok(());
        }
        if scan.kinds.is_empty() && !scan.pattern.is_whole_path() {
            indexes.iter().for_each(|index| hit(ordinals.start + *index as u64));
            return Ok(());
        }
        let Some(block) = block_of(connection, set, ordinals.start)? else { return Ok(()) };
        let reader = block.reader()?;
        let names: Vec<&[u8]> =
            if scan.pattern.is_whole_path() { split(reader.names()).collect() } else { Vec::new() };
        let mut runs = reader.runs();
        let (mut end, mut directory) = (0usize, 0u64);
        let (mut path, mut all_below) = (Vec::new(), false);
        for index in indexes {
            let Some(kind) = reader.kind(index).map(|row| row.kind) else { continue };
            if !scan.kinds.is_empty() && !scan.kinds.contains(&kind) {
                continue;
            }
            if scan.pattern.is_whole_path() {
                let before = end;
                while index >= end {
                    let Some((id, length)) = runs.next() else { break };
                    directory = id;
                    end += length as usize;
                }
                if before != end {
                    let stored = resolve(connection, &mut self.paths, DirectoryId(directory as i64))?;
                    path.clear();
                    if !stored.is_empty() {
                        path.push(b'/');
                        path.extend_from_slice(&stored);
                    }
                    path.push(b'/');
                    all_below = scan.pattern.matches_all_below(&path);
                }
                let length = path.len();
                let matched = if kind == Kind::Directory {
                    let own = if length > 1 { path.get(..length - 1) } else { Some(path.as_slice()) };
                    own.is_some_and(|own| scan.pattern.matches(own))
                } else {
                    all_below || {
                        path.extend_from_slice(names.get(index).copied().unwrap_or_default());
                        let matched = scan.pattern.matches(&path);
                        path.truncate(length);
                        matched
                    }
                };
                if !matched {
                    continue;
                }
            }
            hit(ordinals.start + index as u64);
        }
        Ok(())
    }
}

/// The names of the block that begins with this ordinal, in place.
fn with_names<T>(
    connection: &Connection,
    set: SetId,
    first_ordinal: u64,
    work: impl FnOnce(&[u8]) -> T,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached("SELECT tail FROM member_names WHERE key = ?1")?;
    let result = statement
        .query_row([key(set, first_ordinal)], |row| {
            let tail = row.get_ref(0)?.as_blob()?;
            Ok(names_of(tail).map(work))
        })
        .optional()?;
    Ok(result.transpose()?)
}

/// The candidates of a set within these ordinals, in order.
pub(super) fn units_of(
    connection: &Connection,
    scan: &Scan,
    set: SetId,
    ranges: &[Range<u64>],
    units: &mut Vec<Unit>,
) -> Result<()> {
    let Some(end) = ranges.iter().map(|r| r.end).max() else { return Ok(()) };
    let shared: Arc<[Range<u64>]> = ranges.into();
    for segment in Segment::within(connection, set, &(0..end))? {
        let all = segment.first_ordinal..segment.first_ordinal + segment.members;
        if ranges.iter().all(|r| overlap(r, &all).is_empty()) {
            continue;
        }
        let whole = ranges.iter().any(|r| r.start <= all.start && all.end <= r.end);
        let known = match scan.pattern.extension() {
            Some(extension) if whole && scan.kinds.is_empty() => {
                segment.extension_count(extension, scan.pattern.ignores_case())
            }
            _ => None,
        };
        if known == Some(0) {
            continue;
        }
        let mut mask = segment.candidates(connection, &scan.buckets)?;
        if !whole {
            let mut first = segment.first_ordinal;
            for (index, count) in segment.counts.iter().enumerate() {
                let block = first..first + u64::from(*count);
                first = block.end;
                if ranges.iter().all(|r| overlap(r, &block).is_empty()) {
                    mask &= !(1 << index);
                }
            }
        }
        if mask != 0 {
            units.push(Unit { segment, mask, ranges: shared.clone(), known, counts: Vec::new() });
        }
    }
    Ok(())
}

/// Counts the matches of every unit whose count is not known, with a second thread where that pays.
pub(super) fn count_units(
    pool: &Arc<Pool>,
    connection: &Connection,
    scan: &Scan,
    units: &mut [Unit],
) -> Result<()> {
    let mut todo: Vec<&mut Unit> = units.iter_mut().filter(|u| u.known.is_none()).collect();
    let blocks: u32 = todo.iter().map(|u| u.mask.count_ones()).sum();
    if (blocks as usize) < PARALLEL_BLOCKS {
        let mut worker = Worker::default();
        return todo.into_iter().try_for_each(|unit| unit.scan(connection, scan, &mut worker));
    }
    let second = pool.get()?;
    let next = AtomicUsize::new(0);
    let cells: Vec<_> = todo.drain(..).map(std::sync::Mutex::new).collect();
    let run = &|connection: &Connection| -> Result<()> {
        let mut worker = Worker::default();
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Each cell is taken by one thread only.
            if let Ok(mut unit) = cell.lock() {
                unit.scan(connection, scan, &mut worker)?;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(move || {
            let connection = second.unchecked_transaction()?;
            run(&connection)
        });
        let own = run(connection);
        other.join().unwrap_or(Err(CatalogError::Thread))?;
        own
    })
}
