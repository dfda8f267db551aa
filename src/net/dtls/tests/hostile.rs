//! Peers that do not mean well, or do not know what they do.

use super::*;
use crate::dtls::cookie;

/// The records of a datagram.
fn records(datagram: &[u8]) -> Vec<&[u8]> {
    let mut rest = datagram;
    let mut records = Vec::new();
    while let Some(length) = rest.get(11..13) {
        let (record, behind) = rest.split_at(13 + usize::from(u16::from_be_bytes([length[0], length[1]])));
        records.push(record);
        rest = behind;
    }
    records
}

/// What the hello of real devices holds, byte for byte (TLS 1.2 suites, groups, signatures, point formats, extended master secret).
fn device_hello() -> Vec<u8> {
    let suites: &[u8] = &[0xc0, 0x2b, 0xc0, 0x23, 0xc0, 0x2c, 0xc0, 0x24, 0xc0, 0x2f, 0xc0, 0x30, 0x00, 0xff];
    let groups: &[u8] = &[0, 10, 0, 6, 0, 4, 0, 0x17, 0, 0x18];
    let signatures: &[u8] = &[0, 13, 0, 14, 0, 12, 6, 3, 6, 1, 5, 3, 5, 1, 4, 3, 4, 1];
    let rest: &[u8] = &[0, 11, 0, 2, 1, 0, 0, 23, 0, 0];
    let extensions = [groups, signatures, rest].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).expect("short").to_be_bytes();
    let body = [&[254, 253][..], &[7; 32], &[0, 0], &length(suites), suites, &[1, 0], &length(&extensions), &extensions].concat();
    let message = [&[1, 0][..], &length(&body), &[0, 0, 0, 0, 0, 0], &length(&body), &body].concat();
    [&[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0][..], &length(&message), &message].concat()
}

#[test]
fn a_first_hello_is_answered_with_less_than_a_third_of_its_size() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let ours = Client::patient(address(1, 5684), &authority, &authority.leaf("device")).sent().remove(0);
    for hello in [device_hello(), ours.to_vec()] {
        server.receive(address(1, 5684), &hello);
        let answers = server.sent();
        let [answer] = &answers[..] else { panic!("one answer, not {}", answers.len()) };
        assert_eq!(answer.datagram.len(), 28 + cookie::LENGTH);
        assert!(answer.datagram.len() * 10 <= hello.len() * 3, "{} of {}", answer.datagram.len(), hello.len());
    }
    assert_eq!(server.gate.half_open(), 0);
}

#[test]
fn sixty_thousand_hellos_of_invented_senders_leave_nothing_and_a_good_client_comes_in_after_them() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let hello = device_hello();
    for sender in 0..60_000_u32 {
        let [_, high, middle, low] = sender.to_be_bytes();
        server.receive(SocketAddr::from(([10, high, middle, low], 5684)), &hello);
        assert_eq!(server.sent().len(), 1);
    }
    assert!(server.events.is_empty() && server.peers.poll_timeout().is_none());
    assert_eq!((server.gate.connected(), server.gate.half_open()), (0, 0));
    let mut clients = [Client::patient(address(1, 5684), &authority, &authority.leaf("device"))];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    assert!(clients[0].is_established());
}

#[test]
fn a_cookie_of_another_address_or_of_long_ago_is_none() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut client = Client::patient(address(1, 5684), &authority, &authority.leaf("device"));
    server.receive(client.address, &client.sent()[0]);
    client.receive(&server.sent()[0].datagram);
    let with_cookie = client.sent().remove(0);
    server.receive(address(2, 5684), &with_cookie);
    server.peers.handle_datagram(Instant::now() + Duration::from_secs(180), client.address, &with_cookie);
    assert_eq!(server.gate.half_open(), 0);
    assert!(server.sent().iter().all(|transmit| transmit.datagram.len() == 28 + cookie::LENGTH), "each is asked for a new one");
    server.receive(client.address, &with_cookie);
    assert_eq!(server.gate.half_open(), 1);
}

/// A handshake up to where the server waits for the client's last flight, and the records of that.
fn up_to_last_flight(server: &mut Server, authority: &Authority, device: &Party, port: u16) -> (Client, Vec<Vec<u8>>) {
    let mut client = Client::patient(address(1, port), authority, device);
    let mut flights = 0;
    loop {
        let sent = client.sent();
        flights += 1;
        if flights == 3 {
            let all = sent.iter().flat_map(|datagram| records(datagram)).map(<[u8]>::to_vec).collect();
            return (client, all);
        }
        for datagram in sent {
            server.receive(client.address, &datagram);
        }
        for transmit in server.sent() {
            client.receive(&transmit.datagram);
        }
    }
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let insert = |order: Vec<usize>| {
        (0..count).map(move |at| {
            let mut longer = order.clone();
            longer.insert(at, count - 1);
            longer
        })
    };
    orders(count - 1).into_iter().flat_map(insert).collect()
}

#[test]
fn a_last_flight_of_which_a_record_is_left_out_lets_nobody_in() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let (_, flight) = up_to_last_flight(&mut server, &authority, &device, 1);
    // Certificate, key exchange, its signature, change of keys, end.
    assert_eq!(flight.len(), 5);
    let mut port = 1;
    for left_out in 1..(1_u8 << flight.len()) {
        port += 1;
        let (client, flight) = up_to_last_flight(&mut server, &authority, &device, port);
        for (at, record) in flight.iter().enumerate().filter(|(at, _)| left_out & (1 << at) == 0) {
            server.receive(client.address, record);
            assert!(server.established().is_empty(), "{left_out:05b} at {at}");
        }
        server.peers.close_all(Instant::now());
    }
}

#[test]
fn a_last_flight_in_any_order_and_with_repetitions_lets_in_who_has_sent_all_of_it_and_nobody_before() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let mut let_in = 0;
    for (port, order) in (1..).zip(orders(5)) {
        let (client, flight) = up_to_last_flight(&mut server, &authority, &device, port);
        for (sent, at) in order.iter().enumerate() {
            assert!(server.established().is_empty(), "{order:?} before {sent}");
            server.receive(client.address, &flight[*at]);
            server.receive(client.address, &flight[*at]);
        }
        let_in += server.established().len();
        for (_, from, chain) in server.established() {
            assert_eq!((from, chain.expect("a chain").leaf().der()), (client.address, &device.chain[0][..]));
        }
        server.events.clear();
        server.peers.close_all(Instant::now());
        server.events.clear();
        server.collect();
        server.events.clear();
    }
    assert!(let_in > 10, "the right order is among them, and OpenSSL puts some others right: {let_in}");
}

#[test]
fn the_recorded_datagrams_of_a_device_let_nobody_in_however_they_are_put_together() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut client = Client::patient(address(1, 5684), &authority, &authority.leaf("device"));
    let mut recorded: Vec<Bytes> = Vec::new();
    while server.established().is_empty() {
        for datagram in client.sent() {
            server.receive(client.address, &datagram);
            recorded.push(datagram);
        }
        for transmit in server.sent() {
            client.receive(&transmit.datagram);
        }
    }
    let mut letters: Vec<Vec<u8>> = recorded[..2].iter().map(|datagram| datagram.to_vec()).collect();
    let flight: Vec<&[u8]> = recorded[2..].iter().flat_map(|datagram| records(datagram)).collect();
    // The plaintext of the last flight, the change of keys, the end.
    letters.push(flight[..3].concat());
    letters.extend([flight[3].to_vec(), flight[4].to_vec()]);
    server.peers.close_all(Instant::now());
    server.collect();
    server.events.clear();
    // Without the hello that has the cookie nothing is even begun.
    for word in 0..5_usize.pow(4) {
        server.receive(client.address, &letters[1]);
        assert_eq!(server.gate.half_open(), 1);
        for place in 0..4 {
            server.receive(client.address, &letters[word / 5_usize.pow(place) % 5]);
        }
        assert!(server.established().is_empty() && server.gate.connected() == 0, "{word}");
        server.sent();
        server.peers.close_all(Instant::now());
    }
}

#[test]
fn records_with_another_epoch_or_a_second_time_are_not_heard() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let mut clients = [Client::patient(address(1, 5684), &authority, &authority.leaf("device"))];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let [client] = &mut clients;
    client.association.send(Instant::now(), b"once").expect("sent");
    let record = client.sent().remove(0).to_vec();
    for epoch in [[0, 0], [0, 2], [0xff, 0xff]] {
        let mut wrong = record.clone();
        wrong[3..5].copy_from_slice(&epoch);
        server.receive(client.address, &wrong);
    }
    for place in [5, 10, 13, record.len() - 1] {
        let mut wrong = record.clone();
        wrong[place] ^= 1;
        server.receive(client.address, &wrong);
    }
    assert!(server.records().is_empty() && server.closed().is_empty());
    server.receive(client.address, &record);
    server.receive(client.address, &record);
    server.receive(address(2, 5684), &record);
    assert_eq!(server.records().len(), 1);
}

#[test]
fn a_stranger_with_a_valid_cookie_disturbs_no_live_association() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let mut clients = [Client::patient(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let (victim, ..) = server.established()[0];
    for _ in 0..20 {
        // Somebody on the path goes as far as one can without the device's key.
        let (_, flight) = up_to_last_flight(&mut server, &authority, &authority.leaf("stranger"), 5684);
        for record in &flight[..4] {
            server.receive(address(1, 5684), record);
        }
        assert_eq!((server.gate.connected(), server.gate.half_open()), (1, 1));
        clients[0].association.send(Instant::now(), b"still here").expect("sent");
        carry(&mut server, &mut clients, &mut Weather::fair(), |server, _| !server.records().is_empty());
        assert_eq!(server.records(), [(victim, Bytes::from_static(b"still here"))]);
        server.events.clear();
        server.peers.handle_timeout(Instant::now() + Duration::from_secs(61));
        assert_eq!((server.gate.connected(), server.gate.half_open()), (1, 0));
    }
}

#[test]
fn noise_from_anywhere_lets_nobody_in_and_keeps_no_good_client_out() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, UdpConfig { half_open: 8, ..patient() });
    let device = authority.leaf("device");
    let (good, flight) = up_to_last_flight(&mut server, &authority, &device, 5684);
    let mut weather = Weather::foul(50, 99);
    let samples: Vec<Vec<u8>> = flight.iter().cloned().chain([device_hello(), vec![22; 300], vec![23; 20]]).collect();
    for round in 0..20_000_u32 {
        let mut datagram = samples[round as usize % samples.len()].clone();
        for byte in &mut datagram {
            if weather.strikes(3) {
                *byte = byte.wrapping_add(round.to_le_bytes()[0]);
            }
        }
        let [.., high, low] = round.to_be_bytes();
        server.receive(SocketAddr::from(([10, 0, high, low], 5684)), &datagram);
    }
    assert!(server.events.is_empty() && server.gate.half_open() == 1);
    for record in &flight {
        server.receive(good.address, record);
    }
    assert_eq!(server.established().len(), 1);
}

#[test]
fn a_forged_record_that_is_too_short_for_any_tag_breaks_nothing_off() {
    let authority = Authority::new("root");
    let device = authority.leaf("device");
    let suites = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    for suite in suites {
        let mut server = Server::new(&authority, patient());
        let mut clients = [Client::with_suite(address(1, 5684), &authority, &device, suite)];
        carry(&mut server, &mut clients, &mut Weather::fair(), settled);
        assert_eq!(clients[0].association.ssl().expect("OpenSSL's").current_cipher().map(|cipher| cipher.name()), Some(suite));
        for (length, kind) in (0..=40).flat_map(|length| [21, 22, 23].map(|kind| (length, kind))) {
            let forged = [&[kind, 254, 253, 0, 1, 0, 0, 0, 0, 1, length, 0, length][..], &vec![7; usize::from(length)]].concat();
            server.receive(address(1, 5684), &forged);
            clients[0].receive(&forged);
        }
        assert!(server.closed().is_empty() && !clients[0].is_closed(), "{suite}");
        // The shortest that the suite makes.
        clients[0].association.send(Instant::now(), b"x").expect("sent");
        carry(&mut server, &mut clients, &mut Weather::fair(), |server, _| !server.records().is_empty());
        assert_eq!(server.records().len(), 1, "{suite}");
        clients[0].association.close(Instant::now());
        carry(&mut server, &mut clients, &mut Weather::fair(), |_, _| false);
        assert_eq!(server.closed(), [Closed::Peer], "{suite}");
    }
}

#[test]
fn a_forged_record_that_is_too_short_breaks_no_handshake_off() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let (client, flight) = up_to_last_flight(&mut server, &authority, &authority.leaf("device"), 5684);
    let forged = [22, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 3, 1, 2, 3];
    for record in &flight {
        server.receive(client.address, &forged);
        server.receive(client.address, record);
    }
    assert_eq!(server.established().len(), 1);
}

#[test]
fn noise_under_its_own_address_disturbs_no_live_association() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let mut clients = [Client::patient(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    let mut elsewhere = Server::new(&authority, patient());
    let (_, flight) = up_to_last_flight(&mut elsewhere, &authority, &device, 5684);
    clients[0].association.send(Instant::now(), b"a record that is never delivered as it was").expect("sent");
    let record = clients[0].sent().remove(0).to_vec();
    let alert = vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];
    let samples: Vec<Vec<u8>> = flight.into_iter().chain([record, device_hello(), alert]).collect();
    let mut weather = Weather::foul(50, 7);
    for round in 0..20_000_u32 {
        let mut datagram = samples[round as usize % samples.len()].clone();
        // Behind the head at least, so that none is what it was.
        let last = datagram.len() - 1;
        datagram[last] ^= 0x55;
        for byte in &mut datagram {
            if weather.strikes(2) {
                *byte = byte.wrapping_add(round.to_le_bytes()[0]);
            }
        }
        // What was changed twice may be what it was.
        if samples.contains(&datagram) {
            continue;
        }
        server.receive(address(1, 5684), &datagram);
        server.sent();
        assert!(server.closed().is_empty() && server.records().is_empty(), "{round}: {datagram:02x?} {:?}", server.events);
    }
    assert!(server.records().is_empty() && server.closed().is_empty() && server.established().len() == 1);
    clients[0].association.send(Instant::now(), b"still here").expect("sent");
    carry(&mut server, &mut clients, &mut Weather::fair(), |server, _| !server.records().is_empty());
    assert_eq!(server.records()[0].1, "still here");
}

#[test]
fn what_comes_too_early_is_kept_in_small_number_and_the_handshake_goes_on() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let (client, flight) = up_to_last_flight(&mut server, &authority, &authority.leaf("device"), 5684);
    for sequence in 0..200_u8 {
        let mut early = vec![23, 254, 253, 0, 1, 0, 0, 0, 0, 1, sequence, 0, 40];
        early.extend([sequence; 40]);
        server.receive(client.address, &early);
    }
    for record in &flight {
        server.receive(client.address, record);
    }
    assert_eq!(server.established().len(), 1);
}

#[test]
fn repetitions_of_a_last_flight_leave_nothing_with_openssl() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let (client, flight) = up_to_last_flight(&mut server, &authority, &authority.leaf("device"), 5684);
    // What is said again in the clear has a number of its own.
    let again =
        |record: &[u8], number: u8| if record[4] == 0 { [&record[..10], &[number], &record[11..]].concat() } else { record.to_vec() };
    // The certificate is what gets lost each time.
    for number in (10..90).step_by(4) {
        let datagram = [again(&flight[1], number), again(&flight[2], number + 1), again(&flight[4], 0)].concat();
        server.receive(client.address, &datagram);
    }
    for (number, record) in (100..).zip(&flight) {
        server.receive(client.address, &again(record, number));
    }
    assert_eq!(server.established().len(), 1);
    assert!(!is_on_openssl(&server));
}

#[test]
fn what_others_write_into_a_handshake_leaves_nothing_with_openssl_and_keeps_nobody_out() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let (client, flight) = up_to_last_flight(&mut server, &authority, &authority.leaf("device"), 5684);
    let write = |server: &mut Server| {
        for sequence in 0..100 {
            server.receive(client.address, &forged(23, sequence, 1024));
            server.receive(client.address, &forged(22, sequence, 40));
            server.receive(client.address, &[forged(21, sequence, 26), forged(23, sequence, 8000)].concat());
        }
    };
    for record in &flight {
        write(&mut server);
        server.receive(client.address, record);
    }
    assert_eq!(server.established().len(), 1);
    assert!(!is_on_openssl(&server));
}

#[test]
fn a_fatal_alert_under_the_keys_has_the_session_forgotten_with_openssl_too() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let device = authority.leaf("device");
    let mut clients = [Client::with_short_records(address(1, 5684), &authority, &device)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    assert!(server.established().len() == 1 && is_on_openssl(&server));
    let [client] = &clients;
    let session = client.association.ssl().expect("OpenSSL's").session().expect("a session").to_der().expect("DER");
    let alert = client.association.clients_protection().and_then(|mut protection| protection.seal(21, &[2, 20])).expect("sealed");
    server.receive(client.address, &alert);
    assert_eq!(server.closed(), [Closed::Protocol]);
    let mut clients = [Client::offering(address(2, 5684), &authority, &device, Some(&session), NEVER)];
    carry(&mut server, &mut clients, &mut Weather::fair(), settled);
    assert!(clients[0].is_established() && !clients[0].association.ssl().expect("OpenSSL's").session_reused());
}

#[test]
fn a_handshake_that_takes_more_than_any_chain_needs_is_broken_off() {
    let authority = Authority::new("root");
    let mut server = Server::new(&authority, patient());
    let (client, _) = up_to_last_flight(&mut server, &authority, &authority.leaf("device"), 5684);
    // Pieces of a certificate message that never becomes whole.
    let mut piece = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 1, 0, 0x04, 12, 11, 0, 0x40, 0, 0, 2, 0, 0, 0, 0, 0x04, 0];
    piece.extend([0; 1024]);
    let mut sent = 0;
    while server.gate.half_open() == 1 {
        assert!(sent < 128 * 1024, "it takes all of it");
        sent += piece.len();
        server.receive(client.address, &piece);
    }
    assert!(server.established().is_empty() && sent > 64 * 1024, "{sent}");
}
