//! Doing the work: each kind through the engine's function for it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::error::TasksError;
use super::live::Control;
use super::queue::Shared;
use super::work::{
    BackupWork, BatchLabelWork, FormatWork, LabelWork, OverwriteRule, RestoreWork, SelectionWork, VerifyWork,
    Work,
};
use crate::catalog::{Catalog, CatalogError, DriveRow, JobId, TaskRow, VolumeId};
use crate::engine::{
    Appliance, BackupReport, BackupRequest, Compression, EngineError, LabelRequest, RebuildRequest,
    RestoreRequest, VerifyRequest,
};
use crate::pipeline::{Phase, Progress};
use crate::sources::extract::{ExtractOptions, Overwrite};

/// Cartridges tried for one name.
const MOST_TRIES: usize = 100;
/// zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// What a worker has.
pub(super) struct Context<'a> {
    pub shared: &'a Arc<Shared>,
    pub row: &'a TaskRow,
    pub drive: Option<&'a DriveRow>,
    pub appliance: Appliance,
    pub progress: &'a Progress,
    pub control: &'a Control,
}

/// How work ended that did not fail.
pub(super) struct Done {
    /// The engine's report.
    pub report: Value,
    /// It ended before its end, as asked.
    pub cut_short: bool,
    /// It is done, but.
    pub warning: Option<String>,
}

/// How it failed.
pub(super) enum Failure {
    Engine(EngineError),
    Text(String),
    /// It went to its end, and what it found or could not do is a failure.
    Faults(Value, String),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::Engine(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Failure {
        Failure::Engine(error.into())
    }
}

impl From<TasksError> for Failure {
    fn from(error: TasksError) -> Failure {
        Failure::Text(super::chain(&error))
    }
}

fn report(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or(Value::Null)
}

fn done(of: &impl Serialize) -> Done {
    Done { report: report(of), cut_short: false, warning: None }
}

/// Does it.
pub(super) fn execute(context: &mut Context<'_>, work: &Work) -> Result<Done, Failure> {
    match work {
        Work::Backup(work) => backup(context, work),
        Work::Restore(work) => restore(context, work),
        Work::Verify(work) => verify(context, work),
        Work::LabelTape(work) => label(context, work),
        Work::BatchLabel(work) => batch_label(context, work),
        Work::FormatTape(work) => format(context, work),
        Work::Inventory { .. } => Ok(done(&context.appliance.library_inventory(false, false)?)),
        Work::Load { from, .. } => Ok(done(&context.appliance.library_load(from)?)),
        Work::Unload { to, .. } => unload(context, *to),
        Work::Transfer { from, to, .. } => Ok(done(&context.appliance.library_transfer(from, to)?)),
        Work::Retension { .. } => {
            let mut station = context.appliance.station()?;
            let how = station.drive()?.retension().map_err(EngineError::from)?;
            Ok(done(&json!({ "status": "retensioned", "how": format!("{how:?}") })))
        }
        Work::Rebuild { volumes, .. } => {
            let request = RebuildRequest { volumes: volumes.clone(), identities: identities(context)? };
            let found = context.appliance.rebuild(&request, context.progress, &context.control.cancel)?;
            let (cut_short, complete) = (found.cancelled, found.is_complete());
            let warning =
                (!complete && !cut_short).then(|| "some of what was found could not be entered".into());
            Ok(Done { cut_short, warning, ..done(&found) })
        }
    }
}

/// After a task: what it left in its drive goes back into the library, where other drives can reach it.
pub(super) fn put_back(context: &mut Context<'_>) {
    let empty = context.appliance.library_status().is_ok_and(|status| {
        let element = status.devices.iter().find_map(|device| device.element);
        status.elements.iter().any(|found| Some(found.address) == element && !found.full)
    });
    if empty {
        return;
    }
    if let Err(error) = context.appliance.library_unload() {
        tracing::warn!(
            task = context.row.id.0,
            error = super::chain(&error),
            "the cartridge stays in its drive"
        );
    }
}

fn identities(context: &Context<'_>) -> Result<Vec<crate::format::age::Identity>, Failure> {
    (context.shared.identities)()
        .map_err(|error| Failure::Text(format!("the keys cannot be opened: {error}")))
}

/// What a job, or a selection, asks the engine for.
fn backup_request(catalog: &Catalog, work: &BackupWork) -> Result<BackupRequest, Failure> {
    let selection = match (work.job, &work.selection) {
        (Some(job), _) => selection_of_job(catalog, JobId(job))?,
        (None, Some(selection)) => selection.clone(),
        (None, None) => return Err(Failure::Text("nothing says what to back up".into())),
    };
    let usual = BackupRequest::default();
    let recipient = |text: &String| {
        text.parse().map_err(|error: crate::format::age::AgeError| {
            Failure::Text(format!("recipient {text}: {}", super::chain(&error)))
        })
    };
    Ok(BackupRequest {
        job: selection.name,
        paths: selection.paths,
        exclude: selection.exclude,
        one_file_system: selection.one_file_system,
        compression: match selection.compression.as_str() {
            "zstd" => Compression::Zstd(ZSTD_LEVEL),
            _ => Compression::None,
        },
        recipients: selection.recipients.iter().map(recipient).collect::<Result<_, _>>()?,
        checkpoint_bytes: match selection.checkpoint_bytes {
            0 => usual.checkpoint_bytes,
            bytes => bytes,
        },
        volume: work.volume.clone(),
        pool: selection.pool,
        auto_label: selection.auto_label,
        ..usual
    })
}

/// A job as its rows are now.
fn selection_of_job(catalog: &Catalog, id: JobId) -> Result<SelectionWork, Failure> {
    let job = catalog.job(id)?;
    let source = catalog.source(job.source)?;
    let key = job.encryption_key.map(|key| catalog.key(key)).transpose()?;
    Ok(SelectionWork {
        name: job.name,
        paths: vec![PathBuf::from(source.path)],
        include: source.include,
        exclude: source.exclude,
        one_file_system: source.one_file_system,
        compression: job.compression,
        recipients: key.map(|key| key.recipient).into_iter().collect(),
        pool: Some(catalog.pool(job.pool)?.name),
        ..SelectionWork::default()
    })
}

fn backup(context: &mut Context<'_>, work: &BackupWork) -> Result<Done, Failure> {
    let catalog = context.shared.catalog().clone();
    let mut request = backup_request(&catalog, work)?;
    if let Some(job) = work.job {
        catalog.set_job_last_run(JobId(job), super::now())?;
    }
    request.set_uuid = Some(work.set_uuid.clone());
    if catalog.set_by_uuid(&work.set_uuid)?.is_some() {
        request.resume = Some(work.set_uuid.clone());
    }
    let stored = context.appliance.backup(&request, context.progress, &context.control.cancel)?;
    Ok(Done { cut_short: stored.cancelled, warning: backup_warning(&stored), ..done(&stored) })
}

fn backup_warning(stored: &BackupReport) -> Option<String> {
    match (stored.skipped, stored.problem_count) {
        (0, 0) => None,
        (0, warnings) => Some(format!("{warnings} warning(s)")),
        (skipped, _) => Some(format!("{skipped} object(s) are not stored; everything else is")),
    }
}

fn restore(context: &mut Context<'_>, work: &RestoreWork) -> Result<Done, Failure> {
    let request = RestoreRequest {
        set: work.set.clone(),
        patterns: work.patterns.clone(),
        target: work.target.clone(),
        options: ExtractOptions {
            overwrite: match work.overwrite {
                OverwriteRule::Never => Overwrite::Never,
                OverwriteRule::Older => Overwrite::Older,
                OverwriteRule::Always => Overwrite::Always,
                OverwriteRule::Rename => Overwrite::Rename,
            },
            special: work.special,
            keep_setid: work.special,
            ..ExtractOptions::default()
        },
        identities: identities(context)?,
        dry_run: false,
    };
    let restored = context.appliance.restore(&request, context.progress, &context.control.cancel)?;
    let faults = restored.faults.len();
    if faults > 0 && !restored.cancelled {
        let first =
            restored.faults.first().map(|fault| format!(", the first: {} {}", fault.path, fault.reason));
        let text = format!("{faults} object(s) could not be put back{}", first.unwrap_or_default());
        return Err(Failure::Faults(report(&restored), text));
    }
    let warning =
        (restored.skipped > 0).then(|| format!("{} object(s) were left as they are", restored.skipped));
    Ok(Done { cut_short: restored.cancelled, warning, ..done(&restored) })
}

fn verify(context: &mut Context<'_>, work: &VerifyWork) -> Result<Done, Failure> {
    let request = VerifyRequest {
        set: work.set.clone(),
        volume: work.volume.clone(),
        identities: identities(context)?,
    };
    let found = context.appliance.verify(&request, context.progress, &context.control.cancel)?;
    if !found.is_clean() {
        let text = format!("{} object(s) are not as they were stored", found.faults);
        return Err(Failure::Faults(report(&found), text));
    }
    let warning =
        (!found.unchecked.is_empty()).then(|| format!("not all was read: {}", found.unchecked.join("; ")));
    Ok(Done { cut_short: found.cancelled, warning, ..done(&found) })
}

fn label(context: &mut Context<'_>, work: &LabelWork) -> Result<Done, Failure> {
    context.progress.phase(Phase::Mounting);
    let request = LabelRequest {
        volume: work.volume.map(VolumeId),
        barcode: work.barcode.clone(),
        label: work.label.clone(),
        pool: work.pool.clone(),
        record_size: None,
        overwrite: work.overwrite,
        destroy_sets: work.destroy_sets,
    };
    Ok(done(&context.appliance.label(&request)?))
}

/// Labels one cartridge after the other. What cannot be labelled is told and left; the name goes to the next.
fn batch_label(context: &mut Context<'_>, work: &BatchLabelWork) -> Result<Done, Failure> {
    let mut barcodes = cartridges(context, work)?;
    let has_changer = barcodes.is_some();
    let known = context.shared.catalog().volumes()?;
    let names: Vec<(String, Option<VolumeId>)> = match work.volumes.as_slice() {
        [] => work.labels.iter().map(|label| (label.clone(), None)).collect(),
        volumes => known
            .iter()
            .filter(|volume| volumes.contains(&volume.id.0))
            .map(|volume| (volume.label.clone(), Some(volume.id)))
            .collect(),
    };
    let is_done = |label: &str| known.iter().any(|volume| volume.label == label && volume.is_labelled());
    context.progress.total(names.len() as u64, 0);
    let (mut labelled, mut failed) = (Vec::new(), Vec::new());
    let mut cut_short = false;
    let mut first = true;
    for (label, volume) in &names {
        if is_done(label) {
            context.progress.done(1, 0);
            continue;
        }
        context.progress.current(label.as_bytes());
        let mut tries = 0;
        loop {
            if context.control.cancel.load(std::sync::atomic::Ordering::Relaxed) {
                cut_short = true;
                break;
            }
            if !has_changer && !std::mem::take(&mut first) {
                next_by_hand(context)?;
            }
            tries += 1;
            // An entered volume with a barcode is that cartridge, and no other.
            let own = volume.is_some_and(|id| known.iter().any(|v| v.id == id && v.barcode.is_some()));
            let barcode = match &mut barcodes {
                Some(left) if !own => match left.pop() {
                    Some(barcode) => Some(barcode),
                    None => {
                        let text = format!(
                            "no further blank cartridge: {} of {} are labelled; load more, then retry",
                            labelled.len(),
                            names.len()
                        );
                        return Err(Failure::Faults(json!({ "labelled": labelled, "failed": failed }), text));
                    }
                },
                _ => None,
            };
            let request = LabelRequest {
                volume: *volume,
                barcode: barcode.clone(),
                label: volume.is_none().then(|| label.clone()),
                pool: work.pool.clone(),
                ..LabelRequest::default()
            };
            match context.appliance.label(&request) {
                Ok(made) => {
                    labelled.push(report(&made));
                    break;
                }
                Err(
                    error @ (EngineError::NotBlank { .. }
                    | EngineError::WriteProtected { .. }
                    | EngineError::WrongVolume { .. }
                    | EngineError::InAnotherDrive { .. }),
                ) => {
                    failed.push(json!({ "label": label, "barcode": barcode, "error": super::chain(&error) }));
                    if own && has_changer || tries > MOST_TRIES {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        if cut_short {
            break;
        }
        context.progress.done(1, 0);
    }
    let warning =
        (!failed.is_empty()).then(|| format!("{} cartridge(s) could not be labelled", failed.len()));
    Ok(Done { cut_short, warning, ..done(&json!({ "labelled": labelled, "failed": failed })) })
}

/// Barcodes to label, the last one first; none where a person inserts them.
fn cartridges(context: &mut Context<'_>, work: &BatchLabelWork) -> Result<Option<Vec<String>>, Failure> {
    let mut station = context.appliance.station()?;
    let Some(present) = station.loader().cartridges()? else { return Ok(None) };
    let known = context.shared.catalog().volumes()?;
    let is_new = |barcode: &String| !known.iter().any(|volume| volume.barcode.as_ref() == Some(barcode));
    let mut chosen: Vec<String> = if work.barcodes.is_empty() {
        present.into_iter().filter(is_new).collect()
    } else {
        work.barcodes.iter().filter(|barcode| is_new(barcode)).cloned().collect()
    };
    chosen.reverse();
    Ok(Some(chosen))
}

/// Has a person change cartridges.
fn next_by_hand(context: &mut Context<'_>) -> Result<(), Failure> {
    let mut station = context.appliance.station()?;
    let (drive, loader) = station.split()?;
    Ok(loader.ask_for_another(drive)?)
}

/// Labels a volume again under its name: what it held is gone.
fn format(context: &mut Context<'_>, work: &FormatWork) -> Result<Done, Failure> {
    let request = LabelRequest {
        volume: work.volume.map(VolumeId),
        overwrite: true,
        destroy_sets: work.destroy_sets,
        ..LabelRequest::default()
    };
    Ok(done(&context.appliance.label(&request)?))
}

fn unload(context: &mut Context<'_>, to: Option<u16>) -> Result<Done, Failure> {
    let Some(to) = to else { return Ok(done(&context.appliance.library_unload()?)) };
    let element = context.drive.and_then(|drive| drive.element);
    let Some(element) = element else {
        return Err(Failure::Text(
            "the drive's place in its library is not known; unload it without a slot".into(),
        ));
    };
    Ok(done(&context.appliance.library_transfer(&element.to_string(), &to.to_string())?))
}
