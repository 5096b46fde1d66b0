//! What commands ask the engine for, as work of the daemon.

use std::path::{Path, PathBuf};

use crate::cli::error::CliError;
use crate::engine::{BackupRequest, Compression, LabelRequest, RestoreRequest, VerifyRequest};
use crate::sources::extract::{Overwrite, Owners};
use crate::tasks::{
    BackupWork, LabelWork, OverwriteRule, OwnersRule, RestoreWork, SelectionWork, VerifyWork, Work,
};

/// The daemon works in another directory.
fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path).map_err(|source| CliError::File {
        path: path.into(),
        what: "cannot be made an absolute path",
        source,
    })
}

pub(super) fn backup(request: BackupRequest, drive: Option<i64>) -> Result<Work, CliError> {
    let (compression, level) = match request.compression {
        Compression::None => ("none", 0),
        Compression::Zstd(level) => ("zstd", level),
    };
    let selection = SelectionWork {
        name: request.job,
        paths: request.paths.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?,
        exclude: request.exclude,
        one_file_system: request.one_file_system,
        compression: compression.into(),
        level,
        recipients: request.recipients.iter().map(ToString::to_string).collect(),
        hardware_encryption: request.hardware_encryption,
        pool: request.pool,
        auto_label: request.auto_label,
        checkpoint_bytes: request.checkpoint_bytes,
        checkpoint_seconds: request.checkpoint_time.as_secs(),
        buffer_bytes: request.buffer_bytes as u64,
    };
    Ok(Work::Backup(BackupWork {
        selection: Some(selection),
        backup_type: Some(request.kind.as_str().into()),
        volume: request.volume,
        drive,
        resume: request.resume,
        ..BackupWork::default()
    }))
}

pub(super) fn restore(request: &RestoreRequest, drive: Option<i64>) -> Result<Work, CliError> {
    let options = &request.options;
    Ok(Work::Restore(RestoreWork {
        set: request.set.clone(),
        patterns: request.patterns.clone(),
        target: absolute(&request.target)?,
        overwrite: match options.overwrite {
            Overwrite::Never => OverwriteRule::Never,
            Overwrite::Older => OverwriteRule::Older,
            Overwrite::Always => OverwriteRule::Always,
            Overwrite::Rename => OverwriteRule::Rename,
        },
        verify: true,
        special: options.special,
        keep_setid: Some(options.keep_setid),
        owners: match options.owners {
            Owners::Auto => OwnersRule::Auto,
            Owners::Always => OwnersRule::Always,
            Owners::Never => OwnersRule::Never,
        },
        drive,
        own_keys: !request.identities.is_empty(),
    }))
}

pub(super) fn verify(request: &VerifyRequest, drive: Option<i64>) -> Work {
    Work::Verify(VerifyWork {
        set: request.set.clone(),
        volume: request.volume.clone(),
        drive,
        own_keys: !request.identities.is_empty(),
    })
}

pub(super) fn label(request: LabelRequest, first_unlabelled: bool, drive: Option<i64>) -> Work {
    Work::LabelTape(LabelWork {
        drive,
        volume: None,
        barcode: request.barcode,
        label: request.label,
        pool: request.pool,
        overwrite: request.overwrite,
        destroy_sets: request.destroy_sets,
        record_size: request.record_size,
        first_unlabelled,
    })
}
