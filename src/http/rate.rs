//! How often somebody may ask: token buckets in a bounded table, by the generic cell rate algorithm.
//!
//! A bucket is one point in time: the moment at which it would be full again. What is full needs no entry, so the table holds
//! only those who asked lately. When it is full, whoever owes least is forgotten. The time is an argument.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::Duration,
};

/// How often, and how much at once after a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

impl Rate {
    /// What one request takes.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }
}

/// Who has asked how much.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    rate: Rate,
    most: usize,
    full_at: HashMap<K, Duration>,
    by_time: BTreeSet<(Duration, K)>,
}

impl<K: Clone + Eq + Hash + Ord> Buckets<K> {
    /// At most so many buckets, all of them full.
    pub(crate) fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, full_at: HashMap::new(), by_time: BTreeSet::new() }
    }

    /// Takes one out of somebody's bucket, or tells how long it is until there is one.
    pub(crate) fn take(&mut self, whose: &K, now: Duration) -> Result<(), Duration> {
        let interval = self.rate.interval();
        let full_at = self.full_at.get(whose).copied().unwrap_or(now).max(now);
        let owed_after = (full_at - now).saturating_add(interval);
        let room = interval.saturating_mul(self.rate.burst.max(1));
        if owed_after > room {
            return Err(owed_after - room);
        }
        self.put(whose, full_at + interval);
        self.forget(now);
        Ok(())
    }

    /// How many are remembered.
    pub(crate) fn len(&self) -> usize {
        self.full_at.len()
    }

    fn put(&mut self, whose: &K, full_at: Duration) {
        if let Some(before) = self.full_at.insert(whose.clone(), full_at) {
            self.by_time.remove(&(before, whose.clone()));
        }
        self.by_time.insert((full_at, whose.clone()));
    }

    /// Those that are full again, and as many more as are too many.
    fn forget(&mut self, now: Duration) {
        while self.by_time.first().is_some_and(|(full_at, _)| *full_at <= now || self.full_at.len() > self.most) {
            let Some((_, whose)) = self.by_time.pop_first() else { break };
            self.full_at.remove(&whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn buckets(most: usize) -> Buckets<u32> {
        Buckets::new(Rate { per_second: 2, burst: 4 }, most)
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate_holds() {
        let mut buckets = buckets(10);
        for _ in 0..4 {
            assert_eq!(buckets.take(&1, SECOND), Ok(()));
        }
        assert_eq!(buckets.take(&1, SECOND), Err(SECOND / 2));
        assert_eq!(buckets.take(&1, SECOND * 3 / 2), Ok(()));
        assert_eq!(buckets.take(&1, SECOND * 3 / 2), Err(SECOND / 2));
        let granted = (0..1000).filter(|tick| buckets.take(&1, SECOND * 2 + SECOND / 100 * *tick).is_ok()).count();
        assert_eq!(granted, 20, "ten seconds at two a second");
    }

    #[test]
    fn a_refused_request_costs_nothing_and_nobody_pays_for_another() {
        let mut buckets = buckets(10);
        (0..4).for_each(|_| buckets.take(&1, SECOND).expect("granted"));
        (0..100).for_each(|_| assert_eq!(buckets.take(&1, SECOND), Err(SECOND / 2)));
        assert_eq!(buckets.take(&2, SECOND), Ok(()));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_those_who_owe_least() {
        let mut buckets = buckets(3);
        (0..4).for_each(|_| buckets.take(&1, SECOND).expect("granted"));
        for other in 2..1000 {
            buckets.take(&other, SECOND).expect("granted");
            assert!(buckets.len() <= 3);
        }
        assert_eq!(buckets.take(&1, SECOND), Err(SECOND / 2), "who owes most is remembered");
    }

    #[test]
    fn who_rests_is_forgotten_and_has_lost_nothing() {
        let mut buckets = buckets(10);
        (0..4).for_each(|_| buckets.take(&1, SECOND).expect("granted"));
        buckets.take(&2, SECOND * 3).expect("granted");
        assert_eq!(buckets.len(), 1);
        (0..4).for_each(|_| buckets.take(&1, SECOND * 3).expect("granted"));
    }

    #[test]
    fn a_clock_that_stands_or_goes_back_grants_no_more() {
        let mut buckets = buckets(10);
        (0..4).for_each(|_| buckets.take(&1, SECOND * 10).expect("granted"));
        assert!(buckets.take(&1, SECOND).is_err());
    }
}
