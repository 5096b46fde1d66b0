//! What is read of one volume, in stretches: members so close together that the tape runs through. Many stretches are read in
//! the order the drive recommends, else as they stand on tape. An order made here from the tape's geometry would have to know
//! where each pass ends; guessed from the capacity it loses to the order on tape as soon as the guess is one in a hundred off.

use std::collections::HashMap;
use std::ops::Range;

use super::read_back::Wanted;
use crate::drive::Drive;
use crate::format::v1::archive_layout::ArchiveLayout;

/// So few are read as they stand.
const FEW: usize = 4;
/// Blocks between two archives that follow each other: a filemark.
const NEAR: u64 = 1;

/// Members of one archive with no large gap between them.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Which of the members wanted.
    pub members: Range<usize>,
    /// The archive.
    pub archive: u32,
    /// Blocks that hold them; the end is an upper bound.
    pub blocks: Range<u64>,
}

/// Runs in the order in which they are to be read.
pub(super) fn in_order(drive: &mut Drive, runs: Vec<Run>, wanted: &[Wanted]) -> Vec<Run> {
    let stretches = joined(&runs);
    if stretches.len() <= FEW {
        return runs;
    }
    if !is_free(&stretches.iter().map(|stretch| paths(&runs, wanted, stretch)).collect::<Vec<_>>()) {
        return runs;
    }
    let blocks: Vec<Range<u64>> = stretches
        .iter()
        .filter_map(|stretch| {
            Some(runs.get(stretch.start)?.blocks.start..runs.get(stretch.end - 1)?.blocks.end)
        })
        .collect();
    // The order is a help: what is wrong with the drive shows at the next LOCATE.
    let Ok(Some(order)) = drive.access_order(&blocks) else { return runs };
    order
        .into_iter()
        .filter_map(|number| runs.get(stretches.get(number)?.clone()))
        .flatten()
        .cloned()
        .collect()
}

/// Runs that follow each other on tape, as ranges of their numbers.
fn joined(runs: &[Run]) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        let behind = at.checked_sub(1).and_then(|before| runs.get(before));
        let near = behind.is_some_and(|before| run.blocks.start <= before.blocks.end.saturating_add(NEAR));
        match stretches.last_mut() {
            Some(last) if near => last.end = at + 1,
            _ => stretches.push(at..at + 1),
        }
    }
    stretches
}

/// The paths in a stretch.
fn paths<'a>(runs: &'a [Run], wanted: &'a [Wanted], stretch: &Range<usize>) -> Vec<&'a [u8]> {
    let runs = runs.get(stretch.clone()).unwrap_or_default();
    runs.iter()
        .flat_map(|run| wanted.get(run.members.clone()).unwrap_or_default())
        .map(Wanted::place)
        .collect()
}

/// Whether stretches with these paths may be read in any order: a directory comes before what is in it, the same path in
/// its turn.
fn is_free(stretches: &[Vec<&[u8]>]) -> bool {
    let mut stretch_of: HashMap<&[u8], usize> = HashMap::new();
    for (number, paths) in stretches.iter().enumerate() {
        for path in paths {
            if stretch_of.insert(path, number).is_some_and(|before| before != number) {
                return false;
            }
        }
    }
    stretches.iter().enumerate().all(|(number, paths)| {
        paths.iter().all(|path| {
            let parents = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let mut known = parents.filter_map(|(at, _)| stretch_of.get(path.get(..at)?));
            known.all(|parent| *parent == number)
        })
    })
}

/// Blocks that bytes `from..to` of an archive's stream lie in; to the end of the frame or chunk that the last one is in.
pub(super) fn blocks(layout: &ArchiveLayout, from: u64, to: u64) -> Option<Range<u64>> {
    let first = layout.locate(from.min(layout.stream_bytes.saturating_sub(1)))?.block;
    let last = to.min(layout.stream_bytes).saturating_sub(1);
    let start = layout.locate(last)?;
    let tail = match &layout.frames {
        Some(frames) => frames.locate(last).map_or(0, |place| u64::from(frames.frames()[place.frame].0)),
        None if layout.header_bytes > 0 => 64 << 10,
        None => 0,
    };
    let record_size = u64::from(layout.record_size.max(1));
    let end = start.block + (start.skip as u64 + tail) / record_size + 1;
    Some(first..end.min(layout.start_block + layout.stored_bytes.div_ceil(record_size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_follow_each_other_are_one_stretch() {
        let run = |start, end| Run { members: 0..1, archive: 1, blocks: start..end };
        let runs = [run(3, 9), run(10, 12), run(11, 14), run(16, 20), run(90, 91), run(92, 93)];
        assert_eq!(joined(&runs), [0..3, 3..4, 4..6]);
        assert!(joined(&[]).is_empty());
    }

    #[test]
    fn what_must_keep_its_turn_does() {
        let free = |stretches: &[&[&str]]| {
            let stretches: Vec<Vec<&[u8]>> =
                stretches.iter().map(|paths| paths.iter().map(|path| path.as_bytes()).collect()).collect();
            is_free(&stretches)
        };
        assert!(free(&[&["a", "a/b", "a/b/c"], &["ab/c"], &["d/e", "d/f"]]));
        assert!(!free(&[&["a", "a/b"], &["x"], &["a/b/c"]]), "a directory and its content");
        assert!(!free(&[&["x/a/b"], &["x"]]));
        assert!(!free(&[&["a"], &["b"], &["a"]]), "a path twice");
        assert!(free(&[&["a", "a"], &["b"]]));
    }
}
