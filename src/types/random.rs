//! Randomness as an argument.

/// A source of random bytes. Rules take one as an argument, so that a test decides what they draw.
pub trait Random: Send + Sync {
    /// Fills the buffer. A source that cannot deliver must not return: predictable serials and keys are worse
    /// than a stopped process.
    fn fill(&self, buffer: &mut [u8]);
}
