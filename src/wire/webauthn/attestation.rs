//! The answer of a new credential (§6.5.4): authenticator data, and a statement about who made the authenticator.

use super::{
    AuthenticatorData, WebauthnError,
    item::{next, skip},
};
use crate::cbor::{Event, Reader};

/// How many entries are looked at: there are three.
const MOST_ENTRIES: u64 = 8;

/// An attestation object without its statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationObject<'a> {
    /// Which kind of statement there was.
    pub format: &'a str,
    /// What it was about.
    pub authenticator_data: AuthenticatorData<'a>,
}

impl<'a> AttestationObject<'a> {
    /// Takes one apart.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WebauthnError> {
        let mut reader = Reader::new(bytes);
        let Event::Map(Some(entries)) = next(&mut reader)? else { return Err(WebauthnError::Attestation) };
        if entries > MOST_ENTRIES {
            return Err(WebauthnError::Attestation);
        }
        let (mut format, mut data) = (None, None);
        for _ in 0..entries {
            let Event::Text(name) = next(&mut reader)? else { return Err(WebauthnError::Attestation) };
            let seen_before = match name {
                "fmt" => match next(&mut reader)? {
                    Event::Text(text) => format.replace(text).is_some(),
                    _ => return Err(WebauthnError::Attestation),
                },
                "authData" => match next(&mut reader)? {
                    Event::Bytes(bytes) => data.replace(bytes).is_some(),
                    _ => return Err(WebauthnError::Attestation),
                },
                _ => skip(&mut reader).map(|()| false)?,
            };
            if seen_before {
                return Err(WebauthnError::Attestation);
            }
        }
        reader.finish()?;
        let (format, data) = format.zip(data).ok_or(WebauthnError::Attestation)?;
        Ok(Self { format, authenticator_data: AuthenticatorData::parse(data)? })
    }
}
