//! Where a walk goes on that an earlier run began. The order of the walk is total: a directory, its other entries by name,
//! its subdirectories by name, each with all it holds.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::format::v1::seen::SeenEntry;
use crate::format::v1::{Kind, Timestamp};

/// What a name that was stored is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Regular file or symbolic link.
    pub kind: Kind,
    /// Bytes of content of a regular file.
    pub size: u64,
    /// When its content changed last.
    pub mtime: Timestamp,
}

/// What an earlier run stored.
pub trait Known: Send + Sync {
    /// The first name of the object stored as `path` (without its leading `/`); `None` where it is not stored, or not as
    /// it is now.
    fn first_name(&self, path: &[u8], seen: &Seen) -> Option<Vec<u8>>;
}

/// What the set saw upon which an incremental one is built.
pub trait Baseline: Send + Sync {
    /// The names of the directory with this stored path (without its leading `/`); empty where it was not there.
    fn directory(&self, path: &[u8]) -> HashMap<Vec<u8>, SeenEntry>;
}

/// The last member that an earlier run stored, and what it knows of those before.
#[derive(Clone)]
pub struct After {
    /// Stored path, without its leading `/`.
    pub path: Vec<u8>,
    /// Whether it is a directory.
    pub directory: bool,
    /// What was stored.
    pub known: Arc<dyn Known>,
}

impl std::fmt::Debug for After {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("After").field("path", &self.path).field("directory", &self.directory).finish()
    }
}

/// The last member as steps below a root. Entries come before subdirectories.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Entry(Vec<u8>),
    Directory(Vec<u8>),
}

/// Where a directory lies with respect to the last member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// All of it comes later.
    Later,
    /// The last member is this directory, or below it; so many steps were taken.
    Around(usize),
    /// All of it was stored.
    Stored,
}

/// The roots and the last member.
#[derive(Debug, Default)]
pub(super) struct Start {
    /// Number of the root that holds it.
    root: Option<usize>,
    steps: Vec<Step>,
}

impl Start {
    pub(super) fn new(roots: &[PathBuf], after: Option<&After>) -> Start {
        let Some(after) = after else { return Start::default() };
        let components = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|b| *b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect()
        };
        let last = components(&after.path);
        for (number, root) in roots.iter().enumerate() {
            let root = components(root.as_os_str().as_bytes());
            let Some(below) = last.strip_prefix(root.as_slice()) else { continue };
            let mut steps: Vec<Step> = below.iter().cloned().map(Step::Directory).collect();
            if !after.directory
                && let Some(Step::Directory(name)) = steps.pop()
            {
                steps.push(Step::Entry(name));
            }
            return Start { root: Some(number), steps };
        }
        Start::default()
    }

    /// Of a root, by its number.
    pub(super) fn root(&self, number: usize) -> Place {
        match self.root {
            None => Place::Later,
            Some(last) if number < last => Place::Stored,
            Some(last) if number == last => Place::Around(0),
            Some(_) => Place::Later,
        }
    }

    /// Whether an entry that is no directory was stored.
    pub(super) fn has_entry(&self, directory: Place, name: &[u8]) -> bool {
        match directory {
            Place::Later => false,
            Place::Stored => true,
            Place::Around(taken) => match self.steps.get(taken) {
                None => false,
                Some(Step::Directory(_)) => true,
                Some(Step::Entry(last)) => name <= last.as_slice(),
            },
        }
    }

    /// Of a subdirectory.
    pub(super) fn subdirectory(&self, directory: Place, name: &[u8]) -> Place {
        match directory {
            Place::Around(taken) => match self.steps.get(taken) {
                None | Some(Step::Entry(_)) => Place::Later,
                Some(Step::Directory(last)) => match name.cmp(last) {
                    std::cmp::Ordering::Less => Place::Stored,
                    std::cmp::Ordering::Equal => Place::Around(taken + 1),
                    std::cmp::Ordering::Greater => Place::Later,
                },
            },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl Known for Nothing {
        fn first_name(&self, _: &[u8], _: &Seen) -> Option<Vec<u8>> {
            None
        }
    }

    fn start(path: &str, directory: bool) -> Start {
        let after = After { path: path.into(), directory, known: Arc::new(Nothing) };
        Start::new(&["/a".into(), "/a b/c".into(), "/d".into()], Some(&after))
    }

    #[test]
    fn entries_come_before_subdirectories() {
        let inside = start("a b/c/m/k", false);
        assert_eq!(
            [inside.root(0), inside.root(1), inside.root(2)],
            [Place::Stored, Place::Around(0), Place::Later]
        );
        let root = inside.root(1);
        assert!(inside.has_entry(root, b"z"), "entries of the root come before its subdirectory m");
        assert_eq!(inside.subdirectory(root, b"l"), Place::Stored);
        assert_eq!(inside.subdirectory(root, b"n"), Place::Later);
        let m = inside.subdirectory(root, b"m");
        assert_eq!(m, Place::Around(1));
        assert!(inside.has_entry(m, b"k") && !inside.has_entry(m, b"k0"));
        assert_eq!(inside.subdirectory(m, b"a"), Place::Later);
        assert_eq!(inside.subdirectory(Place::Stored, b"x"), Place::Stored);
    }

    #[test]
    fn a_directory_alone_was_stored() {
        let at = start("a b/c/m", true);
        let m = at.subdirectory(at.root(1), b"m");
        assert_eq!(m, Place::Around(1));
        assert!(!at.has_entry(m, b"a"));
        assert_eq!(at.subdirectory(m, b"a"), Place::Later);
        let root = start("d", false);
        assert_eq!((root.root(1), root.root(2)), (Place::Stored, Place::Around(0)));
    }

    #[test]
    fn without_an_earlier_run_all_comes() {
        let all = Start::new(&["/".into()], None);
        assert_eq!(all.root(0), Place::Later);
        assert!(!all.has_entry(Place::Later, b"x"));
    }
}
