//! Whether a source can be backed up as it is described.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::catalog::{Source, SourceKind};

/// Why a source cannot be backed up.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The path is relative.
    #[error("{}: give the whole path, from / on", path.display())]
    Relative {
        /// The path.
        path: PathBuf,
    },
    /// The path is not there, or nobody may look.
    #[error("{}: {source}", path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The path leads into the state directory.
    #[error(
        "{}: lies in the state directory, which holds this installation's keys and users; its catalog is copied to tape with POST /api/v1/database-backup/backup", path.display()
    )]
    Own {
        /// The path.
        path: PathBuf,
    },
    /// The path is on another kind of file system than the source says.
    #[error(
        "{}: lies on {found} mounted at {}, not on a mount of kind {wanted}; mount the share there first, or say that the source is local",
        path.display(), mount.display()
    )]
    Kind {
        /// The path.
        path: PathBuf,
        /// The kind of the source.
        wanted: SourceKind,
        /// What it lies on.
        found: String,
        /// Where that is mounted.
        mount: PathBuf,
    },
    /// The mounts cannot be read.
    #[error("the list of mounts cannot be read")]
    Mounts(#[source] std::io::Error),
    /// A pattern is malformed.
    #[error("{pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
}

/// Looks at a source: the path is there, and for a share lies on a mount of that kind.
///
/// # Errors
/// What is wrong, and the way out.
pub fn check_source(kind: SourceKind, path: &Path) -> Result<(), SourceFault> {
    if !path.is_absolute() {
        return Err(SourceFault::Relative { path: path.into() });
    }
    let unusable = |source| SourceFault::Path { path: path.into(), source };
    std::fs::symlink_metadata(path).map_err(unusable)?;
    if kind == SourceKind::Local {
        return Ok(());
    }
    let full = path.canonicalize().map_err(unusable)?;
    let mounts = std::fs::read("/proc/self/mountinfo").map_err(SourceFault::Mounts)?;
    check_mount(kind, &full, &mounts)
}

/// The patterns of a source as a backup takes them: what is left out, and with a `!` before it what alone is taken.
pub fn walk_patterns(source: &Source) -> Vec<String> {
    let taken = source.include.iter().map(|pattern| format!("!{pattern}"));
    source.exclude.iter().cloned().chain(taken).collect()
}

/// Whether each pattern can be used.
///
/// # Errors
/// The first that cannot.
pub fn check_patterns<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<(), SourceFault> {
    for pattern in patterns {
        let fault = |reason| SourceFault::Pattern { pattern: pattern.clone(), reason };
        if pattern.is_empty() {
            return Err(fault("an empty pattern matches nothing".into()));
        }
        if pattern.starts_with('!') {
            return Err(fault("begins with `!`; write `[!]` for a name that does".into()));
        }
        globset::Glob::new(pattern).map_err(|error| fault(error.kind().to_string()))?;
    }
    Ok(())
}

/// A mount that hides another at the same place comes later in the list.
fn check_mount(kind: SourceKind, path: &Path, mountinfo: &[u8]) -> Result<(), SourceFault> {
    let mounts = mountinfo.split(|byte| *byte == b'\n').filter_map(parse_mount);
    let below = mounts.filter(|(mount, _)| path.starts_with(mount));
    let Some((mount, found)) = below.max_by_key(|(mount, _)| mount.components().count()) else {
        return Ok(());
    };
    let fits = match kind {
        SourceKind::Local => true,
        SourceKind::Nfs => found.starts_with("nfs"),
        SourceKind::Smb => found.starts_with("cifs") || found.starts_with("smb"),
    };
    if fits {
        return Ok(());
    }
    Err(SourceFault::Kind { path: path.into(), wanted: kind, found, mount })
}

/// Mount point and file system type of one line of proc_pid_mountinfo(5).
fn parse_mount(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let mount = PathBuf::from(OsString::from_vec(unescape(mount)));
    Some((mount, OsString::from_vec(kind.to_vec()).to_string_lossy().into_owned()))
}

/// `\040` and the like, as the kernel writes blanks and line ends.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        out.push(octal.unwrap_or(first));
        rest = if octal.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
    out
}

/// What a request may name as a destination: an absolute path without `..`.
///
/// # Errors
/// The path is relative or climbs.
pub fn check_destination(path: &Path) -> Result<(), SourceFault> {
    let climbs = path.components().any(|part| part.as_os_str().as_bytes() == b"..");
    if path.is_absolute() && !climbs { Ok(()) } else { Err(SourceFault::Relative { path: path.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOUNTS: &str = "\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 21 0:40 / /mnt/nfs rw shared:9 master:3 - nfs4 server:/export rw,vers=4.2
41 21 0:41 / /mnt/My\\040Share rw - cifs //server/share rw
42 40 0:42 / /mnt/nfs/inner rw - tmpfs tmpfs rw
43 21 0:43 / /over rw - ext4 /dev/sdb1 rw
44 43 0:44 / /over rw - nfs server:/over rw
malformed line
";

    fn check(kind: SourceKind, path: &str) -> Result<(), String> {
        check_mount(kind, Path::new(path), MOUNTS.as_bytes()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_share_has_to_be_mounted() {
        use SourceKind::{Nfs, Smb};
        assert_eq!(check(Nfs, "/mnt/nfs/home"), Ok(()));
        assert_eq!(check(Smb, "/mnt/My Share"), Ok(()));
        assert_eq!(check(Nfs, "/over/x"), Ok(()), "the later mount hides the earlier");
        for (kind, path, word) in [
            (Nfs, "/home", "ext4"),
            (Nfs, "/mnt/nfsx", "ext4"),
            (Nfs, "/mnt/nfs/inner/a", "tmpfs"),
            (Smb, "/mnt/nfs", "nfs4"),
        ] {
            let told = check(kind, path).unwrap_err();
            assert!(told.contains(word) && told.contains(path), "{told}");
        }
    }

    #[test]
    fn a_local_source_has_to_be_there() {
        let directory = tempfile::tempdir().unwrap();
        check_source(SourceKind::Local, directory.path()).unwrap();
        let gone = check_source(SourceKind::Local, &directory.path().join("gone"));
        assert!(matches!(gone, Err(SourceFault::Path { .. })));
        assert!(matches!(
            check_source(SourceKind::Local, Path::new("tmp")),
            Err(SourceFault::Relative { .. })
        ));
        let here = check_source(SourceKind::Smb, directory.path());
        assert!(matches!(here, Err(SourceFault::Kind { .. })), "{here:?}");
    }

    #[test]
    fn patterns_are_checked() {
        let patterns =
            |list: &[&str]| check_patterns(&list.iter().map(ToString::to_string).collect::<Vec<_>>());
        patterns(&["*.doc", "cache/*", "[a-z]?"]).unwrap();
        assert!(patterns(&["*.doc", "[a"]).unwrap_err().to_string().contains("[a"));
        assert!(patterns(&[""]).is_err() && patterns(&["!a"]).is_err());
    }

    #[test]
    fn destinations_are_whole_paths() {
        check_destination(Path::new("/restore/output")).unwrap();
        for wrong in ["restore", "/restore/../etc", ""] {
            assert!(check_destination(Path::new(wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_survived(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_mount(&line);
            prop_assert!(unescape(&line).len() <= line.len());
        }

        #[test]
        fn any_mount_point_comes_back(name in proptest::collection::vec(1u8.., 1..20)) {
            let mut escaped = Vec::new();
            for byte in &name {
                match byte {
                    b' ' | b'\t' | b'\n' | b'\\' => escaped.extend(format!("\\{byte:03o}").bytes()),
                    other => escaped.push(*other),
                }
            }
            let mut line = b"1 2 3:4 / /".to_vec();
            line.extend(&escaped);
            line.extend(b" rw - nfs server:/x rw");
            let mut expected = b"/".to_vec();
            expected.extend(&name);
            let found = parse_mount(&line).map(|(mount, kind)| (mount.into_os_string().into_vec(), kind));
            prop_assert_eq!(found, Some((expected, "nfs".to_owned())));
        }
    }
}
