//! The peers of a socket under a toy protocol, with simulated time.
//!
//! `h`+name is a first hello, `c`+name the same with a cookie, `f` finishes a handshake, `d`+text is data, `b` a goodbye.
//! Flights of a handshake are sent again every second.

use super::*;
use crate::{places::Prefixes, udp::Config};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose};
use gatehouse_types::UnixTime;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::sync::OnceLock;

const SECOND: Duration = Duration::from_secs(1);

struct Toy;

impl Engine for Toy {
    type Association = ToyAssociation;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn class(&self, datagram: &[u8]) -> Class {
        match datagram {
            [b'h' | b'c', name @ ..] => {
                let mut hello = [0; 32];
                hello[..name.len()].copy_from_slice(name);
                Class::Hello(hello)
            }
            [b'f', ..] => Class::Handshake,
            [b'd' | b'b', ..] => Class::Record,
            _ => Class::Noise,
        }
    }

    fn takes_time(&self, _now: Instant, _from: SocketAddr, datagram: &[u8]) -> bool {
        datagram.first() == Some(&b'c')
    }

    fn meet(&mut self, now: Instant, _from: SocketAddr, datagram: &[u8]) -> Meeting<ToyAssociation> {
        match datagram {
            [b'h', ..] => Meeting::Answered(Bytes::from_static(b"?")),
            [b'c', ..] => Meeting::Begun(ToyAssociation {
                established: false,
                deadline: Some(now + SECOND),
                transmits: VecDeque::from([Bytes::from_static(b"flight")]),
                events: VecDeque::new(),
            }),
            _ => Meeting::Ignored,
        }
    }
}

struct ToyAssociation {
    established: bool,
    deadline: Option<Instant>,
    transmits: VecDeque<Bytes>,
    events: VecDeque<Event>,
}

impl Association for ToyAssociation {
    fn handle_datagram(&mut self, _now: Instant, datagram: &[u8]) {
        match datagram {
            [b'f', ..] if !self.established => {
                (self.established, self.deadline) = (true, None);
                self.events.push_back(Event::Established { proof: Proof::Chain(chain()), alpn: None });
            }
            [b'd', data @ ..] if self.established => self.events.push_back(Event::Data(Bytes::copy_from_slice(data))),
            [b'b', ..] => self.events.push_back(Event::Closed(Closed::Peer)),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.transmits.push_back(Bytes::from_static(b"flight"));
        self.deadline = Some(now + SECOND);
    }

    fn send(&mut self, _now: Instant, record: &[u8]) -> Result<(), SendError> {
        self.transmits.push_back(Bytes::copy_from_slice(record));
        Ok(())
    }

    fn close(&mut self, _now: Instant) {
        self.transmits.push_back(Bytes::from_static(b"bye"));
    }

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.transmits.pop_front()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.deadline
    }
}

/// Only `pki` makes these.
fn chain() -> Arc<VerifiedChain> {
    static CHAIN: OnceLock<Arc<VerifiedChain>> = OnceLock::new();
    let make = || {
        let (root_key, leaf_key) = (KeyPair::generate().expect("key"), KeyPair::generate().expect("key"));
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let anchor = root.self_signed(&root_key).expect("root");
        let mut leaf = CertificateParams::default();
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&leaf_key, &Issuer::new(root, root_key)).expect("leaf");
        let anchors = Anchors::builder().anchor(Certificate::from_der(anchor.der()).expect("read")).build().expect("anchors");
        let now = UnixTime::from_secs(1_800_000_000);
        Arc::new(anchors.verify(&[leaf.der()], &Policy::new(Purpose::Client), now).expect("good"))
    };
    Arc::clone(CHAIN.get_or_init(make))
}

/// A socket's peers, their gate, and a time that only tests move.
struct Bench<E: Engine> {
    peers: Associations<E>,
    gate: Arc<DatagramGate>,
    now: Instant,
}

impl<E: Engine> Bench<E> {
    fn new(engine: E, config: Config) -> Self {
        let gate = DatagramGate::with(config, Prefixes { v4: 24, v6: 56 });
        Self { peers: Associations::new(engine, Arc::clone(&gate), Meter::new("test".into())), gate, now: Instant::now() }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        self.peers.handle_datagram(self.now, from, datagram);
        self.check();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.peers.handle_timeout(self.now);
        self.check();
    }

    /// What must hold after every step.
    fn check(&self) {
        let peers = &self.peers;
        assert_eq!(peers.timers.len(), peers.slots.len());
        assert_eq!(peers.connected.len() + peers.half_open.len(), peers.slots.len());
        assert_eq!(self.gate.connected() + self.gate.half_open(), peers.slots.len());
        let routed = peers.routes.values().flat_map(|route| [route.connected, route.half_open]).flatten().count();
        assert_eq!(routed, peers.slots.len());
        assert!(peers.poll_timeout().is_none_or(|due| due > self.now || peers.slots.is_empty()));
    }

    fn sent(&mut self) -> Vec<(SocketAddr, Bytes)> {
        std::iter::from_fn(|| self.peers.poll_transmit()).map(|transmit| (transmit.to, transmit.datagram)).collect()
    }

    fn events(&mut self) -> Vec<PeerEvent> {
        std::iter::from_fn(|| self.peers.poll_event()).collect()
    }

    /// The reasons of the peers that are gone.
    fn closed(&mut self) -> Vec<Closed> {
        self.events().into_iter().filter_map(|event| if let PeerEvent::Closed { why, .. } = event { Some(why) } else { None }).collect()
    }
}

impl Bench<Toy> {
    fn connect(&mut self, from: SocketAddr, name: &str) -> Id {
        self.receive(from, format!("c{name}").as_bytes());
        self.receive(from, b"f");
        self.sent();
        let established = |event| if let PeerEvent::Established { id, .. } = event { Some(id) } else { None };
        self.events().into_iter().find_map(established).expect("established")
    }
}

fn toy(config: Config) -> Bench<Toy> {
    Bench::new(Toy, config)
}

fn peer(network: u16, host: u8) -> SocketAddr {
    let [high, low] = network.to_be_bytes();
    SocketAddr::from(([10, high, low, host], 5684))
}

#[test]
fn sixty_thousand_hellos_without_a_cookie_leave_nothing() {
    let mut bench = toy(Config::default());
    for address in 0..60_000_u16 {
        bench.receive(peer(address, 1), b"ha");
        assert_eq!(bench.sent().len(), 1);
    }
    let peers = &bench.peers;
    assert_eq!((peers.slots.capacity(), peers.routes.capacity(), peers.timers.len()), (0, 0, 0));
    bench.receive(peer(1, 1), b"ca");
    assert_eq!(bench.gate.half_open(), 1, "a cookie gets a place");
}

#[test]
fn what_begins_nothing_is_thrown_away() {
    let mut bench = toy(Config::default());
    for datagram in [&b"f"[..], b"dtext", b"b", b"", b"\xff\xff"] {
        bench.receive(peer(1, 1), datagram);
    }
    assert!(bench.sent().is_empty() && bench.events().is_empty() && bench.peers.slots.is_empty());
}

#[test]
fn records_reach_the_association_of_their_sender() {
    let mut bench = toy(Config::default());
    let (one, other) = (bench.connect(peer(1, 1), "a"), bench.connect(peer(1, 2), "a"));
    bench.receive(peer(1, 2), b"dtext");
    assert!(matches!(&bench.events()[..], [PeerEvent::Data { id, record }] if *id == other && record == "text"));
    bench.peers.send(bench.now, one, b"answer").expect("sent");
    assert_eq!(bench.sent(), [(peer(1, 1), Bytes::from_static(b"answer"))]);
    bench.receive(peer(1, 1), b"b");
    assert_eq!(bench.closed(), [Closed::Peer]);
    assert_eq!(bench.peers.send(bench.now, one, b"late"), Err(SendError::Closed));
}

#[test]
fn a_flight_is_sent_again_until_the_handshake_is_over_or_its_time_is() {
    let mut bench = toy(Config { handshake_timeout: 5 * SECOND, ..Config::default() });
    bench.receive(peer(1, 1), b"ca");
    let mut flights = bench.sent().len();
    for _ in 0..3 {
        bench.pass(SECOND);
        flights += bench.sent().len();
    }
    assert_eq!(flights, 4);
    bench.pass(2 * SECOND);
    assert_eq!(bench.sent(), [(peer(1, 1), Bytes::from_static(b"bye"))]);
    assert!(bench.events().is_empty(), "nobody had heard of it");
    assert_eq!(bench.gate.half_open(), 0);
    let _id = bench.connect(peer(1, 1), "b");
    bench.pass(5 * SECOND);
    assert!(bench.sent().is_empty() && bench.events().is_empty(), "the handshake is over");
}

#[test]
fn flights_that_are_due_together_are_sent_some_at_a_time() {
    let mut bench = toy(Config::default());
    for network in 0..100 {
        bench.receive(peer(network, 1), b"ca");
    }
    bench.sent();
    bench.now += SECOND;
    let mut sent = Vec::new();
    while bench.peers.poll_timeout().is_some_and(|due| due <= bench.now) {
        bench.peers.handle_timeout(bench.now);
        sent.push(bench.sent().len());
    }
    assert_eq!(sent, [TIMED, TIMED, TIMED, 100 - 3 * TIMED]);
}

#[test]
fn a_device_that_lost_its_memory_replaces_itself_when_its_handshake_is_finished() {
    let mut bench = toy(Config::default());
    let old = bench.connect(peer(1, 1), "before");
    bench.receive(peer(1, 1), b"hafter");
    assert_eq!(bench.sent(), [(peer(1, 1), Bytes::from_static(b"?"))]);
    bench.receive(peer(1, 1), b"cafter");
    bench.receive(peer(1, 1), b"dstill here");
    assert!(matches!(&bench.events()[..], [PeerEvent::Data { id, .. }] if *id == old), "nothing has changed yet");
    bench.sent();
    bench.receive(peer(1, 1), b"f");
    let events = bench.events();
    assert!(
        matches!(&events[..], [PeerEvent::Closed { id, why: Closed::Replaced }, PeerEvent::Established { .. }] if *id == old),
        "{events:?}"
    );
    assert!(bench.sent().is_empty(), "the device would not understand a goodbye to the old one");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0));
}

#[test]
fn a_valid_cookie_without_the_end_of_a_handshake_disturbs_nobody() {
    let mut bench = toy(Config::default());
    let victim = bench.connect(peer(1, 1), "victim");
    for attack in 0..100_u8 {
        bench.receive(peer(1, 1), &[b'c', attack, 1]);
        assert_eq!(bench.gate.half_open(), 1, "one attempt an address");
        bench.receive(peer(1, 1), b"dtext");
        assert!(matches!(&bench.events()[..], [PeerEvent::Data { id, .. }] if *id == victim));
    }
    for _ in 0..120 {
        bench.receive(peer(1, 1), b"d");
        bench.pass(SECOND);
    }
    assert!(bench.closed().is_empty());
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0));
}

#[test]
fn a_cookie_that_is_used_over_and_over_costs_a_flight_now_and_then() {
    let mut bench = toy(Config { attempt_pause: SECOND * 3 / 4, ..Config::default() });
    for attack in 0..100_u8 {
        bench.receive(peer(1, 1), &[b'c', attack, 1]);
    }
    assert_eq!(bench.sent().len(), 1);
    bench.now += SECOND / 2;
    bench.receive(peer(1, 1), b"csoon");
    assert_eq!(bench.sent().len(), 0);
    bench.now += SECOND / 4;
    bench.receive(peer(1, 1), b"cagain");
    assert_eq!(bench.sent().len(), 1, "a device may begin anew");
    bench.receive(peer(1, 1), b"f");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0));
}

#[test]
fn a_hello_that_was_doubled_on_its_way_begins_nothing_new() {
    let mut bench = toy(Config::default());
    bench.receive(peer(1, 1), b"ca");
    bench.receive(peer(1, 1), b"ca");
    assert_eq!(bench.sent().len(), 1, "one flight");
    bench.receive(peer(1, 1), b"f");
    bench.receive(peer(1, 1), b"ca");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0));
}

#[test]
fn a_device_whose_hello_is_always_the_same_begins_anew_when_the_first_one_is_long_ago() {
    let mut bench = toy(Config::default());
    let old = bench.connect(peer(1, 1), "same");
    bench.pass(DELAYED - SECOND);
    bench.receive(peer(1, 1), b"csame");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0), "it may be under way still");
    bench.pass(SECOND);
    bench.receive(peer(1, 1), b"hsame");
    assert_eq!(bench.sent(), [(peer(1, 1), Bytes::from_static(b"?"))]);
    assert_ne!(bench.connect(peer(1, 1), "same"), old);
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 0));
}

#[test]
fn when_half_open_places_are_taken_the_silent_go_after_a_while_and_new_ones_wait() {
    let mut bench = toy(Config { half_open: 2, ..Config::default() });
    bench.receive(peer(1, 1), b"ca");
    bench.pass(SECOND);
    bench.receive(peer(2, 1), b"ca");
    bench.sent();
    bench.receive(peer(3, 1), b"ha");
    assert!(bench.sent().is_empty(), "not even a cookie is computed");
    bench.pass(2 * SECOND);
    bench.receive(peer(3, 1), b"ca");
    assert_eq!(bench.gate.half_open(), 2);
    assert!(!bench.peers.routes.contains_key(&peer(1, 1)) && bench.peers.routes.contains_key(&peer(3, 1)));
    bench.receive(peer(1, 1), b"ca");
    assert!(!bench.peers.routes.contains_key(&peer(1, 1)), "the others have begun a moment ago");
}

#[test]
fn whoever_has_filled_the_half_open_places_gives_one_to_a_network_with_none() {
    let mut bench = toy(Config { half_open: 8, half_open_per_network: 4, ..Config::default() });
    for host in 1..=4 {
        bench.receive(peer(1, host), b"ca");
        bench.receive(peer(2, host), b"ca");
    }
    bench.sent();
    bench.receive(peer(1, 9), b"ha");
    assert!(bench.sent().is_empty(), "the crowd itself is held off before a cookie is computed");
    bench.receive(peer(0x300, 1), b"hgood");
    assert_eq!(bench.sent(), [(peer(0x300, 1), Bytes::from_static(b"?"))]);
    bench.connect(peer(0x300, 1), "good");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 7));
    assert!(!bench.peers.routes.contains_key(&peer(2, 1)), "the oldest of those with most has paid");
}

#[test]
fn a_crowd_of_single_addresses_pays_with_its_neighbourhood() {
    let mut bench = toy(Config { half_open: 64, ..Config::default() });
    for network in 0..200 {
        bench.receive(peer(network, 1), b"ca");
    }
    assert_eq!(bench.gate.half_open(), 64);
    bench.connect(peer(0x500, 1), "good");
    assert_eq!((bench.gate.connected(), bench.gate.half_open()), (1, 63));
}

#[test]
fn one_network_cannot_take_every_half_open_place() {
    let mut bench = toy(Config { half_open: 10, half_open_per_network: 2, ..Config::default() });
    for host in 1..=9 {
        bench.receive(peer(1, host), b"ca");
    }
    assert_eq!(bench.gate.half_open(), 2);
    bench.receive(peer(2, 1), b"ca");
    assert_eq!(bench.gate.half_open(), 3);
}

#[test]
fn the_longest_silent_peer_is_closed_for_one_more() {
    let mut bench = toy(Config { peers: 2, ..Config::default() });
    let silent = [bench.connect(peer(1, 1), "a"), bench.connect(peer(2, 1), "a")];
    bench.pass(SECOND);
    bench.receive(peer(1, 1), b"d");
    bench.events();
    bench.receive(peer(3, 1), b"ca");
    bench.sent();
    bench.receive(peer(3, 1), b"f");
    let events = bench.events();
    assert!(
        matches!(&events[..], [PeerEvent::Closed { id, why: Closed::Evicted }, PeerEvent::Established { .. }] if *id == silent[1]),
        "{events:?}"
    );
    assert_eq!(bench.sent(), [(peer(2, 1), Bytes::from_static(b"bye"))]);
    assert_eq!(bench.gate.connected(), 2);
}

#[test]
fn a_network_that_is_full_loses_one_of_its_own() {
    let mut bench = toy(Config { peers: 10, peers_per_network: 2, ..Config::default() });
    bench.connect(peer(1, 1), "a");
    bench.pass(SECOND);
    let own = bench.connect(peer(2, 1), "a");
    bench.connect(peer(2, 2), "a");
    bench.receive(peer(2, 3), b"ca");
    bench.receive(peer(2, 3), b"f");
    let events = bench.events();
    assert!(matches!(&events[..], [PeerEvent::Closed { id, .. }, PeerEvent::Established { .. }] if *id == own), "{events:?}");
}

#[test]
fn a_peer_with_nobody_to_give_way_is_refused_at_the_end_of_its_handshake() {
    // Another socket of the process has taken the places.
    let mut bench = toy(Config { peers: 1, ..Config::default() });
    let elsewhere = bench.gate.connected.take(peer(9, 9).ip()).expect("a place");
    bench.peers.handle_datagram(bench.now, peer(1, 1), b"ca");
    bench.peers.handle_datagram(bench.now, peer(1, 1), b"f");
    assert!(bench.events().is_empty() && bench.peers.slots.is_empty());
    assert_eq!(bench.sent().last(), Some(&(peer(1, 1), Bytes::from_static(b"bye"))));
    drop(elsewhere);
    bench.connect(peer(1, 1), "b");
}

#[test]
fn a_peer_is_closed_when_it_was_silent_for_too_long_and_only_then() {
    let mut bench = toy(Config { idle_timeout: 10 * SECOND, ..Config::default() });
    bench.connect(peer(1, 1), "talks");
    bench.connect(peer(1, 2), "is silent");
    for _ in 0..9 {
        bench.pass(SECOND);
        bench.receive(peer(1, 1), b"d");
    }
    bench.events();
    bench.pass(SECOND);
    assert_eq!(bench.closed(), [Closed::Idle]);
    assert_eq!(bench.sent(), [(peer(1, 2), Bytes::from_static(b"bye"))]);
    bench.pass(8 * SECOND);
    assert!(bench.closed().is_empty());
    bench.pass(SECOND);
    assert_eq!(bench.closed(), [Closed::Idle]);
}

#[test]
fn what_is_sent_to_a_peer_does_not_keep_it() {
    let mut bench = toy(Config { idle_timeout: 10 * SECOND, ..Config::default() });
    let id = bench.connect(peer(1, 1), "gone");
    for _ in 0..9 {
        bench.pass(SECOND);
        bench.peers.send(bench.now, id, b"notification").expect("sent");
    }
    bench.pass(SECOND);
    assert_eq!(bench.closed(), [Closed::Idle]);
}

#[test]
fn nobody_new_comes_in_while_draining() {
    let mut bench = toy(Config::default());
    let inside = bench.connect(peer(1, 1), "inside");
    bench.receive(peer(1, 2), b"ca");
    bench.sent();
    bench.peers.stop_admitting();
    bench.receive(peer(1, 2), b"f");
    bench.receive(peer(1, 3), b"ha");
    bench.receive(peer(1, 3), b"ca");
    assert!(bench.sent().is_empty() && bench.gate.half_open() == 0);
    bench.receive(peer(1, 1), b"dlast words");
    assert!(matches!(&bench.events()[..], [PeerEvent::Data { id, .. }] if *id == inside));
    bench.peers.close_all(bench.now);
    assert_eq!(bench.sent(), [(peer(1, 1), Bytes::from_static(b"bye"))]);
    assert_eq!(bench.gate.connected(), 0);
}

#[test]
fn a_dropped_socket_gives_its_places_back() {
    let mut bench = toy(Config::default());
    bench.connect(peer(1, 1), "a");
    bench.receive(peer(1, 2), b"ca");
    let Bench { peers, gate, .. } = bench;
    drop(peers);
    assert_eq!((gate.connected(), gate.half_open()), (0, 0));
}

#[test]
fn without_encryption_the_unproven_go_first_and_the_proven_stay() {
    let mut bench = Bench::new(crate::udp::plain::PlainEngine::new(1200), Config { half_open: 2, ..Config::default() });
    bench.receive(peer(0, 1), b"echo returned");
    let id = bench.events().iter().find_map(|event| if let PeerEvent::Established { id, .. } = event { Some(*id) } else { None });
    bench.peers.prove(bench.now, id.expect("established"));
    for spoofed in 1..1000 {
        bench.receive(peer(spoofed, 1), b"x");
        assert!(bench.gate.half_open() <= 2);
    }
    assert_eq!(bench.gate.connected(), 1);
    let evicted = bench.closed();
    assert!(evicted.len() == 997 && evicted.iter().all(|why| *why == Closed::Evicted), "{}", evicted.len());
    bench.receive(peer(0, 1), b"text");
    assert!(matches!(&bench.events()[..], [PeerEvent::Data { record, .. }] if record == "text"));
}
