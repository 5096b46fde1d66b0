//! Seeded random numbers (xorshift64*): the same seed gives the same tree on every machine.

/// A deterministic source of numbers; not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        // The state must not be zero; a multiplication spreads small seeds.
        Random((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Bytes that do not compress.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }

    /// `length` bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes);
        bytes
    }

    /// Half random, half text: compresses to about a half.
    pub fn fill_half_compressible(&mut self, buffer: &mut [u8]) {
        const TEXT: &[u8] = b"the quick brown fox jumps over the lazy dog, and the tape goes round; ";
        for (index, piece) in buffer.chunks_mut(4096).enumerate() {
            if index % 2 == 0 {
                self.fill(piece);
            } else {
                piece.iter_mut().zip(TEXT.iter().cycle()).for_each(|(to, from)| *to = *from);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    assert_eq!(Random::new(7).bytes(1001), Random::new(7).bytes(1001));
    assert_ne!(Random::new(7).bytes(16), Random::new(8).bytes(16));
    assert!(Random::new(0).next() != 0);
}
