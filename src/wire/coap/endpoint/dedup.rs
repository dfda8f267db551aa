//! The window in which a copy of a message is recognised (RFC 7252 §4.5).
//!
//! A copy of a confirmable message gets the answer that the first one got. The window is bounded in entries, bytes and time;
//! what falls out of it first is the oldest. An answer that fell out while its entry stayed is replaced by an empty
//! acknowledgement: the request is not carried out twice.

use crate::coap::MessageId;
use bytes::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

#[derive(Debug, Default)]
pub(super) struct Dedup {
    /// In the order of arrival.
    entries: VecDeque<Entry>,
    /// Where an id is, counted from the first entry that ever was.
    places: BTreeMap<MessageId, u64>,
    first: u64,
    bytes: usize,
    /// The first entry that may still have an answer.
    answered_from: u64,
}

#[derive(Debug)]
struct Entry {
    id: MessageId,
    expires: Instant,
    answer: Answer,
}

/// What a copy of a message gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing, because the answer is not known yet or there is none.
    #[default]
    Nothing,
    /// The very same datagram.
    Again(Bytes),
    /// An acknowledgement: the answer was too old to be kept.
    Acknowledge,
}

impl Dedup {
    /// What a copy of the message gets, if this is one.
    pub(super) fn copy(&self, now: Instant, id: MessageId) -> Option<&Answer> {
        let entry = self.entry(id)?;
        (entry.expires > now).then_some(&entry.answer)
    }

    /// Remembers a message that arrived for the first time. Says how many others were forgotten for it.
    pub(super) fn remember(&mut self, id: MessageId, expires: Instant, capacity: usize) -> u64 {
        let mut forgotten = 0;
        while self.entries.len() >= capacity.max(1) {
            self.forget_oldest();
            forgotten += 1;
        }
        self.places.insert(id, self.first + self.entries.len() as u64);
        self.entries.push_back(Entry { id, expires, answer: Answer::Nothing });
        forgotten
    }

    /// Remembers what the message was answered with. Says how many other answers were forgotten for it.
    pub(super) fn answer(&mut self, id: MessageId, datagram: Bytes, capacity: usize) -> u64 {
        let size = datagram.len();
        let place = self.places.get(&id).copied();
        let Some(entry) = place.and_then(|place| self.entries.get_mut((place - self.first) as usize)) else { return 0 };
        if let Answer::Again(before) = std::mem::replace(&mut entry.answer, Answer::Again(datagram)) {
            self.bytes -= before.len();
        }
        self.bytes += size;
        let mut forgotten = 0;
        while self.bytes > capacity && self.drop_oldest_answer() {
            forgotten += 1;
        }
        forgotten
    }

    /// Forgets what no copy can come of any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.entries.front().is_some_and(|entry| entry.expires <= now) {
            self.forget_oldest();
        }
        if self.entries.is_empty() {
            (self.entries, self.places) = (VecDeque::new(), BTreeMap::new());
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.entries.front().map(|entry| entry.expires)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn entry(&self, id: MessageId) -> Option<&Entry> {
        self.entries.get((self.places.get(&id)? - self.first) as usize)
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.entries.pop_front() else { return };
        if let Answer::Again(answer) = entry.answer {
            self.bytes -= answer.len();
        }
        // An id that expired and came again has a younger entry, which stays.
        if self.places.get(&entry.id) == Some(&self.first) {
            self.places.remove(&entry.id);
        }
        self.first += 1;
    }

    fn drop_oldest_answer(&mut self) -> bool {
        self.answered_from = self.answered_from.max(self.first);
        while let Some(entry) = self.entries.get_mut((self.answered_from - self.first) as usize) {
            self.answered_from += 1;
            if let Answer::Again(answer) = &entry.answer {
                self.bytes -= answer.len();
                entry.answer = Answer::Acknowledge;
                return true;
            }
        }
        // An answer may come late, behind where the search had been.
        self.answered_from = self.first;
        self.entries.iter().any(|entry| matches!(entry.answer, Answer::Again(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIFETIME: Duration = Duration::from_secs(247);

    #[test]
    fn a_copy_gets_the_answer_of_the_first_and_a_stranger_none() {
        let now = Instant::now();
        let mut dedup = Dedup::default();
        dedup.remember(MessageId(1), now + LIFETIME, 8);
        assert_eq!(dedup.copy(now, MessageId(1)), Some(&Answer::Nothing));
        dedup.answer(MessageId(1), Bytes::from_static(b"ack"), 100);
        assert_eq!(dedup.copy(now, MessageId(1)), Some(&Answer::Again(Bytes::from_static(b"ack"))));
        assert_eq!(dedup.copy(now, MessageId(2)), None);
        assert_eq!(dedup.copy(now + LIFETIME, MessageId(1)), None);
    }

    #[test]
    fn the_oldest_entries_and_the_oldest_answers_make_room() {
        let now = Instant::now();
        let mut dedup = Dedup::default();
        for id in 0..10 {
            dedup.remember(MessageId(id), now + LIFETIME, 4);
            dedup.answer(MessageId(id), Bytes::from(vec![0; 40]), 100);
        }
        assert_eq!((dedup.len(), dedup.bytes()), (4, 80));
        assert_eq!(dedup.copy(now, MessageId(5)), None);
        assert_eq!(dedup.copy(now, MessageId(6)), Some(&Answer::Acknowledge));
        assert!(matches!(dedup.copy(now, MessageId(9)), Some(Answer::Again(_))));
    }

    #[test]
    fn an_answer_that_comes_late_counts_and_can_be_dropped_too() {
        let now = Instant::now();
        let mut dedup = Dedup::default();
        for id in 0..4 {
            dedup.remember(MessageId(id), now + LIFETIME, 8);
        }
        for id in [3, 2, 1, 0] {
            dedup.answer(MessageId(id), Bytes::from(vec![0; 60]), 100);
            assert!(dedup.bytes() <= 100);
        }
        assert_eq!(dedup.bytes(), 60);
    }

    #[test]
    fn what_expired_is_forgotten_and_its_id_may_come_again() {
        let now = Instant::now();
        let mut dedup = Dedup::default();
        dedup.remember(MessageId(1), now + LIFETIME, 8);
        dedup.remember(MessageId(1), now + LIFETIME * 2, 8);
        dedup.handle_timeout(now + LIFETIME);
        assert_eq!(dedup.len(), 1);
        assert_eq!(dedup.copy(now + LIFETIME, MessageId(1)), Some(&Answer::Nothing));
        dedup.handle_timeout(now + LIFETIME * 2);
        assert_eq!((dedup.len(), dedup.next_timeout()), (0, None));
    }
}
