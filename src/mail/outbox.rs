//! The outbox: letters that were written and not yet accepted by anybody.
//!
//! A letter is put into the batch of the state that caused it ([`Outbox::enclose`]), so that neither exists without the other.
//! What lies in the store is sealed under the key-encryption key, because letters hold links that let their reader into an account,
//! and it goes when the letter is delivered. Delivery is the business of [`delivery`](crate::delivery), and what operators do with
//! letters is in [`care`](crate::care).
//!
//! Two bounds keep strangers from making us a nuisance: how many letters wait, and how often the same letter goes to the same
//! address. They count each kind of letter by itself, so that nobody uses up what a warning would need. Letters that were given up take
//! no room from any that wait: there are so many of them at most, and the oldest gives way.

use crate::{
    Email, EncloseError, Letter, OutboxError,
    config::Config,
    counters,
    held::Held,
    message::Letterhead,
    rows::{self, DUE, Fact, Id, Kept, LETTERS, Lately, RECIPIENTS, at, shown},
};
use gatehouse_base::Clock;
use gatehouse_events::{Events, KeySealer, Record, SealError};
use gatehouse_store::{Batch, Entry, codec};
use gatehouse_types::{Random, Secret, UnixTime};
use ring::digest::{SHA256, digest};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// For how long letters to an address are counted.
pub(crate) const WINDOW: Duration = Duration::from_secs(3600);

/// The letters of this installation. Clones are the same outbox.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) events: Events,
    sealer: Arc<dyn KeySealer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) config: Config,
    letterhead: Letterhead,
    /// How many letters there are of each kind.
    held: Arc<Mutex<Held>>,
    /// Letters that were accepted and could not be noted as such: they are not carried a second time.
    pub(crate) accepted: Arc<Mutex<HashSet<Id>>>,
}

impl Outbox {
    /// The outbox in the store under these events. The sealer protects letters; the installation's address is in each of them.
    pub fn new(
        events: Events,
        sealer: Arc<dyn KeySealer>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        config: Config,
        installation: &str,
    ) -> Self {
        let letterhead = Letterhead { from: config.from.clone(), reply_to: config.reply_to.clone(), installation: installation.to_owned() };
        Self { events, sealer, clock, random, config, letterhead, held: Arc::default(), accepted: Arc::default() }
    }

    /// Adds a letter to the batch of what it tells of. It is on its way once the batch is committed through the events that this
    /// outbox was opened with.
    ///
    /// # Errors
    /// There is no room, or the same letter went to the same address too often.
    pub async fn enclose<L: Letter>(&self, batch: Batch, to: &Email, letter: &L) -> Result<Batch, EncloseError> {
        let now = self.clock.now();
        if !self.held().has_room(L::KIND, self.config.outbox) {
            counters::refused("full");
            return Err(EncloseError::Full);
        }
        let batch = self.counted::<L>(batch, to, now).await?;
        let mut id: Id = [0; 16];
        self.random.fill(&mut id);
        let letters = self.letterhead.compose(&shown(&id), to, letter.content(), now)?;
        let sealed = self.sealer.seal(&subject(&id), &letters).map_err(OutboxError::from)?;
        let last = now + self.config.give_up;
        let until = letter.useful_until().map_or(last, |end| end.min(last));
        let kept = Kept {
            letter: L::KIND.to_owned(),
            to: to.clone(),
            sealed: sealed.into(),
            made: now,
            due: now,
            until,
            attempts: 0,
            problem: None,
            dead: None,
        };
        let batch = batch.require_absent(LETTERS, id).put(LETTERS, id, codec::encode(&kept)).put(DUE, at(now, &id), L::KIND.as_bytes());
        let batch = self.stating(batch, &Fact::Queued { id: shown(&id), letter: L::KIND.to_owned() })?;
        self.held().count(L::KIND.as_bytes());
        counters::queued(L::KIND);
        Ok(batch)
    }

    /// The same for a letter that nothing depends on: when it cannot be put into the outbox, the batch goes without it.
    ///
    /// # Errors
    /// The outbox cannot be read.
    pub async fn enclose_if_possible<L: Letter>(&self, batch: Batch, to: &Email, letter: &L) -> Result<Batch, OutboxError> {
        match self.enclose(batch.clone(), to, letter).await {
            Ok(enclosed) => Ok(enclosed),
            Err(EncloseError::Full | EncloseError::Throttled { .. }) => Ok(batch),
            Err(EncloseError::Compose(error)) => {
                tracing::error!(%error, letter = L::KIND, "a letter was left out");
                Ok(batch)
            }
            Err(EncloseError::State(error)) => Err(error),
        }
    }

    pub(crate) async fn find(&self, id: &Id) -> Result<Option<(Kept, Entry)>, OutboxError> {
        let Some(entry) = self.events.store().get(LETTERS, id).await? else { return Ok(None) };
        Ok(Some((codec::decode(&entry.value)?, entry)))
    }

    pub(crate) fn opened(&self, id: &Id, kept: &Kept) -> Result<Secret, SealError> {
        self.sealer.unseal(&subject(id), &kept.sealed)
    }

    pub(crate) fn stating(&self, batch: Batch, fact: &Fact) -> Result<Batch, OutboxError> {
        Ok(batch.record(&[&rows::stream()], fact, self.clock.now())?)
    }

    pub(crate) fn accepted(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a letter to an address, or tells when the next one may go there.
    async fn counted<L: Letter>(&self, batch: Batch, to: &Email, now: UnixTime) -> Result<Batch, EncloseError> {
        let both = [L::KIND.as_bytes(), b"\0", to.folded().as_bytes()].concat();
        let key = digest(&SHA256, &both).as_ref().to_vec();
        let entry = self.events.store().get(RECIPIENTS, &key).await.map_err(OutboxError::from)?;
        let lately = entry.as_ref().map(|entry| codec::decode::<Lately>(&entry.value)).transpose().map_err(OutboxError::from)?;
        let mut lately = lately.filter(|lately| now < lately.since + WINDOW).unwrap_or(Lately { since: now, letters: 0 });
        if lately.letters >= self.config.per_recipient {
            counters::refused("throttled");
            return Err(EncloseError::Throttled { wait: (lately.since + WINDOW).since(now) });
        }
        lately.letters += 1;
        Ok(batch.require_unchanged(RECIPIENTS, key.clone(), entry.as_ref()).put(RECIPIENTS, key, codec::encode(&lately)))
    }
}

fn subject(id: &Id) -> String {
    format!("letter {}", shown(id))
}

impl fmt::Debug for Outbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outbox").field("config", &self.config).finish_non_exhaustive()
    }
}
