//! The authority's own work: lists that are due, graces that end, changes that other nodes or commands made.

use crate::{authority::Authority, crl::CrlError, error::StateError};
use std::time::Duration;

/// How often the authority looks for marks that another node or command left. A revocation anywhere is in the list within
/// this and the time of a signature.
const LOOK: Duration = Duration::from_millis(500);

/// How often it looks at everything else: lists that grew old, graces that ended, authorities that others made.
const ROUND: Duration = Duration::from_secs(20);

impl Authority {
    /// Does all that is due now. [`Self::run`] repeats it; a command that runs alone calls it once.
    ///
    /// # Errors
    /// When a list cannot be signed or the store fails.
    pub async fn upkeep(&self) -> Result<(), CrlError> {
        self.reload().await?;
        self.end_graces().await?;
        self.publish().await?;
        Ok(())
    }

    /// Works until the future ends, woken by revocations. Faults are logged and tried again.
    pub async fn run(&self, until: impl Future<Output = ()>) {
        let mut until = std::pin::pin!(until);
        let (mut looks, mut rounds) = (tokio::time::interval(LOOK), tokio::time::interval(ROUND));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            let done = tokio::select! {
                () = &mut until => return,
                () = self.0.work.notified() => self.upkeep().await,
                _ = rounds.tick() => self.upkeep().await,
                _ = looks.tick() => match self.is_marked().await {
                    Ok(false) => continue,
                    Ok(true) => self.upkeep().await,
                    Err(error) => Err(error.into()),
                },
            };
            if done.is_err() {
                crate::metrics::upkeep_failed();
            }
            match done {
                Ok(()) => failing = false,
                // Two a second of the same would bury the log.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the authority's upkeep failed; it is tried again");
                }
                Err(_) => {}
            }
        }
    }

    /// Reads again what other processes changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn refresh(&self) -> Result<(), StateError> {
        self.reload().await?;
        self.load_crls().await
    }
}
