//! The two answers of a verification.

use crate::{
    certificate::{Certificate, CertificateError},
    key::Fingerprint,
    rule::Rule,
};
use gatehouse_types::UnixTime;
use std::{fmt, sync::Arc};

/// A chain that leads from a leaf to an anchor and breaks no rule. Only [`Anchors::verify`](crate::Anchors::verify)
/// makes one.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    /// Leaf first, anchor last; at least two.
    pub(super) path: Vec<Arc<Certificate>>,
    pub(super) valid_until: UnixTime,
    pub(super) signature_checks: usize,
}

impl VerifiedChain {
    /// The peer's own certificate.
    pub fn leaf(&self) -> &Certificate {
        &self.path[0]
    }

    /// The certificate that was configured and at which the path ends.
    pub fn anchor(&self) -> &Certificate {
        &self.path[self.path.len() - 1]
    }

    /// All certificates of the path, leaf first and anchor last.
    pub fn path(&self) -> &[Arc<Certificate>] {
        &self.path
    }

    /// The last second at which the validity of the certificates lets the same chain be accepted again.
    /// Revocation may end it earlier.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Whether the path has a CA of this name with this key.
    pub fn passes_through(&self, ca: &Certificate) -> bool {
        passes_through(self.path.iter().map(AsRef::as_ref), ca)
    }

    /// How many signatures were checked to find this out.
    pub fn signature_checks(&self) -> usize {
        self.signature_checks
    }
}

/// A CA is its name and its key: the same CA may have several certificates.
pub(super) fn passes_through<'a>(path: impl IntoIterator<Item = &'a Certificate>, ca: &Certificate) -> bool {
    path.into_iter().skip(1).any(|certificate| certificate.subject() == ca.subject() && certificate.public_key() == ca.public_key())
}

/// Why a chain is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub(super) rule: Rule,
    pub(super) place: Option<Place>,
    pub(super) detail: Option<CertificateError>,
    pub(super) signature_checks: usize,
}

/// Which certificate broke the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// One of the presented ones, counted from 0, which is the leaf.
    Presented(usize),
    /// A configured intermediate.
    Intermediate(Fingerprint),
    /// A configured anchor.
    Anchor(Fingerprint),
}

/// Who has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Whoever presented the chain, or issued what was presented.
    Peer,
    /// Whoever configured the anchors and keeps the revocation lists fresh.
    Configuration,
    /// Time: a certificate's life is over or has not begun, or a clock is wrong.
    Time,
    /// Us: the chain uses something that is not judged here.
    Us,
}

impl Rejection {
    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// The certificate that broke it, where it was one.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Who has to do something about it.
    pub fn blame(&self) -> Blame {
        match (self.rule, self.place) {
            (Rule::NotYetValid | Rule::Expired, _) => Blame::Time,
            (Rule::NameConstraintUnsupported | Rule::RevocationListScope, _) => Blame::Us,
            (
                Rule::NoRevocationList
                | Rule::RevocationListEarly
                | Rule::RevocationListForm
                | Rule::RevocationListIssuer
                | Rule::RevocationListSignature
                | Rule::RevocationListStale,
                _,
            ) => Blame::Configuration,
            (_, Some(Place::Intermediate(_) | Place::Anchor(_))) => Blame::Configuration,
            _ => Blame::Peer,
        }
    }

    /// What exactly was found where the rule alone does not say it.
    pub fn detail(&self) -> Option<&CertificateError> {
        self.detail.as_ref()
    }

    /// How many signatures were checked before.
    pub fn signature_checks(&self) -> usize {
        self.signature_checks
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(out, "{place}: ")?;
        }
        match &self.detail {
            Some(detail) => write!(out, "{detail}"),
            None => write!(out, "{}", self.rule),
        }
    }
}

impl std::error::Error for Rejection {}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Presented(0) => out.write_str("the presented leaf"),
            Self::Presented(at) => write!(out, "presented certificate {at}"),
            Self::Intermediate(fingerprint) => write!(out, "the configured intermediate {fingerprint}"),
            Self::Anchor(fingerprint) => write!(out, "the anchor {fingerprint}"),
        }
    }
}
