//! Where the trial works: a state directory of its own, or the one named, and a folder for what it restores.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::text;

/// The directories; what is temporary vanishes with it.
#[derive(Debug)]
pub(super) struct Workshop {
    /// The state directory.
    pub(super) state: PathBuf,
    /// The folder for restored and exported files, in the state directory, which no backup enters.
    pub(super) folder: PathBuf,
    /// What is removed at the end.
    temporary: Option<PathBuf>,
}

impl Workshop {
    /// Makes the directories where there is room for `needed` bytes.
    ///
    /// # Errors
    /// They cannot be made, or there is too little room.
    pub(super) fn new(context: &Context, keep: bool, needed: u64) -> Result<Workshop, CliError> {
        let private = |path: &Path| {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| CliError::File {
                path: path.into(),
                what: "cannot be made",
                source,
            })
        };
        let (state, own) = match &context.named_state {
            Some(named) => (named.clone(), false),
            None => (roomiest().join(format!("reelward-try-{}", std::process::id())), true),
        };
        if own && fs::symlink_metadata(&state).is_ok() {
            return Err(CliError::Failed(format!("{}: is there already; remove it first", state.display())));
        }
        private(&state)?;
        let state = state.canonicalize().map_err(|source| CliError::File {
            path: state.clone(),
            what: "cannot be used as state directory",
            source,
        })?;
        let folder = state.join(format!("try-{}", std::process::id()));
        let temporary = if own { state.clone() } else { folder.clone() };
        let workshop = Workshop { state, folder, temporary: (!keep).then_some(temporary) };
        private(&workshop.folder)?;
        let free = free_bytes(&workshop.state);
        if free < needed {
            return Err(CliError::Failed(format!(
                "{}: {} free, about {} needed; name a roomier place with --state-dir, or a smaller directory to try",
                workshop.state.display(),
                text::bytes(free),
                text::bytes(needed)
            )));
        }
        Ok(workshop)
    }

    /// Whether the directories stay.
    pub(super) fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// Removes what was restored, to make room.
    pub(super) fn clear(&self, path: &Path) {
        if !self.is_kept() {
            remove(path);
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            remove(temporary);
        }
    }
}

/// The place for temporary files with the most room.
fn roomiest() -> PathBuf {
    let places = [std::env::temp_dir(), PathBuf::from("/var/tmp")];
    places.into_iter().max_by_key(|place| free_bytes(place)).unwrap_or_else(|| PathBuf::from("/tmp"))
}

/// Bytes that this process may still write there; 0 where that cannot be found out.
fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Removes a tree of our own making. Restored directories may be read-only: they are opened up first. What stays is in
/// nobody's way.
fn remove(path: &Path) {
    open_up(path);
    let _ = fs::remove_dir_all(path);
}

fn open_up(path: &Path) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if !metadata.is_dir() {
        return;
    }
    if metadata.permissions().mode() & 0o700 != 0o700 {
        let _ = fs::set_permissions(path, Permissions::from_mode(0o700));
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
