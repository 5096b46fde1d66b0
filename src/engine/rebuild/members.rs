//! Members of an archive without an index, from their own headers into the catalog.

use sha2::{Digest, Sha256};

use super::scan::Label;
use crate::catalog::{CatalogError, MemberWriter};
use crate::engine::EngineError;
use crate::engine::restore::{chain, show};
use crate::format::v1::tar_reader::{Item, Skip, TarReader};
use crate::format::v1::{Entry, Extent, FormatError, Kind, Member, Notes};

/// Bytes hashed at once.
const CHUNK: usize = 1 << 20;

/// Enters members one after the other, going up and down the tree as their paths say.
pub(super) struct Entering {
    pub(super) writer: MemberWriter,
    path: Vec<Vec<u8>>,
    pub(super) members: u64,
}

impl Entering {
    pub(super) fn new(writer: MemberWriter) -> Entering {
        Entering { writer, path: Vec::new(), members: 0 }
    }

    fn go_to(&mut self, directory: &[&[u8]]) -> Result<(), CatalogError> {
        let shared =
            self.path.iter().zip(directory).take_while(|(here, there)| here.as_slice() == **there).count();
        for _ in shared..self.path.len() {
            self.writer.leave()?;
        }
        self.path.truncate(shared);
        for name in directory.get(shared..).unwrap_or_default() {
            self.writer.enter(name)?;
            self.path.push(name.to_vec());
        }
        Ok(())
    }

    fn push(
        &mut self,
        entry: &Entry,
        sha256: [u8; 32],
        archive: u32,
        offset: u64,
    ) -> Result<(), CatalogError> {
        let components: Vec<&[u8]> =
            entry.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let (name, above) = match components.split_last() {
            Some((name, above)) => (*name, above),
            None => (&b""[..], &[][..]),
        };
        self.go_to(if entry.kind == Kind::Directory { &components } else { above })?;
        self.writer.push(&Member {
            name: name.to_vec(),
            kind: entry.kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size,
            mtime: entry.mtime.as_nanos(),
            sha256,
            archive,
            offset,
            link: entry.link.clone(),
            notes: Notes::default(),
        })?;
        self.members += 1;
        Ok(())
    }

    /// Enters all members of an archive up to its end, or to the first that cannot be read; what went wrong is told.
    ///
    /// # Errors
    /// The catalog failed.
    pub(super) fn archive<R: Skip>(
        &mut self,
        tar: &mut TarReader<R>,
        first: Option<Item>,
        label: &Label,
        problems: &mut Vec<String>,
    ) -> Result<(), EngineError> {
        let mut next = Ok(first);
        let mut repeated = label.open;
        loop {
            let item = match next {
                Ok(Some(item)) => item,
                Ok(None) => return Ok(()),
                Err(error) => {
                    problems.push(format!(
                        "archive {}: what follows is lost: {}",
                        label.archive,
                        chain(&error)
                    ));
                    return Ok(());
                }
            };
            if repeated > 0 && item.entry.kind == Kind::Directory {
                repeated -= 1; // it is a member of an earlier archive
            } else if let Some(whole) = &item.continues {
                problems
                    .push(format!("{}: began on an earlier volume and has no index", show(&whole.filename)));
            } else if !is_safe(&item.entry.path) {
                problems.push(format!("{}: no path that the catalog can hold", show(&item.entry.path)));
            } else {
                match hash(tar, &item) {
                    Ok(sha256) => self.push(&item.entry, sha256, label.archive, item.offset)?,
                    Err(error) => {
                        problems.push(format!("{}: cut off: {}", show(&item.entry.path), chain(&error)));
                        return Ok(());
                    }
                }
            }
            next = tar.next();
        }
    }
}

/// Whether each component is one.
fn is_safe(path: &[u8]) -> bool {
    !path.contains(&0) && !path.split(|byte| *byte == b'/').any(|name| name == b"." || name == b"..")
}

/// SHA-256 of a regular file's content, holes read as zeros; zeros for every other kind.
fn hash<R: Skip>(tar: &mut TarReader<R>, item: &Item) -> Result<[u8; 32], FormatError> {
    if item.entry.kind != Kind::Regular {
        return Ok([0; 32]);
    }
    let whole = [Extent { offset: 0, length: item.entry.size }];
    let extents = item.entry.sparse.as_deref().unwrap_or(&whole);
    let mut hash = Sha256::new();
    let mut at = 0;
    let mut buffer = Vec::new();
    for extent in extents {
        zeros(&mut hash, extent.offset.saturating_sub(at));
        let mut left = extent.length;
        while left > 0 {
            buffer.resize(left.min(CHUNK as u64) as usize, 0);
            let count = tar.read_data(&mut buffer)?;
            if count == 0 {
                let offset = tar.offset();
                return Err(FormatError::Truncated { offset, inside: "the data of a member" });
            }
            hash.update(buffer.get(..count).unwrap_or_default());
            left -= count as u64;
        }
        at = extent.offset.saturating_add(extent.length);
    }
    zeros(&mut hash, item.entry.size.saturating_sub(at));
    Ok(hash.finalize().into())
}

fn zeros(hash: &mut Sha256, mut count: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while count > 0 {
        let now = count.min(ZEROS.len() as u64);
        hash.update(&ZEROS[..now as usize]);
        count -= now;
    }
}
