//! The outbox: letters that were written and not yet accepted by anybody.
//!
//! A letter is put into the batch of the state that caused it ([`Outbox::enclose`]), so that neither exists without the other.
//! What lies in the store is sealed under the key-encryption key, because letters hold links that let their reader into an account,
//! and it goes when the letter is delivered. Delivery is the business of [`delivery`](crate::delivery).
//!
//! Two bounds keep strangers from making us a nuisance: how many letters wait in all, and how often the same letter goes to the same
//! address. They count each kind of letter by itself, so that nobody uses up what a warning would need.

use crate::{
    Email, Letter,
    config::Config,
    counters,
    message::{ComposeError, Letterhead},
};
use gatehouse_base::{Clock, Fault, Kind};
use gatehouse_events::{Event, EventError, Events, KeySealer, Record, SealError};
use gatehouse_store::{
    Batch, CommitError, Entry, Key, Range, ReadError, Schema, Stream, Table,
    codec::{self, Bytes, CodecError},
};
use gatehouse_types::{Random, Secret, UnixTime};
use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Letters by their id.
pub(crate) const LETTERS: Table = Table::new("mail-letters");
/// Letters that wait: when they are due, then the id; without content.
pub(crate) const DUE: Table = Table::new("mail-due");
/// Letters that were given up: since when, then the id; without content.
pub(crate) const DEAD: Table = Table::new("mail-dead");
/// How often a letter went to an address lately, by the digest of both.
const RECIPIENTS: Table = Table::new("mail-recipients");

/// What this crate keeps, for `Store::prepare`.
pub const SCHEMA: Schema = Schema { name: "mail", tables: &[LETTERS, DUE, DEAD, RECIPIENTS], migrations: &[] };

/// The stream of what happens to letters, without addresses.
pub const STREAM: &str = "mail";

pub(crate) const MARK: &[u8] = b"";
/// For how long letters to an address are counted.
const WINDOW: Duration = Duration::from_secs(3600);
const PAGE: usize = 1000;
/// The most letters that are told at once.
const MOST_TOLD: usize = 1000;

pub(crate) type Id = [u8; 16];

/// A letter as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) letter: String,
    pub(crate) to: Email,
    pub(crate) sealed: Bytes,
    pub(crate) made: UnixTime,
    pub(crate) due: UnixTime,
    /// When it is given up.
    pub(crate) until: UnixTime,
    pub(crate) attempts: u32,
    pub(crate) problem: Option<String>,
    pub(crate) dead: Option<UnixTime>,
}

/// How often a letter went to an address lately. A stored type.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Lately {
    since: UnixTime,
    letters: u32,
}

/// What happened to a letter. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// It was put into the outbox.
    Queued {
        /// Its id.
        id: String,
        /// Which letter.
        letter: String,
    },
    /// Somebody else is responsible for it now.
    Sent {
        /// Its id.
        id: String,
    },
    /// It was given up.
    GivenUp {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// An operator has it tried again.
    Retried {
        /// Its id.
        id: String,
    },
    /// An operator has thrown it away.
    Dropped {
        /// Its id.
        id: String,
    },
}

impl Event for Fact {
    const TYPE: &'static str = "mail.fact";
    const VERSION: u32 = 1;
}

/// A letter as operators see it; what it says is nobody's business.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LetterInfo {
    /// What it is retried and dropped by.
    pub id: String,
    /// Which letter.
    pub letter: String,
    /// Whom it is for.
    pub to: Email,
    /// Since when it waits.
    pub made: UnixTime,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; nothing when it was given up.
    pub due: Option<UnixTime>,
    /// What happened the last time.
    pub problem: Option<String>,
}

/// A letter cannot be put into the outbox.
#[derive(Debug, thiserror::Error)]
pub enum EncloseError {
    /// There is no room.
    #[error("too many letters wait to be delivered; try again later")]
    Full,
    /// The same letter went there too often.
    #[error("this letter was sent to this address too often; try again in {} minutes", wait.as_secs().div_ceil(60))]
    Throttled {
        /// When to come back.
        wait: Duration,
    },
    /// It could not be written.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The outbox could not be read or written.
    #[error(transparent)]
    State(#[from] OutboxError),
}

/// The outbox cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// There is no letter of this id.
    #[error("there is no such letter")]
    Unknown,
    /// The store cannot be read.
    #[error("the outbox cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the outbox cannot be written")]
    Commit(#[from] CommitError),
    /// The log cannot be written.
    #[error("the log of letters cannot be written")]
    Events(#[from] EventError),
    /// A letter cannot be sealed.
    #[error("a letter cannot be sealed or opened")]
    Seal(#[from] SealError),
    /// A row cannot be understood.
    #[error("the outbox is damaged: {0}")]
    Damaged(#[from] CodecError),
}

/// The letters of this installation. Clones are the same outbox.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) events: Events,
    sealer: Arc<dyn KeySealer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) config: Config,
    letterhead: Letterhead,
    /// How many letters there are; counted anew now and then, since batches are enclosed that are never committed.
    held: Arc<AtomicUsize>,
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
        if self.held.load(Ordering::Relaxed) >= self.config.outbox {
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
        let batch = batch.require_absent(LETTERS, id).put(LETTERS, id, codec::encode(&kept)).put(DUE, at(now, &id), MARK);
        let batch = self.stating(batch, &Fact::Queued { id: shown(&id), letter: L::KIND.to_owned() })?;
        self.held.fetch_add(1, Ordering::Relaxed);
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

    /// The letters that wait and those that were given up.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn letters(&self) -> Result<Vec<LetterInfo>, OutboxError> {
        let rows = self.events.store().scan(LETTERS, Range::all(), MOST_TOLD).await?;
        let letters: Result<Vec<_>, OutboxError> = rows.iter().map(|(key, entry)| Ok(info(key, codec::decode(&entry.value)?))).collect();
        let mut letters = letters?;
        letters.sort_by(|a, b| (a.made, &a.id).cmp(&(b.made, &b.id)));
        Ok(letters)
    }

    /// Has a letter tried now; one that was given up gets its whole time again.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn retry(&self, id: &str) -> Result<LetterInfo, OutboxError> {
        self.change(id, |id, kept, batch, now| {
            let batch = batch.delete(DUE, at(kept.due, id));
            let batch = if let Some(since) = kept.dead.take() { batch.delete(DEAD, at(since, id)) } else { batch };
            kept.due = now;
            kept.until = now + self.config.give_up;
            let batch = batch.put(DUE, at(now, id), MARK).put(LETTERS, *id, codec::encode(kept));
            (batch, Fact::Retried { id: shown(id) })
        })
        .await
    }

    /// Throws a letter away.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn discard(&self, id: &str) -> Result<LetterInfo, OutboxError> {
        self.change(id, |id, kept, batch, _| (without(batch, id, kept), Fact::Dropped { id: shown(id) })).await
    }

    /// Forgets letters that were given up long ago, and how often letters went to addresses before the last hour. Answers how many
    /// letters went.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn forget_old(&self) -> Result<usize, OutboxError> {
        let now = self.clock.now();
        let ended = Range::between(Vec::new(), Vec::from(Key::new().number(millis(now - self.config.keep_dead))));
        let mut forgotten = 0;
        loop {
            let rows = self.events.store().scan(DEAD, ended.clone(), PAGE).await?;
            let batch = rows.iter().fold(Batch::new(), |batch, (key, _)| {
                let batch = batch.delete(DEAD, key.clone());
                id_of(key).map_or(batch.clone(), |id| batch.delete(LETTERS, id))
            });
            if rows.is_empty() {
                break;
            }
            forgotten += rows.len();
            self.events.commit(batch).await?;
        }
        let mut range = Range::all();
        loop {
            let rows = self.events.store().scan(RECIPIENTS, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(forgotten) };
            range = range.after(last);
            let over = |entry: &Entry| codec::decode::<Lately>(&entry.value).is_ok_and(|lately| now >= lately.since + WINDOW);
            let over = rows.iter().filter(|(_, entry)| over(entry));
            let batch = over.fold(Batch::new(), |batch, (key, entry)| {
                batch.require_version(RECIPIENTS, key.clone(), entry.version).delete(RECIPIENTS, key.clone())
            });
            // Somebody who gets a letter at this moment keeps the row; it goes the next time.
            if !batch.is_empty() && !matches!(self.events.commit(batch).await, Ok(_) | Err(CommitError::Conflict { .. })) {
                return Ok(forgotten);
            }
        }
    }

    /// Counts what there is, for the bound and for the metrics.
    pub(crate) async fn measure(&self) -> Result<(), OutboxError> {
        let count = async |table| {
            let (mut range, mut count, mut first) = (Range::all(), 0, None);
            loop {
                let rows = self.events.store().scan(table, range.clone(), PAGE).await?;
                let Some((last, _)) = rows.last() else { return Ok::<_, OutboxError>((count, first)) };
                first = first.or_else(|| id_of(&rows[0].0));
                count += rows.len();
                range = range.after(last);
            }
        };
        let ((waiting, next), (dead, _)) = (count(DUE).await?, count(DEAD).await?);
        self.held.store(waiting + dead, Ordering::Relaxed);
        let oldest = match next {
            Some(id) => self.find(&id).await?.map_or(Duration::ZERO, |(kept, _)| self.clock.now().since(kept.made)),
            None => Duration::ZERO,
        };
        counters::held(waiting, dead, oldest);
        Ok(())
    }

    pub(crate) async fn find(&self, id: &Id) -> Result<Option<(Kept, Entry)>, OutboxError> {
        let Some(entry) = self.events.store().get(LETTERS, id).await? else { return Ok(None) };
        Ok(Some((codec::decode(&entry.value)?, entry)))
    }

    pub(crate) fn opened(&self, id: &Id, kept: &Kept) -> Result<Secret, SealError> {
        self.sealer.unseal(&subject(id), &kept.sealed)
    }

    pub(crate) fn stating(&self, batch: Batch, fact: &Fact) -> Result<Batch, OutboxError> {
        Ok(batch.record(&[&stream()], fact, self.clock.now())?)
    }

    pub(crate) fn accepted(&self) -> MutexGuard<'_, HashSet<Id>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
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

    async fn change(&self, id: &str, decide: impl Fn(&Id, &mut Kept, Batch, UnixTime) -> (Batch, Fact)) -> Result<LetterInfo, OutboxError> {
        let id = read(id).ok_or(OutboxError::Unknown)?;
        loop {
            let (mut kept, entry) = self.find(&id).await?.ok_or(OutboxError::Unknown)?;
            let unchanged = Batch::new().require_version(LETTERS, id, entry.version);
            let (batch, fact) = decide(&id, &mut kept, unchanged, self.clock.now());
            match self.events.commit(self.stating(batch, &fact)?).await {
                Ok(_) => return Ok(info(&id, kept)),
                // It was tried at this moment.
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

pub(crate) fn stream() -> Stream {
    STREAM.parse().expect("a constant that is a stream's name")
}

/// Removes a letter with everything that says where it is.
pub(crate) fn without(batch: Batch, id: &Id, kept: &Kept) -> Batch {
    let batch = batch.delete(LETTERS, *id).delete(DUE, at(kept.due, id));
    kept.dead.map_or(batch.clone(), |since| batch.delete(DEAD, at(since, id)))
}

/// A row of an index by time.
pub(crate) fn at(time: UnixTime, id: &Id) -> Key {
    Key::new().number(millis(time)).id(id)
}

pub(crate) fn millis(time: UnixTime) -> u64 {
    u64::try_from(time.millis()).unwrap_or_default()
}

pub(crate) fn id_of(key: &[u8]) -> Option<Id> {
    key.last_chunk().copied()
}

pub(crate) fn shown(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(text: &str) -> Option<Id> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then(|| bytes.try_into().ok())?
}

fn subject(id: &Id) -> String {
    format!("letter {}", shown(id))
}

fn info(id: &[u8], kept: Kept) -> LetterInfo {
    let Kept { letter, to, made, due, attempts, problem, dead, .. } = kept;
    LetterInfo { id: shown(id), letter, to, made, attempts, due: dead.is_none().then_some(due), problem }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Outbox").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Fault for EncloseError {
    fn kind(&self) -> Kind {
        match self {
            Self::Full => Kind::Unavailable,
            Self::Throttled { .. } => Kind::Exhausted,
            Self::Compose(_) => Kind::Internal,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Full => "outbox-full",
            Self::Throttled { .. } => "too-many-letters",
            Self::Compose(_) => "letter",
            Self::State(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { wait } => Some(*wait),
            _ => None,
        }
    }
}

impl Fault for OutboxError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unknown => Kind::NotFound,
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
            Self::Events(error) => error.kind(),
            Self::Seal(_) => Kind::Unavailable,
            Self::Damaged(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "no-such-letter",
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
            Self::Events(error) => error.code(),
            Self::Seal(_) => "letter-seal",
            Self::Damaged(_) => "outbox-damaged",
        }
    }
}
