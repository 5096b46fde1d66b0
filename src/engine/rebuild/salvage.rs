//! Archives that no index covers: their members are entered from the tar headers, as an interrupted set.

use std::io;

use super::RebuiltVolume;
use super::members::Entering;
use super::scan::{Label, Orphan, Orphans, Task};
use super::split::Beginning;
use crate::catalog::{
    Archive, BackupSet, Checkpoint, NewPart, NewSet, SetId, SetState, Volume, VolumeStatus,
};
use crate::drive::{BlockAddress, Drive};
use crate::engine::tape_file::TapeFile;
use crate::engine::verify::is_missing_key;
use crate::engine::{EngineError, chain, hardware_key};
use crate::format::v1::archive_stream::ArchiveStream;
use crate::format::v1::tar_reader::{Sequential, TarReader};

/// A part that is being entered.
struct Current {
    label: Label,
    set: SetId,
    entering: Entering,
}

/// Reading one archive: what is told of it, or why nothing is.
type Read<T> = Result<Result<T, String>, EngineError>;

impl Task<'_> {
    /// Enters what lies in archives without an index on the volume in the drive.
    ///
    /// # Errors
    /// The catalog failed, or the drive in a way that ends the task.
    pub(super) fn salvage(
        &mut self,
        drive: &mut Drive,
        left: Orphans,
        mut beginning: Option<Beginning>,
        report: &mut RebuiltVolume,
    ) -> Result<(), EngineError> {
        let mut current: Option<Current> = None;
        let mut used = left.volume.used;
        let change_reference = drive.volume_change_reference()?;
        for orphan in &left.archives {
            let place = Place { volume: &left.volume, not_before: left.not_before, change_reference };
            match self.archive(
                drive,
                orphan,
                &place,
                (&mut current, &mut beginning),
                &mut used,
                &mut report.problems,
            )? {
                Ok(members) => {
                    report.members += members;
                    report.salvaged += members;
                    self.progress.done(members, 0);
                }
                Err(reason) => report.problems.push(format!("tape file {}: {reason}", orphan.file)),
            }
        }
        if let Some(current) = current {
            self.end(current.set, current.label.part)?;
            report.parts_added += 1;
        }
        // Entering archives one by one moved the end of the volume along with them.
        let mut volume = Volume { used, change_reference, ..left.volume.clone() };
        if let Some(tail) = &left.tail {
            let opened = match self.catalog.open_part_on(volume.id)? {
                Some(_) => Ok(()),
                None => self.open_tail(drive, tail, &left)?,
            };
            let what = format!(
                "volume {}: tape file {} was never finished; what is in it is left out",
                volume.label, tail.file
            );
            match opened {
                Ok(()) => self.unfinished.push(what),
                Err(reason) => {
                    report.problems.push(format!("{what}, and as {reason}, the volume takes no more"));
                    volume.status = VolumeStatus::Full;
                }
            }
        }
        if volume.status == VolumeStatus::Blank {
            volume.status = VolumeStatus::Active;
        }
        report.sets = self.catalog.sets_on_volume(volume.id)?.len() as u64;
        Ok(self.catalog.update_volume(&volume)?)
    }

    /// The set and part of an archive that was never finished, empty, so that the next task knows what it may overwrite.
    fn open_tail(&mut self, drive: &mut Drive, tail: &Orphan, left: &Orphans) -> Read<()> {
        if let Err(reason) = self.unlock(drive, tail)? {
            return Ok(Err(reason));
        }
        drive.locate(BlockAddress(tail.block))?;
        let tape = TapeFile::open(drive, left.volume.record_size as usize);
        let stream = match ArchiveStream::open(tape, self.identities) {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(chain(&error))),
        };
        let about = About::of(&stream, tail);
        let mut tar = TarReader::new(Sequential(stream));
        let _ = tar.next(); // its first member may be cut off; the comment stands before it
        let Some(label) = tar.comment().and_then(Label::parse) else {
            return Ok(Err("it does not say to which set it belongs".into()));
        };
        let place = Place { volume: &left.volume, not_before: left.not_before, change_reference: None };
        let opened = self.part(&label, &about, &place)?;
        Ok(match opened {
            Ok(set) => {
                self.end(set.id, label.part)?;
                Ok(())
            }
            Err(reason) => Err(reason),
        })
    }

    /// Gives the drive the key of an archive that it encrypted; why not, where no identity opens it.
    pub(super) fn unlock(&self, drive: &mut Drive, orphan: &Orphan) -> Read<()> {
        let Some(keys) = &orphan.keys else {
            drive.clear_key()?;
            return Ok(Ok(()));
        };
        Ok(hardware_key::give(drive, keys, self.identities).map_err(|error| chain(&error)))
    }

    /// Enters one archive; the members entered.
    fn archive(
        &mut self,
        drive: &mut Drive,
        orphan: &Orphan,
        place: &Place<'_>,
        (current, beginning): (&mut Option<Current>, &mut Option<Beginning>),
        used: &mut u64,
        problems: &mut Vec<String>,
    ) -> Read<u64> {
        if let Err(reason) = self.unlock(drive, orphan)? {
            return Ok(Err(reason));
        }
        drive.locate(BlockAddress(orphan.block))?;
        let record_size = place.volume.record_size;
        let mut tape = TapeFile::open(drive, record_size as usize);
        let mut stream = match ArchiveStream::open(&mut tape, self.identities) {
            Ok(stream) => stream,
            Err(error) if is_missing_key(&error) => {
                return Ok(Err("encrypted and without an index; give its key with --identity".into()));
            }
            Err(error) => return Ok(Err(chain(&error))),
        };
        let about = About::of(&stream, orphan);
        let header_bytes = stream.header_bytes();
        let mut tar = TarReader::new(Sequential(&mut stream));
        let first = match tar.next() {
            Ok(first) => first,
            Err(error) if tar.comment().is_none() => return Ok(Err(chain(&error))),
            Err(error) => {
                problems.push(format!("tape file {}: no member can be read: {}", orphan.file, chain(&error)));
                None
            }
        };
        let Some(label) = tar.comment().and_then(Label::parse) else {
            return Ok(Err("not an archive of ours, and no index".into()));
        };
        self.seen.add_set(&label.set);
        if self.is_overtaken(&label)? {
            self.unfinished.push(format!(
                "volume {}: archive {} of set {} was written and not committed; a later part has what it holds",
                place.volume.label, label.archive, label.set
            ));
            return Ok(Ok(0));
        }
        let goes_on =
            current.as_ref().is_some_and(|c| (&c.label.set, c.label.part) == (&label.set, label.part));
        if !goes_on {
            if let Some(done) = current.take() {
                self.end(done.set, done.label.part)?;
            }
            let set = match self.part(&label, &about, place)? {
                Ok(set) => set,
                Err(reason) => return Ok(Err(reason)),
            };
            if self.catalog.archives_of(set.id)?.iter().any(|known| known.number == label.archive) {
                return Ok(Err(format!(
                    "archive {} of set {} is in the catalog already",
                    label.archive, label.set
                )));
            }
            let parts = self.catalog.parts_of(set.id)?;
            let behind = parts.iter().find(|part| part.number > label.part).map(|part| part.first_ordinal);
            let own = parts.iter().find(|part| part.number == label.part);
            let writer = match (behind, own) {
                (Some(behind), Some(own)) => self.catalog.gap_writer(set.id, own.ordinals().end..behind)?,
                _ => self.catalog.writer(set.id, set.committed)?,
            };
            *current = Some(Current {
                label: label.clone(),
                set: set.id,
                entering: Entering::new(writer, behind.unwrap_or(u64::MAX), beginning.take()),
            });
        }
        let Some(current) = current else { return Ok(Ok(0)) };
        let before = current.entering.members;
        current.entering.archive(&mut tar, first, &label, problems)?;
        drop(tar);
        // To the end of the file, for its length; an error was told already.
        let _ = io::copy(&mut stream, &mut io::sink());
        let (stream_bytes, frames) = stream.finish();
        let records = orphan.end_block.saturating_sub(orphan.block + 1);
        let whole = tape.records() == records;
        let stored_bytes = if whole { tape.bytes() } else { records.saturating_mul(u64::from(record_size)) };
        *used = used.saturating_add(stored_bytes);
        let archive = Archive {
            number: label.archive,
            part: label.part,
            file: orphan.file,
            block: orphan.block,
            records,
            stream_bytes,
            stored_bytes,
            header_bytes,
            frames,
        };
        current.entering.writer.commit(Checkpoint {
            archive: &archive,
            fragments: &std::mem::take(&mut current.entering.fragments),
            end_block: orphan.end_block,
            end_file: orphan.file + 1,
            change_reference: place.change_reference,
            used: *used,
            written: place.volume.last_written.unwrap_or(place.not_before),
        })?;
        Ok(Ok(current.entering.members - before))
    }

    /// Whether a later part of the set begins with this archive: the task that wrote it died before it was committed, and
    /// what it holds was stored again.
    fn is_overtaken(&self, label: &Label) -> Result<bool, EngineError> {
        let Some(set) = self.catalog.set_by_uuid(&label.set)? else { return Ok(false) };
        let archives = self.catalog.archives_of(set.id)?;
        let first =
            archives.iter().filter(|archive| archive.part > label.part).map(|archive| archive.number).min();
        Ok(first.is_some_and(|first| label.archive >= first))
    }

    /// The part is entered: how the set ended, as far as is known.
    fn end(&self, set: SetId, part: u32) -> Result<(), EngineError> {
        let is_last = self.catalog.parts_of(set)?.last().is_none_or(|last| last.number <= part);
        let row = self.catalog.set(set)?;
        if is_last {
            self.catalog.finish_set(set, SetState::Interrupted, crate::engine::now())?;
        } else if row.state == SetState::Incomplete && self.catalog.missing_parts(set)?.is_empty() {
            let finished = row.finished.unwrap_or_else(crate::engine::now);
            self.catalog.finish_set(set, SetState::Complete, finished)?;
        }
        Ok(())
    }

    /// The set of a part without an index, and the part itself, added where they are not known.
    fn part(&mut self, label: &Label, about: &About, place: &Place<'_>) -> Read<BackupSet> {
        let known = self.catalog.set_by_uuid(&label.set)?;
        let parts = known.as_ref().map(|set| self.catalog.parts_of(set.id)).transpose()?.unwrap_or_default();
        let before = parts.iter().rev().find(|part| part.number < label.part);
        if let Some(part) = parts.iter().find(|part| part.number == label.part) {
            if part.index_file.is_some() {
                return Ok(Err(format!(
                    "part {} of set {} is in the catalog already",
                    label.part, label.set
                )));
            }
        } else if before.map_or(0, |before| before.number) + 1 != label.part {
            return Ok(Err(format!(
                "part {} of set {} has no index and can be entered only behind part {}; rebuild from that one's volume first",
                label.part,
                label.set,
                label.part.saturating_sub(1)
            )));
        }
        let first_ordinal = before.map_or(0, |before| before.ordinals().end);
        let set = match known {
            Some(set) => set,
            None => {
                let id = self.catalog.begin_set(&NewSet {
                    uuid: label.set.clone(),
                    job: "recovered".into(),
                    host: String::new(),
                    roots: Vec::new(),
                    compression: about.compression.into(),
                    recipients: about.recipients.clone(),
                    started: place.not_before,
                    exclude: Vec::new(),
                    one_file_system: false,
                    kind: crate::catalog::SetKind::Full,
                    bases: Vec::new(),
                })?;
                self.catalog.set(id)?
            }
        };
        if !parts.iter().any(|part| part.number == label.part) {
            self.catalog.begin_part(&NewPart {
                set: set.id,
                number: label.part,
                volume: place.volume.id,
                first_ordinal,
            })?;
        }
        Ok(Ok(set))
    }
}

/// What the stream of an archive tells of its set.
struct About {
    compression: &'static str,
    recipients: Vec<String>,
}

impl About {
    fn of<R: io::Read>(stream: &ArchiveStream<R>, orphan: &Orphan) -> About {
        let recipients = match &orphan.keys {
            Some(keys) => keys.description.recipients.clone(),
            None => stream.recipients().to_vec(),
        };
        About { compression: stream.compression(), recipients }
    }
}

/// Where an archive lies.
struct Place<'a> {
    volume: &'a Volume,
    not_before: i64,
    change_reference: Option<u32>,
}
