//! The peer's observations of our resources (RFC 7641 §4).
//!
//! Of each observation only the latest state waits: a newer one takes the place of one that has not left yet.

use super::{Endpoint, Event, Exchange, Gone, Link, ObservationId, Owner, RespondError, fit::merged, fit::owned};
use crate::coap::{Block, BlockSize, Code, Message, OptionNumber, Options, Token};
use std::{collections::BTreeMap, time::Instant};

pub(super) type Observers = BTreeMap<ObservationId, Observer>;

/// How a notification travels over UDP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Non-confirmable, except for errors and where [`super::Reliability::confirm_observation`] or
    /// [`super::Reliability::confirm_notifications`] asks for more.
    #[default]
    Automatic,
    /// Confirmable.
    Confirmable,
}

/// One observation.
#[derive(Debug)]
pub(super) struct Observer {
    code: Code,
    token: Token,
    /// Those of the registration: the key under which further blocks are asked for.
    options: Options,
    block_size: Option<BlockSize>,
    number: u32,
    /// What has not left yet.
    latest: Option<(Message, Delivery)>,
    last_confirmed: Instant,
    /// How many went out since.
    unconfirmed: u32,
    last_sent: Instant,
}

impl Endpoint {
    /// Answers a registration and agrees to notify. Without an observation is answered what was no registration, or is over
    /// [`super::Limits::observations`]: the peer sees that in the missing Observe option. An error is no agreement either.
    pub fn respond_observed(
        &mut self,
        now: Instant,
        exchange: Exchange,
        mut answer: Message,
    ) -> Result<Option<ObservationId>, RespondError> {
        let asked = self.take_exchange(&exchange, &answer)?;
        // RFC 7641 §4.1: one registration per token. Its numbers go on, so that none looks old to the client (§4.4).
        let before = if asked.register { self.replace_observation(asked.token) } else { None };
        let number = before.map_or(FIRST, |last| (last + 1) & LAST);
        let full = self.server.observers.len() >= self.config.limits.observations;
        if full {
            self.counters.refused_observations += u64::from(asked.register);
        }
        let agreed = asked.register && answer.code.is_success() && !full && !self.is_closed();
        let observation = agreed.then(|| ObservationId(self.next_id()));
        if let Some(observation) = observation {
            answer.options = numbered(&answer.options, number);
            let observer = Observer {
                code: asked.code,
                token: asked.token,
                options: owned(&asked.options),
                block_size: asked.options.block2().map(Block::size),
                number,
                latest: None,
                last_confirmed: now,
                unconfirmed: 0,
                last_sent: now,
            };
            self.server.observers.insert(observation, observer);
        }
        let sent = self.answer(now, asked, answer);
        if sent.is_err()
            && let Some(observation) = observation
        {
            self.server.observers.remove(&observation);
        }
        self.answered_one(now);
        sent.map(|()| observation)
    }

    /// Tells the peer the resource's new state. An error code ends the observation with it.
    pub fn notify(&mut self, now: Instant, observation: ObservationId, state: Message, delivery: Delivery) {
        let Some(observer) = self.server.observers.get_mut(&observation) else { return };
        if observer.latest.replace((state, delivery)).is_some() {
            self.counters.superseded += 1;
        }
        self.flush(now);
    }

    /// Ends an observation without a word; over UDP and TCP alike the peer only sees that nothing comes.
    pub fn end_observation(&mut self, observation: ObservationId) {
        if self.server.observers.remove(&observation).is_some() {
            self.stop_sending(Owner::Notification(observation));
        }
    }

    pub(super) fn deregister(&mut self, token: Token) {
        self.end_observation_of(token, Gone::Deregistered);
    }

    /// Makes room for a registration with a token, and gives back the last number of the one before it.
    pub(super) fn replace_observation(&mut self, token: Token) -> Option<u32> {
        self.end_observation_of(token, Gone::Replaced)
    }

    /// Ends the observation of a token, and gives back its last number.
    fn end_observation_of(&mut self, token: Token, why: Gone) -> Option<u32> {
        let (&observation, observer) = self.server.observers.iter().find(|(_, observer)| observer.token == token)?;
        let number = observer.number;
        self.lose_observer(observation, why);
        Some(number)
    }

    pub(super) fn observer_rejected(&mut self, observation: ObservationId) {
        self.lose_observer(observation, Gone::Reset);
    }

    pub(super) fn observer_silent(&mut self, observation: ObservationId) {
        self.lose_observer(observation, Gone::Timeout);
    }

    fn lose_observer(&mut self, observation: ObservationId, why: Gone) {
        if self.server.observers.remove(&observation).is_some() {
            self.stop_sending(Owner::Notification(observation));
            self.events.push_back(Event::ObserverGone { observation, why });
        }
    }

    pub(super) fn end_observers(&mut self) {
        while let Some(&observation) = self.server.observers.keys().next() {
            self.lose_observer(observation, Gone::Closed);
        }
    }

    /// Sends what may go now.
    pub(super) fn flush_observers(&mut self, now: Instant) {
        let ready: Vec<ObservationId> =
            self.server.observers.iter().filter(|(id, observer)| self.may_notify(now, **id, observer)).map(|(id, _)| *id).collect();
        for observation in ready {
            self.send_notification(now, observation);
        }
    }

    fn may_notify(&self, now: Instant, id: ObservationId, observer: &Observer) -> bool {
        let Some((state, delivery)) = &observer.latest else { return false };
        match &self.link {
            Link::Tcp(_) => self.outbox.bytes() <= self.config.limits.queue_bytes / 4,
            // RFC 7641 §4.5.2: one at a time.
            Link::Udp(udp) if udp.outbound.has(Owner::Notification(id)) || self.waiting() >= self.config.limits.waiting => false,
            Link::Udp(_) if self.confirms(now, observer, state, *delivery) => true,
            Link::Udp(udp) => udp.allows(now) && self.spaced_until(observer) <= now,
        }
    }

    /// RFC 7641 §4.5: a confirmable one from time to time shows whether anybody still listens.
    fn confirms(&self, now: Instant, observer: &Observer, state: &Message, delivery: Delivery) -> bool {
        let settings = &self.config.reliability;
        let most = settings.confirm_notifications;
        delivery == Delivery::Confirmable
            || !state.code.is_success()
            || (most > 0 && observer.unconfirmed + 1 >= most)
            || now.saturating_duration_since(observer.last_confirmed) >= settings.confirm_observation
    }

    /// RFC 7641 §4.5.1: non-confirmable ones go once in a round trip, or once in a while where none was measured.
    fn spaced_until(&self, observer: &Observer) -> Instant {
        let spacing = self.config.reliability.notification_spacing;
        let round_trip = match &self.link {
            Link::Udp(udp) => udp.round_trip,
            Link::Tcp(_) => None,
        };
        observer.last_sent + round_trip.map_or(spacing, |round_trip| round_trip.min(spacing))
    }

    fn send_notification(&mut self, now: Instant, id: ObservationId) {
        let Some(mut observer) = self.server.observers.remove(&id) else { return };
        let Some((state, delivery)) = observer.latest.take() else { return };
        let confirmable = self.confirms(now, &observer, &state, delivery);
        observer.number = (observer.number + 1) & LAST;
        observer.last_sent = now;
        if confirmable {
            (observer.last_confirmed, observer.unconfirmed) = (now, 0);
        } else {
            observer.unconfirmed += 1;
        }
        let last = !state.code.is_success();
        let options = if last { state.options.clone() } else { numbered(&state.options, observer.number) };
        let state = Message { token: observer.token, options, ..state };
        let message = self.first_message(now, observer.code, &observer.options, state, observer.block_size);
        if let Some(message) = message {
            self.send(now, Owner::Notification(id), message, confirmable);
        } else {
            self.counters.dropped += 1;
        }
        if !last {
            self.server.observers.insert(id, observer);
        }
    }

    pub(super) fn observers_timeout(&self) -> Option<Instant> {
        let Link::Udp(udp) = &self.link else { return None };
        let waiting = self.server.observers.iter().filter(|(id, observer)| {
            observer.latest.is_some() && !udp.outbound.has(Owner::Notification(**id)) && self.waiting() < self.config.limits.waiting
        });
        waiting.map(|(_, observer)| self.spaced_until(observer).max(udp.free_at().unwrap_or(self.spaced_until(observer)))).min()
    }
}

fn numbered(options: &Options, number: u32) -> Options {
    merged(options, &Options::builder().uint(OptionNumber::OBSERVE, number).build())
}

/// RFC 7641 §4.4: any number may be the first. Some clients take 0 and 1 for what they mean in a request.
const FIRST: u32 = 2;
/// RFC 7641 §2: 24 bits.
const LAST: u32 = 0xff_ffff;
