//! Puts entries back beneath one directory, and nowhere else.
//!
//! - Every path is checked (no `..`, no `.`, no empty or absolute ones, no NUL) and every directory on the way is opened
//!   beneath the target by `openat2` without symbolic links, or one component at a time from an open directory. A
//!   symbolic link or file where a directory is needed is an error, never followed. Only an archive's own directory
//!   entry replaces it, and only with [`Overwrite::Always`]. A directory is never removed.
//! - A file has its name only when content and attributes are complete: it is unnamed until then (O_TMPFILE), or
//!   stands under `.reelward-*` in the same directory on file systems that cannot do that.
//! - Directories belong to the restoring user with mode 0700 while the restore runs; [`Extractor::finish_directories`]
//!   gives them their attributes. Parents that the archive does not hold get 0755 less the umask.
//! - What cannot be set on an object is a warning, not a lost object.

mod attributes;
mod directories;
mod error;
mod options;
mod place;
mod resolve;
mod sink;
mod special;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{self, Mode, OFlags};

use crate::format::v1::entry::{Entry, Kind};

pub use error::{ExtractError, PathFault};
pub use options::{ExtractOptions, Limits, Outcome, Overwrite, Owners, SkipReason};
pub use sink::FileSink;

use attributes::{Attributes, Policy};
use error::to_path;
use place::Verdict;
use resolve::{Dir, Resolver, check, lock, split};
use sink::Writing;

/// Warnings kept; further ones are counted.
const WARNINGS_KEPT: usize = 10_000;

/// What [`Extractor::begin`] started.
pub enum Begun {
    /// A regular file waits for its content.
    File(Box<FileSink>),
    /// Nothing more is to be done for the entry.
    Done(Outcome),
}

/// One restore into one directory. Threads share it; entries may come in any order but for hard links, which come after
/// their first name.
#[derive(Clone)]
pub struct Extractor {
    inner: Arc<Inner>,
}

struct Inner {
    resolver: Resolver,
    options: ExtractOptions,
    policy: Policy,
    /// The file system makes unnamed files.
    unnamed: AtomicBool,
    entries: AtomicU64,
    bytes: AtomicU64,
    /// First names that were restored under another name.
    renamed: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    /// Keyed hashes of regular files that were skipped.
    skipped: Mutex<HashSet<u64>>,
    hasher: RandomState,
    warnings: Mutex<Vec<ExtractError>>,
    warnings_dropped: AtomicU64,
}

impl Extractor {
    /// Opens the target, making it (and its parents) when it is missing. Symbolic links on the way to the target are
    /// followed: the administrator chose it.
    ///
    /// # Errors
    /// The target cannot be made or opened.
    pub fn new(target: &Path, options: ExtractOptions) -> Result<Extractor, ExtractError> {
        let failed = |step, source| ExtractError::System { step, path: target.to_owned(), source };
        std::fs::create_dir_all(target).map_err(|e| failed("make the target", e))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(target, flags, Mode::empty()).map_err(|e| failed("open the target", e.into()))?;
        Ok(Extractor {
            inner: Arc::new(Inner {
                resolver: Resolver::new(root),
                options,
                policy: Policy::new(options.owners, options.keep_setid),
                unnamed: AtomicBool::new(true),
                entries: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                renamed: Mutex::default(),
                skipped: Mutex::default(),
                hasher: RandomState::new(),
                warnings: Mutex::default(),
                warnings_dropped: AtomicU64::new(0),
            }),
        })
    }

    /// Begins to restore `entry` at `path` below the target.
    ///
    /// `path` may differ from `entry.path`: when it is its end, the same beginning is taken off the first name of a hard
    /// link; see [`Extractor::hard_link`] for other changes.
    ///
    /// # Errors
    /// The path is unsafe, blocked or beyond a limit; a system call failed. Other entries can go on.
    pub fn begin(&self, entry: &Entry, path: &[u8]) -> Result<Begun, ExtractError> {
        let path = if entry.kind == Kind::Directory { path.strip_suffix(b"/").unwrap_or(path) } else { path };
        self.inner.admit(path)?;
        let inner = &self.inner;
        match entry.kind {
            Kind::Directory => inner.directory(entry, path).map(Begun::Done),
            Kind::Regular => {
                inner.charge(entry, path)?;
                inner.in_directory(path, |dir| match inner.verdict(&dir, path, entry)? {
                    Verdict::Done(outcome) => Ok(Begun::Done(inner.note(path, outcome))),
                    verdict => Ok(Begun::File(Box::new(FileSink::new(inner, entry, path, dir, verdict)?))),
                })
            }
            Kind::HardLink => {
                let link = same_prefix_off(&entry.path, path, &entry.link);
                inner.linked(entry, path, link).map(Begun::Done)
            }
            Kind::CharDevice | Kind::BlockDevice if !inner.options.special => {
                Ok(Begun::Done(Outcome::Skipped(SkipReason::DeviceNotAllowed)))
            }
            Kind::Symlink | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => inner
                .in_directory(path, |dir| match inner.verdict(&dir, path, entry)? {
                    Verdict::Done(outcome) => Ok(outcome),
                    verdict => inner.node(entry, path, dir, verdict),
                })
                .map(Begun::Done),
        }
    }

    /// Restores a hard link at `path` to the file restored at `link`, both below the target.
    ///
    /// # Errors
    /// As [`Extractor::begin`]; [`ExtractError::LinkTargetMissing`] when the first name is not there: the caller restores
    /// the content under this name instead.
    pub fn hard_link(&self, entry: &Entry, path: &[u8], link: &[u8]) -> Result<Outcome, ExtractError> {
        self.inner.admit(path)?;
        self.inner.linked(entry, path, link)
    }

    /// Restores a whole regular file; `data` is its stored content. The quick way for small ones.
    ///
    /// # Errors
    /// As [`Extractor::begin`] and [`FileSink::finish`].
    pub fn write_small(&self, entry: &Entry, path: &[u8], data: &[u8]) -> Result<Outcome, ExtractError> {
        let inner = &self.inner;
        inner.admit(path)?;
        if entry.kind != Kind::Regular {
            return Err(ExtractError::NotRegular { path: to_path(path) });
        }
        inner.charge(entry, path)?;
        inner.in_directory(path, |dir| {
            let outcome = match inner.verdict(&dir, path, entry)? {
                Verdict::Done(outcome) => outcome,
                verdict => {
                    let mut writing = Writing::new(inner, entry, path, dir, verdict)?;
                    writing.write(entry, path, data)?;
                    writing.finish(inner, entry, path)?
                }
            };
            Ok(inner.note(path, outcome))
        })
    }

    /// Gives directories their owners, modes, times and ACLs, deepest first. Call it once, when all entries are in place.
    /// Returns what failed; attributes refused are warnings.
    pub fn finish_directories(&self) -> Vec<ExtractError> {
        let inner = &self.inner;
        let ledger = std::mem::take(&mut *lock(&inner.resolver.ledger));
        let mut failed = Vec::new();
        for pending in ledger.pending() {
            let extras = pending.extras;
            let wanted = Attributes {
                mode: pending.mode,
                uid: pending.uid,
                gid: pending.gid,
                mtime: pending.mtime,
                xattrs: extras.map_or(&[], |e| &e.xattrs),
                acl_access: extras.and_then(|e| e.acl_access.as_deref()),
                acl_default: extras.and_then(|e| e.acl_default.as_deref()),
                directory: true,
            };
            if let Err(error) = inner.finish_directory(&wanted, &pending.path) {
                failed.push(error);
            }
        }
        failed
    }

    /// Takes the warnings that have come so far; the last one counts those that were not kept.
    pub fn take_warnings(&self) -> Vec<ExtractError> {
        let mut warnings = std::mem::take(&mut *lock(&self.inner.warnings));
        let count = self.inner.warnings_dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            warnings.push(ExtractError::WarningsDropped { count });
        }
        warnings
    }
}

impl Inner {
    /// Checks the path and counts the entry.
    fn admit(&self, path: &[u8]) -> Result<(), ExtractError> {
        check(path, &self.options.limits)?;
        let most = self.options.limits.entries;
        if self.entries.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(ExtractError::Limit { path: to_path(path), what: "entries", most });
        }
        Ok(())
    }

    /// Works in the directory that holds `path`; once more when it proves to have been removed under our hands.
    fn in_directory<T>(
        &self,
        path: &[u8],
        work: impl Fn(Arc<Dir>) -> Result<T, ExtractError>,
    ) -> Result<T, ExtractError> {
        let (parent, _) = split(path);
        let dir = self.resolver.directory(parent, true)?;
        match work(Arc::clone(&dir)) {
            Err(ExtractError::System { .. }) if dir.is_removed() => {
                self.resolver.forget(parent);
                work(self.resolver.directory(parent, true)?)
            }
            other => other,
        }
    }

    fn linked(&self, entry: &Entry, path: &[u8], link: &[u8]) -> Result<Outcome, ExtractError> {
        check(link, &self.options.limits)?;
        self.in_directory(path, |dir| match self.verdict(&dir, path, entry)? {
            Verdict::Done(outcome) => Ok(outcome),
            verdict => self.hard_link(entry, path, dir, verdict, link),
        })
    }

    /// Remembers what hard links to a regular file must know.
    fn note(&self, path: &[u8], outcome: Outcome) -> Outcome {
        use std::os::unix::ffi::OsStrExt;
        match &outcome {
            Outcome::Skipped(_) => {
                lock(&self.skipped).insert(self.hasher.hash_one(path));
            }
            Outcome::Renamed(to) => {
                lock(&self.renamed).insert(path.to_vec(), to.as_os_str().as_bytes().to_vec());
            }
            Outcome::Created | Outcome::Replaced | Outcome::Unchanged => {}
        }
        outcome
    }

    fn was_skipped(&self, path: &[u8]) -> bool {
        lock(&self.skipped).contains(&self.hasher.hash_one(path))
    }

    fn warn(&self, warning: ExtractError) {
        let mut warnings = lock(&self.warnings);
        if warnings.len() < WARNINGS_KEPT {
            warnings.push(warning);
        } else {
            self.warnings_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Takes off `link` what was taken off `stored` to get `path`; `link` as it is when `path` is not the end of `stored`.
fn same_prefix_off<'a>(stored: &[u8], path: &[u8], link: &'a [u8]) -> &'a [u8] {
    stored.strip_suffix(path).and_then(|prefix| link.strip_prefix(prefix)).unwrap_or(link)
}
