//! The walk: a directory, its other entries in byte order, then its subdirectories, each with all it holds.

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_channel::{Sender, bounded};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::after::{Place, Start};
use super::{Filter, Selection, SelectionError};
use crate::format::v1::seen::SeenEntry;
use crate::sources::{Batch, Part, Problem, ProblemKind};

/// A directory that readers open files in; it stays open as long as a batch needs it.
#[derive(Debug)]
pub(super) struct Directory {
    pub fd: OwnedFd,
    /// Absolute path with a trailing `/`.
    pub path: Vec<u8>,
    /// What was in it before, once a reader asked.
    pub before: OnceLock<HashMap<Vec<u8>, SeenEntry>>,
}

/// One thing for a reader to do.
#[derive(Debug)]
pub(super) enum Item {
    /// Go down into `name`. With a directory: it is a member and its metadata is stored.
    Enter { name: Vec<u8>, member: Option<Arc<Directory>> },
    /// Go down into `name`, whose own member, where it has one, was stored by an earlier run.
    Reenter { name: Vec<u8>, member: Option<Arc<Directory>> },
    /// Go up.
    Leave,
    /// An entry that was stored by an earlier run: only whether it has other names matters.
    Passed { directory: Arc<Directory>, name: CString },
    /// Read one entry that is no directory.
    Entry { directory: Arc<Directory>, name: CString, kind: FileType },
    /// Tell.
    Problem(Problem),
}

/// Items for one reader and where their parts go.
pub(super) struct Work {
    pub items: Vec<Item>,
    pub output: Sender<Part>,
}

/// Items of a batch at most.
const BATCH_ITEMS: usize = 128;
/// Directories a batch may keep open at most.
const BATCH_DIRECTORIES: usize = 24;
/// Parts of one batch that may wait for the pipeline.
const BATCH_PARTS: usize = 6;
/// Bytes of one directory listing call.
const LISTING_BYTES: usize = 64 * 1024;

/// A root, opened: where it is and what it is.
pub(super) struct Root {
    parents: Vec<Vec<u8>>,
    place: Place,
    target: Target,
}

enum Target {
    Directory { name: Vec<u8>, directory: Arc<Directory>, device: u64 },
    Other { parent: Arc<Directory>, name: CString, kind: FileType },
}

const OPEN_DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens every root, so that a mistake is told before anything is written.
pub(super) fn open_roots(selection: &Selection) -> Result<Vec<Root>, SelectionError> {
    let start = Start::new(&selection.roots, selection.after.as_ref());
    let mut roots = Vec::new();
    for (number, path) in selection.roots.iter().enumerate() {
        let place = start.root(number);
        match open_root(path, place) {
            Ok(root) => roots.push(root),
            // What was stored may be gone since.
            Err(_) if place != Place::Later => {}
            Err(error) => return Err(error),
        }
    }
    Ok(roots)
}

fn open_root(path: &Path, place: Place) -> Result<Root, SelectionError> {
    let error = |errno: Errno| SelectionError::Root { path: path.into(), source: errno.into() };
    let bytes = path.as_os_str().as_bytes();
    let mut parents: Vec<Vec<u8>> =
        bytes.split(|b| *b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect();
    let name = parents.pop().unwrap_or_default();
    let status = rustix::fs::lstat(path).map_err(error)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    let target = if kind == FileType::Directory {
        let fd = rustix::fs::open(path, OPEN_DIRECTORY, Mode::empty()).map_err(error)?;
        let mut with_slash = bytes.to_vec();
        if !with_slash.ends_with(b"/") {
            with_slash.push(b'/');
        }
        let directory = Arc::new(Directory { fd, path: with_slash, before: OnceLock::new() });
        Target::Directory { name, directory, device: status.st_dev }
    } else {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let fd = rustix::fs::open(parent, OPEN_DIRECTORY, Mode::empty()).map_err(error)?;
        let mut with_slash = parent.as_os_str().as_bytes().to_vec();
        if !with_slash.ends_with(b"/") {
            with_slash.push(b'/');
        }
        let name = CString::new(name).map_err(|_| error(Errno::INVAL))?;
        Target::Other {
            parent: Arc::new(Directory { fd, path: with_slash, before: OnceLock::new() }),
            name,
            kind,
        }
    };
    Ok(Root { parents, place, target })
}

/// A directory whose entries are being handed out.
struct Level {
    directory: Arc<Directory>,
    place: Place,
    device: u64,
    subdirectories: VecDeque<CString>,
}

pub(super) struct Walker {
    filter: Filter,
    start: Start,
    one_file_system: bool,
    never: Vec<(u64, u64)>,
    order: Sender<Batch>,
    work: Sender<Work>,
    stop: Arc<AtomicBool>,
    items: Vec<Item>,
    directories: usize,
}

impl Walker {
    pub(super) fn new(
        selection: &Selection,
        filter: Filter,
        order: Sender<Batch>,
        work: Sender<Work>,
        stop: Arc<AtomicBool>,
    ) -> Walker {
        Walker {
            filter,
            start: Start::new(&selection.roots, selection.after.as_ref()),
            one_file_system: selection.one_file_system,
            never: selection.never.clone(),
            order,
            work,
            stop,
            items: Vec::with_capacity(BATCH_ITEMS),
            directories: 0,
        }
    }

    /// Walks until the end, or until the pipeline goes away.
    pub(super) fn run(mut self, roots: Vec<Root>) {
        let mut listing = vec![MaybeUninit::uninit(); LISTING_BYTES];
        // Roots that share parents must not leave and re-enter them: the index wants each directory's run whole.
        let mut entered: Vec<Vec<u8>> = Vec::new();
        for root in roots {
            if root.place == Place::Stored {
                match root.target {
                    Target::Directory { name, directory, device } => {
                        self.walk(name, directory, device, root.place, &mut listing);
                    }
                    Target::Other { parent, name, .. } => self.pass(&parent, name),
                }
                continue;
            }
            let common = entered.iter().zip(&root.parents).take_while(|(a, b)| a == b).count();
            for _ in common..entered.len() {
                self.items.push(Item::Leave);
            }
            entered.truncate(common);
            for name in &root.parents[common..] {
                self.items.push(match root.place {
                    Place::Around(_) => Item::Reenter { name: name.clone(), member: None },
                    _ => Item::Enter { name: name.clone(), member: None },
                });
                entered.push(name.clone());
            }
            match root.target {
                Target::Directory { name, directory, device } => {
                    self.walk(name, directory, device, root.place, &mut listing);
                }
                Target::Other { parent, name, .. } if root.place != Place::Later => self.pass(&parent, name),
                Target::Other { parent, name, kind } => self.push_entry(&parent, name, kind),
            }
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
        }
        for _ in entered {
            self.items.push(Item::Leave);
        }
        self.send();
    }

    fn walk(
        &mut self,
        name: Vec<u8>,
        root: Arc<Directory>,
        device: u64,
        place: Place,
        listing: &mut [MaybeUninit<u8>],
    ) -> Option<()> {
        let at_top = name.is_empty();
        let mut levels = vec![self.enter(name, root, device, place, listing)?];
        while let Some(level) = levels.last_mut() {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let Some(name) = level.subdirectories.pop_front() else {
                let was_entered = level.place != Place::Stored;
                levels.pop();
                if was_entered && !(at_top && levels.is_empty()) {
                    self.push(Item::Leave)?;
                }
                continue;
            };
            let (parent, parent_device) = (level.directory.clone(), level.device);
            let place = self.start.subdirectory(level.place, name.as_bytes());
            if let Some((directory, device)) = self.descend(&parent, parent_device, place, &name)? {
                let level = self.enter(name.into_bytes(), directory, device, place, listing)?;
                levels.push(level);
            }
        }
        Some(())
    }

    /// Opens a subdirectory unless it must not be entered. `None` ends the walk.
    #[allow(clippy::type_complexity)]
    fn descend(
        &mut self,
        parent: &Directory,
        parent_device: u64,
        place: Place,
        name: &CString,
    ) -> Option<Option<(Arc<Directory>, u64)>> {
        let mut path = [&parent.path, name.as_bytes()].concat();
        let opened = rustix::fs::openat(&parent.fd, name, OPEN_DIRECTORY, Mode::empty())
            .and_then(|fd| rustix::fs::fstat(&fd).map(|status| (fd, status)));
        let (fd, status) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                let kind =
                    if errno == Errno::NOENT { ProblemKind::Vanished } else { ProblemKind::Unreadable };
                self.told(Problem { path, kind, error: Some(errno) }, place)?;
                return Some(None);
            }
        };
        if self.never.contains(&(status.st_dev, status.st_ino)) {
            return Some(None);
        }
        if status.st_dev != parent_device {
            let kind = if self.one_file_system {
                Some(ProblemKind::OtherFileSystem)
            } else if is_pseudo(&fd) {
                Some(ProblemKind::PseudoFileSystem)
            } else {
                None
            };
            if let Some(kind) = kind {
                self.told(Problem { path, kind, error: None }, place)?;
                return Some(None);
            }
        }
        path.push(b'/');
        Some(Some((Arc::new(Directory { fd, path, before: OnceLock::new() }), status.st_dev)))
    }

    /// Lists a directory, hands out what is not a directory, keeps the rest for later.
    fn enter(
        &mut self,
        name: Vec<u8>,
        directory: Arc<Directory>,
        device: u64,
        place: Place,
        listing: &mut [MaybeUninit<u8>],
    ) -> Option<Level> {
        let member = Some(directory.clone());
        match place {
            Place::Later if !name.is_empty() => self.push(Item::Enter { name, member })?,
            Place::Around(_) if !name.is_empty() => self.push(Item::Reenter { name, member })?,
            _ => {}
        }
        let mut entries: Vec<(CString, FileType)> = Vec::new();
        let mut subdirectories: Vec<CString> = Vec::new();
        let mut reader = RawDir::new(&directory.fd, listing);
        while let Some(entry) = reader.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    let problem = Problem {
                        path: directory.path.clone(),
                        kind: ProblemKind::Unreadable,
                        error: Some(errno),
                    };
                    self.told(problem, place)?;
                    break;
                }
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..")
                || self.filter.excludes(&directory.path, name.to_bytes())
            {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown {
                kind = rustix::fs::statat(&directory.fd, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::RegularFile, |status| FileType::from_raw_mode(status.st_mode));
            }
            if kind == FileType::Directory {
                subdirectories.push(name.to_owned());
            } else if self.filter.takes(&directory.path, name.to_bytes()) {
                entries.push((name.to_owned(), kind));
            }
        }
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        subdirectories.sort_unstable();
        self.directories += 1;
        for (name, kind) in entries {
            let directory = directory.clone();
            if !self.start.has_entry(place, name.as_bytes()) {
                self.push(Item::Entry { directory, name, kind })?;
            } else if matches!(kind, FileType::RegularFile | FileType::Symlink) {
                self.push(Item::Passed { directory, name })?;
            }
        }
        Some(Level { directory, place, device, subdirectories: subdirectories.into() })
    }

    /// What an earlier run met it has told.
    fn told(&mut self, problem: Problem, place: Place) -> Option<()> {
        if place == Place::Later { self.push(Item::Problem(problem)) } else { Some(()) }
    }

    fn pass(&mut self, directory: &Arc<Directory>, name: CString) {
        self.push(Item::Passed { directory: directory.clone(), name });
    }

    fn push_entry(&mut self, directory: &Arc<Directory>, name: CString, kind: FileType) {
        self.push(Item::Entry { directory: directory.clone(), name, kind });
    }

    fn push(&mut self, item: Item) -> Option<()> {
        self.items.push(item);
        if self.items.len() >= BATCH_ITEMS || self.directories >= BATCH_DIRECTORIES {
            self.send()?;
        }
        Some(())
    }

    fn send(&mut self) -> Option<()> {
        self.directories = 0;
        let items = std::mem::replace(&mut self.items, Vec::with_capacity(BATCH_ITEMS));
        let (output, parts) = bounded(BATCH_PARTS);
        self.order.send(parts).ok()?;
        self.work.send(Work { items, output }).ok()
    }
}

/// Whether a file system is made up by the kernel, from the magic numbers of statfs(2).
fn is_pseudo(fd: &OwnedFd) -> bool {
    const MAGIC: [i64; 13] = [
        0x9fa0,      // proc
        0x6265_6572, // sysfs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0x1cd1,      // devpts
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x7363_6673, // securityfs
        0xcafe_4a11, // bpf
        0x6165_676c, // pstore
        0x1980_0202, // mqueue
        0xde5e_81e4, // efivarfs
        0x6265_6570, // configfs
    ];
    rustix::fs::fstatfs(fd).is_ok_and(|status| MAGIC.contains(&{ status.f_type }))
}

/// Opens `name` for reading without touching its access time where that is allowed.
pub(super) fn open_file(directory: &Directory, name: &CString) -> rustix::io::Result<OwnedFd> {
    const FLAGS: OFlags =
        OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
    match rustix::fs::openat(&directory.fd, name, FLAGS | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&directory.fd, name, FLAGS, Mode::empty()),
        other => other,
    }
}
