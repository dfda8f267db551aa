//! Chains that break one rule each.

use crate::{
    Error,
    chain::{Bundle, Chain, Keys},
    der,
    draft::{self, Draft, Extension, NOW, id, ku, usage},
    good::{self, Family, POLICY_A, POLICY_B, directory, dns, mail, network, san},
    key::{Algorithm, Key},
};
use time::Duration;

/// Every bad chain of the corpus.
pub(crate) fn all(keys: &Keys) -> Result<Vec<(&'static str, Bundle)>, Error> {
    let mut chains = Vec::new();
    chains.extend(times(keys)?);
    chains.extend(roles(keys)?);
    chains.extend(usages(keys)?);
    chains.extend(issuers(keys)?);
    chains.extend(signatures(keys)?);
    chains.extend(names(keys)?);
    chains.extend(extensions(keys)?);
    chains.extend(lists(keys)?);
    Ok(chains)
}

type Named = Vec<(&'static str, Bundle)>;

/// Leaf, one CA, root; with a change to each of the three.
fn three(keys: &Keys, change: impl FnOnce(&mut [Draft; 3])) -> Result<Bundle, Error> {
    let family = Family::new(keys, "p256")?;
    let leaf = family.upper.leaf("device", &family.leaf.key, &[usage::CLIENT])?;
    let mut drafts = [leaf, family.upper, family.root];
    change(&mut drafts);
    Chain::new(drafts).sign()
}

fn times(keys: &Keys) -> Result<Named, Error> {
    let past = || der::time(NOW - Duration::seconds(1));
    let future = || der::time(NOW + Duration::seconds(1));
    Ok(vec![
        ("expired-leaf", three(keys, |[leaf, ..]| leaf.not_after = past())?),
        ("expired-intermediate", three(keys, |[_, ca, _]| ca.not_after = past())?),
        ("expired-root", three(keys, |[.., root]| root.not_after = past())?),
        ("not-yet-valid-leaf", three(keys, |[leaf, ..]| leaf.not_before = future())?),
        ("not-yet-valid-intermediate", three(keys, |[_, ca, _]| ca.not_before = future())?),
        ("ends-before-it-begins", three(keys, |[leaf, ..]| std::mem::swap(&mut leaf.not_before, &mut leaf.not_after))?),
        (
            "generalized-time-too-early",
            three(keys, |[leaf, ..]| leaf.not_after = der::generalized_time(der::date("2049-01-01T00:00:00Z")))?,
        ),
        (
            "expired-with-expired-ca",
            three(keys, |[leaf, ca, _]| {
                leaf.not_after = der::time(der::date("2027-01-01T00:00:00Z"));
                ca.not_after = der::time(der::date("2025-06-01T00:00:00Z"));
            })?,
        ),
    ])
}

fn roles(keys: &Keys) -> Result<Named, Error> {
    let family = Family::new(keys, "p256")?;
    let ca_as_leaf = |mut draft: Draft| {
        draft.put(Extension::critical(id::KU, der::named_bits(&[ku::SIGN, ku::CERTIFY])));
        draft.put(Extension::new(id::EKU, draft::usage_list(&[usage::CLIENT])));
        draft
    };
    let self_signed = Draft::root("alone", keys.get("p256-leaf"))?;
    let leaf_of_itself = {
        let mut leaf = Draft::root("alone", keys.get("p256-leaf"))?.leaf("alone", keys.get("p256-leaf"), &[usage::CLIENT])?;
        leaf.serial = self_signed.serial.clone();
        leaf
    };
    // The leaf's key signs another leaf.
    let issuing_leaf = family.root.leaf("device", keys.get("p256-leaf"), &[usage::CLIENT])?;
    let below_leaf = issuing_leaf.leaf("below", keys.get("p256-other"), &[usage::CLIENT])?;
    Ok(vec![
        ("ca-as-leaf", Chain::new([ca_as_leaf(family.lower.clone()), family.upper.clone(), family.root.clone()]).sign()?),
        ("self-signed-ca-as-leaf", Chain::new([ca_as_leaf(self_signed.clone()), self_signed]).sign()?),
        ("self-signed-leaf-as-anchor", Chain::new([leaf_of_itself.clone(), leaf_of_itself]).sign()?),
        ("leaf-as-issuer", Chain::new([below_leaf, issuing_leaf, family.root.clone()]).sign()?),
        (
            "issuer-without-ca-bit",
            three(keys, |[_, ca, _]| {
                ca.put(Extension::critical(id::BC, der::sequence(&[])));
                ca.put(Extension::critical(id::KU, der::named_bits(&[ku::SIGN])));
            })?,
        ),
        (
            "issuer-without-basic-constraints",
            three(keys, |[_, ca, _]| {
                ca.drop(id::BC);
                ca.drop(id::KU);
            })?,
        ),
        ("issuer-not-critical", three(keys, |[_, ca, _]| ca.put(Extension::new(id::BC, draft::basic_constraints(None))))?),
        ("root-not-critical", three(keys, |[.., root]| root.put(Extension::new(id::BC, draft::basic_constraints(None))))?),
        ("ca-bit-without-cert-sign", three(keys, |[_, ca, _]| ca.put(Extension::critical(id::KU, der::named_bits(&[ku::SIGN]))))?),
        (
            "cert-sign-without-ca-bit",
            three(keys, |[leaf, ..]| leaf.put(Extension::critical(id::KU, der::named_bits(&[ku::SIGN, ku::CERTIFY]))))?,
        ),
        ("path-too-long", {
            let mut chain = family.chain();
            chain.certificates[2].put(Extension::critical(id::BC, draft::basic_constraints(Some(0))));
            chain.sign()?
        }),
        ("path-too-long-for-root", {
            let mut chain = family.chain();
            chain.certificates[3].put(Extension::critical(id::BC, draft::basic_constraints(Some(1))));
            chain.sign()?
        }),
        ("path-length-in-leaf", three(keys, |[leaf, ..]| leaf.put(Extension::critical(id::BC, der::sequence(&[&der::integer(&[0])]))))?),
        (
            "version-1-root",
            three(keys, |[.., root]| {
                root.version.clear();
                root.extensions.clear();
            })?,
        ),
        (
            "version-1-intermediate",
            three(keys, |[_, ca, _]| {
                ca.version.clear();
                ca.extensions.clear();
            })?,
        ),
    ])
}

fn usages(keys: &Keys) -> Result<Named, Error> {
    let eku = |usages: &[&str]| Extension::new(id::EKU, draft::usage_list(usages));
    Ok(vec![
        ("server-as-client", three(keys, |[leaf, ..]| leaf.put(eku(&[usage::SERVER])))?),
        ("any-usage-leaf", three(keys, |[leaf, ..]| leaf.put(eku(&[usage::ANY])))?),
        ("no-usage-leaf", three(keys, |[leaf, ..]| leaf.drop(id::EKU))?),
        ("code-signing-ca", three(keys, |[_, ca, _]| ca.put(eku(&[usage::CODE])))?),
        ("server-only-root", three(keys, |[.., root]| root.put(eku(&[usage::SERVER])))?),
        ("key-agreement-only", three(keys, |[leaf, ..]| leaf.put(Extension::critical(id::KU, der::named_bits(&[ku::AGREE]))))?),
    ])
}

fn issuers(keys: &Keys) -> Result<Named, Error> {
    let family = Family::new(keys, "p256")?;
    let stranger = Draft::root("stranger root", keys.get("p256-stranger"))?;
    let namesake = Draft::root("p256 root", keys.get("p256-stranger"))?;
    let leaf_of = |ca: &Draft| ca.leaf("device", keys.get("p256-leaf"), &[usage::CLIENT]);
    let mut missing = family.chain().sign()?;
    missing.presented.remove(1);
    let sibling = family.root.ca("sibling", keys.get("p256-other"), Some(0))?;
    let around_lead = {
        let leaf = family.root.leaf("device", keys.get("p256-leaf"), &[usage::CLIENT])?;
        let mut bundle = Chain::new([leaf, family.root.clone()]).sign()?;
        bundle.intermediates = vec![family.upper.encode()?];
        bundle
    };
    Ok(vec![
        ("unknown-root", Chain::new([leaf_of(&stranger)?, family.root.clone()]).sign()?),
        ("root-of-same-name", Chain::new([leaf_of(&namesake)?, family.root.clone()]).sign()?),
        ("wrong-issuer-name", three(keys, |[leaf, ..]| leaf.issuer = draft::named("p256 lower"))?),
        ("missing-intermediate", missing),
        ("sibling-intermediate", Chain::new([leaf_of(&sibling)?, sibling, family.upper.clone()]).sign()?),
        ("around-the-lead", around_lead),
        ("other-key-id", three(keys, |[leaf, ..]| leaf.put(Extension::new(id::AKI, der::sequence(&[&der::implicit(0, &[9; 20])]))))?),
        (
            "other-serial-in-key-id",
            three(keys, |[leaf, ca, _]| {
                let issuer = der::context(1, &directory(&ca.issuer));
                leaf.put(Extension::new(id::AKI, der::sequence(&[&issuer, &der::implicit(2, &[7])])));
            })?,
        ),
        ("missing-authority-key-id", three(keys, |[leaf, ..]| leaf.drop(id::AKI))?),
        ("missing-subject-key-id", three(keys, |[_, ca, _]| ca.drop(id::SKI))?),
    ])
}

fn signatures(keys: &Keys) -> Result<Named, Error> {
    let signed_as = |draft: &mut Draft, algorithm: Algorithm| {
        draft.algorithm = algorithm;
        (draft.inner_algorithm, draft.outer_algorithm) = (algorithm.identifier(), algorithm.identifier());
    };
    let other = keys.get("p256-other").clone();
    let spki = |key: &Key| key.spki();
    let (weak, small, large, odd, exponent, edwards) = (
        spki(keys.get("rsa1024-weak"))?,
        spki(keys.get("p224-weak"))?,
        spki(keys.get("p521-leaf"))?,
        spki(keys.get("secp256k1-leaf"))?,
        spki(keys.get("rsa2048-exponent-3"))?,
        spki(keys.get("ed448-leaf"))?,
    );
    let (compressed, explicit) = (keys.get("p256-leaf").spki_with_compressed_point()?, keys.get("p256-leaf").spki_with_explicit_curve()?);
    let with_key = |key: Vec<u8>| three(keys, |[leaf, ..]| leaf.spki = key);
    let weak_ca = {
        let root = Draft::root("p256 root", keys.get("p256-root"))?;
        let ca = root.ca("weak", keys.get("rsa1024-weak"), Some(0))?;
        let leaf = ca.leaf("device", keys.get("p256-leaf"), &[usage::CLIENT])?;
        Chain::new([leaf, ca, root]).sign()?
    };
    Ok(vec![
        ("forged-signature", three(keys, |[leaf, ..]| leaf.signer = other.clone())?),
        ("forged-intermediate", three(keys, |[_, ca, _]| ca.signer = other.clone())?),
        ("altered-leaf", {
            let mut bundle = three(keys, |_| {})?;
            let at = bundle.presented[0].windows(6).position(|window| window == b"device").ok_or(Error::Kind)?;
            bundle.presented[0][at] = b'D';
            bundle
        }),
        ("sha1-leaf", three(keys, |[leaf, ..]| signed_as(leaf, Algorithm::EcdsaSha1))?),
        ("sha1-intermediate", three(keys, |[_, ca, _]| signed_as(ca, Algorithm::EcdsaSha1))?),
        ("algorithms-differ", three(keys, |[leaf, ..]| leaf.outer_algorithm = Algorithm::EcdsaSha384.identifier())?),
        ("weak-rsa-leaf", with_key(weak)?),
        ("weak-rsa-intermediate", weak_ca),
        ("weak-curve-leaf", with_key(small)?),
        ("foreign-curve-leaf", with_key(large)?),
        ("bitcoin-curve-leaf", with_key(odd)?),
        ("rsa-exponent-3-leaf", with_key(exponent)?),
        ("ed448-leaf", with_key(edwards)?),
        ("compressed-point-leaf", with_key(compressed)?),
        ("explicit-curve-leaf", with_key(explicit)?),
    ])
}

fn names(keys: &Keys) -> Result<Named, Error> {
    let constrained = |permitted: &[Vec<u8>], excluded: &[Vec<u8>], names: &[Vec<u8>]| {
        let constraints = Extension::critical(id::NC, draft::name_constraints(permitted, excluded));
        three(keys, |[leaf, ca, _]| {
            ca.put(constraints);
            if !names.is_empty() {
                leaf.put(san(names));
            }
        })
    };
    let organisation = der::name(&[(der::ORGANISATION, "Somebody Else")]);
    let ours = der::name(&[(der::ORGANISATION, "GATEHOUSE  test")]);
    Ok(vec![
        ("host-not-permitted", constrained(&[dns("example.com")], &[], &[dns("example.org")])?),
        ("host-excluded", constrained(&[], &[dns("example.com")], &[dns("host.example.com")])?),
        ("wildcard-over-excluded", constrained(&[], &[dns("secret.example.com")], &[dns("*.example.com")])?),
        ("address-not-permitted", constrained(&[network([10, 0, 0, 0], 8)], &[], &[good::address([192, 0, 2, 1])])?),
        ("mail-excluded", constrained(&[], &[mail("example.com")], &[mail("a@example.com")])?),
        ("directory-not-permitted", constrained(&[directory(&organisation)], &[], &[])?),
        ("directory-excluded-by-meaning", constrained(&[], &[directory(&ours)], &[])?),
        ("constraint-of-unjudged-form", constrained(&[der::implicit(8, &der::oid_content("1.2.3"))], &[], &[])?),
        ("constraint-not-critical", three(keys, |[_, ca, _]| ca.put(Extension::new(id::NC, draft::name_constraints(&[dns("a")], &[]))))?),
        (
            "common-name-not-permitted",
            three(keys, |[leaf, ca, _]| {
                leaf.subject = draft::named("host.example.org");
                ca.put(Extension::critical(id::NC, draft::name_constraints(&[dns("example.com")], &[])));
            })?,
        ),
        (
            "empty-issuer",
            three(keys, |[leaf, ca, _]| {
                leaf.issuer = der::sequence(&[]);
                ca.subject = der::sequence(&[]);
            })?,
        ),
        ("empty-subject", three(keys, |[leaf, ..]| leaf.subject = der::sequence(&[]))?),
        ("empty-alternative-names", three(keys, |[leaf, ..]| leaf.put(san(&[])))?),
        ("five-byte-address", three(keys, |[leaf, ..]| leaf.put(san(&[der::implicit(7, &[1; 5])])))?),
    ])
}

fn extensions(keys: &Keys) -> Result<Named, Error> {
    let unknown = || Extension::critical(id::UNKNOWN, der::NULL.to_vec());
    let explicit = || Extension::critical(id::PC, der::sequence(&[&der::implicit(0, &[0])]));
    Ok(vec![
        ("unknown-critical-leaf", three(keys, |[leaf, ..]| leaf.put(unknown()))?),
        ("unknown-critical-intermediate", three(keys, |[_, ca, _]| ca.put(unknown()))?),
        ("unknown-critical-root", three(keys, |[.., root]| root.put(unknown()))?),
        ("duplicate-extension", three(keys, |[leaf, ..]| leaf.extensions.push(leaf.extensions[0].clone()))?),
        ("policy-demanded", three(keys, |[_, ca, _]| ca.put(explicit()))?),
        (
            "policy-of-another",
            three(keys, |[leaf, ca, _]| {
                ca.put(explicit());
                ca.put(Extension::new(id::POLICIES, draft::policies(&[POLICY_A])));
                leaf.put(Extension::new(id::POLICIES, draft::policies(&[POLICY_B])));
            })?,
        ),
        ("serial-zero", three(keys, |[leaf, ..]| leaf.serial = der::integer(&[0]))?),
        ("serial-negative", three(keys, |[leaf, ..]| leaf.serial = der::integer(&[0x80]))?),
        ("serial-too-long", three(keys, |[leaf, ..]| leaf.serial = der::integer(&[0x11; 21]))?),
        ("unique-id", three(keys, |[leaf, ..]| leaf.unique_ids = der::implicit(1, &[0, 1]))?),
        ("explicit-false", three(keys, |[leaf, ..]| leaf.put(Extension::critical(id::BC, der::sequence(&[&[1, 1, 0]]))))?),
        ("trailing-byte", {
            let mut bundle = three(keys, |_| {})?;
            bundle.presented[0].push(0);
            bundle
        }),
    ])
}

fn lists(keys: &Keys) -> Result<Named, Error> {
    let family = Family::new(keys, "p256")?;
    let base = || good::with_lists(&family);
    let changed = |change: &dyn Fn(&mut Chain)| -> Result<Bundle, Error> {
        let mut chain = base()?;
        change(&mut chain);
        chain.sign()
    };
    let namesake = Draft { key: keys.get("p256-other").clone(), ..family.upper.clone() };
    let other_list = namesake.list()?;
    let only = |number: u8| Extension::critical(id::IDP, der::sequence(&[&der::implicit(number, &[0xff])]));
    Ok(vec![
        (
            "revoked-leaf",
            changed(&|chain| {
                let serial = chain.certificates[0].serial.clone();
                chain.lists[0].revoke(&serial, &[Extension::new(id::REASON, der::element(0x0a, &[1]))]);
            })?,
        ),
        (
            "revoked-intermediate",
            changed(&|chain| {
                let serial = chain.certificates[1].serial.clone();
                chain.lists[1].revoke(&serial, &[]);
            })?,
        ),
        (
            "on-hold",
            changed(&|chain| {
                let serial = chain.certificates[0].serial.clone();
                chain.lists[0].revoke(&serial, &[Extension::new(id::REASON, der::element(0x0a, &[6]))]);
            })?,
        ),
        (
            "revoked-by-delta",
            changed(&|chain| {
                let mut delta = chain.lists[0].clone();
                delta.revoke(&chain.certificates[0].serial, &[Extension::new(id::REASON, der::element(0x0a, &[1]))]);
                delta.extensions.push(Extension::critical(id::DELTA, der::integer(&[1])));
                chain.lists.push(delta);
            })?,
        ),
        ("stale-list", changed(&|chain| chain.lists[0].next_update = der::time(NOW - Duration::seconds(1)))?),
        ("early-list", changed(&|chain| chain.lists[0].this_update = der::time(NOW + Duration::seconds(1)))?),
        ("forged-list", changed(&|chain| chain.lists[0].signer = keys.get("p256-other").clone())?),
        ("list-of-namesake", changed(&|chain| chain.lists[0] = other_list.clone())?),
        ("no-list", changed(&|chain| drop(chain.lists.remove(0)))?),
        ("delta-list", changed(&|chain| chain.lists[0].extensions.push(Extension::critical(id::DELTA, der::integer(&[1]))))?),
        ("indirect-list", changed(&|chain| chain.lists[0].extensions.push(only(4)))?),
        ("list-of-cas-only", changed(&|chain| chain.lists[0].extensions.push(only(2)))?),
        (
            "list-with-unknown-critical",
            changed(&|chain| chain.lists[0].extensions.push(Extension::critical(id::UNKNOWN, der::NULL.to_vec())))?,
        ),
        (
            "entry-with-unknown-critical",
            changed(&|chain| {
                chain.lists[0].revoke(&der::integer(&[0x66]), &[Extension::critical(id::UNKNOWN, der::NULL.to_vec())]);
            })?,
        ),
        (
            "list-without-crl-sign",
            changed(&|chain| {
                chain.certificates[1].put(Extension::critical(id::KU, der::named_bits(&[ku::CERTIFY])));
            })?,
        ),
    ])
}
