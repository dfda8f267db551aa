//! A new passkey, checked as Web Authentication §7.1 says.

use super::{
    Rejection,
    ceremony::{Encoded, Expected, claimed_challenge},
    public_key::PublicKey,
};
use gatehouse_wire::webauthn::{AttestationObject, MAX_CREDENTIAL_ID};
use schemars::JsonSchema;
use serde::Deserialize;

/// How many ways to reach an authenticator are remembered, each of so many characters.
const MOST_TRANSPORTS: usize = 8;
const MOST_TRANSPORT_CHARACTERS: usize = 32;

/// A browser's answer to [`CreationOptions`](super::CreationOptions): `RegistrationResponseJSON` (§5.1.1). What else it holds is not
/// looked at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename = "PasskeyRegistration")]
pub struct Registration {
    id: Encoded<MAX_CREDENTIAL_ID>,
    response: AttestationResponse,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Encoded<4096>,
    attestation_object: Encoded<32768>,
    #[serde(default)]
    transports: Vec<String>,
}

/// A passkey that an authenticator has made for us just now. Made in [`Registration::verify`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) id: Vec<u8>,
    pub(super) key: PublicKey,
    pub(super) counter: u32,
    pub(super) backup_eligible: bool,
    pub(super) backed_up: bool,
    pub(super) transports: Vec<String>,
}

impl Registration {
    /// The challenge that it claims to answer.
    pub(super) fn claimed_challenge(&self) -> Result<Vec<u8>, Rejection> {
        claimed_challenge(&self.response.client_data_json.0)
    }

    /// Checks it. That nobody has the credential yet (step 26) is checked by the row that it gets.
    pub(super) fn verify(&self, expected: Expected<'_>) -> Result<Registered, Rejection> {
        expected.check_client_data(&self.response.client_data_json.0)?;
        // Step 13; the algorithm (step 20) and the length of the id (step 25) are part of what can be read.
        let data = AttestationObject::parse(&self.response.attestation_object.0)?.authenticator_data;
        expected.check_authenticator(&data)?;
        let credential = data.credential.ok_or(Rejection::NoCredential)?;
        if credential.id != self.id.0 {
            return Err(Rejection::CredentialId);
        }
        let flags = data.flags;
        Ok(Registered {
            id: credential.id.to_vec(),
            key: credential.key.into(),
            counter: data.counter,
            backup_eligible: flags.backup_eligible(),
            backed_up: flags.backed_up(),
            transports: self.transports(),
        })
    }

    /// Words that browsers know; they get them back (§5.8.4).
    fn transports(&self) -> Vec<String> {
        let is_word = |word: &&String| word.len() <= MOST_TRANSPORT_CHARACTERS && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        self.response.transports.iter().filter(is_word).take(MOST_TRANSPORTS).cloned().collect()
    }
}
