//! What operators do with letters, and what happens to those that nobody asks about any more.

use crate::{
    Email, Outbox, OutboxError, counters,
    held::Held,
    outbox::WINDOW,
    rows::{DEAD, DUE, Fact, Id, Kept, LETTERS, Lately, RECIPIENTS, at, id_of, millis, read, shown, without},
};
use gatehouse_store::{Batch, CommitError, Entry, Key, Range, codec};
use gatehouse_types::UnixTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most letters that are told at once.
const MOST_TOLD: usize = 1000;
const PAGE: usize = 1000;

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

impl Outbox {
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
            let batch = batch.put(DUE, at(now, id), kept.letter.as_bytes()).put(LETTERS, *id, codec::encode(kept));
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
        let (mut held, mut next) = (Held::default(), None);
        for table in [DUE, DEAD] {
            let mut range = Range::all();
            loop {
                let rows = self.events.store().scan(table, range.clone(), PAGE).await?;
                let Some((last, _)) = rows.last() else { break };
                range = range.after(last);
                if table == DEAD {
                    held.dead += rows.len();
                    continue;
                }
                next = next.or_else(|| rows.first().and_then(|(key, _)| id_of(key)));
                rows.iter().for_each(|(_, entry)| held.count(&entry.value));
            }
        }
        let (waiting, dead) = (held.waiting(), held.dead);
        *self.held() = held;
        let oldest = match next {
            Some(id) => self.find(&id).await?.map_or(Duration::ZERO, |(kept, _)| self.clock.now().since(kept.made)),
            None => Duration::ZERO,
        };
        counters::held(waiting, dead, oldest);
        Ok(())
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

fn info(id: &[u8], kept: Kept) -> LetterInfo {
    let Kept { letter, to, made, due, attempts, problem, dead, .. } = kept;
    LetterInfo { id: shown(id), letter, to, made, attempts, due: dead.is_none().then_some(due), problem }
}
