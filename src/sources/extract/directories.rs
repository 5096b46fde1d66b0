//! What is known about directories until their attributes are set at the end.
//!
//! A record is 40 bytes, a name is held once, and the index costs 20 to 40 bytes: below 100 bytes a directory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::format::v1::entry::{Entry, Timestamp};

use super::resolve::split;

const NO_PARENT: u32 = u32::MAX;
const NO_EXTRAS: u32 = u32::MAX;
const MADE: u16 = 0x8000;
const DESCRIBED: u16 = 0x4000;

/// Attributes that few directories have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extras {
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) acl_access: Option<Vec<u8>>,
    pub(super) acl_default: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Record {
    seconds: i64,
    name_end: u64,
    nanoseconds: u32,
    parent: u32,
    uid: u32,
    gid: u32,
    extras: u32,
    /// Permission bits and the two flags.
    mode: u16,
    name_length: u16,
}

/// One directory whose attributes are to be set.
pub(super) struct Pending<'a> {
    pub(super) path: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) extras: Option<&'a Extras>,
}

/// Directories made or described, each after its parent.
///
/// Paths are found by a keyed 64-bit hash: an archive cannot choose paths that collide.
#[derive(Default)]
pub(super) struct Ledger {
    records: Vec<Record>,
    names: Vec<u8>,
    index: HashMap<u64, u32>,
    extras: Vec<Extras>,
    hasher: RandomState,
}

impl Ledger {
    /// Whether this restore made the directory.
    pub(super) fn made(&self, path: &[u8]) -> bool {
        self.find(path).is_some_and(|r| r.mode & MADE != 0)
    }

    /// Books a directory that this restore made.
    pub(super) fn book_made(&mut self, path: &[u8]) {
        let id = self.ensure(path);
        if let Some(record) = self.records.get_mut(id as usize) {
            record.mode |= MADE;
        }
    }

    /// Books the attributes that the archive gives the directory; a later entry of the same path wins.
    pub(super) fn book_attributes(&mut self, path: &[u8], entry: &Entry) {
        let id = self.ensure(path);
        let plain = entry.xattrs.is_empty() && entry.acl_access.is_none() && entry.acl_default.is_none();
        let extras = if plain {
            NO_EXTRAS
        } else {
            self.extras.push(Extras {
                xattrs: entry.xattrs.clone(),
                acl_access: entry.acl_access.clone(),
                acl_default: entry.acl_default.clone(),
            });
            (self.extras.len() - 1) as u32
        };
        if let Some(record) = self.records.get_mut(id as usize) {
            record.mode = (record.mode & MADE) | DESCRIBED | (entry.mode & 0o7777) as u16;
            record.uid = entry.uid;
            record.gid = entry.gid;
            record.seconds = entry.mtime.seconds;
            record.nanoseconds = entry.mtime.nanoseconds;
            record.extras = extras;
        }
    }

    /// Directories whose attributes are to be set, each before its parent.
    pub(super) fn pending(&self) -> impl Iterator<Item = Pending<'_>> {
        self.records.iter().rev().filter(|r| r.mode & DESCRIBED != 0).map(|record| Pending {
            path: self.path(record),
            mode: u32::from(record.mode & 0o7777),
            uid: record.uid,
            gid: record.gid,
            mtime: Timestamp { seconds: record.seconds, nanoseconds: record.nanoseconds },
            extras: self.extras.get(record.extras as usize),
        })
    }

    fn find(&self, path: &[u8]) -> Option<&Record> {
        let id = self.index.get(&self.hasher.hash_one(path))?;
        self.records.get(*id as usize)
    }

    /// The record of a path; those of its parents come first.
    fn ensure(&mut self, path: &[u8]) -> u32 {
        let mut parent = NO_PARENT;
        let mut missing = Vec::new();
        let mut at = path;
        while !at.is_empty() {
            let key = self.hasher.hash_one(at);
            if let Some(id) = self.index.get(&key) {
                parent = *id;
                break;
            }
            let (above, name) = split(at);
            missing.push((key, name));
            at = above;
        }
        for (key, name) in missing.into_iter().rev() {
            self.names.extend_from_slice(name);
            let record = Record {
                seconds: 0,
                nanoseconds: 0,
                parent,
                uid: 0,
                gid: 0,
                extras: NO_EXTRAS,
                name_end: self.names.len() as u64,
                mode: 0,
                name_length: name.len() as u16,
            };
            parent = self.records.len() as u32;
            self.records.push(record);
            self.index.insert(key, parent);
        }
        parent
    }

    fn path(&self, record: &Record) -> Vec<u8> {
        let mut names = Vec::new();
        let mut at = Some(record);
        while let Some(record) = at {
            let end = record.name_end as usize;
            let start = end.saturating_sub(usize::from(record.name_length));
            names.push(self.names.get(start..end).unwrap_or_default());
            at = self.records.get(record.parent as usize);
        }
        names.reverse();
        names.join(&b'/')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::v1::entry::Kind;

    #[test]
    fn a_record_stays_small() {
        assert_eq!(size_of::<Record>(), 40);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        /// In whatever order directories are met: each comes back once, whole, and before its parent.
        #[test]
        fn children_come_before_parents(paths in proptest::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,5}", 1..40)) {
            let mut ledger = Ledger::default();
            for (n, path) in paths.iter().enumerate() {
                let entry = Entry {
                    mode: 0o7777,
                    uid: n as u32,
                    ..Entry::new(path.clone().into_bytes(), Kind::Directory)
                };
                ledger.book_attributes(path.as_bytes(), &entry);
                ledger.book_made(path.as_bytes());
                prop_assert!(ledger.made(path.as_bytes()));
            }
            let found: Vec<(Vec<u8>, u32)> = ledger.pending().map(|p| (p.path, p.uid)).collect();
            let unique: std::collections::HashSet<&String> = paths.iter().collect();
            prop_assert_eq!(found.len(), unique.len());
            for (at, (path, uid)) in found.iter().enumerate() {
                let last = paths.iter().rposition(|p| p.as_bytes() == path.as_slice());
                prop_assert_eq!(last, Some(*uid as usize));
                let below = [path.as_slice(), b"/"].concat();
                prop_assert!(!found[at..].iter().any(|(later, _)| later.starts_with(&below)));
            }
        }
    }
}
