//! Looking for a path from the leaf to an anchor.
//!
//! The search walks upwards by name and key identifier, depth first, and knows nothing of the rules: each path that
//! ends at an anchor is judged as a whole, and when it breaks a rule the search goes on to the next. What is
//! reported in the end is the failure that came closest.

use super::{
    anchors::{Anchors, Authority},
    budget::{Budget, MAX_SIGNATURES},
    memo::Memo,
    outcome::{Place, Rejection, VerifiedChain},
    path::{self, Work},
    policy::Policy,
};
use crate::{
    certificate::{Certificate, CertificateError},
    distinguished_name::DistinguishedName,
    rule::Rule,
};
use gatehouse_types::UnixTime;
use std::{ops::ControlFlow, sync::Arc};

/// How many presented certificates are read.
pub const MAX_PRESENTED: usize = 16;

/// How many bytes they may have in all.
pub const MAX_PRESENTED_BYTES: usize = 16 * 1024;

/// A certificate in a path, and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Step<'a> {
    /// Different for each certificate that can be in a path.
    pub(super) id: usize,
    pub(super) certificate: &'a Arc<Certificate>,
    origin: Origin<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Origin<'a> {
    Presented(usize),
    Configured(&'a Authority),
}

/// A failure in a path.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) rule: Rule,
    /// Place in the path, leaf first.
    pub(super) at: usize,
}

pub(super) fn run(
    anchors: &Anchors,
    presented: &[impl AsRef<[u8]>],
    policy: &Policy,
    now: UnixTime,
    memo: Option<&Memo>,
) -> Result<VerifiedChain, Rejection> {
    let Some((leaf, others)) = presented.split_first() else { return Err(rejection(Rule::NoCertificate, None)) };
    if presented.len() > MAX_PRESENTED {
        return Err(rejection(Rule::TooMany, None));
    }
    if presented.iter().map(|der| der.as_ref().len()).sum::<usize>() > MAX_PRESENTED_BYTES {
        return Err(rejection(Rule::TooLarge, None));
    }
    let read = |at: usize, der: &[u8]| Certificate::from_der(der).map(Arc::new).map_err(|error| unreadable(at, error));
    let leaf = read(0, leaf.as_ref())?;
    if !anchors.blocked.is_empty() && anchors.blocked.contains(&leaf.public_key().fingerprint()) {
        return Err(rejection(Rule::BlockedKey, Some(Place::Presented(0))));
    }
    if leaf.is_ca() {
        return Err(rejection(Rule::LeafIsCa, Some(Place::Presented(0))));
    }
    let mut best = None;
    let mut candidates = Vec::with_capacity(others.len());
    for (at, der) in others.iter().enumerate() {
        // A second copy of a certificate would only make the search take everything twice.
        if presented[..=at].iter().any(|earlier| earlier.as_ref() == der.as_ref()) {
            continue;
        }
        match read(at + 1, der.as_ref()) {
            Ok(certificate) => candidates.push((at + 1, certificate)),
            Err(error) => keep_better(&mut best, error),
        }
    }
    let mut search = Search { anchors, candidates: &candidates, policy, now, memo, budget: Budget::new(), checked: Vec::new(), best };
    let leaf = Step { id: search.presented_id(0), certificate: &leaf, origin: Origin::Presented(0) };
    match search.extend(&mut vec![leaf]) {
        ControlFlow::Break(Ok(chain)) => Ok(chain),
        ControlFlow::Break(Err(rejection)) => Err(Rejection { signature_checks: search.budget.spent_signatures(), ..rejection }),
        ControlFlow::Continue(()) => {
            let best = search.best.unwrap_or(rejection(Rule::UnknownIssuer, Some(Place::Presented(0))));
            Err(Rejection { signature_checks: search.budget.spent_signatures(), ..best })
        }
    }
}

struct Search<'a> {
    anchors: &'a Anchors,
    /// The presented certificates after the leaf that could be read, with their places.
    candidates: &'a [(usize, Arc<Certificate>)],
    policy: &'a Policy,
    now: UnixTime,
    memo: Option<&'a Memo>,
    budget: Budget,
    /// Which certificate's signature was checked with which one's key, and whether it was good.
    checked: Vec<(usize, usize, bool)>,
    best: Option<Rejection>,
}

/// Breaks with the answer when there is one, and continues when this way led nowhere.
type Progress = ControlFlow<Result<VerifiedChain, Rejection>>;

impl<'a> Search<'a> {
    fn extend(&mut self, path: &mut Vec<Step<'a>>) -> Progress {
        let child = &path[path.len() - 1];
        let (certificate, place) = (child.certificate, child.origin);
        if path.len() > MAX_SIGNATURES {
            // Longer than there are signatures to check. Another way may be shorter.
            self.note(Rule::WorkExceeded, place);
            return ControlFlow::Continue(());
        }
        let anchors = self.anchors;
        let (configured, mut mismatch) = anchors.issuers_of(certificate);
        let mut known_name = mismatch;
        for (id, authority) in configured {
            known_name = true;
            self.step(path, Step { id, certificate: &authority.certificate, origin: Origin::Configured(authority) })?;
        }
        for (at, candidate) in self.candidates {
            if candidate.subject() != certificate.issuer() {
                continue;
            }
            known_name = true;
            if let (Some(wanted), Some(found)) = (certificate.authority_key_id(), candidate.subject_key_id())
                && wanted != found
            {
                mismatch = true;
                continue;
            }
            self.step(path, Step { id: self.presented_id(*at), certificate: candidate, origin: Origin::Presented(*at) })?;
        }
        if mismatch {
            self.note(Rule::KeyIdMismatch, place);
        }
        if !known_name {
            self.note(Rule::UnknownIssuer, place);
        }
        ControlFlow::Continue(())
    }

    /// Takes one candidate for the issuer of the last certificate.
    fn step(&mut self, path: &mut Vec<Step<'a>>, issuer: Step<'a>) -> Progress {
        // A CA that is met a second time, be it in another certificate, makes a circle.
        let identity = |step: &Step<'a>| -> (&'a DistinguishedName, _) { (step.certificate.subject(), step.certificate.public_key()) };
        if path.iter().any(|step| identity(step) == identity(&issuer)) {
            return ControlFlow::Continue(());
        }
        if self.budget.step().is_err() {
            return ControlFlow::Break(Err(rejection(Rule::WorkExceeded, None)));
        }
        let is_anchor = matches!(issuer.origin, Origin::Configured(Authority { is_anchor: true, .. }));
        path.push(issuer);
        let progress = if is_anchor { self.judge(path) } else { self.extend(path) };
        path.pop();
        progress
    }

    fn judge(&mut self, path: &[Step<'a>]) -> Progress {
        let judged = path::judge(
            path,
            self.anchors,
            self.policy,
            self.now,
            &mut Work { memo: self.memo, budget: &mut self.budget, checked: &mut self.checked },
        );
        match judged {
            Ok(valid_until) => {
                let path = path.iter().map(|step| step.certificate.clone()).collect();
                ControlFlow::Break(Ok(VerifiedChain { path, valid_until, signature_checks: self.budget.spent_signatures() }))
            }
            Err(Failure { rule: Rule::WorkExceeded, .. }) => ControlFlow::Break(Err(rejection(Rule::WorkExceeded, None))),
            Err(failure) => {
                self.note(failure.rule, path[failure.at].origin);
                ControlFlow::Continue(())
            }
        }
    }

    fn note(&mut self, rule: Rule, origin: Origin<'_>) {
        // Naming a configured certificate takes a hash, so only a failure that counts gets its place.
        if self.best.as_ref().is_none_or(|best| closeness(best.rule) < closeness(rule)) {
            let place = match origin {
                Origin::Presented(at) => Place::Presented(at),
                Origin::Configured(authority) => authority.place(),
            };
            self.best = Some(rejection(rule, Some(place)));
        }
    }

    /// Configured certificates come first in the numbering.
    fn presented_id(&self, at: usize) -> usize {
        self.anchors.authority_count() + at
    }
}

fn keep_better(best: &mut Option<Rejection>, other: Rejection) {
    if best.as_ref().is_none_or(|best| closeness(best.rule) < closeness(other.rule)) {
        *best = Some(other);
    }
}

/// How near to being accepted a chain was that broke this rule. What was wrong with a path to an anchor says more than
/// that no path was found.
fn closeness(rule: Rule) -> u8 {
    match rule {
        Rule::UnknownIssuer => 0,
        Rule::KeyIdMismatch => 1,
        Rule::WorkExceeded => 2,
        _ => 3,
    }
}

fn rejection(rule: Rule, place: Option<Place>) -> Rejection {
    Rejection { rule, place, detail: None, signature_checks: 0 }
}

fn unreadable(at: usize, error: CertificateError) -> Rejection {
    Rejection { rule: error.rule(), place: Some(Place::Presented(at)), detail: Some(error), signature_checks: 0 }
}
