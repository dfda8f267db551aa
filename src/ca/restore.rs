//! What a restore from a backup means for the authority.
//!
//! The backup does not know what was signed and revoked after it was made, and the instance that it came from may still
//! run. So a new epoch begins: issuing stands still until somebody confirms, and revocation lists get numbers that
//! the old epoch cannot have used.

use crate::{
    authority::{ATTEMPTS, Authority, HIERARCHY, STATE},
    codec,
    crl::{EPOCH, mark},
    error::StateError,
    event::{Fact, HaltCause},
    switch::{ISSUANCE, Issuance},
};
use gatehouse_store::{Batch, Range, Store};

impl Authority {
    /// Whether nothing was ever kept here, so that making a new keyring loses nothing.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_untouched(store: &Store) -> Result<bool, StateError> {
        Ok(store.scan(HIERARCHY, Range::all(), 1).await?.is_empty())
    }

    /// Begins a new epoch after a restore: halts issuing and lets the numbers of revocation lists jump. Answers the
    /// epoch.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_epoch(&self) -> Result<u32, StateError> {
        for _ in 0..ATTEMPTS {
            let before = self.load::<u32>(STATE, EPOCH).await?;
            let epoch = before.as_ref().map_or(0, |(epoch, _)| *epoch).saturating_add(1);
            let now = self.now();
            let cause = HaltCause::Restored { epoch };
            let halted = Issuance::Halted { cause: cause.clone(), since: now };
            let mut batch = Batch::new()
                .require_unchanged(STATE, EPOCH, before.as_ref().map(|(_, entry)| entry))
                .put(STATE, EPOCH, codec::encode(&epoch))
                .put(STATE, ISSUANCE, codec::encode(&halted));
            for key_id in self.hierarchy().key_ids() {
                batch = batch.and(mark(key_id.as_bytes()));
            }
            if self.commit(batch, now, vec![Fact::EpochBegun { epoch }, Fact::Halted { cause }]).await?.is_some() {
                return Ok(epoch);
            }
        }
        Err(StateError::Contention)
    }
}
