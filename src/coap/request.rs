//! A request as a handler sees it.

use crate::{Connection, ETag, Refusal, Remote, Transport, tree::Names};
use bytes::Bytes;
use gatehouse_net::Peer;
use gatehouse_wire::coap::{Code, ContentFormat, Message, Options};
use serde::Serialize;
use std::{fmt, sync::Arc, time::Duration};

/// A whole request: the router has found its handler, and its body has arrived to the end.
pub struct Request {
    pub(crate) message: Message,
    pub(crate) connection: Connection,
    pub(crate) names: Arc<Names>,
    pub(crate) format: Option<ContentFormat>,
    pub(crate) observes: bool,
    pub(crate) fresh: Option<Duration>,
    pub(crate) tag: Option<ETag>,
}

impl Request {
    /// The connection on which it came, and what is remembered of that.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Who asks.
    pub fn peer(&self) -> &Peer {
        self.connection.peer()
    }

    /// What carries the connection.
    pub fn transport(&self) -> Transport {
        self.connection.transport()
    }

    /// The way to ask the peer something on the same connection.
    pub fn remote(&self) -> &Remote {
        self.connection.remote()
    }

    /// The method.
    pub fn method(&self) -> Code {
        self.message.code
    }

    /// The segment of the path that the pattern calls `{name}`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, index, _) = self.names.iter().find(|(found, _, to_the_end)| *found == name && !to_the_end)?;
        self.message.options.path().nth(*index)
    }

    /// What the pattern calls `{name…}`: the rest of the path, with a slash before each segment.
    pub fn rest(&self, name: &str) -> Option<String> {
        let (_, index, _) = self.names.iter().find(|(found, _, to_the_end)| *found == name && *to_the_end)?;
        Some(self.message.options.path().skip(*index).flat_map(|segment| ["/", segment]).collect())
    }

    /// The value of the first argument `key=value`. Several arguments in one option, joined with `&`, count as several.
    pub fn argument(&self, key: &str) -> Option<&str> {
        self.arguments().find_map(|argument| argument.split_once('=').filter(|(found, _)| *found == key).map(|(_, value)| value))
    }

    /// All arguments, in order.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        self.message.options.query().flat_map(|argument| argument.split('&'))
    }

    /// All options but those of block-wise transfer.
    pub fn options(&self) -> &Options {
        &self.message.options
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.message.payload
    }

    /// What the body is, if the peer says so.
    pub fn content_format(&self) -> Option<ContentFormat> {
        self.message.options.content_format()
    }

    /// What the answer has to be: what the peer wants, among what the route offers, or the first of these.
    pub fn format(&self) -> Option<ContentFormat> {
        self.format
    }

    /// Whether the peer wants to hear of changes (RFC 7641).
    pub fn observes(&self) -> bool {
        self.observes
    }

    /// How the resource was named when the request's conditions were judged, where the route is
    /// [tagged by](crate::Route::tagged_by) something. A handler that changes the resource makes sure that it still is.
    pub fn tag(&self) -> Option<&ETag> {
        self.tag.as_ref()
    }

    /// How old the request can be at most, if the peer has shown that it is not older (RFC 9175 §2.3).
    pub fn fresh(&self) -> Option<Duration> {
        self.fresh
    }

    /// An answer with a value, in the format that the peer wants: JSON or a kind of CBOR.
    ///
    /// # Errors
    /// The value cannot be written so.
    pub fn content(&self, value: &impl Serialize) -> Result<crate::Response, Refusal> {
        crate::Response::content(self.format.unwrap_or(ContentFormat::CBOR), value)
    }
}

/// Bodies hold secrets: only their size is shown.
impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Request").field("peer", self.peer()).field("message", &self.message).finish_non_exhaustive()
    }
}
