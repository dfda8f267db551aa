//! Choices that are the same in every run (Marsaglia's xorshift).

pub(crate) struct Chance(u64);

impl Chance {
    /// Another sequence for each seed, which is not zero.
    pub(crate) fn new(seed: u64) -> Self {
        Self(0x2545_f491_4f6c_dd1d ^ seed << 32)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_be_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    pub(crate) fn bytes(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.below(most + 1)];
        self.fill(&mut bytes);
        bytes
    }

    pub(crate) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            all.swap(at, self.below(at + 1));
        }
    }

    /// An address of the loopback network that most likely nobody else has, and that is not in the good clients' neighbourhood.
    pub(crate) fn address(&mut self) -> [u8; 4] {
        let [a, b, c, ..] = self.next().to_be_bytes();
        [127, a.max(1), b, c.clamp(1, 254)]
    }
}
