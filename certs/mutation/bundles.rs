//! What is presented, in which order, and what is configured.

use super::{Change, Mutation, Places::Whole};
use crate::{
    Error,
    chain::{Bundle, Chain, Keys},
    der,
    draft::{Draft, Extension, id},
};

pub(super) fn all() -> Vec<Mutation> {
    let bundle = |name, verdict, change: fn(&mut Bundle, &Chain, &Keys) -> Result<(), Error>| Mutation {
        name,
        places: Whole,
        change: Change::Bundle(change),
        verdict,
        bases: &[],
        variants: 1,
    };
    vec![
        bundle("nothing-presented", "no-certificate", |bundle, _, _| Ok(bundle.presented.clear())),
        bundle("first-intermediate-omitted", "unknown-issuer", |bundle, _, _| Ok(drop(bundle.presented.remove(1)))),
        bundle("intermediates-omitted", "unknown-issuer", |bundle, _, _| Ok(bundle.presented.truncate(1))),
        bundle("leaf-omitted", "leaf-is-ca", |bundle, _, _| Ok(drop(bundle.presented.remove(0)))),
        bundle("leaf-is-garbage", "encoding", |bundle, _, _| Ok(bundle.presented[0] = vec![0x30, 3, 2, 1])),
        bundle("intermediates-reversed", "accept", |bundle, _, _| Ok(bundle.presented[1..].reverse())),
        bundle("intermediates-twice", "accept", |bundle, _, _| Ok(bundle.presented.extend_from_within(1..))),
        bundle("leaf-twice", "accept", |bundle, _, _| Ok(bundle.presented.push(bundle.presented[0].clone()))),
        bundle("root-presented", "accept", |bundle, _, _| Ok(bundle.presented.push(bundle.anchors[0].clone()))),
        bundle("root-presented-first", "accept", |bundle, _, _| Ok(bundle.presented.insert(1, bundle.anchors[0].clone()))),
        bundle("stranger-presented", "accept", |bundle, _, keys| Ok(bundle.presented.insert(1, stranger(keys)?))),
        bundle("garbage-presented", "accept", |bundle, _, _| Ok(bundle.presented.insert(1, vec![0x30, 0x80]))),
        bundle("seventeen-presented", "too-many", |bundle, _, _| {
            let last = bundle.presented[bundle.presented.len() - 1].clone();
            Ok(bundle.presented.resize(17, last))
        }),
        bundle("sixteen-presented", "accept", |bundle, _, _| {
            let last = bundle.presented[bundle.presented.len() - 1].clone();
            Ok(bundle.presented.resize(16, last))
        }),
        bundle("large-garbage-presented", "too-large", |bundle, _, _| Ok(bundle.presented.push(vec![0; 16 * 1024]))),
        bundle("anchor-is-stranger", "unknown-issuer", |bundle, _, keys| Ok(bundle.anchors = vec![stranger(keys)?])),
        bundle("anchor-of-same-name", "key-id-mismatch", |bundle, chain, keys| {
            let mut namesake = chain.certificates[chain.certificates.len() - 1].clone();
            let key = keys.get("p256-other");
            namesake.spki = key.spki()?;
            namesake.put(Extension::new(id::SKI, der::octets(&key.id()?)));
            Ok(bundle.anchors = vec![namesake.encode()?])
        }),
        bundle("anchor-of-same-name-and-key-id", "signature", |bundle, chain, keys| {
            let mut namesake = chain.certificates[chain.certificates.len() - 1].clone();
            namesake.spki = keys.get("p256-other").spki()?;
            Ok(bundle.anchors = vec![namesake.encode()?])
        }),
        bundle("anchor-beside-namesake", "accept", |bundle, chain, keys| {
            let mut namesake = chain.certificates[chain.certificates.len() - 1].clone();
            namesake.spki = keys.get("p256-other").spki()?;
            Ok(bundle.anchors.insert(0, namesake.encode()?))
        }),
        bundle("anchor-beside-stranger", "accept", |bundle, _, keys| Ok(bundle.anchors.insert(0, stranger(keys)?))),
        bundle("anchor-twice", "accept", |bundle, _, _| Ok(bundle.anchors.extend_from_within(..))),
        bundle("leaf-also-anchor", "accept", |bundle, _, _| Ok(bundle.anchors.push(bundle.presented[0].clone()))),
        bundle("only-leaf-is-anchor", "unknown-issuer", |bundle, _, _| Ok(bundle.anchors = vec![bundle.presented[0].clone()])),
        bundle("intermediates-configured", "accept", |bundle, _, _| Ok(bundle.intermediates = bundle.presented.split_off(1))),
        bundle("root-presented-but-not-trusted", "unknown-issuer", |bundle, _, keys| {
            bundle.presented.push(bundle.anchors[0].clone());
            Ok(bundle.anchors = vec![stranger(keys)?])
        }),
        bundle("root-only-configured-as-intermediate", "unknown-issuer", |bundle, _, keys| {
            bundle.intermediates.push(bundle.anchors[0].clone());
            Ok(bundle.anchors = vec![stranger(keys)?])
        }),
    ]
}

fn stranger(keys: &Keys) -> Result<Vec<u8>, Error> {
    Draft::root("stranger root", keys.get("p256-stranger"))?.encode()
}
