//! Restoring: what is wanted, a plan in tape order, its execution, a report.

mod read_back;
mod select;
mod streamed;
mod stretches;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::error::chain;
use super::{Appliance, EngineError, hardware_key};
use crate::catalog::{BackupSet, HealthEvent, SetId};
use crate::format::age::Identity;
use crate::format::v1::keys_file::key_name;
use crate::format::v1::{Entry, Kind, Timestamp, shown};
use crate::pipeline::{Phase, Progress, Unpacked};
use crate::sources::extract::{ExtractError, ExtractOptions, Extractor, Outcome};

pub(super) use read_back::{ReadBack, Sink};
pub use select::{PlannedSet, PlannedVolume, RestorePlan};

/// What to restore, and where to.
#[derive(Debug, Clone, Default)]
pub struct RestoreRequest {
    /// The set: its number, its identity, or `latest`; when not given, the newest version of everything in all sets.
    pub set: Option<String>,
    /// Absolute paths (a directory with all it holds) or wildcards as in `find`; everything when empty.
    pub patterns: Vec<String>,
    /// Directory beneath which the paths are restored.
    pub target: PathBuf,
    /// How names that are taken and owners are treated.
    pub options: ExtractOptions,
    /// age identities.
    pub identities: Vec<Identity>,
    /// Only plan.
    pub dry_run: bool,
}

/// One object that is not as it was, or not there.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Fault {
    /// Absolute path.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// What was restored or verified.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct RestoreReport {
    /// Number of the set, of the newest one where several were read.
    pub set_id: i64,
    /// Its identity.
    pub set: String,
    /// Numbers of all sets read, the newest first.
    pub sets: Vec<i64>,
    /// Objects that are in place (verified: that are as stored).
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Objects left as they were, as the overwrite rule says.
    pub skipped: u64,
    /// The first of them, with the rule's reason.
    pub skipped_list: Vec<Fault>,
    /// What could not be read or put in place; everything else was.
    pub faults: Vec<Fault>,
    /// Attributes that could not be set and the like; the files are in place.
    pub warnings: Vec<String>,
    /// Members that were noted at backup as changed or unreadable.
    pub noted: u64,
    /// Volumes read, in order.
    pub volumes: Vec<String>,
    /// Volumes that could not be had; what they hold is among the faults, everything else was read.
    pub missing_volumes: Vec<String>,
    /// Seconds.
    pub seconds: f64,
    /// Ended before its end, by request.
    pub cancelled: bool,
}

/// Lines kept of each list.
const LIST_KEPT: usize = 10_000;

/// A report that several threads write.
#[derive(Clone, Default)]
pub(super) struct SharedReport(Arc<Mutex<RestoreReport>>);

impl SharedReport {
    pub(super) fn with(&self, change: impl FnOnce(&mut RestoreReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn fault(&self, path: &[u8], reason: impl std::fmt::Display) {
        let fault = Fault { path: shown(path), reason: reason.to_string() };
        self.with(|report| {
            if report.faults.len() < LIST_KEPT {
                report.faults.push(fault);
            }
        });
    }

    /// Takes what became of one member.
    pub(super) fn note(&self, path: &[u8], size: u64, outcome: Unpacked) {
        match outcome {
            Unpacked::Verified
            | Unpacked::Done(
                Outcome::Created | Outcome::Replaced | Outcome::Unchanged | Outcome::Renamed(_),
            ) => {
                self.with(|report| {
                    report.files += 1;
                    report.bytes += size;
                });
            }
            Unpacked::Done(Outcome::Skipped(reason)) => {
                let fault = Fault { path: shown(path), reason: format!("left as it is: {reason}") };
                self.with(|report| {
                    report.skipped += 1;
                    if report.skipped_list.len() < LIST_KEPT {
                        report.skipped_list.push(fault);
                    }
                });
            }
            Unpacked::Damaged => {
                self.fault(
                    path,
                    "its content on tape is not what the index says (SHA-256); not put in place",
                );
            }
            Unpacked::Failed(error) => self.fault(path, chain(&error)),
        }
    }

    pub(super) fn take(&self) -> RestoreReport {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Appliance {
    /// What a restore would read.
    ///
    /// # Errors
    /// Nothing matches, or the set is not known.
    pub fn plan_restore(&self, request: &RestoreRequest) -> Result<RestorePlan, EngineError> {
        select::plan(self.catalog(), request.set.as_deref(), &request.patterns)
    }

    /// The set that a user means by `name`: its number, its identity or a beginning of that, or `latest`.
    ///
    /// # Errors
    /// [`EngineError::NoSuchSet`]; the catalog failed.
    pub fn set_named(&self, name: &str) -> Result<BackupSet, EngineError> {
        select::set_named(self.catalog(), name)
    }

    /// Restores.
    ///
    /// # Errors
    /// What prevents the task. What goes wrong with single objects is in the report, and everything else restored.
    pub fn restore(
        &mut self,
        request: &RestoreRequest,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<RestoreReport, EngineError> {
        let plan = self.plan_restore(request)?;
        for set in &plan.sets {
            self.check_keys(SetId(set.set_id), &request.identities)?;
        }
        self.claim()?;
        let extractor = Extractor::new(&request.target, request.options)
            .map_err(|error| EngineError::Target { path: request.target.clone(), source: Box::new(error) })?;
        progress.total(plan.members, plan.bytes);
        let started = Instant::now();
        let mut station = self.task_station()?.ending_with(HealthEvent::Restore);
        let report = SharedReport::default();
        for planned in &plan.sets {
            let set = SetId(planned.set_id);
            if planned.missing > 0 {
                report.fault(
                    b"",
                    format!(
                        "{} objects of set {set}: the part that holds them is not in the catalog; put its volume into the library and run `reelward catalog rebuild`",
                        planned.missing
                    ),
                );
            }
            let sink = Sink::new(Some(extractor.clone()), report.clone());
            ReadBack::new(self.catalog(), &mut station, set, &request.identities, progress, cancel)
                .run(&planned.selection, sink)?;
        }
        for relink in &plan.relinks {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            let entry = Entry {
                link: relink.link.clone(),
                mtime: Timestamp::from_nanos(relink.member.mtime),
                ..Entry::new(relink.path.clone(), Kind::HardLink)
            };
            match extractor.hard_link(&entry, &relink.path, &relink.link) {
                Ok(outcome) => report.note(&relink.path, 0, Unpacked::Done(outcome)),
                // The other name could not be restored; this one has the content as well.
                Err(ExtractError::LinkTargetMissing { .. }) => {
                    let sink = Sink::new(Some(extractor.clone()), report.clone());
                    let only = relink.ordinal..relink.ordinal + 1;
                    ReadBack::new(
                        self.catalog(),
                        &mut station,
                        relink.set,
                        &request.identities,
                        progress,
                        cancel,
                    )
                    .run(&[only], sink)?;
                }
                Err(error) => report.fault(&relink.path, chain(&error)),
            }
        }
        progress.phase(Phase::Finishing);
        for error in extractor.finish_directories() {
            report.with(|report| report.faults.push(Fault { path: String::new(), reason: chain(&error) }));
        }
        let mut report = report.take();
        report.warnings = extractor.take_warnings().iter().map(|warning| chain(warning)).collect();
        report.warnings.extend(station.finish());
        report.sets = plan.sets.iter().map(|set| set.set_id).collect();
        if let Some(newest) = plan.sets.into_iter().next() {
            (report.set_id, report.set) = (newest.set_id, newest.set);
        }
        report.seconds = started.elapsed().as_secs_f64();
        report.cancelled = cancel.load(std::sync::atomic::Ordering::Relaxed);
        progress.phase(Phase::Done);
        Ok(report)
    }

    /// Whether one of the identities opens the set, told before any tape moves.
    pub(super) fn check_keys(&self, set: SetId, identities: &[Identity]) -> Result<(), EngineError> {
        let set = self.catalog().set(set)?;
        if set.recipients.is_empty() {
            return Ok(());
        }
        let mut recipients = set.recipients.join(", ");
        if hardware_key::is_used(self.catalog(), &set)? {
            let part = self.catalog().parts_of(set.id)?.first().map_or(1, |part| part.number);
            recipients = hardware_key::with_key(&set.recipients, &key_name(&set.uuid, part));
        }
        if identities.is_empty() {
            return Err(EngineError::KeyMissing { set: set.uuid, recipients });
        }
        if identities.iter().any(|identity| set.recipients.contains(&identity.recipient().to_string())) {
            return Ok(());
        }
        Err(EngineError::KeyWrong { set: set.uuid, recipients })
    }
}
