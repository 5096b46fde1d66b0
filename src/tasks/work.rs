//! What a task does: values that survive a restart. What rows of the catalog say is read again when the task begins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Back up a job's source, or a selection.
    Backup(BackupWork),
    /// Put files back.
    Restore(RestoreWork),
    /// Read and compare.
    Verify(VerifyWork),
    /// Make a cartridge a volume.
    LabelTape(LabelWork),
    /// Make several cartridges volumes, one after the other.
    BatchLabel(BatchLabelWork),
    /// Give up what a volume holds and label it again under its name.
    FormatTape(FormatWork),
    /// Look what lies where in a library.
    Inventory {
        /// Number of the library.
        library: i64,
    },
    /// Put a cartridge into a drive.
    Load {
        /// Number of the drive.
        drive: i64,
        /// Barcode, or address of a slot.
        from: String,
    },
    /// Take the cartridge out of a drive.
    Unload {
        /// Number of the drive.
        drive: i64,
        /// Address of the slot it goes to; where it came from when not given.
        to: Option<u16>,
    },
    /// Move a cartridge from slot to slot.
    Transfer {
        /// Number of the library.
        library: i64,
        /// Barcode, or address of a slot.
        from: String,
        /// Address of a slot.
        to: String,
    },
    /// Wind a tape to its end and back.
    Retension {
        /// Number of the drive.
        drive: i64,
    },
    /// Clean a drive with a cleaning cartridge.
    Clean {
        /// Number of the drive.
        drive: i64,
    },
    /// Write a copy of the catalog to tape.
    DatabaseBackup {
        /// Number of the copy's row.
        copy: i64,
        /// age recipients; everybody can read it when empty.
        recipients: Vec<String>,
        /// Number of the drive; any when not given.
        drive: Option<i64>,
    },
    /// Put a copy of the catalog into a directory.
    DatabaseRestore {
        /// Number of the copy's row.
        copy: i64,
        /// The directory.
        #[serde(with = "super::path_text")]
        target: PathBuf,
        /// Number of the drive; any when not given.
        drive: Option<i64>,
    },
    /// Enter into the catalog what cartridges hold.
    Rebuild {
        /// Number of the drive; any when not given.
        drive: Option<i64>,
        /// Barcodes or labels; all in reach when empty.
        volumes: Vec<String>,
        /// Keys came with it, which only memory holds.
        #[serde(default)]
        own_keys: bool,
    },
    /// Have a volume in a drive and read its label.
    ReadLabel {
        /// Number of the volume.
        volume: i64,
    },
    /// Look for copies of a catalog on the tape in a drive.
    DatabaseScan {
        /// Number of the drive.
        drive: i64,
    },
    /// A look at the library, or moves in it, through the drive that a command would use.
    Library(LibraryWork),
    /// A look at a drive.
    DriveStatus {
        /// Number of the drive; any when not given.
        drive: Option<i64>,
    },
    /// A look at a drive's health, kept in its history.
    DriveHealth {
        /// Number of the drive; any when not given.
        drive: Option<i64>,
    },
}

/// What a command does with a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LibraryWork {
    /// Only this drive.
    #[serde(default)]
    pub drive: Option<i64>,
    /// What to do.
    #[serde(flatten)]
    pub step: LibraryStep,
}

/// One thing that a command does with a library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum LibraryStep {
    /// Say what lies where.
    Status,
    /// Put a cartridge into a drive.
    Load {
        /// Barcode, or address of a slot.
        cartridge: String,
        /// Number of the drive in the library, from 0; the one in use when not given.
        into: Option<u32>,
    },
    /// Take the cartridge out of a drive.
    Unload {
        /// Number of the drive in the library, from 0; the one in use when not given.
        from: Option<u32>,
    },
    /// Take cartridges in.
    Import {
        /// Barcodes or addresses; all when empty.
        cartridges: Vec<String>,
    },
    /// Put cartridges where they can be taken out.
    Export {
        /// Barcodes or addresses.
        cartridges: Vec<String>,
    },
    /// Ask what lies where.
    Inventory {
        /// The library looks at every slot.
        scan: bool,
        /// Load what the catalog does not know.
        read_labels: bool,
    },
    /// Move a cartridge.
    Transfer {
        /// Barcode, or address of an element.
        from: String,
        /// Address of an element.
        to: String,
    },
}

/// A backup.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupWork {
    /// Number of the job, of which all else is read; or a selection.
    pub job: Option<i64>,
    /// `full`, `incremental`, `differential`: instead of what the job says.
    pub backup_type: Option<String>,
    /// What to back up, without a job.
    pub selection: Option<SelectionWork>,
    /// Only this volume (label or barcode).
    pub volume: Option<String>,
    /// Only this drive.
    pub drive: Option<i64>,
    /// Go on with this interrupted set (number, identity or a beginning of that): `set_uuid` becomes its identity.
    pub resume: Option<String>,
    /// Identity of the set: made up when the task is submitted, so that a crash cannot lead to two sets.
    pub set_uuid: String,
}

/// What to back up, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectionWork {
    /// Name of the job that the set belongs to.
    pub name: String,
    /// Files and directories, absolute.
    #[serde(with = "super::path_text::list")]
    pub paths: Vec<PathBuf>,
    /// Wildcards of what to leave out; with a `!` before it, of what alone is taken.
    pub exclude: Vec<String>,
    /// Do not leave the file systems of `paths`.
    pub one_file_system: bool,
    /// `none` or `zstd`.
    pub compression: String,
    /// Level of `zstd`; its own usual one when 0.
    pub level: i32,
    /// age recipients.
    pub recipients: Vec<String>,
    /// The drive encrypts, with keys wrapped for the recipients.
    pub hardware_encryption: bool,
    /// Only volumes of this pool.
    pub pool: Option<String>,
    /// Label blank cartridges when no volume has room.
    pub auto_label: bool,
    /// Bytes between checkpoints; as the engine does when 0.
    pub checkpoint_bytes: u64,
    /// Seconds between checkpoints; as the engine does when 0.
    pub checkpoint_seconds: u64,
    /// Bytes of records that may wait for the drive; as the engine does when 0.
    pub buffer_bytes: u64,
}

/// A restore.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreWork {
    /// The set: number, identity or `latest`; the newest of everything when not given.
    pub set: Option<String>,
    /// Absolute paths or wildcards; everything when empty.
    pub patterns: Vec<String>,
    /// Directory to restore beneath, absolute.
    #[serde(with = "super::path_text")]
    pub target: PathBuf,
    /// What to do with names that are taken.
    pub overwrite: OverwriteRule,
    /// Verify what was restored against the catalog (every member is checked by its hash before it gets its name).
    pub verify: bool,
    /// Keep set-user-id bits and make device nodes.
    pub special: bool,
    /// Keep set-user-id bits; as `special` when not given.
    pub keep_setid: Option<bool>,
    /// Whose the restored files are.
    pub owners: OwnersRule,
    /// Only this drive.
    pub drive: Option<i64>,
    /// Keys came with it, which only memory holds.
    pub own_keys: bool,
}

/// Whose restored files are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnersRule {
    /// Whose they were, where the process may.
    #[default]
    Auto,
    /// Whose they were; a refusal is a warning.
    Always,
    /// The daemon's.
    Never,
}

/// What a restore does with names that are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverwriteRule {
    /// They stay.
    #[default]
    Never,
    /// They are replaced when they are older.
    Older,
    /// They are replaced.
    Always,
    /// They stay, and what is restored gets another name.
    Rename,
}

/// A verification.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyWork {
    /// A set.
    pub set: Option<String>,
    /// A volume.
    pub volume: Option<String>,
    /// Only this drive.
    pub drive: Option<i64>,
    /// Keys came with it, which only memory holds.
    pub own_keys: bool,
}

/// What to label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LabelWork {
    /// Only this drive.
    pub drive: Option<i64>,
    /// Number of a volume that was entered and not labelled yet: its name and barcode count.
    pub volume: Option<i64>,
    /// Barcode of the cartridge; the one in the drive when not given.
    pub barcode: Option<String>,
    /// Name of the volume; the barcode when not given.
    pub label: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Destroy what a foreign or labelled cartridge holds.
    pub overwrite: bool,
    /// Destroy backup sets that the catalog knows on it.
    pub destroy_sets: bool,
    /// Bytes of a record; as the engine does when not given.
    pub record_size: Option<u32>,
    /// With no cartridge named and none in the drive: the first in the library that is no volume yet.
    pub first_unlabelled: bool,
}

/// Several cartridges to label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchLabelWork {
    /// The drive; any when not given.
    pub drive: Option<i64>,
    /// Names of new volumes, in order: on the blank cartridges of the library, or what a person inserts.
    pub labels: Vec<String>,
    /// Numbers of volumes that were entered and not labelled yet.
    pub volumes: Vec<i64>,
    /// Pool.
    pub pool: Option<String>,
}

/// A volume to begin anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FormatWork {
    /// Number of the volume; the cartridge in the drive when not given.
    pub volume: Option<i64>,
    /// Only this drive.
    pub drive: Option<i64>,
    /// Give up backup sets on it.
    pub destroy_sets: bool,
}

/// What becomes of a task that ran when its process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDeath {
    /// It is queued again: a backup goes on as the same set, what only reads begins anew.
    Again,
    /// It failed: nobody knows how far it got.
    Fail,
}

impl Work {
    /// `backup`, `restore`, ...: as in its JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Work::Backup(_) => "backup",
            Work::Restore(_) => "restore",
            Work::Verify(_) => "verify",
            Work::LabelTape(_) => "label_tape",
            Work::BatchLabel(_) => "batch_label",
            Work::FormatTape(_) => "format_tape",
            Work::Inventory { .. } => "inventory",
            Work::Load { .. } => "load",
            Work::Unload { .. } => "unload",
            Work::Transfer { .. } => "transfer",
            Work::Retension { .. } => "retension",
            Work::Clean { .. } => "clean",
            Work::DatabaseBackup { .. } => "database_backup",
            Work::DatabaseRestore { .. } => "database_restore",
            Work::Rebuild { .. } => "rebuild",
            Work::ReadLabel { .. } => "read_label",
            Work::DatabaseScan { .. } => "database_scan",
            Work::Library(_) => "library",
            Work::DriveStatus { .. } => "drive_status",
            Work::DriveHealth { .. } => "drive_health",
        }
    }

    /// The job it runs.
    pub fn job(&self) -> Option<i64> {
        match self {
            Work::Backup(backup) => backup.job,
            _ => None,
        }
    }

    /// A live task with the same text makes this one a duplicate; none where each stands for itself.
    pub fn dedupe(&self) -> Option<String> {
        match self {
            Work::Backup(BackupWork { job: Some(job), .. }) => Some(format!("job {job}")),
            Work::Inventory { library } => Some(format!("inventory {library}")),
            Work::BatchLabel(_) => Some("batch label".into()),
            Work::Rebuild { .. } => Some("rebuild".into()),
            _ => None,
        }
    }

    /// The drive that it must have.
    pub fn drive(&self) -> Option<i64> {
        match self {
            Work::Backup(work) => work.drive,
            Work::Restore(work) => work.drive,
            Work::Verify(work) => work.drive,
            Work::LabelTape(work) => work.drive,
            Work::BatchLabel(work) => work.drive,
            Work::FormatTape(work) => work.drive,
            Work::Load { drive, .. }
            | Work::Unload { drive, .. }
            | Work::Retension { drive }
            | Work::Clean { drive }
            | Work::DatabaseScan { drive } => Some(*drive),
            Work::DatabaseBackup { drive, .. }
            | Work::DatabaseRestore { drive, .. }
            | Work::Rebuild { drive, .. }
            | Work::DriveStatus { drive }
            | Work::DriveHealth { drive } => *drive,
            Work::Library(work) => work.drive,
            Work::Inventory { .. } | Work::Transfer { .. } | Work::ReadLabel { .. } => None,
        }
    }

    /// The library whose changer alone it needs; such a task needs no drive.
    pub fn changer_only(&self) -> Option<i64> {
        match self {
            Work::Inventory { library } | Work::Transfer { library, .. } => Some(*library),
            _ => None,
        }
    }

    /// Whether keys came with it, which only memory holds: they are gone after a restart.
    pub fn has_own_keys(&self) -> bool {
        match self {
            Work::Restore(work) => work.own_keys,
            Work::Verify(work) => work.own_keys,
            Work::Rebuild { own_keys, .. } => *own_keys,
            _ => false,
        }
    }

    /// Whether it can stop at a safe point and go on from there.
    pub fn can_pause(&self) -> bool {
        matches!(self, Work::Backup(_))
    }

    /// Whether it mounts what it needs by itself: then the cartridge goes back afterwards where several drives share a library.
    pub fn mounts(&self) -> bool {
        matches!(
            self,
            Work::Backup(_)
                | Work::Restore(_)
                | Work::Verify(_)
                | Work::BatchLabel(_)
                | Work::DatabaseBackup { .. }
                | Work::DatabaseRestore { .. }
                | Work::Rebuild { .. }
        )
    }

    /// What becomes of it when its process dies while it runs.
    pub fn after_death(&self) -> AfterDeath {
        match self {
            // A second run would leave second copies.
            Work::Restore(RestoreWork { overwrite: OverwriteRule::Rename, .. }) => AfterDeath::Fail,
            keyed if keyed.has_own_keys() => AfterDeath::Fail,
            Work::Backup(_)
            | Work::Restore(_)
            | Work::Verify(_)
            | Work::BatchLabel(_)
            | Work::Inventory { .. }
            | Work::DatabaseBackup { .. }
            | Work::DatabaseRestore { .. }
            | Work::Rebuild { .. }
            | Work::ReadLabel { .. }
            | Work::DatabaseScan { .. } => AfterDeath::Again,
            Work::LabelTape(_)
            | Work::FormatTape(_)
            | Work::Load { .. }
            | Work::Unload { .. }
            | Work::Transfer { .. }
            | Work::Retension { .. }
            | Work::Clean { .. }
            | Work::Library(_)
            | Work::DriveStatus { .. }
            | Work::DriveHealth { .. } => AfterDeath::Fail,
        }
    }

    /// For people; `job`: name of the job it runs.
    pub fn title(&self, job: Option<&str>) -> String {
        let named = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
        match self {
            Work::Backup(backup) => match (job, &backup.selection) {
                (Some(job), _) => format!("Backup job {job}"),
                (None, Some(selection)) => format!("Backup {}", selection.name),
                (None, None) => "Backup".into(),
            },
            Work::Restore(restore) => format!("Restore to {}", restore.target.display()),
            Work::Verify(VerifyWork { set: Some(set), .. }) => format!("Verify set {set}"),
            Work::Verify(VerifyWork { volume: Some(volume), .. }) => format!("Verify volume {volume}"),
            Work::Verify(_) => "Verify everything in reach".into(),
            Work::LabelTape(label) => {
                format!("Label {}", named(&label.label, &named(&label.barcode, "the cartridge in the drive")))
            }
            Work::BatchLabel(batch) => match (batch.labels.first(), batch.labels.last()) {
                (Some(first), Some(last)) => format!("Label {first} through {last}"),
                _ => "Label nothing".into(),
            },
            Work::FormatTape(format) => match format.volume {
                Some(volume) => format!("Format volume {volume}"),
                None => "Format the cartridge in the drive".into(),
            },
            Work::Inventory { library } => format!("Inventory of library {library}"),
            Work::Load { drive, from } => format!("Load {from} into drive {drive}"),
            Work::Unload { drive, .. } => format!("Unload drive {drive}"),
            Work::Transfer { from, to, .. } => format!("Move {from} to {to}"),
            Work::Retension { drive } => format!("Retension the tape in drive {drive}"),
            Work::Clean { drive } => format!("Clean drive {drive}"),
            Work::DatabaseBackup { copy, .. } => format!("Copy {copy} of the catalog to tape"),
            Work::DatabaseRestore { copy, .. } => format!("Restore copy {copy} of the catalog"),
            Work::Rebuild { .. } => "Rebuild the catalog".into(),
            Work::ReadLabel { volume } => format!("Read the label of volume {volume}"),
            Work::DatabaseScan { drive } => {
                format!("Look for copies of the catalog on the tape in drive {drive}")
            }
            Work::Library(work) => match &work.step {
                LibraryStep::Status => "Look at the library".into(),
                LibraryStep::Load { cartridge, .. } => format!("Load {cartridge}"),
                LibraryStep::Unload { .. } => "Unload a drive".into(),
                LibraryStep::Import { .. } => "Import cartridges".into(),
                LibraryStep::Export { cartridges } => format!("Export {}", cartridges.join(", ")),
                LibraryStep::Inventory { .. } => "Inventory of the library".into(),
                LibraryStep::Transfer { from, to } => format!("Move {from} to {to}"),
            },
            Work::DriveStatus { .. } => "Look at a drive".into(),
            Work::DriveHealth { .. } => "Look at a drive's health".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Work> {
        vec![
            Work::Backup(BackupWork { job: Some(3), ..BackupWork::default() }),
            Work::Restore(RestoreWork { overwrite: OverwriteRule::Older, ..RestoreWork::default() }),
            Work::Verify(VerifyWork::default()),
            Work::LabelTape(LabelWork::default()),
            Work::BatchLabel(BatchLabelWork::default()),
            Work::FormatTape(FormatWork::default()),
            Work::Inventory { library: 1 },
            Work::Load { drive: 1, from: "A".into() },
            Work::Unload { drive: 1, to: Some(4) },
            Work::Transfer { library: 1, from: "1".into(), to: "2".into() },
            Work::Retension { drive: 2 },
            Work::Clean { drive: 2 },
            Work::DatabaseBackup { copy: 1, recipients: Vec::new(), drive: None },
            Work::DatabaseRestore { copy: 1, target: "/tmp/x".into(), drive: Some(2) },
            Work::ReadLabel { volume: 1 },
            Work::DatabaseScan { drive: 1 },
            Work::Rebuild { drive: None, volumes: vec!["A".into()], own_keys: true },
            Work::Library(LibraryWork {
                drive: Some(1),
                step: LibraryStep::Load { cartridge: "A".into(), into: Some(1) },
            }),
            Work::Library(LibraryWork { drive: None, step: LibraryStep::Status }),
            Work::DriveStatus { drive: None },
            Work::DriveHealth { drive: Some(1) },
        ]
    }

    #[test]
    fn work_survives_as_json_under_its_kind() {
        for work in all() {
            let json = serde_json::to_value(&work).unwrap();
            assert_eq!(json["kind"], work.kind());
            assert_eq!(serde_json::from_value::<Work>(json).unwrap(), work);
            assert!(!work.title(None).is_empty());
        }
    }

    #[test]
    fn paths_survive_whatever_their_bytes() {
        use std::os::unix::ffi::OsStringExt;
        let odd = PathBuf::from(std::ffi::OsString::from_vec(b"/odd/\xff%41\n".to_vec()));
        let selection =
            SelectionWork { paths: vec!["/plain %25".into(), odd.clone()], ..SelectionWork::default() };
        let backup = Work::Backup(BackupWork { selection: Some(selection), ..BackupWork::default() });
        let restore = Work::Restore(RestoreWork { target: odd, ..RestoreWork::default() });
        for work in [backup, restore] {
            let text = serde_json::to_string(&work).unwrap();
            assert_eq!(serde_json::from_str::<Work>(&text).unwrap(), work, "{text}");
        }
    }

    #[test]
    fn one_run_of_a_job_at_a_time() {
        let run = |job, backup_type: &str| {
            Work::Backup(BackupWork { job, backup_type: Some(backup_type.into()), ..BackupWork::default() })
        };
        assert_eq!(run(Some(1), "full").dedupe(), run(Some(1), "incremental").dedupe());
        assert_ne!(run(Some(1), "full").dedupe(), run(Some(2), "full").dedupe());
        assert_eq!(run(None, "full").dedupe(), None);
    }
}
