//! What both ceremonies check, step by step, and the names of what can be wrong.

use super::Challenge;
use data_encoding::BASE64URL_NOPAD;
use gatehouse_wire::webauthn::{AuthenticatorData, WebauthnError};
use ring::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;

/// Why an authenticator's answer is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// What the browser says of the ceremony cannot be read.
    #[error("the client data cannot be read")]
    ClientData,
    /// It was for the other ceremony.
    #[error("this was made for another purpose")]
    Type,
    /// It was not ours, not for this, used before, or too old.
    #[error("this challenge was used, or is older than five minutes, or is not for this; begin again")]
    Challenge,
    /// A page of another site asked.
    #[error("this was made on a page of another site")]
    Origin,
    /// A page of ours asked within one of another site.
    #[error("this was made on a page within another site's page")]
    CrossOrigin,
    /// What the authenticator says cannot be read.
    #[error(transparent)]
    Authenticator(#[from] WebauthnError),
    /// It was made for another site.
    #[error("this was made for another site")]
    RelyingParty,
    /// Nobody was there.
    #[error("the authenticator has not seen anybody")]
    UserPresence,
    /// The authenticator has not made sure who was there.
    #[error("the authenticator has not made sure who is there; it needs a PIN, a finger or the like")]
    UserVerification,
    /// It is on other devices and cannot be.
    #[error("the authenticator contradicts itself about backups")]
    Backup,
    /// It could not be on other devices and can now, or the other way round.
    #[error("the authenticator says another thing about backups than when the passkey was made")]
    BackupChanged,
    /// There is no new credential.
    #[error("the authenticator has made no passkey")]
    NoCredential,
    /// The browser names another credential than the authenticator.
    #[error("the browser names another passkey than the authenticator")]
    CredentialId,
    /// There is no such passkey, or it is not for this account.
    #[error("this passkey is not known here")]
    Unknown,
    /// The authenticator holds it for somebody else.
    #[error("this passkey is somebody else's")]
    Owner,
    /// The signature is not the passkey's.
    #[error("the signature does not fit")]
    Signature,
    /// It has counted less than before: there are two of it.
    #[error("this passkey has counted backwards: there may be a copy of it, and it was refused")]
    Counter,
}

/// For whom authenticators make passkeys: our name, and the only origin whose pages may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RelyingParty {
    /// As browsers write it: without the usual port.
    origin: String,
    /// The host alone.
    pub(super) id: String,
}

/// Bytes as browsers send them, at most so many.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(super) struct Encoded<const MOST: usize>(#[schemars(with = "String")] pub(super) Vec<u8>);

/// Which ceremony (§5.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ceremony {
    Create,
    Get,
}

/// What an answer has to fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) party: &'a RelyingParty,
    pub(super) ceremony: Ceremony,
    pub(super) challenge: &'a Challenge,
    /// Whether the authenticator has to make sure who is there.
    pub(super) verified: bool,
}

/// What the browser says of the ceremony (§5.8.1). Whatever else it says is not looked at, as the specification wants.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<serde_json::Value>,
}

impl RelyingParty {
    /// Who we are by this address. An address without a name has no passkeys: browsers make none for it.
    pub(crate) fn of(issuer: &str) -> Option<Self> {
        let authority = issuer.strip_prefix("https://")?.split('/').next()?.to_ascii_lowercase();
        let id = authority.split(':').next().filter(|host| !host.is_empty() && !host.starts_with('['))?.to_owned();
        let authority = authority.strip_suffix(":443").unwrap_or(&authority);
        id.parse::<IpAddr>().is_err().then(|| Self { origin: format!("https://{authority}"), id })
    }
}

impl Ceremony {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// The challenge that somebody says to have signed. Nothing is believed yet.
pub(super) fn claimed_challenge(client_data: &[u8]) -> Result<Vec<u8>, Rejection> {
    let ClientData { challenge, .. } = read(client_data)?;
    BASE64URL_NOPAD.decode(challenge.as_bytes()).map_err(|_| Rejection::Challenge)
}

impl Expected<'_> {
    /// §7.1 steps 5 to 12, §7.2 steps 8 to 14: what the browser says. Answers the digest that the authenticator signs.
    pub(super) fn check_client_data(&self, json: &[u8]) -> Result<[u8; 32], Rejection> {
        let ClientData { kind, challenge, origin, cross_origin, top_origin } = read(json)?;
        if kind != self.ceremony.name() {
            return Err(Rejection::Type);
        }
        if challenge != BASE64URL_NOPAD.encode(self.challenge.bytes()) {
            return Err(Rejection::Challenge);
        }
        if origin != self.party.origin {
            return Err(Rejection::Origin);
        }
        if cross_origin == Some(true) || top_origin.is_some() {
            return Err(Rejection::CrossOrigin);
        }
        Ok(digest_of(json))
    }

    /// §7.1 steps 14 to 18, §7.2 steps 15 to 18: for whom, and who was there.
    pub(super) fn check_authenticator(&self, data: &AuthenticatorData<'_>) -> Result<(), Rejection> {
        if data.rp_id_hash != digest_of(self.party.id.as_bytes()) {
            return Err(Rejection::RelyingParty);
        }
        if !data.flags.user_present() {
            return Err(Rejection::UserPresence);
        }
        if self.verified && !data.flags.user_verified() {
            return Err(Rejection::UserVerification);
        }
        if data.flags.backed_up() && !data.flags.backup_eligible() {
            return Err(Rejection::Backup);
        }
        Ok(())
    }
}

fn read(client_data: &[u8]) -> Result<ClientData, Rejection> {
    serde_json::from_slice(client_data).map_err(|_| Rejection::ClientData)
}

pub(super) fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut whole = [0; 32];
    whole.copy_from_slice(digest(&SHA256, bytes).as_ref());
    whole
}

impl<const MOST: usize> TryFrom<String> for Encoded<MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = text.len() <= MOST.div_ceil(3) * 4;
        // Some write the padding that the specification leaves out.
        let decoded = fits.then(|| BASE64URL_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()).flatten();
        decoded.filter(|bytes| bytes.len() <= MOST).map(Self).ok_or_else(|| format!("base64url of {MOST} bytes at most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_origin_is_the_issuers_as_browsers_write_it() {
        let party = |issuer: &str| RelyingParty::of(issuer).map(|RelyingParty { origin, id }| (origin, id));
        let expected = |origin: &str, id: &str| Some((origin.to_owned(), id.to_owned()));
        assert_eq!(party("https://Gate.example.com:8443"), expected("https://gate.example.com:8443", "gate.example.com"));
        assert_eq!(party("https://gate.example.com:443"), expected("https://gate.example.com", "gate.example.com"));
        assert_eq!(party("https://gate.example.com/tenant"), expected("https://gate.example.com", "gate.example.com"));
        assert_eq!(party("https://localhost:8443"), expected("https://localhost:8443", "localhost"));
        for nameless in ["https://192.0.2.1:8443", "https://[2001:db8::1]:8443", "https://", "http://gate.example.com"] {
            assert_eq!(party(nameless), None, "{nameless}");
        }
    }

    #[test]
    fn more_bytes_than_there_may_be_are_not_even_decoded() {
        let read = |text: &str| serde_json::from_value::<Encoded<4>>(text.into()).ok().map(|Encoded(bytes)| bytes);
        assert_eq!(read("AQIDBA"), Some(vec![1, 2, 3, 4]));
        assert_eq!(read("AQIDBA=="), Some(vec![1, 2, 3, 4]));
        for bad in ["AQIDBAU", "AQID+A", "A", "AQIDBAUGBwg"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
