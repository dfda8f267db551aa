//! The application's end of a connection.

use crate::{
    ConnectError, Observation, RequestError, Settings, connect,
    driver::{Driver, Order},
    error::Ending,
    link::Link,
    observation::Shared,
};
use bytes::Bytes;
use gatehouse_wire::coap::{
    Code, Message, Options, Uri,
    endpoint::{Endpoint, Failure, Request, TcpStyle},
};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// A connection to a server. Clones share it; it ends when the last of them is dropped, or with [`Client::close`].
#[derive(Clone, Debug)]
pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    tickets: Arc<AtomicU64>,
    /// Why the connection is over, once it is.
    ended: Arc<OnceLock<Ending>>,
}

/// What a server answered, with its whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// What became of the request.
    pub code: Code,
    /// The options.
    pub options: Options,
    /// The body.
    pub payload: Bytes,
}

impl From<Message> for Response {
    fn from(message: Message) -> Self {
        Self { code: message.code, options: message.options, payload: message.payload }
    }
}

impl Client {
    /// Connects to the server of a URI; its path and query say nothing here. Over `coap`, where there are no connections,
    /// a server is not noticed to be away before it is asked.
    ///
    /// # Errors
    /// There is no such server, or it is not what it has to be.
    pub async fn connect(uri: &Uri, settings: Settings) -> Result<Self, ConnectError> {
        let patience = settings.connect_timeout;
        timeout(patience, Self::establish(uri, settings)).await.unwrap_or(Err(ConnectError::Timeout))
    }

    async fn establish(uri: &Uri, settings: Settings) -> Result<Self, ConnectError> {
        let link = connect::connect(uri, &settings).await?;
        let ended = Arc::new(OnceLock::new());
        let driver = Driver::new(endpoint(&link, &settings), link, &settings, Arc::clone(&ended));
        let waits = uri.scheme().is_reliable() && settings.endpoint.tcp == TcpStyle::General;
        let (orders, queue) = mpsc::unbounded_channel();
        let (introduced, introduction) = oneshot::channel();
        tokio::spawn(driver.run(queue, introduced));
        // RFC 8323 §5.3: what the server can take is known when its CSM is there.
        if waits {
            introduction.await.unwrap_or(Err(Ending::ByServer)).map_err(ConnectError::Ended)?;
        }
        Ok(Self { orders, tickets: Arc::default(), ended })
    }

    /// Asks the server and waits for the answer. Dropping the future cancels the request.
    ///
    /// # Errors
    /// There is no answer. One that says that something went wrong is an answer.
    pub async fn request(&self, request: Request) -> Result<Response, RequestError> {
        let (answer, answered) = oneshot::channel();
        let ticket = self.ticket();
        self.order(Order::Request { ticket: ticket.number, request, answer })?;
        answered.await.unwrap_or_else(|_| Err(self.over()))
    }

    /// Asks the server for a resource and for its changes (RFC 7641). The answer comes as the first update; where the server
    /// does not want to be observed, it is the only one.
    ///
    /// # Errors
    /// The connection is over.
    pub fn observe(&self, request: Request) -> Result<Observation, RequestError> {
        let (shared, ticket) = (Arc::new(Shared::default()), self.ticket());
        self.order(Order::Observe { ticket: ticket.number, request: request.observe(), shared: Arc::clone(&shared) })?;
        Ok(Observation { shared, _ticket: ticket })
    }

    /// Asks the server for a sign of life, and tells how long it took.
    ///
    /// # Errors
    /// None came in this time, or the connection is over.
    pub async fn ping(&self, patience: Duration) -> Result<Duration, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.order(Order::Ping { answer })?;
        let answer = timeout(patience, answered).await.map_err(|_| RequestError::Failed(Failure::Timeout))?;
        answer.unwrap_or_else(|_| Err(self.over()))
    }

    /// Why the connection is over. `None` while it is not.
    pub fn ending(&self) -> Option<Ending> {
        self.ended.get().cloned()
    }

    /// Ends the connection for all clones: what is under way gets a moment to finish, and the server is told.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        if self.order(Order::Close { closed }).is_ok() {
            // A task that is gone has closed already.
            let _ = done.await;
        }
    }

    fn ticket(&self) -> Ticket {
        Ticket { number: self.tickets.fetch_add(1, Ordering::Relaxed), orders: self.orders.clone() }
    }

    fn order(&self, order: Order) -> Result<(), RequestError> {
        self.orders.send(order).map_err(|_| self.over())
    }

    /// The task of the connection has gone, and has said why before.
    fn over(&self) -> RequestError {
        RequestError::Ended(self.ending().unwrap_or(Ending::Closed))
    }
}

fn endpoint(link: &Link, settings: &Settings) -> Endpoint {
    let (config, random, now) = (Arc::new(settings.endpoint.clone()), Arc::clone(&settings.random), now());
    if link.is_stream() { Endpoint::tcp(config, random, now) } else { Endpoint::udp(config, random, now) }
}

/// The runtime's time.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Names a request to the task of the connection, and cancels it when nobody waits any more.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    orders: mpsc::UnboundedSender<Order>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A connection that is over has nothing to cancel.
        let _ = self.orders.send(Order::Cancel { ticket: self.number });
    }
}
