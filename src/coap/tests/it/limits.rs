//! What a peer and all of them may take, and how connections end.

use crate::{
    client::get,
    world::{World, within},
};
use gatehouse_coap::{Anyone, Config, Framing, Granted, Request, Response, Route, Routes};
use gatehouse_wire::coap::{Code, ContentFormat, OptionNumber, endpoint::Closed};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Answers when the test says so.
fn waiting(gate: &Arc<Semaphore>) -> Routes {
    let gate = Arc::clone(gate);
    let wait = move |_: Granted<Anyone>, _: Request| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Response::body(ContentFormat::TEXT, "done")
        }
    };
    Routes::new().with(Route::get("/wait", wait)).with(Route::get("/now", |_: Granted<Anyone>, _: Request| async { Code::VALID }))
}

#[tokio::test]
async fn one_request_more_than_the_limit_is_told_to_come_back() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::with(waiting(&gate), Framing::Standard, Config { requests: 1, ..Config::default() });
    let (mut first, mut second) = (world.client().await, world.client().await);
    let held = first.begin(get("/wait"));
    first.send().await;
    // Over one connection requests are read in order: the one before has its turn.
    assert_eq!(within(first.get("/now")).await.code, Code::SERVICE_UNAVAILABLE);
    let refused = within(second.get("/now")).await;
    assert_eq!((refused.code, refused.options.uint(OptionNumber::MAX_AGE)), (Code::SERVICE_UNAVAILABLE, Some(5)));
    gate.add_permits(1);
    assert_eq!(within(first.answer(held)).await.code, Code::CONTENT);
    assert_eq!(within(second.get("/now")).await.code, Code::VALID);
}

#[tokio::test]
async fn one_peer_does_not_get_more_turns_than_its_share() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::with(waiting(&gate), Framing::Standard, Config { requests_per_peer: 2, ..Config::default() });
    let mut client = world.client().await;
    let held = [client.begin(get("/wait")), client.begin(get("/wait"))];
    assert_eq!(within(client.get("/now")).await.code, Code::SERVICE_UNAVAILABLE);
    gate.add_permits(2);
    for asked in held {
        assert_eq!(within(client.answer(asked)).await.code, Code::CONTENT);
    }
    assert_eq!(within(client.get("/now")).await.code, Code::VALID);
}

#[tokio::test]
async fn draining_finishes_what_was_asked_and_takes_leave() {
    let gate = Arc::new(Semaphore::new(0));
    let world = World::new(waiting(&gate));
    let (mut busy, mut idle) = (world.client().await, world.client().await);
    assert_eq!(within(idle.get("/now")).await.code, Code::VALID);
    let held = busy.begin(get("/wait"));
    assert_eq!(within(busy.get("/now")).await.code, Code::VALID);
    world.shutdown.start_draining();
    assert_eq!(within(idle.end()).await, Some(Closed::Released));
    gate.add_permits(1);
    assert_eq!(within(busy.answer(held)).await.payload, "done");
    assert_eq!(within(busy.end()).await, Some(Closed::Released));
    world.drained().await;
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_left_after_a_while() {
    let config = Config { idle_timeout: Duration::from_millis(100), ..Config::default() };
    let gate = Arc::new(Semaphore::new(0));
    let world = World::with(waiting(&gate), Framing::Standard, config);
    let mut client = world.client().await;
    assert_eq!(within(client.end()).await, Some(Closed::Released));
    let mut working = world.client().await;
    let held = working.begin(get("/wait"));
    working.send().await;
    let mut other = world.client().await;
    assert_eq!(within(other.end()).await, Some(Closed::Released), "longer than the limit has passed");
    gate.add_permits(1);
    assert_eq!(within(working.answer(held)).await.code, Code::CONTENT);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let gate = Arc::new(Semaphore::new(0));
    let config = Config { request_timeout: Duration::from_millis(50), ..Config::default() };
    let world = World::with(waiting(&gate), Framing::Standard, config);
    let mut client = world.client().await;
    assert_eq!(within(client.get("/wait")).await.code, Code::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn devices_get_a_first_message_that_they_survive_and_standard_peers_one_that_says_what_we_can() {
    use tokio::io::AsyncReadExt;
    for (framing, start) in [(Framing::Devices, [0x08, 0xe1]), (Framing::Standard, [0x50, 0xe1])] {
        let world = World::with(Routes::new(), framing, Config::default());
        let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
        let mut first = [0; 64];
        let length = within(stream.read(&mut first)).await.unwrap();
        assert!(length >= 7, "{length} bytes hang a device");
        assert_eq!(first[..2], start);
    }
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_told_and_closed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new(Routes::new());
    let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    // A token of nine bytes.
    stream.write_all(&[0x09, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 9]).await.unwrap();
    let mut said = Vec::new();
    within(stream.read_to_end(&mut said)).await.unwrap();
    assert!(String::from_utf8_lossy(&said).contains("token"), "{said:?}");
}
