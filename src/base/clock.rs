//! The only place that asks what time it is.

use gatehouse_types::UnixTime;
use rustix::time::{ClockId, clock_gettime};
use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

/// Tells the time. Everything that decides gets the answer as an argument.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time of day, which may jump when somebody sets it.
    fn now(&self) -> UnixTime;

    /// How long this clock has been running, sleep of the machine included. Nobody can set it, so that a time of
    /// day that moved more than this did was set by somebody.
    fn elapsed(&self) -> Duration;
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

    fn elapsed(&self) -> Duration {
        let since_boot = clock_gettime(ClockId::Boottime);
        // The kernel counts up from zero, with nanoseconds below a second.
        Duration::new(since_boot.tv_sec.unsigned_abs(), u32::try_from(since_boot.tv_nsec).unwrap_or(0))
    }
}

/// A clock that a test sets and moves by hand.
#[derive(Debug)]
pub struct SimulatedClock {
    millis: AtomicI64,
    elapsed_millis: AtomicU64,
}

impl SimulatedClock {
    /// A clock that stands at this time until it is moved.
    pub fn new(start: UnixTime) -> Self {
        Self { millis: AtomicI64::new(start.millis()), elapsed_millis: AtomicU64::new(0) }
    }

    /// Sets the time of day, also backwards, as somebody with a screwdriver does: no time passes.
    pub fn set(&self, time: UnixTime) {
        self.millis.store(time.millis(), Ordering::SeqCst);
    }

    /// Lets this much time pass.
    pub fn advance(&self, span: Duration) {
        self.set(self.now() + span);
        self.elapsed_millis.fetch_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.millis.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.elapsed_millis.load(Ordering::SeqCst))
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
    fn setting_the_time_of_day_lets_no_time_pass() {
        let clock = SimulatedClock::new(UnixTime::from_secs(100));
        clock.advance(Duration::from_secs(5));
        clock.set(UnixTime::from_secs(1_000_000));
        assert_eq!(clock.elapsed(), Duration::from_secs(5));
    }

    #[test]
    fn the_machine_has_been_running_for_a_while() {
        let before = SystemClock.elapsed();
        assert!(before > Duration::ZERO && SystemClock.elapsed() >= before);
    }

    #[test]
    fn the_system_clock_is_past_the_day_this_was_written() {
        assert!(SystemClock.now() > "2026-11-01T00:00:00Z".parse().expect("RFC 3339"));
    }
}
