//! What a running task can be asked at any moment, without slowing it.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::format::v1::shown;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Nothing yet.
    Starting = 0,
    /// A volume is being mounted and checked.
    Mounting = 1,
    /// Members go to tape, or come from it.
    Transferring = 2,
    /// An index file is being written.
    WritingIndex = 3,
    /// Records are being read and compared.
    Verifying = 4,
    /// Attributes of directories are being set.
    Finishing = 5,
    /// Over.
    Done = 6,
}

/// Counters of a task, written by its threads and read by whoever shows them.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    files: AtomicU64,
    bytes: AtomicU64,
    tape_bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    buffer_percent: AtomicU8,
    set: AtomicI64,
    current: Mutex<(Vec<u8>, String)>,
}

/// One look at a [`Progress`].
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// What the task is doing.
    pub phase: Phase,
    /// Members done.
    pub files: u64,
    /// Bytes of content done.
    pub bytes: u64,
    /// Bytes moved to or from tape.
    pub tape_bytes: u64,
    /// Members in all, 0 when not known.
    pub total_files: u64,
    /// Bytes of content in all, 0 when not known.
    pub total_bytes: u64,
    /// How full the buffer before the drive is, in percent.
    pub buffer_percent: u8,
    /// Path in work, for people; empty when there is none.
    pub current: String,
    /// Volume in work.
    pub volume: String,
    /// Number of the set that is written, as soon as it has one; 0 before.
    pub set: i64,
}

impl Progress {
    /// Enters a phase.
    pub fn phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Counts members and bytes done.
    pub fn done(&self, files: u64, bytes: u64) {
        self.files.fetch_add(files, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts bytes moved to or from tape.
    pub fn moved(&self, bytes: u64) {
        self.tape_bytes.fetch_add(bytes, Relaxed);
    }

    /// Says how much there is.
    pub fn total(&self, files: u64, bytes: u64) {
        self.total_files.store(files, Relaxed);
        self.total_bytes.store(bytes, Relaxed);
    }

    /// Says how many of the records that the buffer holds are waiting.
    pub fn buffer(&self, waiting: usize, capacity: usize) {
        self.buffer_percent.store((waiting * 100 / capacity.max(1)).min(100) as u8, Relaxed);
    }

    /// Names the stored path in work; skipped when somebody is looking just now.
    pub fn current(&self, path: &[u8]) {
        if let Ok(mut current) = self.current.try_lock() {
            current.0.clear();
            current.0.extend_from_slice(path);
        }
    }

    /// Names the volume in work.
    pub fn volume(&self, label: &str) {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1 = label.to_owned();
    }

    /// Says which set is written.
    pub fn set(&self, id: i64) {
        self.set.store(id, Relaxed);
    }

    /// Shows what another process counted.
    pub fn follow(&self, seen: &Snapshot) {
        self.phase(seen.phase);
        let counters = [
            (&self.files, seen.files),
            (&self.bytes, seen.bytes),
            (&self.tape_bytes, seen.tape_bytes),
            (&self.total_files, seen.total_files),
            (&self.total_bytes, seen.total_bytes),
        ];
        for (counter, value) in counters {
            counter.store(value, Relaxed);
        }
        self.buffer_percent.store(seen.buffer_percent, Relaxed);
        self.set(seen.set);
        self.volume(&seen.volume);
        self.current(seen.current.trim_start_matches('/').as_bytes());
    }

    /// Looks.
    pub fn snapshot(&self) -> Snapshot {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot {
            phase: match self.phase.load(Relaxed) {
                1 => Phase::Mounting,
                2 => Phase::Transferring,
                3 => Phase::WritingIndex,
                4 => Phase::Verifying,
                5 => Phase::Finishing,
                6 => Phase::Done,
                _ => Phase::Starting,
            },
            files: self.files.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            tape_bytes: self.tape_bytes.load(Relaxed),
            total_files: self.total_files.load(Relaxed),
            total_bytes: self.total_bytes.load(Relaxed),
            buffer_percent: self.buffer_percent.load(Relaxed),
            current: if current.0.is_empty() { String::new() } else { shown(&current.0) },
            volume: current.1.clone(),
            set: self.set.load(Relaxed),
        }
    }
}
