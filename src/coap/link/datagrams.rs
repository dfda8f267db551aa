//! The way to a peer over UDP or DTLS.

use super::{Link, Progress};
use crate::{Ending, trace::Tap};
use bytes::Bytes;
use gatehouse_net::{Closed, DatagramConnection, SendError};
use gatehouse_wire::coap::endpoint::Endpoint;
use std::time::Instant;

/// A peer's datagrams.
pub(crate) struct DatagramLink {
    connection: DatagramConnection,
    arrived: Option<Bytes>,
    /// What the socket's task had no room for.
    waiting: Option<Bytes>,
}

impl DatagramLink {
    /// A peer, and what has arrived of it already.
    pub(crate) fn new(connection: DatagramConnection, arrived: Option<Bytes>) -> Self {
        Self { connection, arrived, waiting: None }
    }
}

impl Link for DatagramLink {
    fn is_free(&self) -> bool {
        self.waiting.is_none()
    }

    fn send(&mut self, item: Bytes) {
        // One that is too long, or for a peer that is gone, is lost like any datagram.
        if self.connection.sender().try_send(item.clone()) == Err(SendError::Full) {
            self.waiting = Some(item);
        }
    }

    async fn progress(&mut self, read: bool) -> Progress {
        let sender = self.connection.sender().clone();
        let waiting = self.waiting.clone();
        let send = async {
            match waiting {
                Some(item) => sender.send(item).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = send => {
                self.waiting = None;
                Progress::Sent
            }
            () = std::future::ready(()), if read && self.arrived.is_some() => Progress::Arrived,
            arrived = self.connection.receive(), if read && self.arrived.is_none() => match arrived {
                Some(datagram) => {
                    self.arrived = Some(datagram);
                    Progress::Arrived
                }
                None => Progress::Lost,
            },
        }
    }

    fn deliver(&mut self, endpoint: &mut Endpoint, tap: &mut Tap, now: Instant) {
        if let Some(datagram) = self.arrived.take() {
            tap.received(&datagram, true);
            endpoint.handle_datagram(now, datagram);
        }
    }

    fn why_lost(&self) -> Ending {
        match self.connection.closed() {
            Some(Closed::Idle | Closed::Timeout) => Ending::Silent,
            Some(Closed::Replaced) => Ending::Replaced,
            Some(Closed::Evicted) => Ending::Evicted,
            Some(Closed::Protocol) => Ending::Refused,
            Some(Closed::Peer | Closed::Local | Closed::Refused | Closed::Certificate) | None => Ending::Lost,
        }
    }

    /// Dropping the connection takes leave of the peer, after what was sent.
    async fn finish(self) {}
}
