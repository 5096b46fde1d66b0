//! What can go wrong with one object while it is put back.

use std::io;
use std::path::{Path, PathBuf};

use crate::format::v1::shown;

/// Why a path is never used, whatever stands in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// No component at all, or two slashes together.
    #[error("an empty component")]
    Empty,
    /// It begins with `/`.
    #[error("a leading slash")]
    Absolute,
    /// A component is `.` or `..`.
    #[error("a component `.` or `..`")]
    Dots,
    /// It holds a NUL byte.
    #[error("a NUL byte")]
    Nul,
}

/// An error or a warning about one object; paths are those below the target.
///
/// Names are shown escaped, so that a name with a newline cannot forge a line of a report.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// The archive names a path that could lead out of the target. Nothing was created.
    #[error("unsafe path {path:?}: {fault}")]
    UnsafePath {
        /// As the archive has it.
        path: PathBuf,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// Something that may neither be followed nor removed is in the way: a symbolic link or a file where a
    /// directory is needed, or a directory where something else is to go.
    #[error("{} is blocked by {by} already there", place(path))]
    Blocked {
        /// The path of what is in the way.
        path: PathBuf,
        /// What it is.
        by: &'static str,
    },
    /// A cap of [`super::Limits`] was reached.
    #[error("{} exceeds the limit of {most} {what}", place(path))]
    Limit {
        /// The entry that exceeds it.
        path: PathBuf,
        /// What is counted.
        what: &'static str,
        /// The cap.
        most: u64,
    },
    /// The first name of a hard link does not exist beneath the target; its content must be restored instead.
    #[error("{} is a hard link to {}, which has not been restored", place(path), place(link))]
    LinkTargetMissing {
        /// The further name.
        path: PathBuf,
        /// The first name.
        link: PathBuf,
    },
    /// The first name of a hard link is neither a regular file nor a symbolic link.
    #[error(
        "{} is a hard link to {}, which is neither a regular file nor a symbolic link",
        place(path),
        place(link)
    )]
    LinkTargetKind {
        /// The further name.
        path: PathBuf,
        /// The first name.
        link: PathBuf,
    },
    /// The sparse map overlaps, runs backwards or leaves the file.
    #[error("{} has an impossible sparse map", place(path))]
    SparseMap {
        /// The entry.
        path: PathBuf,
    },
    /// More or less content came than the entry announces. The file was not put in place.
    #[error("{} announces {expected} bytes of content, {got} came", place(path))]
    Length {
        /// The entry.
        path: PathBuf,
        /// Bytes of stored data announced.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// [`super::Extractor::write_small`] was given something that is not a regular file.
    #[error("{} is not a regular file", place(path))]
    NotRegular {
        /// The entry.
        path: PathBuf,
    },
    /// Warning: set-user-id, set-group-id or a capability was left away, by policy or because the owner could
    /// not be restored.
    #[error("{} lost its {what}", place(path))]
    PrivilegeDropped {
        /// The entry.
        path: PathBuf,
        /// Which privilege.
        what: &'static str,
    },
    /// A system call failed.
    #[error("cannot {step} {}", place(path))]
    System {
        /// What was tried.
        step: &'static str,
        /// The entry or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An extended attribute was not set (a warning).
    #[error("cannot set attribute {name:?} of {}", place(path))]
    Attribute {
        /// The entry.
        path: PathBuf,
        /// Name of the attribute.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// So many warnings came that these were only counted.
    #[error("{count} further warnings were not kept")]
    WarningsDropped {
        /// How many.
        count: u64,
    },
}

impl ExtractError {
    /// A failed system call on `path`.
    pub(super) fn system(step: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        ExtractError::System { step, path: to_path(path), source: source.into() }
    }
}

/// Bytes as a path.
pub(super) fn to_path(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}

/// How a path below the target is shown.
fn place(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    match path.as_os_str().as_bytes() {
        [] => "the target directory".to_owned(),
        [b'/', path @ ..] | path => shown(path),
    }
}
