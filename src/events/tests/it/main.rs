//! Events over a store in memory, with simulated time.

mod erasure;
mod following;
mod retention;

use gatehouse_events::{Event, Events, KeySealer, LocalBus, Record, SCHEMA, SealError};
use gatehouse_pki::{KeyAlgorithm, SoftwareKey};
use gatehouse_store::{Batch, Position, Store, Stream, Table};
use gatehouse_types::{Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const THINGS: Table = Table::new("things");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Painted {
    colour: String,
}

impl Event for Painted {
    const TYPE: &'static str = "thing.painted";
    const VERSION: u32 = 1;
}

fn painted(colour: &str) -> Painted {
    Painted { colour: colour.to_owned() }
}

fn stream(name: &str) -> Stream {
    name.parse().expect("the name of a stream")
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

fn signer() -> SoftwareKey {
    SoftwareKey::generate(KeyAlgorithm::P256).expect("a key")
}

async fn events() -> Events {
    events_on(Store::memory().expect("memory")).await
}

async fn events_on(store: Store) -> Events {
    store.prepare(&[SCHEMA]).await.expect("prepare");
    Events::new(store, Arc::new(LocalBus::default()), Arc::new(Xor), Arc::new(gatehouse_base::SystemRandom))
}

/// Records so many events, one a second, one a batch.
async fn paint(events: &Events, stream: &Stream, seconds: std::ops::RangeInclusive<i64>) {
    for second in seconds {
        let batch = Batch::new().record(&[stream], &painted(&format!("{second}")), at(second)).expect("record");
        events.commit(batch).await.expect("commit");
    }
}

async fn colours(events: &Events, stream: &Stream) -> Vec<String> {
    let read = events.read(stream, Position::START, 1000).await.expect("read");
    read.iter().map(|event| event.decode::<Painted>().expect("painted").colour).collect()
}

/// Stands for the keyring: what it seals is not what was there before, and is bound to its subject.
struct Xor;

impl KeySealer for Xor {
    fn seal(&self, subject: &str, key: &Secret) -> Result<Vec<u8>, SealError> {
        let mask = subject.bytes().cycle();
        Ok(key.expose().iter().zip(mask).map(|(byte, mask)| byte ^ mask ^ 0x55).collect())
    }

    fn unseal(&self, subject: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        self.seal(subject, &Secret::new(sealed.to_vec())).map(Secret::new)
    }
}
