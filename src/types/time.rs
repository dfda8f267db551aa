//! Points in time as every rule gets them: as an argument.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    ops::{Add, Sub},
    str::FromStr,
    time::Duration,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A text that is not a point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, like 2026-01-02T03:04:05Z")]
pub struct TimeError;

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds. Stored and serialised as that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct UnixTime {
    millis: i64,
}

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { millis: 0 };

    /// The end of time in certificates that do not end: 99991231235959Z (RFC 5280 §4.1.2.5).
    pub const NO_END: Self = Self::from_secs(253_402_300_799);

    /// The time so many seconds after the epoch; saturates.
    pub const fn from_secs(secs: i64) -> Self {
        Self { millis: secs.saturating_mul(1000) }
    }

    /// The time so many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.millis.div_euclid(1000)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.millis
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.millis.saturating_sub(earlier.millis)).unwrap_or(0))
    }

    /// The same instant for calendar arithmetic; clamped to the years that certificates can hold.
    pub fn to_date_time(self) -> OffsetDateTime {
        let millis = self.millis.clamp(-62_135_596_800_000, Self::NO_END.millis);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl From<OffsetDateTime> for UnixTime {
    fn from(date_time: OffsetDateTime) -> Self {
        // Years up to 9999 in milliseconds fit with room to spare.
        Self { millis: i64::try_from(date_time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX) }
    }
}

impl FromStr for UnixTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        OffsetDateTime::parse(text, &Rfc3339).map(Self::from).map_err(|_| TimeError)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.to_date_time().format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self { millis: self.millis.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)) }
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self { millis: self.millis.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_with_its_milliseconds() {
        let time: UnixTime = "2026-01-02T03:04:05.678Z".parse().expect("RFC 3339");
        assert_eq!(time, UnixTime::from_millis(1_767_323_045_678));
        assert_eq!(time.to_string(), "2026-01-02T03:04:05.678Z");
    }

    #[test]
    fn the_certificate_that_does_not_end_ends_in_9999() {
        assert_eq!(UnixTime::NO_END.to_string(), "9999-12-31T23:59:59Z");
        assert_eq!("9999-12-31T23:59:59Z".parse(), Ok(UnixTime::NO_END));
    }

    #[test]
    fn arithmetic_saturates() {
        let end = UnixTime::from_millis(i64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(UnixTime::from_secs(5).since(UnixTime::from_secs(7)), Duration::ZERO);
        assert_eq!(end.to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "2026-01-02", "2026-01-02 03:04", "1767323045"] {
            assert_eq!(text.parse::<UnixTime>(), Err(TimeError), "{text}");
        }
    }
}
