//! Whether the time of day can be trusted enough to write it into a certificate.
//!
//! A certificate's dates cannot be taken back. So issuing stops when the clock stands before something that was
//! already committed, or when the time of day moved differently from the time that passed: then somebody, or a
//! broken battery, set it. The judge is pure; [`crate::Authority`] feeds it and makes the stop durable.

use gatehouse_base::Clock;
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The time of day beside the time that passed, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub now: UnixTime,
    /// Since some fixed point, as [`Clock::elapsed`] tells it.
    pub elapsed: Duration,
}

impl Moment {
    /// Reads both from a clock.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { now: clock.now(), elapsed: clock.elapsed() }
    }
}

/// How far the clock may be off before issuing stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockTolerance {
    /// How far the time of day may stand before the last committed event. Covers several nodes' differences.
    pub behind: Duration,
    /// How much more or less than the time that passed the time of day may have moved since this process started,
    /// or since an operator confirmed it. Covers the first correction by a time server.
    pub jump: Duration,
}

impl Default for ClockTolerance {
    fn default() -> Self {
        Self { behind: Duration::from_secs(5), jump: Duration::from_mins(5) }
    }
}

/// The clock cannot be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ClockFault {
    /// It stands before what was already committed.
    #[error("the clock says {now}, which is before the last committed event at {last}")]
    Behind {
        /// What the clock says.
        now: UnixTime,
        /// When the last event was committed.
        last: UnixTime,
    },
    /// It was set forwards while we were running.
    #[error("the clock jumped forwards to {now}; by the time that passed it should be {expected}")]
    JumpedForwards {
        /// What the clock says.
        now: UnixTime,
        /// What it should say.
        expected: UnixTime,
    },
    /// It was set backwards while we were running.
    #[error("the clock jumped backwards to {now}; by the time that passed it should be {expected}")]
    JumpedBackwards {
        /// What the clock says.
        now: UnixTime,
        /// What it should say.
        expected: UnixTime,
    },
}

/// Remembers what the clock said, and when the last event was committed.
///
/// The reference does not move with each look: many small steps add up and are noticed like one big step.
#[derive(Debug)]
pub(crate) struct ClockGuard {
    tolerance: ClockTolerance,
    reference: Moment,
    last_event: UnixTime,
}

impl ClockGuard {
    pub(crate) fn new(tolerance: ClockTolerance, start: Moment, last_event: UnixTime) -> Self {
        Self { tolerance, reference: start, last_event }
    }

    /// Judges a moment.
    pub(crate) fn check(&self, at: Moment) -> Result<(), ClockFault> {
        let now = at.now;
        if now + self.tolerance.behind < self.last_event {
            return Err(ClockFault::Behind { now, last: self.last_event });
        }
        let expected = self.reference.now + at.elapsed.saturating_sub(self.reference.elapsed);
        if now > expected + self.tolerance.jump {
            return Err(ClockFault::JumpedForwards { now, expected });
        }
        if now + self.tolerance.jump < expected {
            return Err(ClockFault::JumpedBackwards { now, expected });
        }
        Ok(())
    }

    /// Notes that an event with this time was committed.
    pub(crate) fn committed(&mut self, now: UnixTime) {
        self.last_event = self.last_event.max(now);
    }

    /// An operator says that the clock is right as it is.
    pub(crate) fn accept(&mut self, at: Moment) {
        self.reference = at;
        self.last_event = at.now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SimulatedClock;

    const START: UnixTime = UnixTime::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_hours(1);

    fn guard(clock: &SimulatedClock) -> ClockGuard {
        ClockGuard::new(ClockTolerance::default(), Moment::of(clock), clock.now())
    }

    #[test]
    fn a_year_that_passes_is_no_jump() {
        let clock = SimulatedClock::new(START);
        let mut guard = guard(&clock);
        for _ in 0..365 * 24 {
            clock.advance(HOUR);
            assert_eq!(guard.check(Moment::of(&clock)), Ok(()));
            guard.committed(clock.now());
        }
    }

    #[test]
    fn a_clock_before_the_last_event_is_refused_and_a_small_step_is_not() {
        let clock = SimulatedClock::new(START);
        let mut guard = guard(&clock);
        guard.committed(START + Duration::from_secs(5));
        assert_eq!(guard.check(Moment::of(&clock)), Ok(()));
        guard.committed(START + Duration::from_millis(5001));
        assert!(matches!(guard.check(Moment::of(&clock)), Err(ClockFault::Behind { .. })));
    }

    #[test]
    fn a_jump_in_either_direction_is_refused_at_its_tolerance() {
        let clock = SimulatedClock::new(START);
        // Nothing was committed for a day, so that only the jump itself can be noticed.
        let guard = ClockGuard::new(ClockTolerance::default(), Moment::of(&clock), START - Duration::from_hours(24));
        let tolerance = ClockTolerance::default().jump;
        clock.advance(HOUR);
        for (set, fine) in [
            (START + HOUR + tolerance, true),
            (START + HOUR + tolerance + Duration::from_millis(1), false),
            (START + HOUR - tolerance, true),
            (START + HOUR - tolerance - Duration::from_millis(1), false),
        ] {
            clock.set(set);
            assert_eq!(guard.check(Moment::of(&clock)).is_ok(), fine, "{set}");
        }
    }

    #[test]
    fn many_small_steps_are_one_jump() {
        let clock = SimulatedClock::new(START);
        let mut guard = guard(&clock);
        let mut refused = None;
        for step in 1..=10 {
            clock.set(clock.now() + Duration::from_mins(1));
            if guard.check(Moment::of(&clock)).is_err() {
                refused = Some(step);
                break;
            }
            guard.committed(clock.now());
        }
        assert_eq!(refused, Some(6));
    }

    #[test]
    fn an_operator_can_accept_the_clock_as_it_is() {
        let clock = SimulatedClock::new(START);
        let mut guard = guard(&clock);
        clock.set(START - HOUR * 48);
        assert!(guard.check(Moment::of(&clock)).is_err());
        guard.accept(Moment::of(&clock));
        assert_eq!(guard.check(Moment::of(&clock)), Ok(()));
    }
}
