//! A volume's own structures: its volume file, its index files, its end.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::catalog::{Catalog, DirectoryId, Part, PathResolver, Volume};
use crate::drive::{BlockAddress, Drive, DriveError};
use crate::engine::chain;
use crate::engine::tape_file::TapeFile;
use crate::engine::{EngineError, fence, index_file};
use crate::format::age::{AgeError, DecryptReader, Identity};
use crate::format::v1::block::BlockReader;
use crate::format::v1::index::{IndexReader, PartState, Section, SetDescription, directory_rows};
use crate::format::v1::index_file::IndexFileReader;
use crate::format::v1::tar_reader::Sequential;
use crate::format::v1::{seen, shown, volume};

/// What was found on one volume beside its members.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct VolumeCheck {
    /// Its name.
    pub label: String,
    /// Index files that were read and say what the catalog says.
    pub index_files: u64,
    /// Every index file is as the catalog says; those without a key as far as they can be read.
    pub index_files_ok: bool,
    /// The data ends where the catalog says.
    pub end_ok: bool,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl VolumeCheck {
    /// A volume that could not be looked at.
    pub(super) fn failed(label: &str, reason: String) -> VolumeCheck {
        VolumeCheck { label: label.to_owned(), problems: vec![reason], ..VolumeCheck::default() }
    }
}

/// Longest volume file that is read.
const VOLUME_FILE: u64 = 2 << 20;

/// Checks the volume in the drive.
///
/// # Errors
/// It is another volume; the catalog failed. Whatever is wrong with the volume is in the result.
pub(super) fn check(
    catalog: &Catalog,
    drive: &mut Drive,
    volume: &Volume,
    identities: &[Identity],
    cancel: &AtomicBool,
) -> Result<VolumeCheck, EngineError> {
    fence::prepare(drive)?;
    fence::check_identity(drive, volume)?;
    let mut check =
        VolumeCheck { label: volume.label.clone(), index_files_ok: true, ..VolumeCheck::default() };
    if let Err(reason) = volume_file(drive, volume) {
        check.problems.push(format!("volume file: {reason}"));
    }
    let parts = catalog.parts_on(volume.id)?;
    for part in &parts {
        if cancel.load(Ordering::Relaxed) {
            return Ok(check);
        }
        let (Some(block), Some(file)) = (part.index_block, part.index_file) else { continue };
        match index(catalog, drive, volume, part, block, identities) {
            Ok(()) => check.index_files += 1,
            Err(Failure::Catalog(error)) => return Err(error),
            Err(Failure::Tape(reason)) => {
                check.index_files_ok = false;
                check
                    .problems
                    .push(format!("index file {file} (part {} of set {}): {reason}", part.number, part.set));
            }
        }
    }
    let unfinished = parts.iter().any(|part| part.index_file.is_none());
    match end(drive, volume, unfinished) {
        Ok(()) => check.end_ok = true,
        Err(reason) => check.problems.push(reason),
    }
    Ok(check)
}

fn volume_file(drive: &mut Drive, volume: &Volume) -> Result<(), String> {
    drive.rewind().map_err(|error| chain(&error))?;
    let mut bytes = Vec::new();
    let mut file = TapeFile::open(drive, VOLUME_FILE as usize).take(VOLUME_FILE);
    file.read_to_end(&mut bytes).map_err(|error| chain(&error))?;
    let found = volume::decode(&bytes).map_err(|error| chain(&error))?;
    if found.record_size != volume.record_size {
        return Err(format!(
            "records of {} bytes, the catalog says {}",
            found.record_size, volume.record_size
        ));
    }
    if found.label != volume.label {
        return Err(format!("it names the volume {}, the catalog {}", found.label, volume.label));
    }
    Ok(())
}

/// The end of data, and that nobody wrote since.
fn end(drive: &mut Drive, volume: &Volume, unfinished: bool) -> Result<(), String> {
    let ask = |drive: &mut Drive| -> Result<(u64, Option<u32>), DriveError> {
        drive.space_to_end_of_data()?;
        Ok((drive.position()?.block.0, drive.volume_change_reference()?))
    };
    let (found, reference) = ask(drive).map_err(|error| format!("end of data: {}", chain(&error)))?;
    // After a crash data may lie behind the last checkpoint; it will be overwritten.
    let in_place = if unfinished { found >= volume.end_block } else { found == volume.end_block };
    if !in_place {
        return Err(format!("the data ends at block {found}, the catalog says {}", volume.end_block));
    }
    match (volume.change_reference, reference) {
        (Some(expected), Some(found)) if !unfinished && expected != found => {
            Err(format!("written to by somebody else: change reference {found}, the catalog says {expected}"))
        }
        _ => Ok(()),
    }
}

/// Why an index is not as it should be.
enum Failure {
    Tape(String),
    Catalog(EngineError),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Tape(chain(&error))
    }
}

fn ours<T, E: Into<EngineError>>(result: Result<T, E>) -> Result<T, Failure> {
    result.map_err(|error| Failure::Catalog(error.into()))
}

fn differs(what: &str) -> Failure {
    Failure::Tape(format!("{what} is not what the catalog says"))
}

/// Reads one index file and compares it with the catalog.
fn index(
    catalog: &Catalog,
    drive: &mut Drive,
    volume: &Volume,
    part: &Part,
    block: u64,
    identities: &[Identity],
) -> Result<(), Failure> {
    drive.locate(BlockAddress(block))?;
    let file = TapeFile::open(drive, volume.record_size as usize);
    let mut file = IndexFileReader::open(Sequential(file))?;
    let found = SetDescription::from_json(file.set_json())?;
    let known = ours(index_file::describe(catalog, part, found.state, 0))?;
    for (same, what) in [
        (found.set == known.set, "its set"),
        (found.part == known.part, "the number of its part"),
        (found.volume == known.volume, "its volume"),
        (
            (found.first_ordinal, found.members) == (known.first_ordinal, known.members),
            "the number of its members",
        ),
        (found.bytes == known.bytes, "the number of its bytes"),
        (found.recipients == known.recipients, "the list of its recipients"),
        (found.archives == known.archives, "the list of its archive files"),
        (found.last == (found.state != PartState::Continued), "its state"),
    ] {
        if !same {
            return Err(differs(what));
        }
    }
    if !file.is_encrypted() {
        return members(catalog, part, &mut file);
    }
    match DecryptReader::new(&mut file, identities) {
        Ok(mut plain) => members(catalog, part, &mut plain),
        // Told for the set; what needs no key was checked.
        Err(error) if is_missing_key(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether none of the keys given opens an age file that is sound.
pub(in crate::engine) fn is_missing_key(error: &std::io::Error) -> bool {
    let source = error.get_ref().and_then(|source| source.downcast_ref::<AgeError>());
    matches!(source, Some(AgeError::NoMatchingIdentity { .. }))
}

/// Compares `members.bin`, row by row.
fn members(catalog: &Catalog, part: &Part, plain: &mut dyn Read) -> Result<(), Failure> {
    let mut sections = IndexReader::new(plain)?;
    let mut rows = ours(catalog.members(part.set, part.ordinals()))?;
    let mut paths = ours(catalog.paths())?;
    let mut directories = Directories::default();
    while let Some(section) = sections.next_section()? {
        match section {
            Section::Directories(payload) => directories.add(&payload)?,
            Section::Block(bytes) => {
                for (directory, member) in BlockReader::new(&bytes)?.members() {
                    let known = ours(rows.next().transpose())?;
                    let Some((ordinal, here, known)) = known else {
                        return Err(differs("the number of members"));
                    };
                    if member != known || !ours(directories.same(directory, here, &mut paths))? {
                        return Err(differs(&format!("member {ordinal}")));
                    }
                }
            }
            Section::Frames(archive, table) => {
                let known = ours(catalog.archive(part.set, archive))?.frames;
                // A long table comes in several sections.
                if !known
                    .as_bytes()
                    .windows(table.as_bytes().len().max(1))
                    .any(|part| part == table.as_bytes())
                {
                    return Err(differs(&format!("the frame table of archive {archive}")));
                }
            }
            Section::Seen(plain) => {
                for row in seen::directories(&plain) {
                    let (path, list) = row.map_err(|_| differs("what was seen"))?;
                    if !ours(catalog.has_seen(part, path, list))? {
                        return Err(differs(&format!("what was seen in /{}", shown(path))));
                    }
                }
            }
            Section::Fragments(found) => {
                for row in found {
                    let known = ours(catalog.fragments_of(part.set, row.ordinal))?;
                    let same = known.iter().any(|k| {
                        (k.archive, k.stream_offset, k.data_offset, k.data_length)
                            == (row.archive, row.stream_offset, row.data_offset, row.data_length)
                    });
                    if !same {
                        return Err(differs(&format!("the split of member {}", row.ordinal)));
                    }
                }
            }
            Section::Information(_) | Section::End { .. } => {}
        }
    }
    if rows.next().is_some() { Err(differs("the number of members")) } else { Ok(()) }
}

/// The directories of an index, whose numbers need not be those of the catalog.
#[derive(Default)]
struct Directories {
    rows: HashMap<u64, (u64, Vec<u8>)>,
    /// Found equal.
    same: HashMap<u64, DirectoryId>,
}

impl Directories {
    fn add(&mut self, payload: &[u8]) -> Result<(), Failure> {
        for row in directory_rows(payload) {
            let row = row?;
            self.rows.entry(row.id).or_insert_with(|| (row.parent, row.name.to_vec()));
        }
        Ok(())
    }

    fn same(&mut self, id: u64, here: DirectoryId, paths: &mut PathResolver) -> Result<bool, EngineError> {
        if let Some(known) = self.same.get(&id) {
            return Ok(*known == here);
        }
        let known = paths.path_of(here)?;
        let equal = self.path(id).is_some_and(|path| path == *known);
        if equal {
            self.same.insert(id, here);
        }
        Ok(equal)
    }

    fn path(&self, mut id: u64) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        while id != 0 {
            let (parent, name) = self.rows.get(&id)?;
            // Parents have smaller numbers, so this ends.
            if *parent >= id {
                return None;
            }
            names.push(name.as_slice());
            id = *parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }
}
