//! Asking `pki` in the words of this crate.

use gatehouse_certs::chain::{self, Bundle, Question};
use gatehouse_pki::{
    Anchors, Certificate, CertificateError, CertificateList, ExpiredLeaf, KeyIdentifiers, Policy, Purpose, Revocation, Rule, VerifiedChain,
};
use gatehouse_types::UnixTime;

/// What `pki` says: a chain, or the rule that is broken. A configuration that cannot be read is a refusal too.
pub(crate) fn ask(bundle: &Bundle, question: &Question) -> Result<VerifiedChain, Rule> {
    let anchors = configure(bundle, question)?;
    anchors.verify(&bundle.presented, &policy(question), UnixTime::from(question.at)).map_err(|rejection| rejection.rule())
}

/// `accept`, or the rule's code.
pub(crate) fn word(verdict: &Result<VerifiedChain, Rule>) -> &'static str {
    match verdict {
        Ok(_) => "accept",
        Err(rule) => rule.code(),
    }
}

pub(crate) fn policy(question: &Question) -> Policy {
    Policy {
        purpose: match question.purpose {
            chain::Purpose::Client => Purpose::Client,
            chain::Purpose::Server => Purpose::Server,
            chain::Purpose::OcfDevice => Purpose::OcfDevice,
        },
        expired_leaf: if question.accepts_expired_leaf { ExpiredLeaf::Accept } else { ExpiredLeaf::Refuse },
        revocation: match question.revocation {
            chain::Revocation::Ignore => Revocation::Ignore,
            chain::Revocation::WhenPresent => Revocation::WhenPresent,
            chain::Revocation::Require => Revocation::Require,
        },
        key_identifiers: if question.accepts_missing_key_ids { KeyIdentifiers::WhenPresent } else { KeyIdentifiers::Require },
    }
}

fn configure(bundle: &Bundle, question: &Question) -> Result<Anchors, Rule> {
    let rule = |error: CertificateError| error.rule();
    let mut builder = Anchors::builder();
    for (at, der) in bundle.anchors.iter().chain(&bundle.intermediates).enumerate() {
        let certificate = Certificate::from_der(der).map_err(rule)?;
        if question.lead == Some(at) {
            builder = builder.lead(certificate.clone());
        }
        builder = if at < bundle.anchors.len() { builder.anchor(certificate) } else { builder.intermediate(certificate) };
    }
    for der in &bundle.lists {
        builder = builder.revocation_list(CertificateList::from_der(der).map_err(rule)?);
    }
    Ok(builder.build().expect("every chain of the corpus has an anchor"))
}
