//! All peers of one socket: which association a datagram is for, who gets a place, who loses it, and when to look again.
//!
//! The socket's task drives it. It knows no socket, no clock and no secrets, so that tests let a day of floods pass in
//! a moment. Every association stands in one of two stages. *Half open* ones have a valid cookie and no more, or without
//! encryption nothing at all; their places are few and they are thrown out first. *Connected* ones have finished their
//! handshake; for one more, the one that was silent for longest is closed.
//!
//! One address may have one of each: a device that lost its memory begins anew from the same port. Its old association
//! stays as it is until the new handshake is finished (RFC 6347 §4.2.8), so that nobody who only got hold of a valid
//! cookie can disturb it.
//!
//! Half-open places that are all taken are shared out: somebody whose network has few gets the place of one whose network has most. Within
//! a network, and among equals, who is there keeps its place for [`Engine::PATIENCE`].

use super::{
    config::DatagramGate,
    engine::{Association, Class, Closed, Engine, Event, Meeting, Proof, SendError},
    meter::{Dropped, Meter},
};
use crate::places::{Admission, Refused};
use bytes::Bytes;
use gatehouse_pki::VerifiedChain;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// For so long the hello that began a connected association is one that was delayed or doubled on its way, if it comes again. No network keeps
/// a datagram for longer (RFC 9293 §3.4.1), and then its cookie is none any more. Later it is a device that has begun anew
/// and whose random numbers are always the same.
const DELAYED: Duration = Duration::from_secs(120);

/// So many deadlines are dealt with before everything else has its turn: a crowd whose flights are due keeps nobody waiting for long.
const TIMED: usize = 32;

/// How many of the longest silent are looked at to find one of a certain network.
const SEARCHED: usize = 256;

/// An association of one socket. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(u64);

/// The peers of one socket.
pub(crate) struct Associations<E: Engine> {
    engine: E,
    gate: Arc<DatagramGate>,
    meter: Meter,
    admitting: bool,
    next: u64,
    slots: HashMap<Id, Slot<E::Association>>,
    routes: HashMap<SocketAddr, Route>,
    /// When to look at an association again; one entry for each.
    timers: BTreeSet<(Instant, Id)>,
    /// The longest silent first.
    connected: BTreeSet<(Instant, Id)>,
    half_open: BTreeSet<(Instant, Id)>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<PeerEvent>,
}

/// A datagram on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transmit {
    pub(crate) to: SocketAddr,
    pub(crate) datagram: Bytes,
}

/// What happened to a peer.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    /// Records can be exchanged. `begun` is when it proved its address.
    Established { id: Id, from: SocketAddr, chain: Option<Arc<VerifiedChain>>, alpn: Option<Vec<u8>>, begun: Instant },
    /// One record.
    Data { id: Id, record: Bytes },
    /// It is gone. Follows only where it was established.
    Closed { id: Id, why: Closed },
}

#[derive(Clone, Copy, Debug, Default)]
struct Route {
    connected: Option<Id>,
    half_open: Option<Id>,
}

struct Slot<A> {
    from: SocketAddr,
    association: A,
    /// What began it.
    hello: Option<[u8; 32]>,
    stage: Stage,
    begun: Instant,
    used: Instant,
    timer: Option<Instant>,
    _place: Admission,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `served` without encryption, where there is no handshake.
    HalfOpen {
        served: bool,
    },
    Connected,
}

impl<E: Engine> Associations<E> {
    pub(crate) fn new(engine: E, gate: Arc<DatagramGate>, meter: Meter) -> Self {
        Self {
            engine,
            gate,
            meter,
            admitting: true,
            next: 0,
            slots: HashMap::new(),
            routes: HashMap::new(),
            timers: BTreeSet::new(),
            connected: BTreeSet::new(),
            half_open: BTreeSet::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Whether a datagram wants something of us that takes time, and belongs to nobody who has shown more than his address. It then waits for
    /// its turn, and all others are dealt with at once: who is known must not wait for strangers, and a first hello, of which anybody can
    /// send any number, costs less than keeping it.
    pub(crate) fn takes_time(&self, now: Instant, from: SocketAddr, datagram: &[u8]) -> bool {
        let class = self.engine.class(datagram);
        class != Class::Noise
            && self.addressee(now, from, class).is_none()
            && !self.has_just_begun(now, from)
            && self.engine.takes_time(now, from, datagram)
    }

    /// Takes in what the socket received.
    pub(crate) fn handle_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let class = self.engine.class(datagram);
        if class == Class::Noise {
            return self.meter.dropped(Dropped::Noise);
        }
        match self.addressee(now, from, class) {
            Some(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.association.handle_datagram(now, datagram);
                }
                self.collect(now, id);
            }
            None => self.meet(now, from, class, datagram),
        }
    }

    /// Does what is due, or as much of it as [`TIMED`]; the rest is due at once.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<Id> = self.timers.range(..=(now, Id(u64::MAX))).map(|(_, id)| *id).take(TIMED).collect();
        for id in due {
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            if let Some(timer) = slot.timer.take() {
                self.timers.remove(&(timer, id));
            }
            if expiry(slot, &self.gate) <= now {
                let why = if slot.stage == (Stage::HalfOpen { served: false }) { Closed::Timeout } else { Closed::Idle };
                self.close(now, id, why);
                continue;
            }
            if slot.association.poll_timeout().is_some_and(|deadline| deadline <= now) {
                slot.association.handle_timeout(now);
            }
            self.collect(now, id);
        }
    }

    /// When to call `handle_timeout`.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The next datagram for the socket.
    pub(crate) fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened to a peer.
    pub(crate) fn poll_event(&mut self) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    /// Sends one record to a peer.
    pub(crate) fn send(&mut self, now: Instant, id: Id, record: &[u8]) -> Result<(), SendError> {
        let slot = self.slots.get_mut(&id).ok_or(SendError::Closed)?;
        let sent = slot.association.send(now, record);
        self.collect(now, id);
        sent
    }

    /// A peer without encryption has shown that it receives what is sent to its address, and is not one among those
    /// that are thrown out first any more.
    pub(crate) fn prove(&mut self, now: Instant, id: Id) {
        if self.slots.get(&id).is_some_and(|slot| slot.stage == Stage::HalfOpen { served: true }) && self.promote(now, id) {
            self.schedule(id);
        }
    }

    /// Takes leave of a peer.
    pub(crate) fn close(&mut self, now: Instant, id: Id, why: Closed) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.association.close(now);
        while let Some(datagram) = slot.association.poll_transmit() {
            self.transmits.push_back(Transmit { to: slot.from, datagram });
        }
        self.remove(id, why);
    }

    /// From now on there are no new peers, and who is half open is forgotten.
    pub(crate) fn stop_admitting(&mut self) {
        self.admitting = false;
        let unfinished = |id: &Id| self.slots.get(id).is_some_and(|slot| slot.stage == Stage::HalfOpen { served: false });
        let half_open: Vec<Id> = self.half_open.iter().map(|(_, id)| *id).filter(unfinished).collect();
        for id in half_open {
            self.remove(id, Closed::Local);
        }
    }

    /// Takes leave of everybody.
    pub(crate) fn close_all(&mut self, now: Instant) {
        let all: Vec<Id> = self.slots.keys().copied().collect();
        for id in all {
            self.close(now, id, Closed::Local);
        }
    }

    fn addressee(&self, now: Instant, from: SocketAddr, class: Class) -> Option<Id> {
        let route = self.routes.get(&from)?;
        match class {
            Class::Noise => None,
            // The same hello again was delayed or doubled on its way; another one is a peer that begins anew.
            Class::Hello(hello) => [route.half_open, route.connected].into_iter().flatten().find(|id| self.began(now, *id, hello)),
            Class::Handshake => route.half_open.or(route.connected),
            Class::Record => route.connected.or(route.half_open),
        }
    }

    fn began(&self, now: Instant, id: Id, hello: [u8; 32]) -> bool {
        let is_recent = |slot: &Slot<_>| slot.stage != Stage::Connected || now.saturating_duration_since(slot.begun) < DELAYED;
        self.slots.get(&id).is_some_and(|slot| slot.hello == Some(hello) && is_recent(slot))
    }

    fn meet(&mut self, now: Instant, from: SocketAddr, class: Class, datagram: &[u8]) {
        if !self.admitting {
            return self.meter.dropped(Dropped::Draining);
        }
        // Held off here, a flood costs a look at a count and no cryptography.
        if self.has_just_begun(now, from) {
            return self.meter.dropped(Dropped::Again);
        }
        if let Err(refused) = self.gate.half_open.look(from.ip())
            && self.victim(&self.half_open, from.ip(), refused, now.checked_sub(E::PATIENCE)).is_none()
            && (refused == Refused::PeerFull || self.gate.half_open.crowd(from.ip()).is_none())
        {
            return self.meter.dropped(Dropped::from(refused));
        }
        match self.engine.meet(now, from, datagram) {
            Meeting::Ignored => self.meter.dropped(Dropped::Stranger),
            Meeting::Answered(datagram) => {
                self.meter.challenged();
                self.transmits.push_back(Transmit { to: from, datagram });
            }
            Meeting::Begun(association) => {
                let hello = if let Class::Hello(hello) = class { Some(hello) } else { None };
                self.begin(now, from, hello, association);
            }
        }
    }

    fn has_just_begun(&self, now: Instant, from: SocketAddr) -> bool {
        let attempt = self.routes.get(&from).and_then(|route| self.slots.get(&route.half_open?));
        attempt.is_some_and(|slot| now.saturating_duration_since(slot.begun) < self.gate.config.attempt_pause)
    }

    fn begin(&mut self, now: Instant, from: SocketAddr, hello: Option<[u8; 32]>, association: E::Association) {
        // The peer proved with this hello's cookie that it gave up the one before.
        if let Some(previous) = self.routes.get(&from).and_then(|route| route.half_open) {
            self.remove(previous, Closed::Replaced);
        }
        let place = match self.gate.half_open.take(from.ip()) {
            Ok(place) => place,
            Err(refused) => {
                let silent = self.victim(&self.half_open, from.ip(), refused, now.checked_sub(E::PATIENCE));
                if let Some(victim) = silent.or_else(|| self.one_of_the_crowd(from.ip(), refused)) {
                    self.remove(victim, Closed::Evicted);
                }
                match self.gate.half_open.take(from.ip()) {
                    Ok(place) => place,
                    Err(refused) => return self.meter.dropped(Dropped::from(refused)),
                }
            }
        };
        let id = Id(self.next);
        self.next += 1;
        let stage = Stage::HalfOpen { served: false };
        let slot = Slot { from, association, hello, stage, begun: now, used: now, timer: None, _place: place };
        self.slots.insert(id, slot);
        self.half_open.insert((now, id));
        self.routes.entry(from).or_default().half_open = Some(id);
        self.meter.half_open(1);
        self.collect(now, id);
    }

    /// Takes from an association all that it has to say.
    fn collect(&mut self, now: Instant, id: Id) {
        loop {
            let Some(slot) = self.slots.get_mut(&id) else { return };
            while let Some(datagram) = slot.association.poll_transmit() {
                self.transmits.push_back(Transmit { to: slot.from, datagram });
            }
            let (from, begun) = (slot.from, slot.begun);
            match slot.association.poll_event() {
                None => break,
                Some(Event::Data(record)) => {
                    self.touch(now, id);
                    self.events.push_back(PeerEvent::Data { id, record });
                }
                Some(Event::Closed(why)) => return self.remove(id, why),
                Some(Event::Established { proof: Proof::Nothing, .. }) => {
                    slot.stage = Stage::HalfOpen { served: true };
                    self.events.push_back(PeerEvent::Established { id, from, chain: None, alpn: None, begun });
                }
                Some(Event::Established { proof, alpn }) => {
                    if !self.promote(now, id) {
                        return self.close(now, id, Closed::Refused);
                    }
                    let chain = if let Proof::Chain(chain) = proof { Some(chain) } else { None };
                    self.events.push_back(PeerEvent::Established { id, from, chain, alpn, begun });
                }
            }
        }
        self.schedule(id);
    }

    /// Gives a half-open association its place among the connected ones.
    fn promote(&mut self, now: Instant, id: Id) -> bool {
        let Some(from) = self.slots.get(&id).map(|slot| slot.from) else { return false };
        if let Some(previous) = self.routes.get(&from).and_then(|route| route.connected) {
            self.remove(previous, Closed::Replaced);
        }
        let mut place = self.gate.connected.take(from.ip());
        if let Err(refused) = place
            && let Some(victim) = self.victim(&self.connected, from.ip(), refused, Some(now))
        {
            self.close(now, victim, Closed::Evicted);
            place = self.gate.connected.take(from.ip());
        }
        let (Ok(place), Some(slot)) = (place, self.slots.get_mut(&id)) else { return false };
        self.half_open.remove(&(slot.used, id));
        self.connected.insert((now, id));
        slot.stage = Stage::Connected;
        slot.used = now;
        slot._place = place;
        let route = self.routes.entry(from).or_default();
        *route = Route { connected: Some(id), half_open: None };
        self.meter.half_open(-1);
        self.meter.connected(1);
        true
    }

    /// Who has to go so that this address can have a place: the one that was silent for longest, of the same network
    /// where that is what is full; nobody who was heard of after `before`.
    fn victim(&self, among: &BTreeSet<(Instant, Id)>, address: IpAddr, refused: Refused, before: Option<Instant>) -> Option<Id> {
        let network = self.gate.connected.network(address);
        let same = |id: &Id| self.slots.get(id).is_some_and(|slot| self.gate.connected.network(slot.from.ip()) == network);
        let mut silent = among.iter().take_while(|(used, _)| before.is_some_and(|before| *used <= before)).map(|(_, id)| *id);
        match refused {
            Refused::Full => silent.next(),
            Refused::PeerFull => silent.take(SEARCHED).find(same),
        }
    }

    /// The one that is half open for longest of the network that has to give one to this address.
    fn one_of_the_crowd(&self, address: IpAddr, refused: Refused) -> Option<Id> {
        let crowd = self.gate.half_open.crowd(address).filter(|_| refused == Refused::Full)?;
        let is_one = |id: &Id| self.slots.get(id).is_some_and(|slot| self.gate.half_open.network(slot.from.ip()) == crowd);
        self.half_open.iter().map(|(_, id)| *id).find(is_one)
    }

    fn touch(&mut self, now: Instant, id: Id) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let order = if slot.stage == Stage::Connected { &mut self.connected } else { &mut self.half_open };
        order.remove(&(slot.used, id));
        order.insert((now, id));
        slot.used = now;
    }

    /// Moves the timer to where it must not be later. One that is too early finds nothing to do and is set again.
    fn schedule(&mut self, id: Id) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let expiry = expiry(slot, &self.gate);
        let deadline = slot.association.poll_timeout().map_or(expiry, |deadline| deadline.min(expiry));
        if slot.timer.is_some_and(|timer| timer <= deadline) {
            return;
        }
        if let Some(timer) = slot.timer.replace(deadline) {
            self.timers.remove(&(timer, id));
        }
        self.timers.insert((deadline, id));
    }

    fn remove(&mut self, id: Id, why: Closed) {
        let Some(slot) = self.slots.remove(&id) else { return };
        if let Some(timer) = slot.timer {
            self.timers.remove(&(timer, id));
        }
        if slot.stage == Stage::Connected {
            self.connected.remove(&(slot.used, id));
            self.meter.connected(-1);
        } else {
            self.half_open.remove(&(slot.used, id));
            self.meter.half_open(-1);
        }
        if let Some(route) = self.routes.get_mut(&slot.from) {
            route.connected = route.connected.filter(|other| *other != id);
            route.half_open = route.half_open.filter(|other| *other != id);
            if route.connected.is_none() && route.half_open.is_none() {
                self.routes.remove(&slot.from);
            }
        }
        if slot.stage == (Stage::HalfOpen { served: false }) {
            self.meter.handshake_failed(why);
        } else {
            self.meter.closed(why);
            self.events.push_back(PeerEvent::Closed { id, why });
        }
    }
}

impl<E: Engine> Drop for Associations<E> {
    fn drop(&mut self) {
        for slot in self.slots.values() {
            if slot.stage == Stage::Connected { self.meter.connected(-1) } else { self.meter.half_open(-1) }
        }
    }
}

fn expiry<A>(slot: &Slot<A>, gate: &DatagramGate) -> Instant {
    match slot.stage {
        Stage::HalfOpen { served: false } => slot.begun + gate.config.handshake_timeout,
        Stage::HalfOpen { served: true } => slot.used + gate.config.handshake_timeout,
        Stage::Connected => slot.used + gate.config.idle_timeout,
    }
}

#[cfg(test)]
mod tests;
