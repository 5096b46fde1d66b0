//! From one tape file to the next: indexes are loaded, archives passed over.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gaps::Seen;
use super::volume_row::{self, Extent, nanos};
use super::{EncryptedIndex, RebuiltVolume};
use crate::catalog::{Catalog, CatalogError, IndexLocation, Loaded, SetId, SetState, Volume};
use crate::drive::{BlockAddress, Drive, DriveError, ReadOutcome};
use crate::engine::chain;
use crate::engine::error::OperatorRequest;
use crate::engine::tape_file::{FileEnd, TapeFile};
use crate::engine::verify::is_missing_key;
use crate::engine::{EngineError, fence, hardware_key};
use crate::format::age::{DecryptReader, Identity};
use crate::format::v1::index::{PartState, SetDescription};
use crate::format::v1::index_file::{IndexFileReader, SET_JSON};
use crate::format::v1::keys_file::{KEYS_JSON, KeysFile};
use crate::format::v1::tar_reader::{Sequential, TarReader};
use crate::format::v1::{Found, VolumeFile};
use crate::pipeline::{Phase, Progress};

/// What the steps of one rebuild share.
pub(super) struct Task<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) identities: &'a [Identity],
    pub(super) progress: &'a Progress,
    pub(super) cancel: &'a AtomicBool,
    pub(super) seen: Seen,
    pub(super) encrypted: Vec<EncryptedIndex>,
    /// Tape files that were being written when a task ended.
    pub(super) unfinished: Vec<String>,
}

/// An archive file that no index covers.
#[derive(Debug, Clone)]
pub(super) struct Orphan {
    /// Tape file number.
    pub(super) file: u64,
    /// Its first record.
    pub(super) block: u64,
    /// Logical block behind its filemark; without one, where the data ends.
    pub(super) end_block: u64,
    /// Part, where its first record tells.
    pub(super) part: Option<u32>,
    /// The keys file of its part, where the drive encrypted it.
    pub(super) keys: Option<Arc<KeysFile>>,
}

/// Archives without an index on one volume.
pub(super) struct Orphans {
    pub(super) volume: Volume,
    pub(super) archives: Vec<Orphan>,
    /// The last file has no filemark: it was never committed, and the next task will overwrite it.
    pub(super) tail: Option<Orphan>,
    /// When the set in question began at the earliest.
    pub(super) not_before: i64,
}

impl Orphans {
    /// For ordering: parts that come first in their sets first.
    pub(super) fn first_part(&self) -> u32 {
        self.archives.iter().chain(&self.tail).filter_map(|orphan| orphan.part).min().unwrap_or(u32::MAX)
    }
}

/// What a tape file is, by its first record.
enum Sort {
    Index,
    /// The keys of the archives that follow.
    Keys(Arc<KeysFile>),
    /// Number of the part, where it can be read without a key.
    Archive(Option<u32>),
}

fn sort_of(record: &[u8]) -> Sort {
    let mut tar = TarReader::new(record);
    let first = tar.next();
    match (first, tar.comment()) {
        (Ok(Some(item)), None) if item.entry.path == SET_JSON.as_bytes() => Sort::Index,
        (Ok(Some(item)), None) if item.entry.path == KEYS_JSON.as_bytes() => match KeysFile::decode(record) {
            Ok(file) => Sort::Keys(Arc::new(file)),
            Err(_) => Sort::Archive(None), // told when its archives are read
        },
        (_, comment) => Sort::Archive(comment.and_then(Label::parse).map(|label| label.part)),
    }
}

/// What the comment of an archive says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) set: String,
    pub(super) part: u32,
    pub(super) archive: u32,
    /// Directories repeated at its beginning; they are members of an earlier archive.
    pub(super) open: u32,
}

impl Label {
    pub(super) fn parse(comment: &[u8]) -> Option<Label> {
        let mut words = std::str::from_utf8(comment).ok()?.strip_prefix("reelward v1 ")?.split(' ');
        let mut value = |key: &str| words.next()?.strip_prefix(key)?.strip_prefix('=');
        let label = Label {
            set: value("set").filter(|set| !set.is_empty())?.to_owned(),
            part: value("part")?.parse().ok().filter(|part| *part > 0)?,
            archive: value("archive")?.parse().ok().filter(|archive| *archive > 0)?,
            open: words.next().map_or(Some(0), |word| word.strip_prefix("open=")?.parse().ok())?,
        };
        words.next().is_none().then_some(label)
    }
}

/// One volume being read.
struct Work<'v> {
    volume: &'v Volume,
    extent: Extent,
    archives: Vec<Orphan>,
    tail: Option<Orphan>,
    /// Tape files that an index covers, whether it could be opened or not.
    covered: HashSet<u64>,
    sets: HashSet<String>,
    /// The keys file of the part being passed.
    keys: Option<Arc<KeysFile>>,
}

impl Task<'_> {
    /// Reads the cartridge in the drive; what it holds beside indexes is returned.
    pub(super) fn scan(
        &mut self,
        drive: &mut Drive,
        barcode: Option<&str>,
        wanted: &[String],
        report: &mut RebuiltVolume,
    ) -> Result<Option<Orphans>, EngineError> {
        let medium = fence::prepare(drive)?;
        let identity = fence::identity(drive)?;
        report.found = identity.describe();
        let fence::Identity::Found(found) = identity else { return Ok(None) };
        let Found::Reelward(file) = *found else { return Ok(None) };
        report.label = Some(file.label.clone());
        self.progress.volume(&file.label);
        if barcode.is_none() {
            is_wanted(&file, medium.barcode.as_deref(), wanted, drive)?;
        }
        self.progress.phase(Phase::Verifying);
        let Some((end, terminated)) = end_of_data(drive)? else {
            report.problems.push("it was labelled, but not to the end: label it again".into());
            return Ok(None);
        };
        let volume = volume_row::find_or_add(self.catalog, drive, &file, &medium, barcode, report)?;
        let mut work = Work {
            volume: &volume,
            extent: Extent { end_block: 2, end_file: 1, ..Extent::default() },
            archives: Vec::new(),
            tail: None,
            covered: self.known_files(&volume)?,
            sets: HashSet::new(),
            keys: None,
        };
        self.files(drive, end, terminated, &mut work, report)?;
        report.sets = work.sets.len() as u64;
        if self.cancel.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Work { extent, archives, tail, covered, .. } = work;
        volume_row::settle(self.catalog, drive, &volume, &extent, report)?;
        let archives: Vec<Orphan> =
            archives.into_iter().filter(|found| !covered.contains(&found.file)).collect();
        if archives.is_empty() && tail.is_none() {
            return Ok(None);
        }
        let not_before = extent.written.or(nanos(&file.created)).unwrap_or_default();
        Ok(Some(Orphans { volume: self.catalog.volume(volume.id)?, archives, tail, not_before }))
    }

    /// Tape files of archives that the catalog has already.
    fn known_files(&self, volume: &Volume) -> Result<HashSet<u64>, EngineError> {
        let mut files = HashSet::new();
        for part in self.catalog.parts_on(volume.id)? {
            let archives = self.catalog.archives_of(part.set)?;
            files.extend(
                archives.iter().filter(|archive| archive.part == part.number).map(|archive| archive.file),
            );
        }
        Ok(files)
    }

    /// All tape files behind the volume file.
    fn files(
        &mut self,
        drive: &mut Drive,
        end: u64,
        terminated: bool,
        work: &mut Work<'_>,
        report: &mut RebuiltVolume,
    ) -> Result<(), EngineError> {
        drive.locate(BlockAddress(2))?;
        let mut block = 2;
        while block < end && !self.cancel.load(Ordering::Relaxed) {
            let file = work.extent.end_file;
            // An index whose filemark is missing was never committed.
            let whole = terminated || ends_by_filemark(drive, block)?;
            let tape = TapeFile::open(drive, work.volume.record_size as usize);
            let (sort, left) = self.file(tape, file, block, whole, work, report)?;
            let left = left.or_else(|error| {
                report.problems.push(format!("tape file {file}: {}", chain(&error)));
                pass_over(drive, block)
            });
            let ended = match left {
                Ok(ended) => ended,
                Err(error) => {
                    report.problems.push(format!(
                        "nothing behind tape file {file} could be reached: {}; the volume takes no more",
                        chain(&error)
                    ));
                    work.extent.full = true;
                    return Ok(());
                }
            };
            let next = drive.position()?.block.0;
            let keys = work.keys.clone();
            let orphan = |part| Orphan { file, block, end_block: next, part, keys };
            match (ended, sort) {
                (FileEnd::Filemark, Sort::Archive(part)) => work.archives.push(orphan(part)),
                (FileEnd::Filemark, Sort::Index) => {
                    work.keys = None;
                    drive.clear_key()?;
                }
                (FileEnd::Filemark, Sort::Keys(keys)) => {
                    // Without a key that fits, archives without an index are told by what cannot be read.
                    match hardware_key::give(drive, &keys, self.identities) {
                        Ok(()) | Err(EngineError::KeyMissing { .. } | EngineError::KeyWrong { .. }) => {}
                        Err(error) => {
                            report.problems.push(format!("keys file {file}: {}", chain(&error)));
                        }
                    }
                    work.keys = Some(keys);
                }
                (FileEnd::EndOfData, sort) => {
                    let part = if let Sort::Archive(part) = sort { part } else { None };
                    work.tail = Some(orphan(part));
                    return Ok(());
                }
            }
            work.extent.end_file += 1;
            work.extent.end_block = next;
            block = next;
        }
        Ok(())
    }

    /// One tape file; leaves the tape behind it.
    #[allow(clippy::type_complexity)]
    fn file(
        &mut self,
        mut tape: TapeFile<'_>,
        file: u64,
        block: u64,
        whole: bool,
        work: &mut Work<'_>,
        report: &mut RebuiltVolume,
    ) -> Result<(Sort, Result<FileEnd, DriveError>), EngineError> {
        let sort = match tape.first() {
            Ok(Some(record)) => sort_of(record),
            Ok(None) => Sort::Archive(None),
            // Nothing is wrong with it: its part's keys file says who can read it.
            Err(DriveError::Encryption { .. }) if work.keys.is_some() => {
                let part = work.keys.as_ref().map(|keys| keys.description.part);
                return Ok((Sort::Archive(part), tape.leave()));
            }
            Err(error) => return Ok((Sort::Archive(None), Err(error))),
        };
        if let (Sort::Index, true) = (&sort, whole) {
            match self.index(&mut tape, file, block, work, report) {
                Ok(()) => {}
                Err(Failure::Catalog(error)) => return Err(error),
                Err(Failure::Tape(reason)) => report.problems.push(format!("index file {file}: {reason}")),
            }
        }
        Ok((sort, tape.leave()))
    }

    fn index(
        &mut self,
        tape: &mut TapeFile<'_>,
        file: u64,
        block: u64,
        work: &mut Work<'_>,
        report: &mut RebuiltVolume,
    ) -> Result<(), Failure> {
        let mut reader = IndexFileReader::open(Sequential(tape))?;
        let description = SetDescription::from_json(reader.set_json())?;
        if description.volume != work.volume.uuid {
            return Err(Failure::Tape(format!("it belongs to the volume {}", description.volume)));
        }
        let location = IndexLocation { volume: work.volume.id, file, block };
        let length = reader.members_length();
        let loaded = if reader.is_encrypted() {
            match DecryptReader::new(&mut reader, self.identities) {
                Ok(mut plain) => Some(self.catalog.load_index(&description, &mut plain, location)),
                Err(error) if is_missing_key(&error) => None,
                Err(error) => return Err(error.into()),
            }
        } else {
            Some(self.catalog.load_index(&description, &mut reader, location))
        };
        self.note(&description, work, length);
        match loaded {
            None => self.encrypted.push(EncryptedIndex {
                set: description.set,
                part: description.part,
                volume: work.volume.label.clone(),
                recipients: description.recipients,
            }),
            Some(Ok(Loaded::Added(_))) => {
                report.parts_added += 1;
                report.members += description.members;
                self.progress.done(description.members, description.bytes);
            }
            Some(Ok(Loaded::Located(set) | Loaded::Unchanged(set))) => {
                report.parts_known += 1;
                self.finish(set, &description)?;
            }
            Some(Err(error)) => {
                // Without its index an archive can still be read itself.
                for archive in &description.archives {
                    work.covered.remove(&archive.file);
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    fn note(&mut self, description: &SetDescription, work: &mut Work<'_>, length: u64) {
        self.seen.add(description);
        work.sets.insert(description.set.clone());
        work.covered.extend(description.archives.iter().map(|archive| archive.file));
        let stored: u64 = description.archives.iter().map(|archive| archive.stored_bytes).sum();
        work.extent.used = work.extent.used.saturating_add(stored).saturating_add(length);
        work.extent.written = work.extent.written.max(nanos(&description.written));
        work.extent.full = description.state == PartState::Continued;
    }

    /// A crash may have come between the index on tape and the end of the set in the catalog.
    fn finish(&self, set: SetId, description: &SetDescription) -> Result<(), CatalogError> {
        if !description.last || description.state != PartState::Complete {
            return Ok(());
        }
        let is_whole = self.catalog.missing_parts(set)?.is_empty();
        let state = if is_whole { SetState::Complete } else { SetState::Incomplete };
        if self.catalog.set(set)?.state != state
            && let Some(written) = nanos(&description.written)
        {
            self.catalog.finish_set(set, state, written)?;
        }
        Ok(())
    }
}

/// Why an index is not in the catalog.
enum Failure {
    Tape(String),
    Catalog(EngineError),
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        match error {
            // What the bytes on tape are to blame for.
            CatalogError::Index(_)
            | CatalogError::Block(_)
            | CatalogError::Bytes(_)
            | CatalogError::Json(_)
            | CatalogError::Conflict { .. }
            | CatalogError::Malformed { .. }
            | CatalogError::Name(_)
            | CatalogError::Time(_) => Failure::Tape(chain(&error)),
            error => Failure::Catalog(error.into()),
        }
    }
}

macro_rules! on_tape {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::Tape(chain(&error))
            }
        }
    )*};
}

on_tape!(std::io::Error, crate::format::v1::FormatError, crate::format::v1::index::IndexError);

/// Without a changer: whether the cartridge in the drive is one of those named.
fn is_wanted(
    file: &VolumeFile,
    barcode: Option<&str>,
    wanted: &[String],
    drive: &Drive,
) -> Result<(), EngineError> {
    let names = [Some(file.label.as_str()), barcode, file.barcode.as_deref(), Some(file.uuid.as_str())];
    if wanted.is_empty() || wanted.iter().any(|name| names.contains(&Some(name.as_str()))) {
        return Ok(());
    }
    let (volume, drive) = (wanted.join(" or "), drive.name().to_owned());
    Err(EngineError::Operator(OperatorRequest::Insert { volume, drive }))
}

/// Block at which the data ends, and whether a filemark stands before it; `None` where not even the volume file is whole.
fn end_of_data(drive: &mut Drive) -> Result<Option<(u64, bool)>, EngineError> {
    drive.space_to_end_of_data()?;
    let end = drive.position()?.block.0;
    if end < 2 {
        return Ok(None);
    }
    let terminated = is_filemark(drive, end - 1)?;
    Ok((end > 2 || terminated).then_some((end, terminated)))
}

fn is_filemark(drive: &mut Drive, block: u64) -> Result<bool, DriveError> {
    drive.locate(BlockAddress(block))?;
    // One byte tells a record from a filemark.
    match drive.read(&mut [0]) {
        Ok(outcome) => Ok(outcome == ReadOutcome::Filemark),
        Err(
            DriveError::RecordTooLong { .. }
            | DriveError::BlockProtection { .. }
            | DriveError::Encryption { .. },
        ) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the file that begins at `block` ends by a filemark; the tape stands at `block` again.
fn ends_by_filemark(drive: &mut Drive, block: u64) -> Result<bool, DriveError> {
    let ended = TapeFile::open(drive, 0).leave()?;
    drive.locate(BlockAddress(block))?;
    Ok(ended == FileEnd::Filemark)
}

/// After an error inside the file that begins at `block`: behind it.
fn pass_over(drive: &mut Drive, block: u64) -> Result<FileEnd, DriveError> {
    drive.rewind()?;
    drive.locate(BlockAddress(block))?;
    TapeFile::open(drive, 0).leave()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Label, Sort, sort_of};
    use crate::format::v1::tar_header::encode_global;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn labels_survive(set in "[0-9a-f-]{1,40}", part in 1u32.., archive in 1u32.., open: u32) {
            let repeated = if open > 0 { format!(" open={open}") } else { String::new() };
            let comment = format!("reelward v1 set={set} part={part} archive={archive}{repeated}");
            let label = Label { set, part, archive, open };
            prop_assert_eq!(Label::parse(comment.as_bytes()), Some(label.clone()));
            prop_assert_eq!(Label::parse(format!("{comment} more=1").as_bytes()).filter(|_| open > 0), None);
            for cut in 0..comment.len() {
                prop_assert_ne!(Label::parse(&comment.as_bytes()[..cut]), Some(label.clone()));
            }
            let mut record = Vec::new();
            encode_global(&comment, None, &mut record);
            prop_assert!(matches!(sort_of(&record), Sort::Archive(Some(found)) if found == part));
        }

        #[test]
        fn any_comment(bytes in proptest::collection::vec(any::<u8>(), 0..120), ours: bool) {
            let comment = if ours { [&b"reelward v1 set=s part="[..], &bytes].concat() } else { bytes };
            if let Some(label) = Label::parse(&comment) {
                prop_assert!(!label.set.is_empty() && label.part > 0 && label.archive > 0);
            }
            let _ = sort_of(&comment);
        }
    }

    #[test]
    fn numbers_begin_at_one_and_words_stand_in_order() {
        for comment in [
            "reelward v1 set=s part=0 archive=1",
            "reelward v1 set=s part=1 archive=0",
            "reelward v1 set= part=1 archive=1",
            "reelward v1 part=1 set=s archive=1",
            "reelward v1 set=s part=1",
            "reelward v1 set=s part=1 archive=1 open=",
            "reelward v2 set=s part=1 archive=1",
        ] {
            assert_eq!(Label::parse(comment.as_bytes()), None, "{comment}");
        }
    }
}
