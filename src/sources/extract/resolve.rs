//! Directories beneath the target, opened without ever following a symbolic link.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::directories::Ledger;
use super::error::{ExtractError, PathFault, to_path};
use super::options::Limits;

/// Directories kept open: more than the depth at which archives usually jump about.
const KEPT_OPEN: usize = 32;
/// Longest path given to the kernel in one call (PATH_MAX is 4096, its NUL included).
const ONE_CALL: usize = 4000;
const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the kernel makes of a new file in some directory: mount options, set-group-id, ACLs and squashed users
/// all have their say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Newborn {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The mode is what was asked for less the umask.
    pub(super) mode_as_asked: bool,
}

/// An open directory beneath the target.
pub(super) struct Dir {
    /// Below the target; empty for the target itself.
    pub(super) path: Box<[u8]>,
    fd: OwnedFd,
    /// Made by this restore: a name in it is hardly ever taken.
    pub(super) fresh: bool,
    /// New names get an ACL from it.
    pub(super) inherits_acl: bool,
    /// What a new file in it looks like before anything is set; learned from the first one.
    pub(super) newborn: OnceLock<Newborn>,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    fn new(path: &[u8], fd: OwnedFd, fresh: bool) -> Dir {
        let inherits_acl = match fs::fgetxattr_query(&fd, "system.posix_acl_default") {
            Ok(length) => length > 0,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => false,
            Err(_) => true,
        };
        Dir { path: path.into(), fd, fresh, inherits_acl, newborn: OnceLock::new() }
    }

    /// Whether it has been removed since it was opened: it takes no more names then.
    pub(super) fn is_removed(&self) -> bool {
        fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink == 0)
    }
}

/// Splits off the last component: (parent, name).
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'/', path) {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// Refuses every path that is not plain names joined by single slashes, within the limits.
pub(super) fn check(path: &[u8], limits: &Limits) -> Result<(), ExtractError> {
    let fault = |fault| ExtractError::UnsafePath { path: to_path(path), fault };
    let limit = |what, most| ExtractError::Limit { path: to_path(path), what, most };
    if path.len() as u64 > limits.path_bytes {
        return Err(limit("bytes in a path", limits.path_bytes));
    }
    if path.first() == Some(&b'/') {
        return Err(fault(PathFault::Absolute));
    }
    if memchr::memchr(0, path).is_some() {
        return Err(fault(PathFault::Nul));
    }
    let mut depth = 0u64;
    for component in path.split(|b| *b == b'/') {
        match component {
            b"" => return Err(fault(PathFault::Empty)),
            b"." | b".." => return Err(fault(PathFault::Dots)),
            _ => depth += 1,
        }
    }
    if depth > limits.depth {
        return Err(limit("components in a path", limits.depth));
    }
    Ok(())
}

/// The target and the directories opened last.
pub(super) struct Resolver {
    root: Arc<Dir>,
    /// Most recently used last.
    open: Mutex<Vec<Arc<Dir>>>,
    /// Off where openat2 does not exist (before Linux 5.6) or a filter forbids it.
    one_call: AtomicBool,
    /// Everything known about directories made by this restore.
    pub(super) ledger: Mutex<Ledger>,
}

impl Resolver {
    pub(super) fn new(root: OwnedFd) -> Resolver {
        Resolver {
            root: Arc::new(Dir::new(b"", root, false)),
            open: Mutex::new(Vec::with_capacity(KEPT_OPEN)),
            one_call: AtomicBool::new(true),
            ledger: Mutex::new(Ledger::default()),
        }
    }

    /// The directory at a checked path; with `make`, missing ones are made.
    pub(super) fn directory(&self, path: &[u8], make: bool) -> Result<Arc<Dir>, ExtractError> {
        if path.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(found) = self.cached(path) {
            return Ok(found);
        }
        let fd = self.open(path, make)?;
        let fresh = lock(&self.ledger).made(path);
        let dir = Arc::new(Dir::new(path, fd, fresh));
        self.keep(Arc::clone(&dir));
        Ok(dir)
    }

    /// The directory at a checked path as it is now.
    pub(super) fn open(&self, path: &[u8], make: bool) -> Result<OwnedFd, ExtractError> {
        self.open_in_one_call(path).map_or_else(|| self.step(path, make), Ok)
    }

    /// Forgets an open directory that turned out to be removed or replaced.
    pub(super) fn forget(&self, path: &[u8]) {
        lock(&self.open).retain(|d| &*d.path != path);
    }

    /// As on a kernel without openat2.
    #[cfg(test)]
    pub(super) fn without_openat2(&self) {
        self.one_call.store(false, Ordering::Relaxed);
    }

    /// `None` says: step by step, which also finds the right error.
    fn open_in_one_call(&self, path: &[u8]) -> Option<OwnedFd> {
        if path.len() > ONE_CALL || !self.one_call.load(Ordering::Relaxed) {
            return None;
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match fs::openat2(&self.root, path, OPEN_DIRECTORY, Mode::empty(), resolve) {
            Ok(fd) => Some(fd),
            Err(Errno::NOSYS | Errno::PERM) => {
                self.one_call.store(false, Ordering::Relaxed);
                None
            }
            Err(_) => None,
        }
    }

    /// One component at a time from the nearest directory that is open.
    fn step(&self, path: &[u8], make: bool) -> Result<OwnedFd, ExtractError> {
        let mut at = self.nearest(path);
        let mut done = at.path.len();
        loop {
            let start = if done == 0 { 0 } else { done + 1 };
            let rest = path.get(start..).unwrap_or_default();
            let end = start + memchr::memchr(b'/', rest).unwrap_or(rest.len());
            let name = path.get(start..end).unwrap_or_default();
            let below = path.get(..end).unwrap_or_default();
            let fd = match open_component(&at, name) {
                Err(Errno::NOENT) if make => {
                    self.make(&at, name, below, Mode::from_raw_mode(0o755))?;
                    open_component(&at, name)
                }
                other => other,
            }
            .map_err(|errno| self.explain(&at, name, below, errno))?;
            if end >= path.len() {
                return Ok(fd);
            }
            at = Arc::new(Dir {
                path: below.into(),
                fd,
                fresh: false,
                inherits_acl: true,
                newborn: OnceLock::new(),
            });
            done = end;
        }
    }

    /// Makes a directory and books it as ours, in one step for other threads; `false` when the name is taken.
    /// The owner gets all permissions whatever the umask says.
    pub(super) fn make(&self, at: &Dir, name: &[u8], path: &[u8], mode: Mode) -> Result<bool, ExtractError> {
        let mut ledger = lock(&self.ledger);
        match fs::mkdirat(at, name, mode) {
            Ok(()) => {
                ledger.book_made(path);
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(errno) => Err(ExtractError::system("make directory", path, errno)),
        }
    }

    /// Turns the failure to open a component into an error that names what stands there.
    fn explain(&self, at: &Dir, name: &[u8], path: &[u8], errno: Errno) -> ExtractError {
        if matches!(errno, Errno::LOOP | Errno::NOTDIR)
            && let Ok(stat) = fs::statat(at, name, fs::AtFlags::SYMLINK_NOFOLLOW)
        {
            return ExtractError::Blocked { path: to_path(path), by: describe(stat.st_mode) };
        }
        ExtractError::system("open directory", path, errno)
    }

    fn cached(&self, path: &[u8]) -> Option<Arc<Dir>> {
        let mut open = lock(&self.open);
        let at = open.iter().rposition(|d| &*d.path == path)?;
        let dir = open.get(at).map(Arc::clone)?;
        if at + 1 != open.len() {
            open.remove(at);
            open.push(Arc::clone(&dir));
        }
        Some(dir)
    }

    fn keep(&self, dir: Arc<Dir>) {
        let mut open = lock(&self.open);
        open.retain(|d| d.path != dir.path);
        if open.len() >= KEPT_OPEN {
            open.remove(0);
        }
        open.push(dir);
    }

    /// The open directory with the longest path above `path`.
    fn nearest(&self, path: &[u8]) -> Arc<Dir> {
        lock(&self.open)
            .iter()
            .filter(|d| path.starts_with(&d.path) && path.get(d.path.len()) == Some(&b'/'))
            .max_by_key(|d| d.path.len())
            .map_or_else(|| Arc::clone(&self.root), Arc::clone)
    }
}

fn open_component(at: &Dir, name: &[u8]) -> Result<OwnedFd, Errno> {
    fs::openat(at, name, OPEN_DIRECTORY, Mode::empty())
}

/// What kind of object a mode says, for messages.
pub(super) fn describe(mode: u32) -> &'static str {
    match fs::FileType::from_raw_mode(mode) {
        fs::FileType::Directory => "a directory",
        fs::FileType::Symlink => "a symbolic link",
        fs::FileType::RegularFile => "a file",
        _ => "a special file",
    }
}

/// A panic in another thread leaves plain data behind these locks, which stays valid.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// What is accepted has only normal components, and is spelled the one way.
        #[test]
        fn accepted_paths_are_plain(path in proptest::collection::vec(
            prop_oneof![Just(b'/'), Just(b'.'), Just(0), any::<u8>()], 0..12)
        ) {
            if check(&path, &Limits::default()).is_ok() {
                let path = to_path(&path);
                let plain: std::path::PathBuf = path.components().collect();
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(plain.as_os_str(), path.as_os_str());
            }
        }
    }
}
