//! Regular files: content as it comes, attributes, then the name.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs;
use rustix::io::{self, Errno};

use crate::format::v1::entry::{Entry, Extent};

use super::Inner;
use super::attributes::{Attributes, Before, Subject};
use super::error::{ExtractError, to_path};
use super::options::Outcome;
use super::place::{Draft, Verdict, settle};
use super::resolve::{Dir, Newborn};

/// A regular file being restored. Dropped without [`FileSink::finish`], nothing remains of it.
pub struct FileSink {
    inner: Arc<Inner>,
    entry: Entry,
    path: Vec<u8>,
    writing: Writing,
}

impl FileSink {
    pub(super) fn new(
        inner: &Arc<Inner>,
        entry: &Entry,
        path: &[u8],
        dir: Arc<Dir>,
        verdict: Verdict,
    ) -> Result<FileSink, ExtractError> {
        let writing = Writing::new(inner, entry, path, dir, verdict)?;
        Ok(FileSink { inner: Arc::clone(inner), entry: entry.clone(), path: path.to_vec(), writing })
    }

    /// Writes the next stored bytes: for a sparse file those of the next extents.
    ///
    /// # Errors
    /// More bytes than the entry announces; a failed write. The sink is of no use afterwards.
    pub fn write(&mut self, data: &[u8]) -> Result<(), ExtractError> {
        self.writing.write(&self.entry, &self.path, data)
    }

    /// Sets the attributes and puts the file in place.
    ///
    /// # Errors
    /// Fewer bytes than announced; the name cannot be taken. Then nothing is in place. Attributes that cannot be
    /// set are warnings ([`super::Extractor::take_warnings`]).
    pub fn finish(self) -> Result<Outcome, ExtractError> {
        let outcome = self.writing.finish(&self.inner, &self.entry, &self.path)?;
        Ok(self.inner.note(&self.path, outcome))
    }
}

/// The state of a file between its first byte and its name.
pub(super) struct Writing {
    draft: Draft,
    dir: Arc<Dir>,
    verdict: Verdict,
    before: Before,
    /// Stored bytes announced, and those that came.
    expected: u64,
    got: u64,
    /// Extent being filled and bytes in it so far; unused for a dense file.
    extent: usize,
    filled: u64,
}

impl Writing {
    pub(super) fn new(
        inner: &Inner,
        entry: &Entry,
        path: &[u8],
        dir: Arc<Dir>,
        verdict: Verdict,
    ) -> Result<Writing, ExtractError> {
        // The final mode from the start saves a call, where nothing is to follow that needs a private file.
        let wanted = entry.mode & 0o7777;
        let direct = wanted & (0o7000 | inner.policy.umask) == 0
            && entry.xattrs.is_empty()
            && entry.acl_access.is_none()
            && !dir.inherits_acl;
        let asked = if direct { wanted } else { 0o600 };
        let draft = Draft::new(&dir, asked, &inner.unnamed)
            .map_err(|errno| ExtractError::system("create", path, errno))?;
        let newborn = match dir.newborn.get() {
            Some(newborn) => *newborn,
            None => {
                let stat = fs::fstat(&draft.fd).map_err(|e| ExtractError::system("look at", path, e))?;
                let given = asked & !inner.policy.umask;
                let mode_as_asked = draft.is_unnamed() && stat.st_mode & 0o7777 == given;
                let newborn = Newborn { uid: stat.st_uid, gid: stat.st_gid, mode_as_asked };
                *dir.newborn.get_or_init(|| newborn)
            }
        };
        let before = Before {
            uid: newborn.uid,
            gid: newborn.gid,
            mode: (direct && draft.is_unnamed() && newborn.mode_as_asked).then_some(wanted),
            inherited_acl: dir.inherits_acl,
        };
        let expected = entry.stored_size(); // cannot overflow: the map was found sound
        Ok(Writing { draft, dir, verdict, before, expected, got: 0, extent: 0, filled: 0 })
    }

    pub(super) fn write(&mut self, entry: &Entry, path: &[u8], data: &[u8]) -> Result<(), ExtractError> {
        let expected = self.expected;
        let got = self.got.saturating_add(data.len() as u64);
        if got > expected {
            return Err(ExtractError::Length { path: to_path(path), expected, got });
        }
        let written = match &entry.sparse {
            None => write_all(&self.draft, data, None),
            Some(extents) => self.write_sparse(extents, data),
        };
        written.map_err(|errno| ExtractError::system("write", path, errno))?;
        self.got = got;
        Ok(())
    }

    /// The caller has checked that the extents hold the data.
    fn write_sparse(&mut self, extents: &[Extent], mut data: &[u8]) -> Result<(), Errno> {
        while !data.is_empty() {
            let Some(extent) = extents.get(self.extent) else { return Err(Errno::FBIG) };
            let room = extent.length - self.filled;
            let now = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (head, tail) = data.split_at(now);
            write_all(&self.draft, head, Some(extent.offset + self.filled))?;
            data = tail;
            self.filled += now as u64;
            if self.filled == extent.length {
                self.extent += 1;
                self.filled = 0;
            }
        }
        Ok(())
    }

    pub(super) fn finish(
        mut self,
        inner: &Inner,
        entry: &Entry,
        path: &[u8],
    ) -> Result<Outcome, ExtractError> {
        let (expected, got) = (self.expected, self.got);
        if got != expected {
            return Err(ExtractError::Length { path: to_path(path), expected, got });
        }
        if entry.sparse.is_some() {
            fs::ftruncate(&self.draft.fd, entry.size).map_err(|e| ExtractError::system("extend", path, e))?;
        }
        let subject = Subject::Open(self.draft.fd.as_fd());
        inner.policy.apply(subject, &Attributes::of(entry), self.before, path, &mut |w| inner.warn(w));
        let rule = inner.options.overwrite;
        let draft = &mut self.draft;
        settle(rule, &self.dir, path, entry, self.verdict, &mut |name, replace| draft.put(name, replace))
    }
}

fn write_all(draft: &Draft, mut data: &[u8], mut at: Option<u64>) -> Result<(), Errno> {
    while !data.is_empty() {
        let result = match at {
            None => io::write(&draft.fd, data),
            Some(offset) => io::pwrite(&draft.fd, data, offset),
        };
        match result {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                data = data.get(n..).unwrap_or_default();
                at = at.map(|offset| offset + n as u64);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Extents rise without overlap within the file.
fn sound(extents: &[Extent], size: u64) -> bool {
    let mut end = 0u64;
    extents.iter().all(|extent| {
        let rises = extent.offset >= end;
        end = extent.offset.saturating_add(extent.length);
        rises && end <= size
    })
}

impl Inner {
    /// Checks the sparse map and charges stored bytes against the caps, before anything is made.
    pub(super) fn charge(&self, entry: &Entry, path: &[u8]) -> Result<(), ExtractError> {
        if entry.sparse.as_deref().is_some_and(|extents| !sound(extents, entry.size)) {
            return Err(ExtractError::SparseMap { path: to_path(path) });
        }
        let limits = &self.options.limits;
        let limit = |what, most| Err(ExtractError::Limit { path: to_path(path), what, most });
        if entry.size > limits.file_bytes {
            return limit("bytes in a file", limits.file_bytes);
        }
        if limits.total_bytes != u64::MAX {
            let stored = entry.stored_size();
            let before = self.bytes.fetch_add(stored, Ordering::Relaxed);
            if before.saturating_add(stored) > limits.total_bytes {
                return limit("bytes in all", limits.total_bytes);
            }
        }
        Ok(())
    }
}
