//! Erasing a subject: its content is gone, its chain is not.

use crate::{Painted, at, events, paint, painted, signer, stream};
use gatehouse_base::SystemRandom;
use gatehouse_events::{Content, DecodeError, EventError, Events, Record, verify};
use gatehouse_pki::Signer;
use gatehouse_store::{Batch, Position, Stream};

async fn paint_secretly(events: &Events, subject: &str, streams: &[&Stream], colour: &str) {
    let key = events.content_key(subject).await.expect("a key");
    let batch = Batch::new().record_about(&key, streams, &painted(colour), at(1), &SystemRandom).expect("record");
    events.commit(batch).await.expect("commit");
}

#[tokio::test]
async fn content_about_a_subject_is_readable_until_the_subject_is_erased() {
    let (events, device, topic, signer) = (events().await, stream("device/1"), stream("paintings"), signer());
    paint_secretly(&events, "device 1", &[&device, &topic], "violet").await;
    paint_secretly(&events, "device 2", &[&topic], "green").await;
    paint(&events, &topic, 3..=3).await;
    events.checkpoint(&topic, &signer, at(4)).await.expect("checkpoint").expect("grown");
    let before = events.read(&topic, Position::START, 10).await.expect("read");
    assert_eq!(before[0].decode(), Ok(painted("violet")));
    assert_eq!(before[0].subject.as_deref(), Some("device 1"));

    events.erase("device 1").await.expect("erase");
    let after = events.read(&topic, Position::START, 10).await.expect("read");
    assert_eq!(after[0].decode::<Painted>(), Err(DecodeError::Erased));
    assert_eq!(after[0].content, Content::Erased);
    assert_eq!(events.read(&device, Position::START, 10).await.expect("read")[0].content, Content::Erased);
    assert_eq!(after[1..], before[1..], "others are untouched");
    assert_eq!(after[0].hash, before[0].hash);

    let snapshot = events.store().snapshot().await.expect("snapshot");
    assert_eq!(snapshot.verify(|_| ()).await.expect("verify").damaged, 0);
    let report = verify(&snapshot, &[signer.public_key().clone()]).await.expect("verify");
    assert_eq!((report.good, report.tampering), (1, vec![]));
}

#[tokio::test]
async fn nothing_more_is_recorded_about_a_subject_that_was_erased() {
    let events = events().await;
    events.content_key("device 1").await.expect("a key");
    events.erase("device 1").await.expect("erase");
    let refused = events.content_key("device 1").await;
    assert!(matches!(&refused, Err(EventError::Erased { subject }) if subject == "device 1"), "{refused:?}");
    events.erase("never heard of").await.expect("erase");
    assert!(events.content_key("never heard of").await.is_err());
}

#[tokio::test]
async fn neither_the_log_nor_an_export_shows_the_content() {
    let (events, device) = (events().await, stream("device/1"));
    paint_secretly(&events, "device 1", &[&device], "a colour to look for").await;
    paint(&events, &device, 2..=2).await;
    let mut export = events.store().snapshot().await.expect("snapshot").export();
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("export") {
        bytes.extend_from_slice(&piece);
    }
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(!holds(b"a colour to look for"));
    assert!(holds(b"thing.painted"), "what is not about the subject is open");
}

#[tokio::test]
async fn content_that_was_moved_to_another_event_is_an_error() {
    let (events, device) = (events().await, stream("device/1"));
    let key = events.content_key("device 1").await.expect("a key");
    let record = |second| Batch::new().record_about(&key, &[&device], &painted("red"), at(second), &SystemRandom).expect("record");
    events.commit(record(1)).await.expect("commit");
    let mut payload = events.store().read(&device, Position(1), 1).await.expect("read").remove(0).payload;
    let time = payload.windows(2).position(|pair| pair == 1000u16.to_be_bytes()).expect("the time in milliseconds");
    payload[time] ^= 1;
    events.store().commit(Batch::new().append(&device, payload)).await.expect("commit");
    let error = events.read(&device, Position(2), 1).await.expect_err("moved");
    assert_eq!(error.to_string(), "stream device/1 holds at 2 what is no event: its content does not decrypt");
}
