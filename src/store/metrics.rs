//! What a store counts, for whoever exports metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Whether a store takes batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Good,
    /// It does not, until there is more room on the disk.
    Full {
        /// How many bytes are free.
        free: u64,
        /// How many have to be.
        reserve: u64,
    },
    /// It does not any more: a write to the disk failed.
    Poisoned {
        /// What the engine or the operating system said.
        reason: String,
    },
}

/// Counters since the store was opened. All of them only grow, except `queue_depth`.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches written.
    pub commits: AtomicU64,
    /// Batches refused because a condition did not hold.
    pub conflicts: AtomicU64,
    /// Batches refused or left uncertain for another reason.
    pub failures: AtomicU64,
    /// Times the disk was asked to make data durable. Commits divided by flushes is how well they share.
    pub flushes: AtomicU64,
    /// Microseconds spent in those.
    pub flush_micros: AtomicU64,
    /// Keys, values and records written, in bytes.
    pub bytes: AtomicU64,
    /// Batches waiting for the committer now.
    pub queue_depth: AtomicUsize,
    /// Whether the store refuses batches because a write to the disk failed.
    pub poisoned: AtomicBool,
}

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
