//! A signature by a passkey, checked as Web Authentication §7.2 says.

use super::{
    Rejection,
    ceremony::{Encoded, Expected, claimed_challenge},
    public_key::PublicKey,
};
use gatehouse_types::PersonId;
use gatehouse_wire::webauthn::{AuthenticatorData, MAX_CREDENTIAL_ID};
use schemars::JsonSchema;
use serde::Deserialize;

/// A browser's answer to [`RequestOptions`](super::RequestOptions): `AuthenticationResponseJSON` (§5.1.4). What else it holds is not
/// looked at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename = "PasskeyAssertion")]
pub struct Assertion {
    id: Encoded<MAX_CREDENTIAL_ID>,
    response: AssertionResponse,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: Encoded<4096>,
    authenticator_data: Encoded<4096>,
    signature: Encoded<1024>,
    user_handle: Option<Encoded<64>>,
}

/// What is kept of the passkey that is said to have signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) owner: PersonId,
    pub(super) key: &'a PublicKey,
    pub(super) counter: u32,
    pub(super) backup_eligible: bool,
    /// Whether nobody has said who they are before: then the authenticator has to.
    pub(super) discovered: bool,
}

/// A passkey has signed just now. Made in [`Assertion::verify`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asserted {
    pub(super) counter: u32,
    pub(super) backed_up: bool,
}

impl Assertion {
    /// The credential that is said to have signed.
    pub(super) fn id(&self) -> &[u8] {
        &self.id.0
    }

    /// The challenge that it claims to answer.
    pub(super) fn claimed_challenge(&self) -> Result<Vec<u8>, Rejection> {
        claimed_challenge(&self.response.client_data_json.0)
    }

    /// Checks it. The counter is looked at last: what a stranger made up must not look like a copy.
    pub(super) fn verify(&self, known: Known<'_>, expected: Expected<'_>) -> Result<Asserted, Rejection> {
        let AssertionResponse { client_data_json, authenticator_data, signature, user_handle } = &self.response;
        // Step 6: whoever the authenticator holds it for is its owner.
        match user_handle {
            Some(Encoded(handle)) if handle != known.owner.as_bytes() => return Err(Rejection::Owner),
            None if known.discovered => return Err(Rejection::Owner),
            _ => {}
        }
        let digest = expected.check_client_data(&client_data_json.0)?;
        let data = AuthenticatorData::parse(&authenticator_data.0)?;
        expected.check_authenticator(&data)?;
        // Step 19.
        if data.flags.backup_eligible() != known.backup_eligible {
            return Err(Rejection::BackupChanged);
        }
        // Step 21.
        let signed = [authenticator_data.0.as_slice(), &digest].concat();
        if !known.key.signed(&signed, &signature.0) {
            return Err(Rejection::Signature);
        }
        // Step 22. Zero both times: it does not count at all.
        if (data.counter, known.counter) != (0, 0) && data.counter <= known.counter {
            return Err(Rejection::Counter);
        }
        Ok(Asserted { counter: data.counter, backed_up: data.flags.backed_up() })
    }
}
