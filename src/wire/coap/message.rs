//! A message without its transport.

use super::{Code, Options, Token};
use bytes::Bytes;
use std::fmt;

/// What a request, an answer or a signal says. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Method, answer or signal.
    pub code: Code,
    /// Ties an answer to its request.
    pub token: Token,
    /// The options.
    pub options: Options,
    /// The body, or a part of it.
    pub payload: Bytes,
}

impl Message {
    /// A message without options and payload.
    pub fn new(code: Code, token: Token) -> Self {
        Self { code, token, options: Options::default(), payload: Bytes::new() }
    }

    /// The same with these options.
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The same with this payload.
    pub fn with_payload(self, payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..self }
    }

    /// The same in memory of its own. What was read shares the buffer that it arrived in; keeping one small message for long
    /// would keep all of that.
    pub fn detached(&self) -> Self {
        let options = Options::from_encoded(Bytes::copy_from_slice(self.options.encoded()));
        Self { options, payload: Bytes::copy_from_slice(&self.payload), ..*self }
    }

    /// How many bytes options and payload take, with the marker between them.
    pub(super) fn body_length(&self) -> usize {
        self.options.encoded().len() + if self.payload.is_empty() { 0 } else { 1 + self.payload.len() }
    }
}

/// Payloads hold secrets: only their size is shown.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {:?} and {} bytes", self.code, self.token, self.options, self.payload.len())
    }
}

/// What a message may need of us before anybody looks at what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message, as they arrive.
    pub message: usize,
    /// Options in a message.
    pub options: usize,
}

impl Default for Limits {
    /// A whole datagram, and more options than any real path and query have.
    fn default() -> Self {
        Self { message: 65_535, options: 64 }
    }
}
