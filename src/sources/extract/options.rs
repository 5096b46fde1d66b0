//! The caller's choices, and the report of each entry.

use std::path::PathBuf;

/// What happens when a name is taken already. Directories that stand there are always merged into, never removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// What stands there stays as it is; so do attributes of directories.
    #[default]
    Never,
    /// It is replaced when its modification time is before the archive's.
    Older,
    /// It is replaced. A directory of the archive also replaces a file or symbolic link that has its name;
    /// nothing replaces a directory.
    Always,
    /// It stays, and the restored object takes the first free name of `NAME.restored`, `NAME.restored.2`, ...
    Rename,
}

/// Whether owners and groups are restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// When the process has CAP_CHOWN.
    #[default]
    Auto,
    /// Always tried; a refusal is a warning.
    Always,
    /// Never: what is restored belongs to the user who restores.
    Never,
}

/// Caps against hostile archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries of one restore.
    pub entries: u64,
    /// Components of one path.
    pub depth: u64,
    /// Bytes of one path.
    pub path_bytes: u64,
    /// Bytes of one file, holes included.
    pub file_bytes: u64,
    /// Bytes of stored content of one restore.
    pub total_bytes: u64,
}

impl Default for Limits {
    /// Depth 4,096, paths of 32 KiB, files of 2^63-1 bytes; entries and total bytes without a cap.
    fn default() -> Self {
        Limits {
            entries: u64::MAX,
            depth: 4096,
            path_bytes: 32 * 1024,
            file_bytes: i64::MAX as u64,
            total_bytes: u64::MAX,
        }
    }
}

/// How a restore treats what it finds and what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtractOptions {
    /// Names that are taken.
    pub overwrite: Overwrite,
    /// Owners and groups.
    pub owners: Owners,
    /// Whether device nodes are made. FIFOs always are: they give access to nothing.
    pub special: bool,
    /// Whether regular files keep set-user-id, set-group-id and `security.capability`. Even then the bits are
    /// dropped where the file did not get the archive's owner and group. Directories keep theirs.
    pub keep_setid: bool,
    /// Caps.
    pub limits: Limits,
}

/// Why an entry was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// The name is taken and [`Overwrite::Never`] (for directories also [`Overwrite::Rename`]) was chosen.
    Exists,
    /// What stands there is not older.
    NewerExists,
    /// A device node, and [`ExtractOptions::special`] is off.
    DeviceNotAllowed,
    /// A device node, and the process may not make one.
    DeviceNotPermitted,
    /// A hard link to a file that was itself skipped; linking to what stands there would restore other content.
    LinkTargetSkipped,
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SkipReason::Exists => "the name is taken",
            SkipReason::NewerExists => "what stands there is not older",
            SkipReason::DeviceNotAllowed => "device nodes are made only when asked for",
            SkipReason::DeviceNotPermitted => "this process may not make device nodes",
            SkipReason::LinkTargetSkipped => "the file it is a hard link to was left as it is",
        })
    }
}

/// What became of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not there.
    Created,
    /// It took the place of what was there (directories: their attributes will be set).
    Replaced,
    /// With [`Overwrite::Older`]: kind, size and modification time were equal. A hard link: it was one already.
    Unchanged,
    /// It was restored under this path below the target.
    Renamed(PathBuf),
    /// It was not restored.
    Skipped(SkipReason),
}
