//! Threads that check the hash of small files and put them in place.

use std::sync::Mutex;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::{Digest, Sha256};

use crate::format::v1::Entry;
use crate::sources::extract::{ExtractError, Extractor, Outcome};

/// A small file, whole.
pub struct Small {
    /// What the archive says.
    pub entry: Entry,
    /// Where it goes below the target.
    pub path: Vec<u8>,
    /// Its stored data in the batch's bytes.
    pub data: std::ops::Range<usize>,
    /// SHA-256 of its content, from the index.
    pub sha256: [u8; 32],
    /// Number of the member, for the report.
    pub ordinal: u64,
}

/// Small files on their way.
#[derive(Default)]
pub struct SmallBatch {
    /// Data of all of them.
    pub bytes: Vec<u8>,
    /// The files.
    pub files: Vec<Small>,
}

/// What became of one file.
pub enum Unpacked {
    /// It is in place, or was left away as the rules say.
    Done(Outcome),
    /// Its content is as the index says; nothing was to be written.
    Verified,
    /// Its content is not what the index says; nothing was put in place.
    Damaged,
    /// It could not be put in place.
    Failed(ExtractError),
}

/// Takes results: the member's number, its path, its size, what became of it.
pub type Report = dyn Fn(u64, &[u8], u64, Unpacked) + Send + Sync;

/// A pool of unpacking threads. Without an extractor contents are only verified.
pub struct Unpackers {
    batches: Option<Sender<SmallBatch>>,
    threads: Vec<JoinHandle<()>>,
    spare: std::sync::Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Unpackers {
    /// Starts `count` threads.
    pub fn start(count: usize, extractor: Option<&Extractor>, report: std::sync::Arc<Report>) -> Unpackers {
        let (batches, work): (_, Receiver<SmallBatch>) = bounded(count * 2);
        let spare = std::sync::Arc::new(Mutex::new(Vec::new()));
        let threads = (0..count.max(1))
            .filter_map(|number| {
                let (work, extractor, report) = (work.clone(), extractor.cloned(), report.clone());
                let spare = spare.clone();
                let run = move || {
                    for batch in work {
                        for file in &batch.files {
                            let data = batch.bytes.get(file.data.clone()).unwrap_or_default();
                            let outcome = unpack(extractor.as_ref(), file, data);
                            report(file.ordinal, &file.path, file.entry.size, outcome);
                        }
                        if let Ok(mut spare) = spare.lock() {
                            spare.push(batch.bytes);
                        }
                    }
                };
                std::thread::Builder::new().name(format!("unpack-{number}")).spawn(run).ok()
            })
            .collect();
        Unpackers { batches: Some(batches), threads, spare }
    }

    /// Hands a batch on and returns an empty one.
    pub fn send(&self, batch: SmallBatch) -> SmallBatch {
        if let Some(batches) = &self.batches {
            let _ = batches.send(batch);
        }
        let mut bytes = self.spare.lock().ok().and_then(|mut spare| spare.pop()).unwrap_or_default();
        bytes.clear();
        SmallBatch { bytes, files: Vec::new() }
    }

    /// Waits until everything sent is done.
    pub fn finish(mut self) {
        self.batches = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn unpack(extractor: Option<&Extractor>, file: &Small, data: &[u8]) -> Unpacked {
    if <[u8; 32]>::from(Sha256::digest(data)) != file.sha256 {
        return Unpacked::Damaged;
    }
    match extractor {
        None => Unpacked::Verified,
        Some(extractor) => match extractor.write_small(&file.entry, &file.path, data) {
            Ok(outcome) => Unpacked::Done(outcome),
            Err(error) => Unpacked::Failed(error),
        },
    }
}
