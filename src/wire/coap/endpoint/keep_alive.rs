//! Finding out that a peer is gone.
//!
//! A ping goes out when half of the timeout has passed with nothing received. When the next check still finds nothing, the
//! connection is over: what a device that lost its power leaves behind is found within timeout/2 + check.

use super::config;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct KeepAlive {
    settings: config::KeepAlive,
    next: Instant,
    pinged: bool,
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Ask the peer for a sign of life.
    Ping,
    /// It gave none.
    Dead,
}

impl KeepAlive {
    pub(super) fn new(settings: config::KeepAlive, now: Instant) -> Self {
        Self { settings, next: now + settings.timeout / 2, pinged: false }
    }

    /// Something arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        self.next = now + self.settings.timeout / 2;
        self.pinged = false;
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Silence> {
        if now < self.next {
            return None;
        }
        if self.pinged {
            return Some(Silence::Dead);
        }
        self.pinged = true;
        self.next = now + self.settings.check;
        Some(Silence::Ping)
    }

    pub(super) fn next_timeout(&self) -> Instant {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_silent_peer_is_asked_after_half_the_timeout_and_given_up_at_the_next_check() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keep_alive = KeepAlive::new(config::KeepAlive::default(), start);
        assert_eq!(keep_alive.handle_timeout(at(9)), None);
        assert_eq!(keep_alive.handle_timeout(at(10)), Some(Silence::Ping));
        assert_eq!(keep_alive.handle_timeout(at(13)), None);
        assert_eq!(keep_alive.handle_timeout(at(14)), Some(Silence::Dead));
    }

    #[test]
    fn whatever_arrives_starts_the_time_anew() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut keep_alive = KeepAlive::new(config::KeepAlive::default(), start);
        assert_eq!(keep_alive.handle_timeout(at(10)), Some(Silence::Ping));
        keep_alive.heard(at(13));
        assert_eq!(keep_alive.handle_timeout(at(14)), None);
        assert_eq!(keep_alive.handle_timeout(at(23)), Some(Silence::Ping));
    }
}
