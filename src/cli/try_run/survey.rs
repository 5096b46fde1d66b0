//! A look at the directory before anything is done with it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Content of a file that is restored alone, at most.
const SMALL: u64 = 1 << 20;

/// What the directory holds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Objects, the directory itself included.
    pub(super) objects: u64,
    /// Bytes of regular files, those with several names counted once for each.
    pub(super) bytes: u64,
    /// A small file from the far end of the walk, to be found and restored alone.
    pub(super) sample: Option<PathBuf>,
}

/// Walks the tree. What cannot be read is left to the backup to tell.
pub(super) fn look(root: &Path) -> Survey {
    let mut survey = Survey { objects: 1, ..Survey::default() };
    let mut pending = vec![root.to_path_buf()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            survey.objects += 1;
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.is_file() {
                survey.bytes += metadata.size();
                let path = entry.path();
                if is_sample(&metadata, &path) && survey.sample.as_ref().is_none_or(|best| *best < path) {
                    survey.sample = Some(path);
                }
            }
        }
    }
    survey
}

/// Small, readable, with content, and a name that is no wildcard.
fn is_sample(metadata: &fs::Metadata, path: &Path) -> bool {
    (1..=SMALL).contains(&metadata.size())
        && metadata.nlink() == 1
        && path.to_str().is_some_and(|path| !path.contains(['*', '?', '[', '\\']))
        && rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
}
