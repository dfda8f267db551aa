//! E-mail addresses: where letters go, and how people are named.

use lettre::Address;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// RFC 5321 §4.5.3.1: a path holds 256 octets, two of which are the brackets.
const MAX_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;

/// An e-mail address as its owner writes it. Two that differ in case only are the same person's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
pub struct Email(String);

/// A text that is no e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address has the form name@example.com")]
pub struct EmailError;

impl Email {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is looked up by. The standard lets the part before the @ depend on case; no mailbox in use does, and two
    /// accounts that differ in case only would be a way to pass for somebody else.
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// The same for the library that speaks SMTP. What it would check was checked above, more strictly.
    pub(crate) fn address(&self) -> Address {
        let (local, domain) = self.0.rsplit_once('@').expect("an address was parsed");
        Address::new_dangerous(local, domain)
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        // Quoted local parts exist on paper; what they allow (spaces, line ends, commas) is the stuff of injected headers.
        let is_local = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
        let is_domain = |c: char| c.is_alphanumeric() || "-.".contains(c);
        let well_formed = |part: &str, fits: &dyn Fn(char) -> bool| {
            !part.is_empty() && part.chars().all(fits) && !part.starts_with('.') && !part.ends_with('.') && !part.contains("..")
        };
        let labels = domain.split('.').all(|label| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-'));
        let fits = text.len() <= MAX_BYTES && local.len() <= MAX_LOCAL_BYTES;
        let good = fits && labels && well_formed(local, &is_local) && well_formed(domain, &is_domain);
        if good { Ok(Self(text.to_owned())) } else { Err(EmailError) }
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Self, EmailError> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_addresses_are_taken_as_they_are_written() {
        for text in ["a@b", "Ann.Smith+gate@example.com", "o'neill@mail.example.co.uk", "jürgen@büro.example"] {
            assert_eq!(text.parse::<Email>().expect(text).as_str(), text);
        }
        assert_eq!("Ann@Example.com".parse::<Email>().expect("an address").folded(), "ann@example.com");
    }

    #[test]
    fn what_would_become_a_header_or_names_no_mailbox_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in
            ["", "ann", "@b", "a@", "a b@c", "a@b\r\nBcc: c@d", "a@b, c@d", "\"a b\"@c", "a..b@c", ".a@b", "a@-b", "a@b..c", "<a@b>", &long]
        {
            assert_eq!(text.parse::<Email>(), Err(EmailError), "{text:?}");
        }
    }
}
