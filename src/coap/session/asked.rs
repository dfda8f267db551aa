//! What we have asked the peer, and who waits for the answers.

use crate::{
    RemoteError,
    remote::{Ask, Asked},
    server::Shared,
};
use gatehouse_wire::coap::{
    Message,
    endpoint::{Endpoint, Event, PingId, RequestId},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};
use tokio::sync::oneshot;

/// Pings whose answers are awaited; the oldest makes room, and who waits for it is told that it failed.
const PINGS: usize = 8;

/// Requests to the peer that are under way. Never more than the endpoint allows.
pub(super) struct AskedOnes {
    shared: Arc<Shared>,
    requests: HashMap<RequestId, (u64, Asked)>,
    tickets: HashMap<u64, RequestId>,
    pings: VecDeque<(PingId, oneshot::Sender<()>)>,
}

impl AskedOnes {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, requests: HashMap::new(), tickets: HashMap::new(), pings: VecDeque::new() }
    }

    /// Gives back the room of what is empty.
    pub(super) fn give_back(&mut self) {
        if self.requests.is_empty() {
            (self.requests, self.tickets) = (HashMap::new(), HashMap::new());
        }
        if self.pings.is_empty() {
            self.pings = VecDeque::new();
        }
    }

    pub(super) fn ask(&mut self, endpoint: &mut Endpoint, now: Instant, ask: Ask) {
        let Ask { ticket, request, to } = ask;
        match endpoint.request(now, request) {
            Ok(id) => {
                self.requests.insert(id, (ticket, to));
                self.tickets.insert(ticket, id);
            }
            Err(error) => tell(to, Err(error.into())),
        }
    }

    pub(super) fn cancel(&mut self, endpoint: &mut Endpoint, now: Instant, ticket: u64) {
        if let Some(id) = self.tickets.remove(&ticket) {
            self.requests.remove(&id);
            endpoint.cancel(now, id);
        }
    }

    pub(super) fn ping(&mut self, endpoint: &mut Endpoint, now: Instant, pong: oneshot::Sender<()>) {
        self.pings.push_back((endpoint.ping(now), pong));
        if self.pings.len() > PINGS {
            self.pings.pop_front();
        }
    }

    /// The peer is about to be left: an observation would keep the endpoint from its end.
    pub(super) fn forget_observations(&mut self, endpoint: &mut Endpoint) {
        let observing = self.requests.iter().filter(|(_, (_, to))| matches!(to, Asked::Observing(_))).map(|(id, _)| *id);
        for id in observing.collect::<Vec<_>>() {
            endpoint.forget(id);
        }
    }

    /// The peer is not waited for any more.
    pub(super) fn give_up(&mut self, endpoint: &mut Endpoint) {
        self.tickets.clear();
        for (id, (_, to)) in std::mem::take(&mut self.requests) {
            endpoint.forget(id);
            tell(to, Err(RemoteError::Closed));
        }
    }

    pub(super) fn happened(&mut self, endpoint: &mut Endpoint, now: Instant, event: Event) {
        match event {
            Event::Response { request, message, observing } => {
                self.shared.meters.asked.answered(message.code);
                if observing { self.notified(endpoint, now, request, message) } else { self.over(request, Ok(message)) }
            }
            Event::Notification { request, message } => self.notified(endpoint, now, request, message),
            Event::Failed { request, why } => {
                self.shared.meters.asked.none.increment(1);
                self.over(request, Err(why.into()));
            }
            Event::ObservationEnded { request, why } => self.over(request, Err(why.into())),
            Event::Silent { request } => self.over(request, Err(RemoteError::Silent)),
            Event::Stale { request } => endpoint.register_again(now, request),
            Event::Pong { ping, .. } => {
                if let Some(at) = self.pings.iter().position(|(sent, _)| *sent == ping)
                    && let Some((_, pong)) = self.pings.remove(at)
                {
                    // Whoever asked may have gone.
                    let _ = pong.send(());
                }
            }
            Event::Request(_) | Event::ObserverGone { .. } | Event::PeerReleased(_) | Event::Closed { .. } => {}
        }
    }

    fn notified(&mut self, endpoint: &mut Endpoint, now: Instant, request: RequestId, message: Message) {
        let Some((ticket, Asked::Observing(to))) = self.requests.get(&request) else { return };
        // The last place is for the error that ends it.
        if to.capacity() > 1 {
            drop(to.try_send(Ok(message)));
        } else {
            drop(to.try_send(Err(RemoteError::Slow)));
            self.cancel(endpoint, now, *ticket);
        }
    }

    fn over(&mut self, request: RequestId, answer: Result<Message, RemoteError>) {
        if let Some((ticket, to)) = self.requests.remove(&request) {
            self.tickets.remove(&ticket);
            tell(to, answer);
        }
    }
}

/// Whoever asked may have gone.
fn tell(to: Asked, answer: Result<Message, RemoteError>) {
    match to {
        Asked::Once(to) => drop(to.send(answer)),
        Asked::Observing(to) => drop(to.try_send(answer)),
    }
}
