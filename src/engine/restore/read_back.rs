//! Reads selected members of a set in tape order and hands them on, checked.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::streamed::{Streamed, read_exactly};
use super::stretches::{self, Run};
use super::{SharedReport, chain};
use crate::catalog::{Archive, Catalog, Fragment, Part, SetId, Volume, VolumeId};
use crate::drive::Drive;
use crate::engine::station::{Loader, Station};
use crate::engine::{EngineError, fence, hardware_key};
use crate::format::age::{Decryptor, Identity};
use crate::format::v1::archive_layout::{ArchiveLayout, ArchiveReader};
use crate::format::v1::tar_reader::{Item, TarReader};
use crate::format::v1::{Entry, FormatError, Kind, Member, Notes, shown};
use crate::pipeline::{Phase, Prefetch, Progress, Small, SmallBatch, Unpacked, Unpackers};
use crate::sources::extract::{Begun, ExtractError, Extractor};

/// Files up to this size are handed to other threads whole.
const SMALL: u64 = 1 << 20;
/// A batch goes on when it holds this much.
const BATCH_BYTES: usize = 1 << 20;
/// or this many files.
const BATCH_FILES: usize = 256;
/// Records that may be read ahead.
const AHEAD: usize = 64;
/// Members looked at together to see how far the tape will be read without a gap.
const LOOK_AHEAD: usize = 4096;
/// A gap up to this many bytes of stream is read through.
const GAP: u64 = 4 << 20;
/// Headers of a member take at most about this much, long names and attributes included; longer ones are read on demand.
const HEADERS: u64 = 8 << 10;

type Reader<'a> = TarReader<ArchiveReader<&'a mut Prefetch>>;

/// A member that is wanted.
pub(super) struct Wanted {
    ordinal: u64,
    /// Stored path.
    path: Vec<u8>,
    /// Where it goes, when not to its own path.
    place: Option<Vec<u8>>,
    member: Member,
}

impl Wanted {
    pub(super) fn place(&self) -> &[u8] {
        self.place.as_deref().unwrap_or(&self.path)
    }
}

/// Where members go: to their places, or nowhere when they are only verified.
pub(in crate::engine) struct Sink {
    extractor: Option<Extractor>,
    report: SharedReport,
    /// Hard links wait until every first name is in place.
    links: Vec<(u64, Entry)>,
}

impl Sink {
    pub(in crate::engine) fn new(extractor: Option<Extractor>, report: SharedReport) -> Sink {
        Sink { extractor, report, links: Vec::new() }
    }
}

/// Reads one set back.
pub(in crate::engine) struct ReadBack<'a> {
    catalog: &'a Catalog,
    station: &'a mut Station,
    set: SetId,
    identities: &'a [Identity],
    progress: &'a Progress,
    cancel: &'a AtomicBool,
    archives: HashMap<u32, Archive>,
    decryptors: HashMap<u32, Arc<Decryptor>>,
    parts: Vec<Part>,
    mounted: Option<Volume>,
    /// The part of the set whose key the drive has.
    unlocked: Option<u32>,
    /// Volumes that could not be had, and why; the first refusal whole.
    absent: HashMap<VolumeId, String>,
    refused: Option<EngineError>,
}

impl<'a> ReadBack<'a> {
    pub(in crate::engine) fn new(
        catalog: &'a Catalog,
        station: &'a mut Station,
        set: SetId,
        identities: &'a [Identity],
        progress: &'a Progress,
        cancel: &'a AtomicBool,
    ) -> ReadBack<'a> {
        ReadBack {
            catalog,
            station,
            set,
            identities,
            progress,
            cancel,
            archives: HashMap::new(),
            decryptors: HashMap::new(),
            parts: Vec::new(),
            mounted: None,
            unlocked: None,
            absent: HashMap::new(),
            refused: None,
        }
    }

    /// Reads the members with these ordinals. Damage, and volumes that cannot be had, go into the report; everything else
    /// is read.
    ///
    /// # Errors
    /// No volume at all could be had, or the wrong one; the catalog or a device failed.
    pub(in crate::engine) fn run(
        &mut self,
        selection: &[Range<u64>],
        mut sink: Sink,
    ) -> Result<(), EngineError> {
        self.parts = self.catalog.parts_of(self.set)?;
        for archive in self.catalog.archives_of(self.set)? {
            self.archives.insert(archive.number, archive);
        }
        let report = sink.report.clone();
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let unpackers = Unpackers::start(
            threads,
            sink.extractor.as_ref(),
            Arc::new(move |_, path, size, outcome| report.note(path, size, outcome)),
        );
        let mut resolver = self.catalog.paths()?;
        let mut batch = Vec::new();
        let outcome = (|| {
            for range in selection {
                for row in self.catalog.members(self.set, range.clone())? {
                    let (ordinal, directory, member) = row?;
                    let path = resolver.path_of_member(directory, &member)?;
                    let goes_on = batch.last().is_none_or(|last: &Wanted| {
                        self.is_beside(last.member.archive, member.archive)
                            && !member.notes.contains(Notes::SPLIT)
                    });
                    if !goes_on || batch.len() >= LOOK_AHEAD {
                        self.read(&mut batch, &mut sink, &unpackers)?;
                    }
                    batch.push(Wanted { ordinal, path, place: None, member });
                    if self.cancel.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
            }
            self.read(&mut batch, &mut sink, &unpackers)
        })();
        unpackers.finish();
        let outcome = outcome.and_then(|()| self.links(&mut sink));
        let cleared = match self.unlocked.take() {
            Some(_) => self.station.drive().and_then(|drive| Ok(drive.clear_key()?)),
            None => Ok(()),
        };
        outcome?;
        cleared?;
        match self.refused.take() {
            Some(refused) if self.mounted.is_none() => Err(refused),
            _ => Ok(()),
        }
    }

    /// Whether two archives lie on one volume as parts of one part of the set.
    fn is_beside(&self, one: u32, other: u32) -> bool {
        let part = |number: u32| self.archives.get(&number).map(|archive| archive.part);
        one == other || part(one).is_some_and(|one| part(other) == Some(one))
    }

    /// Reads members of archives that lie beside each other.
    fn read(
        &mut self,
        batch: &mut Vec<Wanted>,
        sink: &mut Sink,
        unpackers: &Unpackers,
    ) -> Result<(), EngineError> {
        let wanted = std::mem::take(batch);
        let Some(first) = wanted.first() else { return Ok(()) };
        // Only the first member of an archive can have begun on an earlier volume.
        let mut wanted = wanted.as_slice();
        if first.member.notes.contains(Notes::SPLIT) {
            self.split(first, sink)?;
            wanted = &wanted[1..];
        }
        let mut layouts: HashMap<u32, ArchiveLayout> = HashMap::new();
        for one in wanted.chunk_by(|one, next| one.member.archive == next.member.archive) {
            let Some(number) = one.first().map(|first| first.member.archive) else { continue };
            match self.reach(number, &sink.report)? {
                Ok(layout) => drop(layouts.insert(number, layout)),
                Err(reason) => {
                    for lost in one {
                        sink.report.fault(lost.place(), &reason);
                    }
                }
            }
        }
        let Some(record_size) = layouts.values().next().map(|layout| layout.record_size) else {
            return Ok(());
        };
        self.progress.phase(Phase::Transferring);
        let runs = stretches::in_order(self.station.drive()?, runs_of(&layouts, wanted), wanted);
        self.with_tape(record_size, |this, tape| {
            this.members(&layouts, &runs, wanted, tape, sink, unpackers);
            Ok(())
        })
    }

    /// Has the volume with an archive in the drive, and checked; how the archive lies there. The inner error says why it
    /// is out of reach while others may not be.
    fn reach(
        &mut self,
        number: u32,
        report: &SharedReport,
    ) -> Result<Result<ArchiveLayout, String>, EngineError> {
        let archive = self.archives.get(&number);
        let part = archive.and_then(|archive| self.parts.iter().find(|part| part.number == archive.part));
        let (Some(archive), Some(part)) = (archive.cloned(), part.cloned()) else {
            return Ok(Err(format!(
                "archive {number} of its set is on a volume that the catalog does not know; put that volume into the library and run `reelward catalog rebuild`"
            )));
        };
        if let Some(reason) = self.absent.get(&part.volume) {
            return Ok(Err(reason.clone()));
        }
        let volume = self.catalog.volume(part.volume)?;
        let layout = archive.layout(volume.record_size);
        if self.mounted.as_ref().is_some_and(|mounted| mounted.id == volume.id) {
            self.unlock(&archive, &volume)?;
            return Ok(Ok(layout));
        }
        match self.mount(&volume) {
            Ok(()) => {}
            Err(error @ (EngineError::Operator(_) | EngineError::WrongVolume { .. })) => {
                let reason = format!("volume {} could not be had: {}", volume.label, chain(&error));
                self.absent.insert(volume.id, reason.clone());
                report.with(|report| report.missing_volumes.push(volume.label.clone()));
                self.refused.get_or_insert(error);
                return Ok(Err(reason));
            }
            Err(error) => return Err(error),
        }
        report.with(|report| {
            if !report.volumes.contains(&volume.label) {
                report.volumes.push(volume.label.clone());
            }
        });
        self.unlock(&archive, &volume)?;
        self.mounted = Some(volume);
        Ok(Ok(layout))
    }

    /// Gives the drive the key of the archive's part, where the drive encrypted it.
    fn unlock(&mut self, archive: &Archive, volume: &Volume) -> Result<(), EngineError> {
        let set = self.catalog.set(self.set)?;
        if !hardware_key::covers(&set, archive) {
            return Ok(());
        }
        if self.unlocked == Some(archive.part) {
            return Ok(());
        }
        let first = self.archives.values().filter(|other| other.part == archive.part).map(|a| a.block).min();
        let drive = self.station.drive()?;
        hardware_key::unlock(
            drive,
            &set,
            archive.part,
            first.unwrap_or(archive.block),
            volume.record_size,
            self.identities,
        )?;
        self.unlocked = Some(archive.part);
        Ok(())
    }

    fn mount(&mut self, volume: &Volume) -> Result<(), EngineError> {
        self.progress.phase(Phase::Mounting);
        self.progress.volume(&volume.label);
        let (drive, loader): (&mut Drive, &mut Loader) = self.station.split()?;
        self.unlocked = None;
        loader.mount_volume(drive, volume)?;
        fence::prepare(drive)?;
        fence::check_identity(drive, volume)
    }

    /// Runs `work` with the drive behind a reading thread.
    fn with_tape<T>(
        &mut self,
        record_size: u32,
        work: impl FnOnce(&mut Self, &mut Prefetch) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let drive = self.station.take_drive()?;
        let mut tape = Prefetch::start(drive, record_size as usize, AHEAD).map_err(EngineError::Thread)?;
        let result = work(self, &mut tape);
        self.station.return_drive(tape.into_drive().map_err(EngineError::Thread)?);
        result
    }

    fn open<'t>(
        &mut self,
        number: u32,
        layout: &ArchiveLayout,
        tape: &'t mut Prefetch,
    ) -> std::io::Result<ArchiveReader<&'t mut Prefetch>> {
        if layout.header_bytes == 0 {
            return ArchiveReader::open_with(tape, layout, None);
        }
        if let Some(decryptor) = self.decryptors.get(&number) {
            return ArchiveReader::open_with(tape, layout, Some(decryptor.clone()));
        }
        let reader = ArchiveReader::open(tape, layout, self.identities)?;
        if let Some(decryptor) = reader.decryptor() {
            self.decryptors.insert(number, decryptor);
        }
        Ok(reader)
    }

    /// Reads members from tape, run by run.
    fn members(
        &mut self,
        layouts: &HashMap<u32, ArchiveLayout>,
        runs: &[Run],
        wanted: &[Wanted],
        tape: &mut Prefetch,
        sink: &mut Sink,
        unpackers: &Unpackers,
    ) {
        let mut small = SmallBatch::default();
        for run in runs {
            let Some(layout) = layouts.get(&run.archive) else { continue };
            let members = wanted.get(run.members.clone()).unwrap_or_default();
            tape.forget();
            self.run_through(run, layout, members, tape, sink, &mut small, unpackers);
            if self.cancel.load(Ordering::Relaxed) {
                break;
            }
        }
        unpackers.send(small);
    }

    /// Reads members that stand close together; goes on behind those that cannot be read.
    #[allow(clippy::too_many_arguments)]
    fn run_through(
        &mut self,
        whole: &Run,
        layout: &ArchiveLayout,
        mut run: &[Wanted],
        tape: &mut Prefetch,
        sink: &mut Sink,
        small: &mut SmallBatch,
        unpackers: &Unpackers,
    ) {
        while let Some(first) = run.first() {
            // The age header is read before the tape may be read ahead: what follows it may not be wanted.
            let known = self.open(whole.archive, layout, tape).map(drop);
            if known.is_ok() {
                tape.allow(whole.blocks.end);
            }
            let mut reader = match known.and_then(|()| self.open(whole.archive, layout, tape)) {
                Ok(mut reader) => {
                    reader.seek(first.member.offset);
                    TarReader::at(reader, first.member.offset)
                }
                Err(error) => {
                    for lost in run {
                        sink.report.fault(lost.place(), chain(&error));
                    }
                    return;
                }
            };
            while let Some((wanted, rest)) = run.split_first() {
                if self.cancel.load(Ordering::Relaxed) {
                    return;
                }
                self.progress.current(&wanted.path);
                run = rest;
                if let Err(error) = self.member(&mut reader, wanted, sink, small) {
                    sink.report.fault(wanted.place(), chain(&error));
                    break; // opened again behind it
                }
                if small.bytes.len() >= BATCH_BYTES || small.files.len() >= BATCH_FILES {
                    *small = unpackers.send(std::mem::take(small));
                }
            }
        }
    }

    /// Reads one member that is whole in this archive.
    fn member(
        &self,
        reader: &mut Reader<'_>,
        wanted: &Wanted,
        sink: &mut Sink,
        small: &mut SmallBatch,
    ) -> Result<(), FormatError> {
        let item = find(reader, wanted)?;
        let member = &wanted.member;
        self.progress.done(1, 0);
        if member.notes != Notes::default() {
            sink.report.with(|report| report.noted += 1);
        }
        match (item.entry.kind, &sink.extractor) {
            (Kind::Regular, _) if item.data_length <= SMALL && item.entry.sparse.is_none() => {
                let start = small.bytes.len();
                small.bytes.resize(start + item.data_length as usize, 0);
                read_exactly(reader, &mut small.bytes[start..])?;
                self.progress.done(0, item.data_length);
                small.files.push(Small {
                    path: wanted.place().to_vec(),
                    entry: item.entry,
                    data: start..small.bytes.len(),
                    sha256: member.sha256,
                    ordinal: wanted.ordinal,
                });
                Ok(())
            }
            (Kind::Regular, _) => {
                let mut file = Streamed::begin(sink.extractor.as_ref(), item.entry, wanted.place());
                file.take(reader, self.progress)?;
                file.end(&wanted.member, &sink.report);
                Ok(())
            }
            (_, None) => {
                sink.report.note(&wanted.path, 0, Unpacked::Verified);
                Ok(())
            }
            (Kind::HardLink, Some(_)) => {
                sink.links.push((wanted.ordinal, item.entry));
                Ok(())
            }
            (_, Some(extractor)) => {
                let outcome = match extractor.begin(&item.entry, wanted.place()) {
                    Ok(Begun::Done(outcome)) => Unpacked::Done(outcome),
                    Ok(Begun::File(_)) => Unpacked::Damaged,
                    Err(error) => Unpacked::Failed(error),
                };
                sink.report.note(&wanted.path, 0, outcome);
                Ok(())
            }
        }
    }

    /// A member that lies on several volumes: its pieces, one after the other.
    fn split(&mut self, wanted: &Wanted, sink: &mut Sink) -> Result<(), EngineError> {
        let mut pieces: Vec<Fragment> = self.catalog.fragments_of(self.set, wanted.ordinal)?;
        pieces.sort_by_key(|piece| piece.data_offset);
        self.progress.done(1, 0);
        let mut file: Option<Streamed> = None;
        let starts: Vec<(u32, u64)> = pieces
            .iter()
            .map(|piece| (piece.archive, piece.stream_offset))
            .chain([(wanted.member.archive, wanted.member.offset)])
            .collect();
        for (number, offset) in starts {
            let layout = match self.reach(number, &sink.report)? {
                Ok(layout) => layout,
                Err(reason) => {
                    sink.report.fault(wanted.place(), reason);
                    return Ok(());
                }
            };
            let extractor = sink.extractor.as_ref();
            let taken = self.with_tape(layout.record_size, |this, tape| {
                let end =
                    if number == wanted.member.archive { offset + wanted.member.size } else { u64::MAX };
                if this.open(number, &layout, tape).is_ok() {
                    let blocks = stretches::blocks(&layout, offset, end.saturating_add(HEADERS));
                    tape.allow(blocks.map_or(0, |blocks| blocks.end));
                }
                let read = (|| {
                    let mut reader = this
                        .open(number, &layout, tape)
                        .map_err(|source| FormatError::Read { offset, source })?;
                    reader.seek(offset);
                    let mut reader = TarReader::at(reader, offset);
                    let item = reader.next()?.ok_or(FormatError::Truncated { offset, inside: "a header" })?;
                    if file.is_none() {
                        file = Some(Streamed::begin(extractor, item.entry, wanted.place()));
                    }
                    if let Some(file) = &mut file {
                        let rest = layout.stream_bytes.saturating_sub(item.data_offset);
                        file.take_up_to(&mut reader, item.data_length.min(rest), this.progress)?;
                    }
                    Ok::<(), FormatError>(())
                })();
                Ok(read)
            })?;
            if let Err(error) = taken {
                sink.report.fault(wanted.place(), chain(&error));
                return Ok(());
            }
        }
        if let Some(file) = file {
            file.end(&wanted.member, &sink.report);
        }
        Ok(())
    }

    /// Hard links, now that everything they can point to is in place. One whose first name was not restored gets the
    /// content itself.
    fn links(&mut self, sink: &mut Sink) -> Result<(), EngineError> {
        let Some(extractor) = sink.extractor.clone() else { return Ok(()) };
        let mut orphans: HashMap<Vec<u8>, Vec<Entry>> = HashMap::new();
        sink.links.sort_by_key(|(ordinal, _)| *ordinal);
        for (_, entry) in std::mem::take(&mut sink.links) {
            match extractor.begin(&entry, &entry.path) {
                Ok(Begun::Done(outcome)) => sink.report.note(&entry.path, 0, Unpacked::Done(outcome)),
                Ok(Begun::File(_)) => sink.report.note(&entry.path, 0, Unpacked::Damaged),
                Err(ExtractError::LinkTargetMissing { .. }) => {
                    orphans.entry(entry.link.clone()).or_default().push(entry);
                }
                Err(error) => sink.report.note(&entry.path, 0, Unpacked::Failed(error)),
            }
        }
        for (first, entries) in orphans {
            self.orphan(&extractor, &first, entries, sink)?;
        }
        Ok(())
    }

    /// Restores the content of `first` under the first of the names that link to it, and links the others to that.
    fn orphan(
        &mut self,
        extractor: &Extractor,
        first: &[u8],
        entries: Vec<Entry>,
        sink: &mut Sink,
    ) -> Result<(), EngineError> {
        let Some((ordinal, member)) = self.catalog.lookup(self.set, first)? else {
            for entry in entries {
                sink.report.fault(&entry.path, "the file it is a hard link to is not in the catalog");
            }
            return Ok(());
        };
        let mut names = entries.into_iter();
        let Some(name) = names.next() else { return Ok(()) };
        let wanted = Wanted { ordinal, path: first.to_vec(), place: Some(name.path.clone()), member };
        if wanted.member.notes.contains(Notes::SPLIT) {
            self.split(&wanted, sink)?;
        } else {
            let layout = match self.reach(wanted.member.archive, &sink.report)? {
                Ok(layout) => layout,
                Err(reason) => {
                    for lost in std::iter::once(name).chain(names) {
                        sink.report.fault(&lost.path, &reason);
                    }
                    return Ok(());
                }
            };
            let report = sink.report.clone();
            let unpackers = Unpackers::start(
                1,
                Some(extractor),
                Arc::new(move |_, path, size, outcome| report.note(path, size, outcome)),
            );
            let wanted = [wanted];
            let layouts = HashMap::from([(wanted[0].member.archive, layout)]);
            self.with_tape(layouts[&wanted[0].member.archive].record_size, |this, tape| {
                this.members(&layouts, &runs_of(&layouts, &wanted), &wanted, tape, sink, &unpackers);
                Ok(())
            })?;
            unpackers.finish();
        }
        for other in names {
            let outcome = match extractor.hard_link(&other, &other.path, &name.path) {
                Ok(outcome) => Unpacked::Done(outcome),
                Err(error) => Unpacked::Failed(error),
            };
            sink.report.note(&other.path, 0, outcome);
        }
        Ok(())
    }
}

/// The member's own headers, which must say what the index says.
fn find(reader: &mut Reader<'_>, wanted: &Wanted) -> Result<Item, FormatError> {
    let offset = wanted.member.offset;
    let mismatch = |reason: String| FormatError::Structure { what: "the archive", reason };
    // Members that are not wanted are passed over.
    while reader.offset() < offset {
        let Some(item) = reader.next()? else { break };
        if item.offset == offset {
            return same(item, wanted);
        }
        reader.skip_data()?;
        if item.offset > offset {
            return Err(mismatch(format!("there is no member at offset {offset} of its stream")));
        }
    }
    match reader.next()? {
        Some(item) if item.offset == offset => same(item, wanted),
        _ => Err(mismatch(format!("there is no member at offset {offset} of its stream"))),
    }
}

fn same(item: Item, wanted: &Wanted) -> Result<Item, FormatError> {
    if item.entry.path == wanted.path && item.entry.kind == wanted.member.kind {
        return Ok(item);
    }
    let reason = format!("another member stands at offset {}: {}", item.offset, shown(&item.entry.path));
    Err(FormatError::Structure { what: "the archive", reason })
}

/// Stream offset by which a member surely has ended, attributes of unusual size excepted.
fn end_of(member: &Member) -> u64 {
    let path = (member.name.len() + member.link.len()) as u64;
    member.offset + HEADERS + 2 * path + member.size
}

/// Members so close together that the tape is read through, of the archives that are within reach.
fn runs_of(layouts: &HashMap<u32, ArchiveLayout>, wanted: &[Wanted]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut end = 0;
    for (at, one) in wanted.iter().enumerate() {
        let archive = one.member.archive;
        let Some(layout) = layouts.get(&archive) else { continue };
        let near = one.member.offset <= end + GAP;
        end = end_of(&one.member);
        let blocks = stretches::blocks(layout, one.member.offset, end).unwrap_or_default();
        match runs.last_mut() {
            Some(run) if near && run.archive == archive && run.members.end == at => {
                run.members.end = at + 1;
                run.blocks.end = run.blocks.end.max(blocks.end);
            }
            _ => runs.push(Run { members: at..at + 1, archive, blocks }),
        }
    }
    runs
}
