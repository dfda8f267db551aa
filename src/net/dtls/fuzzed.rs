//! What the fuzz target of DTLS records does with its bytes. The ordinary tests run the same over all seeds and known crashes.
//!
//! Behind a handshake, with keys that are always the same, a device says genuine records, and somebody between the two does with them what
//! he likes: keeps them back, repeats them, changes them, puts them together and writes his own. Only here, because what connects both ends
//! is nobody else's affair.

use super::{
    connected::{Connected, REPETITIONS},
    protection::{Protection, SUITES, ends},
    sessions::Sessions,
};
use crate::udp::{
    engine::{Closed, Event},
    meter::Meter,
};
use bytes::Bytes;
use gatehouse_base::{Clock, SimulatedClock};
use gatehouse_types::UnixTime;
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The longest datagram that is sent.
const MTU: usize = 1200;

/// Datagrams of the last flight.
const LAST_FLIGHT: [&[u8]; 2] = [b"as it was sent", b"in two datagrams"];

/// So many records are kept back.
const KEPT: usize = 64;

/// Content types (RFC 5246 §6.2.1).
const KINDS: [u8; 4] = [23, 23, 21, 22];
const APPLICATION_DATA: u8 = 23;

/// Lets anybody write datagrams under the address of a device that has finished its handshake. The first byte chooses the suite; each
/// step is a byte that says what happens, a length, and so many bytes. What is heard was said by the device, once each; and nothing grows.
pub fn records(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let mut between = Between::new(SUITES[usize::from(*first) % SUITES.len()]);
    while let [what, length, after @ ..] = rest {
        let (said, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        between.step(*what, said);
        between.check();
    }
}

/// Both ends, and what is between them.
struct Between {
    server: Connected,
    device: Protection,
    /// Genuine records.
    kept: Vec<Vec<u8>>,
    /// How many records the device has made, the messages that are in them, and which of those were heard.
    made: u32,
    said: BTreeSet<Vec<u8>>,
    heard: BTreeSet<Vec<u8>>,
    repeated: usize,
    closed: Option<Closed>,
}

impl Between {
    fn new(suite: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::new(UnixTime::from_secs(0)));
        let sessions = Arc::new(Sessions::new(1, Duration::from_secs(60), clock, Meter::new("fuzzed".into())));
        let (server, device) = ends(suite);
        let outgoing = LAST_FLIGHT.map(Bytes::from_static).into();
        let mut server = Connected::new(server, MTU, outgoing, VecDeque::new(), sessions, b"session".to_vec());
        server.outgoing.clear();
        Self { server, device, kept: Vec::new(), made: 0, said: BTreeSet::new(), heard: BTreeSet::new(), repeated: 0, closed: None }
    }

    fn step(&mut self, what: u8, said: &[u8]) {
        match what % 8 {
            // The device's own words, which arrive, or are kept back.
            0 => {
                let record = self.say(what, said);
                self.server.handle_datagram(&record);
            }
            1 => drop(self.say(what, said)),
            // One that was kept arrives, again perhaps.
            2 => {
                if let Some(record) = self.one(said) {
                    self.server.handle_datagram(&record);
                }
            }
            // One that was kept arrives with other bits, at places and by values that are said.
            3 => {
                if let (Some(mut record), Some(changes)) = (self.one(said), said.get(1..)) {
                    for change in changes.chunks_exact(2) {
                        let at = usize::from(change[0]) % record.len();
                        record[at] ^= change[1];
                    }
                    self.server.handle_datagram(&record);
                }
            }
            // Several in one datagram, with noise between them.
            4 => {
                let datagram: Vec<u8> =
                    said.chunks(3).flat_map(|part| [self.one(part).unwrap_or_default(), part.to_vec()].concat()).collect();
                self.server.handle_datagram(&datagram);
            }
            // A record of nobody's that looks like one: kind, number and content are said.
            5 => {
                if let [kind, number @ .., _] = said {
                    let number: Vec<u8> = number.iter().copied().chain([0; 6]).take(6).collect();
                    let length = u16::try_from(said.len()).expect("a byte says it").to_be_bytes();
                    let datagram = [&[*kind, 254, 253, 0, 1][..], &number, &length, said].concat();
                    self.server.handle_datagram(&datagram);
                }
            }
            6 => {
                let sent = self.server.send(said).is_ok();
                assert_eq!(sent, self.closed.is_none(), "what fits is sent as long as there is somebody");
            }
            _ => self.server.handle_datagram(said),
        }
    }

    /// A record of the device. Each says something else, unless it is no message.
    fn say(&mut self, what: u8, said: &[u8]) -> Vec<u8> {
        self.made += 1;
        let kind = KINDS[usize::from(what / 8) % KINDS.len()];
        let content = if kind == APPLICATION_DATA { [&self.made.to_be_bytes()[..], said].concat() } else { said.to_vec() };
        let record = self.device.seal(kind, &content).expect("few and short ones");
        if kind == APPLICATION_DATA {
            self.said.insert(content);
        }
        if self.kept.len() < KEPT {
            self.kept.push(record.clone());
        }
        record
    }

    fn one(&self, chosen: &[u8]) -> Option<Vec<u8>> {
        let at = usize::from(*chosen.first()?) % self.kept.len().max(1);
        self.kept.get(at).cloned()
    }

    fn check(&mut self) {
        for event in self.server.events.drain(..) {
            assert_eq!(self.closed, None, "nothing follows the end");
            match event {
                Event::Data(content) => {
                    assert!(self.said.contains(&content[..]), "the device has not said it: {content:?}");
                    assert!(self.heard.insert(content.to_vec()), "it was heard before: {content:?}");
                }
                Event::Closed(why) => self.closed = Some(why),
                Event::Established { .. } => panic!("it was established before"),
            }
        }
        for datagram in self.server.outgoing.drain(..) {
            assert!(datagram.len() <= MTU);
            if LAST_FLIGHT.contains(&&datagram[..]) {
                self.repeated += 1;
            } else {
                self.device.open(&datagram).expect("the server's own, and each once");
            }
        }
        assert!(self.repeated <= LAST_FLIGHT.len() * usize::from(REPETITIONS), "the last flight is not repeated for ever");
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::{records, replay::replay};
    use std::path::Path;

    #[test]
    fn the_seeds_and_crashes_of_the_fuzz_target_do_no_harm() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        assert!(replay(&fuzz, "dtls_records", records) >= 5);
    }
}
