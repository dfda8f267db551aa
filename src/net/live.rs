//! Connections end when what let them in is no longer good.
//!
//! A chain is judged in the handshake, and a connection lives for months after it. Here every live connection that
//! presented a chain has an entry, by the time until which the chain is good. Twice a second what has run out is ended; when the judge
//! has learnt something (a revocation list, another anchor, a suspension), all are judged again, which takes no signatures. That one
//! certificate replaced another ends nothing.
//!
//! The accept loop runs one [`Live`] for each listener, and so does the listener of DTLS; both serve each connection by
//! [`serve_while_good`].

use crate::{Standing, clients::Clients, metrics};
use gatehouse_pki::{Rejection, VerifiedChain};
use gatehouse_types::UnixTime;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, timeout},
};
use tracing::info;

/// How often the clock is looked at. A connection outlives its chain by less than a second.
const LOOK: Duration = Duration::from_millis(500);

/// How long a service may take leave of a peer whose chain is no longer good.
const LEAVE: Duration = Duration::from_millis(250);

/// The live connections of a listener, with their chains.
#[derive(Debug)]
pub(crate) struct Live {
    clients: Clients,
    entries: Mutex<BTreeMap<Place, Arc<Entry>>>,
    next: AtomicU64,
}

/// Until when the chain is good, and a number that makes it one connection's.
type Place = (UnixTime, u64);

#[derive(Debug)]
struct Entry {
    chain: Arc<VerifiedChain>,
    verdict: OnceLock<Rejection>,
    ended: Notify,
}

/// A live connection's entry, which is gone when this is dropped.
#[derive(Debug)]
struct Alive {
    live: Arc<Live>,
    place: Place,
    entry: Arc<Entry>,
}

impl Live {
    pub(crate) fn new(clients: Clients) -> Arc<Self> {
        Arc::new(Self { clients, entries: Mutex::default(), next: AtomicU64::new(0) })
    }

    /// Enters a connection. It is judged once more when it is in, so that what the judge learns meanwhile is not missed.
    fn enter(self: &Arc<Self>, chain: Arc<VerifiedChain>) -> Alive {
        let place = (chain.valid_until(), self.next.fetch_add(1, Ordering::Relaxed));
        let entry = Arc::new(Entry { chain, verdict: OnceLock::new(), ended: Notify::new() });
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&entry));
        entry.judge(&self.clients);
        Alive { live: Arc::clone(self), place, entry }
    }

    /// Ends what has to end, for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut changes = self.clients.judge.changes();
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.expire(),
                () = changed(&mut changes) => self.judge_all(),
            }
        }
    }

    /// Ends those whose time is over. Looks at no others.
    fn expire(&self) {
        let now = self.clients.clock.now();
        let over: Vec<_> = {
            let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            // The last second is good to its end.
            entries.iter().take_while(|((until, _), _)| until.secs() < now.secs()).map(|(_, entry)| Arc::clone(entry)).collect()
        };
        over.iter().for_each(|entry| entry.judge(&self.clients));
    }

    fn judge_all(&self) {
        let all: Vec<_> = self.entries.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.iter().for_each(|entry| entry.judge(&self.clients));
    }
}

/// Returns when the judge has learnt something; never where it cannot.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    if let Some(receiver) = changes
        && receiver.changed().await.is_ok()
    {
        return;
    }
    *changes = None;
    std::future::pending::<()>().await;
}

/// Serves a connection until it ends, or until what let its client in is no longer good; then the service is told, and
/// dropping it closes what it has not closed by itself.
pub(crate) async fn serve_while_good(
    live: Option<&Arc<Live>>,
    listener: &Arc<str>,
    chain: Option<Arc<VerifiedChain>>,
    standing: Standing,
    mut served: Pin<Box<impl Future<Output = ()>>>,
) {
    let Some(alive) = live.zip(chain).map(|(live, chain)| live.enter(chain)) else { return served.await };
    tokio::select! {
        () = &mut served => {}
        rejection = alive.ended() => {
            let rule = rejection.rule().code();
            ::metrics::counter!(metrics::ENDED, "listener" => Arc::clone(listener), "rule" => rule).increment(1);
            info!(listener = &**listener, %rejection, "a connection was ended: its client's chain is no longer good");
            standing.lose();
            // Who does not come to an end by itself is ended.
            let _ = timeout(LEAVE, served).await;
        }
    }
}

impl Entry {
    fn judge(&self, clients: &Clients) {
        if self.verdict.get().is_none()
            && let Err(rejection) = clients.judge.still_good(&self.chain, clients.clock.now())
            && self.verdict.set(rejection).is_ok()
        {
            // Stored for whoever waits later.
            self.ended.notify_one();
        }
    }
}

impl Alive {
    /// Returns when the connection has to end, with the rule that its chain now breaks.
    async fn ended(&self) -> &Rejection {
        loop {
            if let Some(rejection) = self.entry.verdict.get() {
                return rejection;
            }
            self.entry.ended.notified().await;
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.live.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}
