//! Observation of our resources (RFC 7641).

use crate::{client::get, world::World, world::within};
use bytes::{Bytes, BytesMut};
use gatehouse_coap::{Anyone, Config, Framing, Granted, Refusal, Request, Response, Route, Routes, health};
use gatehouse_wire::coap::{
    Code, ContentFormat, Datagram, Kind, Limits, Message, MessageId, OptionNumber, Options, Token, endpoint::Event,
};
use std::time::Duration;
use tokio::{net::UdpSocket, sync::watch};

fn counter(states: watch::Receiver<u32>) -> Routes {
    let tell = move |_: Granted<Anyone>, _: Request| {
        let show = |state: &u32| -> Result<Response, Refusal> {
            let answer = Response::body(ContentFormat::TEXT, state.to_string());
            Ok(if *state == 13 { answer.with_code(Code::NOT_FOUND) } else { answer })
        };
        let answer = Response::observed(states.clone(), show);
        async move { answer }
    };
    Routes::new().with(Route::get("/counter", tell))
}

#[tokio::test]
async fn an_observer_gets_the_state_and_each_later_one_until_an_error_ends_it() {
    let (states, receiver) = watch::channel(1);
    let world = World::new(counter(receiver));
    let mut client = world.client().await;
    let observing = client.begin(get("/counter").observe());
    assert_eq!(within(client.answer(observing)).await.payload, "1");
    for (state, code) in [(2, Code::CONTENT), (3, Code::CONTENT), (13, Code::NOT_FOUND)] {
        states.send(state).unwrap();
        let told = within(client.next()).await;
        let Some(Event::Notification { request, message }) = told else { panic!("{told:?}") };
        assert_eq!((request, message.code, &message.payload[..]), (observing, code, state.to_string().as_bytes()));
    }
    let ended = within(client.next()).await;
    assert!(matches!(ended, Some(Event::ObservationEnded { request, .. }) if request == observing), "{ended:?}");
    let drained = async { states.closed().await };
    drop(client);
    world.drained().await;
    within(drained).await;
}

#[tokio::test]
async fn who_does_not_observe_is_answered_once() {
    let (states, receiver) = watch::channel(1);
    let world = World::new(counter(receiver));
    let mut client = world.client().await;
    assert_eq!(within(client.get("/counter")).await.payload, "1");
    states.send(2).unwrap();
    let again = client.begin(get("/counter"));
    let told = within(client.next()).await;
    assert!(matches!(&told, Some(Event::Response { request, message, .. }) if *request == again && message.payload == "2"), "{told:?}");
}

#[tokio::test]
async fn health_is_told_when_it_changes() {
    let (ready, receiver) = watch::channel(true);
    let world = World::new(health(receiver));
    let mut client = world.client().await;
    let observing = client.begin(get("/health").observe());
    assert_eq!(within(client.answer(observing)).await.payload, &b"\xa1\x66status\x65ready"[..]);
    ready.send(false).unwrap();
    let told = within(client.next()).await;
    let Some(Event::Notification { message, .. }) = told else { panic!("{told:?}") };
    assert_eq!(message.payload, &b"\xa1\x66status\x69not ready"[..]);
}

#[tokio::test]
async fn one_observer_more_than_all_peers_may_have_is_answered_once() {
    let (states, receiver) = watch::channel(1);
    let world = World::with(counter(receiver), Framing::Standard, Config { observers: 1, ..Config::default() });
    let (mut first, mut second) = (world.client().await, world.client().await);
    let observing = first.begin(get("/counter").observe());
    assert_eq!(within(first.answer(observing)).await.payload, "1");
    let refused = second.begin(get("/counter").observe());
    let told = within(second.next()).await;
    assert!(matches!(&told, Some(Event::Response { request, observing: false, .. }) if *request == refused), "{told:?}");
    states.send(2).unwrap();
    assert!(matches!(within(first.next()).await, Some(Event::Notification { .. })));
    // The place is free again when the first one is gone.
    drop(first);
    loop {
        let observing = second.begin(get("/counter").observe());
        match within(second.next()).await.unwrap() {
            Event::Response { request, observing: true, .. } if request == observing => break,
            Event::Response { observing: false, .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A peer over UDP that observes, and has shown where it is.
async fn observer(address: std::net::SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    let register = |id, echo: Option<&[u8]>| {
        let options = Options::builder().observe(0).path("/counter").unwrap();
        let options = if let Some(echo) = echo { options.push(OptionNumber::ECHO, echo).unwrap() } else { options };
        let message = Message::new(Code::GET, Token::from([7; 8])).with_options(options.build());
        encoded(&Datagram { kind: Kind::Confirmable, id: MessageId(id), message })
    };
    socket.send(&register(1, None)).await.unwrap();
    let challenge = receive(&socket).await;
    let echo = challenge.message.options.first(OptionNumber::ECHO).unwrap();
    socket.send(&register(2, Some(echo))).await.unwrap();
    let agreed = receive(&socket).await;
    assert!(agreed.message.options.observe().is_some(), "{agreed:?}");
    socket
}

fn encoded(datagram: &Datagram) -> Bytes {
    let mut bytes = BytesMut::new();
    datagram.encode(&mut bytes);
    bytes.freeze()
}

async fn receive(socket: &UdpSocket) -> Datagram {
    let mut buffer = [0; 2048];
    let length = within(socket.recv(&mut buffer)).await.unwrap();
    Datagram::parse(Bytes::copy_from_slice(&buffer[..length]), &Limits::default()).unwrap()
}

/// Impatient in everything.
fn impatient() -> Config {
    let moment = Duration::from_millis(50);
    Config { confirm_observation: moment, ack_timeout: moment, max_retransmit: 1, ..Config::default() }
}

#[tokio::test]
async fn rfc7641_section_4_5_an_observer_over_udp_that_leaves_silently_is_found_out_though_nothing_changes() {
    let states = watch::Sender::new(1);
    let kept = states.clone();
    let tell = move |_: Granted<Anyone>, _: Request| {
        let show = |state: &u32| -> Result<Response, Refusal> { Ok(Response::body(ContentFormat::TEXT, state.to_string())) };
        let answer = Response::observed(kept.subscribe(), show);
        async move { answer }
    };
    let (address, shutdown) = World::datagrams(Routes::new().with(Route::get("/counter", tell)), impatient());
    let socket = observer(address).await;
    let shown = receive(&socket).await;
    assert_eq!((shown.kind, shown.message.code, &shown.message.payload[..]), (Kind::Confirmable, Code::CONTENT, &b"1"[..]));
    // It says nothing. Once more, and then the observation is over: nobody holds the states.
    let again = receive(&socket).await;
    assert_eq!((again.id, again.kind), (shown.id, Kind::Confirmable));
    within(states.closed()).await;
    shutdown.stop();
}

#[tokio::test]
async fn rfc7641_section_4_5_an_observer_over_udp_that_acknowledges_goes_on_to_be_told() {
    let (states, receiver) = watch::channel(1);
    let (address, shutdown) = World::datagrams(counter(receiver), Config { max_retransmit: 10, ..impatient() });
    let socket = observer(address).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let shown = receive(&socket).await;
        assert!(shown.message.code == Code::CONTENT, "{shown:?}");
        socket.send(&encoded(&Datagram::empty(Kind::Acknowledgement, shown.id))).await.unwrap();
        if !told.contains(&shown.id) {
            told.push(shown.id);
        }
    }
    states.send(2).unwrap();
    while receive(&socket).await.message.payload != "2" {}
    shutdown.stop();
}
