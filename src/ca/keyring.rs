//! The keyring: every private key of this instance, sealed in the store.
//!
//! A keyring is opened with the key-encryption key and then hands out [`Signer`]s, never key bytes. A key that lives
//! in a token is an entry that names the token; the bytes never come here. New keys are handed to the caller as a
//! [`Batch`], so that a key and what it is for are written together or not at all.

use crate::{
    codec::{self, Bytes, CodecError},
    rsa_key::RsaKey,
    seal::{Binding, Envelope, Lock, LockError, StretchCost, Wrapping},
    unlock::{Key as SecretKey, PASSPHRASE_MIN, Unlock},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_events::{KeySealer, SealError};
use gatehouse_pki::{Fingerprint, KeyAlgorithm, PrivateKeyError, PublicKey, Signer, SignerError, SoftwareKey};
use gatehouse_store::{Batch, CommitError, Key, Range, ReadError, Store, Table, Version};
use gatehouse_types::{Random, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

pub(crate) const KEYRING: Table = Table::new("ca-keyring");
const LOCK: &[u8] = b"lock";

const CONTENT: &[u8] = b"content";
const CONTENT_BINDING: Binding<'_> = Binding { key_id: CONTENT, purpose: "content keys of events", version: ENTRY_VERSION };

/// The form of an entry; authenticated together with it.
const ENTRY_VERSION: u32 = 1;

/// A rotation is one batch, and a batch has a bound; an instance has some dozen keys.
const KEYS_MAX: usize = 5000;

/// Opens keys that live in tokens (PKCS#11). The composition root plugs one in when tokens are configured.
pub trait Tokens: Send + Sync {
    /// The key that this URI names (RFC 7512, without a PIN).
    ///
    /// # Errors
    /// When the token or the key in it cannot be reached.
    fn open(&self, uri: &str) -> Result<Arc<dyn Signer>, SignerError>;
}

/// The opened keyring. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Keyring {
    store: Store,
    random: Arc<dyn Random>,
    tokens: Option<Arc<dyn Tokens>>,
    opened: Arc<RwLock<Arc<Opened>>>,
    signers: Arc<Mutex<HashMap<Fingerprint, Arc<dyn Signer>>>>,
}

struct Opened {
    wrapping: Wrapping,
    lock_version: Version,
    /// Seals the content keys of events. It is sealed itself, so that a rotation need not touch a million of those.
    content: Arc<Wrapping>,
}

/// What is known of a key without opening it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    /// SHA-256 of the public key, in hexadecimal.
    pub fingerprint: String,
    /// What it is for.
    pub purpose: String,
    /// Since when it is there.
    pub created: UnixTime,
    /// The token that holds it; none for a key that is sealed here.
    pub token: Option<String>,
}

/// A new key that is not written yet.
pub struct NewKey {
    /// Signs already.
    pub signer: Arc<dyn Signer>,
    /// Writes the entry; to be committed with whatever the key is for.
    pub batch: Batch,
}

/// The keyring cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is none.
    #[error("this data directory has no keyring; `gatehouse init` makes one")]
    Missing,
    /// There is one already.
    #[error("this data directory already has a keyring")]
    Exists,
    /// It does not open.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A new passphrase is too short.
    #[error("a passphrase has at least {PASSPHRASE_MIN} bytes; four random words are a good one")]
    WeakPassphrase,
    /// There is no such key.
    #[error("the keyring has no key {0}")]
    UnknownKey(Fingerprint),
    /// The entry does not open although the key-encryption key is right.
    #[error("the entry of key {0} is damaged or was moved; restore the data directory from a backup")]
    DamagedEntry(Fingerprint),
    /// The key lives in a token, and no token is configured.
    #[error("key {key} lives in the token {uri}, and no PKCS#11 module is configured")]
    NoToken {
        /// Which key.
        key: Fingerprint,
        /// Where it lives.
        uri: String,
    },
    /// The token does not give the key.
    #[error("the token {uri} does not give the key")]
    Token {
        /// Where it should live.
        uri: String,
        /// What the token said.
        source: SignerError,
    },
    /// The token holds another key under that name.
    #[error("the token {uri} holds another key than the keyring expects")]
    OtherKey {
        /// Where it was found.
        uri: String,
    },
    /// A key could not be made or read.
    #[error("the private key could not be made or read")]
    PrivateKey(#[source] PrivateKeyError),
    /// More keys than one rotation takes.
    #[error("the keyring has more than {KEYS_MAX} keys")]
    TooMany,
    /// Another rotation came in between.
    #[error("the key-encryption key was changed meanwhile; try again with the new one")]
    ChangedMeanwhile,
    /// A row cannot be understood.
    #[error("the keyring cannot be read: {0}")]
    Row(String),
    /// The store cannot be read.
    #[error("the keyring cannot be read")]
    Read(#[from] ReadError),
    /// The store cannot be written.
    #[error("the keyring cannot be written")]
    Commit(#[source] CommitError),
}

#[derive(Clone, Serialize, Deserialize)]
struct Entry {
    purpose: String,
    created: UnixTime,
    spki: Bytes,
    custody: Custody,
}

#[derive(Clone, Serialize, Deserialize)]
enum Custody {
    Sealed(Envelope),
    Token(String),
}

impl Keyring {
    /// Makes an empty keyring that this key or passphrase opens.
    ///
    /// # Errors
    /// When there is one already, the passphrase is too short, or the store fails.
    pub async fn create(store: Store, unlock: &Unlock, cost: StretchCost, random: Arc<dyn Random>) -> Result<Self, KeyringError> {
        check_strength(unlock)?;
        let (lock, wrapping) = Lock::new(unlock, cost, &*random)?;
        let content = SecretKey::generate(&*random);
        let envelope = Envelope::seal(content.secret(), &wrapping, &CONTENT_BINDING, &*random);
        let batch = Batch::new().require_absent(KEYRING, LOCK).put(KEYRING, LOCK, codec::encode(&lock));
        let batch = batch.put(KEYRING, CONTENT, codec::encode(&envelope));
        let commit = store.commit(batch).await.map_err(|error| match error {
            CommitError::Conflict { .. } => KeyringError::Exists,
            other => KeyringError::Commit(other),
        })?;
        Ok(Self::opened(store, random, Opened { wrapping, lock_version: commit.version, content: Arc::new(content.into()) }))
    }

    /// Opens the keyring. Nothing is decrypted before the key is known to be the right one.
    ///
    /// # Errors
    /// When there is none, the key is another one, or the store fails.
    pub async fn open(store: Store, unlock: &Unlock, random: Arc<dyn Random>) -> Result<Self, KeyringError> {
        let (lock, lock_version) = read_lock(&store).await?;
        let wrapping = lock.open(unlock)?;
        let (envelope, _) = read_content(&store).await?;
        let content = envelope.open(&wrapping, &CONTENT_BINDING).ok().and_then(SecretKey::from_bytes).ok_or_else(damaged_content)?;
        Ok(Self::opened(store, random, Opened { wrapping, lock_version, content: Arc::new(content.into()) }))
    }

    /// The same keyring with tokens.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Arc<dyn Tokens>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Makes a key. It is written when the caller commits the batch.
    ///
    /// # Errors
    /// When we do not issue with such keys.
    pub fn generate(&self, purpose: &str, algorithm: KeyAlgorithm, now: UnixTime) -> Result<NewKey, KeyringError> {
        let key = SoftwareKey::generate(algorithm).map_err(KeyringError::PrivateKey)?;
        let pkcs8 = key.to_pkcs8().clone();
        Ok(self.seal_new(Arc::new(key), &pkcs8, purpose, now))
    }

    /// Makes an RSA key, which signs tokens and no certificates. It is written when the caller commits the batch. This takes a good part of
    /// a second.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn generate_rsa(&self, purpose: &str, now: UnixTime) -> Result<NewKey, KeyringError> {
        let key = RsaKey::generate().map_err(KeyringError::PrivateKey)?;
        let pkcs8 = key.to_pkcs8().clone();
        Ok(self.seal_new(Arc::new(key), &pkcs8, purpose, now))
    }

    fn seal_new(&self, signer: Arc<dyn Signer>, pkcs8: &Secret, purpose: &str, now: UnixTime) -> NewKey {
        let fingerprint = signer.public_key().fingerprint();
        let opened = self.current();
        let binding = Binding { key_id: fingerprint.as_bytes(), purpose, version: ENTRY_VERSION };
        let envelope = Envelope::seal(pkcs8, &opened.wrapping, &binding, &*self.random);
        self.prepare(signer, purpose, Custody::Sealed(envelope), opened.lock_version, now)
    }

    /// Takes a key in that lives in a token. It is written when the caller commits the batch.
    ///
    /// # Errors
    /// When the token does not give it.
    pub fn adopt_token(&self, purpose: &str, uri: &str, now: UnixTime) -> Result<NewKey, KeyringError> {
        let away = |source| KeyringError::Token { uri: uri.to_owned(), source };
        let tokens = self.tokens.as_ref().ok_or_else(|| away(SignerError::Away("no PKCS#11 module is configured".into())))?;
        let signer = tokens.open(uri).map_err(away)?;
        let version = self.current().lock_version;
        Ok(self.prepare(signer, purpose, Custody::Token(uri.to_owned()), version, now))
    }

    fn prepare(&self, signer: Arc<dyn Signer>, purpose: &str, custody: Custody, lock: Version, now: UnixTime) -> NewKey {
        let public = signer.public_key();
        let spki = public.spki_der().to_vec().into();
        let row = key_of(&public.fingerprint());
        let entry = codec::encode(&Entry { purpose: purpose.to_owned(), created: now, spki, custody });
        // An entry sealed under a key-encryption key that was just replaced would never open again.
        let batch = Batch::new().require_version(KEYRING, LOCK, lock).require_absent(KEYRING, row.clone()).put(KEYRING, row, entry);
        NewKey { signer, batch }
    }

    /// The signer of a key.
    ///
    /// # Errors
    /// When there is no such key, its entry is damaged, or its token is away.
    pub async fn signer(&self, key: &Fingerprint) -> Result<Arc<dyn Signer>, KeyringError> {
        if let Some(signer) = lock(&self.signers).get(key) {
            return Ok(signer.clone());
        }
        let row = self.store.get(KEYRING, key_of(key)).await?.ok_or(KeyringError::UnknownKey(*key))?;
        let entry: Entry = codec::decode(&row.value)?;
        let signer = self.open_entry(key, &entry)?;
        lock(&self.signers).insert(*key, signer.clone());
        Ok(signer)
    }

    fn open_entry(&self, key: &Fingerprint, entry: &Entry) -> Result<Arc<dyn Signer>, KeyringError> {
        let (signer, uri): (Arc<dyn Signer>, Option<&str>) = match &entry.custody {
            Custody::Sealed(envelope) => {
                let binding = Binding { key_id: key.as_bytes(), purpose: &entry.purpose, version: ENTRY_VERSION };
                let pkcs8 = envelope.open(&self.current().wrapping, &binding).map_err(|_| KeyringError::DamagedEntry(*key))?;
                let is_rsa = PublicKey::from_spki_der(&entry.spki).is_ok_and(|key| matches!(key.algorithm(), KeyAlgorithm::Rsa { .. }));
                let signer: Arc<dyn Signer> = match is_rsa {
                    true => Arc::new(RsaKey::from_pkcs8(pkcs8).map_err(KeyringError::PrivateKey)?),
                    false => Arc::new(SoftwareKey::from_pkcs8(pkcs8).map_err(KeyringError::PrivateKey)?),
                };
                (signer, None)
            }
            Custody::Token(uri) => {
                let tokens = self.tokens.as_ref().ok_or_else(|| KeyringError::NoToken { key: *key, uri: uri.clone() })?;
                (tokens.open(uri).map_err(|source| KeyringError::Token { uri: uri.clone(), source })?, Some(uri))
            }
        };
        // The row's name is the public key's fingerprint: neither another row's key nor another token's passes.
        match (signer.public_key().fingerprint() == *key, uri) {
            (true, _) => Ok(signer),
            (false, Some(uri)) => Err(KeyringError::OtherKey { uri: uri.to_owned() }),
            (false, None) => Err(KeyringError::DamagedEntry(*key)),
        }
    }

    /// The signer of the newest key for this purpose, if there is one.
    ///
    /// # Errors
    /// As for [`Self::signer`].
    pub async fn signer_for(&self, purpose: &str) -> Result<Option<Arc<dyn Signer>>, KeyringError> {
        let newest =
            self.entries().await?.into_iter().filter(|(_, _, entry)| entry.purpose == purpose).max_by_key(|(_, _, entry)| entry.created);
        match newest {
            Some((key, _, _)) => self.signer(&key).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether this public key is one of ours.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn holds(&self, key: &PublicKey) -> Result<bool, KeyringError> {
        Ok(self.store.get(KEYRING, key_of(&key.fingerprint())).await?.is_some())
    }

    /// All keys.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<KeyInfo>, KeyringError> {
        let info = |(key, _, entry): (Fingerprint, Version, Entry)| KeyInfo {
            fingerprint: key.to_string(),
            purpose: entry.purpose,
            created: entry.created,
            token: match entry.custody {
                Custody::Sealed(_) => None,
                Custody::Token(uri) => Some(uri),
            },
        };
        Ok(self.entries().await?.into_iter().map(info).collect())
    }

    /// Removes a key for good, when the caller commits the batch.
    pub fn remove(&self, key: &Fingerprint) -> Batch {
        lock(&self.signers).remove(key);
        Batch::new().delete(KEYRING, key_of(key))
    }

    /// Changes the key-encryption key: wraps every data key anew, in one batch with what the caller adds. Afterwards the old one opens
    /// nothing, and copies of the data directory made before still open with it only.
    ///
    /// # Errors
    /// When an entry is damaged, somebody else rotated meanwhile, or the store fails. Nothing is changed then.
    pub async fn rotate(&self, new: &Unlock, cost: StretchCost, also: Batch) -> Result<usize, KeyringError> {
        check_strength(new)?;
        let old = self.current();
        if read_lock(&self.store).await?.1 != old.lock_version {
            return Err(KeyringError::ChangedMeanwhile);
        }
        let (lock, wrapping) = Lock::new(new, cost, &*self.random)?;
        let (content, content_version) = read_content(&self.store).await?;
        let content = content.rewrap(&old.wrapping, &wrapping, &CONTENT_BINDING, &*self.random).map_err(|_| damaged_content())?;
        let mut batch = also
            .require_version(KEYRING, LOCK, old.lock_version)
            .put(KEYRING, LOCK, codec::encode(&lock))
            .require_version(KEYRING, CONTENT, content_version)
            .put(KEYRING, CONTENT, codec::encode(&content));
        let entries = self.entries().await?;
        for (key, version, entry) in &entries {
            let Custody::Sealed(envelope) = &entry.custody else { continue };
            let binding = Binding { key_id: key.as_bytes(), purpose: &entry.purpose, version: ENTRY_VERSION };
            let envelope =
                envelope.rewrap(&old.wrapping, &wrapping, &binding, &*self.random).map_err(|_| KeyringError::DamagedEntry(*key))?;
            let entry = Entry { custody: Custody::Sealed(envelope), ..entry.clone() };
            batch = batch.require_version(KEYRING, key_of(key), *version).put(KEYRING, key_of(key), codec::encode(&entry));
        }
        let commit = self.store.commit(batch).await.map_err(|error| match error {
            CommitError::Conflict { .. } => KeyringError::ChangedMeanwhile,
            other => KeyringError::Commit(other),
        })?;
        let opened = Arc::new(Opened { wrapping, lock_version: commit.version, content: old.content.clone() });
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(entries.len())
    }

    async fn entries(&self) -> Result<Vec<(Fingerprint, Version, Entry)>, KeyringError> {
        let rows = self.store.scan(KEYRING, Range::prefix(Key::new().text("key")), KEYS_MAX + 1).await?;
        if rows.len() > KEYS_MAX {
            return Err(KeyringError::TooMany);
        }
        let read = |(row, entry): (Vec<u8>, gatehouse_store::Entry)| {
            let name = row.len().checked_sub(Fingerprint::LEN).map(|from| &row[from..]);
            let key = name.and_then(|name| <[u8; Fingerprint::LEN]>::try_from(name).ok());
            let key = key.ok_or_else(|| KeyringError::Row("an entry has no key's name".to_owned()))?;
            Ok((Fingerprint::from(key), entry.version, codec::decode(&entry.value)?))
        };
        rows.into_iter().map(read).collect()
    }

    fn opened(store: Store, random: Arc<dyn Random>, opened: Opened) -> Self {
        Self { store, random, tokens: None, opened: Arc::new(RwLock::new(Arc::new(opened))), signers: Arc::default() }
    }

    fn current(&self) -> Arc<Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// `key`, then the fingerprint as it is: it has one length, so nothing has to be escaped.
fn key_of(key: &Fingerprint) -> Vec<u8> {
    let mut row = Vec::from(Key::new().text("key"));
    row.extend_from_slice(key.as_bytes());
    row
}

fn check_strength(unlock: &Unlock) -> Result<(), KeyringError> {
    match unlock {
        Unlock::Passphrase(text) if text.len() < PASSPHRASE_MIN => Err(KeyringError::WeakPassphrase),
        _ => Ok(()),
    }
}

async fn read_content(store: &Store) -> Result<(Envelope, Version), KeyringError> {
    let row = store.get(KEYRING, CONTENT).await?.ok_or_else(damaged_content)?;
    Ok((codec::decode(&row.value)?, row.version))
}

fn damaged_content() -> KeyringError {
    KeyringError::Row("the key of content keys is missing or damaged".to_owned())
}

async fn read_lock(store: &Store) -> Result<(Lock, Version), KeyringError> {
    let row = store.get(KEYRING, LOCK).await?.ok_or(KeyringError::Missing)?;
    Ok((codec::decode(&row.value)?, row.version))
}

/// Content keys of events are sealed under one key of the keyring, for each subject differently.
impl KeySealer for Keyring {
    fn seal(&self, subject: &str, key: &Secret) -> Result<Vec<u8>, SealError> {
        Ok(self.current().content.seal_bytes(CONTENT_PURPOSE, subject.as_bytes(), key, &*self.random))
    }

    fn unseal(&self, subject: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let opened = self.current().content.open_bytes(CONTENT_PURPOSE, subject.as_bytes(), sealed);
        opened.map_err(|damaged| SealError(Box::new(damaged)))
    }
}

const CONTENT_PURPOSE: &str = "gatehouse content key 1";

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<CodecError> for KeyringError {
    fn from(error: CodecError) -> Self {
        Self::Row(error.to_string())
    }
}

impl Fault for KeyringError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing | Self::UnknownKey(_) => Kind::NotFound,
            Self::Exists | Self::ChangedMeanwhile => Kind::Conflict,
            Self::Lock(LockError::Damaged) | Self::DamagedEntry(_) | Self::Row(_) | Self::PrivateKey(_) => Kind::Internal,
            Self::Lock(_) => Kind::Forbidden,
            Self::WeakPassphrase => Kind::Invalid,
            Self::NoToken { .. } | Self::Token { .. } | Self::OtherKey { .. } => Kind::Unavailable,
            Self::TooMany => Kind::Exhausted,
            Self::Read(error) => error.kind(),
            Self::Commit(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "no-keyring",
            Self::Exists => "keyring-exists",
            Self::Lock(LockError::Damaged) | Self::DamagedEntry(_) | Self::Row(_) => "keyring-damaged",
            Self::Lock(_) => "wrong-key",
            Self::WeakPassphrase => "weak-passphrase",
            Self::UnknownKey(_) => "unknown-key",
            Self::NoToken { .. } | Self::Token { .. } | Self::OtherKey { .. } => "token",
            Self::PrivateKey(_) => "private-key",
            Self::TooMany => "too-many-keys",
            Self::ChangedMeanwhile => "changed-meanwhile",
            Self::Read(error) => error.code(),
            Self::Commit(error) => error.code(),
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keyring(…)")
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "NewKey({})", self.signer.public_key().fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlock::Key as UnlockKey;
    use gatehouse_base::SystemRandom;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const CHEAP: StretchCost = StretchCost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    fn key() -> Unlock {
        Unlock::Key(UnlockKey::generate(&SystemRandom))
    }

    async fn keyring(store: &Store, unlock: &Unlock) -> Keyring {
        Keyring::create(store.clone(), unlock, CHEAP, Arc::new(SystemRandom)).await.expect("a new keyring")
    }

    async fn open(store: &Store, unlock: &Unlock) -> Result<Keyring, KeyringError> {
        Keyring::open(store.clone(), unlock, Arc::new(SystemRandom)).await
    }

    async fn add(store: &Store, keyring: &Keyring) -> Fingerprint {
        let new = keyring.generate("service.1", KeyAlgorithm::P256, NOW).expect("a key");
        store.commit(new.batch).await.expect("commits");
        new.signer.public_key().fingerprint()
    }

    #[tokio::test]
    async fn the_newest_key_for_a_purpose_is_found() {
        let (store, unlock) = (Store::memory().expect("memory"), key());
        let keyring = keyring(&store, &unlock).await;
        assert!(keyring.signer_for("service.1").await.expect("reads").is_none());
        add(&store, &keyring).await;
        let later = keyring.generate("service.1", KeyAlgorithm::P256, NOW + std::time::Duration::from_secs(1)).expect("a key");
        store.commit(later.batch).await.expect("commits");
        let found = keyring.signer_for("service.1").await.expect("reads").expect("there");
        assert_eq!(found.public_key(), later.signer.public_key());
        assert!(keyring.signer_for("another").await.expect("reads").is_none());
    }

    #[tokio::test]
    async fn a_key_signs_again_after_the_keyring_was_opened_again() {
        let (store, unlock) = (Store::memory().expect("a store"), key());
        let fingerprint = add(&store, &keyring(&store, &unlock).await).await;
        let opened = open(&store, &unlock).await.expect("opens");
        let signer = opened.signer(&fingerprint).await.expect("is there");
        let signature = signer.sign(b"message").expect("signs");
        assert!(signer.public_key().verify(signer.signature_algorithm(), b"message", &signature).is_ok());
        assert_eq!(opened.list().await.expect("lists").len(), 1);
    }

    #[tokio::test]
    async fn a_store_without_keyring_and_a_second_keyring_are_refused() {
        let (store, unlock) = (Store::memory().expect("a store"), key());
        assert!(matches!(open(&store, &unlock).await, Err(KeyringError::Missing)));
        keyring(&store, &unlock).await;
        let again = Keyring::create(store.clone(), &unlock, CHEAP, Arc::new(SystemRandom)).await;
        assert!(matches!(again, Err(KeyringError::Exists)));
    }

    #[tokio::test]
    async fn after_a_rotation_the_new_key_opens_everything_and_the_old_one_nothing() {
        let (store, old, new) =
            (Store::memory().expect("a store"), key(), Unlock::Passphrase(Secret::from("four random words".to_owned())));
        let before = keyring(&store, &old).await;
        let fingerprint = add(&store, &before).await;
        assert_eq!(before.rotate(&new, CHEAP, Batch::new()).await.expect("rotates"), 1);
        assert!(matches!(open(&store, &old).await, Err(KeyringError::Lock(LockError::WantsPassphrase))));
        let opened = open(&store, &new).await.expect("opens");
        assert!(opened.signer(&fingerprint).await.is_ok());
        // The handle that rotated goes on working.
        let second = add(&store, &before).await;
        assert!(open(&store, &new).await.expect("opens").signer(&second).await.is_ok());
    }

    #[tokio::test]
    async fn the_old_key_is_refused_after_a_rotation_from_key_to_key() {
        let (store, old, new) = (Store::memory().expect("a store"), key(), key());
        keyring(&store, &old).await.rotate(&new, CHEAP, Batch::new()).await.expect("rotates");
        assert!(matches!(open(&store, &old).await, Err(KeyringError::Lock(LockError::WrongKey))));
        assert!(open(&store, &new).await.is_ok());
    }

    #[tokio::test]
    async fn a_sealed_content_key_opens_for_its_subject_only_and_also_after_a_rotation() {
        let (store, unlock, next) = (Store::memory().expect("a store"), key(), key());
        let keyring = keyring(&store, &unlock).await;
        let content = Secret::new(vec![5; 32]);
        let sealed = KeySealer::seal(&keyring, "device/1", &content).expect("seals");
        assert!(keyring.unseal("device/2", &sealed).is_err());
        assert!(keyring.unseal("device/1", &sealed[1..]).is_err());
        assert!(keyring.unseal("device/1", &sealed[..5]).is_err());
        keyring.rotate(&next, CHEAP, Batch::new()).await.expect("rotates");
        let opened = open(&store, &next).await.expect("opens");
        assert_eq!(opened.unseal("device/1", &sealed).expect("opens"), content);
    }

    #[tokio::test]
    async fn a_key_made_under_a_replaced_key_encryption_key_is_not_written() {
        let (store, unlock) = (Store::memory().expect("a store"), key());
        let keyring = keyring(&store, &unlock).await;
        let late = keyring.generate("service.1", KeyAlgorithm::P256, NOW).expect("a key");
        keyring.rotate(&key(), CHEAP, Batch::new()).await.expect("rotates");
        assert!(matches!(store.commit(late.batch).await, Err(CommitError::Conflict { .. })));
    }

    #[tokio::test]
    async fn a_second_rotation_from_a_stale_handle_is_refused_and_changes_nothing() {
        let (store, unlock, first, second) = (Store::memory().expect("a store"), key(), key(), key());
        let one = keyring(&store, &unlock).await;
        add(&store, &one).await;
        let two = open(&store, &unlock).await.expect("opens");
        one.rotate(&first, CHEAP, Batch::new()).await.expect("rotates");
        assert!(matches!(two.rotate(&second, CHEAP, Batch::new()).await, Err(KeyringError::ChangedMeanwhile)));
        assert!(open(&store, &first).await.is_ok());
        assert!(open(&store, &second).await.is_err());
    }

    #[tokio::test]
    async fn an_entry_moved_to_another_keys_row_does_not_open() {
        let (store, unlock) = (Store::memory().expect("a store"), key());
        let keyring = keyring(&store, &unlock).await;
        let (one, two) = (add(&store, &keyring).await, add(&store, &keyring).await);
        let row = store.get(KEYRING, key_of(&one)).await.expect("reads").expect("is there");
        store.commit(Batch::new().put(KEYRING, key_of(&two), row.value)).await.expect("commits");
        let opened = open(&store, &unlock).await.expect("opens");
        assert!(matches!(opened.signer(&two).await, Err(KeyringError::DamagedEntry(key)) if key == two));
        assert!(opened.signer(&one).await.is_ok());
    }

    #[tokio::test]
    async fn a_short_passphrase_is_refused_for_a_new_keyring_and_for_a_rotation() {
        let short = Unlock::Passphrase(Secret::from("hunter2".to_owned()));
        let store = Store::memory().expect("a store");
        let refused = Keyring::create(store.clone(), &short, CHEAP, Arc::new(SystemRandom)).await;
        assert!(matches!(refused, Err(KeyringError::WeakPassphrase)));
        assert!(matches!(keyring(&store, &key()).await.rotate(&short, CHEAP, Batch::new()).await, Err(KeyringError::WeakPassphrase)));
    }

    /// All bytes under a folder, but for blocks of zeros: engines reserve space.
    fn bytes_under(folder: &std::path::Path) -> Vec<u8> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                found.extend(bytes_under(&path));
            } else {
                let bytes = std::fs::read(&path).expect("a file");
                bytes.chunks(4096).filter(|block| block.iter().any(|byte| *byte != 0)).for_each(|block| found.extend_from_slice(block));
            }
        }
        found
    }

    fn occurs(needle: &[u8], hay: &[u8]) -> bool {
        hay.windows(needle.len()).any(|window| window == needle)
    }

    #[tokio::test]
    async fn no_private_byte_reaches_the_disk_or_a_text() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::open(&gatehouse_store::Config::new(folder.path().join("store"))).await.expect("a store");
        let (old, new) = (UnlockKey::generate(&SystemRandom), UnlockKey::generate(&SystemRandom));
        let keyring = keyring(&store, &Unlock::Key(old.clone())).await;
        let fingerprint = add(&store, &keyring).await;
        keyring.rotate(&Unlock::Key(new.clone()), CHEAP, Batch::new()).await.expect("rotates");
        let row = store.get(KEYRING, key_of(&fingerprint)).await.expect("reads").expect("is there");
        let entry: Entry = codec::decode(&row.value).expect("decodes");
        let Custody::Sealed(envelope) = &entry.custody else { panic!("it is sealed here") };
        let binding = Binding { key_id: fingerprint.as_bytes(), purpose: &entry.purpose, version: ENTRY_VERSION };
        let pkcs8 = envelope.open(&keyring.current().wrapping, &binding).expect("opens");
        // RFC 5915: the private key is an OCTET STRING of 32 bytes behind the version.
        let at = pkcs8.expose().windows(5).position(|bytes| bytes == [0x02, 0x01, 0x01, 0x04, 0x20]).expect("a P-256 key") + 5;
        let scalar = pkcs8.expose()[at..at + 32].to_vec();
        let texts = format!("{keyring:?} {:?}", keyring.list().await);
        let wrong = open(&store, &Unlock::Key(old.clone())).await.expect_err("the old key");
        drop((keyring, store));
        let mut seen = bytes_under(folder.path());
        assert!(occurs(b"service.1", &seen), "the search finds what is there");
        seen.extend_from_slice(texts.as_bytes());
        seen.extend_from_slice(format!("{wrong} {wrong:?}").as_bytes());
        for secret in [scalar.as_slice(), old.secret().expose(), new.secret().expose()] {
            let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
            for form in [secret, hexadecimal.as_bytes(), &STANDARD.encode(secret).as_bytes()[..40], &secret[..16], &secret[16..]] {
                assert!(!occurs(form, &seen));
            }
        }
    }

    /// Stands in for a PKCS#11 module; the real one has tests of its own.
    struct OneKey(Arc<SoftwareKey>);

    impl Tokens for OneKey {
        fn open(&self, uri: &str) -> Result<Arc<dyn Signer>, SignerError> {
            if uri == "pkcs11:object=root" { Ok(self.0.clone()) } else { Err(SignerError::Away("no such object".into())) }
        }
    }

    fn token() -> Arc<OneKey> {
        Arc::new(OneKey(Arc::new(SoftwareKey::generate(KeyAlgorithm::P384).expect("a key"))))
    }

    #[tokio::test]
    async fn a_key_in_a_token_is_an_entry_that_names_the_token() {
        let (store, unlock) = (Store::memory().expect("a store"), key());
        let with = keyring(&store, &unlock).await.with_tokens(token());
        let new = with.adopt_token("root.1", "pkcs11:object=root", NOW).expect("the token gives it");
        let fingerprint = new.signer.public_key().fingerprint();
        store.commit(new.batch).await.expect("commits");
        assert!(with.signer(&fingerprint).await.is_ok());
        let without = open(&store, &unlock).await.expect("opens");
        assert!(matches!(without.signer(&fingerprint).await, Err(KeyringError::NoToken { .. })));
        let other = open(&store, &unlock).await.expect("opens").with_tokens(token());
        assert!(matches!(other.signer(&fingerprint).await, Err(KeyringError::OtherKey { .. })));
        for (keyring, uri) in [(&with, "pkcs11:object=leaf"), (&without, "pkcs11:object=root")] {
            assert!(matches!(keyring.adopt_token("root.1", uri, NOW), Err(KeyringError::Token { .. })), "{uri}");
        }
    }
}
