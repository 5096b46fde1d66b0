//! The catalog as text: the same for the same committed sets, whatever ids and order of insertion.

use super::directories::spans;
use super::members::{MemberRows, PathResolver, count_visible, visible};
use super::sets::escape;
use super::{BackupSet, Catalog, DirectoryId, Result, VolumeId, fragments};
use crate::format::v1::{Kind, Member};

/// Lines of a canonical dump: per set (by uuid) the set, its parts, archives, pieces of split members, then its members. Memory is bounded.
pub struct Export {
    catalog: Catalog,
    /// Sets still to come, last first.
    sets: Vec<BackupSet>,
    lines: std::vec::IntoIter<String>,
    members: Option<(BackupSet, MemberRows, PathResolver)>,
}

impl Catalog {
    /// The canonical dump. Volumes stand in it by their uuid only.
    pub fn export(&self) -> Result<Export> {
        let mut sets = self.sets()?;
        sets.sort_by(|a, b| b.uuid.cmp(&a.uuid));
        Ok(Export { catalog: self.clone(), sets, lines: Vec::new().into_iter(), members: None })
    }

    fn volume_uuid(&self, id: VolumeId) -> Result<String> {
        Ok(self.volume(id)?.uuid)
    }
}

impl Export {
    fn head(&self, set: &BackupSet) -> Result<Vec<String>> {
        let catalog = &self.catalog;
        let roots: Vec<String> = set.roots.iter().map(|r| escape(r)).collect();
        let mut lines = vec![format!(
            "set {} job={:?} host={:?} roots={roots:?} state={} started={} finished={:?} members={} bytes={} directories={} \
             committed={} warnings={} compression={} recipients={:?} exclude={:?} one_file_system={} \
             kind={} bases={:?} seen={}",
            set.uuid,
            set.job,
            set.host,
            set.state.as_str(),
            set.started,
            set.finished,
            set.members,
            set.bytes,
            set.directories,
            set.committed,
            set.warnings,
            set.compression,
            set.recipients,
            set.exclude,
            set.one_file_system,
            set.kind.as_str(),
            set.bases,
            set.seen
        )];
        for p in catalog.parts_of(set.id)? {
            lines.push(format!(
                "part {} {} volume={} first={} members={} bytes={} directories={} index={:?}@{:?}",
                set.uuid,
                p.number,
                catalog.volume_uuid(p.volume)?,
                p.first_ordinal,
                p.members,
                p.bytes,
                p.directories,
                p.index_file,
                p.index_block
            ));
        }
        for a in catalog.archives_of(set.id)? {
            lines.push(format!(
                "archive {} {} part={} file={} block={} records={} stream={} stored={} header={} frames={} crc={:08x}",
                set.uuid,
                a.number,
                a.part,
                a.file,
                a.block,
                a.records,
                a.stream_bytes,
                a.stored_bytes,
                a.header_bytes,
                a.frames.iter().count(),
                crc32c::crc32c(a.frames.as_bytes())
            ));
        }
        for f in fragments::within(&*catalog.pool.get()?, set.id, 0..set.committed)? {
            lines.push(format!(
                "fragment {} {} archive={} at={} data={}+{}",
                set.uuid, f.ordinal, f.archive, f.stream_offset, f.data_offset, f.data_length
            ));
        }
        lines.extend(super::snapshots::lines(catalog, set)?);
        Ok(lines)
    }

    fn member(
        set: &BackupSet,
        paths: &mut PathResolver,
        catalog: &Catalog,
        (ordinal, directory, m): (u64, DirectoryId, Member),
    ) -> Result<String> {
        let path = paths.path_of_member(directory, &m)?;
        let mut line = format!(
            "member {} {ordinal} {:?} mode={:o} owner={}:{} size={} mtime={} sha256={} archive={} offset={} notes={} link={} path={}",
            set.uuid,
            m.kind,
            m.mode,
            m.uid,
            m.gid,
            m.size,
            m.mtime,
            hex(&m.sha256),
            m.archive,
            m.offset,
            m.notes.0,
            escape(&m.link),
            escape(&path)
        );
        if m.kind == Kind::Directory {
            let connection = catalog.pool.get()?;
            let visible = visible(&connection, set.id)?;
            for span in spans(&connection, set.id, directory)?.iter().filter(|s| s.first == ordinal) {
                let (direct, below) =
                    (count_visible(&visible, &span.run()), count_visible(&visible, &span.below()));
                line.push_str(&format!(" direct={direct} subtree={below} own={}", span.own));
            }
        }
        Ok(line)
    }

    fn advance(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(line) = self.lines.next() {
                return Ok(Some(line));
            }
            if let Some((set, rows, paths)) = &mut self.members
                && let Some(row) = rows.next()
            {
                return Export::member(set, paths, &self.catalog, row?).map(Some);
            }
            let Some(set) = self.sets.pop() else { return Ok(None) };
            self.lines = self.head(&set)?.into_iter();
            let rows = self.catalog.members(set.id, 0..set.committed)?;
            self.members = Some((set, rows, self.catalog.paths()?));
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

impl Iterator for Export {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.advance();
        if line.is_err() {
            self.sets.clear();
            self.members = None;
        }
        line.transpose()
    }
}
