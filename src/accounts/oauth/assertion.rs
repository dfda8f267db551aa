//! Clients that prove themselves by a key of their own: a JWT that they sign, once for every request (RFC 7523 §2.2 and §3).
//!
//! The keys are those that were registered; what an assertion says about keys is only which of them to look at. Its algorithm is the
//! key's. Each one is good once, for an hour at most, and for us.

use super::{Client, ClientId};
use crate::{Accounts, StateError, rows, secret};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_store::{CommitError, Table};
use gatehouse_types::{Secret, UnixTime};
use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When assertions end that were shown, by the digest of their client and `jti`.
pub(crate) const ASSERTIONS: Table = Table::new("account-assertions");

/// RFC 7523 §2.2.
pub(crate) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What clients may sign with.
pub(crate) const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];

const MOST_BYTES: usize = 8 * 1024;
const MOST_KEY_BYTES: usize = 2048;
const MOST_JTI_BYTES: usize = 256;
/// How long an assertion is good at most: what the widespread libraries ask for. It is good once in any case.
const LONGEST: Duration = Duration::from_secs(3600);
/// By how much clocks may differ.
const SKEW: Duration = Duration::from_secs(60);
const PURPOSE: &str = "client assertion";

/// A public key of a client (RFC 7517), of a kind that assertions are verified with. A stored type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "serde_json::Value", try_from = "serde_json::Value")]
#[schemars(with = "serde_json::Map<String, serde_json::Value>")]
pub struct Jwk {
    kid: Option<String>,
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    P256 { x: Vec<u8>, y: Vec<u8> },
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

/// A key that assertions are not verified with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client's key is a public JWK: EC on P-256, OKP on Ed25519, or RSA of 2048 to 8192 bits; its private half stays with the client")]
pub struct JwkError;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    iat: Option<i64>,
    nbf: Option<i64>,
    jti: String,
}

/// One audience: an assertion for somebody else as well could be shown to us by them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    List([String; 1]),
}

impl Accounts {
    /// The client that signed an assertion for one of these audiences, if it is good and new.
    pub(crate) async fn asserted(&self, text: &Secret, audiences: &[String]) -> Result<Option<(ClientId, Client)>, StateError> {
        let Some(text) = std::str::from_utf8(text.expose()).ok().filter(|text| text.len() <= MOST_BYTES) else { return Ok(None) };
        // Not believed yet: it says whose keys to look at.
        let Some(claims) = part::<Claims>(text, 1) else { return Ok(None) };
        let Some(client) = self.client(&claims.sub).await? else { return Ok(None) };
        let now = self.clock.now();
        if !claims.are_good(audiences, now) || !client.keys.iter().any(|key| key.signed(text)) {
            return Ok(None);
        }
        let key = secret::digest_of(PURPOSE, &Secret::from(format!("{}\0{}", claims.sub, claims.jti)));
        match self.events.commit(rows::new(ASSERTIONS, key, &UnixTime::from_secs(claims.exp))).await {
            Ok(_) => Ok(Some((ClientId(claims.sub), client))),
            Err(CommitError::Conflict { .. }) => {
                crate::counters::program_refused("replayed");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets assertions that have ended.
    pub(crate) async fn forget_ended_assertions(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, ASSERTIONS, |ends: &UnixTime| *ends + SKEW + rows::CLOCK_MARGIN <= now, |batch, _, _| batch).await
    }
}

impl Claims {
    fn are_good(&self, audiences: &[String], now: UnixTime) -> bool {
        let (Audience::One(audience) | Audience::List([audience])) = &self.aud;
        let (now, soon) = (now.secs(), (now + SKEW).secs());
        let begun = [self.iat, self.nbf].into_iter().flatten().all(|at| at <= soon);
        let ends_soon = now < self.exp && self.exp <= soon.saturating_add(LONGEST.as_secs().cast_signed());
        let named = !self.jti.is_empty() && self.jti.len() <= MOST_JTI_BYTES;
        self.iss == self.sub && audiences.contains(audience) && begun && ends_soon && named
    }
}

impl Jwk {
    /// Whether this key signed a compact JWT.
    fn signed(&self, text: &str) -> bool {
        let Some(header) = part::<Header>(text, 0) else { return false };
        let named = header.kid.is_none() || self.kid.is_none() || header.kid == self.kid;
        let Some((signed, signature)) = text.rsplit_once('.').filter(|_| named && header.crit.is_none()) else { return false };
        let Ok(signature) = BASE64URL_NOPAD.decode(signature.as_bytes()) else { return false };
        if header.alg != self.algorithm() {
            return false;
        }
        let signed = signed.as_bytes();
        match &self.key {
            Key::P256 { x, y } => {
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, &signature).is_ok()
            }
            Key::Ed25519(x) => UnparsedPublicKey::new(&ED25519, x).verify(signed, &signature).is_ok(),
            Key::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, &signature).is_ok(),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self.key {
            Key::P256 { .. } => "ES256",
            Key::Ed25519(_) => "EdDSA",
            Key::Rsa { .. } => "RS256",
        }
    }
}

/// A part of a compact JWT, which has three.
fn part<T: serde::de::DeserializeOwned>(text: &str, at: usize) -> Option<T> {
    let parts: Vec<&str> = text.splitn(4, '.').collect();
    let encoded = (parts.len() == 3).then(|| parts.get(at))??;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?).ok()
}

impl TryFrom<serde_json::Value> for Jwk {
    type Error = JwkError;

    fn try_from(value: serde_json::Value) -> Result<Self, JwkError> {
        let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
        let number = |name: &str| {
            let decoded = text(name).and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok()).ok_or(JwkError)?;
            if decoded.len() <= MOST_KEY_BYTES { Ok(decoded) } else { Err(JwkError) }
        };
        // A private half in a registration is a mistake that must not be kept.
        let is_public = ["d", "k", "p", "q"].iter().all(|private| value.get(*private).is_none());
        let key = match (text("kty"), text("crv")) {
            _ if !is_public => return Err(JwkError),
            (Some("EC"), Some("P-256")) => Key::P256 { x: number("x")?, y: number("y")? },
            (Some("OKP"), Some("Ed25519")) => Key::Ed25519(number("x")?),
            (Some("RSA"), _) => Key::Rsa { n: number("n")?, e: number("e")? },
            _ => return Err(JwkError),
        };
        let fits = match &key {
            Key::P256 { x, y } => x.len() == 32 && y.len() == 32,
            Key::Ed25519(x) => x.len() == 32,
            Key::Rsa { n, e } => (256..=1024).contains(&n.len()) && (1..=8).contains(&e.len()),
        };
        let kid = text("kid").map(str::to_owned);
        if fits && kid.as_ref().is_none_or(|kid| kid.len() <= MOST_JTI_BYTES) { Ok(Self { kid, key }) } else { Err(JwkError) }
    }
}

impl From<Jwk> for serde_json::Value {
    fn from(jwk: Jwk) -> Self {
        let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let mut value = match &jwk.key {
            Key::P256 { x, y } => serde_json::json!({ "kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y) }),
            Key::Ed25519(x) => serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(x) }),
            Key::Rsa { n, e } => serde_json::json!({ "kty": "RSA", "n": encoded(n), "e": encoded(e) }),
        };
        if let (Some(object), Some(kid)) = (value.as_object_mut(), jwk.kid) {
            object.insert("kid".to_owned(), kid.into());
        }
        value
    }
}
