//! Search by wildcard: exact total, a window of rows.

use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;

use super::directories::{by_path, spans};
use super::members::{PathCache, count_visible, join, overlap, resolve, visible};
use super::pool::Pool;
use super::scan::{Scan, Unit, count_units, units_of};
use super::sets::newest_first;
use super::{Catalog, CatalogError, Pattern, Result, SetId, lookup};
use crate::format::v1::{Kind, Member};

/// Rows from which on a second thread helps to fetch them.
const PARALLEL_ROWS: usize = 32;

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindQuery {
    /// See [`Pattern`]: with a `/` for the whole path, without for the last component; without a wildcard the exact name.
    pub pattern: Vec<u8>,
    /// ASCII case counts for nothing.
    pub ignore_case: bool,
    /// Only these sets; empty: all.
    pub sets: Vec<SetId>,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Rows to return at most.
    pub limit: u64,
    /// Matches to go over first.
    pub offset: u64,
}

impl FindQuery {
    /// The first 100 matches in all sets.
    pub fn new(pattern: &[u8]) -> FindQuery {
        FindQuery {
            pattern: pattern.to_vec(),
            ignore_case: false,
            sets: Vec::new(),
            kinds: Vec::new(),
            limit: 100,
            offset: 0,
        }
    }
}

/// One match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMember {
    /// The set.
    pub set: SetId,
    /// Number in the set.
    pub ordinal: u64,
    /// Stored path, no leading `/`.
    pub path: Vec<u8>,
    /// The member.
    pub member: Member,
}

/// The answer: newest set first, in a set in the order of the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// All matches, the window aside.
    pub total: u64,
    /// The window.
    pub rows: Vec<FoundMember>,
}

/// Takes the window out of a stream of matches.
struct Window {
    skip: u64,
    left: u64,
    total: u64,
    hits: Vec<(SetId, u64)>,
}

impl Window {
    /// Counts `n` matches; returns which of them are wanted.
    fn take(&mut self, n: u64) -> Range<u64> {
        self.total += n;
        let skipped = self.skip.min(n);
        self.skip -= skipped;
        let wanted = self.left.min(n - skipped);
        self.left -= wanted;
        skipped..skipped + wanted
    }
}

impl Catalog {
    /// Searches the committed members.
    pub fn find(&self, query: &FindQuery) -> Result<Found> {
        let pattern = Pattern::new(&query.pattern, query.ignore_case);
        let connection = self.pool.get()?;
        let connection = connection.unchecked_transaction()?;
        let mut window = Window { skip: query.offset, left: query.limit, total: 0, hits: Vec::new() };
        let scan = Scan::new(pattern, query.kinds.clone());
        let mut units: Vec<Unit> = Vec::new();
        for set in wanted_sets(&connection, query)? {
            let visible = visible(&connection, set)?;
            if scan.takes_everything() {
                everything(set, &visible, &mut window);
            } else if query.kinds.is_empty()
                && let Some(path) = scan.pattern.whole_directory()
            {
                below(&connection, set, path, &visible, &mut window)?;
            } else {
                let ranges = narrowed(&connection, &scan.pattern, set, visible)?;
                units_of(&connection, &scan, set, &ranges, &mut units)?;
            }
        }
        count_units(&self.pool, &connection, &scan, &mut units)?;
        let mut paths = PathCache::new();
        for unit in &units {
            let total = unit.total();
            let wanted = window.take(total);
            if wanted.is_empty() {
                continue;
            }
            let hits = unit.hits(&connection, &scan, &mut paths, &wanted)?;
            window.hits.extend(hits.into_iter().map(|ordinal| (unit.set(), ordinal)));
        }
        let rows = fetch(&self.pool, &connection, &window.hits, &mut paths)?;
        Ok(Found { total: window.total, rows })
    }
}

fn wanted_sets(connection: &Connection, query: &FindQuery) -> Result<Vec<SetId>> {
    Ok(newest_first(connection)?
        .into_iter()
        .filter(|s| query.sets.is_empty() || query.sets.contains(s))
        .collect())
}

fn everything(set: SetId, visible: &[Range<u64>], window: &mut Window) {
    for range in visible {
        let wanted = window.take(range.end - range.start);
        window.hits.extend(wanted.map(|i| (set, range.start + i)));
    }
}

/// `/dir/*`: counted without looking at a single member.
fn below(
    connection: &Connection,
    set: SetId,
    path: &[u8],
    visible: &[Range<u64>],
    window: &mut Window,
) -> Result<()> {
    let Some(directory) = by_path(connection, path)? else { return Ok(()) };
    for span in spans(connection, set, directory)? {
        let all = span.below();
        // The root's own path is `/`, which `/*` matches.
        let own = span.own && directory != super::DirectoryId::ROOT;
        let without_own = all.start + u64::from(own)..all.end;
        for range in visible.iter().map(|v| overlap(v, &without_own)) {
            let wanted = window.take(range.end - range.start);
            window.hits.extend(wanted.map(|i| (set, range.start + i)));
        }
    }
    Ok(())
}

/// The ordinals that can match: those below the directory the pattern begins with.
fn narrowed(
    connection: &Connection,
    pattern: &Pattern,
    set: SetId,
    visible: Vec<Range<u64>>,
) -> Result<Vec<Range<u64>>> {
    let Some(base) = pattern.base() else { return Ok(visible) };
    let Some(directory) = by_path(connection, base)? else { return Ok(Vec::new()) };
    if directory == super::DirectoryId::ROOT {
        return Ok(visible);
    }
    let mut ranges = Vec::new();
    for span in spans(connection, set, directory)? {
        if count_visible(&visible, &span.below()) > 0 {
            ranges.extend(visible.iter().map(|v| overlap(v, &span.below())).filter(|r| !r.is_empty()));
        }
    }
    Ok(ranges)
}

/// The rows of these matches; many of them by two threads, for each may be in a block of its own.
fn fetch(
    pool: &Arc<Pool>,
    connection: &Connection,
    hits: &[(SetId, u64)],
    paths: &mut PathCache,
) -> Result<Vec<FoundMember>> {
    if hits.len() < PARALLEL_ROWS {
        return rows(connection, hits, paths);
    }
    let (front, back) = hits.split_at(hits.len() / 2);
    let second = pool.get()?;
    std::thread::scope(|scope| {
        let other = scope.spawn(move || rows(&second, back, &mut PathCache::new()));
        let mut all = rows(connection, front, paths)?;
        all.extend(other.join().unwrap_or(Err(CatalogError::Thread))?);
        Ok(all)
    })
}

fn rows(connection: &Connection, hits: &[(SetId, u64)], paths: &mut PathCache) -> Result<Vec<FoundMember>> {
    let mut rows = Vec::with_capacity(hits.len());
    for group in hits.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(set, _)) = group.first() else { continue };
        let ordinals: Vec<u64> = group.iter().map(|hit| hit.1).collect();
        lookup::each_member(connection, set, &ordinals, |ordinal, directory, member| {
            let directory = resolve(connection, paths, directory)?;
            rows.push(FoundMember { set, ordinal, path: join(&directory, &member), member });
            Ok(())
        })?;
    }
    Ok(rows)
}
