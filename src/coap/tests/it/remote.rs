//! Requests from the server to the peer of a connection.

use crate::{
    client::{Client, now},
    world::{World, within},
};
use gatehouse_coap::{Anyone, Granted, Remote, RemoteError, Request, Response, Route, Routes};
use gatehouse_wire::coap::{
    Code, ContentFormat, Message, Options, Token,
    endpoint::{self, Event, Gone},
};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// A server that hands out the way to whoever says hello.
fn world() -> (World, mpsc::UnboundedReceiver<Remote>) {
    let (peers, handles) = mpsc::unbounded_channel();
    let peers = Arc::new(Mutex::new(peers));
    let hello = move |_: Granted<Anyone>, request: Request| {
        peers.lock().unwrap().send(request.remote().clone()).unwrap();
        async { Response::new(Code::CHANGED) }
    };
    (World::new(Routes::new().with(Route::post("/hello", hello))), handles)
}

async fn connected(world: &World, handles: &mut mpsc::UnboundedReceiver<Remote>) -> (Client, Remote) {
    let mut client = world.client().await;
    let options = Options::builder().path("/hello").unwrap().build();
    within(client.ask(endpoint::Request::new(Code::POST).options(options))).await;
    (client, within(handles.recv()).await.unwrap())
}

fn light() -> endpoint::Request {
    endpoint::Request::new(Code::GET).options(Options::builder().path("/light").unwrap().build())
}

fn content(text: &str) -> Message {
    let options = Options::builder().content_format(ContentFormat::TEXT).build();
    Message::new(Code::CONTENT, Token::EMPTY).with_options(options).with_payload(text.to_owned())
}

#[tokio::test]
async fn the_peer_is_asked_on_the_connection_that_it_made() {
    let (world, mut handles) = world();
    let (mut client, remote) = connected(&world, &mut handles).await;
    let mut asked = tokio::spawn({
        let remote = remote.clone();
        async move { (remote.request(light()).await, remote.ping().await) }
    });
    let incoming = loop {
        if let Some(Event::Request(incoming)) = within(client.next()).await {
            break incoming;
        }
    };
    assert_eq!(incoming.message.options.path().collect::<Vec<_>>(), ["light"]);
    client.endpoint.respond(now(), incoming.exchange, content("on")).unwrap();
    let (answer, ping) = loop {
        tokio::select! {
            _ = client.next() => {}
            answers = &mut asked => break answers.unwrap(),
        }
    };
    assert_eq!(answer.unwrap().payload, "on");
    assert_eq!(ping, Ok(()));
    drop(client);
    within(remote.closed()).await;
    assert_eq!(within(remote.request(light())).await, Err(RemoteError::Closed));
    assert_eq!(within(remote.ping()).await, Err(RemoteError::Closed));
}

#[tokio::test]
async fn the_peer_is_observed_until_nobody_listens() {
    let (world, mut handles) = world();
    let (mut client, remote) = connected(&world, &mut handles).await;
    let listening = tokio::spawn(async move {
        let mut observation = remote.observe(light()).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..3 {
            told.push(observation.next().await.unwrap().unwrap().payload);
        }
        told
    });
    let mut observer = None;
    loop {
        match within(client.next()).await.unwrap() {
            Event::Request(incoming) if incoming.observe => {
                observer = client.endpoint.respond_observed(now(), incoming.exchange, content("1")).unwrap();
                for state in ["2", "3"] {
                    client.endpoint.notify(now(), observer.unwrap(), content(state), endpoint::Delivery::Automatic);
                    client.send().await;
                }
            }
            // It had what it wanted, and said so.
            Event::Request(incoming) => {
                client.endpoint.respond(now(), incoming.exchange, content("3")).unwrap();
            }
            Event::ObserverGone { observation, why } => {
                assert_eq!((Some(observation), why), (observer, Gone::Deregistered));
                break;
            }
            _ => {}
        }
    }
    assert_eq!(within(listening).await.unwrap(), ["1", "2", "3"]);
}

#[tokio::test]
async fn notifications_that_nobody_takes_end_their_observation_with_an_error() {
    let (world, mut handles) = world();
    let (mut client, remote) = connected(&world, &mut handles).await;
    let observing = tokio::spawn(async move { remote.observe(light()).await.unwrap() });
    let mut state = 0;
    let gone = loop {
        match within(client.next()).await.unwrap() {
            Event::Request(incoming) if incoming.observe => {
                let observer = client.endpoint.respond_observed(now(), incoming.exchange, content("0")).unwrap().unwrap();
                for _ in 0..20 {
                    state += 1;
                    client.endpoint.notify(now(), observer, content(&state.to_string()), endpoint::Delivery::Automatic);
                    client.send().await;
                }
            }
            Event::ObserverGone { why, .. } => break why,
            _ => {}
        }
    };
    assert_eq!(gone, Gone::Deregistered);
    let mut observation = within(observing).await.unwrap();
    for state in 0..16 {
        assert_eq!(within(observation.next()).await.unwrap().unwrap().payload, state.to_string());
    }
    assert_eq!(within(observation.next()).await, Some(Err(RemoteError::Slow)));
    assert_eq!(within(observation.next()).await, None);
}
