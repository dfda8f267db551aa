//! What a letter says, before it is text or HTML.
//!
//! A letter is a type of the part that sends it: the compiler knows its fields, and [`Letter::content`] makes sentences of them.
//! From the same content come a text and an HTML alternative; whatever was put in is escaped where it becomes HTML, and what could
//! pass for another header or turn the reading direction around is taken out. There is no other way into a letter's body.

use gatehouse_types::{Secret, UnixTime};

/// A letter that some part of the program sends.
pub trait Letter: Send + Sync {
    /// Which letter it is, in one word for lists and metrics.
    const KIND: &'static str;

    /// What it says.
    fn content(&self) -> Content;

    /// When it is of no use any more: a link that has ended need not arrive.
    fn useful_until(&self) -> Option<UnixTime> {
        None
    }
}

/// What a letter says: its subject, and paragraphs, links and facts in order.
#[derive(Debug)]
pub struct Content {
    subject: String,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Paragraph(String),
    /// The address is secret: who has it may do what the letter's reader may.
    Link {
        label: String,
        address: Secret,
    },
    Facts(Vec<(String, String)>),
}

impl Content {
    /// A letter about this.
    pub fn new(subject: &str) -> Self {
        Self { subject: plain(subject), parts: Vec::new() }
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn paragraph(self, text: &str) -> Self {
        self.with(Part::Paragraph(plain(text)))
    }

    /// Adds a link, alone on its line.
    #[must_use]
    pub fn link(self, label: &str, address: Secret) -> Self {
        self.with(Part::Link { label: plain(label), address })
    }

    /// Adds a list of names and values.
    #[must_use]
    pub fn facts(self, facts: &[(&str, &str)]) -> Self {
        self.with(Part::Facts(facts.iter().map(|(name, value)| (plain(name), plain(value))).collect()))
    }

    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    pub(crate) fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Paragraph(text) => format!("{text}\n"),
            Part::Link { label, address } => format!("{label}:\n{}\n", shown(address)),
            Part::Facts(facts) => facts.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect(),
        });
        parts.collect::<Vec<_>>().join("\n")
    }

    /// Without anything that is fetched from elsewhere: opening a letter tells nobody.
    pub(crate) fn html(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Paragraph(text) => format!("<p>{}</p>\n", escaped(text)),
            Part::Link { label, address } => format!("<p><a href=\"{}\">{}</a></p>\n", escaped(&shown(address)), escaped(label)),
            Part::Facts(facts) => {
                let rows = facts.iter().map(|(name, value)| format!("<li>{}: {}</li>\n", escaped(name), escaped(value)));
                format!("<ul>\n{}</ul>\n", rows.collect::<String>())
            }
        });
        let head = format!("<meta charset=\"utf-8\">\n<title>{}</title>", escaped(&self.subject));
        format!("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n{head}\n</head>\n<body>\n{}</body>\n</html>\n", parts.collect::<String>())
    }

    fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }
}

fn shown(address: &Secret) -> String {
    String::from_utf8_lossy(address.expose()).into_owned()
}

/// One line, without what does not print and without what makes the rest read backwards: names are strangers' words.
fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let kept = text.chars().filter(|c| !turns(*c));
    kept.map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn both_alternatives_say_the_same() {
        let content = Content::new("Greetings")
            .paragraph("Hello there.")
            .facts(&[("From", "192.0.2.1")])
            .link("Go on", secret("https://example.com/x?secret=1&y=2"));
        assert_eq!(content.text(), "Hello there.\n\n  From: 192.0.2.1\n\nGo on:\nhttps://example.com/x?secret=1&y=2\n");
        let html = content.html();
        for part in ["<p>Hello there.</p>", "<li>From: 192.0.2.1</li>", "<a href=\"https://example.com/x?secret=1&amp;y=2\">Go on</a>"] {
            assert!(html.contains(part), "{html}");
        }
    }

    #[test]
    fn what_a_stranger_is_called_becomes_neither_markup_nor_a_line_nor_backwards() {
        let name = "<b onclick='x'>\"Ann\"</b>\r\nBcc: everybody\u{202e}gnp.exe";
        let content = Content::new(name).paragraph(name).facts(&[(name, name)]).link(name, secret("https://example.com/\"><script>"));
        let html = content.html();
        assert!(!html.contains("<b ") && !html.contains("<script>") && !html.contains('\u{202e}'), "{html}");
        assert!(html.contains("&lt;b onclick=&#39;x&#39;&gt;&quot;Ann&quot;&lt;/b&gt;"), "{html}");
        assert_eq!(content.subject().lines().count(), 1);
        assert!(content.text().lines().all(|line| !line.starts_with("Bcc:")), "{}", content.text());
    }
}
