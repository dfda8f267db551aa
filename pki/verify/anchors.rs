//! What is configured: anchors, intermediates, revocation lists, blocked keys and the lead certificate.

use super::{
    memo::Memo,
    outcome::{Place, Rejection, VerifiedChain},
    policy::Policy,
    search,
};
use crate::{
    certificate::Certificate,
    crl::CertificateList,
    distinguished_name::DistinguishedName,
    key::{Fingerprint, PublicKey},
};
use gatehouse_types::UnixTime;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The CAs that are believed, and what is known about those below them. Immutable: a change makes a new one.
///
/// It holds ten thousand anchors as well as one: whatever is presented finds its issuers by name and key identifier.
#[derive(Debug)]
pub struct Anchors {
    authorities: Vec<Authority>,
    by_subject: HashMap<DistinguishedName, Namesakes>,
    lists: HashMap<DistinguishedName, Vec<KnownList>>,
    pub(super) blocked: HashSet<Fingerprint>,
    pub(super) lead: Option<Arc<Certificate>>,
}

/// Collects what [`Anchors`] are made of.
#[derive(Debug, Default)]
pub struct AnchorsBuilder {
    anchors: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    lists: Vec<CertificateList>,
    blocked: HashSet<Fingerprint>,
    lead: Option<Certificate>,
}

/// A configuration from which no anchors can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorsError {
    /// There is no anchor.
    #[error("there is no anchor, so that no chain could ever be accepted")]
    Empty,
    /// The lead certificate is none of the configured ones.
    #[error("the lead certificate is neither an anchor nor a configured intermediate")]
    UnknownLead,
}

/// A configured CA.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: Arc<Certificate>,
    pub(super) is_anchor: bool,
}

/// The configured CAs of one name, as places in `authorities`.
#[derive(Debug, Default)]
struct Namesakes {
    by_key_id: HashMap<Box<[u8]>, Vec<usize>>,
    without_key_id: Vec<usize>,
    all: Vec<usize>,
}

/// A revocation list and which configured CAs' keys signed it.
#[derive(Debug)]
pub(super) struct KnownList {
    pub(super) list: CertificateList,
    pub(super) signers: Vec<PublicKey>,
}

impl Anchors {
    /// Begins with nothing.
    pub fn builder() -> AnchorsBuilder {
        AnchorsBuilder::default()
    }

    /// Judges a presented chain, leaf first and the rest in any order, at a time.
    ///
    /// Duplicates, superfluous certificates and presented roots do no harm, nor does a superfluous one that cannot be
    /// read. When several paths lead to an anchor the first that breaks no rule is taken: configured issuers come before
    /// presented ones, and each in their order, so that the same input always has the same answer.
    pub fn verify(&self, presented: &[impl AsRef<[u8]>], policy: &Policy, now: UnixTime) -> Result<VerifiedChain, Rejection> {
        search::run(self, presented, policy, now, None)
    }

    /// The same, with the same answer, without checking again those signatures of intermediates that the memo knows to be good.
    pub fn verify_with(
        &self,
        memo: &Memo,
        presented: &[impl AsRef<[u8]>],
        policy: &Policy,
        now: UnixTime,
    ) -> Result<VerifiedChain, Rejection> {
        search::run(self, presented, policy, now, Some(memo))
    }

    /// Whether this CA is an anchor, perhaps with another certificate.
    pub(super) fn believes(&self, ca: &Certificate) -> bool {
        let namesakes = self.by_subject.get(ca.subject()).map_or(&[][..], |namesakes| &namesakes.all);
        namesakes.iter().map(|at| &self.authorities[*at]).any(|own| own.is_anchor && own.certificate.public_key() == ca.public_key())
    }

    /// The configured CAs that may have issued the certificate: those of the name and with the key identifier that
    /// it points at, or without one. Also says whether there were others of the name.
    pub(super) fn issuers_of<'a>(&'a self, certificate: &'a Certificate) -> (impl Iterator<Item = (usize, &'a Authority)>, bool) {
        let namesakes = self.by_subject.get(certificate.issuer());
        let (found, rest): (&[usize], &[usize]) = match (namesakes, certificate.authority_key_id()) {
            (None, _) => (&[], &[]),
            (Some(namesakes), None) => (&namesakes.all, &[]),
            (Some(namesakes), Some(id)) => (namesakes.by_key_id.get(id).map_or(&[], Vec::as_slice), &namesakes.without_key_id),
        };
        let mismatch = namesakes.is_some_and(|namesakes| namesakes.all.len() > found.len() + rest.len());
        (found.iter().chain(rest).map(|at| (*at, &self.authorities[*at])), mismatch)
    }

    pub(super) fn lists_of(&self, issuer: &DistinguishedName) -> &[KnownList] {
        self.lists.get(issuer).map_or(&[], Vec::as_slice)
    }

    pub(super) fn authority_count(&self) -> usize {
        self.authorities.len()
    }
}

impl AnchorsBuilder {
    /// Believes this CA, root or not.
    #[must_use]
    pub fn anchor(mut self, certificate: Certificate) -> Self {
        self.anchors.push(certificate);
        self
    }

    /// Lets peers leave this CA out of what they present. It is believed only as far as an anchor vouches for it.
    #[must_use]
    pub fn intermediate(mut self, certificate: Certificate) -> Self {
        self.intermediates.push(certificate);
        self
    }

    /// Demands that every path passes through this CA, which must be one of the configured ones.
    #[must_use]
    pub fn lead(mut self, certificate: Certificate) -> Self {
        self.lead = Some(certificate);
        self
    }

    /// Knows this revocation list. An outdated one must be left out, not kept beside its successor: what any list
    /// says is revoked is revoked.
    #[must_use]
    pub fn revocation_list(mut self, list: CertificateList) -> Self {
        self.lists.push(list);
        self
    }

    /// Refuses every chain with this key in it, by the SHA-256 fingerprint of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn block(mut self, key: Fingerprint) -> Self {
        self.blocked.insert(key);
        self
    }

    /// Prepares the search. The signatures of revocation lists are checked here, once, against the configured CAs.
    pub fn build(self) -> Result<Anchors, AnchorsError> {
        if self.anchors.is_empty() {
            return Err(AnchorsError::Empty);
        }
        let anchors = self.anchors.into_iter().map(|certificate| (certificate, true));
        let intermediates = self.intermediates.into_iter().map(|certificate| (certificate, false));
        let mut authorities: Vec<Authority> = Vec::new();
        let mut known = HashSet::new();
        for (certificate, is_anchor) in anchors.chain(intermediates) {
            // Configured twice is configured once; an anchor that is also an intermediate is an anchor.
            if known.insert(certificate.fingerprint()) {
                authorities.push(Authority { certificate: Arc::new(certificate), is_anchor });
            }
        }
        let mut by_subject: HashMap<DistinguishedName, Namesakes> = HashMap::new();
        for (at, authority) in authorities.iter().enumerate() {
            let namesakes = by_subject.entry(authority.certificate.subject().clone()).or_default();
            namesakes.all.push(at);
            match authority.certificate.subject_key_id() {
                Some(id) => namesakes.by_key_id.entry(id.into()).or_default().push(at),
                None => namesakes.without_key_id.push(at),
            }
        }
        let lead = match self.lead {
            None => None,
            Some(lead) => Some(
                authorities.iter().find(|authority| *authority.certificate == lead).ok_or(AnchorsError::UnknownLead)?.certificate.clone(),
            ),
        };
        let mut lists: HashMap<DistinguishedName, Vec<KnownList>> = HashMap::new();
        for list in self.lists {
            let namesakes = by_subject.get(list.issuer()).map_or(&[][..], |namesakes| &namesakes.all);
            let keys = namesakes.iter().map(|at| authorities[*at].certificate.public_key());
            let signers = keys.filter(|key| list.is_signed_by(key)).cloned().collect();
            lists.entry(list.issuer().clone()).or_default().push(KnownList { list, signers });
        }
        Ok(Anchors { authorities, by_subject, lists, blocked: self.blocked, lead })
    }
}

impl Authority {
    pub(super) fn place(&self) -> Place {
        let fingerprint = self.certificate.fingerprint();
        if self.is_anchor { Place::Anchor(fingerprint) } else { Place::Intermediate(fingerprint) }
    }
}
