//! Option numbers, what they say of themselves, and what is registered for each (RFC 7252 §5.4, §5.10).

use std::{fmt, ops::RangeInclusive};

/// The number of an option. Its lowest bits tell how one that does not know it must treat it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionNumber(pub u16);

/// What the value of an option is made of (RFC 7252 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// No bytes.
    Empty,
    /// Bytes that mean something only to who made them.
    Opaque,
    /// A number in network byte order, where leading zeros may stand and need not.
    Uint,
    /// UTF-8 text.
    Text,
}

/// What a registered option must look like.
struct Definition {
    name: &'static str,
    format: Format,
    lengths: (u16, u16),
    repeatable: bool,
}

macro_rules! options {
    ($($constant:ident = $number:literal $name:literal $format:ident $least:literal ..= $most:literal $($repeatable:ident)?, $doc:literal;)*) => {
        impl OptionNumber {
            $(
                #[doc = concat!($name, ": ", $doc)]
                pub const $constant: Self = Self($number);
            )*

            #[inline]
            const fn definition(self) -> Option<&'static Definition> {
                match self.0 {
                    $($number => Some(&Definition {
                        name: $name,
                        format: Format::$format,
                        lengths: ($least, $most),
                        repeatable: options!(@repeatable $($repeatable)?),
                    }),)*
                    _ => None,
                }
            }
        }
    };
    (@repeatable repeatable) => { true };
    (@repeatable) => { false };
}

options! {
    IF_MATCH = 1 "If-Match" Opaque 0..=8 repeatable, "the state that a request is about (RFC 7252 §5.10.8.1).";
    URI_HOST = 3 "Uri-Host" Text 1..=255, "the host that the client asked for (RFC 7252 §5.10.1).";
    ETAG = 4 "ETag" Opaque 1..=8 repeatable, "the version of a representation (RFC 7252 §5.10.6).";
    IF_NONE_MATCH = 5 "If-None-Match" Empty 0..=0, "only where nothing is yet (RFC 7252 §5.10.8.2).";
    OBSERVE = 6 "Observe" Uint 0..=3, "registration, or the order of notifications (RFC 7641 §2).";
    URI_PORT = 7 "Uri-Port" Uint 0..=2, "the port that the client asked for (RFC 7252 §5.10.1).";
    LOCATION_PATH = 8 "Location-Path" Text 0..=255 repeatable, "a path segment of what was created (RFC 7252 §5.10.7).";
    OSCORE = 9 "OSCORE" Opaque 0..=255, "object security (RFC 8613 §2).";
    URI_PATH = 11 "Uri-Path" Text 0..=255 repeatable, "a path segment (RFC 7252 §5.10.1).";
    CONTENT_FORMAT = 12 "Content-Format" Uint 0..=2, "what the payload is (RFC 7252 §5.10.3).";
    MAX_AGE = 14 "Max-Age" Uint 0..=4, "for how many seconds an answer is fresh (RFC 7252 §5.10.5).";
    URI_QUERY = 15 "Uri-Query" Text 0..=255 repeatable, "an argument (RFC 7252 §5.10.1).";
    HOP_LIMIT = 16 "Hop-Limit" Uint 1..=1, "how many proxies may still follow (RFC 8768 §3).";
    ACCEPT = 17 "Accept" Uint 0..=2, "the content format that the client wants (RFC 7252 §5.10.4).";
    Q_BLOCK1 = 19 "Q-Block1" Uint 0..=3, "a block of a request for lossy links (RFC 9177 §4).";
    LOCATION_QUERY = 20 "Location-Query" Text 0..=255 repeatable, "an argument of what was created (RFC 7252 §5.10.7).";
    EDHOC = 21 "EDHOC" Empty 0..=0, "a key exchange in a request (RFC 9668 §3.1).";
    BLOCK2 = 23 "Block2" Uint 0..=3, "a block of an answer (RFC 7959 §2.1).";
    BLOCK1 = 27 "Block1" Uint 0..=3, "a block of a request (RFC 7959 §2.1).";
    SIZE2 = 28 "Size2" Uint 0..=4, "the size of a whole answer (RFC 7959 §4).";
    Q_BLOCK2 = 31 "Q-Block2" Uint 0..=3 repeatable, "a block of an answer for lossy links (RFC 9177 §4).";
    PROXY_URI = 35 "Proxy-Uri" Text 1..=1034, "a request to a proxy (RFC 7252 §5.10.2).";
    PROXY_SCHEME = 39 "Proxy-Scheme" Text 1..=255, "the scheme of a request to a proxy (RFC 7252 §5.10.2).";
    SIZE1 = 60 "Size1" Uint 0..=4, "the size of a whole request (RFC 7252 §5.10.9).";
    ECHO = 252 "Echo" Opaque 1..=40, "shows that the client is there now (RFC 9175 §2.2).";
    NO_RESPONSE = 258 "No-Response" Uint 0..=1, "which answers the client does not want (RFC 7967 §2).";
    REQUEST_TAG = 292 "Request-Tag" Opaque 0..=8 repeatable, "tells block-wise requests apart (RFC 9175 §3.2).";
    OCF_ACCEPT_VERSION = 2049 "OCF-Accept-Content-Format-Version" Uint 0..=2, "the version of OCF's data model that the client wants.";
    OCF_VERSION = 2053 "OCF-Content-Format-Version" Uint 0..=2, "the version of OCF's data model of the payload.";
}

impl OptionNumber {
    /// Whether a message must not be processed by one that does not know this option (RFC 7252 §5.4.1).
    pub const fn is_critical(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether a proxy that does not know it must not forward it (RFC 7252 §5.4.2).
    pub const fn is_unsafe_to_forward(self) -> bool {
        self.0 & 2 == 2
    }

    /// Whether it is not part of the key under which an answer is cached (RFC 7252 §5.4.2).
    pub const fn is_no_cache_key(self) -> bool {
        self.0 & 0x1e == 0x1c
    }

    /// What the registry calls it.
    pub fn name(self) -> Option<&'static str> {
        self.definition().map(|definition| definition.name)
    }

    /// What its value is made of, where that is registered.
    pub fn format(self) -> Option<Format> {
        self.definition().map(|definition| definition.format)
    }

    /// How many bytes its value may have, where that is registered.
    pub fn lengths(self) -> Option<RangeInclusive<usize>> {
        self.definition().map(|definition| usize::from(definition.lengths.0)..=usize::from(definition.lengths.1))
    }

    /// Whether it may occur more than once in a message (RFC 7252 §5.4.5). What is not registered may.
    pub fn is_repeatable(self) -> bool {
        self.definition().is_none_or(|definition| definition.repeatable)
    }
}

impl fmt::Display for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "option {}", self.0),
        }
    }
}

impl fmt::Debug for OptionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7252 table 4, and the tables of the later documents: number, critical, unsafe, no cache key.
    const REGISTERED: &[(u16, bool, bool, bool)] = &[
        (1, true, false, false),
        (3, true, true, false),
        (4, false, false, false),
        (5, true, false, false),
        (6, false, true, false),
        (7, true, true, false),
        (8, false, false, false),
        (11, true, true, false),
        (12, false, false, false),
        (14, false, true, false),
        (15, true, true, false),
        (17, true, false, false),
        (20, false, false, false),
        (23, true, true, false),
        (27, true, true, false),
        (28, false, false, true),
        (35, true, true, false),
        (39, true, true, false),
        (60, false, false, true),
        (252, false, false, true),
        (258, false, true, false),
        (292, false, false, false),
        (2049, true, false, false),
        (2053, true, false, false),
    ];

    #[test]
    fn section_5_4_2_the_bits_of_a_number_say_how_to_treat_it() {
        for &(number, critical, is_unsafe, no_cache_key) in REGISTERED {
            let number = OptionNumber(number);
            assert_eq!(number.is_critical(), critical, "{number}");
            assert_eq!(number.is_unsafe_to_forward(), is_unsafe, "{number}");
            // The bits mean something only for what is safe to forward.
            assert_eq!(!is_unsafe && number.is_no_cache_key(), no_cache_key, "{number}");
            assert!(number.name().is_some(), "{number:?}");
        }
    }

    #[test]
    fn an_unregistered_number_is_written_as_one_and_has_no_rules() {
        let number = OptionNumber(65_000);
        assert_eq!(number.to_string(), "option 65000");
        assert!(number.is_repeatable());
        assert_eq!(number.lengths(), None);
    }
}
