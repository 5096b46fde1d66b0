//! Owners, modes, times, extended attributes and ACLs of one object that is open.
//!
//! The order matters: a change of owner clears set-user-id and capabilities, an ACL rewrites the mode, and a
//! plain user can set attributes only while the file is writable; times come last.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{self, AtFlags, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::format::v1::entry::{Entry, Timestamp};

use super::error::{ExtractError, to_path};
use super::options::Owners;

const CAPABILITY: &[u8] = b"security.capability";
const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// How the object is held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// Open for use: a regular file or a directory.
    Open(BorrowedFd<'a>),
    /// Open as a place only (O_PATH), since opening it could block or act: a FIFO or device.
    Place(BorrowedFd<'a>),
    /// A symbolic link, open as a place: it has no mode and no ACL.
    Link(BorrowedFd<'a>),
}

/// The attributes to set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a> {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    pub(super) xattrs: &'a [(Vec<u8>, Vec<u8>)],
    pub(super) acl_access: Option<&'a [u8]>,
    /// Directories only.
    pub(super) acl_default: Option<&'a [u8]>,
    pub(super) directory: bool,
}

impl<'a> Attributes<'a> {
    /// Those of an entry that is not a directory.
    pub(super) fn of(entry: &'a Entry) -> Self {
        Attributes {
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: &entry.xattrs,
            acl_access: entry.acl_access.as_deref(),
            acl_default: None,
            directory: false,
        }
    }
}

/// What the object looks like before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `None` when it may differ from what the entry wants in any way.
    pub(super) mode: Option<u32>,
    /// It may have an ACL from its directory.
    pub(super) inherited_acl: bool,
}

/// What this process may do and is told to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    pub(super) owners: bool,
    pub(super) keep_setid: bool,
    /// Bits that the kernel takes from the mode of new files; all when unknown.
    pub(super) umask: u32,
}

impl Policy {
    /// Reads the process's capabilities and umask once.
    pub(super) fn new(owners: Owners, keep_setid: bool) -> Policy {
        const CAP_CHOWN: u64 = 1;
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        let permitted = field("CapEff:").and_then(|v| u64::from_str_radix(v, 16).ok());
        let owners = match owners {
            Owners::Always => true,
            Owners::Never => false,
            Owners::Auto => permitted.map_or_else(
                || rustix::process::geteuid().is_root(),
                |capabilities| capabilities & CAP_CHOWN != 0,
            ),
        };
        let umask = field("Umask:").and_then(|v| u32::from_str_radix(v, 8).ok()).unwrap_or(0o777);
        Policy { owners, keep_setid, umask }
    }

    /// Sets everything; what cannot be set becomes a warning.
    pub(super) fn apply(
        &self,
        subject: Subject<'_>,
        wanted: &Attributes<'_>,
        before: Before,
        path: &[u8],
        warn: &mut dyn FnMut(ExtractError),
    ) {
        for (name, value) in wanted.xattrs.iter().filter(|(name, _)| name != CAPABILITY) {
            set(subject, name, value).unwrap_or_else(|errno| warn(attribute(path, name, errno)));
        }
        let mut owner = (before.uid, before.gid);
        if self.owners && owner != (wanted.uid, wanted.gid) {
            match chown(subject, wanted.uid, wanted.gid) {
                Ok(()) => owner = (wanted.uid, wanted.gid),
                Err(errno) => warn(ExtractError::system("set the owner of", path, errno)),
            }
        }
        if let Some((name, value)) = wanted.xattrs.iter().find(|(name, _)| name == CAPABILITY) {
            if self.keep_setid {
                set(subject, name, value).unwrap_or_else(|errno| warn(attribute(path, name, errno)));
            } else {
                warn(ExtractError::PrivilegeDropped { path: to_path(path), what: "capabilities" });
            }
        }
        if !matches!(subject, Subject::Link(_)) {
            let mode = self.safe_mode(wanted, owner, path, warn);
            let mode = apply_acls(subject, wanted, before.inherited_acl, mode, path, warn);
            if before.mode != Some(mode) {
                chmod(subject, mode)
                    .unwrap_or_else(|e| warn(ExtractError::system("set the mode of", path, e)));
            }
        }
        set_time(subject, wanted.mtime)
            .unwrap_or_else(|e| warn(ExtractError::system("set the time of", path, e)));
    }

    /// The mode without the bits that would give somebody else's privilege away.
    fn safe_mode(
        &self,
        wanted: &Attributes<'_>,
        (uid, gid): (u32, u32),
        path: &[u8],
        warn: &mut dyn FnMut(ExtractError),
    ) -> u32 {
        let mut mode = wanted.mode;
        let keep = self.keep_setid || wanted.directory;
        for (bit, ours, what) in
            [(0o4000, uid == wanted.uid, "set-user-id bit"), (0o2000, gid == wanted.gid, "set-group-id bit")]
        {
            if mode & bit != 0 && !(keep && ours) {
                mode &= !bit;
                warn(ExtractError::PrivilegeDropped { path: to_path(path), what });
            }
        }
        mode
    }
}

/// Sets or removes ACLs; returns the mode that is right afterwards.
fn apply_acls(
    subject: Subject<'_>,
    wanted: &Attributes<'_>,
    inherited: bool,
    mut mode: u32,
    path: &[u8],
    warn: &mut dyn FnMut(ExtractError),
) -> u32 {
    match wanted.acl_access {
        Some(acl) => {
            if let Err(errno) = set(subject, ACL_ACCESS, acl) {
                // The group bits of the mode were the ACL's mask: without it they must not widen the group's rights.
                mode = (mode & !0o070) | (mode & 0o070 & (group_permissions(acl) << 3));
                warn(attribute(path, ACL_ACCESS, errno));
            }
        }
        None if inherited => remove(subject, ACL_ACCESS, path, warn),
        None => {}
    }
    if wanted.directory {
        match wanted.acl_default {
            Some(acl) => set(subject, ACL_DEFAULT, acl)
                .unwrap_or_else(|errno| warn(attribute(path, ACL_DEFAULT, errno))),
            None if inherited => remove(subject, ACL_DEFAULT, path, warn),
            None => {}
        }
    }
    mode
}

/// Permissions (0..=7) of the owning group in an ACL of the kernel's form; 0 when there is none.
fn group_permissions(acl: &[u8]) -> u32 {
    const GROUP_OBJ: u16 = 0x04;
    acl.get(4..)
        .unwrap_or_default()
        .chunks_exact(8)
        .find_map(|entry| match entry {
            [t0, t1, p0, p1, ..] if u16::from_le_bytes([*t0, *t1]) == GROUP_OBJ => {
                Some(u32::from(u16::from_le_bytes([*p0, *p1])) & 7)
            }
            _ => None,
        })
        .unwrap_or(0)
}

fn attribute(path: &[u8], name: &[u8], errno: Errno) -> ExtractError {
    let name = String::from_utf8_lossy(name).into_owned();
    ExtractError::Attribute { path: to_path(path), name, source: errno.into() }
}

/// The way to an object held as a place; the kernel follows it to the object itself, never further.
fn proc_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

fn set(subject: Subject<'_>, name: &[u8], value: &[u8]) -> Result<(), Errno> {
    match subject {
        Subject::Open(fd) => fs::fsetxattr(fd, name, value, XattrFlags::empty()),
        Subject::Place(fd) | Subject::Link(fd) => {
            fs::setxattr(proc_path(fd), name, value, XattrFlags::empty())
        }
    }
}

fn remove(subject: Subject<'_>, name: &[u8], path: &[u8], warn: &mut dyn FnMut(ExtractError)) {
    let result = match subject {
        Subject::Open(fd) => fs::fremovexattr(fd, name),
        Subject::Place(fd) | Subject::Link(fd) => fs::removexattr(proc_path(fd), name),
    };
    match result {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
        Err(errno) => warn(attribute(path, name, errno)),
    }
}

fn chown(subject: Subject<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    if uid == u32::MAX || gid == u32::MAX {
        return Err(Errno::INVAL); // to the kernel these mean "leave as it is"
    }
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    match subject {
        Subject::Open(fd) => fs::fchown(fd, uid, gid),
        Subject::Place(fd) | Subject::Link(fd) => fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH),
    }
}

/// Sets the mode; a symbolic link has none.
pub(super) fn chmod(subject: Subject<'_>, mode: u32) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(mode);
    match subject {
        Subject::Open(fd) => fs::fchmod(fd, mode),
        Subject::Place(fd) => fs::chmod(proc_path(fd), mode),
        Subject::Link(_) => Ok(()),
    }
}

fn set_time(subject: Subject<'_>, mtime: Timestamp) -> Result<(), Errno> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: i64::from(mtime.nanoseconds.min(999_999_999)),
        },
    };
    match subject {
        Subject::Open(fd) => fs::futimens(fd, &times),
        Subject::Place(fd) | Subject::Link(fd) => fs::utimensat(fd, "", &times, AtFlags::EMPTY_PATH),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_acl_gives_the_group_at_most_three_bits(acl in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(group_permissions(&acl) <= 7);
        }
    }
}
