//! Messages in datagrams: what is acknowledged, repeated, recognised and rejected (RFC 7252 §4).

use super::{
    Closed, Endpoint, Link, Owner, Phase,
    client::Verdict,
    dedup::{Answer, Dedup},
    emptied,
    message_ids::MessageIds,
    probing::Probing,
    reliability::{Due, Outbound},
    server::Arrival,
};
use crate::coap::{self, Datagram, Kind, Message, MessageId, OptionRule, udp::Rule};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The state of the message layer.
#[derive(Debug)]
pub(super) struct Udp {
    pub(super) outbound: Outbound,
    /// Non-confirmable messages that wait for PROBING_RATE.
    held: VecDeque<(Owner, Message)>,
    ids: MessageIds,
    dedup: Dedup,
    probing: Probing,
    /// Whose the last non-confirmable messages were: the peer may reject them.
    non_confirmable: VecDeque<(MessageId, Owner)>,
    pub(super) round_trip: Option<Duration>,
}

impl Udp {
    pub(super) fn new(first_id: u16) -> Self {
        Self {
            outbound: Outbound::default(),
            held: VecDeque::new(),
            ids: MessageIds::starting_at(first_id),
            dedup: Dedup::default(),
            probing: Probing::default(),
            non_confirmable: VecDeque::new(),
            round_trip: None,
        }
    }

    /// Messages in line, and the entries and bytes of the window for duplicates.
    pub(super) fn usage(&self) -> (usize, usize, usize) {
        (self.waiting(), self.dedup.len(), self.dedup.bytes())
    }

    pub(super) fn waiting(&self) -> usize {
        self.outbound.waiting() + self.held.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.outbound.is_idle() && self.held.is_empty()
    }

    /// `unwatched` where nothing follows from a rejection of what was sent.
    pub(super) fn give_back(&mut self, unwatched: bool) {
        self.outbound.give_back();
        emptied(&mut self.held);
        if unwatched {
            self.non_confirmable = VecDeque::new();
        }
    }

    /// Whether a non-confirmable message may go now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.held.is_empty() && self.probing.allows(now)
    }

    /// When a non-confirmable message may go.
    pub(super) fn free_at(&self) -> Option<Instant> {
        self.probing.free_at()
    }

    /// Nothing of the owner is sent any more.
    pub(super) fn cancel(&mut self, owner: Owner) {
        self.outbound.cancel(owner);
        self.held.retain(|(held, _)| *held != owner);
    }

    /// RFC 6298 §2.3 with its usual weight.
    fn measure(&mut self, sample: Option<Duration>) {
        let Some(sample) = sample else { return };
        self.round_trip = Some(self.round_trip.map_or(sample, |smoothed| smoothed - smoothed / 8 + sample / 8));
    }
}

impl Endpoint {
    /// Takes a datagram of the peer. On an endpoint for TCP nothing happens.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Bytes) {
        if self.phase == Phase::Closed || self.udp_mut().is_none() {
            return;
        }
        let limits = coap::Limits { message: self.config.limits.message, options: self.config.limits.options };
        match Datagram::parse(datagram, &limits) {
            Ok(datagram) => self.receive(now, datagram),
            Err(error) => {
                self.counters.malformed += 1;
                self.counters.refused_messages += u64::from(error.rule == Rule::Long);
                self.counters.refused_many_options += u64::from(error.rule == Rule::Options(OptionRule::TooMany));
                // RFC 7252 §4.2: only a confirmable message is rejected aloud.
                if let Some(id) = error.reset() {
                    self.send_empty(Kind::Reset, id);
                }
            }
        }
        self.flush(now);
        self.settle();
    }

    fn receive(&mut self, now: Instant, datagram: Datagram) {
        self.heard(now);
        let Some(udp) = self.udp_mut() else { return };
        udp.probing.heard();
        let Datagram { kind, id, message } = datagram;
        match kind {
            Kind::Acknowledgement => self.acknowledged(now, id, message),
            Kind::Reset => self.rejected(now, id, &message),
            Kind::Confirmable if message.code.is_empty() => self.send_empty(Kind::Reset, id),
            Kind::NonConfirmable if message.code.is_empty() => self.counters.unexpected += 1,
            Kind::Confirmable | Kind::NonConfirmable => self.received_once(now, kind == Kind::Confirmable, id, message),
        }
    }

    fn received_once(&mut self, now: Instant, confirmable: bool, id: MessageId, message: Message) {
        let settings = &self.config.reliability;
        let lifetime = if confirmable { settings.exchange_lifetime() } else { settings.non_lifetime() };
        let entries = self.config.limits.dedup_entries;
        let Some(udp) = self.udp_mut() else { return };
        if let Some(answer) = udp.dedup.copy(now, id) {
            let answer = answer.clone();
            self.counters.duplicates += 1;
            match answer {
                Answer::Nothing => {}
                Answer::Again(datagram) => self.enqueue(datagram),
                Answer::Acknowledge if confirmable => self.send_empty(Kind::Acknowledgement, id),
                Answer::Acknowledge => {}
            }
            return;
        }
        let forgotten = udp.dedup.remember(id, now + lifetime, entries);
        self.counters.forgotten += forgotten;
        if message.code.is_request() {
            return self.incoming_request(now, message, Some(Arrival { id, confirmable, acknowledged: false }));
        }
        let notification = message.options.observe().is_some();
        match (self.incoming_response(now, message), confirmable) {
            (Verdict::Taken, true) => self.send_empty(Kind::Acknowledgement, id),
            (Verdict::Taken, false) => {}
            // RFC 7252 §4.2; RFC 7641 §3.6: whoever notifies us of something forgotten has to hear of it.
            (Verdict::Unknown | Verdict::Refused, true) => self.send_empty(Kind::Reset, id),
            (Verdict::Unknown | Verdict::Refused, false) if notification => self.send_empty(Kind::Reset, id),
            (Verdict::Unknown | Verdict::Refused, false) => {}
        }
    }

    fn acknowledged(&mut self, now: Instant, id: MessageId, message: Message) {
        let Some(owner) = self.udp_mut().and_then(|udp| udp.outbound.owner(id)) else {
            self.counters.unexpected += 1;
            return;
        };
        if message.code.is_empty() {
            self.taken(now, id);
            match owner {
                Owner::Request(request) => self.request_acknowledged(now, request),
                Owner::Ping(ping) => self.ponged(ping, false),
                Owner::Notification(_) | Owner::Answer => {}
            }
        } else if message.code.is_response() && matches!(owner, Owner::Request(request) if self.awaits(request, message.token)) {
            self.taken(now, id);
            self.incoming_response(now, message);
        } else {
            // RFC 7252 §4.2: an acknowledgement that makes no sense is ignored, and acknowledges nothing.
            self.counters.unexpected += 1;
        }
    }

    fn rejected(&mut self, now: Instant, id: MessageId, message: &Message) {
        if !message.code.is_empty() {
            self.counters.unexpected += 1;
            return;
        }
        let owner = self.taken(now, id).or_else(|| {
            let udp = self.udp_mut()?;
            let place = udp.non_confirmable.iter().position(|(sent, _)| *sent == id)?;
            udp.non_confirmable.remove(place).map(|(_, owner)| owner)
        });
        match owner {
            Some(Owner::Request(request)) => self.request_rejected(request),
            Some(Owner::Notification(observation)) => self.observer_rejected(observation),
            Some(Owner::Ping(ping)) => self.ponged(ping, false),
            Some(Owner::Answer) => {}
            None => self.counters.unexpected += 1,
        }
    }

    fn taken(&mut self, now: Instant, id: MessageId) -> Option<Owner> {
        let udp = self.udp_mut()?;
        let (owner, sample) = udp.outbound.take(now, id)?;
        udp.measure(sample);
        Some(owner)
    }

    /// Sends an answer: with the acknowledgement if there was none yet, else as a message of its own (RFC 7252 §5.2).
    pub(super) fn send_answer(&mut self, now: Instant, arrival: Option<&Arrival>, message: Message) {
        match arrival {
            None => self.send_frame(&message),
            Some(Arrival { id, confirmable: true, acknowledged: false }) => {
                let datagram = encoded(&Datagram { kind: Kind::Acknowledgement, id: *id, message });
                self.answered_with(*id, datagram.clone());
                self.enqueue(datagram);
            }
            Some(Arrival { confirmable: true, .. }) if self.waiting() >= self.config.limits.waiting => {
                self.counters.refused_waiting += 1;
            }
            Some(Arrival { confirmable: true, .. }) => self.send(now, Owner::Answer, message, true),
            Some(Arrival { confirmable: false, .. }) => self.send_non_confirmable(now, Owner::Answer, message),
        }
    }

    /// Sends an acknowledgement or a reset, which a copy of the message will get too.
    pub(super) fn send_empty(&mut self, kind: Kind, id: MessageId) {
        let datagram = encoded(&Datagram::empty(kind, id));
        self.answered_with(id, datagram.clone());
        self.enqueue(datagram);
    }

    fn answered_with(&mut self, id: MessageId, datagram: Bytes) {
        let capacity = self.config.limits.dedup_bytes;
        if let Some(udp) = self.udp_mut() {
            let forgotten = udp.dedup.answer(id, datagram, capacity);
            self.counters.forgotten_answers += forgotten;
        }
    }

    /// Sends a message of ours, over either transport. Whether the line behind NSTART takes it was asked before.
    pub(super) fn send(&mut self, now: Instant, owner: Owner, message: Message, confirmable: bool) {
        match &mut self.link {
            Link::Tcp(_) => {
                self.send_frame(&message);
                if let Owner::Request(request) = owner {
                    self.request_transmitted(now, request);
                }
            }
            Link::Udp(udp) if confirmable => {
                udp.outbound.push(owner, message);
                self.pump(now);
            }
            Link::Udp(udp) if udp.allows(now) => self.send_non_confirmable(now, owner, message),
            Link::Udp(udp) => udp.held.push_back((owner, message)),
        }
    }

    fn send_non_confirmable(&mut self, now: Instant, owner: Owner, message: Message) {
        let (lifetime, settings) = (self.config.reliability.exchange_lifetime(), self.config.clone());
        let Some(udp) = self.udp_mut() else { return };
        let Some(id) = udp.ids.next(now, lifetime) else {
            self.counters.dropped += 1;
            return;
        };
        let datagram = encoded(&Datagram { kind: Kind::NonConfirmable, id, message });
        if owner != Owner::Answer {
            udp.probing.sent(now, datagram.len(), &settings.reliability);
            if udp.non_confirmable.len() >= REMEMBERED {
                udp.non_confirmable.pop_front();
            }
            udp.non_confirmable.push_back((id, owner));
        }
        self.enqueue(datagram);
        if let Owner::Request(request) = owner {
            self.request_transmitted(now, request);
        }
    }

    /// An empty confirmable message, which the peer has to reject (RFC 7252 §4.3). It does not stand in line.
    pub(super) fn send_empty_confirmable(&mut self, now: Instant, owner: Owner) {
        let (draw, config) = (u32::from_be_bytes(self.draw()), self.config.clone());
        let Some(udp) = self.udp_mut() else { return };
        let Some(id) = udp.ids.next(now, config.reliability.exchange_lifetime()) else { return };
        let datagram = encoded(&Datagram::empty(Kind::Confirmable, id));
        udp.outbound.start(now, owner, id, datagram.clone(), &config.reliability, draw);
        self.enqueue(datagram);
    }

    /// Lets go what NSTART, PROBING_RATE and the message ids allow.
    pub(super) fn pump(&mut self, now: Instant) {
        if self.waiting() == 0 {
            return;
        }
        let config = self.config.clone();
        let lifetime = config.reliability.exchange_lifetime();
        while let Some(udp) = self.udp_mut()
            && let Some((owner, message)) = udp.outbound.next(config.reliability.nstart)
        {
            let Some(id) = udp.ids.next(now, lifetime) else {
                udp.outbound.put_back(owner, message);
                break;
            };
            let datagram = encoded(&Datagram { kind: Kind::Confirmable, id, message });
            let draw = u32::from_be_bytes(self.draw());
            if let Some(udp) = self.udp_mut() {
                udp.outbound.start(now, owner, id, datagram.clone(), &config.reliability, draw);
            }
            self.enqueue(datagram);
            if let Owner::Request(request) = owner {
                self.request_transmitted(now, request);
            }
        }
        while let Some(udp) = self.udp_mut()
            && udp.probing.allows(now)
            && let Some((owner, message)) = udp.held.pop_front()
        {
            self.send_non_confirmable(now, owner, message);
        }
    }

    /// Puts a datagram out, or drops it as a network would.
    fn enqueue(&mut self, datagram: Bytes) {
        if self.outbox.takes(datagram.len(), self.config.limits.queue_bytes) {
            self.outbox.push(datagram);
        } else {
            self.counters.dropped += 1;
        }
    }

    pub(super) fn link_handle_timeout(&mut self, now: Instant) {
        let config = self.config.clone();
        if let Some(udp) = self.udp_mut() {
            udp.dedup.handle_timeout(now);
        }
        while let Some(due) = self.udp_mut().and_then(|udp| udp.outbound.handle_timeout(now, &config.reliability)) {
            match due {
                Due::Repeat(datagram) => {
                    self.counters.retransmissions += 1;
                    self.enqueue(datagram);
                }
                Due::GiveUp(Owner::Request(request)) => self.request_given_up(request),
                Due::GiveUp(Owner::Notification(observation)) => self.observer_silent(observation),
                Due::GiveUp(Owner::Ping(_) | Owner::Answer) => {}
            }
        }
        self.handle_custody(now);
    }

    pub(super) fn link_timeout(&self) -> Option<Instant> {
        match &self.link {
            Link::Udp(udp) => {
                let settings = &self.config.reliability;
                let held = (!udp.held.is_empty()).then(|| udp.probing.free_at()).flatten();
                let id = udp.outbound.is_ready(settings.nstart).then(|| udp.ids.free_at(settings.exchange_lifetime())).flatten();
                [udp.outbound.next_timeout(), udp.dedup.next_timeout(), held, id].into_iter().flatten().min()
            }
            Link::Tcp(tcp) => tcp.next_timeout(),
        }
    }

    pub(super) fn link_is_idle(&self) -> bool {
        match &self.link {
            Link::Udp(udp) => udp.is_idle(),
            Link::Tcp(tcp) => tcp.is_idle(),
        }
    }

    /// How many messages stand in line.
    pub(super) fn waiting(&self) -> usize {
        match &self.link {
            Link::Udp(udp) => udp.waiting(),
            Link::Tcp(_) => 0,
        }
    }

    /// Nothing of the owner is sent any more.
    pub(super) fn stop_sending(&mut self, owner: Owner) {
        if let Some(udp) = self.udp_mut() {
            udp.cancel(owner);
        }
    }

    pub(super) fn udp_mut(&mut self) -> Option<&mut Udp> {
        match &mut self.link {
            Link::Udp(udp) => Some(udp),
            Link::Tcp(_) => None,
        }
    }

    /// Sends a message over TCP, and closes a connection whose peer takes nothing.
    pub(super) fn send_frame(&mut self, message: &Message) {
        let Link::Tcp(tcp) = &self.link else { return };
        let frame = tcp.encoded(message);
        if self.outbox.takes(frame.len(), self.config.limits.queue_bytes) {
            self.outbox.push(frame);
        } else {
            self.counters.dropped += 1;
            self.close(Closed::Congested);
        }
    }
}

fn encoded(datagram: &Datagram) -> Bytes {
    let mut bytes = BytesMut::with_capacity(datagram.encoded_length());
    datagram.encode(&mut bytes);
    bytes.freeze()
}

/// How many non-confirmable messages are remembered in case that the peer rejects them.
const REMEMBERED: usize = 64;
