//! An answer in the making.

use crate::{ETag, Leave, Refusal, WireError, observed::Changes};
use bytes::Bytes;
use gatehouse_base::{Fault, Kind};
use gatehouse_wire::coap::{Code, ContentFormat, Message, OptionNumber, Options, OptionsBuilder, Token};
use serde::Serialize;
use std::{fmt, time::Duration};

/// What a handler answers.
pub struct Response {
    code: Code,
    options: OptionsBuilder,
    payload: Bytes,
    /// Where the later representations come from, where the resource can be observed.
    pub(crate) changes: Option<Box<dyn Changes>>,
    /// How the connection ends behind it.
    pub(crate) leave: Option<Leave>,
}

impl Response {
    /// An answer that is nothing but its code.
    pub fn new(code: Code) -> Self {
        Self { code, options: OptionsBuilder::default(), payload: Bytes::new(), changes: None, leave: None }
    }

    /// 2.05 with a body. Without one, nothing is said of its format: some devices stumble over that.
    pub fn body(format: ContentFormat, body: impl Into<Bytes>) -> Self {
        Self::new(Code::CONTENT).with_body(format, body)
    }

    /// 2.05 with a value, as JSON or a kind of CBOR.
    ///
    /// # Errors
    /// The value cannot be written so, or the format is neither.
    pub fn content(format: ContentFormat, value: &impl Serialize) -> Result<Self, Refusal> {
        let mut body = Vec::new();
        let written = if format.is_json() {
            serde_json::to_writer(&mut body, value).is_ok()
        } else {
            format.is_cbor() && ciborium::into_writer(value, &mut body).is_ok()
        };
        if written { Ok(Self::body(format, body)) } else { Err(Unwritable(format).into()) }
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(mut self, format: ContentFormat, body: impl Into<Bytes>) -> Self {
        self.payload = body.into();
        if !self.payload.is_empty() {
            self.options = self.options.content_format(format);
        }
        self
    }

    /// The same with another code.
    #[must_use]
    pub fn with_code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// A text for people, without a content format (RFC 7252 §5.5.2).
    pub(crate) fn with_diagnostic(mut self, text: &str) -> Self {
        self.payload = Bytes::copy_from_slice(text.as_bytes());
        self
    }

    /// The same with an option.
    ///
    /// # Errors
    /// The option cannot have a value of this length.
    pub fn with_option(mut self, number: OptionNumber, value: &[u8]) -> Result<Self, WireError> {
        self.options = self.options.push(number, value)?;
        Ok(self)
    }

    /// For how long the answer is fresh.
    #[must_use]
    pub fn max_age(mut self, time: Duration) -> Self {
        self.options = self.options.max_age(u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        self
    }

    /// Names the state of the resource that it shows or has made (RFC 7252 §5.10.6). Of answers to GET and FETCH a route that
    /// is tagged does this by itself.
    #[must_use]
    pub fn with_tag(mut self, tag: &ETag) -> Self {
        // Every tag has a length that it may have.
        if let Ok(options) = self.options.clone().push(OptionNumber::ETAG, tag.as_bytes()) {
            self.options = options;
        }
        self
    }

    /// Names a representation by its content, and gives back the name.
    pub(crate) fn tagged(self) -> (Self, Option<ETag>) {
        if self.code != Code::CONTENT {
            return (self, None);
        }
        let tag = ETag::of(&self.payload);
        (self.with_tag(&tag), Some(tag))
    }

    /// The same, and the connection ends so when the peer has got it.
    #[must_use]
    pub fn then_leave(self, how: Leave) -> Self {
        Self { leave: Some(how), ..self }
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Answers 2.03 to a request that names the representation as one that its sender has.
    pub(crate) fn validated(mut self, request: &Options) -> Self {
        if self.code != Code::CONTENT {
            return self;
        }
        let options = self.options.build();
        let known = options.first(OptionNumber::ETAG).is_some_and(|tag| request.validates(tag));
        self.options = Options::builder().copy(&options, |number| known && number == OptionNumber::CONTENT_FORMAT);
        if known {
            self.code = Code::VALID;
            self.payload = Bytes::new();
        }
        self
    }

    pub(crate) fn into_message(self) -> Message {
        Message::new(self.code, Token::EMPTY).with_options(self.options.build()).with_payload(self.payload)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} with {} bytes", self.code, self.payload.len())
    }
}

/// What handlers may return.
pub trait IntoResponse {
    /// The answer.
    fn into_response(self) -> Result<Response, Refusal>;
}

impl IntoResponse for Response {
    fn into_response(self) -> Result<Response, Refusal> {
        Ok(self)
    }
}

impl IntoResponse for Code {
    fn into_response(self) -> Result<Response, Refusal> {
        Ok(Response::new(self))
    }
}

impl<R: IntoResponse, E: Into<Refusal>> IntoResponse for Result<R, E> {
    fn into_response(self) -> Result<Response, Refusal> {
        self.map_err(Into::into)?.into_response()
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the answer cannot be written as {0}")]
struct Unwritable(ContentFormat);

impl Fault for Unwritable {
    fn kind(&self) -> Kind {
        Kind::Internal
    }

    fn code(&self) -> &'static str {
        "unwritable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_value_is_written_in_the_format_that_was_asked_for() {
        let value = BTreeMap::from([("time", "now")]);
        let body = |format| Response::content(format, &value).map(|answer| answer.into_message().payload);
        assert_eq!(body(ContentFormat::JSON).expect("JSON"), &b"{\"time\":\"now\"}"[..]);
        for format in [ContentFormat::CBOR, ContentFormat::OCF_CBOR] {
            assert_eq!(body(format).expect("CBOR"), &b"\xa1\x64time\x63now"[..]);
        }
        assert_eq!(body(ContentFormat::XML).expect_err("neither").code(), Code::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn no_body_has_no_format() {
        let answer = Response::body(ContentFormat::OCF_CBOR, Bytes::new()).into_message();
        assert_eq!(answer.options, Options::default());
    }

    #[test]
    fn rfc7252_section_5_10_6_who_has_the_representation_gets_no_body() {
        let answer = || Response::body(ContentFormat::TEXT, "hello").tagged().0;
        let tag = answer().into_message().options.first(OptionNumber::ETAG).expect("tag").to_vec();
        let asked = |tag: &[u8]| Options::builder().push(OptionNumber::ETAG, tag).expect("length").build();
        let known = answer().validated(&asked(&tag)).into_message();
        assert_eq!((known.code, known.payload.len(), known.options.content_format()), (Code::VALID, 0, None));
        assert_eq!(known.options.first(OptionNumber::ETAG), Some(&tag[..]));
        for other in [Options::default(), asked(b"other")] {
            assert_eq!(answer().validated(&other).into_message(), answer().into_message());
        }
    }
}
