//! Keys and who signs with them (RFC 5280 §4.1.2.7, §6.1.3 (a)(1)).

use super::{
    Change, Mutation,
    Places::{All, Anchor, Authorities, Below, Leaf},
    draft,
};
use crate::{chain::Keys, der};

pub(super) fn all() -> Vec<Mutation> {
    let bytes = |name, places, verdict, change: fn(&mut Vec<u8>, &mut super::Chance)| Mutation {
        name,
        places,
        change: Change::Bytes(change),
        verdict,
        bases: &[],
        variants: 1,
    };
    vec![
        draft("key-other", Leaf, "accept", |chain, at, keys, _| put(chain, at, keys.get("p256-other").spki()?)),
        draft("key-other", Authorities, "signature", |chain, at, keys, _| put(chain, at, keys.get("p256-other").spki()?)),
        draft("key-rsa-4096", Leaf, "accept", |chain, at, keys, _| put(chain, at, keys.get("rsa4096-leaf").spki()?)),
        draft("key-rsa-1024", All, "key", |chain, at, keys, _| put(chain, at, keys.get("rsa1024-weak").spki()?)),
        draft("key-rsa-exponent-3", All, "key", |chain, at, keys, _| put(chain, at, keys.get("rsa2048-exponent-3").spki()?)),
        draft("key-rsa-without-null", All, "key", |chain, at, keys, _| {
            let spki = keys.get("rsa2048-other").spki()?;
            let algorithm = der::sequence(&[&der::oid("1.2.840.113549.1.1.1")]);
            // Four bytes of length, then the identifier of fifteen.
            put(chain, at, der::sequence(&[&algorithm, &spki[4 + 15..]]))
        }),
        draft("key-p224", All, "key", |chain, at, keys, _| put(chain, at, keys.get("p224-weak").spki()?)),
        draft("key-p521", All, "key", |chain, at, keys, _| put(chain, at, keys.get("p521-leaf").spki()?)),
        draft("key-secp256k1", All, "key", |chain, at, keys, _| put(chain, at, keys.get("secp256k1-leaf").spki()?)),
        draft("key-ed448", All, "key", |chain, at, keys, _| put(chain, at, keys.get("ed448-leaf").spki()?)),
        draft("key-dsa", All, "key", |chain, at, keys, _| put(chain, at, keys.get("dsa-leaf").spki()?)),
        draft("key-compressed", All, "key", |chain, at, keys, _| put(chain, at, keys.get("p256-other").spki_with_compressed_point()?)),
        draft("key-with-explicit-curve", All, "key", |chain, at, keys, _| {
            put(chain, at, keys.get("p256-other").spki_with_explicit_curve()?)
        }),
        draft("key-off-the-curve", All, "key", |chain, at, keys, _| {
            let mut spki = keys.get("p256-other").spki()?;
            if let Some(last) = spki.last_mut() {
                *last ^= 1;
            }
            put(chain, at, spki)
        }),
        draft("key-at-infinity", All, "key", |chain, at, keys, _| {
            let spki = keys.get("p256-other").spki()?;
            put(chain, at, der::sequence(&[&spki[2..23], &der::bits(&[0])]))
        }),
        draft("key-with-unused-bits", All, "encoding", |chain, at, keys, _| {
            let mut spki = keys.get("p256-other").spki()?;
            // The count of unused bits stands before the point of 65 bytes; the last bit is one.
            let count = spki.len() - 66;
            spki[count] = 1;
            if let Some(last) = spki.last_mut() {
                *last |= 1;
            }
            put(chain, at, spki)
        }),
        draft("signed-by-stranger", Below, "signature", stranger_signs),
        // Nobody checks an anchor's own signature.
        draft("signed-by-stranger", Anchor, "accept", stranger_signs),
        bytes("signature-empty", Below, "signature", |der, _| replace_signature(der, &[0])),
        bytes("signature-truncated", Below, "signature", |der, _| {
            let start = super::fields::signature_start(der);
            let short = der[start - 1..der.len() - 1].to_vec();
            replace_signature(der, &short);
        }),
        bytes("signature-with-unused-bits", All, "encoding", |der, _| {
            let start = super::fields::signature_start(der);
            let mut content = der[start - 1..].to_vec();
            content[0] = 1;
            if let Some(last) = content.last_mut() {
                *last &= 0xfe;
            }
            replace_signature(der, &content);
        }),
    ]
}

fn put(chain: &mut crate::chain::Chain, at: usize, spki: Vec<u8>) -> Result<(), crate::Error> {
    chain.certificates[at].spki = spki;
    Ok(())
}

fn stranger_signs(chain: &mut crate::chain::Chain, at: usize, keys: &Keys, _: &mut super::Chance) -> Result<(), crate::Error> {
    let draft = &mut chain.certificates[at];
    // A key of the same kind, so that the algorithm fits and only the signature is wrong.
    let kind = match draft.algorithm {
        crate::key::Algorithm::Ed25519 => "ed25519-other",
        crate::key::Algorithm::EcdsaSha384 => "p384-other",
        crate::key::Algorithm::EcdsaSha256 | crate::key::Algorithm::EcdsaSha1 => "p256-stranger",
        _ => "rsa2048-other",
    };
    draft.signer = keys.get(kind).clone();
    Ok(())
}

/// Puts other content into the last BIT STRING and corrects the length around it.
fn replace_signature(certificate: &mut Vec<u8>, content: &[u8]) {
    let start = super::fields::signature_start(certificate);
    let header = match start - 1 {
        // The header of the bit string: two, three or four bytes, which end where its content begins.
        end if certificate[end - 2] == 0x03 && usize::from(certificate[end - 1]) == certificate.len() - end => end - 2,
        end if certificate[end - 2] == 0x81 => end - 3,
        end => end - 4,
    };
    let inside = [&certificate[4..header], der::element(0x03, content).as_slice()].concat();
    *certificate = der::element(0x30, &inside);
}
