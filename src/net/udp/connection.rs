//! A connected peer as a service gets it: whole records in and out, and who it is.

use super::{
    associations::Id,
    engine::{Closed, SendError},
};
use crate::{Peer, Shutdown, Standing};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc;

/// What is done with a peer that speaks in datagrams.
pub trait DatagramService: Send + Sync + 'static {
    /// Serves the peer until it is gone. When draining begins it finishes what the peer has asked for and returns, upon
    /// which leave is taken of the peer; the listener drops it when everything has to end at once.
    fn serve(self: Arc<Self>, connection: DatagramConnection) -> impl Future<Output = ()> + Send;
}

/// A connected peer. Dropping it takes leave.
#[derive(Debug)]
pub struct DatagramConnection {
    /// Who is at the other end.
    pub peer: Peer,
    /// When to finish.
    pub shutdown: Shutdown,
    /// Whether the peer may stay.
    pub standing: Standing,
    pub(super) records: mpsc::Receiver<Bytes>,
    pub(super) sender: DatagramSender,
}

impl DatagramConnection {
    /// The next record or datagram of the peer. `None` when it is gone. Can be given up and asked again.
    pub async fn receive(&mut self) -> Option<Bytes> {
        self.records.recv().await
    }

    /// The way to send to the peer.
    pub fn sender(&self) -> &DatagramSender {
        &self.sender
    }

    /// Why the peer is gone, once it is.
    pub fn closed(&self) -> Option<Closed> {
        self.sender.closed.get().copied()
    }
}

/// Sends records to one peer. Clones send to the same.
#[derive(Clone, Debug)]
pub struct DatagramSender {
    pub(super) id: Id,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) closed: Arc<OnceLock<Closed>>,
    pub(super) largest: usize,
    pub(super) encrypted: bool,
}

/// What services want of their socket's task.
#[derive(Debug)]
pub(super) enum Order {
    Send(Id, Bytes),
    Prove(Id),
}

impl DatagramSender {
    /// Sends one record. Waits while much is to be sent; nobody says whether it arrives.
    ///
    /// # Errors
    /// It is too long, or the peer is gone.
    pub async fn send(&self, record: Bytes) -> Result<(), SendError> {
        self.check(record.len())?;
        self.orders.send(Order::Send(self.id, record)).await.map_err(|_| SendError::Closed)
    }

    /// Sends one record if that is possible without waiting.
    ///
    /// # Errors
    /// As for [`DatagramSender::send`], and [`SendError::Full`].
    pub fn try_send(&self, record: Bytes) -> Result<(), SendError> {
        self.check(record.len())?;
        self.orders.try_send(Order::Send(self.id, record)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    /// Says that this peer without encryption has shown that it receives what is sent to its address, as by returning
    /// an Echo option (RFC 9175 §2). Until then it is among those that have to go first. Of no consequence with
    /// encryption, where the handshake has shown it.
    pub async fn address_is_proven(&self) {
        if !self.encrypted {
            // A listener that is gone needs no proof.
            let _ = self.orders.send(Order::Prove(self.id)).await;
        }
    }

    /// The longest record that fits into one datagram.
    pub fn largest(&self) -> usize {
        self.largest
    }

    /// Whether records are encrypted on their way.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    fn check(&self, length: usize) -> Result<(), SendError> {
        if length > self.largest {
            Err(SendError::TooLong)
        } else if self.closed.get().is_some() {
            Err(SendError::Closed)
        } else {
            Ok(())
        }
    }
}
