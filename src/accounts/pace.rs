//! How often something is done within a day in somebody's name, for what costs others something: letters to strangers.
//!
//! The count is a row that is written with what is counted, so that it holds for everybody who does it at the same moment, and after a
//! restart. It decides nothing about what is counted, and knows only its key.

use crate::{Accounts, StateError, rows};
use gatehouse_store::{Batch, Table};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often lately, by the id of the person or organisation that it is counted for.
pub(crate) const PACES: Table = Table::new("account-paces");

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often lately. A stored type: its old forms must still load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Pace {
    since: UnixTime,
    times: u32,
}

/// Something was done too often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooFast {
    /// When it may be done again.
    pub(crate) wait: Duration,
}

impl Accounts {
    /// Counts once more for somebody, in a batch, or tells how long to wait.
    pub(crate) async fn paced(&self, batch: Batch, whose: &[u8; 16], most: u32) -> Result<Result<Batch, TooFast>, StateError> {
        let now = self.clock.now();
        let row = rows::find::<Pace>(&self.events, PACES, *whose).await?;
        // Counts from a future that a clock went back from hold nobody up.
        let lately = row.as_ref().map(|row| row.value).filter(|pace| pace.since <= now && now < pace.since + DAY);
        let Pace { since, times } = lately.unwrap_or(Pace { since: now, times: 0 });
        if times >= most {
            return Ok(Err(TooFast { wait: (since + DAY).since(now) }));
        }
        let pace = Pace { since, times: times + 1 };
        let counted = match row {
            Some(mut row) => {
                row.value = pace;
                row.rewritten()
            }
            None => rows::new(PACES, *whose, &pace),
        };
        Ok(Ok(batch.and(counted)))
    }

    /// Forgets what was counted before the last day.
    pub(crate) async fn forget_paces(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, PACES, |pace: &Pace| now >= pace.since + DAY, |batch, _, _| batch).await
    }
}
