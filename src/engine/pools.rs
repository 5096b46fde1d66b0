//! Retention: what a pool says of the sets on its volumes.

use std::collections::HashMap;

use super::EngineError;
use crate::catalog::{Catalog, SetState, VolumeId, VolumeStatus};

const DAY: i64 = 86_400 * 1_000_000_000;

/// Makes expired what is past its pool's retention: volumes of which every set ended longer ago than that, counting for a
/// set over several volumes all of them. Nothing is erased. Returns the volumes that changed. `now` is nanoseconds since
/// the epoch.
///
/// # Errors
/// The catalog failed.
pub fn apply_retention(catalog: &Catalog, now: i64) -> Result<Vec<VolumeId>, EngineError> {
    let retention: HashMap<String, u32> = catalog
        .pools()?
        .into_iter()
        .filter_map(|pool| Some((pool.name, pool.retention_days.filter(|days| *days > 0)?)))
        .collect();
    if retention.is_empty() {
        return Ok(Vec::new());
    }
    // A set lives as long as the pool of any of its volumes wants it to: by set, when it expires.
    let volumes = catalog.volumes()?;
    let mut lives: HashMap<i64, Option<i64>> = HashMap::new();
    let mut holds: HashMap<VolumeId, Vec<i64>> = HashMap::new();
    for volume in &volumes {
        let days = volume.pool.as_deref().and_then(|pool| retention.get(pool));
        for set in catalog.sets_on_volume(volume.id)? {
            let ended = set.finished.filter(|_| set.state != SetState::Open);
            let until = ended.zip(days).map(|(ended, days)| ended.saturating_add(i64::from(*days) * DAY));
            let known = lives.entry(set.id.0).or_insert(until);
            // Without an end it never expires.
            *known = known.zip(until).map(|(one, other)| one.max(other));
            holds.entry(volume.id).or_default().push(set.id.0);
        }
    }
    // What increments are built upon lives as long as they do.
    let sets = catalog.sets()?;
    let numbers: HashMap<&str, i64> = sets.iter().map(|set| (set.uuid.as_str(), set.id.0)).collect();
    for set in &sets {
        let Some(until) = lives.get(&set.id.0).copied() else { continue };
        for base in set.bases.iter().filter_map(|base| numbers.get(base.as_str())) {
            if let Some(known) = lives.get_mut(base) {
                *known = known.zip(until).map(|(one, other)| one.max(other));
            }
        }
    }
    // What a set builds upon lives as long as the set does.
    let sets = catalog.sets()?;
    let ids: HashMap<&str, i64> = sets.iter().map(|set| (set.uuid.as_str(), set.id.0)).collect();
    for set in &sets {
        let until = lives.get(&set.id.0).copied().flatten();
        for base in set.bases.iter().filter_map(|base| ids.get(base.as_str())) {
            let known = lives.entry(*base).or_insert(until);
            *known = known.zip(until).map(|(one, other)| one.max(other));
        }
    }
    let is_over = |set: &i64| lives.get(set).copied().flatten().is_some_and(|until| until <= now);
    let expired: Vec<VolumeId> = volumes
        .iter()
        .filter(|volume| matches!(volume.status, VolumeStatus::Active | VolumeStatus::Full))
        .filter(|volume| holds.get(&volume.id).is_some_and(|sets| sets.iter().all(is_over)))
        .map(|volume| volume.id)
        .collect();
    if !expired.is_empty() {
        catalog.expire_volumes(&expired, now)?;
    }
    Ok(expired)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{NewPart, NewPool, NewSet, NewVolume, SetId, Volume};

    struct Rig {
        _directory: tempfile::TempDir,
        catalog: Catalog,
    }

    impl Rig {
        fn volume(&self, label: &str, pool: &str) -> VolumeId {
            let new = NewVolume {
                uuid: label.into(),
                label: label.into(),
                barcode: None,
                pool: Some(pool.into()),
                generation: None,
                record_size: 262_144,
                capacity: 0,
                end_block: 2,
                end_file: 1,
                change_reference: None,
                created: 0,
            };
            let id = self.catalog.add_volume(&new).unwrap();
            self.catalog.set_volume_status(id, VolumeStatus::Full).unwrap();
            id
        }

        fn set(&self, uuid: &str, finished: Option<i64>, volumes: &[VolumeId]) -> SetId {
            self.set_upon(uuid, finished, volumes, &[])
        }

        fn set_upon(&self, uuid: &str, finished: Option<i64>, volumes: &[VolumeId], bases: &[&str]) -> SetId {
            let new = NewSet {
                uuid: uuid.into(),
                job: "j".into(),
                host: "h".into(),
                roots: vec![],
                compression: "none".into(),
                recipients: vec![],
                exclude: vec![],
                one_file_system: false,
                kind: crate::catalog::SetKind::Full,
                bases: bases.iter().map(ToString::to_string).collect(),
                started: 0,
            };
            let set = self.catalog.begin_set(&new).unwrap();
            for (number, volume) in (1..).zip(volumes) {
                self.catalog.begin_part(&NewPart { set, number, volume: *volume, first_ordinal: 0 }).unwrap();
            }
            if let Some(finished) = finished {
                self.catalog.finish_set(set, SetState::Complete, finished).unwrap();
            }
            set
        }

        fn status(&self, id: VolumeId) -> VolumeStatus {
            let Volume { status, .. } = self.catalog.volume(id).unwrap();
            status
        }
    }

    fn rig() -> Rig {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.sqlite")).unwrap();
        for (name, days) in [("WEEK", Some(7)), ("MONTH", Some(30)), ("EVER", None)] {
            let new = NewPool { name: name.into(), retention_days: days, ..NewPool::default() };
            catalog.add_pool(&new).unwrap();
        }
        Rig { _directory: directory, catalog }
    }

    #[test]
    fn a_volume_expires_with_the_last_of_its_sets() {
        let rig = rig();
        let volume = rig.volume("a", "WEEK");
        rig.set("old", Some(0), &[volume]);
        rig.set("new", Some(3 * DAY), &[volume]);
        assert_eq!(apply_retention(&rig.catalog, 10 * DAY - 1).unwrap(), []);
        assert_eq!(rig.status(volume), VolumeStatus::Full);
        assert_eq!(apply_retention(&rig.catalog, 10 * DAY).unwrap(), [volume]);
        assert_eq!(rig.status(volume), VolumeStatus::Expired);
        assert_eq!(apply_retention(&rig.catalog, 11 * DAY).unwrap(), [], "once");
    }

    #[test]
    fn a_set_over_two_pools_lives_as_long_as_the_longer() {
        let rig = rig();
        let (week, month, ever) =
            (rig.volume("w", "WEEK"), rig.volume("m", "MONTH"), rig.volume("e", "EVER"));
        let both = rig.set("both", Some(0), &[week, month]);
        assert_eq!(apply_retention(&rig.catalog, 20 * DAY).unwrap(), []);
        let third = NewPart { set: both, number: 3, volume: ever, first_ordinal: 0 };
        rig.catalog.begin_part(&third).unwrap();
        assert_eq!(
            apply_retention(&rig.catalog, 400 * DAY).unwrap(),
            [],
            "one of its parts is kept for ever"
        );
    }

    #[test]
    fn what_a_set_builds_upon_lives_as_long_as_the_set() {
        let rig = rig();
        let (base, above) = (rig.volume("b", "WEEK"), rig.volume("a", "WEEK"));
        rig.set("base", Some(0), &[base]);
        rig.set_upon("above", Some(5 * DAY), &[above], &["base"]);
        assert_eq!(apply_retention(&rig.catalog, 8 * DAY).unwrap(), []);
        assert_eq!(apply_retention(&rig.catalog, 12 * DAY).unwrap(), [base, above]);
    }

    #[test]
    fn what_is_open_empty_or_out_of_the_way_does_not_expire() {
        let rig = rig();
        let (open, empty, retired) =
            (rig.volume("o", "WEEK"), rig.volume("x", "WEEK"), rig.volume("r", "WEEK"));
        rig.set("open", None, &[open]);
        rig.set("done", Some(0), &[retired]);
        rig.catalog.set_volume_status(retired, VolumeStatus::Retired).unwrap();
        assert_eq!(apply_retention(&rig.catalog, 400 * DAY).unwrap(), []);
        for id in [open, empty] {
            assert_eq!(rig.status(id), VolumeStatus::Full);
        }
    }
}
