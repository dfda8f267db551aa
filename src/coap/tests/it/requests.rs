//! Requests and their answers.

use crate::world::{World, within};
use gatehouse_base::{Fault, Kind, SimulatedClock};
use gatehouse_coap::{Anyone, Framing, Granted, Refusal, Refusals, Request, Response, Route, Routes, VerifiedPeer, discovery, time};
use gatehouse_types::UnixTime;
use gatehouse_wire::coap::{Code, ContentFormat, OptionNumber, Options, endpoint};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn post(path: &str, body: impl Into<bytes::Bytes>) -> endpoint::Request {
    let options = Options::builder().path(path).unwrap().content_format(ContentFormat::OCTET_STREAM).build();
    endpoint::Request::new(Code::POST).options(options).payload(body)
}

async fn tell(_: Granted<Anyone>, request: Request) -> Response {
    let told = [request.parameter("id").unwrap_or("-"), &request.rest("href").unwrap_or_default(), request.argument("if").unwrap_or("-")];
    Response::body(ContentFormat::TEXT, told.join(" "))
}

async fn turn_around(_: Granted<Anyone>, request: Request) -> Response {
    Response::body(ContentFormat::OCTET_STREAM, request.body().iter().rev().copied().collect::<Vec<_>>()).with_code(Code::CHANGED)
}

#[tokio::test]
async fn a_handler_gets_the_named_parts_of_the_path_and_the_arguments() {
    let world = World::new(Routes::new().with(Route::get("/devices/{id}/{href…}", tell)));
    let mut client = world.client().await;
    let options = Options::builder().path("/devices/7/light/1").unwrap().query("rt=x&if=oic.if.b").unwrap().build();
    let answer = within(client.ask(endpoint::Request::new(Code::GET).options(options))).await;
    assert_eq!((answer.code, &answer.payload[..]), (Code::CONTENT, &b"7 /light/1 oic.if.b"[..]));
    assert_eq!(within(client.get("/devices/7")).await.code, Code::NOT_FOUND);
}

#[tokio::test]
async fn a_body_of_a_mebibyte_goes_there_and_back_in_blocks() {
    let world = World::new(Routes::new().with(Route::post("/turn", turn_around)));
    let mut client = world.client().await;
    let body: Vec<u8> = (0..1 << 20).map(|at: u32| (at / 1024 + at) as u8).collect();
    let answer = within(client.ask(post("/turn", body.clone()))).await;
    assert_eq!(answer.code, Code::CHANGED);
    assert!(answer.payload.iter().rev().eq(&body), "the body came back as another");
    let larger = within(client.ask(post("/turn", vec![1; (1 << 20) + 1]))).await;
    assert_eq!(larger.code, Code::REQUEST_ENTITY_TOO_LARGE);
}

#[tokio::test]
async fn who_has_shown_nothing_is_refused_before_the_handler_sees_anything() {
    async fn vault(_: Granted<VerifiedPeer>, _: Request) -> Response {
        unreachable!("nobody gets here without a certificate")
    }
    let world = World::new(Routes::new().with(Route::get("/vault", vault)).with(Route::get("/{id}", tell)));
    let mut client = world.client().await;
    let answer = within(client.get("/vault")).await;
    assert_eq!(answer.code, Code::UNAUTHORIZED);
    assert_eq!(&answer.payload[..], b"this needs a caller that has shown who it is");
    assert_eq!(answer.options.content_format(), None);
    assert_eq!(within(client.get("/open")).await.code, Code::CONTENT);
}

#[derive(Debug, thiserror::Error)]
#[error("the table is laid for {0}")]
struct Table(u8);

impl Fault for Table {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }

    fn code(&self) -> &'static str {
        "table"
    }
}

#[tokio::test]
async fn a_fault_becomes_a_code_with_a_text_and_a_panic_becomes_an_internal_error() {
    async fn fail(_: Granted<Anyone>, _: Request) -> Result<Response, Refusal> {
        Err(Table(4).into())
    }
    async fn panic(_: Granted<Anyone>, _: Request) -> Response {
        panic!("a handler's mistake")
    }
    async fn panic_later(_: Granted<Anyone>, _: Request) -> Response {
        tokio::task::yield_now().await;
        panic!("a handler's mistake")
    }
    let routes = Routes::new().with(Route::get("/fail", fail)).with(Route::get("/panic", panic)).with(Route::get("/later", panic_later));
    let world = World::new(routes);
    let mut client = world.client().await;
    let answer = within(client.get("/fail")).await;
    assert_eq!((answer.code, &answer.payload[..]), (Code::CONFLICT, &b"the table is laid for 4"[..]));
    assert_eq!(within(client.get("/panic")).await.code, Code::INTERNAL_SERVER_ERROR);
    assert_eq!(within(client.get("/later")).await.code, Code::INTERNAL_SERVER_ERROR);
    assert_eq!(within(client.get("/fail")).await.code, Code::CONFLICT);
}

#[tokio::test]
async fn a_method_that_devices_do_not_have_gets_no_answer_and_the_connection_goes_on() {
    let routes = Routes::new().with(Route::get("/a", tell)).refusing(Refusals::DEVICES);
    let world = World::with(routes, Framing::Standard, gatehouse_coap::Config::default());
    let mut client = world.client().await;
    let options = Options::builder().path("/a").unwrap().build();
    let ignored = client.begin(endpoint::Request::new(Code::FETCH).options(options.clone()));
    assert_eq!(within(client.ask(endpoint::Request::new(Code::DELETE).options(options))).await.code, Code::NOT_FOUND);
    assert_eq!(within(client.get("/a")).await.code, Code::CONTENT);
    client.endpoint.forget(ignored);
}

#[tokio::test]
async fn the_time_is_told_as_devices_read_it() {
    let clock = Arc::new(SimulatedClock::new(UnixTime::from_millis(1_767_323_045_678)));
    let world = World::new(time(clock));
    let mut client = world.client().await;
    let cbor = b"\xa1\x64time\x78\x1e2026-01-02T03:04:05.678000000Z";
    let answer = within(client.get("/x.plgd.dev/time")).await;
    assert_eq!(
        (answer.code, answer.options.content_format(), &answer.payload[..]),
        (Code::CONTENT, Some(ContentFormat::OCF_CBOR), &cbor[..])
    );
    let as_device = Options::builder().path("/x.plgd.dev/time").unwrap().accept(ContentFormat::OCF_CBOR);
    let as_device = as_device.uint(OptionNumber::OCF_ACCEPT_VERSION, 2048).build();
    assert_eq!(within(client.ask(endpoint::Request::new(Code::GET).options(as_device))).await.payload, &cbor[..]);
    let json = Options::builder().path("/x.plgd.dev/time").unwrap().accept(ContentFormat::JSON).build();
    let answer = within(client.ask(endpoint::Request::new(Code::GET).options(json))).await;
    assert_eq!(answer.payload, &br#"{"time":"2026-01-02T03:04:05.678000000Z"}"#[..]);
}

#[tokio::test]
async fn a_device_that_asks_for_the_time_gets_byte_for_byte_what_it_is_known_to_take() {
    // Recorded of an unmodified device and a service whose answers it accepted; of the fraction the first three digits.
    let asked = b"\xd8\x0b\x01\x62\xff\xd9\x20\x43\xb8\x04\x50\xba\x78.plgd.dev\x04time\x62\x27\x10\xe2\x06\xe3\x08\x00";
    let answered = b"\xd8\x1d\x45\x62\xff\xd9\x20\x43\xb8\x04\x50\xc2\x27\x10\xff\xa1\x64time\x78\x1e2026-11-20T10:49:55.068000000Z";
    let clock = Arc::new(SimulatedClock::new(UnixTime::from_millis(1_795_171_795_068)));
    let world = World::with(time(clock), Framing::Devices, gatehouse_coap::Config::default());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    // An empty CSM with the token that devices need.
    let mut csm = [0; 10];
    within(stream.read_exact(&mut csm)).await.unwrap();
    assert_eq!(csm[..2], [0x08, 0xe1]);
    stream.write_all(asked).await.unwrap();
    let mut answer = vec![0; answered.len()];
    within(stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, answered);
}

#[tokio::test]
async fn rfc6690_section_4_1_discovery_lists_what_is_to_be_listed_and_filters() {
    let listed =
        Route::get("/light", tell).offers(&[ContentFormat::CBOR, ContentFormat::JSON]).listed(&[("rt", "oic.r.light")]).observable();
    let routes = Routes::new().with(listed).with(Route::get("/hidden", tell)).with(Route::get("/b", tell).listed(&[("if", "sensor")]));
    let world = World::new(discovery(routes));
    let mut client = world.client().await;
    let ask = |query: &str| {
        let options = Options::builder().path("/.well-known/core").unwrap();
        let options = if query.is_empty() { options } else { options.query(query).unwrap() };
        endpoint::Request::new(Code::GET).options(options.build())
    };
    let light = "</light>;rt=\"oic.r.light\";ct=\"60 50\";obs";
    let b = "</b>;if=\"sensor\"";
    for (query, expected) in [
        ("", format!("{light},{b}")),
        ("rt=oic.r.*", light.to_owned()),
        ("if=sensor", b.to_owned()),
        ("obs", light.to_owned()),
        ("href=/l*", light.to_owned()),
        ("rt=other", String::new()),
    ] {
        let answer = within(client.ask(ask(query))).await;
        assert_eq!((answer.code, String::from_utf8_lossy(&answer.payload)), (Code::CONTENT, expected.into()), "{query}");
    }
}
