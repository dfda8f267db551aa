//! What waits for `poll_transmit`: whole datagrams, or whole messages of a stream.

use super::emptied;
use bytes::Bytes;
use std::collections::VecDeque;

/// How many places a quiet peer keeps.
const KEPT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    items: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// Whether so many bytes more stay under the bound.
    pub(super) fn takes(&self, more: usize, bound: usize) -> bool {
        self.bytes.saturating_add(more) <= bound
    }

    pub(super) fn push(&mut self, item: Bytes) {
        self.bytes += item.len();
        self.items.push_back(item);
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        if self.items.is_empty() && self.items.capacity() > KEPT {
            self.items = VecDeque::new();
        }
        Some(item)
    }

    pub(super) fn give_back(&mut self) {
        emptied(&mut self.items);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
