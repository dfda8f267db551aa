//! What a certificate of ours may be used for.

use serde::Deserialize;
use std::{fmt, str::FromStr};

/// A bit of the key usage (RFC 5280 §4.2.1.3) that a leaf can have. Those of a CA follow from its being one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyUse {
    DigitalSignature,
    KeyAgreement,
}

impl fmt::Display for KeyUse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DigitalSignature => "digital-signature",
            Self::KeyAgreement => "key-agreement",
        })
    }
}

/// A purpose in the extended key usage (RFC 5280 §4.2.1.12).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Purpose {
    ServerAuth,
    ClientAuth,
    /// 1.3.6.1.4.1.44924.1.6: the subject is the OCF device that its common name says.
    OcfIdentity,
    Other(Vec<u64>),
}

impl Purpose {
    pub(crate) fn arcs(&self) -> Vec<u64> {
        match self {
            Self::ServerAuth => vec![1, 3, 6, 1, 5, 5, 7, 3, 1],
            Self::ClientAuth => vec![1, 3, 6, 1, 5, 5, 7, 3, 2],
            Self::OcfIdentity => vec![1, 3, 6, 1, 4, 1, 44924, 1, 6],
            Self::Other(arcs) => arcs.clone(),
        }
    }
}

impl FromStr for Purpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [("server-auth", Self::ServerAuth), ("client-auth", Self::ClientAuth), ("ocf-identity", Self::OcfIdentity)];
        if let Some((_, purpose)) = named.iter().find(|(name, _)| *name == text) {
            return Ok(purpose.clone());
        }
        let arcs = text
            .split('.')
            .map(|arc| arc.parse::<u32>().ok().filter(|number| number.to_string() == arc).map(u64::from))
            .collect::<Option<Vec<u64>>>();
        match arcs.as_deref() {
            // RFC 5280 §4.2.1.12: a certificate for every purpose is a certificate for the wrong one.
            Some([2, 5, 29, 37, 0]) => Err("anyExtendedKeyUsage (2.5.29.37.0) is never issued; name the purposes".to_owned()),
            // X.660: the first arc is 0 to 2, and below 0 and 1 the second is below 40.
            Some([0 | 1, 0..40, _, ..] | [2, _, _, ..]) => Ok(named
                .into_iter()
                .map(|(_, purpose)| purpose)
                .find(|purpose| Some(purpose.arcs()) == arcs)
                .unwrap_or(Self::Other(arcs.unwrap_or_default()))),
            _ => Err(format!("{text:?} is no purpose; write server-auth, client-auth, ocf-identity or an object identifier with dots")),
        }
    }
}

impl TryFrom<String> for Purpose {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerAuth => out.write_str("server-auth"),
            Self::ClientAuth => out.write_str("client-auth"),
            Self::OcfIdentity => out.write_str("ocf-identity"),
            Self::Other(arcs) => out.write_str(&arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_are_written_by_name_or_by_identifier() {
        assert_eq!("client-auth".parse(), Ok(Purpose::ClientAuth));
        assert_eq!("1.3.6.1.4.1.44924.1.6".parse(), Ok(Purpose::OcfIdentity));
        assert_eq!("1.2.3".parse::<Purpose>().expect("an identifier").to_string(), "1.2.3");
        for bad in ["", "any", "1", "1.2", "3.1.1", "1.40.1", "1.2.03", "1.2.x", "2.5.29.37.0", "2.999.4294967296"] {
            assert!(bad.parse::<Purpose>().is_err(), "{bad}");
        }
    }
}
