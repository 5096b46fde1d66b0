//! Verifying: everything asked for is read from tape and compared with the catalog. Nothing is written.

mod volume_check;

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::error::OperatorRequest;
use super::error::chain;
use super::restore::{Fault, ReadBack, RestoreReport, SharedReport, Sink};
use super::station::Station;
use super::{Appliance, EngineError};
use crate::catalog::{HealthEvent, SetId, Volume, VolumeId};
use crate::format::age::Identity;
use crate::format::v1::Found;
use crate::pipeline::{Phase, Progress};

pub use volume_check::VolumeCheck;
pub(super) use volume_check::is_missing_key;

/// What to verify: one set, one volume, or everything that can be mounted.
#[derive(Debug, Clone, Default)]
pub struct VerifyRequest {
    /// A set: its number, its identity, or `latest`.
    pub set: Option<String>,
    /// A volume: label, barcode or identity.
    pub volume: Option<String>,
    /// age identities.
    pub identities: Vec<Identity>,
}

/// What was found.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct VerifyReport {
    /// One for each set of which something was read.
    pub sets: Vec<RestoreReport>,
    /// One for each volume checked as a whole.
    pub volumes: Vec<VolumeCheck>,
    /// Objects that are as stored.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Objects and structures that are not as they should be.
    pub faults: u64,
    /// What was left out because it needs a volume out of reach, or a key that was not given.
    pub unchecked: Vec<String>,
    /// What the drive complains of since this task.
    pub alerts: Vec<String>,
    /// Seconds.
    pub seconds: f64,
    /// Ended before its end, by request.
    pub cancelled: bool,
}

impl VerifyReport {
    /// Whether everything that was read is as it should be.
    pub fn is_clean(&self) -> bool {
        self.faults == 0
    }

    /// Whether everything asked for was read.
    pub fn is_complete(&self) -> bool {
        self.unchecked.is_empty() && !self.cancelled
    }
}

/// What is done with one volume in the drive.
struct Step {
    volume: Volume,
    /// Check the volume itself as well.
    whole: bool,
    /// Members to read, by set.
    members: Vec<(SetId, Range<u64>)>,
}

impl Appliance {
    /// Verifies.
    ///
    /// # Errors
    /// What prevents the task: no such set or volume, no key for the set named, a volume that a person must put in. What
    /// is wrong on tape is in the report.
    pub fn verify(
        &mut self,
        request: &VerifyRequest,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<VerifyReport, EngineError> {
        let started = Instant::now();
        let mut report = VerifyReport::default();
        let named = request.set.is_some() || request.volume.is_some();
        let steps = match (&request.set, &request.volume) {
            (Some(_), Some(_)) => {
                return Err(EngineError::Request("name a set or a volume to verify, not both".into()));
            }
            (Some(set), None) => {
                let set = self.set_named(set)?.id;
                self.check_keys(set, &request.identities)?;
                self.claim()?;
                self.steps_of_set(set, &mut report)?
            }
            (None, Some(name)) => {
                let volume = self.volume_named(name)?;
                self.claim()?;
                let mut reach: HashSet<VolumeId> = self.in_reach()?.iter().map(|volume| volume.id).collect();
                reach.insert(volume.id);
                vec![self.step_of_volume(volume, &reach, true, &mut report)?]
            }
            (None, None) => {
                self.claim()?;
                let volumes = self.in_reach()?;
                let reach = volumes.iter().map(|volume| volume.id).collect();
                let steps =
                    volumes.into_iter().map(|volume| self.step_of_volume(volume, &reach, false, &mut report));
                steps.collect::<Result<_, _>>()?
            }
        };
        self.announce(&steps, progress)?;
        let mut station = self.task_station()?.ending_with(HealthEvent::Verify);
        let mut run =
            Run { appliance: self, request, progress, cancel, named, sets: BTreeMap::new(), report };
        for step in steps {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            run.step(step, &mut station)?;
        }
        let (mut report, sets) = (run.report, run.sets);
        report.alerts = station.finish();
        report.sets = sets.into_values().collect();
        report.files = report.sets.iter().map(|set| set.files).sum();
        report.bytes = report.sets.iter().map(|set| set.bytes).sum();
        report.faults = report.sets.iter().map(|set| set.faults.len() as u64).sum::<u64>()
            + report.volumes.iter().map(|volume| volume.problems.len() as u64).sum::<u64>();
        report.seconds = started.elapsed().as_secs_f64();
        report.cancelled = cancel.load(Ordering::Relaxed);
        progress.phase(Phase::Done);
        Ok(report)
    }

    /// Volumes that can be mounted without a person, in the order they were added.
    ///
    /// # Errors
    /// [`EngineError::Operator`] where the catalog has volumes and none of them can be.
    fn in_reach(&mut self) -> Result<Vec<Volume>, EngineError> {
        let mut volumes = self.catalog().volumes()?;
        if volumes.is_empty() {
            return Ok(volumes);
        }
        let mut station = self.task_station()?;
        let (drive, loader) = station.split()?;
        let labels: Vec<String> = volumes.iter().map(|volume| volume.label.clone()).collect();
        match loader.cartridges()? {
            Some(present) => volumes.retain(|v| match &v.barcode {
                Some(barcode) => present.contains(barcode),
                None => loader.remembered(&v.label).is_some(),
            }),
            None => {
                loader.mount(drive, None, &labels.join(" or "))?;
                super::fence::prepare(drive)?;
                let found = super::fence::identity(drive)?;
                volumes.retain(|volume| {
                    matches!(&found, super::fence::Identity::Found(found)
                        if matches!(found.as_ref(), Found::Reelward(file) if file.uuid == volume.uuid))
                });
            }
        }
        if volumes.is_empty() {
            let (volume, drive) = (labels.join(" or "), drive.name().to_owned());
            return Err(EngineError::Operator(OperatorRequest::Insert { volume, drive }));
        }
        Ok(volumes)
    }

    /// All members of a set, volume by volume.
    fn steps_of_set(&self, set: SetId, report: &mut VerifyReport) -> Result<Vec<Step>, EngineError> {
        let mut steps = Vec::new();
        let mut expected = 1;
        for part in self.catalog().parts_of(set)? {
            for missing in expected..part.number {
                report.unchecked.push(format!("part {missing} of set {set} is not in the catalog"));
            }
            expected = part.number + 1;
            let members = vec![(set, part.ordinals())];
            steps.push(Step { volume: self.catalog().volume(part.volume)?, whole: false, members });
        }
        Ok(steps)
    }

    /// A volume and the members of all sets on it. `alone`: no other volume's step reads what goes on elsewhere.
    fn step_of_volume(
        &self,
        volume: Volume,
        reach: &HashSet<VolumeId>,
        alone: bool,
        report: &mut VerifyReport,
    ) -> Result<Step, EngineError> {
        let mut members = Vec::new();
        for part in self.catalog().parts_on(volume.id)? {
            let mut range = part.ordinals();
            // A member that begins on an earlier volume, and one that ends on a later one.
            for (ordinal, here) in [(range.start, !range.is_empty()), (range.end, false)] {
                let volumes = self.volumes_of_split(part.set, ordinal)?;
                if !volumes.contains(&volume.id) {
                    continue;
                }
                let readable = volumes.iter().all(|volume| reach.contains(volume));
                if !readable {
                    report.unchecked.push(format!(
                        "a file of set {} is split over volumes, of which one on {} or after it is out of reach",
                        part.set, volume.label
                    ));
                }
                match (here, readable) {
                    (true, false) => range.start += 1,
                    (false, true) if alone => range.end += 1,
                    _ => {}
                }
            }
            if !range.is_empty() {
                members.push((part.set, range));
            }
        }
        Ok(Step { volume, whole: true, members })
    }

    /// The volumes of a split member; empty for one that is whole.
    fn volumes_of_split(&self, set: SetId, ordinal: u64) -> Result<HashSet<VolumeId>, EngineError> {
        let mut volumes = HashSet::new();
        let fragments = self.catalog().fragments_of(set, ordinal)?;
        if fragments.is_empty() {
            return Ok(volumes);
        }
        let parts = self.catalog().parts_of(set)?;
        let archives = self.catalog().archives_of(set)?;
        for fragment in fragments {
            // A part that the catalog lacks: reading tells.
            let archive = archives.iter().find(|archive| archive.number == fragment.archive);
            let part = archive.and_then(|archive| parts.iter().find(|part| part.number == archive.part));
            volumes.extend(part.map(|part| part.volume));
        }
        volumes.extend(parts.iter().find(|part| part.ordinals().contains(&ordinal)).map(|part| part.volume));
        Ok(volumes)
    }

    fn announce(&self, steps: &[Step], progress: &Progress) -> Result<(), EngineError> {
        let (mut files, mut bytes) = (0, 0);
        for step in steps {
            for (set, range) in &step.members {
                files += range.end - range.start;
                let parts = self.catalog().parts_of(*set)?;
                bytes += parts
                    .iter()
                    .filter(|part| part.volume == step.volume.id)
                    .map(|part| part.bytes)
                    .sum::<u64>();
            }
        }
        progress.total(files, bytes);
        Ok(())
    }
}

/// A verification under way.
struct Run<'a> {
    appliance: &'a Appliance,
    request: &'a VerifyRequest,
    progress: &'a Progress,
    cancel: &'a AtomicBool,
    /// A set or volume was named: what a person must do is told at once.
    named: bool,
    sets: BTreeMap<i64, RestoreReport>,
    report: VerifyReport,
}

impl Run<'_> {
    fn step(&mut self, step: Step, station: &mut Station) -> Result<(), EngineError> {
        self.progress.volume(&step.volume.label);
        // Whoever named a volume or set has it already; without a name those that other tasks have are left out.
        let held = self.appliance.volumes_in_use().hold(step.volume.id);
        if held.is_none() && !self.named {
            let label = &step.volume.label;
            self.report.unchecked.push(format!("volume {label}: another task uses it"));
            return Ok(());
        }
        if step.whole {
            self.progress.phase(Phase::Mounting);
            let checked = station.split().and_then(|(drive, loader)| {
                loader.mount_volume(drive, &step.volume)?;
                self.progress.phase(Phase::Verifying);
                volume_check::check(
                    self.appliance.catalog(),
                    drive,
                    &step.volume,
                    &self.request.identities,
                    self.cancel,
                )
            });
            match checked {
                Ok(check) => self.report.volumes.push(check),
                Err(error) if self.is_fatal(&error) => return Err(error),
                Err(error) => {
                    self.report.volumes.push(VolumeCheck::failed(&step.volume.label, chain(&error)));
                    return Ok(());
                }
            }
        }
        for (set, range) in step.members {
            if self.cancel.load(Ordering::Relaxed) {
                break;
            }
            self.members(set, range, station)?;
        }
        Ok(())
    }

    fn members(&mut self, set: SetId, range: Range<u64>, station: &mut Station) -> Result<(), EngineError> {
        let catalog = self.appliance.catalog();
        if let Err(error) = self.appliance.check_keys(set, &self.request.identities) {
            // Told once for each set, whatever number of volumes it lies on.
            let told = error.to_string();
            if !self.report.unchecked.contains(&told) {
                self.report.unchecked.push(told);
            }
            return Ok(());
        }
        let name = catalog.set(set)?.uuid;
        let total = self.sets.entry(set.0).or_insert_with(|| RestoreReport {
            set_id: set.0,
            set: name.clone(),
            ..RestoreReport::default()
        });
        let fault = |error: &EngineError| Fault { path: format!("set {name}"), reason: chain(error) };
        let started = Instant::now();
        let shared = SharedReport::default();
        let mut read_back =
            ReadBack::new(catalog, station, set, &self.request.identities, self.progress, self.cancel);
        let outcome = read_back.run(&[range], Sink::new(None, shared.clone()));
        let part = shared.take();
        total.files += part.files;
        total.bytes += part.bytes;
        total.noted += part.noted;
        total.faults.extend(part.faults);
        for label in part.volumes {
            if !total.volumes.contains(&label) {
                total.volumes.push(label);
            }
        }
        total.missing_volumes.extend(part.missing_volumes);
        total.seconds += started.elapsed().as_secs_f64();
        total.cancelled |= self.cancel.load(Ordering::Relaxed);
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                let found = fault(&error);
                if self.is_fatal(&error) {
                    return Err(error);
                }
                if let Some(total) = self.sets.get_mut(&set.0) {
                    total.faults.push(found);
                }
                Ok(())
            }
        }
    }

    /// Whether the task ends; else the error is a finding like others.
    fn is_fatal(&self, error: &EngineError) -> bool {
        match error {
            EngineError::Catalog(_) | EngineError::Thread(_) => true,
            EngineError::Operator(_) | EngineError::WrongVolume { .. } => self.named,
            _ => false,
        }
    }
}
