//! Backing up a selection of the file system.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::allocate::Allocator;
use super::hardware_key::{self, NewKey};
use super::{Appliance, EngineError, increment, index_file};
use crate::catalog::{
    Archive, BackupSet, Checkpoint, Fragment, HealthEvent, MemberWriter, NewPart, NewSet, SetId, SetKind,
    SetState, Volume, VolumeStatus,
};
use crate::drive::Drive;
use crate::format::age::Recipient;
use crate::format::v1::FrameTable;
use crate::format::v1::index::PartState;
use crate::pipeline::{
    self, ArchiveWritten, Ending, Index, IndexRow, PartStart, Phase, PipelineError, Progress, Reporting,
    StoreOptions, Volumes,
};
use crate::sources::{FileTree, Problem, Selection};

/// Whether archives are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// Independent zstd frames at this level.
    Zstd(i32),
}

impl Compression {
    /// As sets are marked with it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Zstd(_) => "zstd",
        }
    }
}

/// What to back up, and how.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// Name of the job the set belongs to.
    pub job: String,
    /// Files and directories.
    pub paths: Vec<PathBuf>,
    /// Wildcards to leave out.
    pub exclude: Vec<String>,
    /// Do not leave the file systems of `paths`.
    pub one_file_system: bool,
    /// Compression.
    pub compression: Compression,
    /// age recipients.
    pub recipients: Vec<Recipient>,
    /// The drive encrypts (AES-256-GCM), with keys that are wrapped for the recipients; only indexes are age files then.
    pub hardware_encryption: bool,
    /// Bytes of records that may wait for the drive.
    pub buffer_bytes: usize,
    /// Bytes between checkpoints.
    pub checkpoint_bytes: u64,
    /// Time between checkpoints.
    pub checkpoint_time: Duration,
    /// Only this volume may be written (label or barcode).
    pub volume: Option<String>,
    /// Only volumes of this pool.
    pub pool: Option<String>,
    /// Label blank cartridges when no volume has room.
    pub auto_label: bool,
    /// Identity of the new set (RFC 9562, lower case), for a caller that must name it before it begins; made up when
    /// not given. [`Progress`] tells the number of the set as soon as it has one.
    pub set_uuid: Option<String>,
    /// All of the tree, or what changed. Without a set to build upon it becomes a full one, and the report says so. A set
    /// that is resumed stays what it is.
    pub kind: SetKind,
    /// Go on with this interrupted set (number, identity or a beginning of that). Without `paths` everything is as it was;
    /// what is given must be as it was.
    pub resume: Option<String>,
}

impl Default for BackupRequest {
    fn default() -> Self {
        BackupRequest {
            job: "backup".into(),
            paths: Vec::new(),
            exclude: Vec::new(),
            one_file_system: false,
            compression: Compression::None,
            recipients: Vec::new(),
            hardware_encryption: false,
            buffer_bytes: 256 << 20,
            checkpoint_bytes: 16 << 30,
            checkpoint_time: Duration::from_secs(300),
            volume: None,
            pool: None,
            auto_label: false,
            set_uuid: None,
            kind: SetKind::Full,
            resume: None,
        }
    }
}

/// What was backed up.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct BackupReport {
    /// Identity of the set.
    pub set: String,
    /// Its number in the catalog.
    pub set_id: i64,
    /// Members, directories included.
    pub members: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// Bytes on tape, indexes excepted.
    pub stored_bytes: u64,
    /// Labels of the volumes written, in order.
    pub volumes: Vec<String>,
    /// Seconds from the first byte to the last index.
    pub seconds: f64,
    /// One line for each object not stored, or not exactly (the first thousand).
    pub problems: Vec<String>,
    /// How many there were.
    pub problem_count: u64,
    /// How many of them are not stored at all.
    pub skipped: u64,
    /// What the drive complains of since this task, and what is odd about a cartridge.
    pub alerts: Vec<String>,
    /// Whether the task was cancelled; what is in the set is stored all the same.
    pub cancelled: bool,
    /// Whether the volumes are files and no tape.
    pub is_virtual: bool,
    /// Members that earlier runs of the set had stored, where it was continued.
    pub resumed_behind: Option<u64>,
    /// What it became.
    pub kind: SetKind,
    /// What was asked for was an increment, and there was nothing to build it upon.
    pub no_base: bool,
    /// Identity of the set that it is built upon.
    pub base: Option<String>,
    /// Files and the like that are unchanged since, and were not stored again.
    pub unchanged: u64,
}

/// Problems told one by one; the rest is counted.
const PROBLEMS_TOLD: usize = 1000;
/// Share of the room on a volume that the buffer may hold: what waits there still has to fit.
const BUFFER_SHARE: u64 = 8;
/// Where the drive does not tell the room, only its early warning does, and little fits behind it.
const BUFFER_IN_THE_DARK: usize = 8 << 20;

impl Appliance {
    /// Backs up.
    ///
    /// # Errors
    /// What prevents the task, or ends it early; what was committed by then stays stored.
    pub fn backup(
        &mut self,
        request: &BackupRequest,
        progress: &Progress,
        cancel: &AtomicBool,
    ) -> Result<BackupReport, EngineError> {
        self.claim()?;
        let resumed = request.resume.as_deref().map(|name| self.resumable(name, request)).transpose()?;
        let request = resumed.as_ref().map_or(request, |resumed| &resumed.request);
        let hardware = match &resumed {
            Some(resumed) => {
                request.hardware_encryption || hardware_key::is_used(self.catalog(), &resumed.set)?
            }
            None => request.hardware_encryption,
        };
        if hardware && request.recipients.is_empty() {
            return Err(EngineError::Request(
                "--hardware-encryption needs somebody who can read it: name a recipient with --encrypt-to"
                    .into(),
            ));
        }
        let roots = match &resumed {
            Some(resumed) => resumed.roots.clone(),
            None => absolute(&request.paths)?,
        };
        let stored_roots: Vec<Vec<u8>> =
            roots.iter().map(|root| root.clone().into_os_string().into_vec()).collect();
        let base = match &resumed {
            Some(resumed) => self.base_of(&resumed.set)?,
            None => increment::base(self.catalog(), request.kind, (&request.job, &host(), &stored_roots))?,
        };
        let selection = Selection {
            roots,
            exclude: request.exclude.clone(),
            one_file_system: request.one_file_system,
            never: self.own_directories(),
            after: resumed.as_ref().and_then(|resumed| resumed.after.clone()),
            baseline: base.as_ref().map(|base| increment::baseline(self.catalog(), base)).transpose()?,
        };
        let mut held = None;
        if let Some(resumed) = &resumed {
            held =
                Some(self.sets_in_use().hold(resumed.set.id).ok_or_else(|| EngineError::NotResumable {
                    set: resumed.set.uuid.clone(),
                    reason: "it is being written by another task".into(),
                })?);
        }
        progress.phase(Phase::Mounting);
        let mut station = self.task_station()?.ending_with(HealthEvent::Backup);
        let is_virtual = station.is_virtual();
        let (drive, loader) = station.split()?;
        // Some drives do not answer without a cartridge.
        if hardware && drive.is_loaded()? {
            hardware_key::require(drive)?;
        }
        let mut allocator = Allocator::new(
            self.catalog().clone(),
            loader,
            request,
            is_virtual,
            self.volumes_in_use().clone(),
        );
        let (mut volume, mut remaining) = allocator.next(drive, progress)?;
        if hardware {
            hardware_key::require(drive)?;
        }
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let source = FileTree::start(&selection, cores)?;
        let set_row = match &resumed {
            Some(resumed) => self.catalog().reopen_set(resumed.set.id)?,
            None => self.new_set(request, stored_roots, base.as_ref())?,
        };
        let (set, set_uuid) = (set_row.id, set_row.uuid.clone());
        let _held = held.or_else(|| self.sets_in_use().hold(set));
        progress.set(set.0);
        let number = self.catalog().parts_of(set)?.last().map_or(0, |last| last.number) + 1;
        let last_archive = self.catalog().archives_of(set)?.iter().map(|a| a.number).max().unwrap_or(0);
        self.catalog().begin_part(&NewPart {
            set,
            number,
            volume: volume.id,
            first_ordinal: set_row.committed,
        })?;
        if hardware {
            let recipients = &request.recipients;
            let new = NewKey { set, part: number, volume: volume.id, recipients };
            let keys = match hardware_key::begin(self.catalog(), drive, &new) {
                Ok(keys) => keys,
                Err(error) => {
                    let _ = self.catalog().interrupt_set(set, super::now());
                    return Err(error);
                }
            };
            volume = self.catalog().volume(volume.id)?;
            remaining = remaining.map(|room| room.saturating_sub(keys));
        }
        let most = remaining
            .map_or(BUFFER_IN_THE_DARK, |room| usize::try_from(room / BUFFER_SHARE).unwrap_or(usize::MAX));
        let buffer_bytes = request.buffer_bytes.min(most);
        let options = StoreOptions {
            set: set_uuid.clone(),
            record_size: volume.record_size as usize,
            buffer_bytes: buffer_bytes.max(2 * volume.record_size as usize),
            streaming: !is_virtual,
            compression: match request.compression {
                Compression::None => None,
                Compression::Zstd(level) => Some(level),
            },
            recipients: if hardware { Vec::new() } else { request.recipients.clone() },
            checkpoint_bytes: request.checkpoint_bytes,
            checkpoint_time: request.checkpoint_time,
            workers: cores,
        };
        let problems = Problems { before: set_row.warnings, ..Problems::default() };
        let reporting = Reporting { progress, cancel, problems: &|problem| problems.note(&problem) };
        let start = PartStart { number, first_archive: last_archive + 1, remaining };
        let mut writer = self.catalog().writer(set, set_row.committed)?;
        // Where an earlier run kept nothing, the rest alone would be wrong.
        if set_row.seen > 0 || set_row.committed == 0 {
            writer.keep_seen()?;
        }
        let shared = Mutex::new(Current { volume, last_archive, given_up: false });
        let mut index = CatalogIndex { writer, set, pieces: Vec::new(), shared: &shared };
        let mut parts = Parts {
            allocator,
            set,
            part: number,
            labels: Vec::new(),
            shared: &shared,
            progress,
            problems: &problems,
            written: 0,
            hardware: hardware.then(|| request.recipients.clone()),
        };
        let started = Instant::now();
        progress.phase(Phase::Transferring);
        let stored = pipeline::store(drive, &source, start, &options, &mut parts, &mut index, &reporting);
        drop(source);
        let Parts { labels, written, .. } = parts;
        let alerts = station.finish();
        let mut stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                // The fault is what counts; where the catalog fails too, the next task clears what is left.
                let _ = self.catalog().interrupt_set(set, super::now());
                return Err(error);
            }
        };
        stored.cancelled |= lock(&shared).given_up;
        let state = if stored.cancelled { SetState::Interrupted } else { SetState::Complete };
        self.catalog().finish_set(set, state, written)?;
        let set_row = self.catalog().set(set)?;
        progress.phase(Phase::Done);
        let (told, problem_count, skipped) = problems.into_report();
        Ok(BackupReport {
            set: set_uuid,
            set_id: set.0,
            members: set_row.members,
            bytes: set_row.bytes,
            stored_bytes: progress.snapshot().tape_bytes,
            volumes: labels,
            seconds: started.elapsed().as_secs_f64(),
            problems: told,
            problem_count,
            skipped,
            alerts,
            cancelled: stored.cancelled,
            is_virtual,
            no_base: resumed.is_none() && set_row.kind != request.kind,
            resumed_behind: resumed.map(|resumed| resumed.set.committed),
            kind: set_row.kind,
            base: base.map(|base| base.uuid),
            unchanged: stored.unchanged,
        })
    }

    /// A set that begins.
    fn new_set(
        &self,
        request: &BackupRequest,
        roots: Vec<Vec<u8>>,
        base: Option<&BackupSet>,
    ) -> Result<BackupSet, EngineError> {
        let set = self.catalog().begin_set(&NewSet {
            uuid: request.set_uuid.clone().unwrap_or_else(super::new_uuid),
            job: request.job.clone(),
            host: host(),
            roots,
            compression: request.compression.name().into(),
            recipients: request.recipients.iter().map(ToString::to_string).collect(),
            started: super::now(),
            exclude: request.exclude.clone(),
            one_file_system: request.one_file_system,
            kind: base.map_or(SetKind::Full, |_| request.kind),
            bases: base
                .map(|base| std::iter::once(&base.uuid).chain(&base.bases).cloned().collect())
                .unwrap_or_default(),
        })?;
        Ok(self.catalog().set(set)?)
    }

    /// What a set that goes on was built upon.
    fn base_of(&self, set: &BackupSet) -> Result<Option<BackupSet>, EngineError> {
        let Some(uuid) = set.bases.first() else { return Ok(None) };
        let base = self.catalog().set_by_uuid(uuid)?;
        base.map(Some).ok_or_else(|| EngineError::NotResumable {
            set: set.uuid.clone(),
            reason: format!("set {uuid}, which it is built upon, is not in the catalog"),
        })
    }
}

/// Name of this machine.
fn host() -> String {
    nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Absolute roots, sorted, none below another: each object is met once.
pub(super) fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, EngineError> {
    if paths.is_empty() {
        return Err(EngineError::Request("nothing to back up: name at least one file or directory".into()));
    }
    let mut roots = Vec::new();
    for path in paths {
        let error = |source| EngineError::File { path: path.clone(), what: "cannot be backed up", source };
        // The last component stays as it is: a symbolic link named as a root is stored as a link.
        let full = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                parent.canonicalize().map_err(error)?.join(name)
            }
            _ => path.canonicalize().map_err(error)?,
        };
        full.symlink_metadata().map_err(error)?;
        roots.push(full);
    }
    roots.sort();
    roots.dedup();
    let mut kept: Vec<PathBuf> = Vec::new();
    for root in roots {
        if !kept.iter().any(|above| root.starts_with(above)) {
            kept.push(root);
        }
    }
    Ok(kept)
}

/// The volume in work, shared by the thread that writes and the one that commits.
struct Current {
    volume: Volume,
    last_archive: u32,
    /// A member was given up because the task was cancelled while its hash was taken.
    given_up: bool,
}

fn lock(shared: &Mutex<Current>) -> MutexGuard<'_, Current> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Feeds the catalog.
struct CatalogIndex<'a> {
    writer: MemberWriter,
    set: SetId,
    /// Pieces in the open archive of a member that ends on a later volume.
    pieces: Vec<Fragment>,
    shared: &'a Mutex<Current>,
}

impl Index<EngineError> for CatalogIndex<'_> {
    fn rows(&mut self, rows: Vec<IndexRow>) -> Result<(), EngineError> {
        for row in rows {
            // Behind a member that was given up nothing counts: the set can go on with that one.
            if lock(self.shared).given_up {
                return Ok(());
            }
            match row {
                IndexRow::Enter(name) => self.writer.enter(&name)?,
                IndexRow::Leave => self.writer.leave()?,
                IndexRow::Seen(seen) => self.writer.seen(seen)?,
                IndexRow::Member(member) => self.writer.push(&member)?,
                IndexRow::Streamed { mut member, sha256 } => match sha256.recv() {
                    Ok(hash) => {
                        member.sha256 = hash;
                        self.writer.push(&member)?;
                    }
                    Err(_) => lock(self.shared).given_up = true,
                },
                IndexRow::Piece(piece) => self.pieces.push(Fragment {
                    set: self.set,
                    ordinal: self.writer.next_ordinal(),
                    archive: piece.archive,
                    stream_offset: piece.stream_offset,
                    data_offset: piece.data_offset,
                    data_length: piece.data_length,
                }),
            }
        }
        Ok(())
    }

    fn commit(&mut self, written: ArchiveWritten) -> Result<(), EngineError> {
        let archive = Archive {
            number: written.archive,
            part: written.part,
            file: written.file.0,
            block: written.block.0,
            records: written.records,
            stream_bytes: written.stream_bytes,
            stored_bytes: written.stored_bytes,
            header_bytes: u64::from(written.header_bytes),
            frames: written.frames.iter().flat_map(FrameTable::frames).copied().collect(),
        };
        let mut current = lock(self.shared);
        current.volume.used += archive.stored_bytes;
        current.last_archive = written.archive;
        self.writer.commit(Checkpoint {
            archive: &archive,
            fragments: &self.pieces,
            end_block: written.end_block.0,
            end_file: written.end_file.0,
            change_reference: written.change_reference,
            used: current.volume.used,
            written: super::now(),
        })?;
        self.pieces.clear();
        Ok(())
    }
}

/// Ends parts and begins others, on the thread that owns the drive.
struct Parts<'a> {
    allocator: Allocator<'a>,
    set: SetId,
    part: u32,
    labels: Vec<String>,
    shared: &'a Mutex<Current>,
    progress: &'a Progress,
    problems: &'a Problems,
    /// Time of the last index written.
    written: i64,
    /// Who can read the keys of parts that the drive encrypts.
    hardware: Option<Vec<Recipient>>,
}

impl Volumes<EngineError> for Parts<'_> {
    fn finish_part(&mut self, drive: &mut Drive, ending: Ending) -> Result<(), EngineError> {
        self.progress.phase(Phase::WritingIndex);
        let state = match ending {
            Ending::Complete if lock(self.shared).given_up => PartState::Interrupted,
            Ending::Complete => PartState::Complete,
            Ending::Continued => PartState::Continued,
            Ending::Interrupted => PartState::Interrupted,
        };
        // The index tells for whom the set is encrypted: it is no secret to the drive, only to age.
        drive.clear_key()?;
        let label = lock(self.shared).volume.label.clone();
        let part =
            self.allocator.catalog.parts_of(self.set)?.into_iter().find(|part| part.number == self.part);
        let part = part.ok_or(PipelineError::Stopped)?;
        self.allocator.catalog.set_warnings(self.set, self.problems.count())?;
        self.written = index_file::write(&self.allocator.catalog, drive, &part, state)?;
        self.labels.push(label);
        Ok(())
    }

    fn next_part(&mut self, drive: &mut Drive) -> Result<PartStart, EngineError> {
        self.progress.phase(Phase::Mounting);
        let catalog = self.allocator.catalog.clone();
        let full = lock(self.shared).volume.id;
        catalog.set_volume_status(full, VolumeStatus::Full)?;
        let (mut volume, mut remaining) = self.allocator.next(drive, self.progress)?;
        self.part += 1;
        let first_ordinal = catalog.set(self.set)?.members;
        catalog.begin_part(&NewPart {
            set: self.set,
            number: self.part,
            volume: volume.id,
            first_ordinal,
        })?;
        if let Some(recipients) = &self.hardware {
            let new = NewKey { set: self.set, part: self.part, volume: volume.id, recipients };
            let keys = hardware_key::begin(&catalog, drive, &new)?;
            volume = catalog.volume(volume.id)?;
            remaining = remaining.map(|room| room.saturating_sub(keys));
        }
        let mut current = lock(self.shared);
        current.volume = volume;
        let first_archive = current.last_archive + 1;
        self.progress.phase(Phase::Transferring);
        Ok(PartStart { number: self.part, first_archive, remaining })
    }
}

/// What went wrong with single files.
#[derive(Default)]
struct Problems {
    noted: Mutex<(Vec<String>, u64, u64)>,
    /// Warnings of earlier runs of the set.
    before: u64,
}

impl Problems {
    fn note(&self, problem: &Problem) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.0.len() < PROBLEMS_TOLD {
            noted.0.push(problem.to_string());
        }
        noted.1 += 1;
        noted.2 += u64::from(!problem.is_stored());
    }

    /// All warnings of the set.
    fn count(&self) -> u64 {
        self.before + self.noted.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    fn into_report(self) -> (Vec<String>, u64, u64) {
        self.noted.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
