//! Sessions that are taken up again, and those that are not any more.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Lets a device in, and gives the session that it could take up.
fn first_visit(server: &mut Server, authority: &Authority, device: &Party) -> Vec<u8> {
    let mut clients = [Client::new(address(1, 5684), authority, device)];
    carry(server, &mut clients, &mut Weather::fair(), settled);
    assert!(clients[0].is_established() && !clients[0].association.ssl().expect("OpenSSL's").session_reused());
    let session = clients[0].association.ssl().expect("OpenSSL's").session().expect("a session").to_der().expect("DER");
    clients[0].association.close(Instant::now());
    carry(server, &mut clients, &mut Weather::fair(), |_, _| false);
    server.events.clear();
    session
}

fn visit_again(server: &mut Server, authority: &Authority, device: &Party, session: &[u8], port: u16) -> Client {
    server.events.clear();
    let mut clients = [Client::offering(address(1, port), authority, device, Some(session), SOON)];
    carry(server, &mut clients, &mut Weather::fair(), settled);
    let [client] = clients;
    client
}

#[test]
fn a_session_is_taken_up_from_another_port_with_the_chain_it_was_made_with() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    for port in [1000, 2000] {
        let client = visit_again(&mut server, &authority, &device, &session, port);
        assert!(client.is_established() && client.association.ssl().expect("OpenSSL's").session_reused());
        let (_, _, chain) = server.established().pop().expect("established");
        assert_eq!(chain.expect("a chain").leaf().der(), device.chain[0]);
    }
}

#[test]
fn a_device_that_is_refused_meanwhile_takes_nothing_up() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let leaf = Certificate::from_der(&device.chain[0]).expect("a certificate");
    let blocking = Anchors::builder().anchor(authority.certificate.clone()).block(leaf.public_key().fingerprint());
    *server.judge.0.lock().expect("lock") = Arc::new(blocking.build().expect("anchors"));
    let client = visit_again(&mut server, &authority, &device, &session, 1000);
    // It is led through a full handshake, where it presents the same again. The client may believe to be in until it hears otherwise.
    assert!(client.is_closed() && !client.association.ssl().expect("OpenSSL's").session_reused());
    assert!(server.established().is_empty() && server.gate.connected() == 0 && server.gate.half_open() == 0);
}

#[test]
fn a_device_whose_certificate_has_expired_takes_nothing_up() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, UdpConfig { session_lifetime: Duration::from_secs(7 * 86_400), ..config() });
    let device = authority.short_lived_leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    server.clock.advance(Duration::from_secs(2 * 86_400));
    let client = visit_again(&mut server, &authority, &device, &session, 1000);
    assert!(client.is_closed() && server.established().is_empty());
}

#[test]
fn a_device_with_a_new_certificate_comes_in_although_the_old_one_is_refused() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let leaf = Certificate::from_der(&device.chain[0]).expect("a certificate");
    let blocking = Anchors::builder().anchor(authority.certificate.clone()).block(leaf.public_key().fingerprint());
    *server.judge.0.lock().expect("lock") = Arc::new(blocking.build().expect("anchors"));
    let renewed = authority.leaf("renewed");
    let client = visit_again(&mut server, &authority, &renewed, &session, 1000);
    assert!(client.is_established() && !client.association.ssl().expect("OpenSSL's").session_reused());
    let (_, _, chain) = server.established().pop().expect("established");
    assert_eq!(chain.expect("a chain").leaf().der(), renewed.chain[0]);
}

#[test]
fn a_session_is_unknown_to_another_listener_and_after_its_time() {
    let authority = Authority::new("root");
    let device = authority.leaf("device");
    let mut server = Server::new(&authority, UdpConfig { session_lifetime: Duration::from_secs(3600), ..config() });
    let session = first_visit(&mut server, &authority, &device);
    let mut other = Server::new(&authority, config());
    let client = visit_again(&mut other, &authority, &device, &session, 1000);
    assert!(client.is_established() && !client.association.ssl().expect("OpenSSL's").session_reused());
    server.clock.advance(Duration::from_secs(3601));
    let client = visit_again(&mut server, &authority, &device, &session, 1000);
    assert!(client.is_established() && !client.association.ssl().expect("OpenSSL's").session_reused());
}

#[test]
fn sessions_are_bounded_and_the_longest_unused_one_goes_first() {
    let authority = Authority::new("root");
    let device = authority.leaf("device");
    let mut server = Server::new(&authority, UdpConfig { sessions: 2, ..config() });
    let sessions: Vec<Vec<u8>> = (0..3).map(|_| first_visit(&mut server, &authority, &device)).collect();
    let mut port = 1000;
    let mut reused = |session: &[u8]| {
        port += 1;
        visit_again(&mut server, &authority, &device, session, port).association.ssl().expect("OpenSSL's").session_reused()
    };
    // The newest first: whoever takes nothing up leaves a new session behind.
    assert_eq!(sessions.iter().rev().map(|session| reused(session)).collect::<Vec<_>>(), [true, true, false]);
    let mut none = Server::new(&authority, UdpConfig { sessions: 0, ..config() });
    let session = first_visit(&mut none, &authority, &device);
    assert!(!visit_again(&mut none, &authority, &device, &session, 1000).association.ssl().expect("OpenSSL's").session_reused());
}

#[test]
fn a_device_that_went_without_a_goodbye_takes_its_session_up() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, config());
    let device = authority.leaf("device");
    let mut clients = [Client::new(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let session = clients[0].association.ssl().expect("OpenSSL's").session().expect("a session").to_der().expect("DER");
    // From the same port, which replaces the association that is still there.
    let client = visit_again(&mut server, &authority, &device, &session, 5684);
    assert!(client.association.ssl().expect("OpenSSL's").session_reused());
    assert_eq!(server.closed(), [Closed::Replaced]);
    let again = visit_again(&mut server, &authority, &device, &session, 1000);
    assert!(again.association.ssl().expect("OpenSSL's").session_reused(), "replacing has not forgotten it");
}

#[test]
fn a_stranger_who_breaks_a_resumption_off_has_no_session_forgotten() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let mut client = Client::offering(address(1, 1000), &authority, &device, Some(&session), NEVER);
    while server.gate.half_open() == 0 {
        for datagram in client.sent() {
            server.receive(client.address, &datagram);
        }
        for transmit in server.sent() {
            client.receive(&transmit.datagram);
        }
    }
    let handshake_failure = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    server.receive(client.address, &handshake_failure);
    assert_eq!(server.gate.half_open(), 1, "nor is the resumption itself broken off");
    let client = visit_again(&mut server, &authority, &device, &session, 2000);
    assert!(client.association.ssl().expect("OpenSSL's").session_reused());
}

/// A resumption up to where the server waits for the client's end of it, and the records of that.
fn up_to_the_end(server: &mut Server, authority: &Authority, device: &Party, session: &[u8]) -> (Client, Vec<Vec<u8>>) {
    let mut client = Client::offering(address(1, 1000), authority, device, Some(session), NEVER);
    while !client.is_established() {
        for datagram in client.sent() {
            server.receive(client.address, &datagram);
        }
        for transmit in server.sent() {
            client.receive(&transmit.datagram);
        }
    }
    let mut records = Vec::new();
    for datagram in client.sent() {
        let mut rest = &datagram[..];
        while let Some(length) = rest.get(11..13) {
            let (record, behind) = rest.split_at(13 + usize::from(u16::from_be_bytes([length[0], length[1]])));
            records.push(record.to_vec());
            rest = behind;
        }
    }
    assert_eq!(records.len(), 2, "the change of keys, and the end");
    (client, records)
}

#[test]
fn what_others_write_into_a_resumption_leaves_nothing_with_openssl_and_keeps_nobody_out() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let (client, flight) = up_to_the_end(&mut server, &authority, &device, &session);
    for record in &flight {
        for sequence in 0..100 {
            server.receive(client.address, &forged(23, sequence, 1024));
            server.receive(client.address, &forged(22, sequence, 40));
        }
        server.receive(client.address, record);
    }
    assert_eq!(server.established().len(), 1);
    assert!(!is_on_openssl(&server));
}

#[test]
fn what_has_overtaken_the_end_of_a_handshake_is_heard_once() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let (mut client, flight) = up_to_the_end(&mut server, &authority, &device, &session);
    client.association.send(Instant::now(), b"already here").expect("sent");
    let early = client.sent().remove(0);
    server.receive(client.address, &flight[0]);
    for _ in 0..2 {
        server.receive(client.address, &early);
    }
    server.receive(client.address, &flight[1]);
    server.receive(client.address, &early);
    assert_eq!(server.records().into_iter().map(|(_, record)| record).collect::<Vec<_>>(), ["already here"]);
    assert!(!is_on_openssl(&server));
}

#[test]
fn what_stands_behind_the_end_of_a_handshake_in_its_datagram_is_heard_once() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    let (mut client, flight) = up_to_the_end(&mut server, &authority, &device, &session);
    client.association.send(Instant::now(), b"and more").expect("sent");
    let datagram = [flight.concat(), client.sent().remove(0).to_vec()].concat();
    for _ in 0..2 {
        server.receive(client.address, &datagram);
    }
    assert_eq!(server.records().into_iter().map(|(_, record)| record).collect::<Vec<_>>(), ["and more"]);
    assert!(!is_on_openssl(&server));
}

/// Panics the next so many times that it is asked.
#[derive(Debug)]
struct Panics {
    times: Arc<AtomicU32>,
    otherwise: Arc<Judges>,
}

impl ClientJudge for Panics {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        let panics = self.times.fetch_update(SeqCst, SeqCst, |times| times.checked_sub(1)).is_ok();
        assert!(!panics, "this judge has lost its mind");
        self.otherwise.judge(presented, now)
    }

    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        self.otherwise.still_good(chain, now)
    }

    fn changes(&self) -> Option<tokio::sync::watch::Receiver<u64>> {
        None
    }
}

#[test]
fn a_judge_that_panics_refuses_one_resumption_or_one_handshake_and_the_server_lives() {
    let authority = Authority::new("root");
    let times = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&times);
    let mut server = Server::asking(&authority, config(), |otherwise| Arc::new(Panics { times: counted, otherwise }));
    let device = authority.leaf("device");
    let session = first_visit(&mut server, &authority, &device);
    times.store(1, SeqCst);
    let client = visit_again(&mut server, &authority, &device, &session, 1000);
    let ssl = client.association.ssl().expect("OpenSSL's");
    assert!(client.is_established() && !ssl.session_reused(), "it is led through a full handshake");
    let session = ssl.session().expect("a session").to_der().expect("DER");
    times.store(2, SeqCst);
    let client = visit_again(&mut server, &authority, &device, &session, 2000);
    assert!(client.is_closed() && server.established().is_empty(), "nobody found it good");
    assert_eq!(times.load(SeqCst), 0);
    assert!(visit_again(&mut server, &authority, &device, &session, 3000).is_established());
}
