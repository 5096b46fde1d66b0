//! Members of an archive without an index, from their own headers into the catalog.

use super::scan::Label;
use super::split::Beginning;
use crate::catalog::{CatalogError, Fragment, MemberWriter};
use crate::engine::EngineError;
use crate::engine::chain;
use crate::format::v1::content_hash::StoredHash;
use crate::format::v1::tar_header::data_length;
use crate::format::v1::tar_reader::{Item, Skip, TarReader};
use crate::format::v1::{Entry, FormatError, Kind, Member, Notes, shown};

/// Bytes hashed at once.
const CHUNK: usize = 1 << 20;

/// Enters members one after the other, going up and down the tree as their paths say.
pub(super) struct Entering {
    pub(super) writer: MemberWriter,
    path: Vec<Vec<u8>>,
    pub(super) members: u64,
    /// What earlier volumes hold of the member that the first archive goes on with.
    beginning: Option<Beginning>,
    /// Its pieces there, once it was entered.
    pub(super) fragments: Vec<Fragment>,
    /// First ordinal of a part behind that the catalog has already.
    limit: u64,
}

impl Entering {
    pub(super) fn new(writer: MemberWriter, limit: u64, beginning: Option<Beginning>) -> Entering {
        Entering { writer, path: Vec::new(), members: 0, beginning, fragments: Vec::new(), limit }
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
        notes: Notes,
    ) -> Result<(), CatalogError> {
        let components: Vec<&[u8]> =
            entry.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let (name, above) = match components.split_last() {
            Some((name, above)) => (*name, above),
            None => (&b""[..], &[][..]),
        };
        self.go_to(if entry.kind == Kind::Directory { &components } else { above })?;
        let member = Member::of(entry, name.to_vec(), sha256, notes);
        self.writer.push(&Member { archive, offset, ..member })?;
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
            if self.writer.next_ordinal() >= self.limit {
                problems.push(format!(
                    "archive {}: it holds more than the part behind it leaves room for; that is left out",
                    label.archive
                ));
                return Ok(());
            }
            if item.continues.is_some() {
                if let Err(reason) = self.rest(tar, &item, label, problems)? {
                    problems.push(reason);
                    return Ok(());
                }
            } else if repeated > 0 && item.entry.kind == Kind::Directory {
                repeated -= 1; // it is a member of an earlier archive
            } else if !is_safe(&item.entry.path) {
                problems.push(format!("{}: no path that the catalog can hold", shown(&item.entry.path)));
            } else {
                match hash(tar, &item) {
                    Ok(sha256) => {
                        self.push(&item.entry, sha256, label.archive, item.offset, Notes::default())?
                    }
                    Err(error) => {
                        problems.push(format!("{}: cut off: {}", shown(&item.entry.path), chain(&error)));
                        return Ok(());
                    }
                }
            }
            next = tar.next();
        }
    }

    /// Enters a member that began on an earlier volume.
    fn rest<R: Skip>(
        &mut self,
        tar: &mut TarReader<R>,
        item: &Item,
        label: &Label,
        problems: &mut Vec<String>,
    ) -> Result<Result<(), String>, EngineError> {
        let Some(whole) = &item.continues else { return Ok(Ok(())) };
        let name = shown(&whole.filename);
        let begun = self.beginning.take().filter(|begun| {
            let stored: u64 = begun.pieces.iter().map(|piece| piece.data_length).sum();
            begun.entry.path == whole.filename
                && data_length(&begun.entry).checked_sub(stored) == Some(whole.remaining)
        });
        let Some(Beginning { entry, pieces, mut hash }) = begun.filter(|begun| is_safe(&begun.entry.path))
        else {
            // What follows is whole; the member itself is not.
            problems.push(format!("{name}: its beginning on an earlier volume cannot be read"));
            return Ok(Ok(()));
        };
        if let Err(error) = take(tar, item.data_length, &mut hash) {
            return Ok(Err(format!("{name}: cut off: {}", chain(&error))));
        }
        let ordinal = self.writer.next_ordinal();
        self.fragments.extend(pieces.into_iter().map(|piece| Fragment { ordinal, ..piece }));
        self.push(&entry, hash.finish(), label.archive, 0, Notes::SPLIT)?;
        Ok(Ok(()))
    }
}

/// Whether each component is one.
fn is_safe(path: &[u8]) -> bool {
    !path.contains(&0) && !path.split(|byte| *byte == b'/').any(|name| name == b"." || name == b"..")
}

/// Hashes the next `left` bytes of the current member's data.
pub(super) fn take<R: Skip>(
    tar: &mut TarReader<R>,
    mut left: u64,
    hash: &mut StoredHash,
) -> Result<(), FormatError> {
    let mut buffer = vec![0; left.min(CHUNK as u64) as usize];
    while left > 0 {
        let room = left.min(buffer.len() as u64) as usize;
        let count = tar.read_data(buffer.get_mut(..room).unwrap_or_default())?;
        if count == 0 {
            return Err(FormatError::Truncated { offset: tar.offset(), inside: "the data of a member" });
        }
        hash.stored(buffer.get(..count).unwrap_or_default());
        left -= count as u64;
    }
    Ok(())
}

/// SHA-256 of the current member's content; zeros for what is no regular file.
fn hash<R: Skip>(tar: &mut TarReader<R>, item: &Item) -> Result<[u8; 32], FormatError> {
    if item.entry.kind != Kind::Regular {
        return Ok([0; 32]);
    }
    let mut hash = StoredHash::of(&item.entry);
    take(tar, item.data_length, &mut hash)?;
    Ok(hash.finish())
}
