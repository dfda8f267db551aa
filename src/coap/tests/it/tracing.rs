//! Looking at one peer's messages.

use crate::world::{World, within};
use gatehouse_coap::{Anyone, Granted, LONGEST_TRACE, Request, Response, Route, Routes, TraceError, Whom};
use gatehouse_wire::coap::{Code, ContentFormat, Options, endpoint};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

async fn tell(_: Granted<Anyone>, _: Request) -> Response {
    Response::body(ContentFormat::TEXT, "hunter2")
}

fn world() -> World {
    World::new(Routes::new().with(Route::get("/open", tell)).with(Route::post("/oic/sec/session", tell)))
}

#[tokio::test]
async fn both_directions_of_one_peer_are_shown_without_what_is_secret() {
    let world = world();
    let (mut client, mut other) = (world.client().await, world.client().await);
    // The first messages of the connection have passed.
    within(client.get("/open")).await;
    let id = world.traces.begin(Whom::Socket(client.local_address()), MINUTE).unwrap();
    within(client.get("/open")).await;
    let options = Options::builder().path("/oic/sec/session").unwrap().content_format(ContentFormat::TEXT).build();
    within(client.ask(endpoint::Request::new(Code::POST).options(options).payload("hunter2"))).await;
    within(other.get("/open")).await;
    let seen = within(world.traces.wait(id, 0, MINUTE)).await.unwrap();
    let [asked, told, secret, answer] = &seen.lines[..] else { panic!("{seen:?}") };
    assert!(asked.contains("<- 0.01 GET") && asked.contains("/open"), "{asked}");
    assert!(told.contains("-> 2.05 Content") && told.contains("7 bytes: hunter2"), "{told}");
    assert!(secret.contains("<- 0.02 POST") && secret.contains("7 bytes, not shown"), "{secret}");
    assert!(answer.contains("-> 2.05 Content") && answer.contains("7 bytes, not shown"), "{answer}");
    assert_eq!((seen.next, seen.missed, seen.over), (4, 0, false));
    assert_eq!(world.traces.read(id, 4).unwrap().lines, Vec::<String>::new());
    world.traces.end(id);
    assert_eq!(world.traces.read(id, 0), None);
}

#[tokio::test]
async fn a_trace_ends_with_its_time_and_four_are_the_most() {
    let world = world();
    let whom = || Whom::from_text("127.0.0.1");
    let short = world.traces.begin(whom(), Duration::ZERO).unwrap();
    let mut client = world.client().await;
    within(client.get("/open")).await;
    let seen = world.traces.read(short, 0).unwrap();
    assert!(seen.over && seen.lines.is_empty(), "{seen:?}");
    let held: Vec<_> = (0..4).map(|_| world.traces.begin(whom(), MINUTE).unwrap()).collect();
    assert_eq!(world.traces.begin(whom(), MINUTE), Err(TraceError::TooMany));
    assert_eq!(world.traces.begin(whom(), LONGEST_TRACE + MINUTE), Err(TraceError::TooLong));
    world.traces.end(held[0]);
    assert!(world.traces.begin(whom(), MINUTE).is_ok());
}

#[tokio::test]
async fn who_does_not_read_in_time_is_told_how_much_is_gone() {
    let world = world();
    let mut client = world.client().await;
    within(client.get("/open")).await;
    let id = world.traces.begin(Whom::from_text("127.0.0.1"), MINUTE).unwrap();
    for _ in 0..600 {
        within(client.get("/open")).await;
    }
    let seen = world.traces.read(id, 0).unwrap();
    assert_eq!((seen.lines.len(), seen.missed, seen.next), (1024, 1200 - 1024, 1200));
}
