//! Judging one path that ends at an anchor (RFC 5280 §6.1).
//!
//! From the anchor down to the leaf, as the RFC does it: first every rule that costs nothing, then the signatures, each
//! with a key that is already vouched for, then name constraints and revocation.

use super::{
    anchors::Anchors,
    budget::Budget,
    constraints,
    memo::Memo,
    outcome,
    policies::Policies,
    policy::{ExpiredLeaf, KeyIdentifiers, Policy, Purpose},
    revocation,
    search::{Failure, Step},
};
use crate::{
    certificate::Certificate,
    extensions::{AuthorityKeyId, ExtendedKeyUsage, KeyUsage},
    general_name::GeneralName,
    key::Role,
    rule::Rule,
};
use gatehouse_types::UnixTime;

/// What is spent on paths, and what was found out on the way.
pub(super) struct Work<'a> {
    pub(super) memo: Option<&'a Memo>,
    pub(super) budget: &'a mut Budget,
    /// Which certificate's signature was checked with which one's key, and whether it was good.
    pub(super) checked: &'a mut Vec<(usize, usize, bool)>,
}

/// Returns until when the same verdict holds.
pub(super) fn judge(
    path: &[Step<'_>],
    anchors: &Anchors,
    policy: &Policy,
    now: UnixTime,
    work: &mut Work<'_>,
) -> Result<UnixTime, Failure> {
    let certificates: Vec<&Certificate> = path.iter().map(|step| step.certificate.as_ref()).collect();
    let anchor = certificates.len() - 1;
    let times = Times::new(certificates[0], policy.expired_leaf, now);
    // A path through a signature that is known to be bad is not judged again.
    for at in 0..anchor {
        if work.checked.contains(&(path[at].id, path[at + 1].id, false)) {
            return Err(Failure { rule: Rule::Signature, at });
        }
    }
    if !anchors.blocked.is_empty() {
        let is_blocked = |certificate: &&Certificate| anchors.blocked.contains(&certificate.public_key().fingerprint());
        if let Some(at) = certificates.iter().position(is_blocked) {
            return Err(Failure { rule: Rule::BlockedKey, at });
        }
    }
    for at in (0..=anchor).rev() {
        check_alone(&certificates, at, policy, &times).map_err(|rule| Failure { rule, at })?;
    }
    let mut policies = Policies::below(certificates[anchor], anchor);
    for at in (0..anchor).rev() {
        policies.take(certificates[at], at == 0).map_err(|rule| Failure { rule, at })?;
    }
    if anchors.lead.as_ref().is_some_and(|lead| !outcome::passes_through(certificates.iter().copied(), lead)) {
        return Err(Failure { rule: Rule::NotThroughLead, at: 0 });
    }
    for at in (0..anchor).rev() {
        check_signature(&path[at], &path[at + 1], at > 0, work).map_err(|rule| Failure { rule, at })?;
    }
    // Comparing names takes time that only those may spend whose certificates somebody trusted has signed.
    check_names(&certificates, work.budget)?;
    for at in (0..anchor).rev() {
        revocation::check(anchors, certificates[at], certificates[at + 1], policy.revocation, now, work.budget)
            .map_err(|rule| Failure { rule, at })?;
    }
    Ok(times.valid_until(&certificates))
}

/// What can be said about one certificate from its place in the path.
fn check_alone(path: &[&Certificate], at: usize, policy: &Policy, times: &Times) -> Result<(), Rule> {
    let certificate = path[at];
    let role = match at {
        0 => Role::Leaf,
        _ if at + 1 == path.len() => Role::Anchor,
        _ => Role::Intermediate,
    };
    if certificate.extensions.unknown_critical {
        return Err(Rule::UnknownCritical);
    }
    if role.key_use(certificate.public_key().algorithm()) == crate::key::Use::Refused {
        return Err(Rule::Key);
    }
    if role.signature_use(certificate.signature_algorithm()) == crate::key::Use::Refused {
        return Err(Rule::SignatureAlgorithm);
    }
    times.check(certificate, role)?;
    match role {
        Role::Leaf => check_leaf(certificate, policy.purpose)?,
        Role::Intermediate | Role::Anchor => check_ca(path, at, policy)?,
    }
    if role != Role::Anchor {
        check_authority_key_id(certificate, path[at + 1], policy.key_identifiers)?;
    }
    Ok(())
}

fn check_leaf(leaf: &Certificate, purpose: Purpose) -> Result<(), Rule> {
    if leaf.is_ca() {
        return Err(Rule::LeafIsCa);
    }
    // Every handshake that we do signs with the leaf's key; none encrypts with it.
    if leaf.key_usage().is_some_and(|usage| !usage.contains(KeyUsage::DIGITAL_SIGNATURE)) {
        return Err(Rule::KeyUsage);
    }
    let named = leaf.extended_key_usages().unwrap_or_default();
    if purpose.usages().iter().all(|usage| named.contains(usage)) { Ok(()) } else { Err(Rule::ExtendedKeyUsage) }
}

fn check_ca(path: &[&Certificate], at: usize, policy: &Policy) -> Result<(), Rule> {
    let ca = path[at];
    if !ca.extensions.basic_constraints.is_some_and(|constraints| constraints.ca && constraints.critical) {
        return Err(Rule::NotCa);
    }
    if !ca.key_usage().is_some_and(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN)) {
        return Err(Rule::NotCertSigner);
    }
    // §6.1.4 (l): a CA that certifies its own next key is not a further CA.
    let cas_below = path[1..at].iter().filter(|below| !below.is_self_issued()).count();
    if ca.path_length().is_some_and(|most| usize::try_from(most).is_ok_and(|most| cas_below > most)) {
        return Err(Rule::PathLength);
    }
    if let Some(allowed) = ca.extended_key_usages() {
        let allows = |usage: &ExtendedKeyUsage| allowed.contains(usage) || allowed.contains(&ExtendedKeyUsage::Any);
        if !policy.purpose.usages().iter().all(allows) {
            return Err(Rule::ExtendedKeyUsage);
        }
    }
    if policy.key_identifiers == KeyIdentifiers::Require && ca.subject_key_id().is_none() {
        return Err(Rule::MissingKeyId);
    }
    Ok(())
}

/// §4.2.1.1: what a certificate says about its issuer's key and certificate must be so.
fn check_authority_key_id(certificate: &Certificate, issuer: &Certificate, mode: KeyIdentifiers) -> Result<(), Rule> {
    let Some(AuthorityKeyId { key_id, certificate: named }) = &certificate.extensions.authority_key_id else {
        return if mode == KeyIdentifiers::Require { Err(Rule::MissingKeyId) } else { Ok(()) };
    };
    match (key_id.as_deref(), issuer.subject_key_id()) {
        (Some(wanted), Some(found)) if wanted != found => return Err(Rule::KeyIdMismatch),
        (None, _) if mode == KeyIdentifiers::Require => return Err(Rule::MissingKeyId),
        _ => {}
    }
    if let Some((names, serial)) = named {
        let is_named = |name: &GeneralName| matches!(name, GeneralName::Directory(name) if name == issuer.issuer());
        if !names.iter().any(is_named) || **serial != *issuer.serial().to_integer() {
            return Err(Rule::KeyIdMismatch);
        }
    }
    Ok(())
}

/// §6.1.3 (b) and (c): each CA's constraints hold for everything below it.
fn check_names(path: &[&Certificate], budget: &mut Budget) -> Result<(), Failure> {
    for (above, ca) in path.iter().enumerate().skip(1).rev() {
        let Some(name_constraints) = &ca.extensions.name_constraints else { continue };
        for (at, certificate) in path[..above].iter().enumerate().rev() {
            // A CA that certifies its own next key keeps its name.
            if at == 0 || !certificate.is_self_issued() {
                constraints::check(name_constraints, certificate, at == 0, budget).map_err(|rule| Failure { rule, at })?;
            }
        }
    }
    Ok(())
}

fn check_signature(child: &Step<'_>, issuer: &Step<'_>, is_intermediate: bool, work: &mut Work<'_>) -> Result<(), Rule> {
    if work.checked.contains(&(child.id, issuer.id, true)) {
        return Ok(());
    }
    let memo = work.memo.filter(|_| is_intermediate);
    if memo.is_some_and(|memo| memo.knows(child.certificate, issuer.certificate)) {
        return Ok(());
    }
    work.budget.signature()?;
    let certificate = child.certificate;
    let key = issuer.certificate.public_key();
    let is_good = key.verify(certificate.signature_algorithm(), certificate.to_be_signed(), certificate.signature()).is_ok();
    work.checked.push((child.id, issuer.id, is_good));
    if let (true, Some(memo)) = (is_good, memo) {
        memo.learn(child.certificate, issuer.certificate);
    }
    if is_good { Ok(()) } else { Err(Rule::Signature) }
}

/// At which times the certificates of a path are judged.
struct Times {
    now: UnixTime,
    /// For the CAs.
    authorities: UnixTime,
    expired_leaf: ExpiredLeaf,
}

impl Times {
    fn new(leaf: &Certificate, expired_leaf: ExpiredLeaf, now: UnixTime) -> Self {
        let authorities = match expired_leaf {
            ExpiredLeaf::Refuse => now,
            ExpiredLeaf::Accept => now.min(middle(leaf)),
        };
        Self { now, authorities, expired_leaf }
    }

    fn check(&self, certificate: &Certificate, role: Role) -> Result<(), Rule> {
        let at = if role == Role::Leaf { self.now } else { self.authorities };
        // Certificates count in seconds, and their last second is valid to its end.
        if at.secs() < certificate.not_before().secs() {
            return Err(Rule::NotYetValid);
        }
        let may_have_expired = role == Role::Leaf && self.expired_leaf == ExpiredLeaf::Accept;
        if at.secs() > certificate.not_after().secs() && !may_have_expired { Err(Rule::Expired) } else { Ok(()) }
    }

    /// The CAs' time stands still once it is the middle of the leaf's validity, and the leaf's end does not count then.
    fn valid_until(&self, path: &[&Certificate]) -> UnixTime {
        let ends = path.iter().map(|certificate| certificate.not_after());
        match self.expired_leaf {
            ExpiredLeaf::Refuse => ends.min(),
            ExpiredLeaf::Accept => ends.skip(1).filter(|end| end.secs() < middle(path[0]).secs()).min(),
        }
        .unwrap_or(UnixTime::NO_END)
    }
}

fn middle(certificate: &Certificate) -> UnixTime {
    certificate.not_before() + certificate.not_after().since(certificate.not_before()) / 2
}
