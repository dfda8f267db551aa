//! The revocation journal: what must not be forgotten when an older backup is restored.
//!
//! A journal lists every revocation and is signed by the active authorities whose certificates it speaks about. It holds
//! no secrets. After a restore it is imported: what was revoked after the backup is revoked again. A journal can only
//! take trust away, and only from certificates of the authority that signed the part.

use crate::{
    authority::{ATTEMPTS, Authority, PAGE, RECORDS, REVOKED, certificate_id},
    codec,
    crl::{Revocation, mark},
    error::StateError,
    event::Fact,
    hierarchy::Ca,
    record::{CertificateId, Life, Reason, Record},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::SignerError;
use gatehouse_store::{Batch, Range};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};

/// A journal is at most this long; a million revocations fit.
pub const JOURNAL_MAX: usize = 256 * 1024 * 1024;

const FORMAT: &str = "gatehouse-journal-1";

/// One part for each authority: a line with its content, signed by its key.
#[derive(Serialize, Deserialize)]
struct Part {
    format: String,
    /// The key identifier of the authority.
    issuer: String,
    /// When it was written.
    at: UnixTime,
    revoked: Vec<Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    certificate: CertificateId,
    at: UnixTime,
    reason: Reason,
    not_after: UnixTime,
}

#[derive(Serialize, Deserialize)]
struct Line {
    part: String,
    signature: String,
}

/// A journal was not written or not taken in.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It is longer than any.
    #[error("the journal is longer than {JOURNAL_MAX} bytes")]
    TooLong,
    /// It cannot be read.
    #[error("line {line} of the journal cannot be read")]
    Form {
        /// Counted from 1.
        line: usize,
    },
    /// The part speaks about an authority that is not here.
    #[error("line {line} of the journal is about an authority that this instance does not have: {issuer}")]
    Foreign {
        /// Counted from 1.
        line: usize,
        /// Its key identifier.
        issuer: String,
    },
    /// It was changed, or signed by another key.
    #[error("line {line} of the journal is not signed by the authority that it speaks about")]
    Signature {
        /// Counted from 1.
        line: usize,
    },
    /// An authority could not sign.
    #[error("the journal could not be signed")]
    Signer(#[source] SignerError),
    /// The state could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Authority {
    /// Writes the journal of all revocations that still matter.
    ///
    /// # Errors
    /// When an authority's key is not to be had or the store fails.
    pub async fn export_journal(&self) -> Result<String, JournalError> {
        let hierarchy = self.hierarchy();
        let mut journal = String::new();
        for ca in hierarchy.all.iter().filter(|ca| ca.issuer.is_some()) {
            let part =
                Part { format: FORMAT.to_owned(), issuer: ca.key_id.to_string(), at: self.now(), revoked: self.revoked_by(ca).await? };
            let part = serde_json::to_string(&part).map_err(|error| StateError::Damaged(error.to_string()))?;
            let signer = self.0.keyring.signer(&ca.key).await.map_err(StateError::from)?;
            let signature = signer.sign(&signed(&part)).map_err(JournalError::Signer)?;
            let line = Line { part, signature: STANDARD.encode(signature) };
            journal.push_str(&serde_json::to_string(&line).map_err(|error| StateError::Damaged(error.to_string()))?);
            journal.push('\n');
        }
        Ok(journal)
    }

    /// Revokes again what the journal names and this instance does not know to be revoked. Answers how many. Checked as a
    /// whole before anything is changed.
    ///
    /// # Errors
    /// When a line cannot be read, is not signed by the authority that it speaks about, or the store fails.
    pub async fn import_journal(&self, journal: &str) -> Result<u64, JournalError> {
        if journal.len() > JOURNAL_MAX {
            return Err(JournalError::TooLong);
        }
        let hierarchy = self.hierarchy();
        let mut entries = Vec::new();
        for (index, text) in journal.lines().enumerate() {
            let line = index + 1;
            let signed_part: Line = serde_json::from_str(text).map_err(|_| JournalError::Form { line })?;
            let part: Part = serde_json::from_str(&signed_part.part).map_err(|_| JournalError::Form { line })?;
            let ca = hierarchy
                .all
                .iter()
                .find(|ca| ca.key_id.to_string() == part.issuer)
                .ok_or_else(|| JournalError::Foreign { line, issuer: part.issuer.clone() })?;
            let own = ca.chain.first().ok_or_else(|| JournalError::Foreign { line, issuer: part.issuer.clone() })?;
            let signer = ca.issuer.as_ref().ok_or(JournalError::Signature { line })?.signer().signature_algorithm();
            let signature = STANDARD.decode(&signed_part.signature).map_err(|_| JournalError::Form { line })?;
            let good = own.public_key().verify(signer, &signed(&signed_part.part), &signature).is_ok() && part.format == FORMAT;
            // An authority speaks about its own certificates only.
            let about_itself = part.revoked.iter().all(|entry| entry.certificate.issuer() == ca.key_id.as_bytes());
            if !good || !about_itself {
                return Err(JournalError::Signature { line });
            }
            entries.extend(part.revoked);
        }
        let mut revoked = 0;
        for entry in &entries {
            revoked += u64::from(self.revoke_again(entry).await?);
        }
        if revoked > 0 {
            self.commit(Batch::new(), self.now(), vec![Fact::JournalImported { revocations: revoked }]).await?;
            self.0.work.notify_one();
        }
        Ok(revoked)
    }

    async fn revoke_again(&self, entry: &Entry) -> Result<bool, StateError> {
        let id = &entry.certificate;
        for _ in 0..ATTEMPTS {
            if self.0.store.get(REVOKED, id.row()).await?.is_some() {
                return Ok(false);
            }
            let now = self.now();
            let batch_and_fact = match self.load::<Record>(RECORDS, &id.row()).await? {
                Some((record, _)) if matches!(record.life, Life::Revoked { .. }) => return Ok(false),
                Some((record, row)) => {
                    let (batch, fact, _) = crate::revoke::revocation(id, record, &row, entry.at.min(now), entry.reason);
                    (batch, fact)
                }
                // Issued after the backup: there is no record, and the list still has to name it.
                None => {
                    let listed = Revocation { at: entry.at.min(now), reason: entry.reason, not_after: entry.not_after };
                    let batch = Batch::new()
                        .require_absent(REVOKED, id.row())
                        .put(REVOKED, id.row(), codec::encode(&listed))
                        .and(mark(id.issuer()));
                    (batch, Fact::Revoked { certificate: id.clone(), reason: entry.reason, not_after: entry.not_after })
                }
            };
            if self.commit(batch_and_fact.0, now, vec![batch_and_fact.1]).await?.is_some() {
                return Ok(true);
            }
        }
        Err(StateError::Contention)
    }

    async fn revoked_by(&self, ca: &Ca) -> Result<Vec<Entry>, StateError> {
        let mut revoked = Vec::new();
        let mut range = Range::prefix(ca.key_id.as_bytes().to_vec());
        loop {
            let rows = self.0.store.scan(REVOKED, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(revoked) };
            range = range.after(last);
            for (row, entry) in rows {
                let Revocation { at, reason, not_after } = codec::decode(&entry.value)?;
                revoked.push(Entry { certificate: certificate_id(&row)?, at, reason, not_after });
            }
        }
    }
}

/// No certificate and no list begins like this, so that the signature is good for nothing else.
fn signed(part: &str) -> Vec<u8> {
    [b"Gatehouse revocation journal\n", part.as_bytes()].concat()
}

impl Fault for JournalError {
    fn kind(&self) -> Kind {
        match self {
            Self::TooLong | Self::Form { .. } | Self::Foreign { .. } | Self::Signature { .. } => Kind::Invalid,
            Self::Signer(_) => Kind::Unavailable,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::TooLong | Self::Form { .. } => "journal-form",
            Self::Foreign { .. } => "journal-foreign",
            Self::Signature { .. } => "journal-signature",
            Self::Signer(_) => "signing-failed",
            Self::State(error) => error.code(),
        }
    }
}
