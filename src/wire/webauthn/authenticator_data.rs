//! Authenticator data (§6.1): for whom, whether somebody was there, how often it signed, and a new credential where there is one.

use super::{CoseKey, MAX_CREDENTIAL_ID, WebauthnError, item};
use crate::cbor::{Event, Reader};

/// What an authenticator signs, besides the client's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatorData<'a> {
    /// The SHA-256 digest of the id of who asked.
    pub rp_id_hash: [u8; 32],
    /// What it says about the moment.
    pub flags: Flags,
    /// How often it has signed; always zero where it does not count.
    pub counter: u32,
    /// The new credential.
    pub credential: Option<AttestedCredential<'a>>,
}

/// A new credential (§6.5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestedCredential<'a> {
    /// The make of the authenticator; zeros where it is not told.
    pub aaguid: [u8; 16],
    /// What it is asked for by.
    pub id: &'a [u8],
    /// The public half of its key.
    pub key: CoseKey,
}

/// The flags (§6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Somebody was there (UP).
    pub fn user_present(self) -> bool {
        self.has(0)
    }

    /// Somebody showed that they are the owner, by a finger or a PIN (UV).
    pub fn user_verified(self) -> bool {
        self.has(2)
    }

    /// The credential may be on other devices as well (BE).
    pub fn backup_eligible(self) -> bool {
        self.has(3)
    }

    /// It is (BS).
    pub fn backed_up(self) -> bool {
        self.has(4)
    }

    fn has_credential(self) -> bool {
        self.has(6)
    }

    fn has_extensions(self) -> bool {
        self.has(7)
    }

    fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl<'a> AuthenticatorData<'a> {
    /// Takes them apart.
    ///
    /// # Errors
    /// They are none, or something is left over.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let (&rp_id_hash, rest) = bytes.split_first_chunk().ok_or(WebauthnError::Length)?;
        let (&[flags], rest) = rest.split_first_chunk().ok_or(WebauthnError::Length)?;
        let (&counter, rest) = rest.split_first_chunk().ok_or(WebauthnError::Length)?;
        let flags = Flags(flags);
        let (credential, rest) = match flags.has_credential() {
            true => AttestedCredential::parse(rest).map(|(credential, rest)| (Some(credential), rest))?,
            false => (None, rest),
        };
        let rest = if flags.has_extensions() { after_extensions(rest)? } else { rest };
        if !rest.is_empty() {
            return Err(WebauthnError::Length);
        }
        Ok(Self { rp_id_hash, flags, counter: u32::from_be_bytes(counter), credential })
    }
}

impl<'a> AttestedCredential<'a> {
    fn parse(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), WebauthnError> {
        let (&aaguid, rest) = bytes.split_first_chunk().ok_or(WebauthnError::Length)?;
        let (&length, rest) = rest.split_first_chunk().ok_or(WebauthnError::Length)?;
        let length = usize::from(u16::from_be_bytes(length));
        if !(1..=MAX_CREDENTIAL_ID).contains(&length) {
            return Err(WebauthnError::CredentialId);
        }
        let (id, rest) = rest.split_at_checked(length).ok_or(WebauthnError::Length)?;
        let (key, rest) = item::first(rest)?;
        Ok((Self { aaguid, id, key: CoseKey::parse(key)? }, rest))
    }
}

/// What follows the map of extensions.
fn after_extensions(bytes: &[u8]) -> Result<&[u8], WebauthnError> {
    let (extensions, rest) = item::first(bytes)?;
    match Reader::new(extensions).read()? {
        Some(Event::Map(_)) => Ok(rest),
        _ => Err(WebauthnError::Extensions),
    }
}
