//! Writing the index file that ends a part.

use std::io::{self, Write};

use super::EngineError;
use crate::catalog::{Catalog, Part, PartEnd, SetId};
use crate::drive::Drive;
use crate::format::age::{EncryptWriter, Recipient};
use crate::format::v1::index::PartState;
use crate::format::v1::index_file;

/// Writes the index of `part` at the drive's position, which is the end of its last archive file, and makes the
/// catalog say so.
///
/// # Errors
/// The drive or the catalog failed; the part then still has no index, and the next task writes it.
pub(super) fn write(
    catalog: &Catalog,
    drive: &mut Drive,
    set: SetId,
    part: &Part,
    state: PartState,
) -> Result<(), EngineError> {
    let volume = catalog.volume(part.volume)?;
    let name = volume.label.clone();
    let index_error = |source| EngineError::Index { volume: name.clone(), source };
    let description = catalog.describe_part(set, part.number, state)?;
    let json = description.to_json().map_err(index_error)?;
    let recipients = description
        .recipients
        .iter()
        .map(|text| text.parse::<Recipient>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| EngineError::Key { what: format!("recipients of set {}", description.set), source })?;
    let at = drive.position()?;
    let mut records = RecordWriter { drive, record: Vec::new(), size: volume.record_size as usize, failure: None };
    let length = catalog.index_length(set, part.number)?;
    let written = write_tar(&mut records, &json, length, &recipients, |out| {
        catalog.write_index(set, part.number, out).map_err(io::Error::other)
    });
    let RecordWriter { drive, failure, .. } = records;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    written.map_err(|source| EngineError::Index { volume: name.clone(), source: source.into() })?;
    drive.write_filemarks(1, false)?;
    let end = drive.position()?;
    catalog.finish_part(
        set,
        part.number,
        &PartEnd {
            index_file: volume.end_file,
            index_block: at.block.0,
            end_block: end.block.0,
            end_file: volume.end_file + 1,
            change_reference: drive.volume_change_reference()?,
            index_bytes: length,
        },
    )?;
    Ok(())
}

/// The tar archive of chapter 7 around `members.bin`.
fn write_tar(
    out: &mut RecordWriter<'_>,
    json: &[u8],
    length: u64,
    recipients: &[Recipient],
    members: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut head = Vec::new();
    if recipients.is_empty() {
        index_file::encode_start(json, false, length, &mut head);
        out.write_all(&head)?;
        members(out)?;
        index_file::encode_end(length, &mut head);
    } else {
        let (header, writer) = EncryptWriter::start(recipients).map_err(io::Error::other)?;
        let sealed = writer.sealed_length(header.len(), length);
        index_file::encode_start(json, true, sealed, &mut head);
        out.write_all(&head)?;
        out.write_all(&header)?;
        let mut writer = writer.over(&mut *out);
        members(&mut writer)?;
        writer.finish()?;
        index_file::encode_end(sealed, &mut head);
    }
    out.write_all(&head)?;
    out.end()
}

/// Cuts what is written into records.
struct RecordWriter<'a> {
    drive: &'a mut Drive,
    record: Vec<u8>,
    size: usize,
    failure: Option<crate::drive::DriveError>,
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
