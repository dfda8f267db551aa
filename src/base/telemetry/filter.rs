//! Which log lines are wanted.

use crate::config::Value;
use std::{fmt, str::FromStr};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

const LEVELS: &[(&str, LevelFilter)] = &[
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// A level for everything, and levels for single parts, like `info,gatehouse_net=debug`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    general: LevelFilter,
    parts: Vec<(String, LevelFilter)>,
}

impl Filter {
    pub(super) fn targets(&self) -> Targets {
        Targets::new().with_default(self.general).with_targets(self.parts.iter().cloned())
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self { general: LevelFilter::INFO, parts: Vec::new() }
    }
}

/// A text that is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log level is off, error, warn, info, debug or trace; levels of parts follow after commas, like \"info,gatehouse_net=debug\"")]
pub struct FilterError;

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        let level = |word: &str| LEVELS.iter().find(|(name, _)| *name == word).map(|(_, level)| *level).ok_or(FilterError);
        let mut filter = Self::default();
        for directive in text.split(',').map(str::trim) {
            match directive.split_once('=') {
                None => filter.general = level(directive)?,
                Some((part, word)) if !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':') => {
                    filter.parts.push((part.to_owned(), level(word)?));
                }
                Some(_) => return Err(FilterError),
            }
        }
        Ok(filter)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.general)?;
        self.parts.iter().try_for_each(|(part, level)| write!(out, ",{part}={level}"))
    }
}

impl Value for Filter {
    fn expected() -> String {
        "a log level like \"info\", or levels like \"info,gatehouse_net=debug\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn suggestion(written: &str) -> Option<String> {
        crate::config::nearest(written, LEVELS.iter().map(|(name, _)| *name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_round_trip() {
        for text in ["info", "off", "warn,gatehouse_net=debug", "error,a::b=trace,c=off"] {
            assert_eq!(text.parse::<Filter>().expect("a filter").to_string(), text);
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_and_not_taken_for_a_part() {
        for text in ["", "infoo", "INFO!", "info,", "=debug", "a b=debug", "net=loud"] {
            assert_eq!(text.parse::<Filter>(), Err(FilterError), "{text}");
        }
        assert_eq!(Filter::suggestion("inof").as_deref(), Some("info"));
    }
}
