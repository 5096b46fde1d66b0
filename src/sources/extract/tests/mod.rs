//! Real file systems, real users. What needs root is run as root only and says so; `plain` runs as nobody too.

mod faithful;
mod hostile;
mod plain;
mod rules;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::format::v1::entry::{Entry, Kind, Timestamp};

use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An entry of the user who runs the test.
fn entry(kind: Kind, path: impl AsRef<[u8]>) -> Entry {
    Entry {
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: Timestamp { seconds: 1_000_000_000, nanoseconds: 123_456_789 },
        ..Entry::new(path.as_ref().to_vec(), kind)
    }
}

fn link(kind: Kind, path: &str, to: &str) -> Entry {
    Entry { link: to.into(), ..entry(kind, path) }
}

fn extractor(target: &Path, overwrite: Overwrite) -> Extractor {
    Extractor::new(target, ExtractOptions { overwrite, ..ExtractOptions::default() }).unwrap()
}

/// Restores a small file as it stands.
fn file(extractor: &Extractor, path: impl AsRef<[u8]>, data: &[u8]) -> Result<Outcome, ExtractError> {
    let path = path.as_ref();
    let entry = Entry { size: data.len() as u64, ..entry(Kind::Regular, path) };
    extractor.write_small(&entry, path, data)
}

/// Restores something without content.
fn other(extractor: &Extractor, entry: &Entry) -> Result<Outcome, ExtractError> {
    match extractor.begin(entry, &entry.path)? {
        Begun::Done(outcome) => Ok(outcome),
        Begun::File(_) => panic!("{:?} is a file", entry.kind),
    }
}

fn directory(extractor: &Extractor, path: impl AsRef<[u8]>) -> Result<Outcome, ExtractError> {
    other(extractor, &entry(Kind::Directory, path))
}

fn finish(extractor: &Extractor) {
    let failed = extractor.finish_directories();
    assert!(failed.is_empty(), "{failed:?}");
    let warnings = extractor.take_warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// Names below a directory, links not followed, sorted.
fn listing(at: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut todo = vec![at.to_owned()];
    while let Some(dir) = todo.pop() {
        for item in fs::read_dir(&dir).unwrap() {
            let item = item.unwrap();
            names.push(item.path().strip_prefix(at).unwrap().to_string_lossy().into_owned());
            if item.file_type().unwrap().is_dir() {
                todo.push(item.path());
            }
        }
    }
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn time(path: &Path) -> Timestamp {
    let meta = fs::symlink_metadata(path).unwrap();
    Timestamp { seconds: meta.mtime(), nanoseconds: meta.mtime_nsec() as u32 }
}

/// A POSIX ACL in the kernel's form from (tag, permissions, id).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// `u::rwx u:1234:r-- g::GROUP m::MASK o::---`
fn acl_for_1234(group: u16, mask: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    acl(&[(1, 7, NOBODY), (2, 4, 1234), (4, group, NOBODY), (16, mask, NOBODY), (32, 0, NOBODY)])
}
