//! What is wrong in a configuration, and where.

use crate::{Fault, Kind};
use serde::Serialize;
use std::{error::Error, fmt};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// It stands in the file, at this line and column, both counted from one.
    File {
        /// The file as the user named it.
        name: String,
        /// The line.
        line: usize,
        /// The column in characters.
        column: usize,
    },
    /// This variable of the environment sets it.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { name, line, column } => write!(out, "{name}:{line}:{column}"),
            Self::Environment(name) => write!(out, "${name}"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Where it is.
    pub origin: Origin,
    /// The path of the key that is wrong, like `listener.api.address`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key.is_empty() { String::new() } else { format!("`{}` ", self.key) };
        write!(out, "{}: {key}{}", self.origin, self.problem)?;
        match &self.suggestion {
            Some(suggestion) => write!(out, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// Every mistake of a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub(super) fn new(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
        Self(mistakes)
    }

    /// The mistakes in the order of the file, those of the environment after it.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(out, "the configuration has {} {plural}", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(out, "\n  {mistake}"))
    }
}

impl Error for Mistakes {}

impl Fault for Mistakes {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "configuration"
    }
}
