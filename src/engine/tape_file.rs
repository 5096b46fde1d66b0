//! One tape file as a stream of bytes, for files whose length nothing tells.

use std::io::{self, Read};

use crate::drive::{Drive, DriveError, ReadOutcome};

/// How a tape file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileEnd {
    /// By its filemark: it was committed.
    Filemark,
    /// The data ends inside it.
    EndOfData,
}

/// Reads records from the drive until the filemark. Owns the tape's position while it lives.
pub(super) struct TapeFile<'a> {
    drive: &'a mut Drive,
    longest: usize,
    record: Vec<u8>,
    at: usize,
    records: u64,
    bytes: u64,
    end: Option<FileEnd>,
}

impl<'a> TapeFile<'a> {
    /// The file that begins where the tape stands. `longest`: bytes of the longest record.
    pub(super) fn open(drive: &'a mut Drive, longest: usize) -> TapeFile<'a> {
        TapeFile { drive, longest, record: Vec::new(), at: 0, records: 0, bytes: 0, end: None }
    }

    /// The first record; the stream still begins with it. `None` where the file is empty.
    ///
    /// # Errors
    /// The drive failed.
    pub(super) fn first(&mut self) -> Result<Option<&[u8]>, DriveError> {
        if self.records == 0 && self.end.is_none() {
            self.fetch()?;
        }
        Ok(self.end.is_none().then_some(self.record.as_slice()))
    }

    /// Reads the next record; nothing changes at the end.
    fn fetch(&mut self) -> Result<(), DriveError> {
        self.record.resize(self.longest, 0);
        self.at = 0;
        let outcome = self.drive.read(&mut self.record);
        let length = if let Ok(ReadOutcome::Record(length)) = outcome { length } else { 0 };
        self.record.truncate(length);
        match outcome {
            Ok(ReadOutcome::Record(length)) => {
                self.records += 1;
                self.bytes += length as u64;
            }
            Ok(ReadOutcome::Filemark) => self.end = Some(FileEnd::Filemark),
            Ok(ReadOutcome::EndOfData) | Err(DriveError::Blank { .. }) => self.end = Some(FileEnd::EndOfData),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Records read so far.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the records read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Goes behind the file without reading the rest of it.
    ///
    /// # Errors
    /// The drive failed.
    pub(super) fn leave(self) -> Result<FileEnd, DriveError> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        match self.drive.space_filemarks(1) {
            Ok(()) => Ok(FileEnd::Filemark),
            Err(DriveError::Blank { .. }) => Ok(FileEnd::EndOfData),
            Err(error) => Err(error),
        }
    }
}

impl Read for TapeFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.record.len() {
            if self.end.is_some() || buffer.is_empty() {
                return Ok(0);
            }
            self.fetch().map_err(io::Error::other)?;
        }
        let rest = self.record.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
