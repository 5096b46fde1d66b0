//! Writing the index file that ends a part.

use std::io::{self, Write};

use super::EngineError;
use crate::catalog::{Catalog, Part, PartEnd};
use crate::drive::{Drive, DriveError};
use crate::format::age::{self, Encryptor, Recipient};
use crate::format::v1::index::{PartState, SetDescription};
use crate::format::v1::index_file;

/// Writes the index of `part` at the drive's position, which is the end of its last archive file, and makes the
/// catalog say so.
///
/// Returns the time that the index bears: a set ends at the time its last index was written.
///
/// # Errors
/// The drive or the catalog failed; the part then still has no index, and the next task writes it.
pub(super) fn write(
    catalog: &Catalog,
    drive: &mut Drive,
    part: &Part,
    state: PartState,
) -> Result<i64, EngineError> {
    let written_at = super::now();
    let volume = catalog.volume(part.volume)?;
    let name = volume.label.clone();
    let index_error = |source| EngineError::Index { volume: name.clone(), source };
    let description = describe(catalog, part, state, written_at)?;
    let json = description.to_json().map_err(index_error)?;
    let recipients = description
        .recipients
        .iter()
        .map(|text| text.parse::<Recipient>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| EngineError::Key {
            what: format!("recipients of set {}", description.set),
            source,
        })?;
    let at = drive.position()?;
    let mut records =
        RecordWriter { drive, record: Vec::new(), size: volume.record_size as usize, failure: None };
    let length = catalog.index_length(part)?;
    let mut refused = None;
    let written = write_tar(&mut records, &json, length, &recipients, |out| {
        catalog.write_index(part, out).map(|_| ()).map_err(|error| {
            refused = Some(error);
            io::Error::other("the catalog failed")
        })
    });
    let RecordWriter { drive, failure, .. } = records;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    if let Some(refused) = refused {
        return Err(refused.into());
    }
    written.map_err(|source| EngineError::Index { volume: name.clone(), source: source.into() })?;
    drive.write_filemarks(1, false)?;
    let end = drive.position()?;
    let end = PartEnd {
        index_file: volume.end_file,
        index_block: at.block.0,
        index_bytes: length,
        end_block: end.block.0,
        end_file: volume.end_file + 1,
        change_reference: drive.volume_change_reference()?,
        written: written_at,
    };
    catalog.close_part(part.set, part.number, &end)?;
    // The volume is right also where its memory chip does not take the note.
    let _ = super::cartridge_memory::seal(drive, (&catalog.volume(part.volume)?).into());
    Ok(written_at)
}

/// `set.json` of a part as the catalog has it now.
pub(super) fn describe(
    catalog: &Catalog,
    part: &Part,
    state: PartState,
    written: i64,
) -> Result<SetDescription, EngineError> {
    let set = catalog.set(part.set)?;
    let volume = catalog.volume(part.volume)?;
    let before = catalog.parts_of(part.set)?.into_iter().rev().find(|other| other.number < part.number);
    let previous = before.map(|before| catalog.volume(before.volume)).transpose()?.map(|volume| volume.uuid);
    let archives = catalog.archives_of(part.set)?.into_iter().filter(|archive| archive.part == part.number);
    Ok(SetDescription {
        format: SetDescription::FORMAT.to_owned(),
        version: 1,
        set: set.uuid,
        part: part.number,
        last: state != PartState::Continued,
        state,
        started: super::rfc3339(set.started),
        written: super::rfc3339(written),
        first_ordinal: part.first_ordinal,
        members: part.members,
        bytes: part.bytes,
        record_size: volume.record_size,
        compression: set.compression,
        recipients: set.recipients,
        volume: volume.uuid,
        previous,
        archives: archives.map(|archive| archive.describe()).collect(),
    })
}

/// The tar archive of chapter 7 around `members.bin`.
fn write_tar(
    out: &mut RecordWriter<'_>,
    json: &[u8],
    length: u64,
    recipients: &[Recipient],
    members: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let seconds = super::now() / 1_000_000_000;
    let mut head = Vec::new();
    let mut end = Vec::new();
    if recipients.is_empty() {
        index_file::encode_start(json, length, false, seconds, &mut head);
        out.write_all(&head)?;
        members(out)?;
        index_file::encode_end(length, &mut end);
    } else {
        let (header, encryptor) = Encryptor::new(recipients).map_err(io::Error::other)?;
        let sealed = header.len() as u64 + age::sealed_length(length);
        index_file::encode_start(json, sealed, true, seconds, &mut head);
        out.write_all(&head)?;
        out.write_all(&header)?;
        let mut sealing = Sealing { encryptor, chunk: Vec::with_capacity(age::SEALED_CHUNK), out };
        members(&mut sealing)?;
        sealing.end()?;
        index_file::encode_end(sealed, &mut end);
    }
    out.write_all(&end)?;
    out.end()
}

/// Encrypts what is written, chunk by chunk.
struct Sealing<'a, 'b> {
    encryptor: Encryptor,
    chunk: Vec<u8>,
    out: &'a mut RecordWriter<'b>,
}

impl Sealing<'_, '_> {
    fn seal(&mut self, last: bool) -> io::Result<()> {
        self.encryptor.encrypt_chunk(&mut self.chunk, last).map_err(io::Error::other)?;
        self.out.write_all(&self.chunk)?;
        self.chunk.clear();
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        self.seal(true)
    }
}

impl Write for Sealing<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        // A chunk is sealed only when more follows: the last one is marked as such.
        if self.chunk.len() == age::CHUNK && !data.is_empty() {
            self.seal(false)?;
        }
        let take = data.len().min(age::CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&data[..take]);
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts what is written into records.
struct RecordWriter<'a> {
    drive: &'a mut Drive,
    record: Vec<u8>,
    size: usize,
    failure: Option<DriveError>,
}

impl RecordWriter<'_> {
    fn send(&mut self) -> io::Result<()> {
        let sent = self.drive.write_with_room(&mut self.record);
        self.record.clear();
        // Early warning is expected here: the room for the index was kept.
        sent.map(|_| ()).map_err(|error| {
            self.failure = Some(error);
            io::Error::other("the drive failed")
        })
    }

    fn end(&mut self) -> io::Result<()> {
        if self.record.is_empty() { Ok(()) } else { self.send() }
    }
}

impl Write for RecordWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let take = data.len().min(self.size - self.record.len());
        self.record.extend_from_slice(&data[..take]);
        if self.record.len() == self.size {
            self.send()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
