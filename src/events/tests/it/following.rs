//! Following streams: in order, without gaps, from where a consumer was.

use crate::{Painted, THINGS, at, colours, events, events_on, paint, painted, stream};
use gatehouse_events::{Bus, BusError, Delivery, Events, Listener, LocalBus, Record, Subscription, Waiting};
use gatehouse_store::{Batch, CommitError, Position, Store, Stream};
use std::{sync::Arc, time::Duration};

async fn next(subscription: &mut Subscription) -> Vec<(Position, String)> {
    match subscription.next().await.expect("next") {
        Delivery::Events(events) => {
            events.iter().map(|event| (event.position, event.decode::<Painted>().expect("painted").colour)).collect()
        }
        behind => panic!("{behind:?}"),
    }
}

#[tokio::test]
async fn an_event_goes_with_its_state_or_not_at_all() {
    let (events, thing, topic) = (events().await, stream("thing/1"), stream("paintings"));
    let paint = |colour: &str| {
        let batch = Batch::new().require_absent(THINGS, "1").put(THINGS, "1", colour);
        batch.record(&[&thing, &topic], &painted(colour), at(1)).expect("record")
    };
    events.commit(paint("red")).await.expect("commit");
    assert!(matches!(events.commit(paint("blue")).await, Err(CommitError::Conflict { .. })));
    assert_eq!(colours(&events, &thing).await, ["red"]);
    assert_eq!(colours(&events, &topic).await, ["red"]);
}

#[tokio::test]
async fn a_subscriber_that_waits_is_woken() {
    let (events, thing) = (events().await, stream("thing/1"));
    let mut subscription = events.subscribe("index", &thing).await.expect("subscribe");
    let waiting = tokio::spawn(async move { next(&mut subscription).await });
    tokio::task::yield_now().await;
    paint(&events, &thing, 1..=1).await;
    assert_eq!(waiting.await.expect("woken"), [(Position(1), "1".to_owned())]);
}

#[tokio::test]
async fn a_consumer_goes_on_from_what_it_noted() {
    let (events, thing) = (events().await, stream("thing/1"));
    paint(&events, &thing, 1..=3).await;
    let mut first = events.subscribe("index", &thing).await.expect("subscribe");
    assert_eq!(next(&mut first).await.len(), 3);
    assert_eq!(first.lag().await.expect("lag"), 3);
    first.commit(Batch::new().put(THINGS, "seen", "2"), Position(2)).await.expect("commit");
    assert_eq!(first.lag().await.expect("lag"), 1);
    drop(first);

    paint(&events, &thing, 4..=4).await;
    let mut again = events.subscribe("index", &thing).await.expect("subscribe");
    assert_eq!(next(&mut again).await, [(Position(3), "3".to_owned()), (Position(4), "4".to_owned())]);
    let mut other = events.subscribe("mail", &thing).await.expect("subscribe");
    assert_eq!(next(&mut other).await.len(), 4, "every consumer has a cursor of its own");
}

#[tokio::test]
async fn two_subscribers_under_one_name_do_not_both_get_their_way() {
    let (events, thing) = (events().await, stream("thing/1"));
    paint(&events, &thing, 1..=2).await;
    let mut first = events.subscribe("index", &thing).await.expect("subscribe");
    let mut second = events.subscribe("index", &thing).await.expect("subscribe");
    first.commit(Batch::new(), Position(2)).await.expect("commit");
    assert!(matches!(second.commit(Batch::new().put(THINGS, "1", "late"), Position(1)).await, Err(CommitError::Conflict { .. })));
    assert_eq!(events.store().get(THINGS, "1").await, Ok(None));
    first.commit(Batch::new(), Position(2)).await.expect("the first one goes on");
}

#[tokio::test]
async fn many_writers_and_a_subscriber_make_no_gap() {
    let (events, topic) = (events().await, stream("paintings"));
    let mut subscription = events.subscribe("index", &topic).await.expect("subscribe");
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let (events, topic) = (events.clone(), topic.clone());
            tokio::spawn(async move { paint(&events, &topic, writer * 50..=writer * 50 + 49).await })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 1000 {
        seen.extend(next(&mut subscription).await);
    }
    assert!(seen.iter().zip(1..).all(|((position, _), expected)| *position == Position(expected)));
    for writer in writers {
        writer.await.expect("a writer");
    }
}

#[tokio::test]
async fn a_consumer_that_was_overtaken_by_retention_is_told() {
    let (events, thing, signer) = (events().await, stream("thing/1"), crate::signer());
    paint(&events, &thing, 1..=10).await;
    let mut slow = events.subscribe("index", &thing).await.expect("subscribe");
    slow.commit(Batch::new(), Position(2)).await.expect("commit");
    drop(slow);
    events.retain(&thing, Position(6), &signer, at(20)).await.expect("retain");

    let mut slow = events.subscribe("index", &thing).await.expect("subscribe");
    assert_eq!(slow.next().await.expect("told"), Delivery::FellBehind { from: Position(3), through: Position(6) });
    assert_eq!(next(&mut slow).await[0].0, Position(7));
    events.retain(&thing, Position(10), &signer, at(20)).await.expect("retain");
    let mut told_again = events.subscribe("index", &thing).await.expect("subscribe");
    let behind = Delivery::FellBehind { from: Position(3), through: Position(10) };
    assert_eq!(told_again.next().await.expect("told"), behind, "until it notes that it knows");

    let mut new = events.subscribe("new", &thing).await.expect("subscribe");
    paint(&events, &thing, 11..=11).await;
    assert_eq!(next(&mut new).await[0].0, Position(11), "a new consumer misses nothing that it could know of");
}

/// A bus on which every wake-up is lost.
struct Broken;
struct Deaf;

impl Bus for Broken {
    fn wake(&self, _: &Stream) {}

    fn listen(&self, _: &Stream) -> Result<Box<dyn Listener>, BusError> {
        Ok(Box::new(Deaf))
    }
}

impl Listener for Deaf {
    fn wait(&mut self) -> Waiting<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_lost_wake_up_delays_an_event_and_does_not_lose_it() {
    let store = Store::memory().expect("memory");
    let random = Arc::new(gatehouse_base::SystemRandom);
    let here = Events::new(store.clone(), Arc::new(Broken), Arc::new(crate::Xor), random).look_every(Duration::from_millis(5));
    let thing = stream("thing/1");
    let mut subscription = here.subscribe("index", &thing).await.expect("subscribe");
    let waiting = tokio::spawn(async move { next(&mut subscription).await });
    tokio::task::yield_now().await;
    paint(&events_on(store).await, &thing, 1..=1).await;
    assert_eq!(waiting.await.expect("found by its own look into the log"), [(Position(1), "1".to_owned())]);
}

#[tokio::test]
async fn the_local_bus_keeps_the_contract() {
    gatehouse_events::contract::run(&LocalBus::default()).await;
}
