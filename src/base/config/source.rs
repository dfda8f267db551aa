//! Where configuration comes from: one file and the environment.

use super::{Mistake, Mistakes, Origin};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// What the names of overriding variables begin with; the sections and the key follow, in upper case, joined by two
/// underscores: `GATEHOUSE__LISTENER__API__ADDRESS` sets `listener.api.address`.
pub const ENVIRONMENT_PREFIX: &str = "GATEHOUSE__";

/// No configuration is longer; a path to a device or a core dump is named by mistake sooner or later.
const MAX_FILE: u64 = 1024 * 1024;

/// The texts that a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) folder: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
}

impl Sources {
    /// A configuration that nobody wrote: defaults only.
    pub fn none() -> Self {
        Self::default()
    }

    /// A text and the name that mistakes call it by.
    pub fn text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), ..Self::default() }
    }

    /// Reads a file. Relative paths in it start at the folder that it lies in.
    ///
    /// # Errors
    /// The file cannot be read, is too long or is not UTF-8.
    pub fn file(path: &Path) -> Result<Self, Mistakes> {
        let refused = |problem: String| {
            let origin = Origin::File { name: path.display().to_string(), line: 1, column: 1 };
            Mistakes::new(vec![Mistake { origin, key: String::new(), problem, suggestion: None }])
        };
        let mut text = String::new();
        let file = File::open(path).map_err(|error| refused(format!("the file cannot be read: {error}")))?;
        let read = file.take(MAX_FILE + 1).read_to_string(&mut text);
        let length = read.map_err(|error| refused(format!("the file cannot be read: {error}")))?;
        if u64::try_from(length).is_ok_and(|length| length > MAX_FILE) {
            return Err(refused(format!("the file is longer than {MAX_FILE} bytes")));
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { name: path.display().to_string(), text, folder, environment: BTreeMap::new() })
    }

    /// The same sources with overrides from these variables. Those without our prefix are left alone.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables.into_iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)));
        self
    }

    /// The place in the file that this byte is at.
    pub(super) fn origin(&self, byte: usize) -> Origin {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Origin::File { name: self.name.clone(), line, column: before[line_start..].chars().count() + 1 }
    }
}

/// The variable that overrides the key at this path.
pub(super) fn variable(path: &str) -> String {
    let upper = path.replace('.', "__").replace('-', "_").to_uppercase();
    format!("{ENVIRONMENT_PREFIX}{upper}")
}
