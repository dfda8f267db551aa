//! One peer's task: it moves what arrives into the endpoint and what the endpoint says to the peer, lets handlers work on
//! requests, and passes on what we ask the peer.
//!
//! Nothing in it waits for the peer alone: reading, sending, handlers, timers, orders and the end of the process are all
//! waited for at once. A peer that does not take what it asked for is first not read any more, and closed when that lasts.

mod asked;
mod serving;

use crate::{
    Config,
    caller::{Caller, Transport},
    counters::{self, Since},
    link::{Link, Progress},
    remote::Order,
    server::Shared,
    trace::Tap,
};
use asked::AskedOnes;
use gatehouse_net::Shutdown;
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

/// Bytes that wait to be sent at which nothing more is read: what is read makes answers.
const FULL: usize = 128 * 1024;

/// Longer than any connection.
const NO_END: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A peer's task.
pub(crate) struct Session<L> {
    link: L,
    endpoint: Endpoint,
    shared: Arc<Shared>,
    orders: mpsc::Receiver<Order>,
    shutdown: Shutdown,
    serving: Serving,
    asked: AskedOnes,
    tap: Tap,
    counted: Since,
    phase: Phase,
    closed: Option<Closed>,
    /// How long nothing may be asked.
    idle_timeout: Duration,
    /// When something was last asked in either direction, or answered.
    active: Instant,
    /// Since when the item on its way out is on its way.
    sending: Option<Instant>,
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
        shutdown: Shutdown,
    ) -> Self {
        // A socket of datagrams has an order of its own in which silent peers have to go.
        let is_stream = matches!(caller.transport, Transport::Tcp | Transport::Tls);
        let idle_timeout = if is_stream { shared.config.idle_timeout } else { NO_END };
        Self {
            link,
            endpoint,
            tap: Tap::new(Arc::clone(&shared.traces), Arc::clone(&caller)),
            serving: Serving::new(Arc::clone(&shared), caller),
            shared,
            orders,
            shutdown,
            asked: AskedOnes::default(),
            counted: Since::default(),
            phase: Phase::Open,
            closed: None,
            idle_timeout,
            active: now(),
            sending: None,
        }
    }

    /// Serves the peer to its end.
    pub(crate) async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let timer = sleep_until(now().into());
        tokio::pin!(timer);
        let why = loop {
            self.advance(now());
            if let Some(why) = self.ended() {
                break why;
            }
            arm(timer.as_mut(), self.deadline());
            let read = self.endpoint.usage().queue_bytes < FULL;
            tokio::select! {
                progress = self.link.progress(read) => match progress {
                    Progress::Sent => self.sending = None,
                    Progress::Arrived => self.link.deliver(&mut self.endpoint, &mut self.tap, now()),
                    Progress::Lost => self.endpoint.close(Closed::Lost),
                },
                Some(done) = self.serving.next() => self.serving.done(&mut self.endpoint, now(), done),
                Some(order) = self.orders.recv() => self.obey(order),
                () = timer.as_mut() => self.due(now()),
                () = shutdown.draining(), if self.phase == Phase::Open => self.leave(now()),
            }
        };
        self.counted.take_over(self.endpoint.counters());
        ::metrics::counter!(counters::CLOSED, "reason" => label(&why)).increment(1);
        debug!(?why, "connection ended");
        // Whoever waits for an answer of the peer is told, and work that nobody waits for ends.
        drop((self.asked, self.serving, self.orders));
        if !is_over(&why) {
            self.link.finish().await;
        }
    }

    /// Lets the endpoint say what it has to say.
    fn advance(&mut self, now: Instant) {
        if let Phase::Leaving(until) = self.phase
            && (self.serving.is_idle() || until <= now)
        {
            self.asked.forget_observations(&mut self.endpoint);
            self.endpoint.release(now);
            self.phase = Phase::Left(now + self.config().send_timeout);
        }
        while let Some(event) = self.endpoint.poll_event() {
            self.happened(now, event);
        }
        while self.link.is_free()
            && let Some(item) = self.endpoint.poll_transmit(now)
        {
            self.tap.sent(&item);
            self.link.send(item);
            self.sending = Some(now).filter(|_| !self.link.is_free());
        }
        self.counted.take_over(self.endpoint.counters());
    }

    fn happened(&mut self, now: Instant, event: Event) {
        match event {
            Event::Request(incoming) => {
                self.active = now;
                self.serving.begin(&mut self.endpoint, now, incoming);
            }
            Event::ObserverGone { observation, .. } => self.serving.observer_gone(observation),
            // The peer closes the connection when it has its answers.
            Event::PeerReleased(_) => self.leave(now),
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
            Order::Ask { ticket, request, to } => {
                self.active = now;
                self.asked.ask(&mut self.endpoint, now, ticket, request, to);
            }
            Order::Cancel { ticket } => self.asked.cancel(&mut self.endpoint, now, ticket),
            Order::Ping { pong } => self.asked.ping(&mut self.endpoint, now, pong),
            Order::Close => self.leave(now),
        }
    }

    fn leave(&mut self, now: Instant) {
        if self.phase == Phase::Open {
            self.phase = Phase::Leaving(now + self.config().drain_wait);
        }
    }

    /// Does what is due.
    fn due(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        if self.sending.is_some_and(|since| since + self.config().send_timeout <= now) {
            self.endpoint.close(Closed::Congested);
            self.closed = Some(Closed::Congested);
        }
        match self.phase {
            Phase::Open if self.idle_at() <= now => self.leave(now),
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

fn label(why: &Closed) -> &'static str {
    match why {
        Closed::Released => "released",
        Closed::Aborted { .. } => "aborted",
        Closed::Refused { .. } => "refused",
        Closed::Silent => "silent",
        Closed::Congested => "congested",
        Closed::Lost => "lost",
        Closed::Local => "local",
    }
}
