//! Joins the threads of a backup.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64};

use crossbeam_channel::{Receiver, bounded, unbounded};

use super::buffer::Buffer;
use super::sequencer::{Sequencer, Shared, ToIndex};
use super::stream::{StreamError, Tail, TarStream, compress, run_tail};
use super::writer::{CloseOnDrop, Flushed, Writer};
use super::{Index, PartStart, PipelineError, Progress, StoreOptions, Stored, Volumes, hasher};
use crate::drive::Drive;
use crate::sources::{FileTree, Problem};

/// Messages for the index thread that may wait while it makes an archive durable.
const INDEX_QUEUE: usize = 512;
/// Chunks that may wait for the hash.
const HASH_QUEUE: usize = 6;
/// Pieces that may be under way through compression or encryption.
const PIECES_UNDER_WAY: usize = 4;

/// Where a backup reports to and hears from.
pub struct Reporting<'a> {
    /// Counters.
    pub progress: &'a Progress,
    /// Set from outside: end at the next member.
    pub cancel: &'a AtomicBool,
    /// Told of everything not stored, or not exactly.
    pub problems: &'a (dyn Fn(Problem) + Sync),
}

/// Keeps the first real error: the others are its echoes.
struct FirstError<E>(Mutex<Option<E>>);

impl<E> FirstError<E> {
    fn keep(&self, error: E) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Stores everything `source` delivers, from the position at which `drive` stands.
///
/// # Errors
/// The first fault of any thread. What was committed before it stays stored.
pub fn store<E: From<PipelineError> + Send>(
    drive: &mut Drive,
    source: &FileTree,
    start: PartStart,
    options: &StoreOptions,
    volumes: &mut dyn Volumes<E>,
    index: &mut dyn Index<E>,
    reporting: &Reporting<'_>,
) -> Result<Stored, E> {
    let records = options.buffer_bytes / options.record_size.max(1);
    let buffer = Arc::new(Buffer::new(records, options.streaming));
    let warned = AtomicBool::new(false);
    let stored_bytes = AtomicU64::new(0);
    let failure = FirstError(Mutex::new(None));
    let stored = std::thread::scope(|scope| {
        let (to_index, index_messages) = bounded(INDEX_QUEUE);
        let (flushed_in, flushed_out) = unbounded();
        let (hasher_in, hasher_out) = bounded(HASH_QUEUE);
        scope.spawn(|| {
            let _close = CloseOnDrop(&buffer);
            if let Err(error) = run_index(index, &index_messages, &flushed_out) {
                failure.keep(error);
            }
            drop((index_messages, flushed_out));
        });
        scope.spawn(move || hasher::run(&hasher_out, reporting.cancel, |data| source.recycle(data)));
        let writer = Writer {
            drive,
            buffer: &buffer,
            volumes,
            flushed: flushed_in,
            warned: &warned,
            progress: reporting.progress,
        };
        scope.spawn(|| {
            let _close = CloseOnDrop(&buffer);
            if let Err(error) = writer.run() {
                failure.keep(error);
            }
        });
        let tail = Tail::new(&buffer, options.record_size, &options.recipients, &stored_bytes);
        let stream = if options.compression.is_none() && options.recipients.is_empty() {
            TarStream::Direct(Box::new(tail))
        } else {
            let (steps_in, steps) = bounded(PIECES_UNDER_WAY);
            let (spare_in, spare) = bounded(PIECES_UNDER_WAY * 2);
            let compressors = options.compression.map(|level| {
                let (jobs_in, jobs) = bounded(PIECES_UNDER_WAY);
                for _ in 0..options.workers.max(1) {
                    let jobs = jobs.clone();
                    scope.spawn(move || compress(&jobs, level));
                }
                jobs_in
            });
            let compressed = compressors.is_some();
            let (failure, buffer) = (&failure, &buffer);
            scope.spawn(move || {
                if let Err(StreamError::Encode(source)) = run_tail(tail, &steps, &spare_in, compressed) {
                    failure.keep(PipelineError::Encode { archive: 0, source }.into());
                    buffer.close();
                }
            });
            TarStream::staged(steps_in, compressors, spare)
        };
        let shared = Shared {
            options,
            progress: reporting.progress,
            cancel: reporting.cancel,
            warned: &warned,
            stored: &stored_bytes,
            hasher: hasher_in,
            index: to_index,
            problems: reporting.problems,
        };
        let outcome = Sequencer::new(shared, stream, start).run(source);
        if outcome.is_err() {
            buffer.close();
        }
        outcome
    });
    // A thread that failed closed the others' channels; its error is the reason, theirs are echoes.
    match (failure.0.into_inner().unwrap_or_else(PoisonError::into_inner), stored) {
        (Some(error), _) => Err(error),
        (None, stored) => Ok(stored?),
    }
}

fn run_index<E: From<PipelineError>>(
    index: &mut dyn Index<E>,
    messages: &Receiver<ToIndex>,
    flushed: &Receiver<Flushed>,
) -> Result<(), E> {
    for message in messages {
        match message {
            ToIndex::Rows(rows) => index.rows(rows)?,
            ToIndex::EndArchive => {
                let Flushed { archive, committed } = flushed.recv().map_err(|_| PipelineError::Stopped)?;
                index.commit(archive)?;
                let _ = committed.send(());
            }
        }
    }
    Ok(())
}
