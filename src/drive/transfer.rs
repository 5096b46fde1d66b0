//! Records and filemarks.

use super::command::{Answer, Kind};
use super::{Drive, DriveError, ReadOutcome, Warning};
use crate::scsi::{Code, Data, Sense, SenseKey, opcode, tape};

/// Bytes of CRC32C behind each record under logical block protection.
pub(super) const PROTECTION: usize = 4;

/// A record's length is a 24-bit field.
pub(super) const LONGEST_RECORD: usize = 0xff_ffff;

impl Drive {
    /// Writes one record. Under block protection this copies it once; [`Drive::write_with_room`] does not.
    ///
    /// # Errors
    /// `VolumeFull`, `WriteProtected`, `Worm`, `MediumError`: the record is not on tape. `Deferred`: an earlier record
    /// is not either. `PositionLost`: nothing was written. It is never sent twice.
    pub fn write(&mut self, record: &[u8]) -> Result<Warning, DriveError> {
        if !self.protected {
            return self.write_bytes(record, record.len());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.extend_from_slice(record);
        let written = self.write_with_room(&mut scratch);
        self.scratch = scratch;
        written
    }

    /// Writes one record; under block protection its CRC32C is put behind it for the time of the call, so a `Vec` with
    /// room for 4 more bytes is not copied.
    ///
    /// # Errors
    /// As [`Drive::write`].
    pub fn write_with_room(&mut self, record: &mut Vec<u8>) -> Result<Warning, DriveError> {
        let length = record.len();
        if !self.protected {
            return self.write_bytes(record, length);
        }
        let crc = crc32c::crc32c(record);
        record.extend_from_slice(&crc.to_le_bytes());
        let written = self.write_bytes(record, length);
        record.truncate(length);
        written
    }

    fn write_bytes(&mut self, bytes: &[u8], asked: usize) -> Result<Warning, DriveError> {
        let limit = self.transport.max_transfer().min(LONGEST_RECORD);
        let length = match u32::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= limit && asked > 0 => length,
            _ => {
                let limit = limit - (bytes.len() - asked);
                return Err(DriveError::RecordRefused { drive: self.drive(), asked, limit });
            }
        };
        let answer = self.send(&tape::write_variable(length), Data::Out(bytes), Kind::Write)?;
        let warning = self.written(&answer, opcode::WRITE_6)?;
        if answer.good && answer.transferred < bytes.len() {
            self.lose("a record was cut on its way to the drive");
            return Err(DriveError::ShortTransfer {
                drive: self.drive(),
                command: opcode::name(opcode::WRITE_6),
                asked: bytes.len(),
                moved: answer.transferred,
            });
        }
        self.advance(1, 0);
        Ok(warning)
    }

    /// Writes `count` filemarks. Only where `immediate` is false does success say that all before them is on the medium.
    ///
    /// # Errors
    /// As [`Drive::write`].
    pub fn write_filemarks(&mut self, count: u32, immediate: bool) -> Result<Warning, DriveError> {
        let answer = self.send(&tape::write_filemarks(count, immediate), Data::None, Kind::Write)?;
        let warning = self.written(&answer, opcode::WRITE_FILEMARKS_6)?;
        self.advance(count.into(), count.into());
        Ok(warning)
    }

    /// Everything written so far is on the medium when this returns: WRITE FILEMARKS of none, not immediate.
    ///
    /// # Errors
    /// `Deferred`, `MediumError`, ...: what was written since the last flush may be lost.
    pub fn flush(&mut self) -> Result<Warning, DriveError> {
        self.write_filemarks(0, false)
    }

    /// Early warning is success; all other sense data is an error, and what an error left on tape is not known.
    fn written(&mut self, answer: &Answer, code: u8) -> Result<Warning, DriveError> {
        let now = answer.warning();
        if let (Some(sense), Warning::None) = (answer.sense, now) {
            let error = self.failure(code, sense);
            // A refusal before anything was written leaves the place as it was.
            let untouched = matches!(sense.key, SenseKey::DataProtect | SenseKey::IllegalRequest)
                || sense.volume_overflow()
                || sense.no_medium();
            if !untouched {
                self.place.counted = None;
                self.place.file = None;
            }
            return Err(error);
        }
        self.warned = self.warned.max(now);
        Ok(self.warned)
    }

    /// Reads one record, whatever its length up to the buffer's. Under block protection its CRC32C is checked and not
    /// part of what is returned.
    ///
    /// # Errors
    /// `RecordTooLong` names both lengths and leaves the tape behind the record; `BlockProtection`; `MediumError`.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, DriveError> {
        if !self.protected {
            return self.read_bytes(buffer);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(buffer.len() + PROTECTION, 0);
        let outcome = self.read_bytes(&mut scratch).and_then(|outcome| match outcome {
            ReadOutcome::Record(length) => self.unprotect(&scratch, length, buffer),
            other => Ok(other),
        });
        self.scratch = scratch;
        outcome
    }

    /// Checks the record in `scratch` and copies it without its CRC.
    fn unprotect(&self, scratch: &[u8], length: usize, buffer: &mut [u8]) -> Result<ReadOutcome, DriveError> {
        let block = self.place.counted.map(|behind| behind.saturating_sub(1));
        let wrong = || DriveError::BlockProtection { drive: self.drive(), block };
        let record = scratch.get(..length).ok_or_else(wrong)?;
        let (data, crc) = record.split_last_chunk::<PROTECTION>().ok_or_else(wrong)?;
        if crc32c::crc32c(data) != u32::from_le_bytes(*crc) {
            return Err(wrong());
        }
        buffer.get_mut(..data.len()).ok_or_else(wrong)?.copy_from_slice(data);
        Ok(ReadOutcome::Record(data.len()))
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> Result<ReadOutcome, DriveError> {
        let room = buffer.len().min(self.transport.max_transfer()).min(LONGEST_RECORD);
        let asked = self.cuts.map_or(room, |last| last.min(room));
        let command = u32::try_from(asked).map(tape::read_variable).unwrap_or_default();
        let data = Data::In(buffer.get_mut(..asked).unwrap_or_default());
        let answer = self.send(&command, data, Kind::Relative)?;
        let Some(sense) =
            answer.sense.filter(|sense| sense.filemark || sense.incorrect_length || !warns(sense))
        else {
            self.advance(1, 0);
            return self.record(asked, asked, answer.transferred);
        };
        if sense.is_filemark() {
            self.advance(1, 1);
            return Ok(ReadOutcome::Filemark);
        }
        if sense.end_of_data() {
            self.place.established = true;
            return Ok(ReadOutcome::EndOfData);
        }
        if sense.incorrect_length && matches!(sense.key, SenseKey::NoSense | SenseKey::RecoveredError) {
            self.advance(1, 0);
            let found = odd_length(asked, &answer, &sense);
            // A count that is not the record's length says nothing of the data: a bridge that named all bytes as moved had
            // left most of them out.
            if found <= room && (found > asked || answer.transferred != found) {
                return self.read_again(buffer, found);
            }
            // Longer than there is room for: the buffer is told, not what was asked for.
            return self.odd_record(if found > asked { room } else { asked }, found, &answer);
        }
        self.place.counted = self.place.counted.filter(|_| sense.key == SenseKey::IllegalRequest);
        if sense.key == SenseKey::MediumError && sense.code == Code::END_OF_MEDIUM {
            return Err(DriveError::EndOfDataMissing { drive: self.drive(), sense });
        }
        Err(self.failure(opcode::READ_6, sense))
    }

    /// A record whose length is known only now: some targets leave out data where a record is shorter than was asked for.
    /// The tape goes back over it, and from now on the length of the record before is asked for.
    fn read_again(&mut self, buffer: &mut [u8], found: usize) -> Result<ReadOutcome, DriveError> {
        let file = self.place.file;
        self.space_records(-1)?;
        self.place.file = file;
        self.cuts = Some(found);
        let command = u32::try_from(found).map(tape::read_variable).unwrap_or_default();
        let data = Data::In(buffer.get_mut(..found).unwrap_or_default());
        let answer = self.send(&command, data, Kind::Relative)?;
        if let Some(sense) = answer.sense.filter(|sense| !warns(sense)) {
            self.place.counted = None;
            return Err(self.failure(opcode::READ_6, sense));
        }
        self.advance(1, 0);
        self.record(found, found, answer.transferred)
    }

    /// A record that is shorter or longer than the buffer.
    fn odd_record(&self, asked: usize, found: usize, answer: &Answer) -> Result<ReadOutcome, DriveError> {
        let trailer = if self.protected { PROTECTION } else { 0 };
        if found > asked {
            let (asked, found) = (asked - trailer.min(asked), found - trailer);
            return Err(DriveError::RecordTooLong { drive: self.drive(), asked, found });
        }
        self.record(asked, found, answer.transferred)
    }

    fn record(&self, asked: usize, found: usize, transferred: usize) -> Result<ReadOutcome, DriveError> {
        if transferred < found {
            let command = opcode::name(opcode::READ_6);
            return Err(DriveError::ShortTransfer {
                drive: self.drive(),
                command,
                asked,
                moved: transferred,
            });
        }
        Ok(ReadOutcome::Record(found))
    }
}

/// Bytes of a record that is not as long as was asked for. INFORMATION is asked less found; the transport's own count may
/// say nothing of it.
fn odd_length(asked: usize, answer: &Answer, sense: &Sense) -> usize {
    match sense.information {
        Some(residual) => i64::try_from(asked)
            .ok()
            .and_then(|asked| asked.checked_sub(residual))
            .and_then(|found| usize::try_from(found).ok())
            .unwrap_or(usize::MAX),
        None if answer.transferred < asked => answer.transferred,
        None => usize::MAX, // longer, by how much is not told
    }
}

/// Only a warning of the medium's end.
fn warns(sense: &Sense) -> bool {
    sense.early_warning() || sense.programmable_early_warning()
}
