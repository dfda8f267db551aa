//! What providers publish, remembered.
//!
//! A document and its keys are fetched together. While they are fresh nobody is asked; while they are stale they are used and fetched
//! behind the back of whoever needs them; when they are too old they are waited for. A token that names an unknown key is a reason to
//! fetch, but never sooner than the pause allows, so that strangers cannot have a provider asked by sending tokens: for each issuer
//! there is one fetch at a time, and one in a pause.

use crate::{Config, DirectoryError, Issuer, Metadata, counters, crypto, keys::KeySet};
use gatehouse_base::Clock;
use gatehouse_outgoing::{Outgoing, Purpose, Target};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard},
    task::JoinSet,
};

const DISCOVERY: Purpose = Purpose("discovery");
const KEYS: Purpose = Purpose("keys");

/// What providers publish. Clones are the same memory.
#[derive(Clone)]
pub struct Directory {
    outgoing: Outgoing,
    clock: Arc<dyn Clock>,
    config: Config,
    entries: Arc<Mutex<HashMap<Issuer, Entry>>>,
    /// Fetches that nobody waits for. They end with the directory.
    behind: Arc<Mutex<JoinSet<()>>>,
}

/// What a test of a provider found.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What it publishes about itself.
    pub metadata: Arc<Metadata>,
    /// How many of its keys can verify tokens.
    pub keys: usize,
}

#[derive(Clone)]
struct Entry {
    kept: Arc<RwLock<Option<Kept>>>,
    turn: Arc<Turn<Attempt>>,
    used: Duration,
}

/// What was fetched, and when by a clock that nobody sets.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) keys: Arc<KeySet>,
    fetched: Duration,
}

/// The last time that a provider was asked, and how that failed.
#[derive(Default)]
struct Attempt {
    at: Option<Duration>,
    failure: Option<DirectoryError>,
}

impl Directory {
    /// A directory that knows nobody yet.
    pub fn new(outgoing: Outgoing, clock: Arc<dyn Clock>, config: Config) -> Self {
        crypto::install();
        Self { outgoing, clock, config, entries: Arc::default(), behind: Arc::default() }
    }

    /// The client that everything is asked with.
    pub fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    /// By how much clocks may differ.
    pub fn skew(&self) -> Duration {
        self.config.skew
    }

    /// What a provider publishes about itself.
    ///
    /// # Errors
    /// It cannot be asked, and nothing is remembered that is good enough.
    pub async fn metadata(&self, issuer: &Issuer) -> Result<Arc<Metadata>, DirectoryError> {
        Ok(self.current(issuer).await?.metadata)
    }

    /// Asks a provider now, whatever is remembered. For somebody who may configure it.
    ///
    /// # Errors
    /// It cannot be asked, or what it publishes is refused.
    pub async fn probe(&self, issuer: &Issuer) -> Result<Probe, DirectoryError> {
        let entry = self.entry(issuer);
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        let kept = self.fetch(issuer, &entry, turn, "test").await?;
        Ok(Probe { metadata: kept.metadata, keys: kept.keys.len() })
    }

    /// What is remembered, if it is good enough, and otherwise what the provider says now.
    pub(crate) async fn current(&self, issuer: &Issuer) -> Result<Kept, DirectoryError> {
        let entry = self.entry(issuer);
        let now = self.clock.elapsed();
        match entry.kept() {
            Some(kept) if now < kept.fetched + self.config.fresh => Ok(kept),
            Some(kept) if now < kept.fetched + self.config.stale => {
                self.fetch_behind(issuer, &entry);
                Ok(kept)
            }
            _ => self.fetch_unless(issuer, &entry, "needed", |kept| now < kept.fetched + self.config.fresh).await,
        }
    }

    /// What the provider says now, if it may be asked again already; nothing where it was asked a moment ago.
    pub(crate) async fn asked_again(&self, issuer: &Issuer, suffices: impl Fn(&Kept) -> bool) -> Result<Option<Kept>, DirectoryError> {
        let entry = self.entry(issuer);
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        // Whoever had the turn before may have fetched it.
        if let Some(kept) = entry.kept().filter(|kept| suffices(kept)) {
            return Ok(Some(kept));
        }
        if !self.may_ask(&turn) {
            return Ok(None);
        }
        self.fetch(issuer, &entry, turn, "key").await.map(Some)
    }

    async fn fetch_unless(
        &self,
        issuer: &Issuer,
        entry: &Entry,
        why: &'static str,
        suffices: impl Fn(&Kept) -> bool,
    ) -> Result<Kept, DirectoryError> {
        let turn = Arc::clone(&entry.turn).lock_owned().await;
        if let Some(kept) = entry.kept().filter(|kept| suffices(kept)) {
            return Ok(kept);
        }
        match &turn.failure {
            Some(failure) if !self.may_ask(&turn) => Err(failure.clone()),
            _ => self.fetch(issuer, entry, turn, why).await,
        }
    }

    fn fetch_behind(&self, issuer: &Issuer, entry: &Entry) {
        // Whoever has the turn fetches it already.
        let Ok(turn) = Arc::clone(&entry.turn).try_lock_owned() else { return };
        if !self.may_ask(&turn) {
            return;
        }
        let (directory, issuer, entry) = (self.without_tasks(), issuer.clone(), entry.clone());
        let mut behind = lock(&self.behind);
        while behind.try_join_next().is_some() {}
        behind.spawn(async move {
            // Its failure is remembered, and told to whoever has to wait.
            let _ = directory.fetch(&issuer, &entry, turn, "stale").await;
        });
    }

    /// The same memory for a task, which must not hold the set that it stands in.
    fn without_tasks(&self) -> Self {
        Self { behind: Arc::default(), ..self.clone() }
    }

    fn may_ask(&self, attempt: &Attempt) -> bool {
        attempt.at.is_none_or(|at| self.clock.elapsed() >= at + self.config.pause)
    }

    async fn fetch(
        &self,
        issuer: &Issuer,
        entry: &Entry,
        mut turn: OwnedMutexGuard<Attempt>,
        why: &'static str,
    ) -> Result<Kept, DirectoryError> {
        turn.at = Some(self.clock.elapsed());
        let fetched = self.fetched(issuer).await;
        counters::fetched(why, fetched.is_ok());
        turn.failure = fetched.as_ref().err().cloned();
        let kept = fetched?;
        *entry.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(kept)
    }

    async fn fetched(&self, issuer: &Issuer) -> Result<Kept, DirectoryError> {
        let refused =
            |error: gatehouse_outgoing::BadUrl| DirectoryError::Outgoing { issuer: issuer.clone(), source: Arc::new(error.into()) };
        let discovery = Target::parse(&issuer.discovery()).map_err(refused)?;
        let metadata = Metadata::read(issuer, &self.document(issuer, DISCOVERY, &discovery).await?)?;
        let keys = KeySet::read(&self.document(issuer, KEYS, &metadata.keys).await?);
        let keys = keys.map_err(|why| DirectoryError::Keys { issuer: issuer.clone(), why })?;
        Ok(Kept { metadata: Arc::new(metadata), keys: Arc::new(keys), fetched: self.clock.elapsed() })
    }

    async fn document(&self, issuer: &Issuer, purpose: Purpose, target: &Target) -> Result<Vec<u8>, DirectoryError> {
        let failed = |source| DirectoryError::Outgoing { issuer: issuer.clone(), source: Arc::new(source) };
        let answer = self.outgoing.get(purpose, target).await.map_err(failed)?;
        match answer.status().as_u16() {
            200 => Ok(answer.into_body()),
            status => Err(DirectoryError::Status { issuer: issuer.clone(), status }),
        }
    }

    /// Waits for what is fetched behind.
    #[cfg(test)]
    pub(crate) async fn settled(&self) {
        let mut behind = std::mem::take(&mut *lock(&self.behind));
        while behind.join_next().await.is_some() {}
    }

    #[cfg(test)]
    pub(crate) fn touch(&self, issuer: &Issuer) {
        self.entry(issuer);
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self) -> usize {
        lock(&self.entries).len()
    }

    fn entry(&self, issuer: &Issuer) -> Entry {
        let now = self.clock.elapsed();
        let mut entries = lock(&self.entries);
        if !entries.contains_key(issuer) && entries.len() >= self.config.remembered {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(issuer, _)| issuer.clone());
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
        let entry = entries.entry(issuer.clone()).or_insert_with(|| Entry { kept: Arc::default(), turn: Arc::default(), used: now });
        entry.used = now;
        entry.clone()
    }
}

impl Entry {
    fn kept(&self) -> Option<Kept> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Directory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Directory").field("config", &self.config).finish_non_exhaustive()
    }
}
