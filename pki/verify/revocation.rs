//! What revocation lists say about a certificate (RFC 5280 §6.3.3).

use super::{
    anchors::{Anchors, KnownList},
    budget::Budget,
    policy::Revocation,
};
use crate::{certificate::Certificate, crl::RevocationReason, extensions::KeyUsage, rule::Rule};
use gatehouse_types::UnixTime;

/// Whether a list of the issuer takes the certificate back, now that it is in use: a replacement does not, nor does a
/// list that is missing or out of date.
pub(super) fn is_taken_back(anchors: &Anchors, certificate: &Certificate, issuer: &Certificate) -> bool {
    let ends = |known: &&KnownList| {
        let entry = known.list.find(certificate.serial());
        entry.is_some_and(|entry| entry.reason != RevocationReason::Superseded)
    };
    let counts = |known: &KnownList| {
        !known.list.is_about_attributes()
            && may_be_issued_by(known, issuer)
            && issuer.key_usage().is_some_and(|usage| usage.contains(KeyUsage::CRL_SIGN))
            && (known.signers.contains(issuer.public_key()) || known.list.is_signed_by(issuer.public_key()))
    };
    anchors.lists_of(issuer.subject()).iter().filter(ends).any(counts)
}

/// Judges one certificate, whose own signature by the issuer is already known to be good.
pub(super) fn check(
    anchors: &Anchors,
    certificate: &Certificate,
    issuer: &Certificate,
    mode: Revocation,
    now: UnixTime,
    budget: &mut Budget,
) -> Result<(), Rule> {
    if mode == Revocation::Ignore {
        return Ok(());
    }
    let mut verdict = if mode == Revocation::Require { Err(Rule::NoRevocationList) } else { Ok(()) };
    let mut is_cleared = false;
    for known in anchors.lists_of(issuer.subject()) {
        if !may_be_issued_by(known, issuer) {
            continue;
        }
        match judge(known, certificate, issuer, now, budget) {
            Ok(about_it) => is_cleared |= about_it,
            // One list that takes the certificate back outweighs all that do not.
            Err(rule @ (Rule::Revoked | Rule::WorkExceeded)) => return Err(rule),
            Err(rule) if matches!(verdict, Ok(()) | Err(Rule::NoRevocationList)) => verdict = Err(rule),
            Err(_) => {}
        }
    }
    if is_cleared { Ok(()) } else { verdict }
}

/// Whether the list speaks about the certificate at all, and if so, clears it.
fn judge(known: &KnownList, certificate: &Certificate, issuer: &Certificate, now: UnixTime, budget: &mut Budget) -> Result<bool, Rule> {
    let list = &known.list;
    if list.is_about_attributes() {
        // Attribute certificates have serial numbers of their own.
        return Ok(false);
    }
    if !issuer.key_usage().is_some_and(|usage| usage.contains(KeyUsage::CRL_SIGN)) {
        return Err(Rule::RevocationListIssuer);
    }
    // Lists of configured CAs were checked when they were configured; one of a presented CA is checked here.
    if !known.signers.contains(issuer.public_key()) {
        budget.signature()?;
        if !list.is_signed_by(issuer.public_key()) {
            return Err(Rule::RevocationListSignature);
        }
    }
    // A list from which nothing good follows can still take a certificate back: a delta list beside its base does.
    // An issuer gives each number once, so a number in a list that was to be about others revokes all the same.
    if list.find(certificate.serial()).is_some() {
        return Err(Rule::Revoked);
    }
    if list.is_not_judged() {
        return Err(Rule::RevocationListScope);
    }
    if !list.covers(certificate) {
        return Ok(false);
    }
    if now.secs() < list.this_update().secs() {
        return Err(Rule::RevocationListEarly);
    }
    if now.secs() > list.next_update().secs() {
        return Err(Rule::RevocationListStale);
    }
    Ok(true)
}

/// Whether the list could be this CA's: not when it points at another key, which a CA of the same name may have.
fn may_be_issued_by(known: &KnownList, issuer: &Certificate) -> bool {
    let wanted = known.list.authority_key_id.as_ref().and_then(|authority| authority.key_id.as_deref());
    match (wanted, issuer.subject_key_id()) {
        (Some(wanted), Some(found)) => wanted == found,
        _ => true,
    }
}
