//! Two trees compared by rsync, and what rsync does not tell: who is linked to whom, and holes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes that the same holes may differ by in allocation (extents, delayed allocation, block size).
const HOLE_TOLERANCE: u64 = 256 * 1024;

/// Panics with the differences unless both directories hold the same: names, kinds, contents, modes, owners,
/// times to the nanosecond, hard links, ACLs, xattrs, devices, holes.
pub fn assert_same(a: &Path, b: &Path) {
    if let Some(difference) = difference(a, b) {
        panic!("{} and {} differ:\n{difference}", a.display(), b.display());
    }
}

/// What differs, or `None`.
pub fn difference(a: &Path, b: &Path) -> Option<String> {
    for (from, to) in [(a, b), (b, a)] {
        let found = rsync(from, to);
        if !found.is_empty() {
            return Some(found);
        }
    }
    let (a, b) = (inventory(a), inventory(b));
    let faults: Vec<String> = a
        .iter()
        .filter_map(|(path, of_a)| {
            let of_b = b.get(path)?;
            if of_a.first_link != of_b.first_link {
                return Some(format!(
                    "{path:?}: linked to {:?} and to {:?}",
                    of_a.first_link, of_b.first_link
                ));
            }
            let holes = of_a.allocated + HOLE_TOLERANCE < of_a.size;
            (holes && of_b.allocated > of_a.allocated + HOLE_TOLERANCE)
                .then(|| format!("{path:?}: {} and {} bytes allocated", of_a.allocated, of_b.allocated))
        })
        .collect();
    (!faults.is_empty()).then(|| faults.join("\n"))
}

/// What rsync would do to make `to` like `from`, one item a line. Nothing is changed.
fn rsync(from: &Path, to: &Path) -> String {
    let with_slash = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push("/");
        path
    };
    let output = Command::new("rsync")
        // A window of -1 compares nanoseconds too.
        .args([
            "-aHAXn",
            "--checksum",
            "--itemize-changes",
            "--delete",
            "--numeric-ids",
            "--modify-window=-1",
            "--",
        ])
        .args([with_slash(from), with_slash(to)])
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("rsync (Debian: rsync)");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || !output.stderr.is_empty() {
        text.push_str(&format!("rsync: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    text
}

struct Item {
    /// The first path, in byte order, of the same inode.
    first_link: PathBuf,
    size: u64,
    allocated: u64,
}

/// Everything that is not a directory, by its path below `root`.
fn inventory(root: &Path) -> BTreeMap<PathBuf, Item> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                pending.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(root).unwrap().to_path_buf(), metadata);
            }
        }
    }
    let mut first: BTreeMap<(u64, u64), PathBuf> = BTreeMap::new();
    for (path, metadata) in &found {
        first.entry((metadata.dev(), metadata.ino())).or_insert_with(|| path.clone());
    }
    let item = |metadata: &fs::Metadata| Item {
        first_link: first[&(metadata.dev(), metadata.ino())].clone(),
        size: metadata.size(),
        allocated: metadata.blocks() * 512,
    };
    found.iter().map(|(path, metadata)| (path.clone(), item(metadata))).collect()
}
