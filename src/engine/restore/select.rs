//! Which members of which set are wanted, as ranges of ordinals: tape order by itself.

use std::ops::Range;

use super::EngineError;
use crate::catalog::{BackupSet, Catalog, FindQuery, SetId, SetState};
use crate::format::v1::Kind;

/// What a restore reads.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestorePlan {
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

impl RestorePlan {
    pub(super) fn set_id(&self) -> SetId {
        SetId(self.set_id)
    }
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

/// Plans a restore.
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
            sets.sort_by_key(|set| (set.state != SetState::Complete, std::cmp::Reverse(set.started)));
            sets
        }
    };
    let nothing = || EngineError::NothingFound {
        pattern: if patterns.is_empty() { "the catalog".into() } else { patterns.join(" ") },
    };
    for set in candidates {
        let selection = select(catalog, &set, patterns)?;
        if !selection.is_empty() {
            return describe(catalog, set, selection);
        }
    }
    Err(nothing())
}

/// Ordinals of one set that match; without patterns all of them.
fn select(catalog: &Catalog, set: &BackupSet, patterns: &[String]) -> Result<Vec<Range<u64>>, EngineError> {
    if patterns.is_empty() {
        let end = catalog.parts_of(set.id)?.iter().map(|part| part.ordinals().end).max().unwrap_or(0);
        return Ok(merge(std::iter::once(0..end).collect()));
    }
    let mut ranges = Vec::new();
    for pattern in patterns {
        let before = ranges.len();
        let is_wild = pattern.bytes().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        if pattern.starts_with('/') && !is_wild {
            let path = pattern.trim_matches('/').as_bytes();
            let subtree = catalog.subtree(set.id, path)?;
            if !subtree.is_empty() {
                ranges.extend(subtree);
            } else if let Some((ordinal, _)) = catalog.lookup(set.id, path)? {
                ranges.push(ordinal..ordinal + 1);
            }
        } else {
            let query =
                FindQuery { sets: vec![set.id], limit: u64::MAX, ..FindQuery::new(pattern.as_bytes()) };
            for found in catalog.find(&query)?.rows {
                ranges.push(found.ordinal..found.ordinal + 1);
                // A directory that matches is wanted with what it holds.
                if found.member.kind == Kind::Directory {
                    ranges.extend(catalog.subtree(set.id, &found.path)?);
                }
            }
        }
        if ranges.len() == before {
            return Ok(Vec::new()); // every pattern must match in the same set
        }
    }
    Ok(merge(ranges))
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
) -> Result<RestorePlan, EngineError> {
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
    Ok(RestorePlan { set: set.uuid, set_id: set.id.0, members, bytes, volumes, selection })
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn ranges_are_sorted_and_joined() {
        assert_eq!(merge(vec![8..9, 0..3, 3..4, 2..3, 9..9]), [0..4, 8..9]);
    }
}
