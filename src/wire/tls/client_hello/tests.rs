//! Hellos of known clients, and what is none.

use super::*;

/// What a device with TLS 1.2 sends: six suites and the renegotiation signal, two groups, no server name and no ALPN.
fn device() -> Vec<u8> {
    let suites = [0xc02b, 0xc023, 0xc02c, 0xc024, 0xc02f, 0xc030, 0x00ff];
    body(0x0303, &[], &suites, &[(10, list(2, &[0x17, 0x18])), (13, list(2, &[0x0603, 0x0601, 0x0403])), (11, vec![1, 0]), (23, vec![])])
}

/// What a browser sends, as far as it matters here.
fn browser() -> Vec<u8> {
    let alpn = [&[0, 8][..], &[4], b"coap", &[2], b"h2"].concat();
    let versions = list(1, &[0x0304, 0x0303]);
    body(
        0x0303,
        &[7; 32],
        &[0x1301, 0xc02b],
        &[(0, vec![0, 0]), (43, versions), (16, alpn), (10, list(2, &[0x1d, 0x17])), (51, vec![0; 1200])],
    )
}

fn list(width: usize, numbers: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    vector_of(width, &bytes)
}

fn vector_of(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[4 - width..], bytes].concat()
}

fn body(version: u16, session: &[u8], suites: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let extensions: Vec<u8> =
        extensions.iter().flat_map(|(kind, value)| [kind.to_be_bytes().to_vec(), vector_of(2, value)].concat()).collect();
    [&version.to_be_bytes()[..], &[9; 32], &vector_of(1, session), &list(2, suites), &[1, 0], &vector_of(2, &extensions)].concat()
}

fn handshake(body: &[u8]) -> Vec<u8> {
    [&[1], &vector_of(3, body)[..]].concat()
}

/// The handshake message in records of so many bytes.
fn records(body: &[u8], size: usize) -> Vec<u8> {
    handshake(body).chunks(size).flat_map(|part| [&[22, 3, 1], &vector_of(2, part)[..]].concat()).collect()
}

fn datagram(body: &[u8], cookie: &[u8]) -> Vec<u8> {
    let (front, back) = body.split_at(2 + 32 + 1 + usize::from(body[34]));
    let body = [front, &vector_of(1, cookie), back].concat();
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &[0, 0], &[0, 0, 0], &length[1..], &body].concat();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1], &vector_of(2, &message)[..]].concat()
}

#[test]
fn a_device_is_known_by_its_suites_groups_and_missing_extensions() {
    let hello = ClientHello::from_stream(&records(&device(), 1 << 14)).unwrap();
    assert_eq!(hello.versions, [0x0303]);
    assert_eq!(hello.cipher_suites, [0xc02b, 0xc023, 0xc02c, 0xc024, 0xc02f, 0xc030, 0x00ff]);
    assert_eq!(hello.groups, [0x17, 0x18]);
    assert_eq!(hello.signature_algorithms, [0x0603, 0x0601, 0x0403]);
    assert!(hello.extended_master_secret && !hello.server_name && !hello.session_id && hello.alpn.is_empty());
}

#[test]
fn a_modern_client_says_its_versions_in_an_extension() {
    let hello = ClientHello::from_stream(&records(&browser(), 1 << 14)).unwrap();
    assert!(hello.offers_version(0x0304) && hello.offers_version(0x0303) && !hello.offers_version(0x0302));
    assert_eq!(hello.alpn, [b"coap".to_vec(), b"h2".to_vec()]);
    assert!(hello.server_name && hello.session_id && !hello.extended_master_secret);
}

#[test]
fn a_hello_without_extensions_is_one() {
    let mut body = body(0x0301, &[], &[0x002f], &[]);
    body.truncate(body.len() - 2);
    let hello = ClientHello::from_stream(&records(&body, 1 << 14)).unwrap();
    assert_eq!((hello.versions, hello.cipher_suites), (vec![0x0301], vec![0x002f]));
}

#[test]
fn a_hello_is_the_same_however_it_is_split_into_records() {
    let whole = ClientHello::from_stream(&records(&browser(), 1 << 14)).unwrap();
    for size in [1, 2, 3, 4, 5, 7, 100, 1000] {
        assert_eq!(ClientHello::from_stream(&records(&browser(), size)), Ok(whole.clone()), "{size}");
    }
}

#[test]
fn every_beginning_of_a_hello_asks_for_more() {
    for size in [3, 1 << 14] {
        let stream = records(&device(), size);
        for length in 0..stream.len() {
            assert_eq!(ClientHello::from_stream(&stream[..length]), Err(HelloError::Incomplete), "{length}");
        }
        assert!(ClientHello::from_stream(&[&stream[..], b"and more"].concat()).is_ok());
    }
}

#[test]
fn what_is_no_hello_is_known_by_its_first_bytes() {
    for other in [
        &b"GET / HTTP/1.1"[..],
        b"G",
        &[0x08, 0xe1],
        &[22, 2],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0x40, 1],
        &[22, 3, 1, 0, 4, 2],
        &[21, 3, 3, 0, 2, 2, 40],
        &[0x80, 0x2e, 1, 3, 1],
    ] {
        assert_eq!(ClientHello::from_stream(other), Err(HelloError::NotTls), "{other:02x?}");
    }
    for beginning in [&[][..], &[22], &[22, 3], &[22, 3, 1, 0x40, 0], &[22, 3, 1, 0, 4, 1]] {
        assert_eq!(ClientHello::from_stream(beginning), Err(HelloError::Incomplete), "{beginning:02x?}");
    }
}

#[test]
fn a_hello_that_announces_more_than_the_bound_is_refused_at_once() {
    let fits = (MAX_HELLO - RECORD_HEADER - HANDSHAKE_HEADER) as u32;
    let announce = |length: u32| [&[22, 3, 1, 0x40, 0, 1], &length.to_be_bytes()[1..]].concat();
    assert_eq!(ClientHello::from_stream(&announce(fits)), Err(HelloError::Incomplete));
    assert_eq!(ClientHello::from_stream(&announce(fits + 1)), Err(HelloError::TooLong));
}

#[test]
fn a_hello_in_records_of_one_byte_each_ends_at_the_bound() {
    let stream = records(&[0; 4000], 1);
    assert_eq!(ClientHello::from_stream(&stream[..MAX_HELLO - 1]), Err(HelloError::Incomplete));
    assert_eq!(ClientHello::from_stream(&stream[..MAX_HELLO]), Err(HelloError::TooLong));
    assert_eq!(ClientHello::from_stream(&stream), Err(HelloError::TooLong));
}

#[test]
fn an_extension_that_occurs_twice_and_bytes_behind_the_last_are_malformed() {
    let twice = body(0x0303, &[], &[0xc02b], &[(23, vec![]), (10, list(2, &[0x17])), (23, vec![])]);
    let behind = [&device()[..], &[0]].concat();
    for bad in [twice, behind] {
        assert_eq!(ClientHello::from_stream(&records(&bad, 1 << 14)), Err(HelloError::Malformed));
    }
}

#[test]
fn a_hello_whose_parts_are_longer_than_it_is_malformed() {
    let good = device();
    // Lengths of the session id, the suites, the compression methods and the extensions.
    for at in [34, 35, 36, 51, 53] {
        let mut bad = good.clone();
        bad[at] ^= 0x81;
        assert_eq!(ClientHello::from_stream(&records(&bad, 1 << 14)), Err(HelloError::Malformed), "{at}");
    }
}

#[test]
fn a_datagram_is_read_with_and_without_a_cookie() {
    let mut device = device();
    device[..2].copy_from_slice(&[0xfe, 0xfd]);
    let first = ClientHello::from_datagram(&datagram(&device, &[])).unwrap();
    let second = ClientHello::from_datagram(&datagram(&device, &[5; 20])).unwrap();
    assert!(!first.cookie && second.cookie);
    assert_eq!((first.versions, first.groups), (vec![0xfefd], vec![0x17, 0x18]));
}

#[test]
fn a_cut_datagram_is_incomplete_and_one_of_a_later_epoch_is_no_hello() {
    let good = datagram(&device(), &[]);
    for length in 0..good.len() {
        assert_eq!(ClientHello::from_datagram(&good[..length]), Err(HelloError::Incomplete), "{length}");
    }
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        ClientHello::from_datagram(&bytes)
    };
    assert_eq!(changed(0, 23), Err(HelloError::NotTls));
    assert_eq!(changed(1, 3), Err(HelloError::NotTls));
    assert_eq!(changed(4, 1), Err(HelloError::NotTls));
    assert_eq!(changed(13, 16), Err(HelloError::NotTls));
    assert_eq!(changed(14, 1), Err(HelloError::TooLong));
    assert_eq!(changed(21, 1), Err(HelloError::Malformed));
    assert_eq!(changed(24, 0), Err(HelloError::Incomplete));
    assert_eq!(ClientHello::from_datagram(b"x"), Err(HelloError::NotTls));
}
