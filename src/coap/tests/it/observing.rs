//! Observation of our resources (RFC 7641).

use crate::{client::get, world::World, world::within};
use gatehouse_coap::{Anyone, Granted, Refusal, Request, Response, Route, Routes, health};
use gatehouse_wire::coap::{Code, ContentFormat, endpoint::Event};
use tokio::sync::watch;

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
