//! Cases of RFC 5280 that need more than one thing at once, filed by section.

use crate::judge;
use gatehouse_certs::{
    chain::{Bundle, Keys, Purpose, Question, Revocation},
    der,
    draft::{self, Draft, Extension, ListDraft, id, ku, usage},
    folder,
    good::{self, POLICY_A, POLICY_B, directory, dns, san},
};
use std::sync::LazyLock;

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::load(&folder::home().join("keys")).expect("the keys are kept"));

const CLIENT: Question = Question::CLIENT;
const REQUIRED: Question = Question { revocation: Revocation::Require, ..CLIENT };
const ANY_POLICY: &str = "2.5.29.32.0";

fn root() -> Draft {
    Draft::root("root", KEYS.get("p256-root")).expect("a draft")
}

fn ca(issuer: &Draft, name: &str, key: &str) -> Draft {
    issuer.ca(name, KEYS.get(key), None).expect("a draft")
}

fn leaf(issuer: &Draft) -> Draft {
    issuer.leaf("leaf", KEYS.get("p256-leaf"), &[usage::CLIENT]).expect("a draft")
}

/// A certificate in which a CA names itself as its issuer, for another of its keys.
fn rolled_over(issuer: &Draft, key: &str) -> Draft {
    let mut next = Draft { serial: der::integer(&[0x22]), ..ca(issuer, "next", key) };
    next.subject = issuer.subject.clone();
    next
}

/// What `pki` says when these are presented under that anchor.
fn say(presented: &[&Draft], anchor: &Draft, question: &Question) -> &'static str {
    say_with(presented, &[anchor], &[], question)
}

fn say_with(presented: &[&Draft], anchors: &[&Draft], lists: &[&ListDraft], question: &Question) -> &'static str {
    let sign = |drafts: &[&Draft]| drafts.iter().map(|draft| draft.encode().expect("signed")).collect();
    let lists = lists.iter().map(|list| list.encode().expect("signed")).collect();
    judge::word(&judge::ask(&Bundle { presented: sign(presented), anchors: sign(anchors), intermediates: Vec::new(), lists }, question))
}

fn constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Extension {
    Extension::critical(id::NC, draft::name_constraints(permitted, excluded))
}

fn policies(oids: &[&str]) -> Extension {
    Extension::new(id::POLICIES, draft::policies(oids))
}

fn explicit_policy(skip: u8) -> Extension {
    Extension::critical(id::PC, der::sequence(&[&der::implicit(0, &[skip])]))
}

fn path_length(length: u8) -> Extension {
    Extension::critical(id::BC, draft::basic_constraints(Some(length)))
}

fn organisation(name: &str) -> Vec<u8> {
    directory(&der::name(&[(der::ORGANISATION, name)]))
}

#[test]
fn section_4_2_1_1_generations_of_a_root_are_told_apart_by_key_identifier() {
    let (old, new) = (root(), Draft::root("root", KEYS.get("p256-stranger")).expect("a draft"));
    for (issuer, anchors) in [(&old, [&old, &new]), (&new, [&old, &new]), (&old, [&new, &old])] {
        assert_eq!(say_with(&[&leaf(issuer)], &anchors, &[], &CLIENT), "accept");
    }
    assert_eq!(say(&[&leaf(&new)], &old, &CLIENT), "key-id-mismatch");
}

#[test]
fn section_4_2_1_4_a_critical_policy_with_an_unknown_qualifier_is_refused() {
    let root = root();
    let qualified = |qualifier: &str| {
        let qualifiers = der::sequence(&[&der::sequence(&[&der::oid(qualifier), &der::element(0x16, b"http://cps.example.com")])]);
        der::sequence(&[&der::sequence(&[&der::oid(POLICY_A), &qualifiers])])
    };
    for (qualifier, when_critical) in [("1.3.6.1.5.5.7.2.1", "accept"), ("1.3.6.1.4.1.44924.99.4", "unknown-critical")] {
        let policies = Extension::new(id::POLICIES, qualified(qualifier));
        assert_eq!(say(&[&leaf(&root).with(policies)], &root, &CLIENT), "accept");
        let policies = Extension::critical(id::POLICIES, qualified(qualifier));
        assert_eq!(say(&[&leaf(&root).with(policies)], &root, &CLIENT), when_critical);
    }
}

#[test]
fn section_4_2_1_9_self_issued_certificates_are_not_counted_as_further_cas() {
    let root = root().with(path_length(1));
    let upper = ca(&root, "upper", "p256-upper").with(path_length(0));
    let next = rolled_over(&upper, "p256-lower");
    assert_eq!(say(&[&leaf(&next), &next, &upper], &root, &CLIENT), "accept");
    // Another CA is one too many, also below a self-issued certificate.
    let lower = ca(&next, "lower", "p256-other");
    assert_eq!(say(&[&leaf(&lower), &lower, &next, &upper], &root, &CLIENT), "path-length");
    // A self-issued certificate may narrow the path itself.
    let narrow = rolled_over(&upper, "p256-lower").with(path_length(0));
    let open = ca(&root, "upper", "p256-upper");
    let narrow_below_open = Draft { signer: open.key.clone(), ..narrow };
    let lower = ca(&narrow_below_open, "lower", "p256-other");
    assert_eq!(say(&[&leaf(&lower), &lower, &narrow_below_open, &open], &root.clone().with(path_length(9)), &CLIENT), "path-length");
}

#[test]
fn section_4_2_1_10_constraints_of_all_cas_hold_together() {
    let wide = ca(&root(), "upper", "p256-upper").with(constraints(&[dns("example.com")], &[]));
    let narrow = ca(&wide, "lower", "p256-lower").with(constraints(&[dns("a.example.com"), dns("example.org")], &[dns("x.a.example.com")]));
    for (host, expected) in [
        ("a.example.com", "accept"),
        ("b.a.example.com", "accept"),
        ("x.a.example.com", "name-constraints"),
        ("b.example.com", "name-constraints"),
        ("example.org", "name-constraints"),
    ] {
        assert_eq!(say(&[&leaf(&narrow).with(san(&[dns(host)])), &narrow, &wide], &root(), &CLIENT), expected, "{host}");
    }
    // One name outside is enough.
    let two = leaf(&narrow).with(san(&[dns("a.example.com"), dns("b.example.com")]));
    assert_eq!(say(&[&two, &narrow, &wide], &root(), &CLIENT), "name-constraints");
}

#[test]
fn section_4_2_1_10_the_anchors_constraints_hold_for_every_ca_below() {
    let root = root().with(constraints(&[organisation("Gatehouse Test")], &[]));
    let fits = ca(&root, "upper", "p256-upper");
    assert_eq!(say(&[&leaf(&fits), &fits], &root, &CLIENT), "accept");
    let mut foreign = fits.clone();
    foreign.subject = der::name(&[(der::ORGANISATION, "Somebody Else")]);
    assert_eq!(say(&[&leaf(&foreign), &foreign], &root, &CLIENT), "name-constraints");
}

#[test]
fn section_4_2_1_10_a_constraint_says_nothing_about_other_forms() {
    let upper = ca(&root(), "upper", "p256-upper").with(constraints(&[dns("example.com")], &[good::mail("example.com")]));
    for (names, expected) in [
        (vec![good::address([192, 0, 2, 1])], "accept"),
        (vec![good::uri("https://anywhere.example/")], "accept"),
        (vec![good::mail("a@example.org")], "accept"),
        (vec![good::mail("a@example.com")], "name-constraints"),
        (vec![good::mail("a@example.org"), dns("example.org")], "name-constraints"),
    ] {
        assert_eq!(say(&[&leaf(&upper).with(san(&names)), &upper], &root(), &CLIENT), expected);
    }
}

#[test]
fn section_4_2_1_10_host_names_in_common_names_count_only_without_host_alternative_names() {
    let upper = ca(&root(), "upper", "p256-upper").with(constraints(&[dns("example.com")], &[]));
    let named = |name: &str| Draft { subject: draft::named(name), ..leaf(&upper) };
    for (draft, expected) in [
        (named("device 7"), "accept"),
        (named("host.example.com"), "accept"),
        (named("host.example.org"), "name-constraints"),
        (named("HOST.EXAMPLE.ORG."), "name-constraints"),
        (named("host.example.org").with(san(&[dns("host.example.com")])), "accept"),
        (named("host.example.org").with(san(&[good::mail("a@b.example")])), "name-constraints"),
    ] {
        assert_eq!(say(&[&draft, &upper], &root(), &CLIENT), expected);
    }
}

#[test]
fn section_4_2_1_10_a_self_issued_ca_keeps_its_name_and_a_self_issued_leaf_does_not() {
    let upper = ca(&root(), "upper", "p256-upper").with(constraints(&[], &[directory(&draft::named("upper"))]));
    let next = rolled_over(&upper, "p256-lower");
    assert_eq!(say(&[&leaf(&next), &next, &upper], &root(), &CLIENT), "accept");
    let mut namesake = leaf(&upper);
    namesake.subject = upper.subject.clone();
    assert_eq!(say(&[&namesake, &upper], &root(), &CLIENT), "name-constraints");
}

#[test]
fn section_4_2_1_12_every_ca_must_allow_the_purpose() {
    let eku = |usages: &[&str]| Extension::new(id::EKU, draft::usage_list(usages));
    let server = Question { purpose: Purpose::Server, ..CLIENT };
    let upper = ca(&root(), "upper", "p256-upper").with(eku(&[usage::CLIENT, usage::SERVER]));
    let lower = ca(&upper, "lower", "p256-lower").with(eku(&[usage::CLIENT, usage::OCF]));
    let both = lower.leaf("leaf", KEYS.get("p256-leaf"), &[usage::CLIENT, usage::SERVER]).expect("a draft");
    assert_eq!(say(&[&both, &lower, &upper], &root(), &CLIENT), "accept");
    assert_eq!(say(&[&both, &lower, &upper], &root(), &server), "extended-key-usage");
    let ocf = lower.leaf("leaf", KEYS.get("p256-leaf"), &[usage::CLIENT, usage::OCF]).expect("a draft");
    let device = Question { purpose: Purpose::OcfDevice, ..CLIENT };
    assert_eq!(say(&[&ocf, &lower, &upper], &root(), &device), "extended-key-usage");
    assert_eq!(say(&[&ocf, &lower], &lower, &device), "accept");
}

#[test]
fn section_5_2_5_lists_of_leaves_and_of_cas_complete_each_other() {
    let only = |list: ListDraft, number: u8| {
        let mut list = list;
        list.extensions.push(Extension::critical(id::IDP, der::sequence(&[&der::implicit(number, &[0xff])])));
        list
    };
    let (root, upper) = (root(), ca(&root(), "upper", "p256-upper"));
    let lower = ca(&upper, "lower", "p256-lower");
    let list = |ca: &Draft| ca.list().expect("a draft");
    let (leaves, cas) = (only(list(&upper), 1), only(list(&upper), 2));
    let chain = [&leaf(&lower), &lower, &upper];
    let all = [&list(&root), &leaves, &cas, &list(&lower)];
    assert_eq!(say_with(&chain, &[&root], &all, &REQUIRED), "accept");
    assert_eq!(say_with(&chain, &[&root], &[all[0], all[1], all[3]], &REQUIRED), "no-revocation-list");
    // Who is named in a list is revoked, also by a list that was not to speak about it.
    let mut wrong = leaves.clone();
    wrong.revoke(&lower.serial, &[]);
    for question in [REQUIRED, CLIENT] {
        assert_eq!(say_with(&chain, &[&root], &[all[0], &wrong, all[2], all[3]], &question), "revoked");
    }
}

#[test]
fn section_5_2_5_a_list_for_a_point_named_relative_to_its_issuer_is_not_judged() {
    let (root, mut list) = (root(), root().list().expect("a draft"));
    let relative = der::context(0, &der::context(1, &der::attribute(der::COMMON_NAME, &der::utf8("part 1"))));
    list.extensions.push(Extension::critical(id::IDP, der::sequence(&[&relative])));
    for question in [REQUIRED, CLIENT] {
        assert_eq!(say_with(&[&leaf(&root)], &[&root], &[&list], &question), "revocation-list-scope");
    }
}

#[test]
fn section_5_3_1_every_reason_revokes_whatever_other_lists_say() {
    let root = root();
    for reason in [0, 1, 2, 3, 4, 5, 6, 9, 10] {
        let mut list = root.list().expect("a draft");
        list.revoke(&leaf(&root).serial, &[Extension::new(id::REASON, der::element(0x0a, &[reason]))]);
        for lists in [[&list, &root.list().expect("a draft")], [&root.list().expect("a draft"), &list]] {
            assert_eq!(say_with(&[&leaf(&root)], &[&root], &lists, &CLIENT), "revoked", "{reason}");
        }
    }
}

#[test]
fn section_6_1_3_a_signature_of_a_ca_of_the_same_name_and_key_identifier_is_not_enough() {
    let root = root();
    let mut forger = Draft::root("root", KEYS.get("p256-stranger")).expect("a draft");
    forger.put(Extension::new(id::SKI, der::octets(&root.key.id().expect("an id"))));
    let forged = leaf(&forger).with(Extension::new(id::AKI, der::sequence(&[&der::implicit(0, &root.key.id().expect("an id"))])));
    assert_eq!(say(&[&forged], &root, &CLIENT), "signature");
    // Nor does it help to present the forger too.
    assert_eq!(say(&[&forged, &forger], &root, &CLIENT), "signature");
}

#[test]
fn section_6_1_a_branch_with_a_flaw_does_not_hide_a_good_one() {
    let (good, other) = (root(), Draft::root("other root", KEYS.get("p256-stranger")).expect("a draft"));
    let by_good = ca(&good, "ca", "p256-upper");
    let leaf = leaf(&by_good);
    type Flaw = (&'static str, &'static str, fn(&mut Draft));
    let flaws: [Flaw; 11] = [
        ("expired", "expired", |ca| ca.not_after = der::time(draft::BEGIN)),
        ("not yet valid", "not-yet-valid", |ca| ca.not_before = der::time(draft::END)),
        ("no CA", "not-ca", |ca| {
            ca.drop(id::BC);
            ca.drop(id::KU);
        }),
        ("no signer", "not-cert-signer", |ca| ca.put(Extension::critical(id::KU, der::named_bits(&[ku::CRL])))),
        ("another purpose", "extended-key-usage", |ca| ca.put(Extension::new(id::EKU, draft::usage_list(&[usage::CODE])))),
        ("other names only", "name-constraints", |ca| ca.put(constraints(&[organisation("Somebody Else")], &[]))),
        ("unknown critical", "unknown-critical", |ca| ca.put(Extension::critical(id::UNKNOWN, der::NULL.to_vec()))),
        ("a policy", "policy", |ca| ca.put(explicit_policy(0))),
        ("forged", "signature", |ca| ca.signer = KEYS.get("p256-other").clone()),
        ("SHA-1", "signature-algorithm", |ca| {
            ca.algorithm = gatehouse_certs::key::Algorithm::EcdsaSha1;
            (ca.inner_algorithm, ca.outer_algorithm) = (ca.algorithm.identifier(), ca.algorithm.identifier());
        }),
        ("unreadable", "version", |ca| ca.version.clear()),
    ];
    for (flaw, rule, spoil) in flaws {
        let mut bad = ca(&other, "ca", "p256-upper");
        spoil(&mut bad);
        let anchors = [&other, &good];
        assert_eq!(say_with(&[&leaf, &bad], &anchors, &[], &CLIENT), rule, "{flaw}");
        assert_eq!(say_with(&[&leaf, &bad, &by_good], &anchors, &[], &CLIENT), "accept", "{flaw}");
        assert_eq!(say_with(&[&leaf, &by_good, &bad], &anchors, &[], &CLIENT), "accept", "{flaw}");
    }
    // A certificate of the same CA that is revoked is one more such flaw.
    let bad = ca(&other, "ca", "p256-upper");
    let (mut revoking, clean, of_ca) = (other.list().expect("a draft"), good.list().expect("a draft"), by_good.list().expect("a draft"));
    revoking.revoke(&bad.serial, &[]);
    let lists = [&revoking, &clean, &of_ca];
    assert_eq!(say_with(&[&leaf, &bad], &[&other, &good], &lists, &REQUIRED), "revoked");
    assert_eq!(say_with(&[&leaf, &bad, &by_good], &[&other, &good], &lists, &REQUIRED), "accept");
}

#[test]
fn section_6_1_4_a_leafs_key_certifies_nobody_even_when_everything_else_fits() {
    let root = root();
    let mut device = leaf(&root);
    device.put(Extension::critical(id::KU, der::named_bits(&[ku::SIGN])));
    let below = device.leaf("below", KEYS.get("p256-other"), &[usage::CLIENT]).expect("a draft");
    assert_eq!(say(&[&below, &device], &root, &CLIENT), "not-ca");
    device.drop(id::BC);
    assert_eq!(say(&[&below, &device], &root, &CLIENT), "not-ca");
}

#[test]
fn section_6_1_4_policies_are_mapped_and_any_policy_can_be_inhibited() {
    let mapping =
        |from: &str, to: &str| Extension::critical(id::MAPPINGS, der::sequence(&[&der::sequence(&[&der::oid(from), &der::oid(to)])]));
    let inhibit_any = |skip: u8| Extension::critical(id::INHIBIT_ANY, der::integer(&[skip]));
    let demanding = || root().with(explicit_policy(0));
    let upper =
        |extensions: &[Extension]| extensions.iter().fold(ca(&root(), "upper", "p256-upper"), |ca, extension| ca.with(extension.clone()));
    let judged =
        |root: &Draft, upper: &Draft, leaf_policies: &[&str]| say(&[&leaf(upper).with(policies(leaf_policies)), upper], root, &CLIENT);

    // Without a mapping the same policy must run through; any-policy stands for all.
    assert_eq!(judged(&demanding(), &upper(&[policies(&[POLICY_A])]), &[POLICY_A]), "accept");
    assert_eq!(judged(&demanding(), &upper(&[policies(&[POLICY_A])]), &[POLICY_B]), "policy");
    assert_eq!(judged(&demanding(), &upper(&[policies(&[ANY_POLICY])]), &[POLICY_B]), "accept");
    assert_eq!(judged(&demanding(), &upper(&[policies(&[POLICY_A])]), &[ANY_POLICY]), "accept");
    // A mapped policy is no longer good for itself.
    let mapped = upper(&[policies(&[POLICY_A]), mapping(POLICY_A, POLICY_B)]);
    assert_eq!(judged(&demanding(), &mapped, &[POLICY_B]), "accept");
    assert_eq!(judged(&demanding(), &mapped, &[POLICY_A]), "policy");
    // Mapping from what any-policy stands for.
    assert_eq!(judged(&demanding(), &upper(&[policies(&[ANY_POLICY]), mapping(POLICY_A, POLICY_B)]), &[POLICY_B]), "accept");
    // Inhibited at once, after one certificate, and by the CA for what is below it.
    assert_eq!(judged(&demanding().with(inhibit_any(0)), &upper(&[policies(&[ANY_POLICY])]), &[POLICY_A]), "policy");
    assert_eq!(judged(&demanding().with(inhibit_any(1)), &upper(&[policies(&[ANY_POLICY])]), &[POLICY_A]), "accept");
    assert_eq!(judged(&demanding().with(inhibit_any(1)), &upper(&[policies(&[ANY_POLICY])]), &[ANY_POLICY]), "policy");
    assert_eq!(judged(&demanding(), &upper(&[policies(&[POLICY_A]), inhibit_any(0)]), &[ANY_POLICY]), "policy");
}

#[test]
fn section_6_1_5_the_leaf_may_demand_a_policy_of_its_own_chain() {
    let upper = ca(&root(), "upper", "p256-upper");
    let demanding = leaf(&upper).with(explicit_policy(0)).with(policies(&[POLICY_A]));
    assert_eq!(say(&[&demanding, &upper], &root(), &CLIENT), "policy");
    let with_policy = upper.with(policies(&[POLICY_A]));
    assert_eq!(say(&[&demanding, &with_policy], &root(), &CLIENT), "accept");
}

#[test]
fn section_6_3_3_two_generations_of_a_ca_each_answer_for_what_they_issued() {
    let root = root();
    let (old, new) = (ca(&root, "ca", "p256-upper"), Draft { serial: der::integer(&[0x33]), ..ca(&root, "ca", "p256-other") });
    let list = |ca: &Draft, revoked: &[&Draft]| {
        let mut list = ca.list().expect("a draft");
        revoked.iter().for_each(|certificate| list.revoke(&certificate.serial, &[]));
        list
    };
    let (of_old, of_new) = (leaf(&old), leaf(&new));
    let lists = [&list(&root, &[]), &list(&old, &[&of_old]), &list(&new, &[])];
    assert_eq!(say_with(&[&of_old, &old, &new], &[&root], &lists, &REQUIRED), "revoked");
    assert_eq!(say_with(&[&of_new, &old, &new], &[&root], &lists, &REQUIRED), "accept");
    // The new key's list says nothing about what the old one issued.
    assert_eq!(say_with(&[&of_old, &old], &[&root], &[lists[0], lists[2]], &REQUIRED), "no-revocation-list");
}
