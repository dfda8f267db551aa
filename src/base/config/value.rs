//! The types that a configured value can have.

use super::{
    Size,
    suggest::nearest,
    units::{parse_duration, show_duration},
};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use toml::de::DeValue;

/// A finished type that a text or a TOML value becomes.
pub trait Value: Sized {
    /// What a mistake says was expected, like `a length of time like "30s"`.
    fn expected() -> String;

    /// Reads the value from a TOML string or from the environment.
    fn from_text(text: &str) -> Option<Self>;

    /// Reads the value from the document. Most types are written as strings.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().and_then(Self::from_text)
    }

    /// The value as one would write it.
    fn to_text(&self) -> String;

    /// What was probably meant.
    fn suggestion(_written: &str) -> Option<String> {
        None
    }
}

/// A word out of a short list.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every choice and how it is written.
    const ALL: &'static [(&'static str, Self)];
}

impl<T: Choice> Value for T {
    fn expected() -> String {
        let words: Vec<_> = Self::ALL.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match words.as_slice() {
            [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
            words => words.concat(),
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
    }

    fn to_text(&self) -> String {
        Self::ALL.iter().find(|(_, choice)| choice == self).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
    }

    fn suggestion(written: &str) -> Option<String> {
        nearest(written, Self::ALL.iter().map(|(word, _)| *word))
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn expected() -> String {
                format!("a whole number from {} to {}", Self::MIN, Self::MAX)
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn from_toml(value: &DeValue<'_>) -> Option<Self> {
                let integer = value.as_integer()?;
                Self::from_str_radix(integer.as_str(), integer.radix()).ok()
            }

            fn to_text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

number!(u8, u16, u32, u64, usize);

macro_rules! text {
    ($($type:ty, $expected:literal, $parse:expr, $show:expr;)*) => {$(
        impl Value for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn from_text(text: &str) -> Option<Self> {
                ($parse)(text)
            }

            fn to_text(&self) -> String {
                ($show)(self)
            }
        }
    )*};
}

text! {
    String, "a text that is not empty", |t: &str| (!t.trim().is_empty()).then(|| t.to_owned()), String::clone;
    PathBuf, "a path", |t: &str| (!t.is_empty()).then(|| PathBuf::from(t)), |p: &PathBuf| p.display().to_string();
    Duration, "a length of time like \"30s\", \"5m\" or \"12h\"", parse_duration, |d: &Duration| show_duration(*d);
    Size, "a size like \"16 KiB\" or \"1 MiB\"", |t: &str| t.parse().ok(), Size::to_string;
    SocketAddr, "an IP address with a port, like \"127.0.0.1:8443\" or \"[::1]:8443\"", |t: &str| t.parse().ok(), SocketAddr::to_string;
    IpAddr, "an IP address like \"192.0.2.7\" or \"2001:db8::7\"", |t: &str| t.parse().ok(), IpAddr::to_string;
}

impl<T: Value> Value for Vec<T> {
    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }

    fn from_text(text: &str) -> Option<Self> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(T::from_text).collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_array()?.iter().map(|item| T::from_toml(item.get_ref())).collect()
    }

    fn to_text(&self) -> String {
        format!("[{}]", self.iter().map(T::to_text).collect::<Vec<_>>().join(", "))
    }
}
