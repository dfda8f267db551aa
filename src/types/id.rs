//! Identities that are UUIDs, one type each, so that they cannot be swapped.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// A text that is not the one form of an id that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a UUID in its lower-case, hyphenated form.
    #[error("an id is a UUID in lower case with hyphens, like 921e7b6e-5ff7-4559-60d9-bf03bc730cc4")]
    Form,
    /// The nil UUID names nobody.
    #[error("the nil UUID is not an id")]
    Nil,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(into = "String", try_from = "String")]
        #[schemars(extend("format" = "uuid"))]
        pub struct $name(Uuid);

        impl $name {
            /// Makes the id from sixteen random bytes, marked as a version 4 UUID (RFC 9562 §5.4).
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The sixteen bytes, as keys in the store hold them.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl TryFrom<Uuid> for $name {
            type Error = IdError;

            fn try_from(uuid: Uuid) -> Result<Self, IdError> {
                if uuid.is_nil() { Err(IdError::Nil) } else { Ok(Self(uuid)) }
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(canonical_uuid(text)?)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(out)
            }
        }
    };
}

id! {
    /// A tenant. Everything that is kept is owned by one.
    OrganisationId
}
id! {
    /// A device as it names itself (the OCF `di`). Unique within an organisation only.
    DeviceId
}
id! {
    /// Somebody with an account.
    PersonId
}
id! {
    /// A cloud that devices are sent to (the OCF `sid`), as its gateway's certificate names it.
    HubId
}
id! {
    /// The devices of an organisation that are admitted by the same rules.
    GroupId
}

/// Parses the one text form that devices and certificates use. Other spellings of the same UUID (upper case,
/// braces, no hyphens) are refused, so that two texts never name one thing.
fn canonical_uuid(text: &str) -> Result<Uuid, IdError> {
    let uuid = Uuid::try_parse(text).map_err(|_| IdError::Form)?;
    let mut buffer = Uuid::encode_buffer();
    if uuid.as_hyphenated().encode_lower(&mut buffer) == text { Ok(uuid) } else { Err(IdError::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "921e7b6e-5ff7-4559-60d9-bf03bc730cc4";

    #[test]
    fn the_canonical_form_round_trips() {
        let id: DeviceId = TEXT.parse().expect("canonical");
        assert_eq!(id.to_string(), TEXT);
        assert_eq!(serde_json::to_string(&id).expect("json"), format!("\"{TEXT}\""));
        assert_eq!(serde_json::from_str::<DeviceId>(&format!("\"{TEXT}\"")).expect("json"), id);
    }

    #[test]
    fn other_spellings_of_a_uuid_are_refused() {
        let spellings = [TEXT.to_uppercase(), TEXT.replace('-', ""), format!("{{{TEXT}}}"), format!("urn:uuid:{TEXT}"), format!(" {TEXT}")];
        for text in spellings {
            assert_eq!(text.parse::<DeviceId>(), Err(IdError::Form), "{text}");
        }
    }

    #[test]
    fn the_nil_uuid_is_refused() {
        assert_eq!(Uuid::nil().to_string().parse::<OrganisationId>(), Err(IdError::Nil));
    }

    #[test]
    fn random_bytes_become_a_version_4_uuid() {
        let uuid = Uuid::from(OrganisationId::from_random([0xff; 16]));
        assert_eq!(uuid.get_version_num(), 4);
    }
}
