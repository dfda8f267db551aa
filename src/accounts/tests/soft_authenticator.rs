//! An authenticator and a browser in software, which do what is asked, or lie in one way.

use super::ISSUER;
use data_encoding::BASE64URL_NOPAD;
use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::{Value, json};

pub(super) const PRESENT: u8 = 1;
pub(super) const VERIFIED: u8 = 1 << 2;
pub(super) const ELIGIBLE: u8 = 1 << 3;
pub(super) const BACKED_UP: u8 = 1 << 4;
const CREDENTIAL: u8 = 1 << 6;

/// A passkey in an authenticator.
pub(super) struct Soft {
    key: SoftwareKey,
    pub(super) id: Vec<u8>,
    user: String,
    /// What it says next; zero where it does not count.
    pub(super) counter: u32,
    counts: bool,
}

/// What browser and authenticator say. As it is made, they are honest.
#[derive(Clone, Debug)]
pub(super) struct Saying {
    pub(super) kind: &'static str,
    pub(super) challenge: Option<String>,
    pub(super) origin: String,
    pub(super) more: Value,
    pub(super) rp_id: &'static str,
    pub(super) flags: u8,
    pub(super) format: &'static str,
    pub(super) handle: Option<String>,
    pub(super) changed_id: bool,
    pub(super) spoilt_signature: bool,
}

impl Saying {
    pub(super) fn honest() -> Self {
        Self {
            kind: "",
            challenge: None,
            origin: ISSUER.to_owned(),
            more: json!({}),
            rp_id: "gatehouse.example.com",
            flags: PRESENT | VERIFIED,
            format: "none",
            handle: None,
            changed_id: false,
            spoilt_signature: false,
        }
    }

    fn client_data(&self, ceremony: &str, options: &Value) -> Vec<u8> {
        let kind = if self.kind.is_empty() { ceremony } else { self.kind };
        let challenge = self.challenge.clone().unwrap_or_else(|| options["challenge"].as_str().expect("a challenge").to_owned());
        let mut said = json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false });
        said.as_object_mut().expect("an object").extend(self.more.as_object().expect("an object").clone());
        said.to_string().into_bytes()
    }

    fn authenticator_data(&self, more: u8, counter: u32, rest: &[u8]) -> Vec<u8> {
        let hash = digest(&SHA256, self.rp_id.as_bytes());
        [hash.as_ref(), &[self.flags | more], &counter.to_be_bytes(), rest].concat()
    }
}

impl Soft {
    pub(super) fn new(algorithm: KeyAlgorithm) -> Self {
        Self::with_id(algorithm, b"a credential of thirty-two bytes".to_vec())
    }

    pub(super) fn with_id(algorithm: KeyAlgorithm, id: Vec<u8>) -> Self {
        let key = SoftwareKey::generate(algorithm).expect("a key");
        Self { key, id, user: String::new(), counter: 0, counts: false }
    }

    pub(super) fn counting(mut self) -> Self {
        self.counts = true;
        self
    }

    /// Makes the passkey that these options ask for: `RegistrationResponseJSON`.
    pub(super) fn create(&mut self, options: &impl Serialize, saying: &Saying) -> Value {
        let options = serde_json::to_value(options).expect("JSON");
        self.user = options["user"]["id"].as_str().expect("a user").to_owned();
        let length = u16::try_from(self.id.len()).expect("short").to_be_bytes();
        let credential = [&[0; 16], length.as_slice(), &self.id, &self.cose()].concat();
        let data = saying.authenticator_data(CREDENTIAL, self.counter, &credential);
        let mut id = self.id.clone();
        id[0] ^= u8::from(saying.changed_id);
        json!({
            "id": encoded(&id), "rawId": encoded(&id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&saying.client_data("webauthn.create", &options)),
                "attestationObject": encoded(&attestation_object(saying.format, &data)),
                "transports": ["internal", "hybrid", "<script>"],
            },
        })
    }

    /// Signs what these options ask for: `AuthenticationResponseJSON`.
    pub(super) fn get(&mut self, options: &impl Serialize, saying: &Saying) -> Value {
        let options = serde_json::to_value(options).expect("JSON");
        self.counter += u32::from(self.counts);
        let data = saying.authenticator_data(0, self.counter, &[]);
        let client_data = saying.client_data("webauthn.get", &options);
        let mut signed = [data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        signed[0] ^= u8::from(saying.spoilt_signature);
        let signature = self.key.sign(&signed).expect("signed");
        let handle = saying.handle.clone().unwrap_or_else(|| self.user.clone());
        let mut answer = json!({
            "id": encoded(&self.id), "rawId": encoded(&self.id), "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encoded(&client_data), "authenticatorData": encoded(&data), "signature": encoded(&signature),
            },
        });
        if !handle.is_empty() {
            answer["response"]["userHandle"] = handle.into();
        }
        answer
    }

    fn cose(&self) -> Vec<u8> {
        let spki = self.key.public_key().spki_der();
        match self.key.public_key().algorithm() {
            KeyAlgorithm::P256 => {
                let (x, y) = spki[spki.len() - 64..].split_at(32);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
            }
            KeyAlgorithm::Ed25519 => [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], &spki[spki.len() - 32..]].concat(),
            // ES384, which nobody asked for.
            _ => {
                let (x, y) = spki[spki.len() - 96..].split_at(48);
                [&[0xa5, 1, 2, 3, 0x38, 0x22, 0x20, 2, 0x21, 0x58, 48], x, &[0x22, 0x58, 48], y].concat()
            }
        }
    }
}

fn attestation_object(format: &str, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short").to_be_bytes();
    let statement: &[u8] = if format == "none" { &[0xa0] } else { b"\xa2\x63alg\x26\x63sig\x43abc" };
    let name = [&[0x60 | u8::try_from(format.len()).expect("short")], format.as_bytes()].concat();
    [b"\xa3\x63fmt", name.as_slice(), b"\x67attStmt", statement, b"\x68authData\x59", &length, data].concat()
}

fn encoded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
