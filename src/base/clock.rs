//! The only place that asks what time it is.

use gatehouse_types::UnixTime;
use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime},
};

/// Tells the time. Everything that decides gets the answer as an argument.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day, which may jump when somebody sets it.
    fn now(&self) -> UnixTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one caller that the rule leaves")]
    fn now(&self) -> UnixTime {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixTime::EPOCH + since_epoch
    }
}

/// A clock that a test sets and moves by hand.
#[derive(Debug)]
pub struct SimulatedClock {
    millis: AtomicI64,
}

impl SimulatedClock {
    /// A clock that stands at this time until it is moved.
    pub fn new(start: UnixTime) -> Self {
        Self { millis: AtomicI64::new(start.millis()) }
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, time: UnixTime) {
        self.millis.store(time.millis(), Ordering::SeqCst);
    }

    /// Lets this much time pass.
    pub fn advance(&self, span: Duration) {
        self.set(self.now() + span);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_clock_moves_only_by_hand() {
        let clock = SimulatedClock::new(UnixTime::from_secs(100));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), UnixTime::from_secs(105));
        clock.set(UnixTime::from_secs(1));
        assert_eq!(clock.now(), UnixTime::from_secs(1));
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > "2026-11-01T00:00:00Z".parse().expect("RFC 3339"));
    }
}
