//! The outbox over a store in memory, with a clock that is moved by hand, and mail servers of other makers.

mod outbox;
mod smtp;

use crate::{Carried, Carrier, Config, Content, Email, Envelope, Letter, NotCarried, Outbox, Round, SCHEMA, carrier::Blame};
use gatehouse_base::{SimulatedClock, SystemRandom};
use gatehouse_ca::{
    Keyring, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_store::{Batch, Store};
use gatehouse_types::{Secret, UnixTime};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

const START: UnixTime = UnixTime::from_secs(1_800_000_000);
const LINK: &str = "https://gatehouse.example.com/reset?secret=abcdefghijklmnop";

/// An outbox, and what is needed to open it again.
struct World {
    outbox: Outbox,
    clock: Arc<SimulatedClock>,
}

/// A letter with a secret in it.
struct Reset {
    until: Option<UnixTime>,
}

impl Letter for Reset {
    const KIND: &'static str = "reset";

    fn content(&self) -> Content {
        Content::new("A new password").paragraph("Somebody asked for it.").link("Choose one", Secret::from(LINK.to_owned()))
    }

    fn useful_until(&self) -> Option<UnixTime> {
        self.until
    }
}

struct Notice;

impl Letter for Notice {
    const KIND: &'static str = "notice";

    fn content(&self) -> Content {
        Content::new("News").paragraph("There are none.")
    }
}

/// Answers as it is told, and keeps what it took.
#[derive(Debug, Default)]
struct Told {
    answers: Mutex<VecDeque<Blame>>,
    taken: Mutex<Vec<(Envelope, String)>>,
}

impl Told {
    fn to_refuse(blames: &[Blame]) -> Self {
        Self { answers: Mutex::new(blames.iter().copied().collect()), taken: Mutex::default() }
    }

    fn taken(&self) -> Vec<(Envelope, String)> {
        self.taken.lock().expect("unpoisoned").clone()
    }
}

impl Carrier for Told {
    fn carry<'a>(&'a self, envelope: &'a Envelope, letter: &'a Secret) -> Carried<'a> {
        let answer = self.answers.lock().expect("unpoisoned").pop_front();
        Box::pin(async move {
            match answer {
                Some(blame) => Err(NotCarried { blame, reason: "postponed", text: "told to".to_owned() }),
                None => {
                    let letter = String::from_utf8_lossy(letter.expose()).into_owned();
                    self.taken.lock().expect("unpoisoned").push((envelope.clone(), letter));
                    Ok(())
                }
            }
        })
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let store = Store::memory().expect("a store");
        store.prepare(&[gatehouse_events::SCHEMA, gatehouse_ca::SCHEMA, SCHEMA]).await.expect("prepared");
        let clock = Arc::new(SimulatedClock::new(START));
        let unlock = Unlock::Key(Key::generate(&SystemRandom));
        let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, Arc::new(SystemRandom)).await.expect("a keyring");
        let events = Events::new(store, Arc::new(LocalBus::default()), Arc::new(keyring.clone()), Arc::new(SystemRandom));
        let outbox = Outbox::new(events, Arc::new(keyring), clock.clone(), Arc::new(SystemRandom), config, "gatehouse.example.com");
        Self { outbox, clock }
    }

    async fn write<L: Letter>(&self, to: &str, letter: &L) {
        let batch = self.outbox.enclose(Batch::new(), &address(to), letter).await.expect("enclosed");
        self.outbox.events.commit(batch).await.expect("committed");
    }

    async fn deliver(&self, carrier: &dyn Carrier) -> Round {
        self.outbox.deliver_due(carrier).await.expect("a round")
    }

    fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }
}

fn address(text: &str) -> Email {
    text.parse().expect("an address")
}
