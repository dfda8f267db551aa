//! What browsers are told to ask authenticators for, in the JSON forms of Web Authentication §5.4 and §5.5.

use super::{ceremony::RelyingParty, challenge::LIFETIME, keeping::Passkey, public_key::ALGORITHMS};
use crate::person::Person;
use data_encoding::BASE64URL_NOPAD;
use gatehouse_types::PersonId;
use schemars::JsonSchema;
use serde::Serialize;

const KIND: &str = "public-key";

/// What a new passkey is asked for with: `PublicKeyCredentialCreationOptionsJSON`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename = "PasskeyCreationOptions")]
pub struct CreationOptions {
    rp: Party,
    user: User,
    challenge: String,
    pub_key_cred_params: Vec<Algorithm>,
    timeout: u64,
    exclude_credentials: Vec<Descriptor>,
    authenticator_selection: Selection,
    attestation: &'static str,
}

/// What a signature is asked for with: `PublicKeyCredentialRequestOptionsJSON`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename = "PasskeyRequestOptions")]
pub struct RequestOptions {
    challenge: String,
    timeout: u64,
    rp_id: String,
    allow_credentials: Vec<Descriptor>,
    user_verification: &'static str,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Party {
    id: String,
    name: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    name: String,
    display_name: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Algorithm {
    #[serde(rename = "type")]
    kind: &'static str,
    alg: i32,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Descriptor {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    transports: Vec<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    user_verification: &'static str,
}

impl CreationOptions {
    pub(super) fn new(party: &RelyingParty, name: &str, (id, person): (PersonId, &Person), challenge: &[u8], known: &[Passkey]) -> Self {
        Self {
            rp: Party { id: party.id.clone(), name: name.to_owned() },
            user: User { id: BASE64URL_NOPAD.encode(id.as_bytes()), name: person.email.to_string(), display_name: person.name.clone() },
            challenge: BASE64URL_NOPAD.encode(challenge),
            pub_key_cred_params: ALGORITHMS.map(|alg| Algorithm { kind: KIND, alg }).into(),
            timeout: timeout(),
            exclude_credentials: known.iter().map(Descriptor::of).collect(),
            // Keys without room for one are good as second factors.
            authenticator_selection: Selection { resident_key: "preferred", user_verification: "preferred" },
            attestation: "none",
        }
    }
}

impl RequestOptions {
    /// One of these passkeys, or with none of them whichever the authenticator has for us; and whether it has to make sure who is there.
    pub(super) fn new(party: &RelyingParty, challenge: &[u8], allowed: &[Passkey], verified: bool) -> Self {
        Self {
            challenge: BASE64URL_NOPAD.encode(challenge),
            timeout: timeout(),
            rp_id: party.id.clone(),
            allow_credentials: allowed.iter().map(Descriptor::of).collect(),
            user_verification: if verified { "required" } else { "preferred" },
        }
    }
}

impl Descriptor {
    fn of(passkey: &Passkey) -> Self {
        Self { kind: KIND, id: BASE64URL_NOPAD.encode(&passkey.id), transports: passkey.transports.clone() }
    }
}

/// In milliseconds.
fn timeout() -> u64 {
    LIFETIME.as_secs() * 1000
}
