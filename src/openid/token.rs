//! Tokens of foreign providers, from text to what they say.
//!
//! A token is [`Signed`] when a key that its issuer publishes made its signature, by an algorithm that goes with that key. Nothing
//! else makes one, and claims are read from nowhere else.

use crate::{Directory, Issuer, TokenRefused, counters, directory::Kept};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_types::{Secret, UnixTime};
use jsonwebtoken::{Algorithm, Validation, dangerous};
use ring::digest;
use serde_json::{Map, Value};
use std::time::Duration;

/// The longest token.
const MOST_BYTES: usize = 16 * 1024;
/// The longest claim that names somebody.
const MOST_CLAIM_BYTES: usize = 255;

/// A token that its issuer signed. Whether it is for us and good now is not known yet.
#[derive(Clone, Debug)]
pub struct Signed {
    issuer: Issuer,
    typ: Option<String>,
    algorithm: Algorithm,
    claims: Map<String, Value>,
}

/// What an access token has to be.
#[derive(Clone, Copy, Debug)]
pub struct AccessExpected<'a> {
    /// For whom: one of its audiences.
    pub audience: &'a str,
    /// Of which types, in lower case (RFC 9068 §2.1 has `at+jwt`).
    pub types: &'a [String],
}

/// What an ID token has to be.
#[derive(Clone, Copy, Debug)]
pub struct IdentityExpected<'a> {
    /// Which client it was made for.
    pub client: &'a str,
    /// To which request it is the answer.
    pub nonce: &'a str,
    /// What came with it.
    pub access_token: &'a Secret,
}

/// An access token that is good.
#[derive(Clone, Debug)]
pub struct Access {
    claims: Map<String, Value>,
    /// When it ends.
    pub expires: UnixTime,
}

/// Somebody whom a provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who: never another one's, and the only thing that counts (OpenID Connect Core §5.7).
    pub subject: String,
    /// The address, as far as the provider has one.
    pub email: Option<String>,
    /// Whether the provider says that the address is theirs.
    pub email_verified: bool,
    /// What to call them.
    pub name: Option<String>,
    /// With what they have shown who they are (RFC 8176).
    pub methods: Vec<String>,
}

/// Whom a token says that it is from. Nothing about it is believed: it says whose keys to look at.
pub fn issuer_of(token: &Secret) -> Option<String> {
    let text = text_of(token).ok()?;
    let claims: Map<String, Value> = dangerous::insecure_decode_claims(text).ok()?;
    Some(claims.get("iss")?.as_str()?.to_owned())
}

impl Directory {
    /// Checks who signed a token.
    ///
    /// # Errors
    /// This issuer did not, or its keys are not there.
    pub async fn signed(&self, issuer: &Issuer, token: &Secret) -> Result<Signed, TokenRefused> {
        let signed = self.checked(issuer, token).await;
        if signed.is_err() {
            counters::judged(&signed);
        }
        signed
    }

    async fn checked(&self, issuer: &Issuer, token: &Secret) -> Result<Signed, TokenRefused> {
        let text = text_of(token)?;
        let header = Header::read(text)?;
        let kept = self.current(issuer).await?;
        if let Some(signed) = header.signed_by(&kept, issuer, text)? {
            return Ok(signed);
        }
        let knows = |kept: &Kept| !kept.keys.named(header.kid.as_deref(), header.algorithm).is_empty();
        let kept = self.asked_again(issuer, knows).await?.ok_or(TokenRefused::UnknownKey)?;
        header.signed_by(&kept, issuer, text)?.ok_or(TokenRefused::UnknownKey)
    }
}

/// What a token says about its signature.
struct Header {
    typ: Option<String>,
    algorithm: Algorithm,
    kid: Option<String>,
}

impl Header {
    fn read(text: &str) -> Result<Self, TokenRefused> {
        let (header, _) = text.split_once('.').ok_or(TokenRefused::Malformed)?;
        let header = BASE64URL_NOPAD.decode(header.as_bytes()).map_err(|_| TokenRefused::Malformed)?;
        let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|_| TokenRefused::Malformed)?;
        let word = |name: &str| header.get(name).and_then(Value::as_str);
        if ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
            return Err(TokenRefused::Critical);
        }
        let algorithm = word("alg").and_then(|alg| alg.parse().ok()).filter(|algorithm| {
            // `none` does not parse. A secret that both sides know is no signature.
            !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
        });
        Ok(Self {
            typ: word("typ").map(str::to_owned),
            algorithm: algorithm.ok_or(TokenRefused::Algorithm)?,
            kid: word("kid").map(str::to_owned),
        })
    }

    /// The token, if a key of the issuer signed it; nothing where the issuer has no key that could have.
    fn signed_by(&self, kept: &Kept, issuer: &Issuer, text: &str) -> Result<Option<Signed>, TokenRefused> {
        let keys = kept.keys.named(self.kid.as_deref(), self.algorithm);
        if keys.is_empty() {
            return Ok(None);
        }
        let mut validation = Validation::new(self.algorithm);
        // The signature only: claims are judged below, with our clock.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        let claims = keys.iter().find_map(|key| jsonwebtoken::decode::<Map<String, Value>>(text, &key.decoding, &validation).ok());
        let claims = claims.ok_or(TokenRefused::Signature)?.claims;
        if claims.get("iss").and_then(Value::as_str) != Some(issuer.as_str()) {
            return Err(TokenRefused::Issuer);
        }
        Ok(Some(Signed { issuer: issuer.clone(), typ: self.typ.clone(), algorithm: self.algorithm, claims }))
    }
}

impl Signed {
    /// Who signed it.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// When it ends, or ended, as it says itself.
    pub fn ends(&self) -> Option<UnixTime> {
        self.number("exp").map(UnixTime::from_secs)
    }

    /// Judges it as an access token (RFC 9068 §4).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn access(&self, expected: AccessExpected<'_>, now: UnixTime, skew: Duration) -> Result<Access, TokenRefused> {
        let judged = self.judged_access(expected, now, skew);
        counters::judged(&judged);
        judged
    }

    fn judged_access(&self, expected: AccessExpected<'_>, now: UnixTime, skew: Duration) -> Result<Access, TokenRefused> {
        let typ = self.short_type();
        if !expected.types.contains(&typ) {
            return Err(TokenRefused::Type { found: typ });
        }
        if !self.audiences().contains(&expected.audience) {
            return Err(TokenRefused::Audience);
        }
        let expires = self.lives(now, skew)?;
        Ok(Access { claims: self.claims.clone(), expires })
    }

    /// Judges it as an ID token (OpenID Connect Core §3.1.3.7).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn identity(&self, expected: IdentityExpected<'_>, now: UnixTime, skew: Duration) -> Result<Identity, TokenRefused> {
        let judged = self.judged_identity(expected, now, skew);
        counters::judged(&judged);
        judged
    }

    fn judged_identity(&self, expected: IdentityExpected<'_>, now: UnixTime, skew: Duration) -> Result<Identity, TokenRefused> {
        let typ = self.short_type();
        // An access token or a logout token for the same client is something else.
        if !(typ.is_empty() || typ == "jwt") {
            return Err(TokenRefused::Type { found: typ });
        }
        let audiences = self.audiences();
        if !audiences.contains(&expected.client) {
            return Err(TokenRefused::Audience);
        }
        let party = self.claims.get("azp");
        if (audiences.len() > 1 || party.is_some()) && party.and_then(Value::as_str) != Some(expected.client) {
            return Err(TokenRefused::AuthorizedParty);
        }
        self.lives(now, skew)?;
        self.number("iat").ok_or_else(|| TokenRefused::Claim { claim: "iat".to_owned() })?;
        if self.claims.get("nonce").and_then(Value::as_str) != Some(expected.nonce) {
            return Err(TokenRefused::Nonce);
        }
        if let Some(hash) = self.claims.get("at_hash")
            && hash.as_str() != Some(self.hash_of(expected.access_token).as_str())
        {
            return Err(TokenRefused::AccessTokenHash);
        }
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let methods = self.claims.get("amr").and_then(Value::as_array).into_iter().flatten();
        Ok(Identity {
            subject: claim(&self.claims, "sub")?,
            email: text("email"),
            // The word "true" is none: who writes it does not say what the standard asks.
            email_verified: self.claims.get("email_verified") == Some(&Value::Bool(true)),
            name: text("name"),
            methods: methods.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// RFC 7515 §4.1.9: what has no slash is below `application/`.
    fn short_type(&self) -> String {
        let typ = self.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        typ.strip_prefix("application/").map_or(typ.clone(), str::to_owned)
    }

    fn audiences(&self) -> Vec<&str> {
        match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    fn lives(&self, now: UnixTime, skew: Duration) -> Result<UnixTime, TokenRefused> {
        let ends = self.number("exp").ok_or(TokenRefused::NoEnd)?;
        let (now, skew) = (now.secs(), skew.as_secs().cast_signed());
        if now.saturating_sub(skew) >= ends {
            return Err(TokenRefused::Expired);
        }
        let begun = ["nbf", "iat"].iter().all(|name| match self.claims.get(*name) {
            None => true,
            Some(_) => self.number(name).is_some_and(|at| at <= now.saturating_add(skew)),
        });
        if begun { Ok(UnixTime::from_secs(ends)) } else { Err(TokenRefused::NotYet) }
    }

    /// A `NumericDate` (RFC 7519 §2), of which whole seconds count.
    fn number(&self, name: &str) -> Option<i64> {
        let value = self.claims.get(name)?;
        let whole = |number: f64| (number.abs() < 1e12).then_some(number as i64);
        value.as_i64().filter(|number| number.abs() < 1_000_000_000_000).or_else(|| whole(value.as_f64()?))
    }

    /// OpenID Connect Core §3.1.3.6; for Ed25519 with the digest that it uses itself.
    fn hash_of(&self, access_token: &Secret) -> String {
        let algorithm = match self.algorithm {
            Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &digest::SHA384,
            Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &digest::SHA512,
            _ => &digest::SHA256,
        };
        let digest = digest::digest(algorithm, access_token.expose());
        let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
        BASE64URL_NOPAD.encode(half)
    }
}

impl Access {
    /// A claim that names somebody or something.
    ///
    /// # Errors
    /// It is missing, or is no text of a usual length.
    pub fn claim(&self, name: &str) -> Result<String, TokenRefused> {
        claim(&self.claims, name)
    }
}

/// A claim by its whole name; names may hold dots and slashes, and lead nowhere into other claims.
fn claim(claims: &Map<String, Value>, name: &str) -> Result<String, TokenRefused> {
    let found = claims.get(name).and_then(Value::as_str).filter(|text| (1..=MOST_CLAIM_BYTES).contains(&text.len()));
    found.map(str::to_owned).ok_or_else(|| TokenRefused::Claim { claim: name.to_owned() })
}

fn text_of(token: &Secret) -> Result<&str, TokenRefused> {
    let text = std::str::from_utf8(token.expose()).map_err(|_| TokenRefused::Malformed)?;
    if text.len() <= MOST_BYTES && text.split('.').count() == 3 { Ok(text) } else { Err(TokenRefused::Malformed) }
}
