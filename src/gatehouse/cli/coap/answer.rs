//! What a server answered: shown, written to a file, or turned into an exit code.

use super::dump::{hex, hex_dump, option_line, options, visible};
use crate::cli::{Context, Exit, Failure, Output, Tint};
use clap::Args;
use gatehouse_client::Response;
use gatehouse_wire::{
    cbor,
    coap::{Code, ContentFormat, link_format, uri},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fmt::{self, Write},
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
pub(super) struct Rendering {
    /// Write the body to this file as it is
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the body to standard output as it is
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    /// Show code and options of the answer before its body
    #[arg(short, long)]
    include: bool,
}

/// An answer with its body read as its content format says.
pub(super) struct Answer {
    response: Response,
    body: Body,
}

/// A body as it is shown.
#[derive(Debug, PartialEq)]
enum Body {
    Empty,
    Text(String),
    Json(Value, String),
    /// CBOR: as JSON, where it can be, and in diagnostic notation.
    Cbor(Option<Value>, String),
    Links(Vec<link_format::Link>),
    Bytes,
}

impl Rendering {
    /// Shows a success; any other code is a failure with the server's words.
    pub(super) fn show(&self, answer: &Answer, context: &Context) -> Result<(), Failure> {
        let (response, output) = (&answer.response, &context.output);
        if !response.code.is_success() {
            return Err(answer.failure());
        }
        if let Some(path) = &self.output {
            fs::write(path, &response.payload)
                .map_err(|error| Failure::new(Exit::Invalid, format!("{} cannot be written: {error}", path.display())))?;
            output.remark(format!("{}: {} bytes to {}", answer.status(), response.payload.len(), path.display()));
            return Ok(());
        }
        if self.raw {
            return output.raw(&response.payload);
        }
        if output.is_json() {
            return output.answer(answer);
        }
        if self.include {
            output.raw(answer.head(output).as_bytes())?;
        }
        match &answer.body {
            Body::Empty => {
                if !self.include {
                    output.remark(answer.status());
                }
                Ok(())
            }
            // A file gets what came; a terminal gets nothing that it could obey.
            Body::Bytes if !io::stdout().is_terminal() => output.raw(&response.payload),
            Body::Bytes => output.raw(hex_dump(&response.payload).as_bytes()),
            _ => output.answer(answer),
        }
    }
}

impl Answer {
    pub(super) fn new(response: Response) -> Self {
        Self { body: Body::read(&response), response }
    }

    /// Code, name, and where something was created.
    fn status(&self) -> String {
        let place = uri::location(&self.response.options).map(|place| format!(" at {}", visible(&place))).unwrap_or_default();
        format!("{}{place}", named(self.response.code))
    }

    fn head(&self, output: &Output) -> String {
        let mut text = format!("{}\n", output.tint(Tint::Strong, named(self.response.code)));
        for (number, value) in options(&self.response.options) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", option_line(number, &value, &self.response.options));
        }
        text.push('\n');
        text
    }

    fn failure(&self) -> Failure {
        let code = self.response.code;
        let said = match &self.body {
            Body::Empty => String::new(),
            Body::Bytes => format!(": {} bytes", self.response.payload.len()),
            _ => format!(": {}", visible(&self.to_string())),
        };
        let mut failure = Failure::new(exit(code), format!("{}{said}", named(code)));
        failure.code = format!("coap-{code}");
        failure
    }
}

/// RFC 7252 §5.9, RFC 8132 §2, RFC 8516: what each class means to whoever asked.
fn exit(code: Code) -> Exit {
    match (code.class(), code) {
        (2, _) => Exit::Done,
        (_, Code::UNAUTHORIZED | Code::FORBIDDEN) => Exit::Denied,
        (_, Code::NOT_FOUND) => Exit::NotFound,
        (_, Code::CONFLICT | Code::PRECONDITION_FAILED) => Exit::Conflict,
        (5, _) | (_, Code::TOO_MANY_REQUESTS) => Exit::Unavailable,
        _ => Exit::Invalid,
    }
}

fn named(code: Code) -> String {
    code.name().map_or_else(|| code.to_string(), |name| format!("{code} {name}"))
}

impl Body {
    fn read(response: &Response) -> Self {
        let (bytes, format) = (&response.payload[..], response.options.content_format());
        let text = || std::str::from_utf8(bytes).ok().map(str::to_owned);
        if bytes.is_empty() {
            return Self::Empty;
        }
        let read = match format {
            Some(ContentFormat::LINK_FORMAT) => text().and_then(|text| link_format::parse(&text).ok()).map(Self::Links),
            Some(format) if format.is_cbor() => cbor::to_diagnostic(bytes).ok().map(|diagnostic| {
                let json = cbor::to_json(bytes).ok().and_then(|json| serde_json::from_str(&json).ok());
                Self::Cbor(json, diagnostic)
            }),
            Some(format) if format.is_json() => {
                text().and_then(|text| serde_json::from_str(&text).ok().map(|value| Self::Json(value, text)))
            }
            _ => None,
        };
        // What is not what it says it is, and what does not say, is text if it can be.
        let printable = format.is_none_or(is_text) || format == Some(ContentFormat::LINK_FORMAT);
        read.or_else(|| text().filter(|_| printable).map(Self::Text)).unwrap_or(Self::Bytes)
    }
}

fn is_text(format: ContentFormat) -> bool {
    let name = format.name().unwrap_or_default();
    format.is_json()
        || ["text/", "application/xml", "application/javascript"].iter().any(|text| name.starts_with(text))
        || name.ends_with("+xml")
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.body {
            Body::Empty => return Ok(()),
            Body::Text(text) | Body::Json(_, text) => text,
            Body::Cbor(_, diagnostic) => return out.write_str(diagnostic),
            Body::Links(links) => return links.iter().try_for_each(|link| write_link(out, link)),
            Body::Bytes => return out.write_str(&hex(&self.response.payload, "")),
        };
        if io::stdout().is_terminal() { out.write_str(&visible(text)) } else { out.write_str(text) }
    }
}

/// One link: its target, and its attributes one below the other.
fn write_link(out: &mut fmt::Formatter<'_>, link: &link_format::Link) -> fmt::Result {
    writeln!(out, "{}", visible(&link.href))?;
    link.attributes.iter().try_for_each(|(name, value)| match value {
        Some(value) => writeln!(out, "    {name}: {}", visible(value).replace('\n', "\\n")),
        None => writeln!(out, "    {name}"),
    })
}

impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Response { code, options: all, payload } = &self.response;
        let options: Vec<Value> =
            options(all).into_iter().map(|(number, value)| json!({ "number": number.0, "name": number.name(), "value": value })).collect();
        let mut answer = json!({
            "code": code.to_string(),
            "name": code.name(),
            "format": all.content_format().map(|format| format.to_string()),
            "location": uri::location(all),
            "options": options,
        });
        let (key, value) = match &self.body {
            Body::Empty => ("body", Value::Null),
            Body::Text(text) => ("body", json!(text)),
            Body::Json(value, _) | Body::Cbor(Some(value), _) => ("body", value.clone()),
            Body::Cbor(None, diagnostic) => ("body_diagnostic", json!(diagnostic)),
            Body::Links(links) => ("body", links.iter().map(link_json).collect()),
            Body::Bytes => ("body_hex", json!(hex(payload, ""))),
        };
        if let Some(object) = answer.as_object_mut() {
            object.insert(key.to_owned(), value);
        }
        answer.serialize(serializer)
    }
}

/// Attributes may occur twice, and so they are a list.
fn link_json(link: &link_format::Link) -> Value {
    let attributes: Vec<Value> = link.attributes.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "href": link.href, "attributes": attributes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_wire::coap::Options;

    fn answer(format: Option<ContentFormat>, payload: &'static [u8]) -> Answer {
        let options = format.map_or_else(Options::builder, |format| Options::builder().content_format(format)).build();
        Answer::new(Response { code: Code::CONTENT, options, payload: payload.into() })
    }

    #[test]
    fn a_body_is_shown_as_its_format_says() {
        for (format, payload, shown) in [
            (Some(ContentFormat::CBOR), &b"\xa1\x61a\x41\xff"[..], "{\"a\": h'ff'}"),
            (Some(ContentFormat::OCF_CBOR), b"\x01", "1"),
            (Some(ContentFormat::LINK_FORMAT), b"</a>;rt=\"x y\";obs,</b>", "/a\n    rt: x y\n    obs\n/b\n"),
            (Some(ContentFormat::TEXT), b"warm", "warm"),
            (Some(ContentFormat::JSON), b"{\"a\": 1}", "{\"a\": 1}"),
            (None, b"just text", "just text"),
        ] {
            assert_eq!(answer(format, payload).to_string(), shown, "{format:?}");
        }
    }

    #[test]
    fn what_is_not_what_it_says_it_is_is_shown_as_bytes_or_text() {
        assert_eq!(answer(Some(ContentFormat::CBOR), b"\xa1").body, Body::Bytes);
        assert_eq!(answer(Some(ContentFormat::JSON), b"{").body, Body::Text("{".to_owned()));
        assert_eq!(answer(Some(ContentFormat::LINK_FORMAT), b"<a").body, Body::Text("<a".to_owned()));
        assert_eq!(answer(Some(ContentFormat::OCTET_STREAM), b"letters").body, Body::Bytes);
        assert_eq!(answer(None, b"\xff\xfe").body, Body::Bytes);
    }

    #[test]
    fn with_json_the_body_is_a_value_where_it_can_be_one() {
        let json = |answer: &Answer| serde_json::to_value(answer).expect("JSON");
        assert_eq!(json(&answer(Some(ContentFormat::CBOR), b"\xa1\x61a\x01"))["body"], json!({ "a": 1 }));
        assert_eq!(json(&answer(Some(ContentFormat::OCTET_STREAM), b"\x01\xff"))["body_hex"], "01ff");
        assert_eq!(json(&answer(Some(ContentFormat::TEXT), b"warm"))["body"], "warm");
        let links = json(&answer(Some(ContentFormat::LINK_FORMAT), b"</a>;obs"));
        assert_eq!(links["body"], json!([{ "href": "/a", "attributes": [{ "name": "obs", "value": null }] }]));
    }

    #[test]
    fn each_class_of_answers_has_its_exit_code() {
        for (code, expected) in [
            (Code::CHANGED, Exit::Done),
            (Code::BAD_REQUEST, Exit::Invalid),
            (Code::UNAUTHORIZED, Exit::Denied),
            (Code::FORBIDDEN, Exit::Denied),
            (Code::NOT_FOUND, Exit::NotFound),
            (Code::METHOD_NOT_ALLOWED, Exit::Invalid),
            (Code::PRECONDITION_FAILED, Exit::Conflict),
            (Code::TOO_MANY_REQUESTS, Exit::Unavailable),
            (Code::INTERNAL_SERVER_ERROR, Exit::Unavailable),
        ] {
            assert_eq!(exit(code), expected, "{code}");
        }
    }
}
