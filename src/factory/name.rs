//! The names that people give on the line, one type each.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest name of any kind.
const MAX_NAME: usize = 64;

/// A text that is not a name of the kind that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Names of lines and stations become file names.
    #[error("{kind} is called with 1 to {MAX_NAME} lower-case letters, digits and hyphens, and begins with a letter")]
    Word {
        /// What it was to name.
        kind: &'static str,
    },
    /// Names of orders and customers are read by people.
    #[error("{kind} is called with 1 to {MAX_NAME} characters, without control characters and without blanks at the ends")]
    Text {
        /// What it was to name.
        kind: &'static str,
    },
}

fn is_word(text: &str) -> bool {
    let mut bytes = text.bytes();
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= MAX_NAME && bytes.next().is_some_and(|b| b.is_ascii_lowercase()) && bytes.all(allowed)
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_NAME && text.trim() == text && !text.chars().any(char::is_control)
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident, $error:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if $check(text) { Ok(Self(text.into())) } else { Err(NameError::$error { kind: $kind }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.pad(&self.0)
            }
        }
    };
}

name! {
    /// A line: one intermediate certificate and its key.
    LineName, is_word, Word, "a line"
}
name! {
    /// A station: a machine that makes devices away from the factory, with a line of its own.
    StationName, is_word, Word, "a station"
}
name! {
    /// An order that devices are made for.
    OrderName, is_text, Text, "an order"
}
name! {
    /// Who receives the devices of an order.
    CustomerName, is_text, Text, "a customer"
}
impl From<StationName> for LineName {
    /// A station's one line is called like the station.
    fn from(station: StationName) -> Self {
        Self(station.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_stations_have_names_that_files_can_have() {
        assert_eq!("line-1".parse::<LineName>().map(String::from), Ok("line-1".into()));
        for text in ["", "-x", "1x", "Line", "a/b", "..", "a b", &"x".repeat(65)] {
            assert_eq!(text.parse::<LineName>(), Err(NameError::Word { kind: "a line" }), "{text}");
        }
    }

    #[test]
    fn orders_and_customers_have_names_that_people_read() {
        assert_eq!("Müller & Söhne".parse::<CustomerName>().map(String::from), Ok("Müller & Söhne".into()));
        for text in ["", " x", "a\nb", "\u{7}", &"x".repeat(65)] {
            assert_eq!(text.parse::<OrderName>(), Err(NameError::Text { kind: "an order" }), "{text}");
        }
    }
}
