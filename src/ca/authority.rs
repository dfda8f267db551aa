//! The authority: one handle to the hierarchy, the records and the switch.
//!
//! [`Authority`] opens the state and holds what is asked for often: the hierarchy with its signers, and the latest
//! revocation lists. Truth is in the store; every decision is committed under conditions on the rows that it relied
//! on, so several handles, in one process or on several nodes, cannot contradict each other.

use crate::{
    clock_guard::{ClockGuard, ClockTolerance, Moment},
    codec,
    crl::Crls,
    error::StateError,
    event::{self, Fact},
    hierarchy::Hierarchy,
    keyring::Keyring,
    record::{CertificateId, Record},
    seal::StretchCost,
    unlock::Unlock,
};
use gatehouse_base::Clock;
use gatehouse_events::{Events, Record as _};
use gatehouse_store::{Batch, Commit, CommitError, Entry, Key, Position, Range, Store, Table};
use gatehouse_types::{Random, UnixTime};
use serde::de::DeserializeOwned;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Notify;

pub(crate) const HIERARCHY: Table = Table::new("ca-hierarchy");
pub(crate) const RECORDS: Table = Table::new("ca-records");
pub(crate) const INDEX: Table = Table::new("ca-index");
pub(crate) const REVOKED: Table = Table::new("ca-revoked");
pub(crate) const CRLS: Table = Table::new("ca-crls");
pub(crate) const STATE: Table = Table::new("ca-state");

/// How often an operation reads again and decides again before it says that others are in its way.
pub(crate) const ATTEMPTS: usize = 16;

/// Rows read at a time where there may be many.
pub(crate) const PAGE: usize = 1000;

/// What configuration decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a superseded certificate stays good when its renewal is not seen in use. Default: 7 days.
    pub grace: Duration,
    /// From a revocation list's `thisUpdate` to its `nextUpdate`. A new one is made when half of it has passed.
    /// Default: 24 hours.
    pub crl_lifetime: Duration,
    /// Where revocation lists are fetched; certificates name `<this>/<key id>.crl`. None leaves the name out.
    pub crl_base: Option<String>,
    /// How far the clock may be off before issuing stops.
    pub clock: ClockTolerance,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grace: Duration::from_hours(7 * 24),
            crl_lifetime: Duration::from_hours(24),
            crl_base: None,
            clock: ClockTolerance::default(),
        }
    }
}

/// The certificate authorities of this instance. Clones are the same authority.
#[derive(Clone)]
pub struct Authority(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) events: Events,
    pub(crate) store: Store,
    pub(crate) keyring: Keyring,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) settings: Settings,
    guard: Mutex<ClockGuard>,
    pub(crate) hierarchy: RwLock<Arc<Hierarchy>>,
    pub(crate) crls: RwLock<Crls>,
    /// Wakes [`Authority::run`] when something has to be published or renewed.
    pub(crate) work: Notify,
}

impl Authority {
    /// Opens the authority over an opened keyring. An empty store gives an authority without a hierarchy, for
    /// [`Self::init`].
    ///
    /// # Errors
    /// When the store cannot be read or a row is damaged.
    pub async fn open(
        events: Events,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        settings: Settings,
    ) -> Result<Self, StateError> {
        let store = events.store().clone();
        let last_event = last_event(&events).await?.unwrap_or(UnixTime::EPOCH);
        let guard = Mutex::new(ClockGuard::new(settings.clock, Moment::of(&*clock), last_event));
        let authority = Self(Arc::new(Inner {
            events,
            store,
            keyring,
            clock,
            random,
            settings,
            guard,
            hierarchy: RwLock::default(),
            crls: RwLock::default(),
            work: Notify::new(),
        }));
        authority.reload().await?;
        authority.load_crls().await?;
        Ok(authority)
    }

    /// The log that the authority writes to.
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The keyring that the authority signs with.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Changes the key-encryption key; see [`Keyring::rotate`]. Answers how many keys were wrapped anew.
    ///
    /// # Errors
    /// When the new passphrase is too short, an entry is damaged, or the store fails. Nothing is changed then.
    pub async fn rotate_key_encryption_key(&self, new: &Unlock, cost: StretchCost) -> Result<usize, StateError> {
        let at = self.now();
        let told = Batch::new().record(&[&event::stream()], &Fact::KeyEncryptionKeyRotated, at)?;
        let keys = self.0.keyring.rotate(new, cost, told).await?;
        self.guard().committed(at);
        Ok(keys)
    }

    /// The record of a certificate.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn record(&self, certificate: &CertificateId) -> Result<Option<Record>, StateError> {
        Ok(self.load(RECORDS, &certificate.row()).await?.map(|(record, _)| record))
    }

    /// The records of all certificates over this public key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records_by_key(&self, key: &gatehouse_pki::Fingerprint) -> Result<Vec<(CertificateId, Record)>, StateError> {
        self.indexed(Key::new().text("key").bytes(key.as_bytes())).await
    }

    /// The records of all certificates with this subject, written as in [`Record::subject`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records_by_subject(&self, subject: &str) -> Result<Vec<(CertificateId, Record)>, StateError> {
        self.indexed(Key::new().text("subject").bytes(&subject_digest(subject))).await
    }

    /// The certificates with this serial number. There is one unless two authorities drew the same number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records_by_serial(&self, serial: &[u8]) -> Result<Vec<(CertificateId, Record)>, StateError> {
        let mut found = Vec::new();
        for issuer in self.hierarchy().key_ids() {
            let row = [issuer.as_bytes().as_slice(), serial].concat();
            if let (Some((record, _)), Some(id)) = (self.load(RECORDS, &row).await?, CertificateId::from_row(&row)) {
                found.push((id, record));
            }
        }
        Ok(found)
    }

    /// Records after the given one, in the order of their ids: a page of all of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn records(&self, after: Option<&CertificateId>, limit: usize) -> Result<Vec<(CertificateId, Record)>, StateError> {
        let range = after.map_or_else(Range::all, |id| Range::all().after(&id.row()));
        let rows = self.0.store.scan(RECORDS, range, limit).await?;
        rows.into_iter().map(|(row, entry)| Ok((certificate_id(&row)?, codec::decode(&entry.value)?))).collect()
    }

    /// Committed facts from a position on, each with its place and time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn facts(&self, from: Position, limit: usize) -> Result<Vec<(Position, UnixTime, Fact)>, StateError> {
        let recorded = self.0.events.read(&event::stream(), from, limit).await?;
        recorded.into_iter().map(|one| Ok((one.position, one.at, one.decode()?))).collect()
    }

    async fn indexed(&self, prefix: Key) -> Result<Vec<(CertificateId, Record)>, StateError> {
        let mut found = Vec::new();
        for (_, entry) in self.0.store.scan(INDEX, Range::prefix(prefix), PAGE).await? {
            let id = certificate_id(&entry.value)?;
            let record = self.record(&id).await?.ok_or_else(|| StateError::Damaged(format!("the record of {id} is missing")))?;
            found.push((id, record));
        }
        Ok(found)
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    pub(crate) fn guard(&self) -> MutexGuard<'_, ClockGuard> {
        self.0.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hierarchy(&self) -> Arc<Hierarchy> {
        self.0.hierarchy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the hierarchy again.
    pub(crate) async fn reload(&self) -> Result<(), StateError> {
        let hierarchy = Arc::new(Hierarchy::load(&self.0.store, &self.0.keyring, &self.hierarchy()).await?);
        *self.0.hierarchy.write().unwrap_or_else(PoisonError::into_inner) = hierarchy;
        Ok(())
    }

    /// A row, and what a condition on it needs.
    pub(crate) async fn load<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<(T, Entry)>, StateError> {
        let Some(entry) = self.0.store.get(table, key).await? else { return Ok(None) };
        Ok(Some((codec::decode(&entry.value)?, entry)))
    }

    /// Commits the batch with these facts. None is the ordinary answer that a condition did not hold.
    pub(crate) async fn commit(&self, batch: Batch, at: UnixTime, facts: Vec<Fact>) -> Result<Option<Commit>, StateError> {
        let stream = event::stream();
        let batch = facts.iter().try_fold(batch, |batch, fact| batch.record(&[&stream], fact, at))?;
        match self.0.events.commit(batch).await {
            Ok(commit) => {
                self.guard().committed(at);
                Ok(Some(commit))
            }
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

pub(crate) fn certificate_id(row: &[u8]) -> Result<CertificateId, StateError> {
    CertificateId::from_row(row).ok_or_else(|| StateError::Damaged("a row has no certificate's name".to_owned()))
}

/// Subjects are of any length; keys of rows are not.
pub(crate) fn subject_digest(subject: &str) -> [u8; 32] {
    *gatehouse_pki::Fingerprint::of(subject.as_bytes()).as_bytes()
}

async fn last_event(events: &Events) -> Result<Option<UnixTime>, StateError> {
    let stream = event::stream();
    let head = events.store().head(&stream).await?;
    Ok(events.read(&stream, head.position, 1).await?.first().map(|last| last.at))
}

impl fmt::Debug for Authority {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authority(…)")
    }
}
