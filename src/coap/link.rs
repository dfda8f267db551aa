//! How a session reaches its peer: one message of the endpoint at a time goes out, and what arrives is given to it.

mod datagrams;
mod stream;

pub(crate) use datagrams::DatagramLink;
pub(crate) use stream::StreamLink;

use crate::{Ending, trace::Tap};
use bytes::Bytes;
use gatehouse_wire::coap::endpoint::Endpoint;
use std::time::Instant;

/// A way to a peer.
pub(crate) trait Link: Send {
    /// Whether the next item can be sent.
    fn is_free(&self) -> bool;

    /// Sends one item, or begins to. Only while free.
    fn send(&mut self, item: Bytes);

    /// Waits until something has happened. Can be given up and asked again.
    fn progress(&mut self, read: bool) -> impl Future<Output = Progress> + Send;

    /// Gives what has arrived to the endpoint, past those who look.
    fn deliver(&mut self, endpoint: &mut Endpoint, tap: &mut Tap, now: Instant);

    /// Why it was lost.
    fn why_lost(&self) -> Ending {
        Ending::Lost
    }

    /// Takes leave, so that the peer gets what was sent.
    fn finish(self) -> impl Future<Output = ()> + Send;
}

/// What has happened on a way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The item went out.
    Sent,
    /// Something arrived.
    Arrived,
    /// Nothing will arrive any more, and nothing can be sent.
    Lost,
}
