//! Randomness for many devices with one question to the operating system, which takes longer to ask than to answer.
//!
//! What was handed out is wiped at once, so that it is in memory only where it went to. Keys do not come from here: ring asks for
//! those itself.

use gatehouse_types::Random;
use std::sync::{Mutex, PoisonError};
use zeroize::{Zeroize, Zeroizing};

/// What is drawn at once: enough for about ten devices.
const SHARE: usize = 1024;

/// Draws ahead from another source.
pub(crate) struct Drawn<'a> {
    source: &'a dyn Random,
    /// What nobody was given yet.
    left: Mutex<Zeroizing<Vec<u8>>>,
}

impl<'a> Drawn<'a> {
    pub(crate) fn new(source: &'a dyn Random) -> Self {
        Self { source, left: Mutex::new(Zeroizing::new(Vec::with_capacity(SHARE))) }
    }
}

impl Random for Drawn<'_> {
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > SHARE {
            return self.source.fill(buffer);
        }
        // A thread that panicked in the source has handed nothing out.
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() < buffer.len() {
            // Never longer than it was made, so that it leaves no copy behind.
            left.resize(SHARE, 0);
            self.source.fill(&mut left);
        }
        let rest = left.len() - buffer.len();
        buffer.copy_from_slice(&left[rest..]);
        left[rest..].zeroize();
        left.truncate(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Draws two bytes each that were never drawn before, and counts how often it is asked.
    #[derive(Default)]
    struct Counting(Mutex<(u16, usize)>);

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            let mut drawn = self.0.lock().expect("not poisoned");
            drawn.1 += 1;
            for pair in buffer.chunks_exact_mut(2) {
                pair.copy_from_slice(&drawn.0.to_be_bytes());
                drawn.0 += 1;
            }
        }
    }

    #[test]
    fn nothing_is_handed_out_twice_and_the_source_is_asked_seldom() {
        let source = Counting::default();
        let drawn = Drawn::new(&source);
        let mut seen = HashSet::new();
        for round in 0..1000 {
            let mut buffer = vec![0; [16, 76, 2, 0][round % 4]];
            drawn.fill(&mut buffer);
            for pair in buffer.chunks_exact(2) {
                assert!(seen.insert([pair[0], pair[1]]), "round {round}: {pair:?} came again");
            }
        }
        let bytes = seen.len() * 2;
        let asked = source.0.lock().expect("not poisoned").1;
        assert!(asked <= bytes / (SHARE - 76) + 1, "asked {asked} times for {bytes} bytes");
    }

    #[test]
    fn more_than_a_share_comes_from_the_source() {
        let source = Counting::default();
        let drawn = Drawn::new(&source);
        let mut buffer = [0; SHARE + 2];
        drawn.fill(&mut buffer);
        assert_eq!(buffer[SHARE..], u16::try_from(SHARE / 2).expect("small").to_be_bytes());
        assert_eq!(source.0.lock().expect("not poisoned").1, 1);
    }
}
