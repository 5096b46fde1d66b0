//! SHA-256 of a member's content, holes read as zeros (chapter 8).

use sha2::{Digest, Sha256};

use super::entry::{Entry, Extent};

/// The hash of content that comes in order, data and holes.
#[derive(Debug, Clone, Default)]
pub struct ContentHash(Sha256);

impl ContentHash {
    /// Takes data.
    pub fn data(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// Takes a hole of `length` bytes.
    pub fn hole(&mut self, mut length: u64) {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        while length > 0 {
            let now = length.min(ZEROS.len() as u64);
            self.0.update(&ZEROS[..now as usize]);
            length -= now;
        }
    }

    /// The hash of everything taken; the next content begins.
    pub fn finish(&mut self) -> [u8; 32] {
        self.0.finalize_reset().into()
    }
}

/// The hash of a regular file from its stored data: the extents one after the other.
#[derive(Debug, Clone)]
pub struct StoredHash {
    content: ContentHash,
    extents: std::vec::IntoIter<Extent>,
    extent_left: u64,
    /// Bytes of the content hashed.
    position: u64,
    size: u64,
}

impl StoredHash {
    /// For a file with these headers.
    pub fn of(entry: &Entry) -> StoredHash {
        let whole = || vec![Extent { offset: 0, length: entry.size }];
        StoredHash {
            content: ContentHash::default(),
            extents: entry.sparse.clone().unwrap_or_else(whole).into_iter(),
            extent_left: 0,
            position: 0,
            size: entry.size,
        }
    }

    /// Takes the next stored bytes; those beyond the last extent do not count.
    pub fn stored(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.extent_left == 0 {
                let Some(extent) = self.extents.next() else { return };
                self.content.hole(extent.offset.saturating_sub(self.position));
                self.position = extent.offset;
                self.extent_left = extent.length;
                continue;
            }
            let now = data.len().min(usize::try_from(self.extent_left).unwrap_or(usize::MAX));
            let (taken, rest) = data.split_at(now);
            self.content.data(taken);
            self.position += now as u64;
            self.extent_left -= now as u64;
            data = rest;
        }
    }

    /// The hash of the whole content, the hole at its end included.
    pub fn finish(mut self) -> [u8; 32] {
        self.content.hole(self.size.saturating_sub(self.position));
        self.content.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::v1::Kind;
    use proptest::prelude::*;

    fn file(size: u64, sparse: Option<Vec<Extent>>) -> Entry {
        Entry { mode: 0o644, size, sparse, ..Entry::new(b"f".to_vec(), Kind::Regular) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn holes_are_zeros(
            runs in proptest::collection::vec((0u64..100_000, 1usize..3000), 0..5),
            tail in 0u64..100_000,
            cut in 1usize..4000,
        ) {
            let (mut content, mut stored, mut extents) = (Vec::new(), Vec::new(), Vec::new());
            for (number, (hole, length)) in runs.into_iter().enumerate() {
                content.resize(content.len() + hole as usize, 0);
                extents.push(Extent { offset: content.len() as u64, length: length as u64 });
                let data: Vec<u8> = (0..length).map(|at| (at + number) as u8 | 1).collect();
                content.extend_from_slice(&data);
                stored.extend(data);
            }
            content.resize(content.len() + tail as usize, 0);
            let expected: [u8; 32] = Sha256::digest(&content).into();
            let mut sparse = StoredHash::of(&file(content.len() as u64, Some(extents)));
            stored.chunks(cut).for_each(|piece| sparse.stored(piece));
            prop_assert_eq!(sparse.finish(), expected);
            let mut whole = StoredHash::of(&file(content.len() as u64, None));
            content.chunks(cut).for_each(|piece| whole.stored(piece));
            prop_assert_eq!(whole.finish(), expected);
        }
    }
}
