//! The thread that owns the drive: records out, filemarks flushed, parts ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;

use super::buffer::{Buffer, Item};
use super::stream::{ArchiveEnd, Mark};
use super::{ArchiveWritten, Ending, PipelineError, Progress, Volumes};
use crate::drive::{BlockAddress, Drive, DriveError, FileNumber, Warning};

/// An archive whose filemark is flushed, and where to say that its index rows are durable.
pub(super) struct Flushed {
    pub archive: ArchiveWritten,
    pub committed: Sender<()>,
}

pub(super) struct Writer<'a, E> {
    pub drive: &'a mut Drive,
    pub buffer: &'a Buffer<Mark>,
    pub volumes: &'a mut dyn Volumes<E>,
    pub flushed: Sender<Flushed>,
    pub warned: &'a AtomicBool,
    pub progress: &'a Progress,
}

impl<E: From<PipelineError>> Writer<'_, E> {
    /// Writes until the last part is finished.
    pub(super) fn run(mut self) -> Result<(), E> {
        let mut archive = 1;
        // Where the archive file being written begins.
        let mut start: Option<(BlockAddress, FileNumber)> = None;
        loop {
            match self.buffer.pop() {
                None => return Err(PipelineError::Stopped.into()),
                Some(Item::Record(mut record)) => {
                    if start.is_none() {
                        start = Some(self.here(archive)?);
                    }
                    let length = record.len() as u64;
                    let written = self.drive.write_with_room(&mut record);
                    self.note(written, archive)?;
                    self.progress.moved(length);
                    let (waiting, capacity) = self.buffer.level();
                    self.progress.buffer(waiting, capacity);
                    self.buffer.recycle(record);
                }
                Some(Item::Mark(Mark::Archive(end))) => {
                    archive = end.archive + 1;
                    let (block, file) = match start.take() {
                        Some(start) => start,
                        None => self.here(end.archive)?,
                    };
                    self.end_archive(end, block, file)?;
                }
                Some(Item::Mark(Mark::Part { ending, reply })) => {
                    self.volumes.finish_part(self.drive, ending)?;
                    if ending != Ending::Continued {
                        return Ok(());
                    }
                    let next = self.volumes.next_part(self.drive)?;
                    if reply.send(next).is_err() {
                        return Err(PipelineError::Stopped.into());
                    }
                }
            }
        }
    }

    fn here(&mut self, archive: u32) -> Result<(BlockAddress, FileNumber), E> {
        let position = self.drive.position().map_err(|source| PipelineError::Drive { archive, source })?;
        Ok((position.block, position.file.unwrap_or(FileNumber(0))))
    }

    fn note(&self, written: Result<Warning, DriveError>, archive: u32) -> Result<(), E> {
        match written {
            Ok(Warning::None) => {}
            Ok(Warning::Programmable | Warning::EarlyWarning) => self.warned.store(true, Ordering::Relaxed),
            Err(DriveError::VolumeFull { .. }) => return Err(PipelineError::Full { archive }.into()),
            Err(source) => return Err(PipelineError::Drive { archive, source }.into()),
        }
        Ok(())
    }

    /// The filemark without IMMED puts everything before it on the medium (SSC-4, WRITE FILEMARKS); only then may the
    /// index show it.
    fn end_archive(&mut self, end: ArchiveEnd, block: BlockAddress, file: FileNumber) -> Result<(), E> {
        let archive = end.archive;
        let written = self.drive.write_filemarks(1, false);
        self.note(written, archive)?;
        let (end_block, end_file) = self.here(archive)?;
        let expected = block.0 + end.records + 1;
        if end_block.0 != expected {
            let source = DriveError::PositionLost {
                drive: self.drive.name().to_owned(),
                why: format!("block {expected} expected after the filemark, {} reported", end_block.0),
            };
            return Err(PipelineError::Drive { archive, source }.into());
        }
        let change_reference = self
            .drive
            .volume_change_reference()
            .map_err(|source| PipelineError::Drive { archive, source })?;
        let written = ArchiveWritten {
            archive,
            part: end.part,
            file,
            block,
            records: end.records,
            stream_bytes: end.stream_bytes,
            stored_bytes: end.stored_bytes,
            header_bytes: end.header_bytes,
            frames: end.frames,
            end_block,
            end_file,
            change_reference,
        };
        let (committed, done) = crossbeam_channel::bounded(1);
        let stopped = || E::from(PipelineError::Stopped);
        self.flushed.send(Flushed { archive: written, committed }).map_err(|_| stopped())?;
        done.recv().map_err(|_| stopped())
    }
}

/// Closes the buffer when a thread ends, however it ends, so that no other waits for it for ever.
pub(super) struct CloseOnDrop<'a>(pub &'a Arc<Buffer<Mark>>);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
