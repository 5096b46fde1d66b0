//! Which members of which set are wanted, as ranges of ordinals: tape order by itself.

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::EngineError;
use crate::catalog::{BackupSet, Catalog, FindQuery, Kept, SetId, SetState};
use crate::format::v1::{Kind, Member};

/// What a restore reads: the newest version of everything asked for.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RestorePlan {
    /// Objects.
    pub members: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// The sets that are read, the newest first.
    pub sets: Vec<PlannedSet>,
    /// Names that become links to others instead of being read.
    #[serde(skip)]
    pub(super) relinks: Vec<Relink>,
}

/// A further name of a file that another set holds.
#[derive(Debug, Clone)]
pub(super) struct Relink {
    /// The set that holds this name, as a file of its own.
    pub(super) set: SetId,
    /// Its member there.
    pub(super) ordinal: u64,
    /// The member.
    pub(super) member: Member,
    /// Stored path.
    pub(super) path: Vec<u8>,
    /// Stored path of the name that is read.
    pub(super) link: Vec<u8>,
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
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut linked = Vec::new();
    for set in candidates {
        let everything = catalog.parts_of(set.id)?.iter().map(|part| part.ordinals().end).max().unwrap_or(0);
        let own = wanted(catalog, &set, 0..everything, patterns, &mut matched)?;
        choose(catalog, &mut chosen, &set, own, &covered)?;
        // What it left in older sets matters where no newer set has its roots.
        let is_covered = set.roots.iter().all(|root| {
            covered
                .iter()
                .any(|above| Path::new(OsStr::from_bytes(stored(root))).starts_with(OsStr::from_bytes(above)))
        });
        let kept = if is_covered { Kept::default() } else { catalog.kept(&set)? };
        for (base, ranges) in kept.sets {
            let base = catalog.set(base)?;
            let mut left = Vec::new();
            let all = ranges.last().map_or(0, |last| last.end);
            for range in wanted(catalog, &base, 0..all, patterns, &mut Vec::new())? {
                left.extend(intersect(&ranges, &range));
            }
            if !left.is_empty() && !patterns.is_empty() {
                for (pattern, matched) in patterns.iter().zip(&mut matched) {
                    let found = select(catalog, &base, pattern)?;
                    *matched |= found.iter().any(|range| !intersect(&ranges, range).is_empty());
                }
            }
            choose(catalog, &mut chosen, &base, left, &covered)?;
        }
        linked.extend(kept.linked);
        if let Some(last) = chosen.iter_mut().find(|chosen| chosen.set.id == set.id) {
            last.missing += kept.missing;
        }
        covered.extend(set.roots.iter().map(|root| stored(root).to_vec()));
    }
    let mut relinks = Vec::new();
    for names in linked {
        relink(catalog, &mut chosen, names, &mut relinks)?;
    }
    chosen.retain(|chosen| !chosen.selection.is_empty());
    let mut sets = Vec::new();
    for Chosen { set, selection, missing } in chosen {
        let planned = describe(catalog, set, merge(selection))?;
        sets.push(PlannedSet { missing: planned.missing + missing, ..planned });
    }
    if let Some((pattern, _)) = patterns.iter().zip(&matched).find(|(_, matched)| !**matched) {
        return Err(EngineError::NothingFound { pattern: pattern.clone() });
    }
    if sets.is_empty() {
        return Err(EngineError::NothingFound { pattern: set.unwrap_or("the catalog").to_owned() });
    }
    let members: u64 = sets.iter().map(|set| set.members).sum();
    let bytes = sets.iter().map(|set| set.bytes).sum();
    Ok(RestorePlan { members: members + relinks.len() as u64, bytes, sets, relinks })
}

/// A root as members have it.
fn stored(root: &[u8]) -> &[u8] {
    let start = root.iter().position(|byte| *byte != b'/').unwrap_or(root.len());
    root.get(start..).unwrap_or_default()
}

/// What is read of a set, for its own state or that of one built upon it.
struct Chosen {
    set: BackupSet,
    selection: Vec<Range<u64>>,
    missing: u64,
}

/// Adds `ordinals` of a set, without what newer sets have below their roots.
fn choose(
    catalog: &Catalog,
    chosen: &mut Vec<Chosen>,
    set: &BackupSet,
    ordinals: Vec<Range<u64>>,
    covered: &[Vec<u8>],
) -> Result<(), EngineError> {
    let mut newer = Vec::new();
    for root in covered {
        newer.extend(below(catalog, set, root)?);
    }
    let selection = subtract(merge(ordinals), &merge(newer));
    if selection.is_empty() {
        return Ok(());
    }
    match chosen.iter_mut().find(|chosen| chosen.set.id == set.id) {
        Some(known) => known.selection.extend(selection),
        None => chosen.push(Chosen { set: set.clone(), selection, missing: 0 }),
    }
    Ok(())
}

/// Takes names of one file that different sets hold out of what is read, but for those of one set.
fn relink(
    catalog: &Catalog,
    chosen: &mut [Chosen],
    names: Vec<(SetId, Vec<u8>)>,
    relinks: &mut Vec<Relink>,
) -> Result<(), EngineError> {
    let mut first: Option<(SetId, Vec<u8>)> = None;
    for (set, path) in names {
        let Some((ordinal, member)) = catalog.lookup(set, &path)? else { continue };
        let window = ordinal..ordinal + 1;
        let Some(holder) = chosen.iter_mut().find(|chosen| chosen.set.id == set) else { continue };
        let selection = merge(std::mem::take(&mut holder.selection));
        let is_wanted = !intersect(&selection, &window).is_empty();
        holder.selection = match &first {
            Some((other, link)) if is_wanted && *other != set => {
                relinks.push(Relink { set, ordinal, member, path, link: link.clone() });
                subtract(selection, &[window])
            }
            Some(_) => selection,
            None => {
                first = is_wanted.then_some((set, path));
                selection
            }
        };
    }
    Ok(())
}

/// Ordinals of a set that the patterns ask for; all where there is none.
fn wanted(
    catalog: &Catalog,
    set: &BackupSet,
    everything: Range<u64>,
    patterns: &[String],
    matched: &mut [bool],
) -> Result<Vec<Range<u64>>, EngineError> {
    if patterns.is_empty() {
        return Ok(vec![everything]);
    }
    let mut wanted = Vec::new();
    for (number, pattern) in patterns.iter().enumerate() {
        let found = select(catalog, set, pattern)?;
        if let Some(matched) = matched.get_mut(number) {
            *matched |= !found.is_empty();
        }
        wanted.extend(found);
    }
    Ok(wanted)
}

/// What of `ranges`, sorted and disjoint, lies in `window`.
fn intersect(ranges: &[Range<u64>], window: &Range<u64>) -> Vec<Range<u64>> {
    let start = ranges.partition_point(|range| range.end <= window.start);
    let reached = ranges.get(start..).unwrap_or_default().iter().take_while(|range| range.start < window.end);
    reached.map(|range| range.start.max(window.start)..range.end.min(window.end)).collect()
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
