//! Revocation lists (RFC 5280 §5, §6.3).

use super::{
    Change, Mutation,
    Places::{CaList, LeafList, Lists},
};
use crate::{
    Error,
    chain::Chain,
    der,
    draft::{Extension, NOW, id},
    good::uri,
    key::Algorithm,
};
use time::Duration;

const ACCEPT: &str = "accept";
const FORM: &str = "revocation-list-form";
const SCOPE: &str = "revocation-list-scope";
const NONE: &str = "no-revocation-list";

type Draft = fn(&mut Chain, usize, &crate::chain::Keys, &mut super::Chance) -> Result<(), Error>;

pub(super) fn all() -> Vec<Mutation> {
    let list = |name, places, verdict, change: Draft| super::draft(name, places, verdict, change).with(&["revocation"]);
    let bytes = |name, verdict, change: fn(&mut Vec<u8>, &mut super::Chance)| Mutation {
        name,
        places: Lists,
        change: Change::Bytes(change),
        verdict,
        bases: &["revocation"],
        variants: 1,
    };
    vec![
        list("list-revokes", Lists, "revoked", |chain, at, _, _| revoke(chain, at, &[])),
        list("list-revokes-with-reason", Lists, "revoked", |chain, at, _, chance| {
            let reason = [0, 1, 2, 3, 4, 5, 6, 9, 10][chance.below(9)];
            revoke(chain, at, &[Extension::new(id::REASON, der::element(0x0a, &[reason]))])
        })
        .times(9),
        list("list-revokes-later", Lists, "revoked", |chain, at, _, _| {
            let serial = chain.certificates[at].serial.clone();
            let entry = der::sequence(&[&serial, &der::time(NOW + Duration::days(2))]);
            Ok(chain.lists[at].entries.push(entry))
        }),
        list("list-revokes-another", Lists, ACCEPT, |chain, at, _, _| Ok(chain.lists[at].revoke(&der::integer(&[9]), &[]))),
        list("list-revokes-nothing", Lists, ACCEPT, |chain, at, _, _| Ok(chain.lists[at].entries.clear())),
        list("list-entries-empty", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].entries = vec![Vec::new()])),
        list("list-reason-7", Lists, FORM, |chain, at, _, _| other(chain, at, Extension::new(id::REASON, der::element(0x0a, &[7])))),
        list("list-reason-remove", Lists, FORM, |chain, at, _, _| other(chain, at, Extension::new(id::REASON, der::element(0x0a, &[8])))),
        list("list-reason-is-integer", Lists, FORM, |chain, at, _, _| other(chain, at, Extension::new(id::REASON, der::integer(&[1])))),
        list("list-entry-unknown", Lists, ACCEPT, |chain, at, _, _| other(chain, at, Extension::new(id::UNKNOWN, vec![1]))),
        list("list-entry-unknown-critical", Lists, SCOPE, |chain, at, _, _| {
            other(chain, at, Extension::critical(id::UNKNOWN, der::NULL.to_vec()))
        }),
        list("list-entry-of-another-issuer", Lists, SCOPE, |chain, at, _, _| {
            let name = der::sequence(&[&crate::good::directory(&crate::draft::named("another"))]);
            other(chain, at, Extension::critical(id::CERTIFICATE_ISSUER, name))
        }),
        list("list-is-due-now", Lists, ACCEPT, |chain, at, _, _| Ok(chain.lists[at].next_update = der::time(NOW))),
        list("list-was-due", Lists, "revocation-list-stale", |chain, at, _, _| {
            Ok(chain.lists[at].next_update = der::time(NOW - Duration::seconds(1)))
        }),
        list("list-of-now", Lists, ACCEPT, |chain, at, _, _| Ok(chain.lists[at].this_update = der::time(NOW))),
        list("list-of-the-future", Lists, "revocation-list-early", |chain, at, _, _| {
            Ok(chain.lists[at].this_update = der::time(NOW + Duration::seconds(1)))
        }),
        list("list-without-next-update", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].next_update.clear())),
        list("list-times-swapped", Lists, FORM, |chain, at, _, _| {
            let list = &mut chain.lists[at];
            Ok(std::mem::swap(&mut list.this_update, &mut list.next_update))
        }),
        list("list-generalized-time-too-early", Lists, FORM, |chain, at, _, _| {
            Ok(chain.lists[at].next_update = der::generalized_time(NOW + Duration::days(1)))
        }),
        list("list-version-1", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].version.clear())),
        list("list-version-3", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].version = der::integer(&[2]))),
        list("list-of-another-issuer", Lists, NONE, |chain, at, _, _| Ok(chain.lists[at].issuer = crate::draft::named("another"))),
        list("list-without-issuer", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].issuer = der::sequence(&[]))),
        list("list-signed-by-stranger", Lists, "revocation-list-signature", |chain, at, keys, _| {
            Ok(chain.lists[at].signer = keys.get("p256-other").clone())
        }),
        list("list-sha-1", Lists, "signature-algorithm", |chain, at, _, _| Ok(chain.lists[at].algorithm = Algorithm::EcdsaSha1)),
        list("list-of-another-key", Lists, NONE, |chain, at, _, _| {
            put(chain, at, Extension::new(id::AKI, der::sequence(&[&der::implicit(0, &[7; 20])])))
        }),
        list("list-without-key-id", Lists, ACCEPT, |chain, at, _, _| {
            Ok(chain.lists[at].extensions.retain(|extension| extension.oid != id::AKI))
        }),
        list("list-without-number", Lists, FORM, |chain, at, _, _| {
            Ok(chain.lists[at].extensions.retain(|extension| extension.oid != id::CRL_NUMBER))
        }),
        list("list-number-padded", Lists, FORM, |chain, at, _, _| put(chain, at, Extension::new(id::CRL_NUMBER, der::integer(&[0, 5])))),
        list("list-number-critical", Lists, FORM, |chain, at, _, _| {
            put(chain, at, Extension::critical(id::CRL_NUMBER, der::integer(&[5])))
        }),
        list("list-number-negative", Lists, FORM, |chain, at, _, _| put(chain, at, Extension::new(id::CRL_NUMBER, der::integer(&[0x85])))),
        list("list-number-zero", Lists, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::CRL_NUMBER, der::integer(&[0])))),
        list("list-key-id-critical", Lists, FORM, |chain, at, _, _| {
            let id = chain.certificates[at + 1].key.id()?;
            put(chain, at, Extension::critical(id::AKI, der::sequence(&[&der::implicit(0, &id)])))
        }),
        list("list-reason-critical", Lists, FORM, |chain, at, _, _| {
            other(chain, at, Extension::critical(id::REASON, der::element(0x0a, &[1])))
        }),
        list("list-without-extensions", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].extensions.clear())),
        list("list-extension-twice", Lists, FORM, |chain, at, _, _| Ok(chain.lists[at].extensions.extend_from_within(..1))),
        list("list-unknown", Lists, ACCEPT, |chain, at, _, _| put(chain, at, Extension::new(id::UNKNOWN, vec![1]))),
        list("list-unknown-critical", Lists, SCOPE, |chain, at, _, _| put(chain, at, Extension::critical(id::UNKNOWN, der::NULL.to_vec()))),
        list("list-delta", Lists, SCOPE, |chain, at, _, _| put(chain, at, Extension::critical(id::DELTA, der::integer(&[4])))),
        list("list-indirect", Lists, SCOPE, |chain, at, _, _| point(chain, at, &der::implicit(4, &[0xff]))),
        list("list-for-some-reasons", Lists, SCOPE, |chain, at, _, _| point(chain, at, &der::implicit(3, &[6, 0x40]))),
        list("list-of-leaves", LeafList, ACCEPT, |chain, at, _, _| point(chain, at, &der::implicit(1, &[0xff]))),
        list("list-of-leaves", CaList, NONE, |chain, at, _, _| point(chain, at, &der::implicit(1, &[0xff]))),
        list("list-of-cas", LeafList, NONE, |chain, at, _, _| point(chain, at, &der::implicit(2, &[0xff]))),
        list("list-of-cas", CaList, ACCEPT, |chain, at, _, _| point(chain, at, &der::implicit(2, &[0xff]))),
        list("list-of-attributes", Lists, NONE, |chain, at, _, _| point(chain, at, &der::implicit(5, &[0xff]))),
        list("list-of-leaves-and-cas", Lists, FORM, |chain, at, _, _| {
            point(chain, at, &[der::implicit(1, &[0xff]), der::implicit(2, &[0xff])].concat())
        }),
        list("list-scope-false-written-out", Lists, FORM, |chain, at, _, _| point(chain, at, &der::implicit(1, &[0]))),
        list("list-scope-empty", Lists, FORM, |chain, at, _, _| point(chain, at, &[])),
        list("list-scope-not-critical", Lists, FORM, |chain, at, _, _| {
            put(chain, at, Extension::new(id::IDP, der::sequence(&[&der::implicit(2, &[0xff])])))
        }),
        list("list-of-its-point", LeafList, ACCEPT, |chain, at, _, _| point(chain, at, &place("http://crl.example.com/1"))),
        list("list-of-another-point", Lists, NONE, |chain, at, _, _| point(chain, at, &place("http://crl.example.com/9"))),
        list("list-dropped", LeafList, NONE, |chain, at, _, _| Ok(drop(chain.lists.remove(at)))),
        list("list-dropped", CaList, NONE, |chain, at, _, _| Ok(drop(chain.lists.remove(at)))),
        bytes("list-trailing-byte", FORM, |der, _| der.push(0)),
        bytes("list-truncated", FORM, |der, chance| der.truncate(1 + chance.below(der.len() - 1))).times(3),
        bytes("list-signature-bit", "revocation-list-signature", |der, chance| {
            // The last 60 bytes are inside of an ECDSA signature.
            let at = der.len() - 1 - chance.below(60);
            der[at] ^= 1 << chance.below(8);
        })
        .times(6),
        bytes("list-signed-bit", "refuse", |der, chance| {
            let at = 4 + chance.below(super::fields::signature_start(der) - 4);
            der[at] ^= 1 << chance.below(8);
        })
        .times(24),
    ]
}

/// Each list is about the certificate of the same number.
fn revoke(chain: &mut Chain, at: usize, extensions: &[Extension]) -> Result<(), Error> {
    let serial = chain.certificates[at].serial.clone();
    chain.lists[at].revoke(&serial, extensions);
    Ok(())
}

fn other(chain: &mut Chain, at: usize, extension: Extension) -> Result<(), Error> {
    chain.lists[at].revoke(&der::integer(&[9]), &[extension]);
    Ok(())
}

fn put(chain: &mut Chain, at: usize, extension: Extension) -> Result<(), Error> {
    let extensions = &mut chain.lists[at].extensions;
    extensions.retain(|known| known.oid != extension.oid);
    extensions.push(extension);
    Ok(())
}

fn point(chain: &mut Chain, at: usize, content: &[u8]) -> Result<(), Error> {
    put(chain, at, Extension::critical(id::IDP, der::sequence(&[content])))
}

fn place(address: &str) -> Vec<u8> {
    der::context(0, &der::context(0, &uri(address)))
}
