//! Which of two notifications is the newer one (RFC 7641 §3.4).

use std::time::{Duration, Instant};

/// After this long without a notification any is newer, whatever its number.
const RENEWED: Duration = Duration::from_secs(128);
const HALF: u32 = 1 << 23;

/// The newest notification so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freshness {
    number: u32,
    at: Instant,
}

impl Freshness {
    pub(super) fn new(number: u32, at: Instant) -> Self {
        Self { number, at }
    }

    /// Whether one that arrives now is newer; then it becomes the newest.
    pub(super) fn renew(&mut self, number: u32, now: Instant) -> bool {
        let (old, new) = (self.number, number);
        let newer = (old < new && new - old < HALF) || (old > new && old - new > HALF) || now > self.at + RENEWED;
        if newer {
            *self = Self::new(number, now);
        }
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_3_4_numbers_are_compared_around_the_wrap_of_24_bits() {
        let now = Instant::now();
        let newer = |old, new| Freshness::new(old, now).renew(new, now);
        assert!(newer(5, 6));
        assert!(!newer(6, 5));
        assert!(!newer(5, 5));
        assert!(newer(0xff_ffff, 0));
        assert!(!newer(0, 0xff_ffff));
        assert!(newer(0, HALF - 1));
        assert!(!newer(0, HALF));
    }

    #[test]
    fn section_3_4_after_128_seconds_any_number_is_newer() {
        let now = Instant::now();
        let mut freshness = Freshness::new(100, now);
        assert!(!freshness.renew(99, now + RENEWED));
        assert!(freshness.renew(99, now + RENEWED + Duration::from_millis(1)));
        assert!(!freshness.renew(98, now + RENEWED * 2));
    }
}
