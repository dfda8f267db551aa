//! Links to resources as CoRE writes them (RFC 6690): what `/.well-known/core` answers.
//!
//! A door writes its own links and filters them by a request's query; a client reads those of others. [`MAX_TEXT`] and the
//! constants beside it bound what is read. White space around the separators, which RFC 6690 does not have and RFC 5988
//! did, is passed over.

use std::fmt::{self, Write};

/// The longest text that is read.
pub const MAX_TEXT: usize = 256 * 1024;
/// The most links that are read.
pub const MAX_LINKS: usize = 4096;
/// The most attributes of one link that are read.
pub const MAX_ATTRIBUTES: usize = 32;

/// A link with its attributes in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link {
    /// The target, as it stands between the angle brackets.
    pub href: String,
    /// Names with their values; some, like `obs`, have none.
    pub attributes: Vec<(String, Option<String>)>,
}

/// Why a text is no list of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Longer than [`MAX_TEXT`].
    #[error("the links are longer than {MAX_TEXT} bytes")]
    Long,
    /// More than [`MAX_LINKS`].
    #[error("there are more than {MAX_LINKS} links")]
    TooManyLinks,
    /// More than [`MAX_ATTRIBUTES`].
    #[error("a link has more than {MAX_ATTRIBUTES} attributes")]
    TooManyAttributes,
    /// No target in angle brackets where one has to be.
    #[error("no target at byte {0}")]
    Target(usize),
    /// An attribute without a name, or with a character in it that a name has not.
    #[error("no attribute name at byte {0}")]
    Name(usize),
    /// A value that is neither a token nor a whole quoted text.
    #[error("no attribute value at byte {0}")]
    Value(usize),
    /// Something else than a comma or a semicolon.
    #[error("neither comma nor semicolon at byte {0}")]
    Separator(usize),
}

/// Reads a list of links. An empty text has none.
pub fn parse(text: &str) -> Result<Vec<Link>, LinkError> {
    if text.len() > MAX_TEXT {
        return Err(LinkError::Long);
    }
    let mut reader = Reader { whole: text, rest: text };
    let mut links = Vec::new();
    reader.skip_space();
    while !reader.rest.is_empty() {
        if links.len() == MAX_LINKS {
            return Err(LinkError::TooManyLinks);
        }
        links.push(reader.link()?);
        if !reader.accept(',') {
            break;
        }
        if reader.rest.is_empty() {
            return Err(LinkError::Target(reader.at()));
        }
    }
    if reader.rest.is_empty() { Ok(links) } else { Err(LinkError::Separator(reader.at())) }
}

/// Writes links as one text.
pub fn write<'a>(links: impl IntoIterator<Item = &'a Link>) -> String {
    let mut text = String::new();
    for link in links {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{link}");
    }
    text
}

impl Link {
    /// A link without attributes. The target is a URI reference; characters that none has are left out.
    pub fn new(href: &str) -> Self {
        Self { href: href.chars().filter(|character| is_target(*character)).collect(), attributes: Vec::new() }
    }

    /// The same with one more attribute. A name that is none is left out with its value.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if !name.is_empty() && name.chars().all(is_name) {
            self.attributes.push((name.to_owned(), value.map(str::to_owned)));
        }
        self
    }

    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.values(name).next().flatten()
    }

    /// Whether the attribute is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = Option<&'a str>> {
        self.attributes.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.href)?;
        for (name, value) in &self.attributes {
            write!(f, ";{name}")?;
            match value {
                None => {}
                // RFC 6690 §2: sizes and formats are written as numbers.
                Some(value) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => write!(f, "={value}")?,
                Some(value) => {
                    f.write_str("=\"")?;
                    for character in value.chars() {
                        if matches!(character, '"' | '\\') {
                            f.write_char('\\')?;
                        }
                        f.write_char(character)?;
                    }
                    f.write_char('"')?;
                }
            }
        }
        Ok(())
    }
}

/// What a request for `/.well-known/core` asks for (RFC 6690 §4.1): `rt=oic.wk.*`, `href=/light*`, `obs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    name: String,
    value: Option<String>,
    prefix: bool,
}

impl Filter {
    /// The filter that an argument of a query asks for.
    pub fn from_query(argument: &str) -> Self {
        let (name, value) = argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
        let prefix = value.is_some_and(|value| value.ends_with('*'));
        let value = value.map(|value| value.strip_suffix('*').unwrap_or(value).to_owned());
        Self { name: name.to_owned(), value, prefix }
    }

    /// Whether a link is asked for.
    pub fn matches(&self, link: &Link) -> bool {
        let Some(wanted) = &self.value else { return link.has(&self.name) };
        let is = |found: &str| if self.prefix { found.starts_with(wanted.as_str()) } else { found == wanted };
        if self.name == "href" {
            return is(&link.href);
        }
        let many = LISTS.iter().any(|list| list.eq_ignore_ascii_case(&self.name));
        link.values(&self.name).flatten().any(|found| is(found) || (many && found.split(' ').any(is)))
    }
}

struct Reader<'a> {
    whole: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn at(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    /// Whether this separator came, with space around it.
    fn accept(&mut self, separator: char) -> bool {
        self.skip_space();
        let Some(rest) = self.rest.strip_prefix(separator) else { return false };
        self.rest = rest;
        self.skip_space();
        true
    }

    fn link(&mut self) -> Result<Link, LinkError> {
        let target = LinkError::Target(self.at());
        let (href, rest) = self.rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or(target)?;
        if !href.chars().all(is_target) {
            return Err(target);
        }
        self.rest = rest;
        let mut link = Link { href: href.to_owned(), attributes: Vec::new() };
        while self.accept(';') {
            if link.attributes.len() == MAX_ATTRIBUTES {
                return Err(LinkError::TooManyAttributes);
            }
            let name = self.take(is_name).ok_or(LinkError::Name(self.at()))?;
            let value = if self.accept('=') { Some(self.value()?) } else { None };
            link.attributes.push((name.to_owned(), value));
        }
        Ok(link)
    }

    fn value(&mut self) -> Result<String, LinkError> {
        let failed = LinkError::Value(self.at());
        let Some(quoted) = self.rest.strip_prefix('"') else { return self.take(is_token).map(str::to_owned).ok_or(failed) };
        let (mut value, mut characters) = (String::new(), quoted.chars());
        loop {
            match characters.next().ok_or(failed)? {
                '"' => break,
                '\\' => value.push(characters.next().ok_or(failed)?),
                character => value.push(character),
            }
        }
        self.rest = characters.as_str();
        Ok(value)
    }

    fn take(&mut self, is: fn(char) -> bool) -> Option<&'a str> {
        let length = self.rest.find(|character| !is(character)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(length).filter(|(taken, _)| !taken.is_empty())?;
        self.rest = rest;
        Some(taken)
    }
}

/// What may stand between the angle brackets; RFC 3986 has still less.
fn is_target(character: char) -> bool {
    character > ' ' && !matches!(character, '<' | '>' | '"')
}

/// RFC 6690 §2: `parmname`, and the star of the extended ones.
fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$&+-.^_`|~*".contains(character)
}

/// RFC 6690 §2: `ptoken`.
fn is_token(character: char) -> bool {
    character.is_ascii_graphic() && !matches!(character, '"' | ',' | ';' | '\\')
}

/// Attributes whose value is a list with spaces between (RFC 6690 §2, §3).
const LISTS: [&str; 5] = ["rt", "if", "rel", "rev", "ct"];

#[cfg(test)]
mod tests;
