//! What each fuzz target of the wire formats does with its bytes. The ordinary tests run the same over all seeds and known
//! crashes.

#![allow(dead_code, reason = "each target uses one of the bodies")]

use bytes::{Bytes, BytesMut};
use gatehouse_wire::{
    cbor,
    coap::{
        Code, Datagram, Limits, Message, OptionNumber, Options, Signal, Token, Uri,
        endpoint::{Config, Delivery, Endpoint, Event, Request, TcpStyle},
        link_format::{self, Filter},
        tcp,
        uri::{self, Host, Scheme},
    },
    proxy::ProxyHeader,
    tls::{ClientHello, HelloError},
    webauthn::{AttestationObject, AuthenticatorData, CoseKey},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Reads a datagram; a good one is its bytes.
pub(crate) fn coap_udp(data: &[u8]) {
    match Datagram::parse(Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(datagram) => {
            let mut written = BytesMut::new();
            datagram.encode(&mut written);
            assert_eq!((&written[..], written.len()), (data, datagram.encoded_length()));
            walk(&datagram.message);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.reset().is_none() || error.header.is_some());
        }
    }
}

/// Cuts a stream into messages, which are the same however it arrives.
pub(crate) fn coap_tcp(data: &[u8]) {
    let step = data.first().map_or(1, |byte| usize::from(byte % 19) + 1);
    let (messages, error) = drain(data, data.len());
    assert_eq!(drain(data, step), (messages.clone(), error));
    for message in &messages {
        let mut written = BytesMut::new();
        tcp::encode(message, &mut written);
        assert_eq!(drain(&written, 1), (vec![message.clone()], None));
        walk(message);
        match Signal::from_message(message) {
            // What an abort says is cut at a length, perhaps within a character.
            Ok(Signal::Abort(_)) | Err(_) => {}
            Ok(signal) => assert_eq!(Signal::from_message(&signal.to_message(message.token)), Ok(signal)),
        }
    }
}

/// Lets a peer say anything to an endpoint whose application asks, answers and notifies. Each step is a byte that says what
/// happens, a length, and so many bytes.
pub(crate) fn coap_endpoint(data: &[u8]) {
    let Some((first, mut rest)) = data.split_first() else { return };
    let (udp, tcp) = (first & 1 == 0, if first & 2 == 0 { TcpStyle::General } else { TcpStyle::DEVICE });
    let (config, mut now) = (Arc::new(Config { tcp, ..Config::default() }), Instant::now());
    let mut end = if udp { Endpoint::udp(config, Arc::new(Sevens), now) } else { Endpoint::tcp(config, Arc::new(Sevens), now) };
    let (mut arrived, mut exchanges, mut observations, mut sent) = (BytesMut::new(), Vec::new(), Vec::new(), Bytes::new());
    while let [what, length, after @ ..] = rest {
        let (said, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        let mut said = said.to_vec();
        match what % 8 {
            kind @ (0 | 1) => {
                // An answer has the id and the token of what was asked.
                let asked = if udp { sent.get(2..12) } else { sent.get(2..10) };
                if let (1, Some(asked), Some(place)) = (kind, asked, asked.and_then(|asked| said.get_mut(2..2 + asked.len()))) {
                    place.copy_from_slice(asked);
                }
                if udp {
                    end.handle_datagram(now, said.into());
                } else {
                    arrived.extend_from_slice(&said);
                    end.handle_bytes(now, &mut arrived);
                }
            }
            2 => drop(end.request(now, Request::new(Code::PUT).payload(said.repeat(20)))),
            3 => drop(end.request(now, Request::new(Code::GET).observe())),
            4 => now += Duration::from_millis(u64::from(*length) * 500),
            kind => {
                let state = Message::new(Code::CONTENT, Token::EMPTY).with_payload(said.repeat(20));
                match (kind, exchanges.pop()) {
                    (5, Some(exchange)) => drop(end.respond(now, exchange, state)),
                    (6, Some(exchange)) => observations.extend(end.respond_observed(now, exchange, state).ok().flatten()),
                    _ => observations.iter().for_each(|observation| end.notify(now, *observation, state.clone(), Delivery::Automatic)),
                }
            }
        }
        end.handle_timeout(now);
        while let Some(bytes) = end.poll_transmit(now) {
            sent = bytes;
        }
        while let Some(event) = end.poll_event() {
            if let Event::Request(incoming) = event {
                exchanges.push(incoming.exchange);
            }
        }
        assert!(end.poll_timeout().is_none_or(|at| at > now), "a timeout that nothing is done about");
    }
}

/// Randomness that draws sevens.
struct Sevens;

impl gatehouse_types::Random for Sevens {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

fn drain(stream: &[u8], step: usize) -> (Vec<Message>, Option<tcp::FrameError>) {
    let (mut decoder, mut arrived, mut messages) = (tcp::Decoder::new(Limits::default()), BytesMut::new(), Vec::new());
    for slice in stream.chunks(step.max(1)) {
        arrived.extend_from_slice(slice);
        loop {
            match decoder.decode(&mut arrived) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(arrived.capacity() <= 2 * (stream.len() + 8192), "room is made for what arrives");
    }
    (messages, None)
}

/// Asks a message everything that it can be asked.
fn walk(message: &Message) {
    let options = &message.options;
    assert!(options.iter().map(|(number, _)| number).is_sorted());
    let again = options.iter().fold(Options::builder(), |all, (number, value)| all.push_raw(number, value).expect("it was read"));
    assert_eq!(&again.build(), options);
    for (number, value) in options {
        assert!(options.all(number).any(|found| found == value));
        let _ = (options.first_shared(number), options.uint(number), number.to_string());
    }
    let _ = (options.block1(), options.block2(), options.observe(), options.max_age(), options.content_format(), options.accept());
    let _ = format!("{message:?} {} {:?}", uri::requested(options), uri::location(options));
    let port = options.uint(OptionNumber::URI_PORT);
    let understood = port != Some(0) && options.refuse_critical(|number| number.name().is_some()).is_ok();
    let uri = Uri::from_options(Scheme::Coap, Host::named("h"), None, options);
    assert!(uri.is_some() || !understood, "what is understood has a URI");
    if let Some(uri) = uri {
        assert_eq!(uri.to_string().parse::<Uri>().map(|read| read.to_string()), Ok(uri.to_string()));
    }
}

/// Reads a URI; a good one is read as it was written, and becomes options and back.
pub(crate) fn coap_uri(data: &[u8]) {
    let Some(uri) = std::str::from_utf8(data).ok().and_then(|text| text.parse::<Uri>().ok()) else { return };
    let text = uri.to_string();
    assert_eq!(text.parse::<Uri>().map(|read| read.to_string()), Ok(text));
    let options = uri.to_options(5683).build();
    options.refuse_critical(|number| number.name().is_some()).expect("what a URI says is good");
    let read = Uri::from_options(uri.scheme(), uri.host().clone(), None, &options).expect("what a URI says is good");
    assert_eq!((read.host(), read.path(), read.query()), (uri.host(), uri.path(), uri.query()));
}

/// Reads links and filters them by what the first line says.
pub(crate) fn link_format(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (query, text) = text.split_once('\n').unwrap_or(("", text));
    if let Ok(links) = link_format::parse(text) {
        let filter = Filter::from_query(query);
        let _ = links.iter().filter(|link| filter.matches(link)).count();
        assert_eq!(link_format::parse(&link_format::write(&links)), Ok(links));
    }
}

/// Reads a hello as a stream and as a datagram. Less of it is never something else.
pub(crate) fn client_hello(data: &[u8]) {
    for read in [ClientHello::from_stream, ClientHello::from_datagram] {
        let whole = read(data);
        for length in (0..data.len()).step_by(1 + data.len() / 32) {
            let part = read(&data[..length]);
            assert!(part == Err(HelloError::Incomplete) || part == whole, "{length}: {part:?}, {whole:?}");
        }
    }
}

/// Reads the header of a balancer. Less of it is never something else, more changes nothing, and no more is asked for than is taken.
pub(crate) fn proxy(data: &[u8]) {
    let whole = ProxyHeader::parse(data);
    match whole {
        Ok(Some(header)) => {
            assert!(header.length <= data.len().min(ProxyHeader::MAX));
            assert_eq!(ProxyHeader::parse(&data[..header.length]), whole);
            assert_eq!(ProxyHeader::parse(&data[..header.length - 1]), Ok(None));
        }
        Ok(None) => assert!(data.len() < ProxyHeader::MAX),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for length in (0..data.len()).step_by(1 + data.len() / 32) {
        let part = ProxyHeader::parse(&data[..length]);
        assert!(part == Ok(None) || part == whole, "{length}: {part:?}, {whole:?}");
    }
}

/// Reads an item, shows it, and makes JSON of it and back.
pub(crate) fn cbor(data: &[u8]) {
    let (well_formed, shown) = (cbor::Reader::new(data).finish(), cbor::to_diagnostic(data));
    assert_eq!(shown.map(|_| ()), well_formed);
    if let Ok(json) = cbor::to_json(data) {
        assert_eq!(well_formed, Ok(()));
        // The same key twice is what it refuses.
        if let Ok(again) = cbor::from_json(&json) {
            cbor::to_json(&again).expect("what came from JSON becomes JSON");
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(item) = cbor::from_json(text)
    {
        cbor::to_json(&item).expect("what came from JSON becomes JSON");
    }
}

/// Takes apart what an authenticator says; what is read is within its bounds.
pub(crate) fn webauthn(data: &[u8]) {
    let _ = CoseKey::parse(data);
    let within = AttestationObject::parse(data).map(|object| object.authenticator_data);
    for found in [AuthenticatorData::parse(data), within].into_iter().flatten().filter_map(|data| data.credential) {
        assert!((1..=gatehouse_wire::webauthn::MAX_CREDENTIAL_ID).contains(&found.id.len()));
    }
}
