//! The beginning of a member whose end lies in an archive without an index, on a later volume.

use super::members::take;
use super::scan::{Label, Orphans, Task};
use crate::catalog::{Archive, Fragment, Part, SetId};
use crate::drive::BlockAddress;
use crate::engine::station::Station;
use crate::engine::tape_file::TapeFile;
use crate::engine::{EngineError, fence, hardware_key};
use crate::format::v1::archive_layout::ArchiveReader;
use crate::format::v1::archive_stream::ArchiveStream;
use crate::format::v1::content_hash::StoredHash;
use crate::format::v1::tar_reader::{Item, Sequential, TarReader};
use crate::format::v1::{Entry, FormatError, Kind};
use crate::pipeline::Prefetch;

/// What earlier volumes hold of a member.
pub(super) struct Beginning {
    /// Headers of the whole member.
    pub(super) entry: Entry,
    /// The pieces; the member's ordinal is still to be filled in.
    pub(super) pieces: Vec<Fragment>,
    /// Of the content so far.
    pub(super) hash: StoredHash,
}

/// Records that may be read ahead.
const AHEAD: usize = 16;

type Tar<'a> = TarReader<ArchiveReader<&'a mut Prefetch>>;

impl Task<'_> {
    /// Where the first archive left on the mounted volume goes on with a member: its beginning, from other volumes.
    /// `None` where it does not, or where the beginning cannot be had.
    pub(super) fn beginning(
        &self,
        station: &mut Station,
        left: &Orphans,
    ) -> Result<Option<Beginning>, EngineError> {
        let Some(label) = self.goes_on(station, left)? else { return Ok(None) };
        let Some(set) = self.catalog.set_by_uuid(&label.set)? else { return Ok(None) };
        let parts = self.catalog.parts_of(set.id)?;
        let archives = self.catalog.archives_of(set.id)?;
        let mut pieces = Vec::new();
        for number in (1..label.part).rev() {
            let part = parts.iter().find(|part| part.number == number);
            let archive = archives.iter().filter(|archive| archive.part == number).max_by_key(|a| a.number);
            let (Some(part), Some(archive)) = (part, archive) else { return Ok(None) };
            let Some(piece) = self.last_item(station, part, archive)? else { return Ok(None) };
            let begins = piece.continues.is_none();
            pieces.push((*part, archive.clone(), piece));
            if begins {
                break;
            }
        }
        pieces.reverse();
        self.read_pieces(station, set.id, &pieces)
    }

    /// The label of the first archive, where that one goes on with a member.
    fn goes_on(&self, station: &mut Station, left: &Orphans) -> Result<Option<Label>, EngineError> {
        let Some(first) = left.archives.first() else { return Ok(None) };
        let drive = station.drive()?;
        if self.unlock(drive, first)?.is_err() {
            return Ok(None);
        }
        drive.locate(BlockAddress(first.block))?;
        let tape = TapeFile::open(drive, left.volume.record_size as usize);
        // What cannot be read is told when it is entered.
        let Ok(stream) = ArchiveStream::open(tape, self.identities) else { return Ok(None) };
        let mut tar = TarReader::new(Sequential(stream));
        let goes_on = matches!(tar.next(), Ok(Some(item)) if item.continues.is_some());
        Ok(tar.comment().and_then(Label::parse).filter(|_| goes_on))
    }

    /// The headers of the member that the end of `part` cuts off.
    fn last_item(
        &self,
        station: &mut Station,
        part: &Part,
        archive: &Archive,
    ) -> Result<Option<Item>, EngineError> {
        let last = part.ordinals().end.saturating_sub(1)..part.ordinals().end;
        let before = self.catalog.members(part.set, last)?.next().transpose()?;
        let before = before.map(|(_, _, member)| member).filter(|member| member.archive == archive.number);
        let offset = before.as_ref().map_or(0, |member| member.offset);
        self.with_archive(station, part, archive, offset, |tar| {
            if before.is_some() {
                tar.next()?;
            }
            // Directories repeated at the beginning of an archive may stand between.
            loop {
                match tar.next()? {
                    Some(item) if item.entry.kind == Kind::Directory => {}
                    other => return Ok(other),
                }
            }
        })
    }

    /// Reads the pieces, in order.
    fn read_pieces(
        &self,
        station: &mut Station,
        set: SetId,
        pieces: &[(Part, Archive, Item)],
    ) -> Result<Option<Beginning>, EngineError> {
        let Some((_, _, first)) = pieces.first() else { return Ok(None) };
        let mut hash = StoredHash::of(&first.entry);
        let mut data_offset = 0;
        let mut found = Vec::new();
        for (part, archive, item) in pieces {
            // A continuation is found by the global header before its own.
            let stream_offset = if item.continues.is_some() { 0 } else { item.offset };
            let rest = archive.stream_bytes.saturating_sub(item.data_offset);
            let length = item.data_length.min(rest);
            let read = self.with_archive(station, part, archive, stream_offset, |tar| {
                tar.next()?;
                take(tar, length, &mut hash)?;
                Ok(Some(()))
            })?;
            if read.is_none() {
                return Ok(None);
            }
            let data_length = item.map_length + length;
            let archive = archive.number;
            found.push(Fragment { set, ordinal: 0, archive, stream_offset, data_offset, data_length });
            data_offset += data_length;
        }
        Ok(Some(Beginning { entry: first.entry.clone(), pieces: found, hash }))
    }

    /// Runs `work` on the tar stream of an archive that the catalog knows; what cannot be read is `None`.
    fn with_archive<T>(
        &self,
        station: &mut Station,
        part: &Part,
        archive: &Archive,
        offset: u64,
        work: impl FnOnce(&mut Tar<'_>) -> Result<Option<T>, FormatError>,
    ) -> Result<Option<T>, EngineError> {
        let volume = self.catalog.volume(part.volume)?;
        let (drive, loader) = station.split()?;
        let mounted = loader
            .mount(drive, volume.barcode.as_deref(), &volume.label)
            .and_then(|()| fence::prepare(drive).map(drop))
            .and_then(|()| fence::check_identity(drive, &volume));
        match mounted {
            Err(EngineError::Operator(_) | EngineError::WrongVolume { .. }) => return Ok(None),
            other => other?,
        }
        let set = self.catalog.set(part.set)?;
        if hardware_key::covers(&set, archive) {
            let archives = self.catalog.archives_of(set.id)?;
            let blocks = archives.iter().filter(|other| other.part == part.number).map(|other| other.block);
            let first = blocks.min().unwrap_or(archive.block);
            let drive = station.drive()?;
            let size = volume.record_size;
            match hardware_key::unlock(drive, &set, part.number, first, size, self.identities) {
                Err(EngineError::Drive(error)) => return Err(error.into()),
                Err(_) => return Ok(None),
                Ok(()) => {}
            }
        }
        let layout = archive.layout(volume.record_size);
        let drive = station.take_drive()?;
        let mut tape =
            Prefetch::start(drive, volume.record_size as usize, AHEAD).map_err(EngineError::Thread)?;
        tape.allow(archive.block + archive.records);
        let done = ArchiveReader::open(&mut tape, &layout, self.identities).ok().and_then(|mut reader| {
            reader.seek(offset);
            work(&mut TarReader::at(reader, offset)).ok().flatten()
        });
        station.return_drive(tape.into_drive().map_err(EngineError::Thread)?);
        Ok(done)
    }
}
