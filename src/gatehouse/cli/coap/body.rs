//! What a request carries: from an argument, a file or standard input, and JSON made into CBOR where CBOR is to be sent.

use super::request::format;
use crate::cli::{Exit, Failure};
use clap::Args;
use gatehouse_wire::{cbor, coap::ContentFormat};
use std::{
    fs,
    io::{self, Read},
};

#[derive(Debug, Args)]
pub(super) struct Body {
    /// What is sent: text, @FILE, or @- for standard input. With a CBOR format it is JSON, and is sent as CBOR
    #[arg(value_name = "BODY")]
    body: Option<String>,
    /// The content format of the body, by number or name: 50, json, application/json
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<ContentFormat>,
    /// Send the body as it is, whatever its format
    #[arg(long)]
    as_is: bool,
}

impl Body {
    pub(super) fn format(&self) -> Option<ContentFormat> {
        self.format
    }

    /// The bytes to send.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let Some(body) = &self.body else { return Ok(Vec::new()) };
        let bytes = match body.strip_prefix('@') {
            Some("-") => read(io::stdin().lock(), "standard input")?,
            Some(path) => read(fs::File::open(path).map_err(|error| unreadable(path, &error))?, path)?,
            None => body.clone().into_bytes(),
        };
        if self.as_is || !self.format.is_some_and(ContentFormat::is_cbor) {
            return Ok(bytes);
        }
        let json = String::from_utf8(bytes).map_err(|_| not_json(&"it is not UTF-8"))?;
        cbor::from_json(&json).map_err(|error| not_json(&error))
    }
}

fn read(source: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    source.take(MAX_BODY + 1).read_to_end(&mut bytes).map_err(|error| unreadable(name, &error))?;
    if bytes.len() as u64 > MAX_BODY { Err(unreadable(name, &"it is too long")) } else { Ok(bytes) }
}

fn unreadable(name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, format!("{name} cannot be read: {error}"))
}

fn not_json(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, format!("the body is not JSON: {error}"))
        .advise("with a CBOR format the body is JSON and is sent as CBOR; --as-is sends CBOR that you have already")
}

/// No block number reaches further.
const MAX_BODY: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str, format: Option<ContentFormat>, as_is: bool) -> Result<Vec<u8>, Failure> {
        Body { body: Some(text.to_owned()), format, as_is }.bytes()
    }

    #[test]
    fn json_is_sent_as_cbor_where_the_format_is_cbor() {
        assert_eq!(body(r#"{"a": 1}"#, Some(ContentFormat::CBOR), false).expect("JSON"), [0xa1, 0x61, b'a', 1]);
        assert_eq!(body("[true]", Some(ContentFormat::OCF_CBOR), false).expect("JSON"), [0x81, 0xf5]);
        for format in [None, Some(ContentFormat::JSON), Some(ContentFormat::TEXT)] {
            assert_eq!(body(r#"{"a": 1}"#, format, false).expect("text"), br#"{"a": 1}"#);
        }
        assert_eq!(body("\u{7}", Some(ContentFormat::CBOR), true).expect("as it is"), [7]);
    }

    #[test]
    fn what_is_no_json_is_not_sent_as_cbor() {
        let refused = body("{a: 1}", Some(ContentFormat::CBOR), false).expect_err("no JSON");
        assert_eq!(refused.exit(), Exit::Invalid);
        assert!(refused.message.contains("the body is not JSON"), "{}", refused.message);
    }

    #[test]
    fn a_file_is_sent_whole_and_a_missing_one_is_named() {
        let file = tempfile::NamedTempFile::new().expect("file");
        fs::write(file.path(), [0, 159, 146, 150]).expect("written");
        assert_eq!(body(&format!("@{}", file.path().display()), None, false).expect("a file"), [0, 159, 146, 150]);
        let refused = body("@/nowhere/at/all", None, false).expect_err("no file");
        assert!(refused.message.starts_with("/nowhere/at/all cannot be read"), "{}", refused.message);
    }
}
