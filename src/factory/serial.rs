//! What a device is called on the line, and ranges of such names.
//!
//! A serial becomes a certificate's `serialNumber`, a file's name and a word in manifests, so its alphabet is what
//! all three can hold: whatever a CSV file or a file name says, it is a [`DeviceSerial`] before anything uses it.

use serde::{Deserialize, Serialize, Serializer};
use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest serial: X.520 bounds `serialNumber` to 64 characters.
pub const MAX_SERIAL: usize = 64;

/// The most digits that are counted: they fit an `u64` with room to add.
const MAX_DIGITS: usize = 18;

/// Why a text is not a device's serial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SerialError {
    /// Nothing is there.
    #[error("a serial has at least one character")]
    Empty,
    /// It is longer than a certificate's `serialNumber` may be.
    #[error("a serial has at most {MAX_SERIAL} characters")]
    Long,
    /// It holds a character that file names or certificates cannot hold.
    #[error("a serial is made of letters A to Z and a to z, digits, '-' and '.', and begins with a letter or digit")]
    Alphabet,
}

/// Why two serials are not the ends of a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// One of them does not end in digits.
    #[error("serial {serial} does not end in a number that can be counted")]
    NoNumber {
        /// The serial.
        serial: DeviceSerial,
    },
    /// They differ in more than the number.
    #[error("{first} and {last} differ in more than the number at their end")]
    Shape {
        /// Where the range was to begin.
        first: DeviceSerial,
        /// Where it was to end.
        last: DeviceSerial,
    },
    /// The first comes after the last.
    #[error("{first} comes after {last}")]
    Order {
        /// Where the range was to begin.
        first: DeviceSerial,
        /// Where it was to end.
        last: DeviceSerial,
    },
}

/// A device's serial: 1 to 64 letters, digits, hyphens and dots, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DeviceSerial(Arc<str>);

impl DeviceSerial {
    /// The text, as certificates and file names have it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the number at its end, how many digits that has, and the number.
    fn parts(&self) -> Option<(&str, usize, u64)> {
        let digits = self.0.bytes().rev().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
        let (prefix, number) = self.0.split_at(self.0.len() - digits);
        Some((prefix, digits, number.parse().ok()?))
    }
}

impl FromStr for DeviceSerial {
    type Err = SerialError;

    fn from_str(text: &str) -> Result<Self, SerialError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        match text.as_bytes() {
            [] => Err(SerialError::Empty),
            bytes if bytes.len() > MAX_SERIAL => Err(SerialError::Long),
            // A name that begins with a dot is hidden or a parent; one that begins with a hyphen is an option.
            [first, ..] if !first.is_ascii_alphanumeric() => Err(SerialError::Alphabet),
            bytes if !bytes.iter().all(|b| allowed(*b)) => Err(SerialError::Alphabet),
            _ => Ok(Self(text.into())),
        }
    }
}

impl TryFrom<String> for DeviceSerial {
    type Error = SerialError;

    fn try_from(text: String) -> Result<Self, SerialError> {
        text.parse()
    }
}

impl From<DeviceSerial> for String {
    fn from(serial: DeviceSerial) -> String {
        serial.0.as_ref().to_owned()
    }
}

/// As its text, without a copy.
impl Serialize for DeviceSerial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Borrow<str> for DeviceSerial {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceSerial {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(&self.0)
    }
}

/// Serials that differ only in the number at their end, from a first to a last. Stored in journals and allotments.
///
/// Every serial has exactly one prefix (what stands before all its last digits), so that two ranges overlap only
/// when prefix and number of digits are equal and the numbers overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Ends", try_from = "Ends")]
pub struct SerialRange {
    prefix: String,
    digits: usize,
    first: u64,
    last: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ends {
    first: DeviceSerial,
    last: DeviceSerial,
}

impl SerialRange {
    /// The range between two serials that differ only in the number at their end, both included.
    ///
    /// # Errors
    /// The serials do not end in numbers, differ elsewhere, or are in the wrong order.
    pub fn new(first: &DeviceSerial, last: &DeviceSerial) -> Result<Self, RangeError> {
        let number = |serial: &DeviceSerial| match serial.parts() {
            Some((prefix, digits, number)) => Ok((prefix.to_owned(), digits, number)),
            None => Err(RangeError::NoNumber { serial: serial.clone() }),
        };
        let (a, b) = (number(first)?, number(last)?);
        if (&a.0, a.1) != (&b.0, b.1) {
            return Err(RangeError::Shape { first: first.clone(), last: last.clone() });
        }
        if a.2 > b.2 {
            return Err(RangeError::Order { first: first.clone(), last: last.clone() });
        }
        Ok(Self { prefix: a.0, digits: a.1, first: a.2, last: b.2 })
    }

    /// How many serials it holds.
    pub fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    /// The first serial.
    pub fn first(&self) -> DeviceSerial {
        self.serial(self.first)
    }

    /// The last serial.
    pub fn last(&self) -> DeviceSerial {
        self.serial(self.last)
    }

    /// Whether the serial lies in it.
    pub fn contains(&self, serial: &DeviceSerial) -> bool {
        serial.parts().is_some_and(|(prefix, digits, number)| {
            prefix == self.prefix && digits == self.digits && (self.first..=self.last).contains(&number)
        })
    }

    /// Whether any serial lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.digits == other.digits && self.first <= other.last && other.first <= self.last
    }

    /// The range that is longer by this serial, if it is the one that comes next.
    pub(crate) fn followed_by(&self, next: &DeviceSerial) -> Option<Self> {
        let (prefix, digits, number) = next.parts()?;
        let follows = prefix == self.prefix && digits == self.digits && number == self.last + 1;
        follows.then(|| Self { last: number, ..self.clone() })
    }

    /// Its serials in order.
    pub fn iter(&self) -> impl Iterator<Item = DeviceSerial> + Send + '_ {
        (self.first..=self.last).map(|number| self.serial(number))
    }

    fn serial(&self, number: u64) -> DeviceSerial {
        DeviceSerial(format!("{}{number:0digits$}", self.prefix, digits = self.digits).into())
    }
}

impl TryFrom<Ends> for SerialRange {
    type Error = RangeError;

    fn try_from(ends: Ends) -> Result<Self, RangeError> {
        Self::new(&ends.first, &ends.last)
    }
}

impl From<SerialRange> for Ends {
    fn from(range: SerialRange) -> Self {
        Self { first: range.first(), last: range.last() }
    }
}

impl fmt::Display for SerialRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {}", self.first(), self.last())
    }
}

/// How a factory counts its own serials: a prefix and a number of fixed width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbering {
    /// What every serial begins with; it does not end in a digit.
    pub prefix: String,
    /// How many digits follow.
    pub digits: u8,
}

impl Numbering {
    /// The range of `count` serials that begins at `first`, or nothing when the digits do not suffice or the
    /// prefix does not make serials.
    pub fn range(&self, first: u64, count: u64) -> Option<SerialRange> {
        let digits = usize::from(self.digits);
        let last = first.checked_add(count.checked_sub(1)?)?;
        if !(1..=MAX_DIGITS).contains(&digits) || last >= 10u64.checked_pow(u32::from(self.digits))? {
            return None;
        }
        let serial = |number: u64| format!("{}{number:0digits$}", self.prefix).parse();
        let range = SerialRange::new(&serial(first).ok()?, &serial(last).ok()?).ok()?;
        (range.prefix == self.prefix).then_some(range)
    }

    /// Every serial that this numbering can ever give.
    pub fn all(&self) -> Option<SerialRange> {
        self.range(0, 10u64.checked_pow(u32::from(self.digits))?)
    }

    /// The number in a serial of this numbering.
    pub fn number(&self, serial: &DeviceSerial) -> Option<u64> {
        let (prefix, digits, number) = serial.parts()?;
        (prefix == self.prefix && digits == usize::from(self.digits)).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(text: &str) -> DeviceSerial {
        text.parse().expect(text)
    }

    fn range(first: &str, last: &str) -> SerialRange {
        SerialRange::new(&serial(first), &serial(last)).expect(first)
    }

    #[test]
    fn serials_that_are_safe_names_are_accepted() {
        for text in ["A", "7", "GH-00000001", "00-1b-63.84", &"x".repeat(64)] {
            assert_eq!(serial(text).as_str(), text);
        }
    }

    #[test]
    fn paths_options_and_other_alphabets_are_refused() {
        let wrong = ["..", ".hidden", "../x", "a/b", "/etc/passwd", "-rf", "a b", "a\nb", "a\0b", "ü", "a_b", "a:b", "a%2fb", "\u{202e}x"];
        for text in wrong {
            assert_eq!(text.parse::<DeviceSerial>(), Err(SerialError::Alphabet), "{text:?}");
        }
        assert_eq!("".parse::<DeviceSerial>(), Err(SerialError::Empty));
        assert_eq!("x".repeat(65).parse::<DeviceSerial>(), Err(SerialError::Long));
    }

    #[test]
    fn a_range_holds_its_ends_and_what_is_between() {
        let range = range("GH-0998", "GH-1001");
        let all: Vec<_> = range.iter().map(String::from).collect();
        assert_eq!(all, ["GH-0998", "GH-0999", "GH-1000", "GH-1001"]);
        assert_eq!(range.count(), 4);
        assert!(range.iter().all(|serial| range.contains(&serial)));
    }

    #[test]
    fn a_serial_of_another_shape_is_not_in_the_range() {
        let range = range("GH-0001", "GH-0100");
        for text in ["GH-0000", "GH-0101", "GH-00050", "GH-050", "gh-0050", "XGH-0050", "GH-0050A"] {
            assert!(!range.contains(&serial(text)), "{text}");
        }
    }

    #[test]
    fn ranges_overlap_when_a_serial_is_in_both() {
        let a = range("GH-0001", "GH-0100");
        assert!(a.overlaps(&range("GH-0100", "GH-0200")));
        assert!(a.overlaps(&range("GH-0050", "GH-0060")));
        for other in [range("GH-0101", "GH-0200"), range("GH-00050", "GH-00060"), range("XX-0001", "XX-0100")] {
            assert!(!a.overlaps(&other), "{other}");
        }
    }

    #[test]
    fn serials_without_a_common_shape_are_no_range() {
        assert!(matches!(SerialRange::new(&serial("A"), &serial("B")), Err(RangeError::NoNumber { .. })));
        assert!(matches!(SerialRange::new(&serial("A1"), &serial("B2")), Err(RangeError::Shape { .. })));
        assert!(matches!(SerialRange::new(&serial("A1"), &serial("A10")), Err(RangeError::Shape { .. })));
        assert!(matches!(SerialRange::new(&serial("A2"), &serial("A1")), Err(RangeError::Order { .. })));
    }

    #[test]
    fn a_numbering_gives_ranges_until_its_digits_end() {
        let numbering = Numbering { prefix: "GH-".into(), digits: 3 };
        assert_eq!(numbering.range(998, 2).map(|r| r.to_string()), Some("GH-998 to GH-999".into()));
        assert_eq!(numbering.range(998, 3), None);
        assert_eq!(numbering.range(0, 0), None);
        assert_eq!(numbering.all().map(|r| r.count()), Some(1000));
        assert_eq!(numbering.number(&serial("GH-042")), Some(42));
        assert_eq!(numbering.number(&serial("GH-0042")), None);
    }

    #[test]
    fn a_prefix_that_ends_in_a_digit_cannot_be_told_from_the_number() {
        assert_eq!(Numbering { prefix: "GH1".into(), digits: 3 }.range(0, 1), None);
    }
}
