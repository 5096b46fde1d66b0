//! What an increment is built upon.

use std::collections::HashMap;
use std::sync::Arc;

use super::EngineError;
use crate::catalog::{BackupSet, Catalog, SetKind, SetState, Snapshot};
use crate::format::v1::seen::SeenEntry;
use crate::sources::file_tree::{Baseline, Unchanged};

/// The newest set that a set of this kind can be built upon: complete, of the same job, machine and roots, with all that it
/// is built upon itself. A differential one is built upon a full one only.
pub(super) fn base(
    catalog: &Catalog,
    kind: SetKind,
    (job, host, roots): (&str, &str, &[Vec<u8>]),
) -> Result<Option<BackupSet>, EngineError> {
    if kind == SetKind::Full {
        return Ok(None);
    }
    let sets = catalog.sets()?;
    let is_whole = |set: &BackupSet| set.state == SetState::Complete && set.seen > 0;
    let found = sets.iter().rev().find(|set| {
        is_whole(set)
            && (set.job.as_str(), set.host.as_str(), set.roots.as_slice()) == (job, host, roots)
            && (kind == SetKind::Incremental || set.kind == SetKind::Full)
            && set.bases.iter().all(|base| sets.iter().any(|other| other.uuid == *base && is_whole(other)))
    });
    Ok(found.cloned())
}

/// What `base` saw, for the walk.
pub(super) fn baseline(catalog: &Catalog, base: &BackupSet) -> Result<Unchanged, EngineError> {
    Ok(Unchanged(Arc::new(Before(catalog.snapshot(base)?))))
}

struct Before(Snapshot);

impl Baseline for Before {
    fn directory(&self, path: &[u8]) -> HashMap<Vec<u8>, SeenEntry> {
        // What cannot be read counts as changed: it is stored again.
        let entries = self.0.directory(path).unwrap_or_default();
        let ours = |entry: SeenEntry| (entry.name.clone(), SeenEntry { origin: entry.origin + 1, ..entry });
        entries.into_iter().map(ours).collect()
    }
}
