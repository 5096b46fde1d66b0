//! Puts a finished object under its name, by the overwrite rule, in one step that others see whole or not at all.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::format::v1::entry::{Entry, Kind, Timestamp};

use super::error::{ExtractError, to_path};
use super::options::{Outcome, Overwrite, SkipReason};
use super::resolve::{Dir, describe, split};

/// Puts the object under a name; with `true`, over what stands there. EEXIST when the name is taken.
pub(super) type Put<'a> = dyn FnMut(&[u8], bool) -> Result<(), Errno> + 'a;

/// What to do about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is free.
    Create,
    /// What stands there makes way.
    Replace,
    /// Take another name.
    Rename,
    /// Nothing.
    Done(Outcome),
}

/// Looks at the name and applies the rule to an entry that is not a directory.
pub(super) fn judge(rule: Overwrite, dir: &Dir, path: &[u8], entry: &Entry) -> Result<Verdict, ExtractError> {
    let (_, name) = split(path);
    let there = match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Verdict::Create),
        Err(errno) => return Err(ExtractError::system("look at", path, errno)),
    };
    let directory = fs::FileType::from_raw_mode(there.st_mode).is_dir();
    match rule {
        Overwrite::Never => Ok(Verdict::Done(Outcome::Skipped(SkipReason::Exists))),
        Overwrite::Rename => Ok(Verdict::Rename),
        Overwrite::Older | Overwrite::Always if directory => Err(blocked(path, there.st_mode)),
        Overwrite::Always => Ok(Verdict::Replace),
        Overwrite::Older => Ok(match time_of(&there).cmp(&entry.mtime) {
            std::cmp::Ordering::Less => Verdict::Replace,
            std::cmp::Ordering::Equal if same_shape(&there, entry) => Verdict::Done(Outcome::Unchanged),
            _ => Verdict::Done(Outcome::Skipped(SkipReason::NewerExists)),
        }),
    }
}

/// Runs `put(name, replace)` under the rule until an answer holds: the name may be taken between look and step.
pub(super) fn settle(
    rule: Overwrite,
    dir: &Dir,
    path: &[u8],
    entry: &Entry,
    first: Verdict,
    put: &mut Put<'_>,
) -> Result<Outcome, ExtractError> {
    let (parent, name) = split(path);
    let mut verdict = first;
    for _ in 0..16 {
        match verdict {
            Verdict::Done(outcome) => return Ok(outcome),
            Verdict::Create => match put(name, false) {
                Ok(()) => return Ok(Outcome::Created),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(ExtractError::system("put in place", path, errno)),
            },
            Verdict::Replace => match put(name, true) {
                Ok(()) => return Ok(Outcome::Replaced),
                Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {}
                Err(errno) => return Err(ExtractError::system("put in place", path, errno)),
            },
            Verdict::Rename => return aside(parent, name, path, put),
        }
        verdict = judge(rule, dir, path, entry)?;
    }
    Err(ExtractError::system("put in place", path, Errno::EXIST))
}

/// The first free name of `NAME.restored`, `NAME.restored.2`, ...; NAME is cut where the whole would exceed 255 bytes.
fn aside(parent: &[u8], name: &[u8], path: &[u8], put: &mut Put<'_>) -> Result<Outcome, ExtractError> {
    const TRIES: u32 = 10_000;
    for n in 1..=TRIES {
        let ending = if n == 1 { ".restored".to_owned() } else { format!(".restored.{n}") };
        let kept = name.get(..name.len().min(255 - ending.len())).unwrap_or(name);
        let candidate = [kept, ending.as_bytes()].concat();
        match put(&candidate, false) {
            Ok(()) if parent.is_empty() => return Ok(Outcome::Renamed(to_path(&candidate))),
            Ok(()) => return Ok(Outcome::Renamed(to_path(&[parent, &candidate].join(&b'/')))),
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(ExtractError::system("put in place", path, errno)),
        }
    }
    Err(ExtractError::system("find a free name for", path, Errno::EXIST))
}

pub(super) fn blocked(path: &[u8], mode: u32) -> ExtractError {
    ExtractError::Blocked { path: to_path(path), by: describe(mode) }
}

/// Modification time of what stands there.
pub(super) fn time_of(stat: &Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }
}

fn same_shape(stat: &Stat, entry: &Entry) -> bool {
    use fs::FileType;
    let size = stat.st_size as u64;
    match (FileType::from_raw_mode(stat.st_mode), entry.kind) {
        (FileType::RegularFile, Kind::Regular) => size == entry.size,
        (FileType::RegularFile, Kind::HardLink) => true,
        (FileType::Symlink, Kind::Symlink) => size == entry.link.len() as u64,
        (FileType::Fifo, Kind::Fifo) => true,
        (FileType::CharacterDevice, Kind::CharDevice) | (FileType::BlockDevice, Kind::BlockDevice) => {
            stat.st_rdev == fs::makedev(entry.device.0, entry.device.1)
        }
        _ => false,
    }
}

/// A name that no archive is likely to hold; taken ones are tried again with the next number.
fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".reelward-{:x}-{:x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes something under a fresh temporary name.
pub(super) fn under_temporary_name<T>(
    make: &mut dyn FnMut(&str) -> Result<T, Errno>,
) -> Result<(String, T), Errno> {
    let mut tries = 0;
    loop {
        let name = temporary_name();
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) if tries < 64 => tries += 1,
            Err(errno) => return Err(errno),
        }
    }
}

/// An object under a temporary name; dropped before it is put in place, it is removed.
pub(super) struct Named {
    dir: Arc<Dir>,
    name: Option<String>,
}

impl Named {
    pub(super) fn new(dir: Arc<Dir>, name: String) -> Named {
        Named { dir, name: Some(name) }
    }

    /// Moves it to `name`; without `replace`, EEXIST when the name is taken.
    pub(super) fn put(&mut self, name: &[u8], replace: bool) -> Result<(), Errno> {
        let Some(own) = self.name.as_deref() else { return Ok(()) };
        if replace {
            fs::renameat(&self.dir, own, &self.dir, name)?;
            // Two names of one inode: the kernel does nothing, and both remain.
            match fs::unlinkat(&self.dir, own, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        } else {
            match fs::renameat_with(&self.dir, own, &self.dir, name, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => self.put_by_look(own, name)?,
                other => other?,
            }
        }
        self.name = None;
        Ok(())
    }

    /// For file systems that cannot rename without replacing.
    fn put_by_look(&self, own: &str, name: &[u8]) -> Result<(), Errno> {
        match fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => fs::renameat(&self.dir, own, &self.dir, name),
            Err(errno) => Err(errno),
        }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Nothing can be done about a failure; the name says what it is.
            let _ = fs::unlinkat(&self.dir, name.as_str(), AtFlags::empty());
        }
    }
}

/// A regular file without its name: unnamed where the file system can, else under a temporary name.
pub(super) struct Draft {
    pub(super) fd: OwnedFd,
    dir: Arc<Dir>,
    named: Option<Named>,
}

impl Draft {
    /// Makes it; `unnamed` turns false for good where the file system cannot.
    pub(super) fn new(
        dir: &Arc<Dir>,
        mode: u32,
        unnamed: &std::sync::atomic::AtomicBool,
    ) -> Result<Draft, Errno> {
        let mode = Mode::from_raw_mode(mode);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if unnamed.load(Ordering::Relaxed) {
            match fs::openat(dir, ".", OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TMPFILE, mode) {
                Ok(fd) => return Ok(Draft { fd, dir: Arc::clone(dir), named: None }),
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                    unnamed.store(false, Ordering::Relaxed)
                }
                Err(errno) => return Err(errno),
            }
        }
        let (name, fd) = under_temporary_name(&mut |name| {
            fs::openat(dir, name, flags | OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o600))
        })?;
        Ok(Draft { fd, dir: Arc::clone(dir), named: Some(Named::new(Arc::clone(dir), name)) })
    }

    /// Whether it was made with the mode asked for.
    pub(super) fn is_unnamed(&self) -> bool {
        self.named.is_none()
    }

    /// Gives it its name; without `replace`, EEXIST when the name is taken.
    pub(super) fn put(&mut self, name: &[u8], replace: bool) -> Result<(), Errno> {
        if let Some(named) = &mut self.named {
            return named.put(name, replace);
        }
        if !replace {
            return self.link(name);
        }
        let (temporary, ()) = under_temporary_name(&mut |name| self.link(name.as_bytes()))?;
        Named::new(Arc::clone(&self.dir), temporary).put(name, true)
    }

    fn link(&self, name: &[u8]) -> Result<(), Errno> {
        use std::os::fd::AsRawFd;
        match fs::linkat(&self.fd, "", &self.dir, name, AtFlags::EMPTY_PATH) {
            // Without CAP_DAC_READ_SEARCH older kernels want the way through /proc.
            Err(Errno::NOENT) => {
                let own = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
                fs::linkat(fs::CWD, own, &self.dir, name, AtFlags::SYMLINK_FOLLOW)
            }
            other => other,
        }
    }
}
