//! Extended attributes and ACLs of one object, as far as this process may restore them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::context::is_root;

/// Largest list of names, and largest value, that Linux has.
const MOST: usize = 64 * 1024;

/// Names and values. What cannot be read is left out: it cannot be restored by this process either.
pub(super) fn of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    // Most objects have none: that is found out without a buffer.
    if !matches!(rustix::fs::llistxattr_query(path), Ok(1..)) {
        return found;
    }
    let mut names = vec![0; MOST];
    let Ok(length) = rustix::fs::llistxattr(path, names.as_mut_slice()) else { return found };
    names.truncate(length);
    for name in names.split(|byte| *byte == 0).filter(|name| is_ours(name)) {
        let mut value = vec![0; MOST];
        if let Ok(length) = rustix::fs::lgetxattr(path, name, value.as_mut_slice()) {
            value.truncate(length);
            found.insert(name.to_vec(), value);
        }
    }
    found
}

fn is_ours(name: &[u8]) -> bool {
    let everybody: [&[u8]; 2] = [b"user.", b"system.posix_acl_"];
    let root: [&[u8]; 2] = [b"security.capability", b"trusted."];
    everybody.iter().any(|prefix| name.starts_with(prefix))
        || is_root() && root.iter().any(|prefix| name.starts_with(prefix))
}
