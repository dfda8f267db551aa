//! PROBING_RATE: how fast non-confirmable messages go to a peer that says nothing (RFC 7252 §4.7).

use super::config::Reliability;
use std::time::{Duration, Instant};

/// Bytes that went out since the peer was last heard.
#[derive(Debug, Default)]
pub(super) struct Probing {
    unheard: usize,
    /// When the next message may go.
    free_at: Option<Instant>,
}

impl Probing {
    /// The peer lives.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    /// Whether a message may go now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.free_at.is_none_or(|free| free <= now)
    }

    /// Counts a message that went.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize, settings: &Reliability) {
        self.unheard = self.unheard.saturating_add(bytes);
        let over = self.unheard.saturating_sub(settings.probing_burst).min(bytes);
        if over > 0 {
            let pause = Duration::from_secs_f64(over as f64 / f64::from(settings.probing_rate.max(1)));
            self.free_at = Some(self.free_at.unwrap_or(now).max(now) + pause);
        }
    }

    /// When a message may go again, if none may now.
    pub(super) fn free_at(&self) -> Option<Instant> {
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_4_7_a_silent_peer_gets_a_burst_and_then_one_byte_a_second() {
        let (start, settings) = (Instant::now(), Reliability { probing_burst: 100, ..Reliability::default() });
        let mut probing = Probing::default();
        let mut sent = 0;
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            if probing.allows(now) {
                probing.sent(now, 50, &settings);
                sent += 50;
            }
        }
        assert!((1000..=1150).contains(&sent), "{sent} bytes in 1000 seconds");
    }

    #[test]
    fn a_peer_that_was_heard_starts_anew() {
        let (now, settings) = (Instant::now(), Reliability { probing_burst: 10, ..Reliability::default() });
        let mut probing = Probing::default();
        probing.sent(now, 50, &settings);
        assert!(!probing.allows(now));
        probing.heard();
        assert!(probing.allows(now));
    }
}
