//! Message ids of what we send over UDP (RFC 7252 §4.4).
//!
//! Ids start at random and count up. None is used again within EXCHANGE_LIFETIME; to know that without a time per id, ids
//! are kept in spans, and a span is entered again only when its last id is old enough.

use crate::coap::MessageId;
use std::time::{Duration, Instant};

const SPANS: usize = 16;
const SPAN: u16 = (1 << 16 >> 4) as u16;

#[derive(Debug)]
pub(super) struct MessageIds {
    next: u16,
    /// When an id of the span was last given out.
    used: Option<Box<[Option<Instant>; SPANS]>>,
    current: usize,
}

impl MessageIds {
    pub(super) fn starting_at(next: u16) -> Self {
        Self { next, used: None, current: span(next) }
    }

    /// The next id, or nothing when all were given out within the lifetime.
    pub(super) fn next(&mut self, now: Instant, lifetime: Duration) -> Option<MessageId> {
        let used = self.used.get_or_insert_default();
        let here = span(self.next);
        let entry = used.get_mut(here)?;
        if here != self.current && entry.is_some_and(|last| now.saturating_duration_since(last) < lifetime) {
            return None;
        }
        *entry = Some(now);
        self.current = here;
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        Some(MessageId(id))
    }

    /// When the next id is free, if it was given out before.
    pub(super) fn free_at(&self, lifetime: Duration) -> Option<Instant> {
        let here = span(self.next);
        let last = (here != self.current).then_some(self.used.as_ref()?.get(here)?.as_ref())??;
        Some(*last + lifetime)
    }
}

fn span(id: u16) -> usize {
    usize::from(id / SPAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const LIFETIME: Duration = Duration::from_secs(247);

    #[test]
    fn no_id_is_used_again_within_its_lifetime() {
        let now = Instant::now();
        let mut ids = MessageIds::starting_at(60_000);
        let mut seen = HashSet::new();
        while let Some(id) = ids.next(now, LIFETIME) {
            assert!(seen.insert(id.0), "{} came twice", id.0);
        }
        assert!(seen.len() > 60_000, "only {} ids were given out", seen.len());
        let free = ids.free_at(LIFETIME).expect("all ids are taken");
        assert_eq!(free, now + LIFETIME);
        assert!(ids.next(free, LIFETIME).is_some());
    }

    #[test]
    fn ids_go_on_for_ever_at_a_pace_that_lets_them_rest() {
        let mut now = Instant::now();
        let mut ids = MessageIds::starting_at(7);
        for _ in 0..200_000 {
            assert!(ids.next(now, LIFETIME).is_some());
            now += Duration::from_millis(5);
        }
    }
}
