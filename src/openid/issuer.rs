//! The name of a provider, which is also where its documents begin.

use gatehouse_outgoing::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

const MOST_BYTES: usize = 512;

/// A provider's name (OpenID Connect Core §2): an `https` URL without query and fragment. Two are the same where every character is.
/// A stored type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(extend("format" = "uri"))]
pub struct Issuer(#[schemars(with = "String")] String);

/// A text that names no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an issuer is https://HOST/… without a user, a query and a fragment, with {MOST_BYTES} characters at most")]
pub struct IssuerError;

impl Issuer {
    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// OpenID Connect Discovery 1.0 §4.
    pub(crate) fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.strip_suffix('/').unwrap_or(&self.0))
    }
}

impl TryFrom<String> for Issuer {
    type Error = IssuerError;

    fn try_from(text: String) -> Result<Self, IssuerError> {
        let target = Target::parse(&text).map_err(|_| IssuerError)?;
        if text.len() <= MOST_BYTES && target.is_encrypted() && !text.contains(['?', '#']) { Ok(Self(text)) } else { Err(IssuerError) }
    }
}

impl std::str::FromStr for Issuer {
    type Err = IssuerError;

    fn from_str(text: &str) -> Result<Self, IssuerError> {
        Self::try_from(text.to_owned())
    }
}

impl From<Issuer> for String {
    fn from(issuer: Issuer) -> Self {
        issuer.0
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_encrypted_address_with_nothing_behind_it() {
        for (text, discovery) in [
            ("https://login.example.com", "https://login.example.com/.well-known/openid-configuration"),
            ("https://login.example.com/", "https://login.example.com/.well-known/openid-configuration"),
            ("https://kc.example.com:8443/realms/a", "https://kc.example.com:8443/realms/a/.well-known/openid-configuration"),
        ] {
            assert_eq!(text.parse::<Issuer>().map(|issuer| issuer.discovery()).as_deref(), Ok(discovery));
        }
        for wrong in
            ["", "login.example.com", "http://login.example.com", "https://a@b/", "https://a/?x", "https://a/#x", "https://2130706433/"]
        {
            assert_eq!(wrong.parse::<Issuer>(), Err(IssuerError), "{wrong}");
        }
        assert!(format!("https://a.example/{}", "b".repeat(MOST_BYTES)).parse::<Issuer>().is_err());
    }
}
