//! Which members of which set are wanted, as ranges of ordinals: tape order by itself.

use std::ops::Range;

use super::EngineError;
use crate::catalog::{BackupSet, Catalog, FindQuery, SetState};
use crate::format::v1::Kind;

/// What a restore reads: the newest version of everything asked for.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestorePlan {
    /// Objects.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// The sets that are read, the newest first.
    pub sets: Vec<PlannedSet>,
}

/// What is read of one set.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PlannedSet {
    /// Identity of the set.
    pub set: String,
    /// Its number.
    pub set_id: i64,
    /// Objects.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Volumes in the order in which they are needed.
    pub volumes: Vec<PlannedVolume>,
    /// Objects of the selection that the catalog lacks, because a part of the set is not in it.
    pub missing: u64,
    /// Ordinals, ascending and disjoint.
    #[serde(skip)]
    pub selection: Vec<Range<u64>>,
}

/// A volume that a restore needs.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PlannedVolume {
    /// Label.
    pub label: String,
    /// Barcode, where it has one.
    pub barcode: Option<String>,
    /// Objects on it.
    pub members: u64,
}

/// The set a user means.
pub(super) fn set_named(catalog: &Catalog, name: &str) -> Result<BackupSet, EngineError> {
    let sets = catalog.sets()?;
    let found = if name == "latest" {
        sets.into_iter().filter(|set| set.state != SetState::Open).max_by_key(|set| set.started)
    } else {
        let number = name.parse::<i64>().ok();
        let mut fitting: Vec<BackupSet> = sets
            .into_iter()
            .filter(|set| {
                Some(set.id.0) == number
                    || set.uuid == name
                    || (name.len() >= 8 && set.uuid.starts_with(name))
            })
            .collect();
        if fitting.len() == 1 { fitting.pop() } else { None }
    };
    found.ok_or_else(|| EngineError::NoSuchSet { name: name.to_owned() })
}

/// Plans a restore. Without a set named, what a newer set holds below its roots goes before what an older one holds there:
/// a set is the state of its roots, so what it lacks was gone.
pub(super) fn plan(
    catalog: &Catalog,
    set: Option<&str>,
    patterns: &[String],
) -> Result<RestorePlan, EngineError> {
    let candidates = match set {
        Some(name) => vec![set_named(catalog, name)?],
        None => {
            let mut sets = catalog.sets()?;
            sets.retain(|set| set.members > 0);
            // A complete set before one that was cut short, the newest first.
            sets.sort_by_key(|set| {
                (set.state != SetState::Complete, std::cmp::Reverse((set.started, set.id.0)))
            });
            sets
        }
    };
    let mut matched = vec![false; patterns.len()];
    let mut covered: Vec<Vec<u8>> = Vec::new();
    let mut sets = Vec::new();
    for set in candidates {
        let mut wanted = Vec::new();
        if patterns.is_empty() {
            let end = catalog.parts_of(set.id)?.iter().map(|part| part.ordinals().end).max().unwrap_or(0);
            wanted.push(0..end);
        }
        for (pattern, matched) in patterns.iter().zip(&mut matched) {
            let found = select(catalog, &set, pattern)?;
            *matched |= !found.is_empty();
            wanted.extend(found);
        }
        let mut newer = Vec::new();
        for root in &covered {
            newer.extend(below(catalog, &set, root)?);
        }
        let selection = subtract(merge(wanted), &merge(newer));
        covered.extend(set.roots.iter().map(|root| {
            let start = root.iter().position(|byte| *byte != b'/').unwrap_or(root.len());
            root[start..].to_vec()
        }));
        if !selection.is_empty() {
            sets.push(describe(catalog, set, selection)?);
        }
    }
    if let Some((pattern, _)) = patterns.iter().zip(&matched).find(|(_, matched)| !**matched) {
        return Err(EngineError::NothingFound { pattern: pattern.clone() });
    }
    if sets.is_empty() {
        return Err(EngineError::NothingFound { pattern: set.unwrap_or("the catalog").to_owned() });
    }
    let members = sets.iter().map(|set| set.members).sum();
    let bytes = sets.iter().map(|set| set.bytes).sum();
    Ok(RestorePlan { members, bytes, sets })
}

/// Ordinals of a path of a set: a directory with all it holds, or one object.
fn below(catalog: &Catalog, set: &BackupSet, path: &[u8]) -> Result<Vec<Range<u64>>, EngineError> {
    let subtree = catalog.subtree(set.id, path)?;
    if !subtree.is_empty() {
        return Ok(subtree);
    }
    let found = catalog.lookup(set.id, path)?;
    Ok(found.map(|(ordinal, _)| ordinal..ordinal + 1).into_iter().collect())
}

/// Ordinals of one set that match a path or wildcard.
fn select(catalog: &Catalog, set: &BackupSet, pattern: &str) -> Result<Vec<Range<u64>>, EngineError> {
    let is_wild = pattern.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    if pattern.starts_with('/') && !is_wild {
        return below(catalog, set, pattern.trim_matches('/').as_bytes());
    }
    let mut ranges = Vec::new();
    let query = FindQuery { sets: vec![set.id], limit: u64::MAX, ..FindQuery::new(pattern.as_bytes()) };
    for found in catalog.find(&query)?.rows {
        ranges.push(found.ordinal..found.ordinal + 1);
        // A directory that matches is wanted with what it holds.
        if found.member.kind == Kind::Directory {
            ranges.extend(catalog.subtree(set.id, &found.path)?);
        }
    }
    Ok(ranges)
}

/// What of `ranges` is not in `other`; both sorted and disjoint.
fn subtract(ranges: Vec<Range<u64>>, other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for cut in other.iter().filter(|cut| cut.start < range.end && cut.end > range.start) {
            if cut.start > start {
                left.push(start..cut.start);
            }
            start = start.max(cut.end);
        }
        if start < range.end {
            left.push(start..range.end);
        }
    }
    left
}

/// Sorted, overlapping and adjoining ranges joined.
fn merge(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

fn describe(
    catalog: &Catalog,
    set: BackupSet,
    selection: Vec<Range<u64>>,
) -> Result<PlannedSet, EngineError> {
    let parts = catalog.parts_of(set.id)?;
    let mut members = 0;
    let mut bytes = 0;
    let whole = matches!(selection.as_slice(), [only] if only.start == 0 && only.end >= set.members);
    let mut volumes: Vec<PlannedVolume> = Vec::new();
    for part in &parts {
        let here: u64 = selection
            .iter()
            .map(|range| {
                range.end.min(part.ordinals().end).saturating_sub(range.start.max(part.ordinals().start))
            })
            .sum();
        if here == 0 {
            continue;
        }
        members += here;
        let volume = catalog.volume(part.volume)?;
        volumes.push(PlannedVolume { label: volume.label, barcode: volume.barcode, members: here });
    }
    if whole {
        bytes = set.bytes;
    } else {
        for range in &selection {
            for row in catalog.members(set.id, range.clone())? {
                bytes += row?.2.size;
            }
        }
    }
    let asked: u64 = selection.iter().map(|range| range.end - range.start).sum();
    let missing = asked.saturating_sub(members);
    Ok(PlannedSet { set: set.uuid, set_id: set.id.0, members, bytes, volumes, missing, selection })
}

#[cfg(test)]
mod tests {
    use super::{merge, subtract};

    #[test]
    fn ranges_are_sorted_and_joined() {
        assert_eq!(merge(vec![8..9, 0..3, 3..4, 2..3, 9..9]), [0..4, 8..9]);
    }

    #[test]
    fn what_is_newer_is_taken_out() {
        assert_eq!(subtract(vec![0..10, 20..30], &[3..5, 9..22, 29..40]), [0..3, 5..9, 22..29]);
        assert_eq!(subtract(vec![0..10, 12..13], &[]), [0..10, 12..13]);
        assert!(subtract(vec![4..6, 8..9], &[0..7, 8..10]).is_empty());
    }
}
