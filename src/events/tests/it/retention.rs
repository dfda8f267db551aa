//! Dropping the beginning of a stream, and telling that from tampering.

use crate::{at, colours, events, paint, signer, stream};
use gatehouse_events::{CheckpointKind, CheckpointReport, Events, Tampering, verify};
use gatehouse_pki::{PublicKey, Signer};
use gatehouse_store::{Batch, Position};

async fn report(events: &Events, keys: &[&PublicKey]) -> CheckpointReport {
    let keys: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
    verify(&events.store().snapshot().await.expect("snapshot"), &keys).await.expect("verify")
}

#[tokio::test]
async fn retention_leaves_a_seal_and_a_chain_that_holds() {
    let (events, thing, signer) = (events().await, stream("thing/1"), signer());
    paint(&events, &thing, 1..=10).await;
    let records = events.read(&thing, Position::START, 100).await.expect("read");
    let seal = events.retain_since(&thing, at(5), &signer, at(11)).await.expect("retain").expect("a seal");
    assert_eq!((seal.position, seal.hash, seal.kind), (Position(4), records[3].hash, CheckpointKind::Sealed));
    assert_eq!(colours(&events, &thing).await, ["5", "6", "7", "8", "9", "10"]);
    assert_eq!(events.retain_since(&thing, at(5), &signer, at(12)).await.expect("retain"), None, "nothing left to drop");

    let found = report(&events, &[signer.public_key()]).await;
    assert_eq!((found.good, found.uncovered, found.tampering), (1, 6, vec![]));
    let walked = events.store().snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify");
    assert_eq!(walked.damaged, 0, "{walked:?}");
}

#[tokio::test]
async fn the_newest_event_stays_however_old_it_is() {
    let (events, thing, signer) = (events().await, stream("thing/1"), signer());
    paint(&events, &thing, 1..=10).await;
    let seal = events.retain_since(&thing, at(1000), &signer, at(1000)).await.expect("retain").expect("a seal");
    assert_eq!((seal.position, colours(&events, &thing).await), (Position(9), vec!["10".to_owned()]));
    assert_eq!(events.retain_since(&thing, at(1000), &signer, at(1001)).await.expect("retain"), None);
    assert_eq!(report(&events, &[signer.public_key()]).await.tampering, []);
}

#[tokio::test]
async fn a_whole_stream_can_be_dropped_in_pieces_and_goes_on() {
    let (events, thing, signer) = (events().await, stream("thing/1"), signer());
    for _ in 0..6 {
        let batch = (0..2000).fold(Batch::new(), |batch, _| batch.append(&thing, "x"));
        events.commit(batch).await.expect("commit");
    }
    let seal = events.retain(&thing, Position(u64::MAX), &signer, at(1)).await.expect("retain").expect("a seal");
    assert_eq!(seal.position, Position(12_000));
    paint(&events, &thing, 1..=1).await;
    assert_eq!(events.read(&thing, Position::START, 10).await.expect("read")[0].position, Position(12_001));
    assert_eq!(report(&events, &[signer.public_key()]).await.tampering, []);
}

#[tokio::test]
async fn a_beginning_that_was_cut_without_a_seal_is_tampering() {
    let (events, thing, signer) = (events().await, stream("thing/1"), signer());
    paint(&events, &thing, 1..=10).await;
    events.retain(&thing, Position(3), &signer, at(11)).await.expect("retain");
    events.store().commit(Batch::new().truncate(&thing, Position(5))).await.expect("past the seal");
    let found = report(&events, &[signer.public_key()]).await.tampering;
    assert_eq!(found, [Tampering::CutWithoutSeal { stream: thing, through: Position(5) }]);
}

#[tokio::test]
async fn a_checkpoint_covers_the_end_of_a_stream_once_for_each_growth() {
    let (events, thing, signer) = (events().await, stream("thing/1"), signer());
    assert_eq!(events.checkpoint(&thing, &signer, at(0)).await.expect("checkpoint"), None, "there is no stream yet");
    paint(&events, &thing, 1..=3).await;
    let first = events.checkpoint(&thing, &signer, at(4)).await.expect("checkpoint").expect("grown");
    assert_eq!((first.position, first.at), (Position(3), at(4)));
    assert!(first.is_signed_by(signer.public_key()));
    assert_eq!(events.checkpoint(&thing, &signer, at(5)).await.expect("checkpoint"), None);
    paint(&events, &thing, 6..=6).await;
    assert_eq!(report(&events, &[signer.public_key()]).await.uncovered, 1);
    events.checkpoint(&thing, &signer, at(7)).await.expect("checkpoint").expect("grown");
    let found = report(&events, &[signer.public_key()]).await;
    assert_eq!((found.streams, found.good, found.uncovered, found.tampering), (1, 1, 0, vec![]));
}

/// Two histories that begin differently: each chain holds, and only one is the signed one.
#[tokio::test]
async fn a_stream_that_was_rewritten_or_cut_at_its_end_is_tampering() {
    let (signed, signer, thing) = (events().await, signer(), stream("thing/1"));
    paint(&signed, &thing, 1..=4).await;
    signed.checkpoint(&thing, &signer, at(5)).await.expect("checkpoint").expect("grown");
    let key = gatehouse_store::Key::new().text(thing.name()).text("reached");
    let checkpoints = gatehouse_store::Table::new("event-checkpoints");
    let row = signed.store().get(checkpoints, &key).await.expect("read").expect("there").value;

    let forged = async |first, last| {
        let events = events().await;
        paint(&events, &thing, first..=last).await;
        events.store().commit(Batch::new().put(checkpoints, key.clone(), row.clone())).await.expect("commit");
        report(&events, &[signer.public_key()]).await.tampering
    };
    assert_eq!(forged(1, 4).await, [], "the same history");
    assert_eq!(forged(2, 5).await, [Tampering::Rewritten { stream: thing.clone(), position: Position(4) }]);
    let missing = |end| Tampering::EndMissing { stream: thing.clone(), end: Position(end), reached: Position(4) };
    assert_eq!(forged(1, 3).await, [missing(3)]);
    assert_eq!(forged(1, 0).await, [missing(0)], "the whole stream is gone");
}

#[tokio::test]
async fn a_checkpoint_of_another_key_counts_for_nothing() {
    let (events, thing, signer, other) = (events().await, stream("thing/1"), signer(), signer());
    paint(&events, &thing, 1..=4).await;
    events.retain(&thing, Position(2), &other, at(5)).await.expect("retain");
    let found = report(&events, &[signer.public_key()]).await.tampering;
    assert_eq!(found, [Tampering::NotSigned { stream: thing.clone() }, Tampering::CutWithoutSeal { stream: thing, through: Position(2) },]);
    assert_eq!(report(&events, &[signer.public_key(), other.public_key()]).await.tampering, [], "keys of earlier times count too");
}
