//! JSON Web Tokens in their compact form (RFC 7519, RFC 7515), signed by keys in custody.
//!
//! The algorithm is a property of the key and never a choice of the token: `none`, a symmetric algorithm over a public key, and
//! keys that a token brings along have no way in.

use data_encoding::BASE64URL_NOPAD;
use gatehouse_pki::{PublicKey, SignatureAlgorithm, Signer, SignerError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Ours have a few hundred bytes.
const MAX_BYTES: usize = 8 * 1024;
/// Half of an ES256 signature: one number on P-256.
const NUMBER: usize = 32;

/// What a token says about itself. Whatever else its header holds is not looked at, but `crit` (RFC 7515 §4.1.11).
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) typ: String,
    pub(super) alg: String,
    pub(super) kid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// The name of a key's algorithm (RFC 7518 §3.1, RFC 8037 §3.1), if tokens are signed with such keys.
pub(super) fn algorithm_of(key: &PublicKey) -> Option<(&'static str, SignatureAlgorithm)> {
    match key.algorithm() {
        gatehouse_pki::KeyAlgorithm::P256 => Some(("ES256", SignatureAlgorithm::EcdsaSha256)),
        gatehouse_pki::KeyAlgorithm::Rsa { .. } => Some(("RS256", SignatureAlgorithm::RsaPkcs1Sha256)),
        gatehouse_pki::KeyAlgorithm::Ed25519 => Some(("EdDSA", SignatureAlgorithm::Ed25519)),
        _ => None,
    }
}

/// Signs claims.
pub(super) fn sign(signer: &dyn Signer, kid: &str, typ: &str, claims: &impl Serialize) -> Result<String, SignerError> {
    let refused = |why: &str| SignerError::Refused(why.to_owned().into());
    let (alg, _) = algorithm_of(signer.public_key()).ok_or_else(|| refused("tokens are not signed with such a key"))?;
    let header = Header { typ: typ.to_owned(), alg: alg.to_owned(), kid: kid.to_owned(), crit: None };
    let part =
        |json: serde_json::Result<Vec<u8>>| json.map(|json| BASE64URL_NOPAD.encode(&json)).map_err(|error| refused(&error.to_string()));
    let signed = format!("{}.{}", part(serde_json::to_vec(&header))?, part(serde_json::to_vec(claims))?);
    let signature = signer.sign(signed.as_bytes())?;
    let signature = if alg == "ES256" { numbers(&signature).ok_or_else(|| refused("a signature that is none"))? } else { signature };
    Ok(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// A token that was taken apart and not believed yet.
#[derive(Debug)]
pub(super) struct Presented<'a> {
    pub(super) header: Header,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Presented<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&BASE64URL_NOPAD.decode(header.as_bytes()).ok()?).ok()?;
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        header.crit.is_none().then_some(Self { header, signed, signature })
    }

    /// The claims, if this key signed them.
    pub(super) fn claims<T: DeserializeOwned>(&self, key: &PublicKey) -> Option<T> {
        let (alg, algorithm) = algorithm_of(key)?;
        if self.header.alg != alg {
            return None;
        }
        let signature = if alg == "ES256" { der(&self.signature)? } else { self.signature.clone() };
        key.verify(algorithm, self.signed.as_bytes(), &signature).ok()?;
        let (_, claims) = self.signed.split_once('.')?;
        serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?).ok()
    }
}

/// The two numbers of an `Ecdsa-Sig-Value`, each in its full width (RFC 7518 §3.4).
fn numbers(der: &[u8]) -> Option<Vec<u8>> {
    let (&[0x30, length], rest) = der.split_first_chunk()? else { return None };
    let (first, rest) = (usize::from(length) == rest.len()).then(|| number(rest))??;
    let (second, rest) = number(rest)?;
    rest.is_empty().then(|| [first, second].concat())
}

fn number(der: &[u8]) -> Option<([u8; NUMBER], &[u8])> {
    let (&[0x02, length], rest) = der.split_first_chunk()? else { return None };
    let (digits, rest) = rest.split_at_checked(length.into())?;
    let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
    let mut wide = [0; NUMBER];
    wide.get_mut(NUMBER.checked_sub(digits.len())?..)?.copy_from_slice(digits);
    Some((wide, rest))
}

/// The other way: the shortest forms, with a zero before a number that would look negative.
fn der(numbers: &[u8]) -> Option<Vec<u8>> {
    let (first, second) = (numbers.len() == 2 * NUMBER).then(|| numbers.split_at(NUMBER))?;
    let content = [integer(first), integer(second)].concat();
    Some([&[0x30, u8::try_from(content.len()).ok()?], content.as_slice()].concat())
}

fn integer(wide: &[u8]) -> Vec<u8> {
    let zeros = wide.iter().take_while(|byte| **byte == 0).count().min(wide.len() - 1);
    let digits = &wide[zeros..];
    let sign: &[u8] = if digits[0] & 0x80 == 0 { &[] } else { &[0] };
    let length = (sign.len() + digits.len()) as u8;
    [&[0x02, length], sign, digits].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::{KeyAlgorithm, SoftwareKey};
    use serde_json::{Value, json};

    fn key(algorithm: KeyAlgorithm) -> SoftwareKey {
        SoftwareKey::generate(algorithm).expect("a key")
    }

    fn claims(text: &str, key: &PublicKey) -> Option<Value> {
        Presented::parse(text)?.claims(key)
    }

    #[test]
    fn what_a_key_signed_is_believed_under_that_key_only() {
        for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Ed25519] {
            let (own, other) = (key(algorithm), key(algorithm));
            for number in 0..50 {
                let token = sign(&own, "k1", "at+jwt", &json!({ "number": number })).expect("signed");
                assert_eq!(claims(&token, own.public_key()), Some(json!({ "number": number })));
                assert_eq!(claims(&token, other.public_key()), None);
            }
        }
    }

    #[test]
    fn the_algorithm_is_the_keys_and_not_the_tokens() {
        let own = key(KeyAlgorithm::P256);
        let token = sign(&own, "k1", "at+jwt", &json!({})).expect("signed");
        let (_, rest) = token.split_once('.').expect("parts");
        for alg in ["none", "None", "HS256", "EdDSA", "ES384", "RS256", ""] {
            let header = BASE64URL_NOPAD.encode(json!({ "typ": "at+jwt", "alg": alg, "kid": "k1" }).to_string().as_bytes());
            assert_eq!(claims(&format!("{header}.{rest}"), own.public_key()), None, "{alg}");
            let (body, _) = rest.split_once('.').expect("parts");
            assert_eq!(claims(&format!("{header}.{body}."), own.public_key()), None, "{alg} without a signature");
        }
    }

    #[test]
    fn a_changed_byte_a_critical_extension_and_another_form_are_refused() {
        let own = key(KeyAlgorithm::P256);
        let token = sign(&own, "k1", "at+jwt", &json!({ "scope": "members:read" })).expect("signed");
        let (header, rest) = token.split_once('.').expect("parts");
        let (_, signature) = rest.split_once('.').expect("parts");
        let forged = BASE64URL_NOPAD.encode(br#"{"scope":"members:write"}"#);
        assert_eq!(claims(&format!("{header}.{forged}.{signature}"), own.public_key()), None);
        let critical = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "k1", "crit": ["exp"] }).to_string();
        assert!(Presented::parse(&format!("{}.{rest}", BASE64URL_NOPAD.encode(critical.as_bytes()))).is_none());
        for other in ["", ".", "..", "a.b.c", &token.replace('.', ""), &format!("{token}="), &"a".repeat(MAX_BYTES + 1)] {
            assert!(claims(other, own.public_key()).is_none(), "{other}");
        }
    }

    #[test]
    fn numbers_keep_their_width_whatever_their_size() {
        for (first, second) in [([0_u8; NUMBER], [1; NUMBER]), ([0xff; NUMBER], [0x7f; NUMBER])] {
            let wide = [first, second].concat();
            assert_eq!(numbers(&der(&wide).expect("DER")), Some(wide));
        }
        let mut small = [0; 2 * NUMBER];
        small[NUMBER - 1] = 0x80;
        small[2 * NUMBER - 1] = 1;
        assert_eq!(der(&small).expect("DER"), [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]);
        assert_eq!(numbers(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]), Some(small.to_vec()));
        for broken in [&[][..], &[0x30], &[0x30, 0], &[0x30, 3, 2, 1], &[0x31, 6, 2, 1, 1, 2, 1, 1], &[0x30, 7, 2, 1, 1, 2, 1, 1, 0]] {
            assert_eq!(numbers(broken), None, "{broken:?}");
        }
    }
}
