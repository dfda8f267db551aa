//! Lengths of time and sizes as people write them.

use std::{fmt, str::FromStr, time::Duration};

const SPANS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// A number of bytes, written like `16 KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1024 KiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as an index; on a machine where it does not fit, as large as one can be.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = split(text.trim()).ok_or(())?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or(())?;
        number.checked_mul(*factor).map(Self).ok_or(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = largest(self.0, SIZES);
        write!(out, "{} {unit}", self.0 / factor)
    }
}

/// Reads a length of time like `30s`, `500ms`, `7d` or `1h 30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let letters = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let end = rest[letters..].find(|c: char| !c.is_ascii_alphabetic()).map_or(rest.len(), |length| letters + length);
        let (number, unit) = split(&rest[..end])?;
        let (_, millis) = SPANS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(Duration::from_millis(number.checked_mul(*millis)?))?;
        rest = rest[end..].trim_start();
    }
    Some(total)
}

/// Writes a length of time in the largest unit that loses nothing.
pub fn show_duration(span: Duration) -> String {
    let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (unit, factor) = largest(millis, SPANS);
    format!("{}{unit}", millis / factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn largest(amount: u64, units: &'static [(&'static str, u64)]) -> (&'static str, u64) {
    let fitting = units.iter().rev().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    *fitting.unwrap_or(&units[usize::from(units[0].0 == "ms")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip_in_their_largest_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("36h", 129_600_000), ("7d", 604_800_000), ("0s", 0)] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Some(span), "{text}");
            assert_eq!(show_duration(span), text);
        }
        assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5400)));
        assert_eq!(parse_duration(" 1h30m "), Some(Duration::from_secs(5400)));
    }

    #[test]
    fn a_span_without_a_unit_is_refused() {
        for text in ["", "30", "s", "-5s", "1.5s", "5 parsecs", "5s 3", "99999999999999999999s", "9999999999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_round_trip_in_their_largest_unit() {
        for (text, bytes) in [("16 KiB", 16 << 10), ("1 MiB", 1 << 20), ("1000 B", 1000), ("0 B", 0)] {
            assert_eq!(text.parse(), Ok(Size::bytes(bytes)), "{text}");
            assert_eq!(Size::bytes(bytes).to_string(), text);
        }
        assert_eq!("16KiB".parse(), Ok(Size::kib(16)));
    }

    #[test]
    fn a_size_without_a_unit_or_with_a_decimal_one_is_refused() {
        for text in ["16", "16 KB", "KiB", "-1 B", "99999999999 TiB"] {
            assert_eq!(text.parse::<Size>(), Err(()), "{text}");
        }
    }
}
