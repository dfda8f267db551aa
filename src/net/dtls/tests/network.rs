//! Handshakes and records over good and bad networks.

use super::*;
use crate::{
    SendError,
    dtls::OVERHEAD,
    udp::engine::{Engine, Meeting},
};

#[test]
fn both_ends_learn_who_the_other_is_and_records_stay_whole() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut clients = [Client::new(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let established = server.established();
    let (id, from, chain) = established.first().expect("established");
    assert_eq!(*from, clients[0].address);
    assert_eq!(chain.as_ref().expect("a chain").leaf().der(), device.chain[0]);
    let presented = crate::openssl::found(clients[0].association.ssl().expect("OpenSSL's")).expect("the server's chain");
    assert_eq!(presented.leaf().der(), server.source.current().expect("one").chain().next().expect("a leaf"));
    for length in [1, 100, 1163] {
        let (there, back) = (vec![b'>'; length], vec![b'<'; length]);
        clients[0].association.send(Instant::now(), &there).expect("sent");
        server.peers.send(Instant::now(), *id, &back).expect("sent");
        carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
        assert_eq!(server.records().last().map(|(_, record)| record.len()), Some(length));
        assert!(matches!(clients[0].events.last(), Some(Event::Data(record)) if *record == back));
    }
    assert_eq!((server.gate.connected(), server.gate.half_open()), (1, 0));
}

#[test]
fn no_datagram_is_longer_than_the_mtu() {
    let authority = Authority::new("root");
    for mtu in [300, 600, 1200] {
        let mut server = Server::new(&authority, UdpConfig { mtu, ..patient() });
        let mut client = Client::patient(address(1, 5684), &authority, &authority.leaf("device"));
        let mut longest = 0;
        while server.established().is_empty() {
            for datagram in client.sent() {
                server.receive(client.address, &datagram);
            }
            for transmit in server.sent() {
                longest = longest.max(transmit.datagram.len());
                client.receive(&transmit.datagram);
            }
        }
        let (id, ..) = server.established()[0];
        let largest = mtu - OVERHEAD;
        assert!(server.peers.send(Instant::now(), id, &vec![0; largest]).is_ok());
        longest = server.sent().iter().map(|transmit| transmit.datagram.len()).fold(longest, usize::max);
        assert!(longest <= mtu && longest > mtu / 2, "{longest} of {mtu}");
        assert_eq!(server.peers.send(Instant::now(), id, &vec![0; largest + 1]), Err(SendError::TooLong));
    }
}

fn all_come_in(loss: u64) {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut clients: Vec<Client> = (1..=20).map(|host| Client::new(address(host, 5684), &authority, &device)).collect();
    carry(&mut server, &mut clients, &mut Weather::foul(loss, 42), settled);
    assert!(clients.iter().all(Client::is_established));
    assert_eq!(server.gate.connected(), 20);
    // And the records that arrive are those that were sent, at most as often as they came.
    for client in &mut clients {
        client.association.send(Instant::now(), client.address.to_string().as_bytes()).expect("sent");
    }
    let mut weather = Weather::foul(loss, 43);
    carry(&mut server, &mut clients, &mut weather, |_, _| false);
    let records = server.records();
    assert!(!records.is_empty() && records.len() <= 20, "a doubled record counts once");
    let names: Vec<(Id, SocketAddr)> = server.established().into_iter().map(|(id, from, _)| (id, from)).collect();
    assert!(
        records.iter().all(|(id, record)| names.contains(&(*id, std::str::from_utf8(record).expect("text").parse().expect("an address"))))
    );
}

#[test]
fn every_handshake_ends_well_when_a_tenth_of_all_datagrams_is_lost() {
    all_come_in(10);
}

#[test]
fn every_handshake_ends_well_when_a_quarter_of_all_datagrams_is_lost() {
    all_come_in(25);
}

#[test]
fn a_server_that_hears_nothing_sends_its_flight_again_and_then_forgets_the_client() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, UdpConfig { handshake_timeout: Duration::from_secs(60), ..config() });
    let mut client = Client::new(address(1, 5684), &authority, &authority.leaf("device"));
    for _ in 0..2 {
        for datagram in client.sent() {
            server.receive(client.address, &datagram);
        }
        for transmit in server.sent() {
            client.receive(&transmit.datagram);
        }
    }
    assert_eq!(server.gate.half_open(), 1);
    let mut repetitions = 0;
    while repetitions < 3 {
        let deadline = server.peers.poll_timeout().expect("it waits for an answer");
        std::thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
        server.peers.handle_timeout(Instant::now());
        repetitions += usize::from(!server.sent().is_empty());
    }
    server.peers.handle_timeout(Instant::now() + Duration::from_secs(61));
    assert_eq!(server.gate.half_open(), 0);
    assert!(server.peers.poll_timeout().is_none());
}

#[test]
fn a_goodbye_is_heard_at_either_end() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut clients = [Client::new(address(1, 5684), &authority, &device), Client::new(address(2, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    clients[0].association.close(Instant::now());
    let (id, ..) = server.established().into_iter().find(|(_, from, _)| *from == clients[1].address).expect("the second");
    server.peers.close(Instant::now(), id, Closed::Local);
    carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
    server.collect();
    assert!(server.closed().contains(&Closed::Peer) && server.closed().contains(&Closed::Local));
    assert!(matches!(clients[1].events.last(), Some(Event::Closed(Closed::Peer))));
    assert_eq!(server.gate.connected(), 0);
}

#[test]
fn a_device_that_lost_its_memory_comes_in_again_from_the_same_port() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut clients = [Client::new(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let (old, ..) = server.established()[0];
    // The memory is gone; nothing is said to the server.
    let mut rebooted = [Client::new(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut rebooted, &mut Weather::foul(10, 7), |server, _| server.established().len() == 2);
    assert_eq!(server.closed(), [Closed::Replaced]);
    assert_eq!((server.gate.connected(), server.gate.half_open()), (1, 0));
    let (new, ..) = server.established()[1];
    assert_ne!(old, new);
    carry(&mut server, &mut rebooted, &mut Weather::fair(), settled);
    rebooted[0].association.send(Instant::now(), b"here again").expect("sent");
    carry(&mut server, &mut rebooted, &mut Weather::fair(), |_, _| false);
    assert_eq!(server.records(), [(new, Bytes::from_static(b"here again"))]);
}

#[test]
fn a_new_certificate_is_presented_from_the_next_handshake_on() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut before = [Client::new(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut before, &mut Weather::fair(), settled);
    let renewed = Arc::new(authority.leaf("renewed").credentials());
    *server.source.0.lock().expect("lock") = Arc::clone(&renewed);
    let mut after = [Client::new(address(2, 5684), &authority, &device)];
    carry(&mut server, &mut after, &mut Weather::fair(), settled);
    let presented =
        |client: &Client| crate::openssl::found(client.association.ssl().expect("OpenSSL's")).expect("a chain").leaf().der().to_vec();
    assert_eq!(presented(&after[0]), renewed.chain().next().expect("a leaf"));
    assert_ne!(presented(&before[0]), presented(&after[0]));
}

#[test]
fn an_idle_association_gives_its_buffers_back_and_goes_on_afterwards_at_either_end() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut clients = [Client::patient(address(1, 5684), &authority, &authority.leaf("device"))];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let (id, ..) = server.established()[0];
    let mut now = Instant::now();
    for round in 0..3_u8 {
        now += Duration::from_secs(11);
        server.peers.handle_timeout(now);
        clients[0].association.handle_timeout(now);
        assert!(clients[0].association.poll_timeout().is_none() && server.sent().is_empty());
        server.peers.send(now, id, &[round]).expect("written");
        for transmit in server.sent() {
            clients[0].association.handle_datagram(now, &transmit.datagram);
        }
        clients[0].collect();
        assert!(matches!(clients[0].events.last(), Some(Event::Data(record)) if *record == [round][..]));
        clients[0].association.send(now, &[round]).expect("written");
        for datagram in clients[0].sent() {
            server.peers.handle_datagram(now, clients[0].address, &datagram);
        }
        server.collect();
        assert_eq!(server.records().last(), Some(&(id, Bytes::copy_from_slice(&[round]))));
    }
    // A goodbye is written too.
    now += Duration::from_secs(11);
    server.peers.handle_timeout(now);
    server.peers.close(now, id, Closed::Local);
    assert_eq!(server.sent().len(), 1);
}

#[test]
fn records_go_both_ways_with_every_suite_that_is_offered() {
    let authority = Authority::new("root");
    let device = authority.leaf("device");
    for suite in [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM",
        "ECDHE-ECDSA-AES256-CCM",
        "ECDHE-ECDSA-AES128-CCM8",
        "ECDHE-ECDSA-AES256-CCM8",
    ] {
        let mut server = Server::new(&authority, patient());
        let mut clients = [Client::with_suite(address(1, 5684), &authority, &device, suite)];
        carry(&mut server, &mut clients, &mut Weather::fair(), settled);
        let (id, ..) = server.established()[0];
        for length in [1, 16, 1000] {
            let (there, back) = (vec![b'>'; length], vec![b'<'; length]);
            clients[0].association.send(Instant::now(), &there).expect("sent");
            server.peers.send(Instant::now(), id, &back).expect("sent");
            carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
            assert!(server.records().last().is_some_and(|(_, record)| *record == there), "{suite}");
            assert!(matches!(clients[0].events.last(), Some(Event::Data(record)) if *record == back), "{suite}");
        }
        server.peers.close(Instant::now(), id, Closed::Local);
        carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
        assert!(matches!(clients[0].events.last(), Some(Event::Closed(Closed::Peer))), "{suite}");
    }
}

#[test]
fn an_error_that_somebody_else_left_to_openssl_is_no_fault_of_a_peer() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut clients = [Client::patient(address(1, 5684), &authority, &authority.leaf("device"))];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let (id, ..) = server.established()[0];
    server.peers.send(Instant::now(), id, b"first").expect("sent");
    let [first] = &server.sent()[..] else { panic!("one record") };
    openssl::pkey::PKey::public_key_from_der(b"no key").expect_err("it is none").put();
    clients[0].receive(&first.datagram);
    assert!(!clients[0].is_closed());
    assert!(matches!(clients[0].events.last(), Some(Event::Data(record)) if record == "first"));
}

#[test]
fn a_client_that_has_not_heard_the_last_flight_gets_it_again() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut client = Client::new(address(1, 5684), &authority, &authority.leaf("device"));
    while server.established().is_empty() {
        for datagram in client.sent() {
            server.receive(client.address, &datagram);
        }
        let sent = server.sent();
        if server.established().is_empty() {
            sent.iter().for_each(|transmit| client.receive(&transmit.datagram));
        }
    }
    // What ended the handshake was lost: the client says its last flight again when its time is over.
    assert!(!client.is_established());
    let mut clients = [client];
    carry(&mut server, &mut clients, &mut Weather::fair(), |_, clients| clients[0].is_established());
    let (id, ..) = server.established()[0];
    server.peers.send(Instant::now(), id, b"welcome").expect("sent");
    carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
    assert!(matches!(clients[0].events.last(), Some(Event::Data(record)) if record == "welcome"));
    assert_eq!(server.established().len(), 1);
}

#[test]
fn a_server_keeps_nothing_of_openssl_when_a_handshake_is_finished() {
    let authority = Authority::new("root");
    let device = authority.leaf("device");
    let gate = DatagramGate::with(patient(), Prefixes { v4: 32, v6: 56 });
    let source = Arc::new(Presents(Mutex::new(Arc::new(authority.leaf("server").credentials()))));
    let judge = Arc::new(Judges(Mutex::new(authority.anchors())));
    let clock = Arc::new(SimulatedClock::new(NOW.parse().expect("RFC 3339")));
    let mut engine = Dtls::new("test", &gate, source, &[], judge, clock, &SystemRandom).engine();
    let mut client = Client::patient(address(1, 5684), &authority, &device);
    let mut begun: Option<DtlsAssociation> = None;
    while !client.is_established() {
        for datagram in client.sent() {
            match &mut begun {
                Some(association) => association.handle_datagram(Instant::now(), &datagram),
                None => match engine.meet(Instant::now(), client.address, &datagram) {
                    Meeting::Begun(association) => begun = Some(association),
                    Meeting::Answered(answer) => client.receive(&answer),
                    Meeting::Ignored => panic!("it is a hello"),
                },
            }
        }
        let Some(association) = &mut begun else { continue };
        assert_eq!(association.ssl().is_none(), association.poll_timeout().is_none(), "only a handshake waits for an answer");
        while let Some(datagram) = association.poll_transmit() {
            client.receive(&datagram);
        }
    }
    assert!(begun.is_some_and(|association| association.ssl().is_none()));
}
