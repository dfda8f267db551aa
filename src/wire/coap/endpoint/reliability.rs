//! Confirmable messages on their way (RFC 7252 §4.2, §4.7).
//!
//! At most NSTART of them wait for an acknowledgement; the others stand in line, in the order in which they were sent. What
//! gets an id, and what becomes of a message that was given up, is for the endpoint.

use super::{Owner, config};
use crate::coap::{Message, MessageId};
use bytes::Bytes;
use std::{collections::VecDeque, time::Duration, time::Instant};

#[derive(Debug, Default)]
pub(super) struct Outbound {
    in_flight: Vec<InFlight>,
    waiting: VecDeque<(Owner, Message)>,
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: MessageId,
    pub(super) owner: Owner,
    datagram: Bytes,
    sent: Instant,
    timeout: Duration,
    next: Instant,
    repetitions: u32,
}

/// What is due.
#[derive(Debug)]
pub(super) enum Due {
    /// Nothing came back yet.
    Repeat(Bytes),
    /// Nothing came back at all.
    GiveUp(Owner),
}

impl Outbound {
    pub(super) fn give_back(&mut self) {
        if self.is_idle() {
            *self = Self::default();
        }
    }

    /// Puts a message in line.
    pub(super) fn push(&mut self, owner: Owner, message: Message) {
        self.waiting.push_back((owner, message));
    }

    /// Takes the next in line, if NSTART lets it go.
    pub(super) fn next(&mut self, nstart: usize) -> Option<(Owner, Message)> {
        if self.in_flight.len() >= nstart.max(1) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// Whether a message in line may go now.
    pub(super) fn is_ready(&self, nstart: usize) -> bool {
        self.in_flight.len() < nstart.max(1) && !self.waiting.is_empty()
    }

    /// Puts back what could not go.
    pub(super) fn put_back(&mut self, owner: Owner, message: Message) {
        self.waiting.push_front((owner, message));
    }

    /// Starts the clock of a message that goes out now. `draw` is random.
    pub(super) fn start(&mut self, now: Instant, owner: Owner, id: MessageId, datagram: Bytes, settings: &config::Reliability, draw: u32) {
        let timeout = first_timeout(settings, draw);
        self.in_flight.push(InFlight { id, owner, datagram, sent: now, timeout, next: now + timeout, repetitions: 0 });
    }

    /// Takes the message that an acknowledgement or a reset names. The time is that of a round trip, where it can be known.
    pub(super) fn take(&mut self, now: Instant, id: MessageId) -> Option<(Owner, Option<Duration>)> {
        let place = self.in_flight.iter().position(|message| message.id == id)?;
        let message = self.in_flight.remove(place);
        let round_trip = (message.repetitions == 0).then(|| now.saturating_duration_since(message.sent));
        Some((message.owner, round_trip))
    }

    /// Whose message it is.
    pub(super) fn owner(&self, id: MessageId) -> Option<Owner> {
        self.in_flight.iter().find(|message| message.id == id).map(|message| message.owner)
    }

    /// Stops whatever is sent for an owner.
    pub(super) fn cancel(&mut self, owner: Owner) {
        self.in_flight.retain(|message| message.owner != owner);
        self.waiting.retain(|(waiting, _)| *waiting != owner);
    }

    /// Whether something of the owner waits or is on its way.
    pub(super) fn has(&self, owner: Owner) -> bool {
        self.in_flight.iter().any(|message| message.owner == owner) || self.waiting.iter().any(|(waiting, _)| *waiting == owner)
    }

    /// RFC 7252 §4.2: repeats with twice the timeout, and gives up after MAX_RETRANSMIT repetitions.
    pub(super) fn handle_timeout(&mut self, now: Instant, settings: &config::Reliability) -> Option<Due> {
        let place = self.in_flight.iter().position(|message| message.next <= now)?;
        let message = self.in_flight.get_mut(place)?;
        if message.repetitions >= settings.max_retransmit {
            return Some(Due::GiveUp(self.in_flight.remove(place).owner));
        }
        message.repetitions += 1;
        message.timeout = message.timeout.saturating_mul(2);
        // From when it was due, so that a late caller does not stretch the exchange; but never in the past.
        message.next = (message.next + message.timeout).max(now);
        Some(Due::Repeat(message.datagram.clone()))
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.in_flight.iter().map(|message| message.next).min()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty()
    }
}

/// RFC 7252 §4.2: between ACK_TIMEOUT and ACK_TIMEOUT times ACK_RANDOM_FACTOR.
fn first_timeout(settings: &config::Reliability, draw: u32) -> Duration {
    let spread = settings.ack_timeout.saturating_mul(settings.ack_random_percent.saturating_sub(100)) / 100;
    settings.ack_timeout + spread.mul_f64(f64::from(draw) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::{super::RequestId, *};
    use crate::coap::{Code, Token};

    fn sent(outbound: &mut Outbound, now: Instant, request: u64, draw: u32) {
        let owner = Owner::Request(RequestId(request));
        outbound.start(now, owner, MessageId(request as u16), Bytes::from_static(b"x"), &config::Reliability::default(), draw);
    }

    #[test]
    fn section_4_2_the_wait_doubles_and_ends_after_four_repetitions() {
        let (start, settings) = (Instant::now(), config::Reliability::default());
        for draw in [0, u32::MAX] {
            let mut outbound = Outbound::default();
            sent(&mut outbound, start, 1, draw);
            let (mut now, mut repeated) = (start, Vec::new());
            loop {
                now = outbound.next_timeout().unwrap_or(now);
                match outbound.handle_timeout(now, &settings) {
                    Some(Due::Repeat(_)) => repeated.push((now - start).as_millis()),
                    Some(Due::GiveUp(_)) => break,
                    None => panic!("nothing was due at its time"),
                }
            }
            let expected: [u128; 4] = if draw == 0 { [2000, 6000, 14_000, 30_000] } else { [3000, 9000, 21_000, 45_000] };
            assert_eq!(repeated, expected);
            assert_eq!((now - start).as_secs(), if draw == 0 { 62 } else { 93 });
            assert!(outbound.is_idle());
        }
    }

    #[test]
    fn section_4_8_2_the_derived_times_are_those_of_the_table() {
        let settings = config::Reliability::default();
        assert_eq!(settings.max_transmit_span().as_secs(), 45);
        assert_eq!(settings.max_transmit_wait().as_secs(), 93);
        assert_eq!(settings.exchange_lifetime().as_secs(), 247);
        assert_eq!(settings.non_lifetime().as_secs(), 145);
    }

    #[test]
    fn section_4_7_one_message_waits_for_its_acknowledgement_before_the_next_goes() {
        let now = Instant::now();
        let mut outbound = Outbound::default();
        for request in 1..=2 {
            outbound.push(Owner::Request(RequestId(request)), Message::new(Code::GET, Token::EMPTY));
        }
        let (owner, _) = outbound.next(1).unwrap();
        assert_eq!(owner, Owner::Request(RequestId(1)));
        sent(&mut outbound, now, 1, 0);
        assert!(outbound.next(1).is_none());
        assert!(outbound.take(now, MessageId(1)).is_some());
        assert!(outbound.next(1).is_some());
    }

    #[test]
    fn a_round_trip_is_known_only_of_what_was_sent_once() {
        let (now, settings) = (Instant::now(), config::Reliability::default());
        let mut outbound = Outbound::default();
        sent(&mut outbound, now, 1, 0);
        sent(&mut outbound, now, 2, 0);
        let later = now + Duration::from_millis(300);
        assert_eq!(outbound.take(later, MessageId(1)).unwrap().1, Some(Duration::from_millis(300)));
        outbound.handle_timeout(now + settings.ack_timeout, &settings);
        assert_eq!(outbound.take(now + settings.ack_timeout, MessageId(2)).unwrap().1, None);
        assert!(outbound.take(now, MessageId(3)).is_none());
    }
}
