//! How many letters there are, so that the outbox knows its bounds without reading the store for each letter.
//!
//! [`Outbox`](crate::Outbox) counts what it encloses, and [`care`](crate::care) counts everything anew now and then, since batches are
//! enclosed that are never committed. Each kind of letter has its own share of the outbox: whoever can have letters of one kind sent
//! endlessly takes no room from any other kind, and none from warnings.

use std::collections::HashMap;

/// The outbox is divided among so many kinds of letters, more than this program writes.
pub(crate) const SHARES: usize = 16;

/// The letters that were counted.
#[derive(Debug, Default)]
pub(crate) struct Held {
    waiting: HashMap<Vec<u8>, usize>,
    pub(crate) dead: usize,
}

impl Held {
    /// Whether another letter of this kind has room.
    pub(crate) fn has_room(&self, kind: &str, most: usize) -> bool {
        let of_kind = self.waiting.get(kind.as_bytes()).copied().unwrap_or_default();
        of_kind < (most / SHARES).max(1) && self.waiting() < most
    }

    /// Counts a letter that waits, by what its row in the index by time says of its kind.
    pub(crate) fn count(&mut self, kind: &[u8]) {
        match self.waiting.get_mut(kind) {
            Some(waiting) => *waiting += 1,
            None => drop(self.waiting.insert(kind.to_vec(), 1)),
        }
    }

    /// All letters that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.values().sum()
    }
}
