//! Where filemarks stand.

use std::io;

use super::Cartridge;

impl Cartridge {
    /// Filemarks before a position.
    pub fn files_before(&mut self, at: u64) -> io::Result<u64> {
        Ok(match self.entry(at)? {
            Some(entry) => u64::from(entry.file),
            None => u64::from(self.files()),
        })
    }

    /// The position of filemark `number`, from 0; `None` past the last. The entries carry the count of filemarks before
    /// them, so that this is a binary search.
    pub fn filemark(&mut self, number: u64) -> io::Result<Option<u64>> {
        if number >= u64::from(self.files()) {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.files_before(middle + 1)? > number {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(Some(low))
    }

    /// The next filemark at or after a position.
    pub fn next_filemark(&mut self, at: u64) -> io::Result<Option<u64>> {
        let number = self.files_before(at)?;
        self.filemark(number)
    }

    /// The last filemark before a position.
    pub fn previous_filemark(&mut self, at: u64) -> io::Result<Option<u64>> {
        match self.files_before(at)?.checked_sub(1) {
            Some(number) => self.filemark(number),
            None => Ok(None),
        }
    }

    /// Bytes of records before a position: how much tape lies before it.
    pub fn bytes_before(&mut self, at: u64) -> io::Result<u64> {
        Ok(self.entry(at)?.map_or_else(|| self.used(), |entry| entry.place))
    }
}
