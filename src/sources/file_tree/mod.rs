//! Directory trees: walked by one thread, read, encoded and hashed by several, delivered in walk order.

mod after;
mod attributes;
mod read;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, bounded};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::Batch;

pub use after::{After, Baseline, Known, Seen};

/// What of the file system to store.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Absolute, existing paths; none below another.
    pub roots: Vec<PathBuf>,
    /// Wildcards of what to leave out: without `/` they match a name, with `/` the absolute path, or its end where they begin
    /// with a name; `*` crosses `/`. With wildcards that begin with `!`, everything but directories is left out that matches
    /// none of those.
    pub exclude: Vec<String>,
    /// Do not leave the file system of each root.
    pub one_file_system: bool,
    /// Directories (device, inode) that are never entered: our own state, above all.
    pub never: Vec<(u64, u64)>,
    /// Begin behind this member, which an earlier run stored.
    pub after: Option<After>,
    /// Store only what is not as it was then.
    pub baseline: Option<Unchanged>,
}

/// What an incremental backup is built upon.
#[derive(Clone)]
pub struct Unchanged(pub Arc<dyn Baseline>);

impl std::fmt::Debug for Unchanged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unchanged")
    }
}

/// A selection that cannot be walked.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A pattern is not a wildcard.
    #[error("exclude pattern {pattern:?} cannot be understood")]
    Pattern {
        /// As the user wrote it.
        pattern: String,
        /// The cause.
        source: globset::Error,
    },
    /// A root cannot be opened.
    #[error("{}: cannot be opened for backup", path.display())]
    Root {
        /// The path given.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// A running walk. Dropping it ends its threads.
pub struct FileTree {
    batches: Option<Receiver<Batch>>,
    recycled: read::Recycler,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Batches under way between the walker and the pipeline.
const BATCHES_IN_FLIGHT: usize = 12;

impl FileTree {
    /// Starts to walk and read `selection` with `readers` threads.
    ///
    /// # Errors
    /// A root that cannot be opened, or a pattern that is none.
    pub fn start(selection: &Selection, readers: usize) -> Result<FileTree, SelectionError> {
        let filter = Filter::new(&selection.exclude)?;
        let roots = walk::open_roots(selection)?;
        let stop = Arc::new(AtomicBool::new(false));
        let recycled = read::Recycler::default();
        // The walker sends the receiver of each batch to the pipeline and the batch itself to the readers.
        let (order_in, order_out) = bounded(BATCHES_IN_FLIGHT);
        let (work_in, work_out) = bounded(BATCHES_IN_FLIGHT);
        let mut threads = Vec::new();
        for number in 0..readers.max(1) {
            let (work, recycled, stop) = (work_out.clone(), recycled.clone(), stop.clone());
            let known = selection.after.as_ref().map(|after| after.known.clone());
            let baseline = selection.baseline.as_ref().map(|baseline| baseline.0.clone());
            let run = move || read::run(&work, &recycled, (known.as_deref(), baseline.as_deref()), &stop);
            threads.extend(spawn(&format!("read-{number}"), run));
        }
        let walker = walk::Walker::new(selection, filter, order_in, work_in, stop.clone());
        threads.extend(spawn("walk", move || walker.run(roots)));
        Ok(FileTree { batches: Some(order_out), recycled, stop, threads })
    }

    /// The next batch in walk order; `None` at the end.
    pub fn next_batch(&self) -> Option<Batch> {
        self.batches.as_ref()?.recv().ok()
    }

    /// Gives a buffer back for reuse.
    pub fn recycle(&self, buffer: Vec<u8>) {
        self.recycled.give(buffer);
    }
}

impl Drop for FileTree {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.batches = None; // unblocks the walker and, through it, the readers
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run).ok()
}

/// The patterns of a selection, compiled.
pub(super) struct Filter {
    left_out: Patterns,
    /// What is taken, where not everything is.
    taken: Option<Patterns>,
}

struct Patterns {
    names: GlobSet,
    paths: GlobSet,
}

impl Patterns {
    fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Patterns, SelectionError> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let error = |source| SelectionError::Pattern { pattern: pattern.to_owned(), source };
            let trimmed = pattern.trim_end_matches('/');
            if !trimmed.contains('/') {
                names.add(GlobBuilder::new(trimmed).build().map_err(error)?);
            } else if trimmed.starts_with(['/', '*']) {
                paths.add(GlobBuilder::new(trimmed).build().map_err(error)?);
            } else {
                paths.add(GlobBuilder::new(&format!("*/{trimmed}")).build().map_err(error)?);
            }
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|source| SelectionError::Pattern { pattern: String::new(), source })
        };
        Ok(Patterns { names: build(names)?, paths: build(paths)? })
    }

    fn match_any(&self, directory: &[u8], name: &[u8]) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let as_path = |bytes| std::path::Path::new(std::ffi::OsStr::from_bytes(bytes));
        (!self.names.is_empty() && self.names.is_match(as_path(name)))
            || (!self.paths.is_empty() && self.paths.is_match(as_path(&[directory, name].concat())))
    }
}

impl Filter {
    fn new(patterns: &[String]) -> Result<Filter, SelectionError> {
        let taken: Vec<&str> = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).collect();
        let left_out = patterns.iter().map(String::as_str).filter(|pattern| !pattern.starts_with('!'));
        Ok(Filter {
            left_out: Patterns::new(left_out)?,
            taken: if taken.is_empty() { None } else { Some(Patterns::new(taken.into_iter())?) },
        })
    }

    /// Whether an object, directory or not, is left out. `directory` is the absolute path with a trailing `/`.
    fn excludes(&self, directory: &[u8], name: &[u8]) -> bool {
        self.left_out.match_any(directory, name)
    }

    /// Whether something that is no directory is among what is taken.
    fn takes(&self, directory: &[u8], name: &[u8]) -> bool {
        self.taken.as_ref().is_none_or(|taken| taken.match_any(directory, name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Filter;

    fn excludes(pattern: &str, directory: &[u8], name: &[u8]) -> bool {
        Filter::new(&[pattern.to_owned()]).unwrap().excludes(directory, name)
    }

    #[test]
    fn names_and_paths() {
        for (pattern, directory, name, excluded) in [
            ("*.o", "/src/", "main.o", true),
            ("*.o", "/src/", "main.obj", false),
            ("cache", "/home/a/", "cache", true),
            ("cache/", "/home/a/", "cache", true), // a slash at the end says no more
            ("cache", "/home/cache/", "kept", false), // what is below is never asked for
            ("/home/*/cache", "/home/a/", "cache", true),
            ("/home/*/cache", "/home/a/b/", "cache", true), // `*` crosses slashes
            ("/home/*/cache", "/var/", "cache", false),
            ("{a,b}", "/", "b", true),
            ("[ab]?", "/", "bz", true),
            ("a", "/", "A", false),
            ("cache/*", "/home/a/cache/", "x", true),
            ("cache/*", "/home/a/nocache/", "x", false),
            ("cache/*", "/home/a/", "cache", false),
            ("!*.o", "/", "x.o", false),
        ] {
            assert_eq!(excludes(pattern, directory.as_bytes(), name.as_bytes()), excluded, "{pattern}");
        }
        assert!(excludes("*\u{fe}*", b"/", "x\u{fe}y".as_bytes()));
        assert!(excludes("raw*", b"/", b"raw\xff\n"));
        assert!(Filter::new(&["[a".to_owned()]).is_err());
        assert!(!Filter::new(&[]).unwrap().excludes(b"/", b"anything"));
    }

    #[test]
    fn only_what_is_wanted_is_taken() {
        let filter = Filter::new(&["!*.doc".into(), "!data/*".into(), "*.tmp".into()]).unwrap();
        for (directory, name, taken) in [
            ("/home/", "a.doc", true),
            ("/home/", "a.txt", false),
            ("/home/data/", "a.txt", true),
            ("/home/data/deep/", "a.txt", true),
        ] {
            assert_eq!(filter.takes(directory.as_bytes(), name.as_bytes()), taken, "{directory}{name}");
        }
        assert!(filter.excludes(b"/home/data/", b"a.tmp"), "what is left out is, wanted or not");
        assert!(Filter::new(&["x".into()]).unwrap().takes(b"/", b"anything"));
        assert!(Filter::new(&["![a".into()]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_pattern(pattern in ".{0,30}", directory in "(/[a-c]{1,3}){0,3}/", name: Vec<u8>) {
            if let Ok(filter) = Filter::new(&[pattern]) {
                let _ = filter.excludes(directory.as_bytes(), &name);
            }
        }

        #[test]
        fn a_name_excludes_itself_only(name in "[a-z .-]{1,10}", other in "[a-z .-]{1,10}") {
            let excluded = excludes(&name, b"/any/where/", other.as_bytes());
            prop_assert_eq!(excluded, name == other);
            let path = format!("/any/{name}");
            prop_assert!(excludes(&path, b"/any/", name.as_bytes()));
            prop_assert!(!excludes(&path, b"/other/", name.as_bytes()));
        }

        #[test]
        fn many_patterns_are_any_of_them(
            patterns in proptest::collection::vec("[ab*?]{1,3}|/[ab*]{1,3}", 1..5),
            name in "[ab]{1,3}",
        ) {
            let each = patterns.iter().any(|pattern| excludes(pattern, b"/", name.as_bytes()));
            prop_assert_eq!(Filter::new(&patterns).unwrap().excludes(b"/", name.as_bytes()), each);
        }
    }
}
