//! The task of one connection: moves bytes between the endpoint and the transport, and orders and outcomes between the
//! endpoint and the application.

use crate::{
    Direction, RequestError, Response, Seen, Settings, Tap, Update,
    client::now,
    error::Ending,
    link::{Happened, Link},
    observation::Shared,
    tap::Frames,
};
use bytes::{Bytes, BytesMut};
use gatehouse_wire::coap::{
    Code, Limits, Message, Token,
    endpoint::{Closed, Ended, Endpoint, Event, Failure, PingId, Request, RequestId},
};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep_until, timeout},
};

/// What the application wants.
#[derive(Debug)]
pub(crate) enum Order {
    Request { ticket: u64, request: Request, answer: oneshot::Sender<Result<Response, RequestError>> },
    Observe { ticket: u64, request: Request, shared: Arc<Shared> },
    Ping { answer: oneshot::Sender<Result<Duration, RequestError>> },
    Cancel { ticket: u64 },
    Close { closed: oneshot::Sender<()> },
}

/// Whom the outcome of a request is told.
enum Waiting {
    Answer(oneshot::Sender<Result<Response, RequestError>>),
    Observer(Arc<Shared>),
}

/// A ping, when it went out, and who waits for its pong.
type Pinged = (PingId, Instant, oneshot::Sender<Result<Duration, RequestError>>);

/// One connection.
pub(crate) struct Driver {
    endpoint: Endpoint,
    link: Link,
    arrived: BytesMut,
    waiting: BTreeMap<RequestId, (u64, Waiting)>,
    tickets: HashMap<u64, RequestId>,
    pings: Vec<Pinged>,
    /// Requests that fail because the connection ends; why it does is told next.
    orphans: Vec<Waiting>,
    /// Set when nothing can be sent any more.
    gone: Option<Ending>,
    /// Whether the server has taken leave.
    released: bool,
    /// Where everybody who holds the connection finds out why it is over.
    ended: Arc<OnceLock<Ending>>,
    tap: Option<Arc<dyn Tap>>,
    frames: Frames,
}

impl Driver {
    pub(crate) fn new(endpoint: Endpoint, link: Link, settings: &Settings, ended: Arc<OnceLock<Ending>>) -> Self {
        let limits = &settings.endpoint.limits;
        Self {
            endpoint,
            link,
            arrived: BytesMut::new(),
            waiting: BTreeMap::new(),
            tickets: HashMap::new(),
            pings: Vec::new(),
            orphans: Vec::new(),
            gone: None,
            released: false,
            ended,
            tap: settings.tap.clone(),
            frames: Frames::new(Limits { message: limits.message, options: limits.options }),
        }
    }

    /// Runs the connection to its end. Over a stream, `introduced` hears when the server's first message has come.
    pub(crate) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>, introduced: oneshot::Sender<Result<(), Ending>>) {
        let (mut introduced, mut item, mut leaving) = (Some(introduced), Bytes::new(), None);
        let mut closers = Vec::new();
        let ending = loop {
            if let Some(ending) = self.tell() {
                break ending;
            }
            if self.endpoint.counters().received > 0
                && let Some(introduced) = introduced.take()
            {
                // Over UDP nobody waits for it.
                let _ = introduced.send(Ok(()));
            }
            if item.is_empty() {
                item = self.next_item();
            }
            let timer = [self.endpoint.poll_timeout(), leaving].into_iter().flatten().min();
            tokio::select! {
                order = orders.recv(), if leaving.is_none() => match order {
                    Some(Order::Close { closed }) => {
                        closers.push(closed);
                        leaving = Some(self.leave());
                    }
                    Some(order) => self.obey(order),
                    None => leaving = Some(self.leave()),
                },
                happened = self.link.next(&mut item) => self.handle(happened),
                () = wait_until(timer) => {
                    self.endpoint.handle_timeout(now());
                    if leaving.is_some_and(|until| until <= now()) {
                        self.endpoint.close(Closed::Local);
                    }
                }
            }
        };
        // Nobody else sets it.
        let _ = self.ended.set(ending.clone());
        if let Some(introduced) = introduced {
            let _ = introduced.send(Err(ending.clone()));
        }
        orders.close();
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Close { closed } => closers.push(closed),
                order => refuse(order, &ending),
            }
        }
        if self.gone.is_none() {
            // A server that takes nothing hears nothing.
            let _ = timeout(LEAVE, self.say_the_rest(item)).await;
        }
        self.link.close().await;
        for closed in closers {
            // Nobody waits for it any more.
            let _ = closed.send(());
        }
    }

    fn next_item(&mut self) -> Bytes {
        let item = self.endpoint.poll_transmit(now()).unwrap_or_default();
        if let Some(tap) = self.tap.as_ref().filter(|_| !item.is_empty()) {
            let seen = if self.link.is_stream() { Seen::frame(item.clone()) } else { Seen::datagram(item.clone()) };
            tap.see(Direction::Sent, &seen);
        }
        item
    }

    /// An abort, or the acknowledgement of the last message.
    async fn say_the_rest(&mut self, mut item: Bytes) {
        loop {
            if item.is_empty() {
                item = self.next_item();
            }
            if item.is_empty() || matches!(self.link.next(&mut item).await, Ok(Happened::Ended) | Err(_)) {
                break;
            }
        }
    }

    /// Begins the end, and says how long it may take.
    fn leave(&mut self) -> Instant {
        self.endpoint.release(now());
        now() + LEAVE
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Request { ticket, request, answer } => self.begin(ticket, request, Waiting::Answer(answer)),
            Order::Observe { ticket, request, shared } => self.begin(ticket, request, Waiting::Observer(shared)),
            Order::Ping { answer } => {
                // Of a caller that waits no longer nothing is kept.
                self.pings.retain(|(_, _, answer)| !answer.is_closed());
                let ping = self.endpoint.ping(now());
                self.pings.push((ping, now(), answer));
            }
            Order::Cancel { ticket } => {
                if let Some(&request) = self.tickets.get(&ticket) {
                    self.endpoint.cancel(now(), request);
                }
            }
            Order::Close { closed } => drop(closed),
        }
    }

    fn begin(&mut self, ticket: u64, request: Request, waiting: Waiting) {
        match self.endpoint.request(now(), request) {
            Ok(id) => {
                self.tickets.insert(ticket, id);
                self.waiting.insert(id, (ticket, waiting));
            }
            Err(error) => waiting.fail(error.into()),
        }
    }

    fn handle(&mut self, happened: io::Result<Happened>) {
        let gone = match happened {
            Ok(Happened::Sent) => return,
            Ok(Happened::Arrived(bytes)) => return self.take(bytes),
            Ok(Happened::Ended) if self.released => Ending::Released,
            Ok(Happened::Ended) => Ending::ByServer,
            Err(error) => Ending::Lost(Arc::new(error)),
        };
        self.gone = Some(gone);
        self.endpoint.close(Closed::Lost);
    }

    fn take(&mut self, bytes: Bytes) {
        if let Some(tap) = &self.tap {
            let seen = if self.link.is_stream() { self.frames.add(&bytes) } else { vec![Seen::datagram(bytes.clone())] };
            seen.iter().for_each(|seen| tap.see(Direction::Received, seen));
        }
        if self.link.is_stream() {
            self.arrived.extend_from_slice(&bytes);
            self.endpoint.handle_bytes(now(), &mut self.arrived);
        } else {
            self.endpoint.handle_datagram(now(), bytes);
        }
    }

    /// Tells the application what has happened, and why the connection is over if it is.
    fn tell(&mut self) -> Option<Ending> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Response { request, message, observing } => self.respond(request, message, observing),
                Event::Notification { request, message } => self.update(request, Update::State(message.into())),
                Event::Stale { request } => {
                    // RFC 7641 §3.3.1: the server may have forgotten us.
                    self.endpoint.register_again(now(), request);
                    self.update(request, Update::Stale);
                }
                Event::Failed { request, why } | Event::ObservationEnded { request, why: Ended::Failed(why) } => self.fail(request, why),
                Event::ObservationEnded { request, why: Ended::ByServer | Ended::Cancelled } => {
                    if let Some(Waiting::Observer(shared)) = self.remove(request) {
                        shared.end(None);
                    }
                }
                Event::Silent { request } => {
                    if let Some(waiting) = self.remove(request) {
                        waiting.fail(RequestError::Silent);
                    }
                }
                Event::Pong { ping, .. } => {
                    if let Some(place) = self.pings.iter().position(|(asked, ..)| *asked == ping) {
                        let (_, asked, answer) = self.pings.swap_remove(place);
                        let _ = answer.send(Ok(now().saturating_duration_since(asked)));
                    }
                }
                Event::Request(incoming) => {
                    // A server that is gone meanwhile needs no answer.
                    let _ = self.endpoint.respond(now(), incoming.exchange, Message::new(Code::NOT_FOUND, Token::EMPTY));
                }
                Event::PeerReleased(_) => self.released = true,
                Event::ObserverGone { .. } => {}
                Event::Closed { why } => return Some(self.end(why)),
            }
        }
        None
    }

    fn respond(&mut self, request: RequestId, message: Message, observing: bool) {
        if observing {
            return self.update(request, Update::State(message.into()));
        }
        match self.remove(request) {
            Some(Waiting::Answer(answer)) => drop(answer.send(Ok(message.into()))),
            Some(Waiting::Observer(shared)) => {
                shared.push(Update::State(message.into()));
                shared.end(None);
            }
            None => {}
        }
    }

    fn update(&self, request: RequestId, update: Update) {
        if let Some((_, Waiting::Observer(shared))) = self.waiting.get(&request) {
            shared.push(update);
        }
    }

    fn fail(&mut self, request: RequestId, why: Failure) {
        match self.remove(request) {
            Some(waiting) if why == Failure::Closed => self.orphans.push(waiting),
            Some(waiting) => waiting.fail(why.into()),
            None => {}
        }
    }

    fn remove(&mut self, request: RequestId) -> Option<Waiting> {
        let (ticket, waiting) = self.waiting.remove(&request)?;
        self.tickets.remove(&ticket);
        Some(waiting)
    }

    fn end(&mut self, why: Closed) -> Ending {
        let ending = match (self.gone.clone(), why) {
            (Some(gone), _) => gone,
            (None, Closed::Aborted { diagnostic }) => Ending::Aborted(diagnostic),
            (None, Closed::Refused { rule }) => Ending::Broken(rule),
            (None, Closed::Silent) => Ending::Silent,
            (None, Closed::Congested) => Ending::Congested,
            (None, Closed::Released) if self.released => Ending::Released,
            (None, Closed::Released | Closed::Local | Closed::Lost) => Ending::Closed,
        };
        let failed = RequestError::Ended(ending.clone());
        self.orphans.drain(..).for_each(|waiting| waiting.fail(failed.clone()));
        self.pings.drain(..).for_each(|(.., answer)| drop(answer.send(Err(failed.clone()))));
        ending
    }
}

impl Waiting {
    fn fail(self, why: RequestError) {
        match self {
            // Nobody waits for it any more.
            Self::Answer(answer) => drop(answer.send(Err(why))),
            Self::Observer(shared) => shared.end(Some(why)),
        }
    }
}

/// Answers an order that came when the connection was over.
fn refuse(order: Order, ending: &Ending) {
    let why = RequestError::Ended(ending.clone());
    match order {
        Order::Request { answer, .. } => Waiting::Answer(answer).fail(why),
        Order::Observe { shared, .. } => shared.end(Some(why)),
        Order::Ping { answer } => drop(answer.send(Err(why))),
        Order::Cancel { .. } | Order::Close { .. } => {}
    }
}

async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How long the end may take.
const LEAVE: Duration = Duration::from_secs(2);
