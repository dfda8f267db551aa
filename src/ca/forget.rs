//! Forgetting certificates that ended long ago, so that records do not grow for ever.
//!
//! What a record is needed for ends with its certificate: an expired one is refused by its own dates. What goes on is kept
//! elsewhere: lists and the journal have the revocations, a key that was revoked as compromised stays known, and events
//! tell what was issued for as long as they are kept.

use crate::{
    authority::{Authority, INDEX, PAGE, RECORDS, certificate_id, subject_digest},
    clock_guard::Moment,
    codec,
    error::StateError,
    event::Fact,
    issue::{grace_row, slot_row},
    record::{CertificateId, Life, Record},
};
use gatehouse_store::{Batch, Entry, Key, Range};
use gatehouse_types::UnixTime;

/// Records that one batch forgets, each with up to five rows.
const AT_ONCE: usize = 200;

impl Authority {
    /// Whether the clock has behaved since the start, so that it may say what is old. It judges, and halts nothing.
    pub fn trusts_clock(&self) -> bool {
        self.guard().check(Moment::of(&*self.0.clock)).is_ok()
    }

    /// Forgets the records of certificates that ended before this time. Answers how many. One that somebody changes at
    /// the same moment stays until the next time.
    ///
    /// # Errors
    /// When the store fails or a row is damaged.
    pub async fn forget_records(&self, ended_before: UnixTime) -> Result<usize, StateError> {
        let (mut forgotten, mut range) = (0, Range::all());
        loop {
            let rows = self.0.store.scan(RECORDS, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(forgotten) };
            range = range.after(last);
            let mut old = Vec::new();
            for (row, entry) in rows {
                let record: Record = codec::decode(&entry.value)?;
                if record.not_after < ended_before {
                    old.push((certificate_id(&row)?, record, entry));
                }
            }
            for some in old.chunks(AT_ONCE) {
                forgotten += self.forget(some, ended_before).await?;
            }
        }
    }

    async fn forget(&self, old: &[(CertificateId, Record, Entry)], ended_before: UnixTime) -> Result<usize, StateError> {
        let mut batch = Batch::new();
        for (id, record, entry) in old {
            let by_key = Key::new().text("key").bytes(&record.key).bytes(&id.row());
            let by_subject = Key::new().text("subject").bytes(&subject_digest(&record.subject)).bytes(&id.row());
            batch = batch.require_version(RECORDS, id.row(), entry.version).delete(RECORDS, id.row());
            batch = batch.delete(INDEX, by_key).delete(INDEX, by_subject);
            if let Life::Superseded { good_until, .. } = &record.life {
                batch = batch.delete(INDEX, grace_row(*good_until, id));
            }
            let slot = slot_row(record.authority.seat, &record.profile, &record.subject);
            if let Some(current) = self.0.store.get(INDEX, &slot).await?.filter(|current| current.value == id.row()) {
                batch = batch.require_version(INDEX, slot.clone(), current.version).delete(INDEX, slot);
            }
        }
        let fact = Fact::RecordsForgotten { records: old.len() as u64, ended_before };
        Ok(if self.commit(batch, self.now(), vec![fact]).await?.is_some() { old.len() } else { 0 })
    }
}
