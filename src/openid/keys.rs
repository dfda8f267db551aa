//! The keys that a provider signs with (RFC 7517), as far as they may verify anything.
//!
//! Which algorithms go with a key is the key's affair and no token's. Symmetric keys, keys for encryption and kinds that are not known
//! are not taken over: what a list holds besides is no reason to refuse it.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of one provider that are looked at.
const MOST: usize = 100;
const MOST_KID_BYTES: usize = 256;

/// The keys of a provider.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet(Vec<ForeignKey>);

#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    kid: Option<String>,
    /// The one algorithm that it is for, where its owner says so.
    alg: Option<String>,
    kind: Kind,
    pub(crate) decoding: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    pub(crate) fn read(document: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
        let jwk = |value: Value| serde_json::from_value::<Jwk>(value).ok();
        let keys: Vec<_> = document.keys.into_iter().take(MOST).filter_map(|value| ForeignKey::read(jwk(value)?)).collect();
        if keys.is_empty() { Err("there is no key in it that verifies tokens".to_owned()) } else { Ok(Self(keys)) }
    }

    /// The keys that may have signed what names this one; where none is named, the only one that could.
    pub(crate) fn named(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&ForeignKey> {
        let fitting: Vec<_> = self.0.iter().filter(|key| key.goes_with(algorithm)).collect();
        match kid {
            Some(kid) => fitting.into_iter().filter(|key| key.kid.as_deref() == Some(kid)).collect(),
            None if fitting.len() == 1 => fitting,
            None => Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl ForeignKey {
    fn read(jwk: Jwk) -> Option<Self> {
        let signs = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|one| one == "verify"));
        if !signs || jwk.kid.as_ref().is_some_and(|kid| kid.len() > MOST_KID_BYTES) {
            return None;
        }
        let bytes = |text: &Option<String>| BASE64URL_NOPAD.decode(text.as_deref()?.as_bytes()).ok();
        let (kind, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (bytes(&jwk.n)?, bytes(&jwk.e)?);
                // 2048 to 8192 bits: what ring verifies with.
                let fits = (256..=1024).contains(&n.len()) && (1..=8).contains(&e.len());
                (Kind::Rsa, fits.then(|| DecodingKey::from_rsa_raw_components(&n, &e))?)
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (kind, width) = if curve == "P-256" { (Kind::P256, 32) } else { (Kind::P384, 48) };
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                let fits = x.len() == width && y.len() == width;
                (kind, fits.then(|| DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))?)
            }
            ("OKP", Some("Ed25519")) => {
                let x = bytes(&jwk.x).filter(|x| x.len() == 32)?;
                (Kind::Ed25519, DecodingKey::from_ed_der(&x))
            }
            _ => return None,
        };
        Some(Self { kid: jwk.kid, alg: jwk.alg, kind, decoding })
    }

    fn goes_with(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let of_kind = match self.kind {
            Kind::Rsa => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Kind::P256 => algorithm == ES256,
            Kind::P384 => algorithm == ES384,
            Kind::Ed25519 => algorithm == EdDSA,
        };
        let said = |alg: &String| alg.parse::<Algorithm>().is_ok_and(|alg| alg == algorithm) || (alg == "Ed25519" && algorithm == EdDSA);
        of_kind && self.alg.as_ref().is_none_or(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(keys: Value) -> Result<KeySet, String> {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn ec(kid: &str) -> Value {
        let coordinate = BASE64URL_NOPAD.encode(&[7; 32]);
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate, "kid": kid })
    }

    fn rsa(kid: &str, bytes: usize) -> Value {
        json!({ "kty": "RSA", "n": BASE64URL_NOPAD.encode(&vec![0xff; bytes]), "e": "AQAB", "kid": kid })
    }

    #[test]
    fn what_verifies_is_taken_over_and_everything_else_is_not() {
        let mut encrypting = rsa("b", 256);
        encrypting["use"] = "enc".into();
        let mut wrapping = rsa("b", 256);
        wrapping["key_ops"] = json!(["wrapKey"]);
        let secret = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "b" });
        for other in [
            encrypting,
            wrapping,
            secret,
            rsa("b", 128),
            rsa("b", 2048),
            json!("text"),
            json!({ "kty": "EC", "crv": "P-256" }),
            rsa(&"k".repeat(300), 256),
        ] {
            let keys = set(json!([ec("a"), other])).expect("a list");
            assert_eq!(keys.len(), 1, "{other}");
            assert!(set(json!([other])).is_err(), "{other}");
        }
        assert!(KeySet::read(b"[]").is_err() && set(json!([])).is_err());
        let many: Vec<_> = (0..500).map(|number| ec(&number.to_string())).collect();
        assert_eq!(set(json!(many)).expect("a list").len(), MOST);
    }

    #[test]
    fn a_key_goes_with_the_algorithms_of_its_kind_and_with_what_its_owner_says() {
        let mut only = rsa("c", 256);
        only["alg"] = "PS256".into();
        let keys = set(json!([ec("a"), rsa("b", 256), only])).expect("a list");
        let fits = |kid, algorithm| keys.named(Some(kid), algorithm).len() == 1;
        assert!(fits("a", Algorithm::ES256) && fits("b", Algorithm::RS256) && fits("b", Algorithm::PS512) && fits("c", Algorithm::PS256));
        for (kid, algorithm) in [
            ("a", Algorithm::ES384),
            ("a", Algorithm::HS256),
            ("a", Algorithm::RS256),
            ("b", Algorithm::HS256),
            ("b", Algorithm::ES256),
            ("c", Algorithm::RS256),
            ("d", Algorithm::ES256),
        ] {
            assert!(!fits(kid, algorithm), "{kid} {algorithm:?}");
        }
    }

    #[test]
    fn a_token_that_names_no_key_is_for_the_only_one() {
        assert_eq!(set(json!([ec("a")])).expect("a list").named(None, Algorithm::ES256).len(), 1);
        assert_eq!(set(json!([ec("a"), ec("b")])).expect("a list").named(None, Algorithm::ES256).len(), 0);
    }
}
