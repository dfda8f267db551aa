//! In whose name letters go out.

use crate::Email;
use gatehouse_base::config::Value;
use lettre::message::Mailbox;
use std::{fmt, str::FromStr};

/// A name, if there is one, and an address: `Gatehouse <gatehouse@example.com>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    email: Email,
}

/// A text that names no sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sender has the form name@example.com, or Name <name@example.com>")]
pub struct SenderError;

impl Sender {
    /// Where answers and complaints go.
    pub fn email(&self) -> &Email {
        &self.email
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox::new(self.name.clone(), self.email.address())
    }

    /// The part behind the @.
    pub(crate) fn domain(&self) -> &str {
        self.email.as_str().rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }
}

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, SenderError> {
        let text = text.trim();
        let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.split_once('<')) else {
            return text.parse().map(|email| Self { name: None, email }).map_err(|_| SenderError);
        };
        let name = name.trim().trim_matches('"');
        if name.chars().any(|c| c.is_control() || matches!(c, '<' | '>' | '"' | '\\')) || name.len() > 100 {
            return Err(SenderError);
        }
        let name = (!name.is_empty()).then(|| name.to_owned());
        address.parse().map(|email| Self { name, email }).map_err(|_| SenderError)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(out, "{name} <{}>", self.email),
            None => self.email.fmt(out),
        }
    }
}

impl Value for Sender {
    fn expected() -> String {
        "a sender like \"Gatehouse <gatehouse@example.com>\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl Value for Email {
    fn expected() -> String {
        "an e-mail address like \"help@example.com\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_an_address_and_perhaps_a_name() {
        for text in ["gate@example.com", "Gatehouse <gate@example.com>", "Gatehouse, Berlin <gate@example.com>"] {
            assert_eq!(text.parse::<Sender>().expect(text).to_string(), text);
        }
        assert_eq!("\"Gatehouse\" <gate@example.com>".parse::<Sender>().expect("quoted").to_string(), "Gatehouse <gate@example.com>");
    }

    #[test]
    fn what_would_be_two_headers_or_two_senders_is_refused() {
        for text in ["", "Gatehouse", "Gate <a@b", "a@b>", "Ga\r\nBcc: x <a@b>", "A <a@b>, B <c@d>", "<>"] {
            assert_eq!(text.parse::<Sender>(), Err(SenderError), "{text:?}");
        }
    }
}
