//! The restored tree against the original, by looking at both and at nothing else.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::attributes;
use crate::cli::context::is_root;
use crate::cli::text;
use crate::pipeline::{Phase, Progress};

/// Lines kept of each list.
const KEPT: usize = 1000;
/// Bytes compared in one step.
const CHUNK: usize = 256 * 1024;
/// The kernel's clock for files runs behind by up to a tick.
const CLOCK_SLACK: i128 = 20_000_000;

/// What the comparison found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Comparison {
    /// Objects that are the same.
    pub(super) same: u64,
    /// Bytes of content compared and found equal.
    pub(super) bytes: u64,
    /// How many objects differ.
    pub(super) different: u64,
    /// The first of them, and how.
    pub(super) differences: Vec<String>,
    /// Objects that were changed, made or removed since the backup began.
    pub(super) changed_meanwhile: Vec<String>,
    /// Objects that the backup said it would not store.
    pub(super) not_stored: Vec<String>,
    /// It did not reach the end.
    pub(super) cancelled: bool,
}

/// Two trees and what may differ between them.
pub(super) struct Trees<'a> {
    /// What was backed up.
    pub(super) original: &'a Path,
    /// Where it was restored.
    pub(super) restored: &'a Path,
    /// The trial's own directory, which no backup enters.
    pub(super) never: &'a Path,
    /// What the backup told of single objects: `PATH: what`.
    pub(super) problems: &'a [String],
    /// When the backup began, nanoseconds since the epoch.
    pub(super) since: i128,
}

/// Compares: names, kinds, contents, modes, modification times, owners (as root), links, devices, extended attributes.
pub(super) fn compare(trees: &Trees<'_>, progress: &Progress, cancel: &AtomicBool) -> Comparison {
    progress.phase(Phase::Verifying);
    let told = trees.problems.iter().flat_map(|line| {
        line.match_indices(": ").filter_map(move |(end, _)| line.get(..end)).map(str::to_owned)
    });
    let mut walk = Walk {
        told: told.collect(),
        trees,
        progress,
        cancel,
        found: Comparison::default(),
        links: [HashMap::new(), HashMap::new()],
    };
    walk.object(trees.original, trees.restored);
    walk.found.cancelled = cancel.load(Ordering::Relaxed);
    walk.found
}

struct Walk<'a> {
    trees: &'a Trees<'a>,
    /// Paths that the backup told something about, as it shows them.
    told: HashSet<String>,
    progress: &'a Progress,
    cancel: &'a AtomicBool,
    found: Comparison,
    /// For each side: device and inode of files with several names, and the first name met, as seen from the original.
    links: [HashMap<(u64, u64), PathBuf>; 2],
}

impl Walk<'_> {
    /// Compares one object and what is below it.
    fn object(&mut self, original: &Path, restored: &Path) {
        if self.cancel.load(Ordering::Relaxed) || original == self.trees.never {
            return;
        }
        let (a, b) = match (fs::symlink_metadata(original), fs::symlink_metadata(restored)) {
            (Ok(a), Ok(b)) => (a, b),
            (Ok(a), Err(_)) => return self.missing(original, &a),
            (Err(_), Ok(_)) => return self.surplus(original),
            (Err(_), Err(_)) => return,
        };
        let size = if a.is_file() { a.size() } else { 0 };
        let mut faults = self.attributes(original, restored, &a, &b);
        if faults.is_empty() {
            faults.extend(self.content(original, restored, &a));
        }
        self.progress.done(1, size);
        match faults.is_empty() {
            true => {
                self.found.same += 1;
                self.found.bytes += size;
            }
            false if self.is_recent(&a) => self.meanwhile(original, "changed"),
            false if self.was_told(original) => self.not_stored(original, "not exactly: the backup said so"),
            false => self.differs(original, &faults.join(", ")),
        }
        if a.is_dir() && b.is_dir() {
            self.children(original, restored);
        }
    }

    fn children(&mut self, original: &Path, restored: &Path) {
        let restored_names = names(restored);
        // A directory that the backup did not enter is empty in the copy.
        if restored_names.is_empty() && self.was_told(original) {
            return;
        }
        let all: BTreeSet<OsString> = names(original).into_iter().chain(restored_names).collect();
        for name in all {
            self.object(&original.join(&name), &restored.join(&name));
        }
    }

    fn attributes(&mut self, original: &Path, restored: &Path, a: &Metadata, b: &Metadata) -> Vec<String> {
        let mut faults = Vec::new();
        if a.file_type() != b.file_type() {
            return vec!["another kind of object".into()];
        }
        if a.is_file() && a.size() != b.size() {
            faults.push(format!("{} bytes became {}", a.size(), b.size()));
        }
        let same_owner = (a.uid(), a.gid()) == (b.uid(), b.gid());
        if is_root() && !same_owner {
            faults.push(format!("owner {}:{} became {}:{}", a.uid(), a.gid(), b.uid(), b.gid()));
        }
        // Set-user-id of somebody else's program must not come back to another owner.
        let bits = if same_owner || a.is_dir() { 0o7777 } else { 0o1777 };
        if !a.is_symlink() && a.mode() & bits != b.mode() & bits {
            faults.push(format!("mode {:04o} became {:04o}", a.mode() & bits, b.mode() & bits));
        }
        if (a.mtime(), a.mtime_nsec()) != (b.mtime(), b.mtime_nsec()) {
            faults.push("another modification time".into());
        }
        if (a.file_type().is_block_device() || a.file_type().is_char_device()) && a.rdev() != b.rdev() {
            faults.push("another device number".into());
        }
        if !a.is_dir() && self.first_link(0, original, a) != self.first_link(1, original, b) {
            faults.push("another set of hard links".into());
        }
        if attributes::of(original) != attributes::of(restored) {
            faults.push("other extended attributes".into());
        }
        faults
    }

    /// The name under which a file with several names was met first on one side.
    fn first_link(&mut self, side: usize, name: &Path, metadata: &Metadata) -> Option<PathBuf> {
        if metadata.nlink() < 2 {
            return Some(name.to_path_buf());
        }
        let identity = (metadata.dev(), metadata.ino());
        self.links.get_mut(side).map(|met| met.entry(identity).or_insert_with(|| name.to_path_buf()).clone())
    }

    fn content(&self, original: &Path, restored: &Path, a: &Metadata) -> Option<String> {
        if a.is_symlink() {
            let same = fs::read_link(original).ok() == fs::read_link(restored).ok();
            return (!same).then(|| "another link target".into());
        }
        if !a.is_file() {
            return None;
        }
        match same_content(original, restored) {
            Ok(true) => None,
            Ok(false) => Some("another content".into()),
            Err(error) => Some(format!("cannot be compared: {error}")),
        }
    }

    fn is_recent(&self, metadata: &Metadata) -> bool {
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        changed >= self.trees.since - CLOCK_SLACK
    }

    fn missing(&mut self, original: &Path, a: &Metadata) {
        let kind = a.file_type();
        if kind.is_socket() {
            self.not_stored(original, "a socket");
        } else if self.is_recent(a) {
            self.meanwhile(original, "made or changed");
        } else if self.was_told(original) {
            self.not_stored(original, "the backup said so");
        } else if !is_root() && (kind.is_block_device() || kind.is_char_device()) {
            self.not_stored(original, "a device, which only root restores");
        } else {
            self.differs(original, "not restored");
        }
    }

    fn surplus(&mut self, original: &Path) {
        let parent = original.parent().and_then(|parent| fs::symlink_metadata(parent).ok());
        match parent {
            Some(parent) if self.is_recent(&parent) => self.meanwhile(original, "removed"),
            _ => self.differs(original, "restored, but not in the original"),
        }
    }

    /// Whether the backup told something about the object.
    fn was_told(&self, original: &Path) -> bool {
        let shown =
            String::from_utf8_lossy(original.as_os_str().as_encoded_bytes()).escape_debug().to_string();
        self.told.contains(&shown)
    }

    fn differs(&mut self, path: &Path, how: &str) {
        self.found.different += 1;
        keep(&mut self.found.differences, path, how);
    }

    fn meanwhile(&mut self, path: &Path, how: &str) {
        keep(&mut self.found.changed_meanwhile, path, how);
    }

    fn not_stored(&mut self, path: &Path, why: &str) {
        keep(&mut self.found.not_stored, path, why);
    }
}

fn keep(list: &mut Vec<String>, path: &Path, what: &str) {
    if list.len() < KEPT {
        list.push(format!("{}: {what}", text::name(path.as_os_str().as_encoded_bytes())));
    }
}

fn names(directory: &Path) -> Vec<OsString> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

fn same_content(a: &Path, b: &Path) -> std::io::Result<bool> {
    let (mut a, mut b) = (File::open(a)?, File::open(b)?);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        of_a.clear();
        of_b.clear();
        (&mut a).take(CHUNK as u64).read_to_end(&mut of_a)?;
        (&mut b).take(CHUNK as u64).read_to_end(&mut of_b)?;
        if of_a != of_b {
            return Ok(false);
        }
        if of_a.len() < CHUNK {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests;
