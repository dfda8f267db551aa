//! Delivery: letters that are due are carried away, one after the other, and tried again later when that fails.
//!
//! At least once: a letter goes from the outbox after somebody else has taken it. When the process dies between the two, the same
//! bytes with the same `Message-ID` go out once more. One task does this ([`Outbox::run`]); what it decides is in
//! [`Outbox::deliver_due`], which asks no other clock than the outbox's own. Every write goes through `settle`, which is where a
//! lock of several nodes would be demanded.

use crate::{
    Outbox, OutboxError,
    carrier::{Blame, Carrier, Envelope, NotCarried},
    counters,
    rows::{self, DEAD, DUE, Fact, Id, Kept, LETTERS, MARK},
};
use gatehouse_base::with_causes;
use gatehouse_store::{Batch, CommitError, Entry, Key, Range, codec};
use gatehouse_types::{Random, UnixTime};
use std::{pin::pin, sync::Arc, time::Duration};

/// After the first failure. It doubles with every other one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// Servers that turn strangers away for a while (greylisting) let them in after minutes; an hour is as long as anybody should wait
/// after a server came back.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Letters that one round carries.
const ROUND: usize = 64;
/// How often the outbox is looked at without a wake-up.
const LOOK: Duration = Duration::from_secs(30);
/// The first pause after a server was away. It doubles up to [`LOOK`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Letters that somebody else is responsible for now.
    pub sent: usize,
    /// Letters that are tried again later.
    pub postponed: usize,
    /// Letters that were given up.
    pub given_up: usize,
    /// The server takes nothing at this moment; letters that are due were left where they are.
    pub server_away: bool,
}

impl Round {
    fn is_full(&self) -> bool {
        !self.server_away && self.sent + self.postponed + self.given_up >= ROUND
    }
}

impl Outbox {
    /// Carries letters away until it is told to stop. A letter that is under way at that moment may go out twice.
    pub async fn run(&self, carrier: Arc<dyn Carrier>, stopped: impl Future<Output = ()>) {
        let mut stopped = pin!(stopped);
        let mut woken = self.events.listen(&rows::stream()).ok();
        let mut pause = FIRST_PAUSE;
        loop {
            let round = tokio::select! {
                round = self.deliver_due(&*carrier) => round,
                () = &mut stopped => return carrier.rest().await,
            };
            if let Err(error) = self.measure().await {
                tracing::debug!(cause = with_causes(&error), "letters were not counted");
            }
            let trouble = match &round {
                Ok(round) => round.server_away,
                Err(error) => {
                    tracing::error!(cause = with_causes(error), "letters were not delivered; this is tried again");
                    true
                }
            };
            let wait = if trouble { pause } else { self.until_next().await };
            pause = if trouble { (pause * 2).min(LOOK) } else { FIRST_PAUSE };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // A new letter does not bring back a server that is away.
                () = wait_for(&mut woken), if !trouble => {}
                () = &mut stopped => return,
            }
        }
    }

    /// Carries the letters that are due now.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn deliver_due(&self, carrier: &dyn Carrier) -> Result<Round, OutboxError> {
        let round = self.round(carrier).await;
        // A full round is followed by the next one, for which the connection stays.
        if !round.as_ref().is_ok_and(Round::is_full) {
            carrier.rest().await;
        }
        round
    }

    async fn round(&self, carrier: &dyn Carrier) -> Result<Round, OutboxError> {
        let now = self.clock.now();
        let due = Range::between(Vec::new(), Vec::from(Key::new().number(rows::millis(now).saturating_add(1))));
        let mut round = Round::default();
        for (key, _) in self.events.store().scan(DUE, due, ROUND).await? {
            let Some(id) = rows::id_of(&key) else { continue };
            let Some((kept, entry)) = self.find(&id).await? else {
                // An index row without its letter: nothing of ours leaves one, and nothing may stumble over one for ever.
                self.events.commit(Batch::new().require_absent(LETTERS, id).delete(DUE, key)).await?;
                continue;
            };
            match self.deliver(carrier, &id, kept, &entry).await? {
                Outcome::Sent => round.sent += 1,
                Outcome::GivenUp => round.given_up += 1,
                Outcome::Postponed(Blame::Server) => {
                    round.postponed += 1;
                    round.server_away = true;
                    break;
                }
                Outcome::Postponed(_) => round.postponed += 1,
            }
        }
        Ok(round)
    }

    async fn deliver(&self, carrier: &dyn Carrier, id: &Id, kept: Kept, entry: &Entry) -> Result<Outcome, OutboxError> {
        if self.clock.now() >= kept.until {
            self.bury(id, kept, entry, "expired").await?;
            return Ok(Outcome::GivenUp);
        }
        if !self.accepted().contains(id) {
            let letter = match self.opened(id, &kept) {
                Ok(letter) => letter,
                Err(error) => {
                    tracing::error!(cause = with_causes(&error), id = rows::shown(id), "a letter does not open");
                    self.bury(id, kept, entry, "damaged").await?;
                    return Ok(Outcome::GivenUp);
                }
            };
            let envelope = Envelope { id: rows::shown(id), from: self.config.from.email().clone(), to: kept.to.clone() };
            if let Err(refused) = carrier.carry(&envelope, &letter).await {
                return self.failed(id, kept, entry, refused).await;
            }
            self.accepted().insert(*id);
        }
        let batch = rows::without(unchanged(id, entry), id, &kept);
        self.settle(batch, &Fact::Sent { id: rows::shown(id) }).await?;
        self.accepted().remove(id);
        counters::sent(&kept.letter);
        Ok(Outcome::Sent)
    }

    async fn failed(&self, id: &Id, mut kept: Kept, entry: &Entry, refused: NotCarried) -> Result<Outcome, OutboxError> {
        counters::failed(refused.reason);
        tracing::warn!(id = rows::shown(id), letter = kept.letter, reason = refused.reason, text = refused.text, "a letter was not taken");
        kept.problem = Some(refused.text);
        kept.attempts += 1;
        if refused.blame == Blame::Letter {
            self.bury(id, kept, entry, "refused").await?;
            return Ok(Outcome::GivenUp);
        }
        let before = kept.due;
        kept.due = self.clock.now() + wait(kept.attempts, &*self.random);
        let batch = unchanged(id, entry).delete(DUE, rows::at(before, id)).put(DUE, rows::at(kept.due, id), kept.letter.as_bytes());
        self.commit(batch.put(LETTERS, *id, codec::encode(&kept))).await?;
        Ok(Outcome::Postponed(refused.blame))
    }

    /// Gives a letter up. It is kept for a while, for an operator to look at, and the oldest such letter goes where there are too many.
    async fn bury(&self, id: &Id, mut kept: Kept, entry: &Entry, reason: &'static str) -> Result<(), OutboxError> {
        counters::given_up(reason);
        let now = self.clock.now();
        kept.dead = Some(now);
        kept.problem = Some(kept.problem.take().unwrap_or_else(|| reason.to_owned()));
        let batch = unchanged(id, entry).delete(DUE, rows::at(kept.due, id)).put(DEAD, rows::at(now, id), MARK);
        let batch = batch.put(LETTERS, *id, codec::encode(&kept));
        let oldest =
            if self.held().dead >= self.config.outbox { self.events.store().scan(DEAD, Range::all(), 1).await? } else { Vec::new() };
        let batch = oldest.into_iter().fold(batch, |batch, (key, _)| match rows::id_of(&key) {
            Some(id) => batch.delete(LETTERS, id).delete(DEAD, key),
            None => batch.delete(DEAD, key),
        });
        self.held().dead += 1;
        self.settle(batch, &Fact::GivenUp { id: rows::shown(id), reason: reason.to_owned() }).await
    }

    async fn settle(&self, batch: Batch, fact: &Fact) -> Result<(), OutboxError> {
        self.commit(self.stating(batch, fact)?).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), OutboxError> {
        match self.events.commit(batch).await {
            // An operator retried or dropped it at this moment: that counts.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How long until the next letter is due, at most until the outbox is looked at anyway.
    async fn until_next(&self) -> Duration {
        let first = self.events.store().scan(DUE, Range::all(), 1).await.unwrap_or_default();
        let due = first.first().and_then(|(key, _)| Some(u64::from_be_bytes(*key.first_chunk()?)));
        let due = due.map(|millis| UnixTime::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)));
        due.map_or(LOOK, |due| due.since(self.clock.now()).min(LOOK))
    }
}

enum Outcome {
    Sent,
    Postponed(Blame),
    GivenUp,
}

fn unchanged(id: &Id, entry: &Entry) -> Batch {
    Batch::new().require_version(LETTERS, *id, entry.version)
}

async fn wait_for(woken: &mut Option<Box<dyn gatehouse_events::Listener>>) {
    match woken {
        Some(woken) => woken.wait().await,
        None => std::future::pending().await,
    }
}

/// How long a letter waits after so many failures: the double of the time before, a quarter more or less, so that what failed
/// together does not come back together.
fn wait(attempts: u32, random: &dyn Random) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(LONGEST_WAIT);
    let mut drawn = [0; 2];
    random.fill(&mut drawn);
    doubled.mul_f64(0.75 + 0.5 * f64::from(u16::from_be_bytes(drawn)) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_differ_by_a_quarter() {
        let seconds: Vec<_> = (1..=9).map(|attempts| wait(attempts, &Always(0)).as_millis()).collect();
        assert_eq!(seconds, [22_500, 45_000, 90_000, 180_000, 360_000, 720_000, 1_440_000, 2_700_000, 2_700_000]);
        assert_eq!(wait(1, &Always(0xff)), Duration::from_millis(37_500));
        assert_eq!(wait(u32::MAX, &Always(0xff)), Duration::from_secs(4500));
    }
}
