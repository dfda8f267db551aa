//! Content keys: what makes an event about somebody unreadable without touching the log.
//!
//! Each subject (a device, a person) has a key of its own, made when something is first recorded about it. The
//! key's row in the store is sealed by whoever keeps the key-encryption key. Erasing the subject replaces the row
//! by a mark; the records stay where they are, and so does the chain, which runs over the ciphertext.

use crate::{
    Content, EventError, Events,
    envelope::{Body, Envelope, from_bytes},
};
use gatehouse_store::{Batch, CommitError, Key, Table};
use gatehouse_types::{Random, Secret};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::{collections::HashMap, error::Error, fmt};

pub(crate) const CONTENT_KEYS: Table = Table::new("event-content-keys");

const KEY_BYTES: usize = 32;
/// The row of a subject that was erased. A sealed key is never empty.
const ERASED: &[u8] = b"";

/// Seals content keys for the time that they lie in the store.
pub trait KeySealer: Send + Sync {
    /// Seals the key of a subject, so that only `unseal` with the same subject gives it back.
    fn seal(&self, subject: &str, key: &Secret) -> Result<Vec<u8>, SealError>;

    /// Gives the key back.
    fn unseal(&self, subject: &str, sealed: &[u8]) -> Result<Secret, SealError>;
}

/// A key that could not be sealed or unsealed.
#[derive(Debug, thiserror::Error)]
#[error("the key-encryption key does not open it")]
pub struct SealError(#[source] pub Box<dyn Error + Send + Sync>);

/// The key of a subject's content.
pub struct ContentKey {
    subject: String,
    cipher: LessSafeKey,
}

impl ContentKey {
    fn new(subject: &str, key: &Secret) -> Option<Self> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).ok()?);
        Some(Self { subject: subject.to_owned(), cipher })
    }

    /// Whose key it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Encrypts content: nonce, ciphertext, tag. Nonces are random: a subject would need billions of events before
    /// two of them met.
    pub(crate) fn seal(&self, header: &[u8], content: &[u8], random: &dyn Random) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = content.to_vec();
        let bound = Aad::from(self.bound(header));
        self.cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound, &mut sealed).expect("content is bounded");
        [nonce.as_slice(), &sealed].concat()
    }

    fn open(&self, header: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk()?;
        let mut content = sealed.to_vec();
        let opened = self.cipher.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(self.bound(header)), &mut content);
        opened.ok().map(|content| content.to_vec())
    }

    /// The header is one CBOR value, so the subject behind it cannot be moved into it.
    fn bound(&self, header: &[u8]) -> Vec<u8> {
        [header, self.subject.as_bytes()].concat()
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ContentKey({})", self.subject)
    }
}

impl Events {
    /// The content key of a subject, made if there is none. A subject that was erased gets no second one.
    pub async fn content_key(&self, subject: &str) -> Result<ContentKey, EventError> {
        loop {
            match self.find_content_key(subject).await? {
                Found::Key(key) => return Ok(*key),
                Found::Erased => return Err(EventError::Erased { subject: subject.to_owned() }),
                Found::Nothing => {}
            }
            let mut fresh = vec![0; KEY_BYTES];
            self.random.fill(&mut fresh);
            let sealed = self.sealer.seal(subject, &Secret::new(fresh)).map_err(|source| seal_failed(subject, source))?;
            let batch = Batch::new().require_absent(CONTENT_KEYS, row(subject)).put(CONTENT_KEYS, row(subject), sealed);
            match self.store.commit(batch).await {
                // Somebody else made one meanwhile: that one is the subject's.
                Ok(_) | Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Destroys the content key of a subject, and with it everything that was recorded about it.
    pub async fn erase(&self, subject: &str) -> Result<(), CommitError> {
        self.store.commit(Batch::new().put(CONTENT_KEYS, row(subject), ERASED)).await?;
        Ok(())
    }

    /// The same in a batch, with the state that goes.
    #[must_use]
    pub fn erasing(&self, batch: Batch, subject: &str) -> Batch {
        batch.put(CONTENT_KEYS, row(subject), ERASED)
    }

    async fn find_content_key(&self, subject: &str) -> Result<Found, EventError> {
        let Some(entry) = self.store.get(CONTENT_KEYS, row(subject)).await? else { return Ok(Found::Nothing) };
        if entry.value == ERASED {
            return Ok(Found::Erased);
        }
        let key = self.sealer.unseal(subject, &entry.value).map_err(|source| seal_failed(subject, source))?;
        let key = ContentKey::new(subject, &key);
        let key = key.ok_or_else(|| EventError::DamagedRow { what: format!("the content key of {subject}") })?;
        Ok(Found::Key(Box::new(key)))
    }
}

enum Found {
    Nothing,
    Key(Box<ContentKey>),
    Erased,
}

/// The keys of the subjects on one page, each looked up once.
pub(crate) struct Keys<'a> {
    events: &'a Events,
    found: HashMap<String, Found>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(events: &'a Events) -> Self {
        Self { events, found: HashMap::new() }
    }

    /// The content of an event, as far as its key is there; nothing when it does not decrypt.
    pub(crate) async fn open(&mut self, envelope: &Envelope) -> Result<Option<Content>, EventError> {
        let (subject, sealed) = match &envelope.body {
            Body::Open(content) => return Ok(Some(Content::Known(content.clone()))),
            Body::Sealed { subject, sealed } => (subject, sealed),
        };
        if !self.found.contains_key(subject) {
            let found = self.events.find_content_key(subject).await?;
            self.found.insert(subject.clone(), found);
        }
        match &self.found[subject] {
            Found::Erased | Found::Nothing => Ok(Some(Content::Erased)),
            Found::Key(key) => {
                let content = key.open(&envelope.header(), sealed).and_then(|content| from_bytes(&content));
                Ok(content.map(Content::Known))
            }
        }
    }
}

fn row(subject: &str) -> Key {
    Key::new().text(subject)
}

fn seal_failed(subject: &str, source: SealError) -> EventError {
    EventError::Seal { subject: subject.to_owned(), source }
}
