//! What every bus has to do. Written once; a bus's crate runs each case on it.
//!
//! A bus may lose wake-ups when a connection breaks; while nothing breaks it may not.

use crate::Bus;
use gatehouse_store::Stream;
use std::time::Duration;

/// A wake-up arrives within this time or not at all.
const SOON: Duration = Duration::from_secs(5);
/// How long a case waits for what must not come.
const WHILE: Duration = Duration::from_millis(50);

/// Runs every case.
///
/// # Panics
/// When a case fails.
pub async fn run(bus: &dyn Bus) {
    a_wake_up_reaches_everybody_who_listens(bus).await;
    a_wake_up_before_the_wait_is_not_lost(bus).await;
    many_wake_ups_are_one(bus).await;
    other_streams_wake_nobody(bus).await;
}

fn stream(name: &str) -> Stream {
    name.parse().expect("the name of a stream")
}

async fn a_wake_up_reaches_everybody_who_listens(bus: &dyn Bus) {
    let log = stream("contract/everybody");
    let mut listeners = [bus.listen(&log).expect("room"), bus.listen(&log).expect("room")];
    bus.wake(&log);
    for listener in &mut listeners {
        tokio::time::timeout(SOON, listener.wait()).await.expect("woken");
    }
}

async fn a_wake_up_before_the_wait_is_not_lost(bus: &dyn Bus) {
    let log = stream("contract/before");
    let mut listener = bus.listen(&log).expect("room");
    for _ in 0..3 {
        bus.wake(&log);
        tokio::time::timeout(SOON, listener.wait()).await.expect("woken");
    }
}

async fn many_wake_ups_are_one(bus: &dyn Bus) {
    let log = stream("contract/many");
    let mut listener = bus.listen(&log).expect("room");
    for _ in 0..100_000 {
        bus.wake(&log);
    }
    let mut woken = 0;
    while tokio::time::timeout(WHILE, listener.wait()).await.is_ok() {
        woken += 1;
    }
    assert!((1..=1000).contains(&woken), "a listener that is away is not owed every wake-up: {woken}");
}

async fn other_streams_wake_nobody(bus: &dyn Bus) {
    let mut listener = bus.listen(&stream("contract/this")).expect("room");
    bus.wake(&stream("contract/other"));
    bus.wake(&stream("contract/thi"));
    assert!(tokio::time::timeout(WHILE, listener.wait()).await.is_err());
}
