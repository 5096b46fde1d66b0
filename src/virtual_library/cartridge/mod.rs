//! One cartridge: records and filemarks in files, and the drive's buffer in front of them.
//!
//! A directory holds `data` (the records' bytes, joined), `index` (one [`Entry`] for each position) and `memory.json`.
//! What is not in `index` does not exist: a record's bytes go to `data` at once, without a copy, but its entry waits in
//! memory until a command that synchronises, or until the modelled buffer is full. A killed process so loses what a
//! drive that loses power does: the newest records, never older ones.

mod entry;
mod memory;
mod search;

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) use entry::{ENTRY, Entry, Object, Record};
pub(super) use memory::{HostAttribute, KeyData, Memory};

use super::store;

/// How the files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keeping {
    /// Flush to the disk at synchronising commands.
    pub sync: bool,
    /// Bytes of records that the drive buffers before it writes older ones.
    pub buffer: u64,
    /// Bytes of each tape file that are kept, the rest is discarded; `None` keeps all.
    pub keep: Option<u64>,
}

const CACHED: usize = 128;
/// Objects that wait at most: a buffer full of tiny records must not grow without bound.
const WAITING: usize = 1 << 16;

/// A cartridge in a drive, or open for export.
#[derive(Debug)]
pub(super) struct Cartridge {
    directory: PathBuf,
    keeping: Keeping,
    /// Its chip; [`Cartridge::save_memory`] stores changes.
    pub memory: Memory,
    data: File,
    index: File,
    /// Entries in the index file.
    written: u64,
    pending: VecDeque<Entry>,
    pending_bytes: u64,
    unsynced: bool,
    /// Bytes of records.
    end: u64,
    /// Filemarks.
    files: u32,
    /// Where the last tape file's first record lies.
    file_start: u64,
    cache_first: u64,
    cache: Vec<Entry>,
}

impl Cartridge {
    /// Makes the directory of a new, blank cartridge.
    pub fn create(directory: &Path, memory: &Memory) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        File::create_new(directory.join("data"))?;
        File::create_new(directory.join("index"))?;
        store::replace(&directory.join("memory.json"), memory, true)
    }

    /// Opens a cartridge; a torn tail of the index, and data that no entry covers, are cut off.
    pub fn open(directory: &Path, keeping: Keeping) -> io::Result<Cartridge> {
        let memory = serde_json::from_slice(&fs::read(directory.join("memory.json"))?)?;
        let file = |name: &str| OpenOptions::new().read(true).write(true).open(directory.join(name));
        let mut cartridge = Cartridge {
            directory: directory.to_path_buf(),
            keeping,
            memory,
            data: file("data")?,
            index: file("index")?,
            written: 0,
            pending: VecDeque::new(),
            pending_bytes: 0,
            unsynced: false,
            end: 0,
            files: 0,
            file_start: 0,
            cache_first: 0,
            cache: Vec::new(),
        };
        cartridge.recover()?;
        Ok(cartridge)
    }

    /// Reads the index up to the first entry that is torn, out of order or without its data.
    fn recover(&mut self) -> io::Result<()> {
        let data_length = self.data.metadata()?.len();
        let index_length = self.index.metadata()?.len();
        let mut chunk = vec![0u8; ENTRY * 32768];
        let mut kept_end = 0;
        'all: loop {
            let length = read_up_to(&self.index, &mut chunk, self.written * ENTRY as u64)?;
            let (entries, _) = chunk[..length].as_chunks::<ENTRY>();
            if entries.is_empty() {
                break;
            }
            for bytes in entries {
                let Some(entry) = Entry::decode(bytes) else { break 'all };
                if entry.place != self.end || entry.file != self.files {
                    break 'all;
                }
                if matches!(entry.object, Object::Record(record) if !record.discarded) {
                    if entry.end() > data_length {
                        break 'all;
                    }
                    kept_end = entry.end();
                }
                self.took(&entry);
                self.written += 1;
            }
        }
        if self.written * ENTRY as u64 != index_length {
            self.index.set_len(self.written * ENTRY as u64)?;
            self.unsynced = true;
        }
        if kept_end < data_length {
            self.data.set_len(kept_end)?;
            self.unsynced = true;
        }
        Ok(())
    }

    fn took(&mut self, entry: &Entry) {
        self.end = entry.end();
        if entry.object == Object::Filemark {
            self.files = entry.files_after();
            self.file_start = self.end;
        }
    }

    /// The position of end of data: objects on the tape.
    pub fn count(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Filemarks on the tape.
    pub fn files(&self) -> u32 {
        self.files
    }

    /// Bytes of records on the tape.
    pub fn used(&self) -> u64 {
        self.end
    }

    /// Objects that are not yet written, and their bytes.
    pub fn buffered(&self) -> (u64, u64) {
        (self.pending.len() as u64, self.pending_bytes)
    }

    /// What stands at a position; `None` at end of data.
    pub fn entry(&mut self, at: u64) -> io::Result<Option<Entry>> {
        if let Some(pending) = at.checked_sub(self.written) {
            return Ok(usize::try_from(pending).ok().and_then(|n| self.pending.get(n)).copied());
        }
        let cached = at.checked_sub(self.cache_first).and_then(|n| usize::try_from(n).ok());
        if let Some(entry) = cached.and_then(|n| self.cache.get(n)) {
            return Ok(Some(*entry));
        }
        let first = at - at % CACHED as u64;
        let count = (self.written - first).min(CACHED as u64) as usize;
        let mut bytes = [0u8; ENTRY * CACHED];
        let bytes = &mut bytes[..count * ENTRY];
        self.index.read_exact_at(bytes, first * ENTRY as u64)?;
        self.cache.clear();
        for entry in bytes.as_chunks::<ENTRY>().0 {
            let entry = Entry::decode(entry).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "the index of the cartridge is damaged")
            })?;
            self.cache.push(entry);
        }
        self.cache_first = first;
        Ok(self.cache.get((at - first) as usize).copied())
    }

    /// Drops everything from `at` on.
    pub fn truncate(&mut self, at: u64) -> io::Result<()> {
        if at >= self.count() {
            return Ok(());
        }
        let Some(first_gone) = self.entry(at)? else { return Ok(()) };
        while self.count() > at.max(self.written) {
            if let Some(entry) = self.pending.pop_back() {
                self.pending_bytes -= entry.end() - entry.place;
            }
        }
        if at < self.written {
            self.index.set_len(at * ENTRY as u64)?;
            self.written = at;
            self.cache.clear();
            self.unsynced = true;
        }
        self.data.set_len(self.data.metadata()?.len().min(first_gone.place))?;
        self.end = first_gone.place;
        self.files = first_gone.file;
        self.file_start = match self.files.checked_sub(1) {
            Some(last) => match self.filemark(u64::from(last))? {
                Some(mark) => self.entry(mark)?.map_or(0, |entry| entry.place),
                None => 0,
            },
            None => 0,
        };
        Ok(())
    }

    /// Appends a record at end of data; `bytes` is what lies on the medium, `length` what the host wrote.
    pub fn append(&mut self, bytes: &[u8], length: u32, key: Option<u16>) -> io::Result<()> {
        let stored = bytes.len() as u32;
        let discarded =
            self.keeping.keep.is_some_and(|keep| self.end - self.file_start + u64::from(stored) > keep);
        if !discarded {
            self.data.write_all_at(bytes, self.end)?;
        }
        let record =
            Record { length, stored, encrypted: key.is_some(), discarded, key: key.unwrap_or_default() };
        self.push(Object::Record(record))
    }

    /// Appends a filemark at end of data.
    pub fn append_filemark(&mut self) -> io::Result<()> {
        self.push(Object::Filemark)
    }

    fn push(&mut self, object: Object) -> io::Result<()> {
        let entry = Entry { object, place: self.end, file: self.files };
        self.took(&entry);
        self.pending_bytes += entry.end() - entry.place;
        self.pending.push_back(entry);
        self.unsynced = true;
        if self.pending_bytes > self.keeping.buffer || self.pending.len() > WAITING {
            // The drive's buffer is full: a quarter of it goes to the tape.
            self.write_through(self.keeping.buffer / 4 * 3, WAITING / 4 * 3)?;
        }
        Ok(())
    }

    /// Writes the oldest entries until at most so many bytes of records, and so many objects, wait.
    fn write_through(&mut self, limit: u64, objects: usize) -> io::Result<()> {
        let mut bytes = Vec::new();
        let (mut count, mut left) = (0, self.pending_bytes);
        for entry in &self.pending {
            if left <= limit && self.pending.len() - count <= objects {
                break;
            }
            bytes.extend_from_slice(&entry.encode());
            left -= entry.end() - entry.place;
            count += 1;
        }
        self.index.write_all_at(&bytes, self.written * ENTRY as u64)?;
        self.pending.drain(..count);
        self.pending_bytes = left;
        self.written += count as u64;
        self.cache.clear();
        Ok(())
    }

    /// Everything is on the medium when this returns: data first, then the index.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.unsynced {
            return Ok(());
        }
        if self.keeping.sync {
            self.data.sync_data()?;
        }
        self.write_through(0, 0)?;
        if self.keeping.sync {
            self.index.sync_data()?;
        }
        self.unsynced = false;
        Ok(())
    }

    /// What a power cut does: everything that waits is gone.
    pub fn drop_unflushed(&mut self) -> io::Result<()> {
        let written = self.written;
        self.truncate(written)
    }

    /// Reads `to.len()` bytes of what lies on the medium at `entry`.
    pub fn read(&self, entry: &Entry, to: &mut [u8]) -> io::Result<()> {
        self.data.read_exact_at(to, entry.place)
    }

    /// Stores the chip's contents.
    pub fn save_memory(&self) -> io::Result<()> {
        store::replace(&self.directory.join("memory.json"), &self.memory, self.keeping.sync)
    }
}

fn read_up_to(file: &File, buffer: &mut [u8], mut at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at) {
            Ok(0) => break,
            Ok(length) => {
                filled += length;
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
