//! The other direction: requests to a peer on the connection that it made.
//!
//! A [`Remote`] is a cloneable handle on one connection. It outlives the connection; what is asked of it then fails at
//! once. Nothing waits in it without a bound: orders wait in a short queue, and notifications that nobody takes end
//! their observation instead of piling up or getting lost in silence.

use gatehouse_base::{Fault, Kind};
use gatehouse_wire::coap::{
    Message,
    endpoint::{Ended, Failure, Request, RequestError},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, oneshot};

/// Orders of all clones that wait for the connection's task.
pub(crate) const ORDERS: usize = 32;

/// Notifications of one observation that wait for whoever asked for them, and a place for the error that ends it.
const NOTIFICATIONS: usize = 16 + 1;

/// Asks the peer of one connection.
#[derive(Clone)]
pub struct Remote {
    orders: mpsc::Sender<Order>,
    last: Arc<AtomicU64>,
}

/// What a connection's task is told to do.
pub(crate) enum Order {
    /// In a box, because every connection has room for several orders all the time.
    Ask(Box<Ask>),
    Cancel {
        ticket: u64,
    },
    Ping {
        pong: oneshot::Sender<()>,
    },
}

/// What the peer is asked.
pub(crate) struct Ask {
    pub(crate) ticket: u64,
    pub(crate) request: Request,
    pub(crate) to: Asked,
}

/// Who waits for an answer of the peer.
pub(crate) enum Asked {
    Once(oneshot::Sender<Result<Message, RemoteError>>),
    Observing(mpsc::Sender<Result<Message, RemoteError>>),
}

/// Why a peer did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// The connection is closed, or about to be.
    #[error("the peer is not connected any more")]
    Closed,
    /// The request was not sent.
    #[error(transparent)]
    Refused(RequestError),
    /// The request was sent, and no answer came that could be used.
    #[error(transparent)]
    Failed(Failure),
    /// The peer was silent, as the request's No-Response option asked it to be.
    #[error("the peer was silent, as it was asked to be")]
    Silent,
    /// The peer ends the observation; what it said is the notification before.
    #[error("the peer has ended the observation")]
    Ended,
    /// Notifications came faster than they were taken.
    #[error("notifications came faster than they were taken")]
    Slow,
}

impl From<RequestError> for RemoteError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Closed => Self::Closed,
            other => Self::Refused(other),
        }
    }
}

impl From<Ended> for RemoteError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Failed(why) => why.into(),
            Ended::ByServer | Ended::Cancelled => Self::Ended,
        }
    }
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Closed => Self::Closed,
            other => Self::Failed(other),
        }
    }
}

impl Fault for RemoteError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(RequestError::TooLarge | RequestError::NoRequest(_)) => Kind::Invalid,
            _ => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Closed => "peer-gone",
            Self::Refused(_) => "peer-not-asked",
            Self::Failed(_) => "peer-no-answer",
            Self::Silent => "peer-silent",
            Self::Ended => "observation-ended",
            Self::Slow => "observation-slow",
        }
    }
}

impl Remote {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Order>) {
        let (orders, inbox) = mpsc::channel(ORDERS);
        (Self { orders, last: Arc::default() }, inbox)
    }

    /// Asks the peer, and waits for its answer. Giving up the wait cancels the request.
    ///
    /// # Errors
    /// The peer did not answer, or was not asked.
    pub async fn request(&self, request: Request) -> Result<Message, RemoteError> {
        let (to, answer) = oneshot::channel();
        let _ticket = self.ask(request, Asked::Once(to)).await?;
        answer.await.unwrap_or(Err(RemoteError::Closed))
    }

    /// Asks the peer to tell of changes, and of the present state first.
    ///
    /// # Errors
    /// The peer was not asked.
    pub async fn observe(&self, request: Request) -> Result<Observation, RemoteError> {
        let (to, notifications) = mpsc::channel(NOTIFICATIONS);
        let ticket = self.ask(request.observe(), Asked::Observing(to)).await?;
        Ok(Observation { notifications, _ticket: ticket })
    }

    /// Asks the peer for a sign of life.
    ///
    /// # Errors
    /// The connection was closed before one came.
    pub async fn ping(&self) -> Result<(), RemoteError> {
        let (pong, came) = oneshot::channel();
        self.orders.send(Order::Ping { pong }).await.map_err(|_| RemoteError::Closed)?;
        came.await.map_err(|_| RemoteError::Closed)
    }

    /// Returns when the connection has ended.
    pub async fn closed(&self) {
        self.orders.closed().await;
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.orders.is_closed()
    }

    async fn ask(&self, request: Request, to: Asked) -> Result<Ticket, RemoteError> {
        let ticket = self.last.fetch_add(1, Ordering::Relaxed);
        self.orders.send(Order::Ask(Box::new(Ask { ticket, request, to }))).await.map_err(|_| RemoteError::Closed)?;
        Ok(Ticket { ticket, orders: self.orders.clone() })
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.is_closed() { "Remote(closed)" } else { "Remote" })
    }
}

/// What a peer tells of a resource. Dropping it cancels the observation.
#[derive(Debug)]
pub struct Observation {
    notifications: mpsc::Receiver<Result<Message, RemoteError>>,
    _ticket: Ticket,
}

impl Observation {
    /// The next state of the resource, in order. An error is the last thing that comes. A peer that cannot be observed
    /// answers once.
    pub async fn next(&mut self) -> Option<Result<Message, RemoteError>> {
        self.notifications.recv().await
    }
}

/// Cancels what it stands for when it is dropped. For a request that has its answer this does nothing.
struct Ticket {
    ticket: u64,
    orders: mpsc::Sender<Order>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A task whose queue is full learns of it when it has an answer that nobody wants.
        let _ = self.orders.try_send(Order::Cancel { ticket: self.ticket });
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Ticket({})", self.ticket)
    }
}
