//! A peer that has finished its handshake with us, a server: what is said under the keys, and nothing else.
//!
//! [`association`](super::association) makes it and asks it. It has no timers, because nothing that it sends is waited for; only the last
//! flight of the handshake is kept, for a peer that did not get it.

use super::{
    protection::{Protection, Unheard, records},
    sessions::Sessions,
};
use crate::{
    dtls::OVERHEAD,
    udp::engine::{Closed, Event, SendError},
};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};

/// Content types (RFC 5246 §6.2.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// Handshake types (RFC 5246 §7.4).
const CLIENT_HELLO: u8 = 1;
const FINISHED: u8 = 20;

/// Alerts (RFC 5246 §7.2).
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const NO_RENEGOTIATION: u8 = 100;

/// How often the last flight is sent again to a peer that asks for it.
pub(super) const REPETITIONS: u8 = 12;

/// The server's end of a connection.
pub(super) struct Connected {
    protection: Protection,
    mtu: usize,
    is_over: bool,
    pub(super) outgoing: VecDeque<Bytes>,
    pub(super) events: VecDeque<Event>,
    /// The last flight of the handshake, as it was sent.
    last_flight: Box<[Bytes]>,
    repetitions: u8,
    sessions: Arc<Sessions>,
    session: Box<[u8]>,
}

impl Connected {
    /// Goes on where the handshake has ended: with what it has sent last and nobody has taken yet, and with what has happened in it.
    pub(super) fn new(
        protection: Protection,
        mtu: usize,
        outgoing: VecDeque<Bytes>,
        events: VecDeque<Event>,
        sessions: Arc<Sessions>,
        session: Vec<u8>,
    ) -> Self {
        let last_flight = outgoing.iter().cloned().collect();
        let session = session.into_boxed_slice();
        Self { protection, mtu, is_over: false, outgoing, events, last_flight, repetitions: 0, sessions, session }
    }

    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) {
        for record in records(datagram) {
            if self.is_over {
                return;
            }
            match self.protection.open(record) {
                // Each costs as much as a real one: a datagram of nothing but such is given up at the first.
                Err(Unheard::Forged) => return,
                Err(Unheard::NotForUs) => {}
                Ok((APPLICATION_DATA, content)) => self.events.push_back(Event::Data(content.into())),
                Ok((ALERT, content)) => self.hear(&content),
                // RFC 6347 §4.2.4: it says so again because it has not heard the answer.
                Ok((HANDSHAKE, content)) if content.first() == Some(&FINISHED) => self.repeat(),
                Ok((HANDSHAKE, content)) if content.first() == Some(&CLIENT_HELLO) => self.say(ALERT, &[WARNING, NO_RENEGOTIATION]),
                Ok(_) => {}
            }
        }
    }

    pub(super) fn send(&mut self, record: &[u8]) -> Result<(), SendError> {
        if self.is_over {
            return Err(SendError::Closed);
        }
        if record.len() > self.mtu.saturating_sub(OVERHEAD) {
            return Err(SendError::TooLong);
        }
        if !record.is_empty() {
            self.say(APPLICATION_DATA, record);
        }
        if self.is_over { Err(SendError::Closed) } else { Ok(()) }
    }

    pub(super) fn close(&mut self) {
        if !self.is_over {
            self.say(ALERT, &[WARNING, CLOSE_NOTIFY]);
        }
        self.is_over = true;
    }

    fn hear(&mut self, alert: &[u8]) {
        match *alert {
            [_, CLOSE_NOTIFY] => {
                // RFC 5246 §7.2.1: a goodbye is answered with one.
                self.say(ALERT, &[WARNING, CLOSE_NOTIFY]);
                self.end(Closed::Peer);
            }
            [FATAL, _] => {
                // RFC 5246 §7.2: what has failed must not be taken up.
                self.sessions.forget(&self.session);
                self.end(Closed::Protocol);
            }
            _ => {}
        }
    }

    fn repeat(&mut self) {
        if self.repetitions < REPETITIONS {
            self.repetitions += 1;
            self.outgoing.extend(self.last_flight.iter().cloned());
        }
    }

    fn say(&mut self, kind: u8, content: &[u8]) {
        match self.protection.seal(kind, content) {
            Some(record) => self.outgoing.push_back(record.into()),
            None => self.end(Closed::Protocol),
        }
    }

    fn end(&mut self, why: Closed) {
        if !self.is_over {
            self.is_over = true;
            self.events.push_back(Event::Closed(why));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dtls::protection::ends, udp::meter::Meter};
    use gatehouse_base::{Clock, SimulatedClock};
    use gatehouse_types::UnixTime;
    use std::time::Duration;

    const LAST_FLIGHT: &[u8] = b"as it was sent";

    /// A connected peer, at both ends.
    fn connected() -> (Connected, Protection) {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(UnixTime::from_secs(0)));
        let sessions = Arc::new(Sessions::new(1, Duration::from_secs(60), clock, Meter::new("test".into())));
        let (server, client) = ends("ECDHE-ECDSA-AES128-GCM-SHA256");
        let outgoing = VecDeque::from([Bytes::from_static(LAST_FLIGHT)]);
        let mut connected = Connected::new(server, 1200, outgoing, VecDeque::new(), sessions, b"session".to_vec());
        connected.outgoing.clear();
        (connected, client)
    }

    /// What the peer hears, by type.
    fn heard(connected: &mut Connected, client: &mut Protection) -> Vec<(u8, Vec<u8>)> {
        connected.outgoing.drain(..).filter_map(|datagram| client.open(&datagram).ok()).collect()
    }

    fn tell(connected: &mut Connected, client: &mut Protection, kind: u8, content: &[u8]) {
        connected.handle_datagram(&client.seal(kind, content).expect("sealed"));
    }

    fn is_closed(connected: &Connected) -> Option<Closed> {
        connected.events.iter().find_map(|event| if let Event::Closed(why) = event { Some(*why) } else { None })
    }

    #[test]
    fn several_records_of_a_datagram_are_heard_one_by_one() {
        let (mut connected, mut client) = connected();
        let datagram = [b"one".as_slice(), b"two"].map(|content| client.seal(APPLICATION_DATA, content).expect("sealed")).concat();
        connected.handle_datagram(&datagram);
        let data = |event: &Event| if let Event::Data(record) = event { record.clone() } else { Bytes::new() };
        assert_eq!(connected.events.iter().map(data).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn what_is_behind_a_forged_record_is_not_looked_at() {
        let (mut connected, mut client) = connected();
        let genuine = client.seal(APPLICATION_DATA, b"genuine").expect("sealed");
        let forged = [&[23, 254, 253, 0, 1, 0, 0, 0, 0, 1, 0, 0, 30][..], &[7; 30]].concat();
        connected.handle_datagram(&[&forged[..], &genuine].concat());
        assert!(connected.events.is_empty());
        connected.handle_datagram(&genuine);
        assert_eq!(connected.events.len(), 1, "it has taken no number");
    }

    #[test]
    fn what_is_behind_a_record_of_the_handshake_or_one_that_came_already_is_heard() {
        let (mut connected, mut client) = connected();
        let plain = [20, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1];
        let [first, second] = [b"first!", b"second"].map(|content| client.seal(APPLICATION_DATA, content).expect("sealed"));
        connected.handle_datagram(&first);
        connected.handle_datagram(&[&plain[..], &first, &second].concat());
        assert_eq!(connected.events.len(), 2);
    }

    #[test]
    fn a_goodbye_is_answered_and_ends_it() {
        let (mut connected, mut client) = connected();
        tell(&mut connected, &mut client, ALERT, &[WARNING, CLOSE_NOTIFY]);
        assert_eq!(is_closed(&connected), Some(Closed::Peer));
        assert_eq!(heard(&mut connected, &mut client), [(ALERT, vec![WARNING, CLOSE_NOTIFY])]);
        assert_eq!(connected.send(b"too late"), Err(SendError::Closed));
        connected.close();
        assert!(connected.outgoing.is_empty(), "it is said once");
    }

    #[test]
    fn a_fatal_alert_ends_it_without_an_answer() {
        let (mut connected, mut client) = connected();
        tell(&mut connected, &mut client, ALERT, &[WARNING, 90]);
        assert_eq!(is_closed(&connected), None);
        tell(&mut connected, &mut client, ALERT, &[FATAL, 20]);
        assert_eq!(is_closed(&connected), Some(Closed::Protocol));
        assert!(connected.outgoing.is_empty());
    }

    #[test]
    fn who_ends_its_handshake_again_gets_the_last_flight_again_a_few_times() {
        let (mut connected, mut client) = connected();
        for _ in 0..2 * REPETITIONS {
            tell(&mut connected, &mut client, HANDSHAKE, &[FINISHED, 0, 0, 12]);
        }
        assert_eq!(connected.outgoing.len(), usize::from(REPETITIONS));
        assert!(connected.outgoing.iter().all(|datagram| datagram == LAST_FLIGHT));
    }

    #[test]
    fn nobody_begins_another_handshake_under_the_keys() {
        let (mut connected, mut client) = connected();
        tell(&mut connected, &mut client, HANDSHAKE, &[CLIENT_HELLO, 0, 0, 0]);
        assert_eq!(heard(&mut connected, &mut client), [(ALERT, vec![WARNING, NO_RENEGOTIATION])]);
        tell(&mut connected, &mut client, APPLICATION_DATA, b"still here");
        assert!(matches!(connected.events.back(), Some(Event::Data(record)) if record == "still here"));
    }

    #[test]
    fn what_is_sent_fits_into_a_datagram() {
        let (mut connected, mut client) = connected();
        let longest = vec![1; 1200 - OVERHEAD];
        assert_eq!(connected.send(&longest), Ok(()));
        assert!(connected.outgoing[0].len() <= 1200);
        assert_eq!(heard(&mut connected, &mut client), [(APPLICATION_DATA, longest)]);
        assert_eq!(connected.send(&[1; 1201 - OVERHEAD]), Err(SendError::TooLong));
        assert_eq!((connected.send(b""), connected.outgoing.len()), (Ok(()), 0), "nothing is nothing");
    }
}
