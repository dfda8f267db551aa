//! The authority's own work: lists that are due, graces that end, changes that other nodes or commands made.

use crate::{authority::Authority, crl::CrlError, error::StateError};
use std::time::Duration;

/// How often the authority looks for work that nobody woke it for: marks left by another node, lists that grew old. A
/// revocation anywhere is in the list within this and the time of a signature.
const LOOK: Duration = Duration::from_millis(500);

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
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = &mut until => return,
                () = self.0.work.notified() => {}
                _ = ticks.tick() => {}
            }
            match self.upkeep().await {
                Ok(()) => failing = false,
                // Two a second of the same would bury the log.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(%error, "the authority's upkeep failed; it is tried again twice a second");
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
