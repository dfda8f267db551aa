//! One table of the document, as its part sees it.

use super::{Configure, Mistake, Origin, Sources, Value, source::variable, suggest::nearest};
use gatehouse_types::Secret;
use serde::Serialize;
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::Read,
    ops::{Range, RangeInclusive},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// No secret is longer.
const MAX_SECRET: u64 = 64 * 1024;

/// Something that is allowed but worth a thought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Where the value comes from.
    pub origin: Origin,
    /// The key's path.
    pub key: String,
    /// What it leads to.
    pub text: String,
}

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The key's path.
    pub key: String,
    /// The value as one would write it.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// What is collected while sections are read.
#[derive(Default)]
pub(super) struct State {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) remarks: Vec<Remark>,
    pub(super) settings: Vec<Setting>,
    known_variables: BTreeSet<String>,
}

impl State {
    /// Reports variables with our prefix that no key asked for.
    pub(super) fn unused_environment(&mut self, sources: &Sources) {
        for name in sources.environment.keys().filter(|name| !self.known_variables.contains(*name)) {
            self.mistakes.push(Mistake {
                origin: Origin::Environment(name.clone()),
                key: String::new(),
                problem: "sets no key".to_owned(),
                suggestion: nearest(name, self.known_variables.iter().map(String::as_str)),
            });
        }
    }
}

/// One table: its part asks for each of its keys once, and what is left over is a mistake.
pub struct Section<'a> {
    sources: &'a Sources,
    state: &'a RefCell<State>,
    /// `None` when the file does not have this table; defaults and the environment can still fill it.
    table: Option<&'a DeTable<'a>>,
    start: usize,
    path: String,
    asked: Vec<String>,
}

impl<'a> Section<'a> {
    /// A value that may be left out.
    pub fn optional<T: Value>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key).and_then(|found| self.convert(key, &found))?;
        self.note(key, &value);
        Some(value)
    }

    /// A value that has a default.
    pub fn or<T: Value>(&mut self, key: &str, default: T) -> T {
        let value = match self.take(key) {
            Some(found) => self.convert(key, &found).unwrap_or(default),
            None => default,
        };
        self.note(key, &value);
        value
    }

    /// A value that has a default and limits, both ends included.
    pub fn within<T: Value + PartialOrd>(&mut self, key: &str, default: T, limits: RangeInclusive<T>) -> T {
        let value = self.or(key, default);
        if !limits.contains(&value) {
            let (low, high) = (limits.start().to_text(), limits.end().to_text());
            self.refuse(key, format!("is {}; it must lie between {low} and {high}", value.to_text()));
        }
        value
    }

    /// A value that must be there.
    pub fn required<T: Value>(&mut self, key: &str) -> Option<T> {
        match self.take(key) {
            Some(found) => {
                let value = self.convert(key, &found)?;
                self.note(key, &value);
                Some(value)
            }
            None => {
                self.refuse(key, format!("is missing; expected {}", T::expected()));
                None
            }
        }
    }

    /// A path that may be left out. A relative one starts at the folder of the file.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.optional::<PathBuf>(key).map(|path| self.sources.folder.join(path))
    }

    /// A list of paths, empty when it is left out. Relative ones start at the folder of the file.
    pub fn paths(&mut self, key: &str) -> Vec<PathBuf> {
        self.or::<Vec<PathBuf>>(key, Vec::new()).into_iter().map(|path| self.sources.folder.join(path)).collect()
    }

    /// A secret that may be left out: the content of the file that `<key>_file` names, or the variable for the key.
    /// It may not stand in the configuration itself, which is copied, shown and kept in repositories.
    pub fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        let file = self.path(&file_key);
        match self.take(key) {
            Some(Found::Variable { text, .. }) => {
                if file.is_some() {
                    self.refuse(key, format!("is set twice: by ${} and by `{file_key}`", variable(&self.full(key))));
                }
                Some(Secret::from(text))
            }
            Some(Found::Item { .. }) => {
                let variable = variable(&self.full(key));
                self.refuse(key, format!("is a secret and may not stand here: name a file with `{file_key}`, or set ${variable}"));
                None
            }
            None => file.and_then(|path| {
                read_secret(&path).map_err(|problem| self.refuse(&file_key, format!("names {}: {problem}", path.display()))).ok()
            }),
        }
    }

    /// A table with keys of its own; all its defaults when it is left out.
    pub fn section<T: Configure>(&mut self, key: &str) -> Option<T> {
        self.asked.push(key.to_owned());
        let (table, start) = match self.item(key) {
            Some((key_span, item)) => match item.get_ref().as_table() {
                Some(table) => (Some(table), key_span.start),
                None => {
                    self.refuse(key, format!("is a table, [{}], and not {}", self.full(key), article(item.get_ref())));
                    return None;
                }
            },
            None => (None, self.start),
        };
        let mut section = Section { sources: self.sources, state: self.state, table, start, path: self.full(key), asked: Vec::new() };
        let config = T::read(&mut section);
        section.finish();
        config
    }

    /// A table whose tables are named by the user, like `[listener.api]`, in the order of their names.
    pub fn named<T: Configure>(&mut self, key: &str) -> Option<BTreeMap<String, T>> {
        self.asked.push(key.to_owned());
        let item = self.item(key);
        let table = match &item {
            Some((_, item)) => match item.get_ref().as_table() {
                Some(table) => Some(table),
                None => {
                    self.refuse(key, format!("is a table of tables, like [{}.name], and not {}", self.full(key), article(item.get_ref())));
                    return None;
                }
            },
            None => None,
        };
        let start = item.as_ref().map_or(self.start, |(span, _)| span.start);
        let mut names: BTreeSet<String> = table.into_iter().flat_map(|t| t.keys()).map(|name| name.get_ref().to_string()).collect();
        names.extend(self.names_in_environment(key));
        let mut section = Section { sources: self.sources, state: self.state, table, start, path: self.full(key), asked: Vec::new() };
        let mut all = BTreeMap::new();
        for name in names {
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
                section.asked.push(name.clone());
                section.refuse(&name, "is not a name: use lower-case letters, digits and hyphens");
            } else if let Some(config) = section.section(&name) {
                all.insert(name, config);
            }
        }
        Some(all)
    }

    /// Whether the file or the environment says anything about this key or, for a table, about a key in it.
    pub fn mentions(&self, key: &str) -> bool {
        let name = variable(&self.full(key));
        let inside = format!("{name}__");
        self.item(key).is_some() || self.sources.environment.keys().any(|variable| *variable == name || variable.starts_with(&inside))
    }

    /// Records a mistake that only the part itself can see: a value that does not go with another.
    pub fn refuse(&mut self, key: &str, problem: impl Into<String>) {
        let mistake = Mistake { origin: self.origin(key), key: self.full(key), problem: problem.into(), suggestion: None };
        self.state.borrow_mut().mistakes.push(mistake);
    }

    /// Records something that is allowed but worth a thought.
    pub fn remark(&mut self, key: &str, text: impl Into<String>) {
        let remark = Remark { origin: self.origin(key), key: self.full(key), text: text.into() };
        self.state.borrow_mut().remarks.push(remark);
    }

    fn take(&mut self, key: &str) -> Option<Found<'a>> {
        let name = variable(&self.full(key));
        self.asked.push(key.to_owned());
        self.state.borrow_mut().known_variables.insert(name.clone());
        if let Some(text) = self.sources.environment.get(&name) {
            return Some(Found::Variable { name, text: text.clone() });
        }
        self.item(key).map(|(key, item)| Found::Item { key, item })
    }

    fn convert<T: Value>(&self, key: &str, found: &Found<'a>) -> Option<T> {
        let (value, origin, written, shown) = match found {
            Found::Variable { name, text } => {
                (T::from_text(text), Origin::Environment(name.clone()), Some(text.as_str()), format!("{text:?}"))
            }
            Found::Item { key, item } => {
                let item = item.get_ref();
                let shown = item.as_str().map_or_else(|| article(item), |text| format!("{text:?}"));
                (T::from_toml(item), self.sources.origin(key.start), item.as_str(), shown)
            }
        };
        if value.is_none() {
            let problem = format!("expected {}, found {}", T::expected(), shorten(&shown));
            let suggestion = written.and_then(T::suggestion);
            self.state.borrow_mut().mistakes.push(Mistake { origin, key: self.full(key), problem, suggestion });
        }
        value
    }

    fn note<T: Value>(&self, key: &str, value: &T) {
        let setting = Setting { key: self.full(key), value: value.to_text(), origin: self.value_origin(key) };
        self.state.borrow_mut().settings.push(setting);
    }

    fn item(&self, key: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'a>>)> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key).map(|(name, item)| (name.span(), item))
    }

    fn value_origin(&self, key: &str) -> Origin {
        let name = variable(&self.full(key));
        if self.sources.environment.contains_key(&name) {
            return Origin::Environment(name);
        }
        self.item(key).map_or(Origin::Default, |(span, _)| self.sources.origin(span.start))
    }

    /// Where to point at: the key, or the table that lacks it.
    fn origin(&self, key: &str) -> Origin {
        match self.value_origin(key) {
            Origin::Default if !self.sources.name.is_empty() => self.sources.origin(self.start),
            origin => origin,
        }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Names that only the environment mentions: `GATEHOUSE__LISTENER__API__ROLE` makes `listener.api`.
    fn names_in_environment(&self, key: &str) -> Vec<String> {
        let prefix = format!("{}__", variable(&self.full(key)));
        let mentioned = self.sources.environment.keys().filter_map(|name| name.strip_prefix(&prefix)?.split_once("__"));
        mentioned.map(|(name, _)| name.to_lowercase().replace('_', "-")).collect()
    }

    fn finish(self) {
        let Some(table) = self.table else { return };
        for (name, _) in table.iter().filter(|(name, _)| !self.asked.iter().any(|asked| asked == name.get_ref())) {
            let suggestion = nearest(name.get_ref(), self.asked.iter().map(String::as_str));
            let origin = self.sources.origin(name.span().start);
            let problem = "is not a key here".to_owned();
            self.state.borrow_mut().mistakes.push(Mistake { origin, key: self.full(name.get_ref()), problem, suggestion });
        }
    }
}

impl fmt::Debug for Section<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Section({})", self.path)
    }
}

pub(super) fn read_root<T: Configure>(sources: &Sources, state: &RefCell<State>, table: &DeTable<'_>) -> Option<T> {
    let mut root = Section { sources, state, table: Some(table), start: 0, path: String::new(), asked: Vec::new() };
    let config = T::read(&mut root);
    root.finish();
    config
}

enum Found<'a> {
    Variable { name: String, text: String },
    Item { key: Range<usize>, item: &'a Spanned<DeValue<'a>> },
}

fn article(item: &DeValue<'_>) -> String {
    match item {
        DeValue::String(_) => "a text".to_owned(),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("others may read or change it; run `chmod 600 {}`", path.display()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_SECRET + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_SECRET) {
        return Err(format!("it is longer than {MAX_SECRET} bytes"));
    }
    // Editors and `echo` end a file with a newline that nobody means as part of the secret.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(bytes)) }
}
