//! What an application asks a peer.

use crate::coap::{Block, Code, Message, Options, Token};
use bytes::Bytes;
use std::time::Duration;

/// A request with everything that decides how it is sent. The endpoint adds the token and the options of block-wise
/// transfer, observation and Echo.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) message: Message,
    pub(super) confirmable: bool,
    pub(super) timeout: Duration,
    pub(super) observe: bool,
    pub(super) cancel_with: Option<Options>,
    pub(super) block: Option<Block>,
}

/// How long an answer may take if the request does not say: longer than all repetitions of RFC 7252.
const TIMEOUT: Duration = Duration::from_secs(120);

impl Request {
    /// A confirmable request without options and body.
    pub fn new(code: Code) -> Self {
        let message = Message::new(code, Token::EMPTY);
        Self { message, confirmable: true, timeout: TIMEOUT, observe: false, cancel_with: None, block: None }
    }

    /// The options: path, query, content format and so on.
    pub fn options(mut self, options: Options) -> Self {
        self.message.options = options;
        self
    }

    /// The body, whatever its size.
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.message.payload = payload.into();
        self
    }

    /// Sends it once and forgets it (over UDP).
    pub fn non_confirmable(mut self) -> Self {
        self.confirmable = false;
        self
    }

    /// How long it may go on without any progress: an answer, or the next block of one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Asks to be notified of changes (RFC 7641).
    pub fn observe(mut self) -> Self {
        self.observe = true;
        self
    }

    /// The options with which the observation is cancelled, where they are others than those of its registration.
    pub fn cancel_with(mut self, options: Options) -> Self {
        self.cancel_with = Some(options);
        self
    }

    /// Asks for one block of the representation and takes the answer as it comes, with its Block2 (RFC 7959 §2.4).
    pub fn block(mut self, block: Block) -> Self {
        self.block = Some(block);
        self
    }
}

/// Why a request was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The connection is closed, or is being released.
    #[error("the connection takes no new requests")]
    Closed,
    /// [`super::Limits::exchanges_out`] or [`super::Limits::waiting`] is reached.
    #[error("too many requests to this peer are under way")]
    Busy,
    /// It does not fit what the peer takes.
    #[error("the request is too large for the peer")]
    TooLarge,
    /// It is none: its code is {0}.
    #[error("{0} is not the code of a request")]
    NoRequest(Code),
}
