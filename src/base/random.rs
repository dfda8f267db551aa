//! The operating system's randomness.

use gatehouse_types::Random;
use ring::rand::SecureRandom;

/// Random bytes from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        ring::rand::SystemRandom::new().fill(buffer).expect("the operating system delivers random bytes or the process must not go on");
    }
}
