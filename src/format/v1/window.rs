//! A buffered view of a stream that lends small pieces and passes large ones through.

use std::io::{self, Read};

use super::error::FormatError;

/// Bytes read at once from the source, and the longest piece lent.
pub(super) const WINDOW: usize = 128 << 10;

/// A source of bytes that may know how to pass over some without reading them.
pub trait Skip: Read {
    /// Passes over `count` bytes; returns how many there were, fewer only at the end.
    ///
    /// # Errors
    /// Those of the source.
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut scratch = vec![0; (WINDOW as u64).min(count) as usize];
        let mut left = count;
        while left > 0 {
            let room = scratch.get_mut(..left.min(WINDOW as u64) as usize).unwrap_or_default();
            match read_some(self, room)? {
                0 => break,
                more => left -= more as u64,
            }
        }
        Ok(count - left)
    }
}

impl Skip for &[u8] {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.len());
        *self = self.get(count..).unwrap_or_default();
        Ok(count as u64)
    }
}

/// Any reader, skipped by reading.
#[derive(Debug)]
pub struct Sequential<R>(pub R);

impl<R: Read> Read for Sequential<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Sequential<R> {}

#[derive(Debug)]
pub(super) struct Window<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Unread bytes of `buffer`.
    start: usize,
    end: usize,
    /// Stream offset of `buffer[start]`.
    offset: u64,
}

impl<R: Skip> Window<R> {
    pub(super) fn new(inner: R, offset: u64) -> Self {
        Window { inner, buffer: vec![0; WINDOW], start: 0, end: 0, offset }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn failed(&self, source: io::Error) -> FormatError {
        FormatError::Read { offset: self.offset + (self.end - self.start) as u64, source }
    }

    /// Lends the next `count` bytes, at most [`WINDOW`], and counts them as read. `None` when the stream ends first;
    /// then nothing is counted.
    pub(super) fn take(&mut self, count: usize) -> Result<Option<&[u8]>, FormatError> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            while self.end < count {
                let room = self.buffer.get_mut(self.end..).unwrap_or_default();
                match read_some(&mut self.inner, room) {
                    Ok(0) => return Ok(None),
                    Ok(more) => self.end += more,
                    Err(source) => return Err(self.failed(source)),
                }
            }
        }
        let lent = self.start..self.start + count;
        self.start += count;
        self.offset += count as u64;
        Ok(self.buffer.get(lent))
    }

    /// Whether the source ended and nothing is left.
    pub(super) fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// Reads at least one byte into `out`, or none at the end. Long reads go past the buffer.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, FormatError> {
        if out.is_empty() {
            return Ok(0);
        }
        if self.start == self.end {
            if out.len() >= WINDOW {
                let count = read_some(&mut self.inner, out).map_err(|source| self.failed(source))?;
                self.offset += count as u64;
                return Ok(count);
            }
            (self.start, self.end) = (0, 0);
            self.end = read_some(&mut self.inner, &mut self.buffer).map_err(|source| self.failed(source))?;
        }
        let ready = self.buffer.get(self.start..self.end).unwrap_or_default();
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.start += count;
        self.offset += count as u64;
        Ok(count)
    }

    /// Passes over `count` bytes; returns how many there were.
    pub(super) fn skip(&mut self, count: u64) -> Result<u64, FormatError> {
        let buffered = count.min((self.end - self.start) as u64);
        self.start += buffered as usize;
        self.offset += buffered;
        if buffered == count {
            return Ok(count);
        }
        let beyond = self.inner.skip(count - buffered).map_err(|source| self.failed(source))?;
        self.offset += beyond;
        Ok(buffered + beyond)
    }
}

fn read_some(inner: &mut (impl Read + ?Sized), out: &mut [u8]) -> io::Result<usize> {
    loop {
        match inner.read(out) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
