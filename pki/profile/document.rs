//! The written form of a profile, and what must hold before it is one.

use super::{
    Addition, CommonNameFrom, Kind, Need, Organisation, Profile, ProfileError, Rules,
    usage::{KeyUse, Purpose},
};
use crate::key::{KeyAlgorithm, Role};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{collections::BTreeMap, time::Duration};

/// A profile as its file says it. Unknown keys are refused, so that a misspelt restriction is not an absent one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Document {
    name: String,
    about: String,
    kind: WrittenKind,
    path_length: Option<u8>,
    #[serde(default)]
    rules: Vec<Rules>,
    keys: Vec<WrittenKey>,
    #[serde(default)]
    key_usage: Vec<KeyUse>,
    #[serde(default)]
    extended_key_usage: Vec<Purpose>,
    #[serde(default)]
    hosts: Need,
    #[serde(default)]
    crl: Need,
    subject: Subject,
    validity: Validity,
    #[serde(default)]
    option: BTreeMap<String, OptionTable>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WrittenKind {
    Root,
    Intermediate,
    Leaf,
}

#[derive(Clone, Copy, Deserialize)]
enum WrittenKey {
    #[serde(rename = "P-256")]
    P256,
    #[serde(rename = "P-384")]
    P384,
    Ed25519,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Subject {
    #[serde(default)]
    organisation: WrittenOrganisation,
    #[serde(default)]
    serial_number: Need,
    common_name: CommonNameFrom,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "\"required\", \"optional\", \"refused\" or { fixed = \"the organisation's name\" }")]
enum WrittenOrganisation {
    Need(Need),
    #[serde(rename_all = "kebab-case")]
    Fixed {
        fixed: String,
    },
}

impl Default for WrittenOrganisation {
    fn default() -> Self {
        Self::Need(Need::Refused)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Validity {
    lifetime: Span,
    #[serde(default = "default_shortest")]
    shortest: Span,
    #[serde(default = "default_back_dated")]
    back_dated: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct OptionTable {
    about: String,
    #[serde(default)]
    extended_key_usage: Vec<Purpose>,
}

/// A span of time like `90d`, or `no-end`, which ends with the year 9999.
#[derive(Clone, Copy)]
enum Span {
    Of(Duration),
    NoEnd,
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "no-end" {
            return Ok(Self::NoEnd);
        }
        let seconds = match text.as_bytes().last() {
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            _ => 0,
        };
        let count = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<u32>().ok());
        match count {
            Some(count @ 1..) if seconds > 0 => Ok(Self::Of(Duration::from_secs(u64::from(count) * seconds))),
            _ => Err(D::Error::custom(format!("{text:?} is no span of time; write a number and m, h or d, like 90d, or no-end"))),
        }
    }
}

fn default_shortest() -> Span {
    Span::Of(SHORTEST)
}

fn default_back_dated() -> Span {
    Span::Of(BACK_DATED)
}

impl Document {
    /// Checks what the types cannot say.
    pub(super) fn check(self) -> Result<Profile, ProfileError> {
        let name = self.name.clone();
        let broken = |rule: String| ProfileError::Rule { profile: name.clone(), rule };
        let plain = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        if !plain(&self.name) {
            return Err(broken("a profile's name has 1 to 64 of the characters a-z, 0-9 and -".to_owned()));
        }
        if self.about.trim().is_empty() {
            return Err(broken("`about` says in a sentence what the certificate is for".to_owned()));
        }
        let kind = match (self.kind, self.path_length) {
            (WrittenKind::Leaf, None) => Kind::Leaf,
            (WrittenKind::Leaf, Some(_)) => return Err(broken("a leaf has no `path-length` (RFC 5280 §4.2.1.9)".to_owned())),
            (_, None) => return Err(broken("a CA needs a `path-length`: how many CAs may follow below it".to_owned())),
            (WrittenKind::Root, Some(path_length)) => Kind::Root { path_length },
            (WrittenKind::Intermediate, Some(path_length)) => Kind::Intermediate { path_length },
        };
        match kind {
            Kind::Leaf => self.check_leaf().map_err(broken)?,
            Kind::Root { .. } | Kind::Intermediate { .. } => self.check_ca().map_err(broken)?,
        }
        let keys = self.check_keys(kind).map_err(broken)?;
        let validity = &self.validity;
        let shortest = match validity.shortest {
            Span::Of(shortest) if shortest >= SHORTEST => shortest,
            _ => return Err(broken("`shortest` is at least 2h: devices refuse what ends within the hour".to_owned())),
        };
        let back_dated = match validity.back_dated {
            Span::Of(span) if (BACK_DATED..=MOST_BACK_DATED).contains(&span) => span,
            _ => {
                return Err(broken("`back-dated` is at least 65m, because devices' clocks may be an hour slow, and at most 2d".to_owned()));
            }
        };
        let lifetime = match validity.lifetime {
            Span::NoEnd => UnixTime::NO_END.since(UnixTime::EPOCH),
            Span::Of(lifetime) if lifetime >= shortest => lifetime,
            Span::Of(_) => return Err(broken("`lifetime` is not below `shortest`".to_owned())),
        };
        let organisation = match self.subject.organisation {
            WrittenOrganisation::Need(need) => Organisation::Fact(need),
            WrittenOrganisation::Fixed { fixed } => {
                Organisation::Fixed(fixed.parse().map_err(|error| broken(format!("`organisation`: {error}")))?)
            }
        };
        let mut options = BTreeMap::new();
        for (option, table) in self.option {
            let adds_nothing_new = table.extended_key_usage.iter().any(|purpose| self.extended_key_usage.contains(purpose));
            if !plain(&option) || table.about.trim().is_empty() || table.extended_key_usage.is_empty() || adds_nothing_new {
                return Err(broken(format!(
                    "the option {option:?} needs a plain name, an `about`, and purposes that the profile does not have already"
                )));
            }
            if kind != Kind::Leaf {
                return Err(broken(format!("the option {option:?} adds purposes, which a CA does not have")));
            }
            options.insert(option, Addition { purposes: table.extended_key_usage });
        }
        Ok(Profile {
            name: self.name,
            about: self.about,
            kind,
            rules: self.rules,
            keys,
            key_uses: self.key_usage,
            purposes: self.extended_key_usage,
            hosts: self.hosts,
            crl: self.crl,
            organisation,
            serial_number: self.subject.serial_number,
            common_name: self.subject.common_name,
            lifetime,
            shortest,
            back_dated,
            options,
        })
    }

    fn check_leaf(&self) -> Result<(), String> {
        if self.key_usage.is_empty() || repeats(&self.key_usage) {
            return Err("a leaf needs a `key-usage`, each once: digital-signature, key-agreement".to_owned());
        }
        if self.extended_key_usage.is_empty() || repeats(&self.extended_key_usage) {
            return Err("a leaf needs an `extended-key-usage`, each once: a certificate without one is good for every purpose".to_owned());
        }
        let ed25519 = self.keys.iter().any(|key| matches!(key, WrittenKey::Ed25519));
        if ed25519 && self.key_usage.contains(&KeyUse::KeyAgreement) {
            return Err("Ed25519 keys sign and agree on nothing: remove key-agreement or the key (RFC 8410 §5)".to_owned());
        }
        if self.extended_key_usage.contains(&Purpose::OcfIdentity)
            && !matches!(self.subject.common_name, CommonNameFrom::Device | CommonNameFrom::Hub)
        {
            return Err(
                "ocf-identity is for certificates whose common name is a device or a hub; offer it as an option otherwise".to_owned()
            );
        }
        if self.extended_key_usage.contains(&Purpose::ServerAuth)
            && self.hosts == Need::Refused
            && !self.rules.contains(&Rules::OcfIdentity)
        {
            return Err("a server's certificate names its `hosts`".to_owned());
        }
        Ok(())
    }

    fn check_ca(&self) -> Result<(), String> {
        if !self.key_usage.is_empty() || !self.extended_key_usage.is_empty() {
            return Err(
                "a CA has no `key-usage` or `extended-key-usage` here: it signs certificates and revocation lists, nothing else".to_owned()
            );
        }
        if self.hosts != Need::Refused || !matches!(self.subject.common_name, CommonNameFrom::CommonName) {
            return Err("a CA is named by a common-name of its own and has no hosts".to_owned());
        }
        if !self.rules.is_empty() {
            return Err("the `rules` are for leaves".to_owned());
        }
        Ok(())
    }

    fn check_keys(&self, kind: Kind) -> Result<Vec<KeyAlgorithm>, String> {
        let keys: Vec<KeyAlgorithm> = self
            .keys
            .iter()
            .map(|key| match key {
                WrittenKey::P256 => KeyAlgorithm::P256,
                WrittenKey::P384 => KeyAlgorithm::P384,
                WrittenKey::Ed25519 => KeyAlgorithm::Ed25519,
            })
            .collect();
        let role = match kind {
            Kind::Leaf => Role::Leaf,
            Kind::Intermediate { .. } => Role::Intermediate,
            Kind::Root { .. } => Role::Anchor,
        };
        if keys.is_empty() || repeats(&keys) || !keys.iter().all(|key| role.issues(*key)) {
            return Err("`keys` lists the accepted kinds, each once: P-256, P-384, Ed25519".to_owned());
        }
        Ok(keys)
    }
}

fn repeats<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().any(|(at, item)| list[..at].contains(item))
}

/// Devices whose clock is an hour slow must find a new certificate valid already.
pub(super) const BACK_DATED: Duration = Duration::from_secs(65 * 60);
const MOST_BACK_DATED: Duration = Duration::from_secs(2 * 86_400);
/// Devices refuse credentials that end within the hour.
const SHORTEST: Duration = Duration::from_secs(2 * 3600);
