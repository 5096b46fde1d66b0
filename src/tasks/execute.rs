//! Doing the work: each kind through the engine's function for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::error::TasksError;
use super::live::Control;
use super::queue::Shared;
use super::work::{
    BackupWork, BatchLabelWork, FormatWork, LabelWork, LibraryStep, OverwriteRule, OwnersRule, RestoreWork,
    SelectionWork, VerifyWork, Work,
};
use crate::catalog::{
    Catalog, CatalogError, DatabaseCopyId, DriveRow, JobId, SetKind, TaskRow, Volume, VolumeId,
};
use crate::engine::{
    Appliance, BackupReport, BackupRequest, BatchLabelRequest, BatchLabelStatus, BatchTape, Compression,
    EngineError, LabelRequest, RebuildRequest, RestoreRequest, SourceFault, VerifyRequest, check_source,
    walk_patterns,
};
use crate::format::age::{AgeError, Identity, Recipient};
use crate::pipeline::{Phase, Progress};
use crate::sources::extract::{ExtractOptions, Overwrite, Owners};

/// Why a task cannot go on whose keys were in memory only.
pub(super) const KEYS_LOST: &str = "its keys (--identity) were held in memory only and were lost when the daemon ended, \
    or with its first run; run the command again";
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
    /// Keys that came with the task.
    pub keys: &'a [Identity],
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
        Work::Retension { .. } => Ok(done(&context.appliance.retension()?)),
        Work::Clean { .. } => {
            let cleaned = context.appliance.clean()?;
            let warning = (!cleaned.warnings.is_empty()).then(|| cleaned.warnings.join("; "));
            Ok(Done { warning, ..done(&cleaned) })
        }
        Work::DatabaseBackup { copy, recipients, .. } => database_backup(context, *copy, recipients),
        Work::DatabaseRestore { copy, target, .. } => database_restore(context, *copy, target),
        Work::Library(work) => library(&mut context.appliance, &work.step),
        Work::DriveStatus { .. } => Ok(done(&context.appliance.drive_status()?)),
        Work::DriveHealth { .. } => Ok(done(&context.appliance.drive_health()?)),
        Work::Rebuild { volumes, own_keys, .. } => {
            let identities = identities(context, *own_keys)?;
            let request = RebuildRequest { volumes: volumes.clone(), identities };
            let found = context.appliance.rebuild(&request, context.progress, &context.control.cancel)?;
            let (cut_short, complete) = (found.cancelled, found.is_complete());
            let warning =
                (!complete && !cut_short).then(|| "some of what was found could not be entered".into());
            Ok(Done { cut_short, warning, ..done(&found) })
        }
        Work::ReadLabel { volume } => Ok(done(&context.appliance.read_tape_label(VolumeId(*volume))?)),
        Work::DatabaseScan { .. } => {
            let (keys, cancel) = (identities(context, false)?, &context.control.cancel);
            let found = context.appliance.scan_database_copies(&keys, context.progress, cancel)?;
            let ids: Vec<i64> = found.iter().map(|copy| copy.id.0).collect();
            Ok(done(&json!({ "copies": ids })))
        }
    }
}

/// Looks at the library, or moves in it, as a command asks.
fn library(appliance: &mut Appliance, step: &LibraryStep) -> Result<Done, Failure> {
    Ok(match step {
        LibraryStep::Status => done(&appliance.library_status()?),
        LibraryStep::Load { cartridge, into: Some(drive) } => {
            done(&appliance.library_load_number(cartridge, *drive)?)
        }
        LibraryStep::Load { cartridge, into: None } => done(&appliance.library_load(cartridge)?),
        LibraryStep::Unload { from: Some(drive) } => done(&appliance.library_unload_number(*drive, None)?),
        LibraryStep::Unload { from: None } => done(&appliance.library_unload()?),
        LibraryStep::Import { cartridges } => done(&appliance.library_import(cartridges)?),
        LibraryStep::Export { cartridges } => {
            let moved = cartridges.iter().map(|cartridge| appliance.library_export(cartridge));
            done(&moved.collect::<Result<Vec<_>, _>>()?)
        }
        LibraryStep::Inventory { scan, read_labels } => {
            done(&appliance.library_inventory(*scan, *read_labels)?)
        }
        LibraryStep::Transfer { from, to } => done(&appliance.library_transfer(from, to)?),
    })
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

/// Keys for reading: those that came with the task, then those that the daemon keeps.
fn identities(context: &Context<'_>, own_keys: bool) -> Result<Vec<Identity>, Failure> {
    if own_keys && context.keys.is_empty() {
        return Err(Failure::Text(KEYS_LOST.into()));
    }
    let kept = (context.shared.identities)()
        .map_err(|error| Failure::Text(format!("the keys cannot be opened: {error}")))?;
    Ok(context.keys.iter().cloned().chain(kept).collect())
}

fn recipient(text: &String) -> Result<Recipient, Failure> {
    text.parse()
        .map_err(|error: AgeError| Failure::Text(format!("recipient {text}: {}", super::chain(&error))))
}

/// What a job, or a selection, asks the engine for.
fn backup_request(catalog: &Catalog, work: &BackupWork) -> Result<BackupRequest, Failure> {
    let selection = match (work.job, &work.selection) {
        (Some(job), _) => selection_of_job(catalog, JobId(job))?,
        (None, Some(selection)) => selection.clone(),
        (None, None) => return Err(Failure::Text("nothing says what to back up".into())),
    };
    let usual = BackupRequest::default();
    Ok(BackupRequest {
        job: selection.name,
        paths: selection.paths,
        exclude: selection.exclude,
        one_file_system: selection.one_file_system,
        compression: match selection.compression.as_str() {
            "zstd" if selection.level != 0 => Compression::Zstd(selection.level),
            "zstd" => Compression::Zstd(ZSTD_LEVEL),
            _ => Compression::None,
        },
        recipients: selection.recipients.iter().map(recipient).collect::<Result<_, _>>()?,
        checkpoint_bytes: match selection.checkpoint_bytes {
            0 => usual.checkpoint_bytes,
            bytes => bytes,
        },
        checkpoint_time: match selection.checkpoint_seconds {
            0 => usual.checkpoint_time,
            seconds => Duration::from_secs(seconds),
        },
        buffer_bytes: match selection.buffer_bytes {
            0 => usual.buffer_bytes,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        },
        hardware_encryption: selection.hardware_encryption,
        volume: work.volume.clone(),
        pool: selection.pool,
        auto_label: selection.auto_label,
        kind: kind(catalog, work)?,
        ..usual
    })
}

/// What was asked for this run, else what the job is.
fn kind(catalog: &Catalog, work: &BackupWork) -> Result<SetKind, Failure> {
    let name = match (&work.backup_type, work.job) {
        (Some(name), _) => name.clone(),
        (None, Some(job)) => catalog.job(JobId(job))?.backup_type.as_str().to_owned(),
        (None, None) => return Ok(SetKind::Full),
    };
    SetKind::from_name(&name)
        .ok_or_else(|| Failure::Text(format!("{name:?}: a backup is full, incremental or differential")))
}

/// A job as its rows are now.
fn selection_of_job(catalog: &Catalog, id: JobId) -> Result<SelectionWork, Failure> {
    let job = catalog.job(id)?;
    let source = catalog.source(job.source)?;
    check_source(source.kind, Path::new(&source.path))
        .map_err(|fault| Failure::Text(super::chain(&fault)))?;
    let key = job.encryption_key.map(|key| catalog.key(key)).transpose()?;
    Ok(SelectionWork {
        name: job.name,
        paths: vec![PathBuf::from(&source.path)],
        exclude: walk_patterns(&source),
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
    // Looked at again: a link may lead elsewhere by now.
    if let Some(path) = request.paths.iter().find(|path| context.appliance.holds(path)) {
        return Err(Failure::Text(SourceFault::Own { path: path.clone() }.to_string()));
    }
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
            keep_setid: work.keep_setid.unwrap_or(work.special),
            owners: match work.owners {
                OwnersRule::Auto => Owners::Auto,
                OwnersRule::Always => Owners::Always,
                OwnersRule::Never => Owners::Never,
            },
            ..ExtractOptions::default()
        },
        identities: identities(context, work.own_keys)?,
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
        identities: identities(context, work.own_keys)?,
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
    let barcode = match &work.barcode {
        None if work.first_unlabelled => context.appliance.first_unlabelled()?,
        named => named.clone(),
    };
    let request = LabelRequest {
        volume: work.volume.map(VolumeId),
        barcode,
        label: work.label.clone(),
        pool: work.pool.clone(),
        record_size: work.record_size,
        overwrite: work.overwrite,
        destroy_sets: work.destroy_sets,
    };
    Ok(done(&context.appliance.label(&request)?))
}

/// Labels one cartridge after the other. Names that are on volumes already were done by an earlier run.
fn batch_label(context: &mut Context<'_>, work: &BatchLabelWork) -> Result<Done, Failure> {
    let known = context.shared.catalog().volumes()?;
    let is_labelled = |fits: &dyn Fn(&Volume) -> bool| known.iter().any(|v| fits(v) && v.is_labelled());
    let names = work.labels.iter().filter(|name| !is_labelled(&|volume| volume.label == **name));
    let entered = work.volumes.iter().filter(|id| !is_labelled(&|volume| volume.id.0 == **id));
    let tapes: Vec<BatchTape> = names
        .map(|name| BatchTape::Named(name.clone()))
        .chain(entered.map(|id| BatchTape::Entered(VolumeId(*id))))
        .collect();
    let total = (work.labels.len() + work.volumes.len()) as u64;
    context.progress.total(total, 0);
    context.progress.done(total - tapes.len() as u64, 0);
    let counted = std::cell::Cell::new(0);
    let progress = context.progress;
    let told = |status: &BatchLabelStatus| {
        let over = status.completed + status.failed;
        progress.done((over - counted.replace(over)) as u64, 0);
        progress.current(status.current.as_bytes());
    };
    let request = BatchLabelRequest { tapes, pool: work.pool.clone() };
    let status = context.appliance.batch_label(&request, &told, &context.control.cancel)?;
    if status.failed > 0 && status.completed == 0 {
        return Err(Failure::Faults(report(&status), status.errors.join("; ")));
    }
    let warning = (status.failed > 0)
        .then(|| format!("{} could not be labelled: {}", status.failed, status.errors.join("; ")));
    Ok(Done { cut_short: status.cancelled, warning, ..done(&status) })
}

fn database_backup(context: &mut Context<'_>, copy: i64, recipients: &[String]) -> Result<Done, Failure> {
    let recipients = recipients.iter().map(recipient).collect::<Result<_, _>>()?;
    let (progress, cancel) = (context.progress, &context.control.cancel);
    let copy = context.appliance.back_up_catalog(DatabaseCopyId(copy), recipients, progress, cancel)?;
    Ok(done(
        &json!({ "id": copy.id.0, "tape_label": copy.label, "size": copy.size, "checksum": copy.checksum }),
    ))
}

fn database_restore(context: &mut Context<'_>, copy: i64, target: &Path) -> Result<Done, Failure> {
    let identities = identities(context, false)?;
    let (progress, cancel) = (context.progress, &context.control.cancel);
    let path = context.appliance.restore_database_copy(
        DatabaseCopyId(copy),
        target,
        identities,
        progress,
        cancel,
    )?;
    Ok(done(&json!({ "path": path })))
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
