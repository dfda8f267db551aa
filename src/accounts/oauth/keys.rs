//! The keys that sign tokens: one signs, the next one is known before it does, and the last one is known until everything that it
//! signed has ended.

use super::jwt::{self, Presented};
use crate::{StateError, config::TokenKeys, rows};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::{Clock, Fault, Kind};
use gatehouse_ca::{Keyring, KeyringError};
use gatehouse_events::Events;
use gatehouse_pki::{Fingerprint, KeyAlgorithm, PublicKey, Signer, SignerError};
use gatehouse_store::{
    CommitError, Range, Table,
    codec::{self, Bytes},
};
use gatehouse_types::UnixTime;
use ring::digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

/// Keys by their `kid`.
pub(crate) const SIGNING_KEYS: Table = Table::new("account-signing-keys");

const PURPOSE: &str = "tokens";
const DAY: Duration = Duration::from_secs(86_400);
/// How long a key signs.
const SIGNS: Duration = Duration::from_secs(90 * 86_400);
/// How long before that it is published: longer than anybody caches the list.
const KNOWN_BEFORE: Duration = DAY;
/// How long after that it is published: longer than any token lives.
const KNOWN_AFTER: Duration = Duration::from_secs(2 * 86_400);

/// The bytes of an RSA modulus of ours, and the DER of the exponent that follows it in a `SubjectPublicKeyInfo`.
const RSA_MODULUS: usize = 256;
const RSA_EXPONENT: &[u8] = &[2, 3, 1, 0, 1];

/// A key as it is kept; its private half is in the keyring. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    fingerprint: Bytes,
    signs_from: UnixTime,
    signs_until: UnixTime,
}

#[derive(Clone)]
struct Live {
    kid: String,
    signer: Arc<dyn Signer>,
    kept: Kept,
}

/// The keys of this issuer. Clones are the same keys.
#[derive(Clone)]
pub struct SigningKeys {
    events: Events,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    kind: TokenKeys,
    live: Arc<RwLock<Vec<Live>>>,
}

/// A key cannot be made, found or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The keyring does not give it.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// It does not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl SigningKeys {
    /// The keys in this keyring. None signs before [`Self::upkeep`] was called.
    pub fn new(events: Events, keyring: Keyring, clock: Arc<dyn Clock>, kind: TokenKeys) -> Self {
        Self { events, keyring, clock, kind, live: Arc::default() }
    }

    /// Makes the next key when it is time, drops those whose tokens have ended, and takes over what other processes made.
    ///
    /// # Errors
    /// The keyring or the store fails; the keys stay as they were.
    pub async fn upkeep(&self) -> Result<(), KeyError> {
        let now = self.clock.now();
        let mut live = self.read().await?;
        let last = live.iter().map(|key| key.kept.signs_until).max();
        if last.is_none_or(|last| last <= now + KNOWN_BEFORE) {
            // The first key signs at once: nobody has cached a list without it.
            let signs_from = last.map_or(now, |last| last.max(now));
            self.make(Kept { fingerprint: Bytes::default(), signs_from, signs_until: signs_from + SIGNS }, now).await?;
            live = self.read().await?;
        }
        let (live, over): (Vec<_>, Vec<_>) = live.into_iter().partition(|key| now < key.kept.signs_until + KNOWN_AFTER);
        let batch = over.iter().fold(gatehouse_store::Batch::new(), |batch, key| batch.delete(SIGNING_KEYS, key.kid.as_bytes()));
        if !batch.is_empty() {
            self.events.commit(batch).await.map_err(StateError::Commit)?;
        }
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
        Ok(())
    }

    async fn read(&self) -> Result<Vec<Live>, KeyError> {
        let rows = self.events.store().scan(SIGNING_KEYS, Range::all(), 100).await.map_err(StateError::Read)?;
        let mut live = Vec::new();
        for (kid, entry) in rows {
            let kept: Kept = codec::decode(&entry.value).map_err(StateError::from)?;
            let fingerprint: Fingerprint = <[u8; Fingerprint::LEN]>::try_from(&*kept.fingerprint)
                .map_err(|_| StateError::Damaged("a signing key's fingerprint".to_owned()))?
                .into();
            let signer = self.keyring.signer(&fingerprint).await?;
            live.push(Live { kid: String::from_utf8_lossy(&kid).into_owned(), signer, kept });
        }
        Ok(live)
    }

    async fn make(&self, kept: Kept, now: UnixTime) -> Result<(), KeyError> {
        let key = match self.kind {
            TokenKeys::Es256 => self.keyring.generate(PURPOSE, KeyAlgorithm::P256, now)?,
            TokenKeys::EdDsa => self.keyring.generate(PURPOSE, KeyAlgorithm::Ed25519, now)?,
            TokenKeys::Rs256 => {
                let keyring = self.keyring.clone();
                let made = tokio::task::spawn_blocking(move || keyring.generate_rsa(PURPOSE, now)).await;
                made.map_err(|error| SignerError::Away(Box::new(error)))??
            }
        };
        let fingerprint = key.signer.public_key().fingerprint();
        let kid = BASE64URL_NOPAD.encode(&fingerprint.as_bytes()[..12]);
        let kept = Kept { fingerprint: fingerprint.as_bytes().to_vec().into(), ..kept };
        match self.events.commit(key.batch.and(rows::new(SIGNING_KEYS, kid.as_bytes(), &kept))).await {
            // Another process changed the keyring's lock at this moment; the next upkeep comes soon.
            Ok(_) | Err(CommitError::Conflict { .. }) => Ok(()),
            Err(error) => Err(StateError::Commit(error).into()),
        }
    }

    /// The list of public keys (RFC 7517 §5).
    pub(crate) fn published(&self) -> Value {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<Value> = live.iter().filter_map(|key| public(&key.kid, key.signer.public_key())).collect();
        json!({ "keys": keys })
    }

    /// The names of the algorithms of all keys that are published.
    pub(crate) fn algorithms(&self) -> Vec<&'static str> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = live.iter().filter_map(|key| Some(jwt::algorithm_of(key.signer.public_key())?.0)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The digest that goes with the algorithm of the key that signs.
    pub(crate) fn token_digest(&self) -> &'static digest::Algorithm {
        match self.signing().map(|key| key.signer.public_key().algorithm()) {
            Some(KeyAlgorithm::Ed25519) => &digest::SHA512,
            _ => &digest::SHA256,
        }
    }

    /// Signs claims with the key whose time it is.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, KeyError> {
        let key = self.signing().ok_or_else(|| SignerError::Away("no key signs tokens at this time".into()))?;
        Ok(jwt::sign(&*key.signer, &key.kid, typ, claims)?)
    }

    fn signing(&self) -> Option<Live> {
        let now = self.clock.now();
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.iter().find(|key| key.kept.signs_from <= now && now < key.kept.signs_until).cloned()
    }

    /// The claims of a token of this type that one of our keys signed.
    pub(crate) fn claims<T: DeserializeOwned>(&self, typ: &str, text: &str) -> Option<T> {
        let presented = Presented::parse(text)?;
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let key = live.iter().find(|key| key.kid == presented.header.kid)?;
        if presented.header.typ.eq_ignore_ascii_case(typ) { presented.claims(key.signer.public_key()) } else { None }
    }
}

/// A key as RFC 7518 §6.2.1 and RFC 8037 §2 write it.
fn public(kid: &str, key: &PublicKey) -> Option<Value> {
    let (alg, _) = jwt::algorithm_of(key)?;
    let spki = key.spki_der();
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let tail = |length: usize| spki.len().checked_sub(length).and_then(|at| spki.get(at..));
    if alg == "ES256" {
        let (x, y) = tail(64)?.split_at(32);
        return Some(json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": alg, "kid": kid, "x": encoded(x), "y": encoded(y) }));
    }
    if alg == "RS256" {
        // Ours have 2048 bits, and the exponent 65537 in its DER behind them.
        let (n, exponent) = tail(RSA_MODULUS + RSA_EXPONENT.len())?.split_at(RSA_MODULUS);
        let is_ours = exponent == RSA_EXPONENT;
        let (n, e) = (encoded(n), encoded(&RSA_EXPONENT[2..]));
        return is_ours.then(|| json!({ "kty": "RSA", "use": "sig", "alg": alg, "kid": kid, "n": n, "e": e }));
    }
    Some(json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": alg, "kid": kid, "x": encoded(tail(32)?) }))
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("SigningKeys")
    }
}

impl Fault for KeyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Keyring(error) => error.kind(),
            Self::Signer(_) => Kind::Unavailable,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Keyring(error) => error.code(),
            Self::Signer(_) => "token-key",
            Self::State(error) => error.code(),
        }
    }
}
