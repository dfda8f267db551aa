//! Certificates of clients (RFC 8705): clients that prove themselves by one, and tokens that are worth something over one only.
//!
//! The chain was judged inside the handshake, by `pki`, on a listener that asks for one; what is here only asks whose it is. A listener that
//! asks no client for a certificate proves none, and a bound token is worth nothing there.

use super::{Client, GrantError, client::Authentication};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use gatehouse_pki::{DistinguishedName, Fingerprint, GeneralName, VerifiedChain};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, sync::Arc};

const MOST_NAME_BYTES: usize = 1024;

/// The certificate that the connection of a request has proven. In the extensions of such a request.
#[derive(Clone, Debug)]
pub(crate) struct Certified(pub(crate) Arc<VerifiedChain>);

/// By which certificate a client proves itself (RFC 8705 §2.1.2): exactly one name, and perhaps an anchor. Part of a stored type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// The subject, as RFC 4514 writes it (`CN=agent,O=Acme`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_dn: Option<String>,
    /// A host among the alternative names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub san_dns: Option<String>,
    /// A URI among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub san_uri: Option<String>,
    /// An address among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub san_ip: Option<IpAddr>,
    /// A mailbox among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub san_email: Option<String>,
    /// The SHA-256 of the anchor under which it has to stand, in hexadecimal. Without one any anchor of the listener will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
}

/// What a token is bound to (RFC 8705 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    thumbprint: String,
}

impl Confirmation {
    /// Whether this is the certificate.
    pub(crate) fn is_met_by(&self, certified: Option<&Certified>) -> bool {
        certified.is_some_and(|certified| *self == certified.confirmation())
    }
}

impl Certified {
    pub(crate) fn confirmation(&self) -> Confirmation {
        Confirmation { thumbprint: BASE64URL_NOPAD.encode(self.0.leaf().fingerprint().as_bytes()) }
    }
}

impl CertificateRule {
    /// Whether it can be the rule of a client.
    pub(crate) fn is_sound(&self) -> bool {
        let texts = [&self.subject_dn, &self.san_dns, &self.san_uri, &self.san_email];
        let names = texts.iter().filter(|name| name.is_some()).count() + usize::from(self.san_ip.is_some());
        let fits = |text: &String| !text.is_empty() && text.len() <= MOST_NAME_BYTES;
        let anchor = self.anchor.as_ref().is_none_or(|text| read(text).is_some());
        names == 1 && anchor && texts.into_iter().flatten().all(fits)
    }

    /// Whether this is the client's certificate.
    pub(crate) fn is_met_by(&self, certified: &Certified) -> bool {
        let (leaf, anchor) = (certified.0.leaf(), certified.0.anchor().fingerprint());
        let any = |is: &dyn Fn(&GeneralName) -> bool| leaf.subject_alternative_names().iter().any(is);
        let named = match self {
            Self { subject_dn: Some(text), .. } => subject(leaf.subject()).as_deref() == Some(text.as_str()),
            Self { san_dns: Some(host), .. } => any(&|name| matches!(name, GeneralName::Dns(own) if own.eq_ignore_ascii_case(host))),
            Self { san_uri: Some(uri), .. } => any(&|name| matches!(name, GeneralName::Uri(own) if own == uri)),
            Self { san_ip: Some(address), .. } => any(&|name| matches!(name, GeneralName::Ip(own) if own == address)),
            Self { san_email: Some(mailbox), .. } => any(&|name| matches!(name, GeneralName::Email(own) if own == mailbox)),
            _ => false,
        };
        named && self.anchor.as_deref().is_none_or(|text| read(text) == Some(anchor))
    }
}

impl Client {
    /// Whether its tokens are worth something over its certificate only.
    pub(crate) fn is_bound(&self) -> bool {
        self.bound || self.authentication == Authentication::Certificate
    }

    /// What its tokens are bound to that it gets over this connection.
    pub(crate) fn binding(&self, certified: Option<&Certified>) -> Result<Option<Confirmation>, GrantError> {
        if !self.is_bound() {
            return Ok(None);
        }
        certified.map(|certified| Some(certified.confirmation())).ok_or(GrantError::Uncertified)
    }

    /// Whether this certificate proves the client.
    pub(crate) fn is_proven_by(&self, certified: Option<&Certified>) -> bool {
        let rule = self.certificate.as_ref().filter(|_| self.authentication == Authentication::Certificate);
        rule.zip(certified).is_some_and(|(rule, certified)| rule.is_met_by(certified))
    }
}

/// The name as RFC 4514 §2 writes it: the last attribute first. Nothing where an attribute has no short name or its value would have to be
/// escaped: such names are registered by another of their forms.
fn subject(name: &DistinguishedName) -> Option<String> {
    let mut parts = Vec::new();
    for attribute in name.attributes() {
        let value = attribute.value();
        let is_plain = !value.chars().any(|c| matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' | '#') || c.is_control());
        let is_trimmed = value.trim_matches(' ') == value && !value.is_empty();
        parts.push(format!("{}={value}", attribute.short_name().filter(|_| is_plain && is_trimmed)?));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn read(text: &str) -> Option<Fingerprint> {
    let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
    <[u8; Fingerprint::LEN]>::try_from(bytes).ok().map(Into::into)
}
