//! A file too large to be handed on whole: hashed by one thread while another writes it.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};

use super::{SharedReport, chain};
use crate::format::v1::content_hash::StoredHash;
use crate::format::v1::tar_reader::{Skip, TarReader};
use crate::format::v1::{Entry, FormatError, Member};
use crate::pipeline::{Progress, Unpacked};
use crate::sources::extract::{Begun, Extractor, FileSink, Outcome};

/// Bytes of one step.
const CHUNK: usize = 1 << 20;
/// Steps the hash may lag behind.
const LAG: usize = 4;

/// Where the content goes.
enum Place {
    /// It is only verified.
    Nowhere,
    /// Into a file that has no name yet.
    File(Box<FileSink>),
    /// The overwrite rule left it away; nothing is hashed for nothing.
    Left(Outcome),
    /// It cannot be put in place; the reason is told at the end.
    Failed(String),
}

/// A file being read back.
pub(super) struct Streamed {
    path: Vec<u8>,
    size: u64,
    place: Place,
    hash: Option<Hashing>,
}

struct Hashing {
    data: Sender<Arc<Vec<u8>>>,
    thread: JoinHandle<[u8; 32]>,
}

impl Streamed {
    pub(super) fn begin(extractor: Option<&Extractor>, entry: Entry, path: &[u8]) -> Streamed {
        let place = match extractor.map(|extractor| extractor.begin(&entry, path)) {
            None => Place::Nowhere,
            Some(Ok(Begun::File(sink))) => Place::File(sink),
            Some(Ok(Begun::Done(outcome))) => Place::Left(outcome),
            Some(Err(error)) => Place::Failed(chain(&error)),
        };
        let hash = Hashing::start(StoredHash::of(&entry));
        Streamed { path: path.to_vec(), size: entry.size, place, hash }
    }

    /// Takes all data of the member the reader stands at.
    pub(super) fn take<R: Skip>(
        &mut self,
        reader: &mut TarReader<R>,
        progress: &Progress,
    ) -> Result<(), FormatError> {
        let left = reader.data_left();
        self.take_up_to(reader, left, progress)
    }

    /// Takes `left` bytes of data.
    pub(super) fn take_up_to<R: Skip>(
        &mut self,
        reader: &mut TarReader<R>,
        mut left: u64,
        progress: &Progress,
    ) -> Result<(), FormatError> {
        while left > 0 {
            let mut chunk = vec![0; left.min(CHUNK as u64) as usize];
            read_exactly(reader, &mut chunk)?;
            left -= chunk.len() as u64;
            progress.done(0, chunk.len() as u64);
            let chunk = Arc::new(chunk);
            if let Some(hash) = &self.hash {
                let _ = hash.data.send(chunk.clone());
            }
            if let Place::File(sink) = &mut self.place
                && let Err(error) = sink.write(&chunk)
            {
                self.place = Place::Failed(chain(&error));
            }
        }
        Ok(())
    }

    /// Puts the file in place if its content is what the index says.
    pub(super) fn end(mut self, member: &Member, report: &SharedReport) {
        let sha256 = self.hash.take().map(|hash| {
            drop(hash.data);
            hash.thread.join()
        });
        let intact = matches!(sha256, Some(Ok(sha256)) if sha256 == member.sha256);
        let outcome = match self.place {
            Place::Left(outcome) => Unpacked::Done(outcome),
            Place::Failed(reason) => return report.fault(&self.path, reason),
            _ if !intact => Unpacked::Damaged,
            Place::Nowhere => Unpacked::Verified,
            Place::File(sink) => match sink.finish() {
                Ok(outcome) => Unpacked::Done(outcome),
                Err(error) => Unpacked::Failed(error),
            },
        };
        report.note(&self.path, self.size, outcome);
    }
}

impl Hashing {
    fn start(mut hash: StoredHash) -> Option<Hashing> {
        let (data, pieces) = bounded::<Arc<Vec<u8>>>(LAG);
        let run = move || {
            pieces.iter().for_each(|piece| hash.stored(&piece));
            hash.finish()
        };
        let thread = std::thread::Builder::new().name("hash".into()).spawn(run).ok()?;
        Some(Hashing { data, thread })
    }
}

/// Fills `buffer` with data of the current member.
pub(super) fn read_exactly<R: Skip>(reader: &mut TarReader<R>, buffer: &mut [u8]) -> Result<(), FormatError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read_data(&mut buffer[filled..])? {
            0 => {
                return Err(FormatError::Truncated {
                    offset: reader.offset(),
                    inside: "the data of a member",
                });
            }
            read => filled += read,
        }
    }
    Ok(())
}
