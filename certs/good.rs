//! Chains that break no rule.

use crate::{
    Error,
    chain::{Bundle, Chain, Keys, Purpose, Question, Revocation},
    der,
    draft::{self, Draft, Extension, id, usage},
    key::Algorithm,
};

/// A good chain from which mutations are made.
pub struct Base {
    /// What it is called.
    pub name: &'static str,
    /// The chain.
    pub chain: Chain,
    /// What is asked of it.
    pub question: Question,
}

/// Root, upper, lower and leaf with keys of one kind.
pub struct Family {
    /// The root.
    pub root: Draft,
    /// The CA below the root.
    pub upper: Draft,
    /// The CA below that.
    pub lower: Draft,
    /// A client below `lower`.
    pub leaf: Draft,
}

impl Family {
    /// A family whose keys have this kind.
    pub fn new(keys: &Keys, kind: &str) -> Result<Self, Error> {
        let key = |role: &str| keys.get(&format!("{kind}-{role}"));
        let root = Draft::root(&format!("{kind} root"), key("root"))?;
        let upper = root.ca(&format!("{kind} upper"), key("upper"), Some(1))?;
        let lower = upper.ca(&format!("{kind} lower"), key("lower"), Some(0))?;
        let leaf = lower.leaf(&format!("{kind} leaf"), key("leaf"), &[usage::CLIENT])?;
        Ok(Self { root, upper, lower, leaf })
    }

    /// Leaf, lower, upper, root.
    pub fn chain(&self) -> Chain {
        Chain::new([self.leaf.clone(), self.lower.clone(), self.upper.clone(), self.root.clone()])
    }
}

/// The chains from which mutations are made; each has a leaf, at least one intermediate, and an anchor.
pub fn bases(keys: &Keys) -> Result<Vec<Base>, Error> {
    let p256 = Family::new(keys, "p256")?;
    let three = |family: &Family| -> Result<Chain, Error> {
        let leaf = family.upper.leaf("device", &family.leaf.key, &[usage::CLIENT])?;
        Ok(Chain::new([leaf, family.upper.clone(), family.root.clone()]))
    };
    let ocf = p256.upper.leaf("uuid:00000000-0000-4000-8000-000000000001", &p256.leaf.key, &[usage::CLIENT, usage::SERVER, usage::OCF])?;
    let server = p256.upper.leaf("host.example.com", &p256.leaf.key, &[usage::SERVER])?.with(san(&[dns("host.example.com")]));
    Ok(vec![
        Base { name: "p256", chain: three(&p256)?, question: Question::CLIENT },
        Base { name: "p256-long", chain: p256.chain(), question: Question::CLIENT },
        Base { name: "p384-long", chain: Family::new(keys, "p384")?.chain(), question: Question::CLIENT },
        Base { name: "ed25519", chain: three(&Family::new(keys, "ed25519")?)?, question: Question::CLIENT },
        Base { name: "rsa2048", chain: three(&Family::new(keys, "rsa2048")?)?, question: Question::CLIENT },
        Base {
            name: "partial",
            chain: Chain::new([p256.leaf.clone(), p256.lower.clone(), p256.upper.clone()]),
            question: Question::CLIENT,
        },
        Base {
            name: "ocf",
            chain: Chain::new([ocf, p256.upper.clone(), p256.root.clone()]),
            question: Question { purpose: Purpose::OcfDevice, ..Question::CLIENT },
        },
        Base {
            name: "server",
            chain: Chain::new([server, p256.upper.clone(), p256.root.clone()]),
            question: Question { purpose: Purpose::Server, ..Question::CLIENT },
        },
        Base { name: "constrained", chain: constrained(&p256)?, question: Question::CLIENT },
        Base { name: "policies", chain: with_policies(&p256)?, question: Question::CLIENT },
        Base { name: "revocation", chain: with_lists(&p256)?, question: Question { revocation: Revocation::Require, ..Question::CLIENT } },
    ])
}

/// Every good chain of the corpus.
pub fn all(keys: &Keys) -> Result<Vec<(&'static str, Bundle)>, Error> {
    let mut chains = Vec::new();
    for base in bases(keys)? {
        chains.push((base.name, base.chain.sign()?));
    }
    let p256 = Family::new(keys, "p256")?;
    let direct = |name: &str| p256.root.leaf(name, &p256.leaf.key, &[usage::CLIENT]);
    let below = |leaf: Draft| Chain::new([leaf, p256.root.clone()]).sign();

    chains.push(("root-leaf", below(direct("leaf")?)?));
    for kind in ["p384", "ed25519", "rsa2048"] {
        let family = Family::new(keys, kind)?;
        let leaf = family.root.leaf("leaf", &family.leaf.key, &[usage::CLIENT])?;
        let name = match kind {
            "p384" => "root-leaf-p384",
            "ed25519" => "root-leaf-ed25519",
            _ => "root-leaf-rsa2048",
        };
        chains.push((name, Chain::new([leaf, family.root]).sign()?));
    }
    chains.push(("leaf-rsa4096", below(p256.root.leaf("leaf", keys.get("rsa4096-leaf"), &[usage::CLIENT])?)?));
    let mut no_end = direct("leaf")?;
    no_end.not_after = der::generalized_time(der::date("9999-12-31T23:59:59Z"));
    chains.push(("no-end", below(no_end)?));
    let mut pss = Family::new(keys, "rsa2048")?;
    pss.leaf = pss.root.leaf("leaf", &pss.leaf.key, &[usage::CLIENT])?;
    pss.leaf.algorithm = Algorithm::RsaPssSha256;
    (pss.leaf.inner_algorithm, pss.leaf.outer_algorithm) = (pss.leaf.algorithm.identifier(), pss.leaf.algorithm.identifier());
    chains.push(("rsa-pss", Chain::new([pss.leaf, pss.root]).sign()?));
    chains.push(("mixed-keys", mixed(keys)?.sign()?));
    let mut shuffled = p256.chain().sign()?;
    shuffled.presented.swap(1, 2);
    chains.push(("shuffled", shuffled));
    let mut with_root = p256.chain().sign()?;
    with_root.presented.push(with_root.anchors[0].clone());
    chains.push(("root-presented", with_root));
    let mut superfluous = p256.chain().sign()?;
    superfluous.presented.extend([superfluous.presented[1].clone(), Family::new(keys, "p384")?.upper.encode()?]);
    chains.push(("superfluous", superfluous));
    let mut configured = p256.chain().sign()?;
    configured.intermediates = configured.presented.drain(1..).collect();
    chains.push(("intermediates-configured", configured));
    chains.push(("cross-signed", cross_signed(keys, &p256)?));
    chains.push(("rolled-over", rolled_over(keys, &p256)?));
    let mut lists = with_lists(&p256)?.sign()?;
    lists.lists.truncate(1);
    chains.push(("list-of-leaf-only", lists));
    let plain = direct("leaf")?;
    let device = Draft { subject: der::name(&[(der::ORGANISATION, "Gatehouse Test"), (der::SERIAL_NUMBER, "SN-0042")]), ..plain };
    chains.push(("serial-number-only", below(device)?));
    let mut nameless =
        direct("leaf")?.with(Extension::critical(id::SAN, der::sequence(&[&uri("uuid:00000000-0000-4000-8000-000000000002")])));
    nameless.subject = der::sequence(&[]);
    chains.push(("nameless-with-critical-alternative-name", below(nameless)?));
    chains.push(("unknown-extension", below(direct("leaf")?.with(Extension::new(id::UNKNOWN, b"anything".to_vec())))?));
    let without_ids = |mut draft: Draft| {
        draft.drop(id::SKI);
        draft.drop(id::AKI);
        draft
    };
    let foreign = Chain::new([p256.leaf.clone(), p256.lower.clone(), p256.upper.clone(), p256.root.clone()].map(without_ids));
    chains.push(("foreign-without-key-ids", foreign.sign()?));
    let mut expired = p256.upper.leaf("leaf", &p256.leaf.key, &[usage::CLIENT])?;
    expired.not_after = der::time(der::date("2026-01-01T00:00:00Z"));
    chains.push(("expired-leaf-accepted", Chain::new([expired, p256.upper, p256.root]).sign()?));
    Ok(chains)
}

fn constrained(family: &Family) -> Result<Chain, Error> {
    let permitted =
        [dns("example.com"), mail("example.com"), uri(".example.com"), network([10, 0, 0, 0], 8), directory(&draft_organisation())];
    let excluded = [dns("secret.example.com"), network([10, 9, 0, 0], 16), mail("root@example.com")];
    let upper = family.upper.clone().with(Extension::critical(id::NC, draft::name_constraints(&permitted, &excluded)));
    let lower = family.lower.clone();
    let names = [dns("host.example.com"), mail("user@example.com"), uri("https://host.example.com/x"), address([10, 1, 2, 3])];
    let leaf = family.leaf.clone().with(san(&names));
    Ok(Chain::new([leaf, lower, upper, family.root.clone()]))
}

fn with_policies(family: &Family) -> Result<Chain, Error> {
    let explicit = der::sequence(&[&der::implicit(0, &[0])]);
    let upper =
        family.upper.clone().with(Extension::critical(id::PC, explicit)).with(Extension::new(id::POLICIES, draft::policies(&[POLICY_A])));
    let mapping = der::sequence(&[&der::sequence(&[&der::oid(POLICY_A), &der::oid(POLICY_B)])]);
    let lower = family
        .lower
        .clone()
        .with(Extension::new(id::POLICIES, draft::policies(&[POLICY_A])))
        .with(Extension::critical(id::MAPPINGS, mapping));
    let leaf = family.leaf.clone().with(Extension::new(id::POLICIES, draft::policies(&[POLICY_B])));
    Ok(Chain::new([leaf, lower, upper, family.root.clone()]))
}

/// A leaf with a distribution point, its CA, the root, and a list of each CA; somebody else is revoked by both.
pub fn with_lists(family: &Family) -> Result<Chain, Error> {
    let point = Extension::new(id::CDP, draft::distribution_point("http://crl.example.com/1"));
    let leaf = family.upper.leaf("device", &family.leaf.key, &[usage::CLIENT])?.with(point);
    let mut lists = vec![family.upper.list()?, family.root.list()?];
    for list in &mut lists {
        let reason = Extension::new(id::REASON, der::element(0x0a, &[1]));
        list.revoke(&der::integer(&[0x55; 9]), &[reason]);
    }
    Ok(Chain { certificates: vec![leaf, family.upper.clone(), family.root.clone()], lists })
}

/// RSA root, P-384 CA, P-256 CA, Ed25519 leaf.
fn mixed(keys: &Keys) -> Result<Chain, Error> {
    let root = Draft::root("mixed root", keys.get("rsa2048-root"))?;
    let upper = root.ca("mixed upper", keys.get("p384-upper"), None)?;
    let lower = upper.ca("mixed lower", keys.get("p256-lower"), None)?;
    let leaf = lower.leaf("mixed leaf", keys.get("ed25519-leaf"), &[usage::CLIENT])?;
    Ok(Chain::new([leaf, lower, upper, root]))
}

/// The lower CA has certificates of two roots, only one of which is trusted; the wrong one comes first.
fn cross_signed(keys: &Keys, family: &Family) -> Result<Bundle, Error> {
    let stranger = Draft::root("stranger root", keys.get("p256-stranger"))?;
    let by_stranger = stranger.ca("p256 upper", &family.upper.key, Some(1))?;
    let mut bundle = family.chain().sign()?;
    bundle.presented.insert(1, by_stranger.encode()?);
    bundle.presented.push(stranger.encode()?);
    Ok(bundle)
}

/// The root certified its own next key, which signed the CA: a self-issued certificate, that no path length counts.
fn rolled_over(keys: &Keys, family: &Family) -> Result<Bundle, Error> {
    let old = Draft::root("p256 root", &family.root.key)?.with(Extension::critical(id::BC, draft::basic_constraints(Some(0))));
    let new_key = keys.get("p256-other");
    let mut new = old.ca("p256 root", new_key, Some(0))?;
    new.serial = der::integer(&[2]);
    let leaf = new.leaf("leaf", &family.leaf.key, &[usage::CLIENT])?;
    Chain::new([leaf, new, old]).sign()
}

fn draft_organisation() -> Vec<u8> {
    der::name(&[(der::ORGANISATION, "Gatehouse Test")])
}

/// A subject alternative name, not critical.
pub fn san(names: &[Vec<u8>]) -> Extension {
    Extension::new(id::SAN, der::element(0x30, &names.concat()))
}

/// A dNSName.
pub fn dns(name: &str) -> Vec<u8> {
    der::implicit(2, name.as_bytes())
}

/// An rfc822Name.
pub fn mail(name: &str) -> Vec<u8> {
    der::implicit(1, name.as_bytes())
}

/// A uniformResourceIdentifier.
pub fn uri(name: &str) -> Vec<u8> {
    der::implicit(6, name.as_bytes())
}

/// An iPAddress.
pub fn address(octets: [u8; 4]) -> Vec<u8> {
    der::implicit(7, &octets)
}

/// An iPAddress as a constraint.
pub fn network(octets: [u8; 4], prefix: u32) -> Vec<u8> {
    let mask = u32::MAX << (32 - prefix);
    der::implicit(7, &[octets, mask.to_be_bytes()].concat())
}

/// A directoryName.
pub fn directory(name: &[u8]) -> Vec<u8> {
    der::context(4, name)
}

/// A certificate policy.
pub const POLICY_A: &str = "1.3.6.1.4.1.44924.99.2.1";
/// Another one.
pub const POLICY_B: &str = "1.3.6.1.4.1.44924.99.2.2";
