//! Whether a chain that was accepted may go on being used.
//!
//! A connection lives for months, and what is believed changes meanwhile. Everything that no time and no configuration can
//! change was judged when the connection began and is not judged again; no path is looked for and no certificate's signature checked.

use super::{
    anchors::Anchors,
    outcome::{Place, Rejection, VerifiedChain, passes_through},
    policy::{Policy, Revocation},
    revocation,
};
use crate::rule::Rule;
use gatehouse_types::UnixTime;

impl Anchors {
    /// Says whether a chain that was accepted, perhaps by an earlier configuration, still is: its time is not over, its anchor
    /// is still believed, no key in it is blocked, and no certificate in it was revoked.
    ///
    /// What only stands in the way of new connections does not end old ones: a revocation list that is missing or out of date, and
    /// a certificate on a list because another one replaced it (RFC 5280 §5.3.1, *superseded*).
    ///
    /// # Errors
    /// The rule that it now breaks.
    pub fn recheck(&self, chain: &VerifiedChain, policy: &Policy, now: UnixTime) -> Result<(), Rejection> {
        let path = chain.path();
        let refused = |rule, at: usize| Err(Rejection { rule, place: self.place_of(chain, at), detail: None, signature_checks: 0 });
        if now.secs() > chain.valid_until().secs() {
            let over = path.iter().position(|certificate| certificate.not_after().secs() < now.secs());
            return refused(Rule::Expired, over.unwrap_or(0));
        }
        if !self.believes(chain.anchor()) {
            return refused(Rule::UnknownIssuer, path.len() - 1);
        }
        if !self.blocked.is_empty()
            && let Some(at) = path.iter().position(|certificate| self.blocked.contains(&certificate.public_key().fingerprint()))
        {
            return refused(Rule::BlockedKey, at);
        }
        if self.lead.as_ref().is_some_and(|lead| !passes_through(path.iter().map(AsRef::as_ref), lead)) {
            return refused(Rule::NotThroughLead, 0);
        }
        if policy.revocation != Revocation::Ignore {
            let pairs = path.iter().zip(path.iter().skip(1)).enumerate();
            for (at, (certificate, issuer)) in pairs {
                if revocation::is_taken_back(self, certificate, issuer) {
                    return refused(Rule::Revoked, at);
                }
            }
        }
        Ok(())
    }

    fn place_of(&self, chain: &VerifiedChain, at: usize) -> Option<Place> {
        let certificate = chain.path().get(at)?;
        if at == 0 {
            return Some(Place::Presented(0));
        }
        let fingerprint = certificate.fingerprint();
        Some(if at + 1 == chain.path().len() { Place::Anchor(fingerprint) } else { Place::Intermediate(fingerprint) })
    }
}
