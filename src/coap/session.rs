//! One peer's task: it moves what arrives into the endpoint and what the endpoint says to the peer, lets handlers work on
//! requests, and passes on what we ask the peer.
//!
//! Nothing in it waits for the peer alone: reading, sending, handlers, timers, orders and the end of the process are all
//! waited for at once. A peer that does not take what it asked for is first not read any more, and closed when that lasts.

mod asked;
mod serving;

use crate::{
    Config, Ending, Leave,
    caller::Caller,
    counters::Since,
    life::Life,
    link::{Link, Progress},
    remote::Order,
    server::Shared,
    trace::Tap,
};
use asked::AskedOnes;
use gatehouse_net::{Shutdown, Standing};
use gatehouse_wire::coap::endpoint::{Closed, Endpoint, Event};
use serving::Serving;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::mpsc,
    time::{Sleep, sleep_until},
};
use tracing::debug;

/// When this share of what may wait to be sent does, nothing more is read: what is read makes answers.
const FULL: usize = 8;

/// What a peer is told that may not stay.
const NOT_GOOD: &str = "the certificate is no longer good";

/// Longer than any connection.
const NO_END: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A peer's task.
pub(crate) struct Session<L> {
    link: L,
    endpoint: Endpoint,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    signals: Signals,
    serving: Serving,
    asked: AskedOnes,
    tap: Tap,
    counted: Since,
    caller: Arc<Caller>,
    life: Life,
    phase: Phase,
    closed: Option<Closed>,
    /// Why we take leave, or the peer does.
    leaving: Option<Ending>,
    /// How long nothing may be asked.
    idle_timeout: Duration,
    /// When something was last asked in either direction, or answered.
    active: Instant,
    /// Since when the item on its way out is on its way.
    sending: Option<Instant>,
}

/// What the listener says of the end.
#[derive(Clone)]
pub(crate) struct Signals {
    pub(crate) shutdown: Shutdown,
    pub(crate) standing: Standing,
}

/// How far the connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Leave is taken when nothing is worked on, or at this time.
    Leaving(Instant),
    /// Leave was taken; the endpoint closes when everything is answered, or at this time.
    Left(Instant),
}

impl<L: Link> Session<L> {
    pub(crate) fn new(
        link: L,
        endpoint: Endpoint,
        shared: Arc<Shared>,
        caller: Arc<Caller>,
        orders: mpsc::Receiver<Order>,
        signals: Signals,
    ) -> Box<Self> {
        // A socket of datagrams has an order of its own in which silent peers have to go.
        let idle_timeout = if caller.transport.is_stream() { shared.config.idle_timeout } else { NO_END };
        Box::new(Self {
            link,
            endpoint,
            tap: Tap::new(Arc::clone(&shared.traces), Arc::clone(&caller)),
            serving: Serving::new(Arc::clone(&shared), Arc::clone(&caller)),
            life: Life::new(Arc::clone(&shared), Arc::clone(&caller)),
            caller,
            asked: AskedOnes::new(Arc::clone(&shared)),
            shared,
            orders,
            signals,
            counted: Since::default(),
            phase: Phase::Open,
            closed: None,
            leaving: None,
            idle_timeout,
            active: now(),
            sending: None,
        })
    }

    /// Serves the peer to its end. In a box, because a task would keep room for what it was given and for what it works on.
    pub(crate) async fn run(mut self: Box<Self>) {
        let (signals, caller) = (self.signals.clone(), Arc::clone(&self.caller));
        let timer = sleep_until(now().into());
        tokio::pin!(timer);
        let closed = loop {
            self.advance(now());
            if let Some(closed) = self.ended() {
                break closed;
            }
            arm(timer.as_mut(), self.deadline());
            let read = self.endpoint.usage().queue_bytes < self.config().send_queue.as_usize() / FULL;
            tokio::select! {
                progress = self.link.progress(read) => match progress {
                    Progress::Sent => self.sending = None,
                    Progress::Arrived => self.link.deliver(&mut self.endpoint, &mut self.tap, now()),
                    Progress::Lost => self.endpoint.close(Closed::Lost),
                },
                Some(done) = self.serving.next() => self.serving.done(&mut self.endpoint, now(), done),
                Some(order) = self.orders.recv() => self.obey(order),
                () = timer.as_mut() => self.due(now()),
                how = caller.wishes.heard() => self.leave(now(), how, Ending::Left),
                () = signals.shutdown.draining(), if self.phase == Phase::Open => self.leave(now(), Leave::Release, Ending::Drained),
                () = signals.standing.lost(), if self.leaving != Some(Ending::Revoked) => {
                    self.leaving = Some(Ending::Revoked);
                    self.leave(now(), Leave::Abort(NOT_GOOD), Ending::Revoked);
                }
            }
        };
        self.counted.take_over(self.endpoint.counters(), &self.shared.meters);
        let why = self.why(&closed);
        self.shared.meters.closed(why);
        debug!(?why, ?closed, "connection ended");
        // Whoever waits for an answer of the peer is told, and work that nobody waits for ends.
        drop((self.asked, self.orders));
        let (serving, life, link) = (self.serving, self.life, self.link);
        let aftermath = async {
            serving.finish().await;
            life.end(why).await;
        };
        let farewell = async {
            if !is_over(&closed) {
                link.finish().await;
            }
        };
        tokio::join!(farewell, aftermath);
    }

    /// Lets the endpoint say what it has to say.
    fn advance(&mut self, now: Instant) {
        loop {
            while let Some(event) = self.endpoint.poll_event() {
                self.happened(now, event);
            }
            if let Some(how) = self.serving.leave() {
                self.leave(now, how, Ending::Left);
            } else if let Phase::Leaving(until) = self.phase
                && (self.serving.is_idle() || until <= now)
            {
                self.asked.forget_observations(&mut self.endpoint);
                self.endpoint.release(now);
                self.phase = Phase::Left(now + self.config().send_timeout);
            } else {
                break;
            }
        }
        while self.link.is_free()
            && let Some(item) = self.endpoint.poll_transmit(now)
        {
            self.tap.sent(&item);
            self.link.send(item);
            self.sending = Some(now).filter(|_| !self.link.is_free());
        }
        self.counted.take_over(self.endpoint.counters(), &self.shared.meters);
    }

    fn happened(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request(incoming) => {
                self.active = now;
                self.serving.begin(&mut self.endpoint, now, incoming);
            }
            Event::ObserverGone { observation, why } => self.serving.observer_gone(observation, why),
            // The peer closes the connection when it has its answers.
            Event::PeerReleased(_) => self.leave(now, Leave::Release, Ending::Released),
            Event::Closed { why } => self.closed = Some(why),
            other => {
                self.active = now;
                self.asked.happened(&mut self.endpoint, now, other);
            }
        }
    }

    fn obey(&mut self, order: Order) {
        let now = now();
        match order {
            Order::Ask(ask) => {
                self.active = now;
                self.asked.ask(&mut self.endpoint, now, *ask);
            }
            Order::Cancel { ticket } => self.asked.cancel(&mut self.endpoint, now, ticket),
            Order::Ping { pong } => self.asked.ping(&mut self.endpoint, now, pong),
        }
    }

    /// Begins the end, or makes it come sooner.
    fn leave(&mut self, now: Instant, how: Leave, why: Ending) {
        self.leaving.get_or_insert(why);
        match how {
            Leave::Release if self.phase == Phase::Open => self.phase = Phase::Leaving(now + self.config().drain_wait),
            Leave::Release => {}
            Leave::Close | Leave::Abort(_) => {
                self.serving.give_up(&mut self.endpoint, now);
                self.asked.give_up(&mut self.endpoint);
                match how {
                    // There are no signals over UDP, and what was answered may have to be repeated.
                    _ if !self.caller.transport.is_stream() => {
                        self.endpoint.release(now);
                        self.phase = Phase::Left(now + self.config().send_timeout);
                    }
                    Leave::Abort(text) => self.endpoint.abort(text),
                    _ => self.endpoint.close(Closed::Local),
                }
            }
        }
    }

    /// Does what is due.
    fn due(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.serving.give_back();
        self.asked.give_back();
        if self.sending.is_some_and(|since| since + self.config().send_timeout <= now) {
            self.endpoint.close(Closed::Congested);
            self.closed = Some(Closed::Congested);
        }
        match self.phase {
            Phase::Open if self.idle_at() <= now => self.leave(now, Leave::Release, Ending::Idle),
            Phase::Left(until) if until <= now => self.endpoint.close(Closed::Local),
            _ => {}
        }
    }

    /// When to look again, if nothing happens.
    fn deadline(&self) -> Instant {
        let phase = match self.phase {
            Phase::Open => self.idle_at(),
            Phase::Leaving(until) | Phase::Left(until) => until,
        };
        let stuck = self.sending.map(|since| since + self.config().send_timeout);
        [self.endpoint.poll_timeout(), stuck].into_iter().flatten().fold(phase, Instant::min)
    }

    /// When the connection will have been idle for too long, as far as can be told now.
    fn idle_at(&self) -> Instant {
        let since = if self.endpoint.is_idle() && self.serving.is_idle() { self.active } else { now() };
        since + self.idle_timeout
    }

    /// Why the connection has ended, once everything that was said has gone out.
    fn ended(&self) -> Option<Closed> {
        self.closed.as_ref().filter(|why| is_over(why) || self.link.is_free()).cloned()
    }

    /// Why, for those who are not interested in the protocol.
    fn why(&self, closed: &Closed) -> Ending {
        match (closed, self.leaving) {
            (Closed::Congested, _) => Ending::Congested,
            (Closed::Refused { .. }, _) => Ending::Refused,
            (_, Some(why)) => why,
            (Closed::Released, None) => Ending::Released,
            (Closed::Aborted { .. }, None) => Ending::Aborted,
            (Closed::Silent, None) => Ending::Silent,
            (Closed::Lost, None) => self.link.why_lost(),
            (Closed::Local, None) => Ending::Left,
        }
    }

    fn config(&self) -> &Config {
        &self.shared.config
    }
}

/// Whether nothing more can be said.
fn is_over(why: &Closed) -> bool {
    matches!(why, Closed::Lost | Closed::Congested)
}

/// Sets the timer earlier; one that rings too early is set again then. Every message would otherwise move it.
fn arm(timer: std::pin::Pin<&mut Sleep>, deadline: Instant) {
    let deadline = tokio::time::Instant::from_std(deadline);
    if timer.is_elapsed() || deadline < timer.deadline() {
        timer.reset(deadline);
    }
}

/// The runtime's time, which tests may hold still.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
