//! `webpki` as a third opinion, where it judges the same thing.
//!
//! It knows less (no key usage, no policies, no exact form of many fields) and wants less. So a chain that it accepts
//! may be refused by `pki`, whose table says why. A chain that it refuses and `pki` accepts would be a question: all
//! such answers are listed here with their reason.

use crate::{judge, mutations};
use gatehouse_certs::{
    chain::{Bundle, Keys, Purpose, Question},
    folder, good, mutation, verdict,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

/// What `webpki` says; `None` where the question is not one for it.
fn ask(bundle: &Bundle, question: &Question) -> Option<Result<(), Error>> {
    let is_ours = !question.accepts_expired_leaf && question.lead.is_none() && bundle.lists.is_empty() && !bundle.presented.is_empty();
    if !is_ours {
        return None;
    }
    let certificates: Vec<CertificateDer<'_>> =
        bundle.presented.iter().chain(&bundle.intermediates).map(|der| der.as_slice().into()).collect();
    let anchors: Vec<CertificateDer<'_>> = bundle.anchors.iter().map(|der| der.as_slice().into()).collect();
    let usage = match question.purpose {
        Purpose::Client => KeyUsage::client_auth(),
        Purpose::Server => KeyUsage::server_auth(),
        // It cannot ask for two usages; the one that is special is asked for.
        Purpose::OcfDevice => KeyUsage::required_if_present(&[0x2b, 6, 1, 4, 1, 0x82, 0xde, 0x7c, 1, 6]),
    };
    let time = UnixTime::since_unix_epoch(Duration::from_secs(question.at.unix_timestamp().try_into().ok()?));
    Some((|| {
        let anchors = anchors.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>()?;
        EndEntityCert::try_from(&certificates[0])?.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &anchors,
            &certificates[1..],
            time,
            usage,
            None,
            None,
        )?;
        Ok(())
    })())
}

/// Why `webpki` refuses what is good: it does not know something that RFC 5280 does.
fn explained(name: &str, error: &Error) -> bool {
    match error {
        // §4.2.1.10: no constraint on distinguished names is judged there; each is a violation.
        Error::NameConstraintViolation => name.contains("constrained") || name.contains("nc-"),
        // §4.2.1.12: any-usage in a CA allows every usage.
        Error::RequiredEkuNotFoundContext(_) => name.contains("eku-any-in-ca"),
        // §4.2.1.4, §4.2.1.5, §4.2.1.11, §4.2.1.14: critical extensions about policies, and a critical distribution point.
        Error::UnsupportedCriticalExtension => ["polic", "mapping", "distribution-point-critical"].iter().any(|word| name.contains(word)),
        // §6.1 leaves building paths open: it does not try the second CA of a name here.
        Error::InvalidSignatureForPublicKey => name.contains("anchor-beside-namesake"),
        _ => false,
    }
}

#[test]
fn what_pki_accepts_webpki_accepts_or_the_reason_is_known() {
    let home = folder::home();
    let keys = Keys::load(&home.join("keys")).expect("the keys are kept");
    let (bases, all) = (good::bases(&keys).expect("bases"), mutation::all());
    let mutated = mutations::rows().into_iter().map(|row| {
        let question = bases.iter().find(|base| base.name == row.base).expect("a base").question;
        (row.key(), mutation::make(&row, &bases, &all, &keys).expect("a chain"), question)
    });
    let kept = verdict::read(include_str!("../../verdicts.toml")).expect("a table").into_iter().map(|row| {
        let bundle = folder::read(&home.join(&row.chain)).expect("the chain is kept");
        (row.chain, bundle, row.question)
    });
    let (mut asked, mut unexplained) = (0, Vec::new());
    for (name, bundle, question) in kept.chain(mutated) {
        let Some(theirs) = ask(&bundle, &question) else { continue };
        asked += 1;
        if let (Ok(_), Err(error)) = (judge::ask(&bundle, &question), &theirs)
            && !explained(&name, error)
        {
            unexplained.push(format!("{name}: {error:?}"));
        }
    }
    assert_eq!(unexplained, Vec::<String>::new());
    assert!(asked > 1500, "{asked} chains");
}
