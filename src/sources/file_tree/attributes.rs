//! Extended attributes and POSIX ACLs of what is being read.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use super::walk::Directory;
use crate::format::v1::Entry;

/// Scratch space for attribute calls, one per reader.
pub(super) struct Attributes {
    names: Vec<u8>,
    value: Vec<u8>,
}

/// xattr(7): VFS limits of a name list and of a value.
const LIMIT: usize = 64 * 1024;

impl Default for Attributes {
    fn default() -> Self {
        Attributes { names: vec![0; LIMIT], value: vec![0; LIMIT] }
    }
}

impl Attributes {
    /// Adds the attributes of an open file or directory to `entry`.
    pub(super) fn of_open(&mut self, fd: &impl AsFd, entry: &mut Entry) -> rustix::io::Result<()> {
        let listed = match rustix::fs::flistxattr(fd, self.names.as_mut_slice()) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(()),
            Ok(listed) => listed,
            Err(errno) => return Err(errno),
        };
        let value = &mut self.value;
        collect(&self.names[..listed], entry, |name| {
            rustix::fs::fgetxattr(fd, name, value.as_mut_slice()).map(|length| value[..length].to_vec())
        })
    }

    /// Adds the attributes of an entry that must not be opened: a link, a device, a pipe.
    pub(super) fn of_unopened(
        &mut self,
        directory: &Directory,
        name: &CString,
        entry: &mut Entry,
    ) -> rustix::io::Result<()> {
        // xattr calls take paths only; through the directory's descriptor the path cannot be swapped.
        let parent = format!("/proc/self/fd/{}/", directory.fd.as_raw_fd());
        let path = CString::new([parent.as_bytes(), name.as_bytes()].concat()).map_err(|_| Errno::INVAL)?;
        let listed = match rustix::fs::llistxattr(&path, self.names.as_mut_slice()) {
            Ok(0) | Err(Errno::NOTSUP | Errno::NOENT | Errno::PERM) => return Ok(()),
            Ok(listed) => listed,
            Err(errno) => return Err(errno),
        };
        let value = &mut self.value;
        collect(&self.names[..listed], entry, |name| {
            rustix::fs::lgetxattr(&path, name, value.as_mut_slice()).map(|length| value[..length].to_vec())
        })
    }
}

fn collect(
    names: &[u8],
    entry: &mut Entry,
    mut get: impl FnMut(&CStr) -> rustix::io::Result<Vec<u8>>,
) -> rustix::io::Result<()> {
    let mut failure = Ok(());
    for name in names.split_inclusive(|b| *b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match get(name) {
            Ok(value) => match name.to_bytes() {
                b"system.posix_acl_access" => entry.acl_access = Some(value),
                b"system.posix_acl_default" => entry.acl_default = Some(value),
                other => entry.xattrs.push((other.to_vec(), value)),
            },
            Err(Errno::NODATA) => {} // removed since it was listed
            Err(errno) => failure = Err(errno),
        }
    }
    failure
}
