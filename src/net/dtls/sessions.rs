//! Sessions that devices may take up again, each with the chain that was presented when it was made.
//!
//! A resumed handshake shows no certificate. So the chain is judged anew at every use, by the same judge that sees those of
//! full handshakes: one that was revoked, has expired or whose device is suspended meanwhile takes nothing up. The peer is then led
//! through a full handshake, where it may present something better. Sessions belong to one listener and never leave
//! this process.

use crate::udp::meter::Meter;
use gatehouse_base::Clock;
use gatehouse_pki::VerifiedChain;
use gatehouse_types::{Secret, UnixTime};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The sessions of one listener.
pub(crate) struct Sessions {
    capacity: usize,
    lifetime: Duration,
    clock: Arc<dyn Clock>,
    meter: Meter,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    sessions: HashMap<Vec<u8>, Session>,
    /// The longest unused first.
    by_use: BTreeMap<u64, Vec<u8>>,
    uses: u64,
}

struct Session {
    /// In OpenSSL's form, with its keys in it.
    state: Arc<Secret>,
    chain: Arc<VerifiedChain>,
    until: UnixTime,
    used: u64,
}

impl Sessions {
    pub(crate) fn new(capacity: usize, lifetime: Duration, clock: Arc<dyn Clock>, meter: Meter) -> Self {
        Self { capacity, lifetime, clock, meter, kept: Mutex::default() }
    }

    /// Whether there is a place for any.
    pub(crate) fn keeps_any(&self) -> bool {
        self.capacity > 0
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Keeps a session; the longest unused one goes for it where there are too many.
    pub(crate) fn keep(&self, id: &[u8], state: Secret, chain: Arc<VerifiedChain>) {
        if self.capacity == 0 || id.is_empty() {
            return;
        }
        let until = self.clock.now() + self.lifetime;
        let mut kept = self.lock();
        kept.remove(id);
        if kept.sessions.len() >= self.capacity
            && let Some((_, oldest)) = kept.by_use.pop_first()
        {
            kept.sessions.remove(&oldest);
        }
        let used = kept.next_use();
        kept.by_use.insert(used, id.to_vec());
        kept.sessions.insert(id.to_vec(), Session { state: Arc::new(state), chain, until, used });
    }

    /// The session of this name, if the judge finds its chain as good as ever.
    pub(crate) fn take_up(&self, id: &[u8], judge: impl FnOnce(&VerifiedChain) -> bool) -> Option<Arc<Secret>> {
        let Some((state, chain)) = self.find(id) else {
            self.meter.resumption("unknown");
            return None;
        };
        // Judged while nobody has to wait for it.
        let good = judge(&chain);
        self.meter.resumption(if good { "resumed" } else { "refused" });
        if !good {
            self.forget(id);
        }
        good.then_some(state)
    }

    /// Forgets a session, after an alert for example.
    pub(crate) fn forget(&self, id: &[u8]) {
        self.lock().remove(id);
    }

    fn find(&self, id: &[u8]) -> Option<(Arc<Secret>, Arc<VerifiedChain>)> {
        let now = self.clock.now();
        let mut kept = self.lock();
        if kept.sessions.get(id)?.until <= now {
            kept.remove(id);
            return None;
        }
        let used = kept.next_use();
        let session = kept.sessions.get_mut(id)?;
        let before = std::mem::replace(&mut session.used, used);
        let found = (Arc::clone(&session.state), Arc::clone(&session.chain));
        kept.by_use.remove(&before);
        kept.by_use.insert(used, id.to_vec());
        Some(found)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn remove(&mut self, id: &[u8]) {
        if let Some(session) = self.sessions.remove(id) {
            self.by_use.remove(&session.used);
        }
    }
}
