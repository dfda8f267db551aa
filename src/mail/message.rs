//! A letter as it travels: headers, a text part and an HTML part (RFC 5322, RFC 2046).
//!
//! The bytes are made once, when the letter is written: whatever happens to its delivery, every copy is the same, with the same
//! `Message-ID`, so that a mailbox which gets two can tell.

use crate::{Content, Email, Sender};
use gatehouse_types::{Secret, UnixTime};
use lettre::{
    Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use std::time::{Duration, UNIX_EPOCH};

/// What every letter of this installation has.
#[derive(Clone, Debug)]
pub(crate) struct Letterhead {
    pub(crate) from: Sender,
    pub(crate) reply_to: Option<Email>,
    /// The address of the installation, for the last line.
    pub(crate) installation: String,
}

/// A letter could not be put into the form that travels.
#[derive(Debug, thiserror::Error)]
#[error("a letter cannot be written: {0}")]
pub struct ComposeError(#[from] lettre::error::Error);

impl Letterhead {
    /// The bytes of a letter.
    pub(crate) fn compose(&self, id: &str, to: &Email, content: Content, at: UnixTime) -> Result<Secret, ComposeError> {
        let content = content.paragraph(&format!(
            "This letter comes from the Gatehouse at {}. Nobody who works there will ever ask for your password or for a link in a letter.",
            self.installation
        ));
        let date = UNIX_EPOCH + Duration::from_millis(u64::try_from(at.millis()).unwrap_or_default());
        let mut message = Message::builder()
            .from(self.from.mailbox())
            .to(Mailbox::new(None, to.address()))
            .subject(content.subject())
            .date(date)
            .message_id(Some(format!("<{id}@{}>", self.from.domain())))
            // RFC 3834 §5: nobody's absence is to answer this.
            .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
        if let Some(reply_to) = &self.reply_to {
            message = message.reply_to(Mailbox::new(None, reply_to.address()));
        }
        let part = |kind: ContentType, body: String| SinglePart::builder().header(kind).body(body);
        let parts = MultiPart::alternative()
            .boundary(format!("gatehouse-{id}"))
            .singlepart(part(ContentType::TEXT_PLAIN, content.text()))
            .singlepart(part(ContentType::TEXT_HTML, content.html()));
        Ok(Secret::new(message.multipart(parts)?.formatted()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letterhead(from: &str) -> Letterhead {
        let from = from.parse().expect("a sender");
        Letterhead { from, reply_to: Some("help@example.com".parse().expect("address")), installation: "gatehouse.example.com".to_owned() }
    }

    fn composed(from: &str, to: &str, content: Content) -> String {
        let at = UnixTime::from_secs(1_800_000_000);
        let bytes = letterhead(from).compose("0123", &to.parse().expect("address"), content, at).expect("composed");
        String::from_utf8(bytes.expose().to_vec()).expect("letters are ASCII")
    }

    #[test]
    fn a_letter_is_the_same_whenever_it_is_composed() {
        let content = || Content::new("Hello").paragraph("There.");
        let letter = composed("Gatehouse <gate@example.com>", "ann@example.com", content());
        assert_eq!(letter, composed("Gatehouse <gate@example.com>", "ann@example.com", content()));
        for line in [
            "From: Gatehouse <gate@example.com>",
            "To: ann@example.com",
            "Subject: Hello",
            "Reply-To: help@example.com",
            "Message-ID: <0123@example.com>",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "Auto-Submitted: auto-generated",
        ] {
            assert!(letter.split("\r\n").any(|found| found == line), "{line} is not in\n{letter}");
        }
    }

    #[test]
    fn nothing_in_a_subject_or_a_name_becomes_a_header() {
        let evil = "Hi\r\nBcc: everybody@example.com\r\n\r\n<script>";
        let letter = composed("\"Gate, house\" <gate@example.com>", "ann@example.com", Content::new(evil).paragraph(evil));
        let head = letter.split("\r\n\r\n").next().expect("a head");
        assert!(head.split("\r\n").all(|line| !line.to_lowercase().starts_with("bcc")), "{head}");
        assert!(letter.split("\r\n").all(|line| !line.starts_with("Bcc")), "{letter}");
    }

    #[test]
    fn letters_beyond_ascii_are_encoded_and_lines_stay_short() {
        let long = "ü".repeat(400);
        let letter = composed("Tor <gate@example.com>", "jürgen@example.com", Content::new(&long).paragraph(&long));
        let (head, body) = letter.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Subject: =?utf-8?b?") && body.is_ascii(), "{head}");
        assert!(letter.split("\r\n").all(|line| line.len() <= 998), "RFC 5322 §2.1.1");
    }
}
