//! Tables, the keys in them, and ranges of keys.

use std::fmt;

/// The longest key that a table takes.
pub const MAX_KEY_BYTES: usize = 1024;

/// A key space of its own. Two crates that keep something declare two tables with different names:
///
/// ```
/// use gatehouse_store::Table;
/// const DEVICES: Table = Table::new("devices");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    name: &'static str,
}

impl Table {
    /// Names a table; lower-case letters, digits and hyphens, at most 40 of them.
    ///
    /// # Panics
    /// On another name. In a `const`, which is where tables are declared, that is a compile error.
    pub const fn new(name: &'static str) -> Self {
        assert!(is_name(name.as_bytes()), "a table's name is 1 to 40 lower-case letters, digits and hyphens");
        Self { name }
    }

    /// The name, as it stands in every key on disk.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if !matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    !name.is_empty() && name.len() <= 40
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name)
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Table({})", self.name)
    }
}

/// Builds a key of several parts whose byte order is the order of the parts, one after the other, so that all
/// keys that begin with the same parts are one range.
///
/// ```
/// use gatehouse_store::{Key, Range};
/// let device = Key::new().text("device").id(&[7; 16]);
/// let resources = Range::prefix(device.clone());
/// assert!(resources.contains(device.text("/light/1").as_ref()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of no parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds bytes of any length. Zero and one end the part, and a zero inside it is followed by 0xff: that keeps
    /// `a` before `ab`, and no part can be taken for the beginning of another.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0.push(*byte);
            if *byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.extend_from_slice(&[0, 1]);
        self
    }

    /// Adds an id of sixteen bytes, as it is.
    #[must_use]
    pub fn id(mut self, id: &[u8; 16]) -> Self {
        self.0.extend_from_slice(id);
        self
    }

    /// Adds a number; smaller numbers come first.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// Which keys of a table a scan looks at, and from which end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub(crate) from: Vec<u8>,
    /// The first key behind the range; none when it goes on to the end of the table.
    pub(crate) to: Option<Vec<u8>>,
    pub(crate) reversed: bool,
}

impl Range {
    /// The whole table.
    pub fn all() -> Self {
        Self { from: Vec::new(), to: None, reversed: false }
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let from = prefix.into();
        Self { to: successor(&from), from, reversed: false }
    }

    /// The keys from the first one on, up to and without the second.
    pub fn between(from: impl Into<Vec<u8>>, to: impl Into<Vec<u8>>) -> Self {
        Self { from: from.into(), to: Some(to.into()), reversed: false }
    }

    /// What is left of the range after this key was seen: how a scan goes on where the one before it stopped.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        if self.reversed {
            self.to = Some(self.to.map_or_else(|| key.to_vec(), |to| to.min(key.to_vec())));
        } else {
            self.from = self.from.max([key, &[0]].concat());
        }
        self
    }

    /// The same keys, the last one first.
    #[must_use]
    pub fn reversed(mut self) -> Self {
        self.reversed = !self.reversed;
        self
    }

    /// Whether the range takes in this key.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_deref().is_none_or(|to| key < to)
    }
}

/// The first key that is behind all keys with this prefix; none when there is no such key.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compound_keys_are_ordered_part_by_part() {
        let keys = [
            Key::new().text("a").number(1),
            Key::new().text("a").number(256),
            Key::new().bytes(b"a\0").number(0),
            Key::new().text("ab").number(0),
            Key::new().text("b"),
        ];
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "{keys:?}");
    }

    #[test]
    fn no_part_is_taken_for_the_beginning_of_another() {
        let range = Range::prefix(Key::new().text("a"));
        assert!(range.contains(Key::new().text("a").text("b").as_ref()));
        assert!(!range.contains(Key::new().text("ab").as_ref()));
        assert!(!range.contains(Key::new().bytes(b"a\0b").as_ref()));
    }

    #[test]
    fn a_prefix_of_the_highest_bytes_has_no_end() {
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b"\xff"), None);
        assert!(Range::prefix(vec![0xff]).contains(b"\xff\xff\xff"));
    }

    #[test]
    fn a_range_goes_on_after_the_key_seen_last() {
        let range = Range::all().after(b"k");
        assert!(!range.contains(b"k") && range.contains(b"k\0"));
        let range = Range::all().reversed().after(b"k");
        assert!(!range.contains(b"k") && range.contains(b"j"));
    }

    #[test]
    #[should_panic(expected = "lower-case")]
    fn a_table_name_in_capitals_is_refused() {
        let _ = Table::new("Devices");
    }
}
