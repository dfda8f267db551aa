//! The search and its bounds. Whole chains, good and bad, are judged in the tests of `certs/`.

mod again;

use super::*;
use crate::{Certificate, CertificateList, Rule};
use gatehouse_types::UnixTime;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
};
use std::slice::from_ref;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

/// A CA, or whoever else has a key and a name.
struct Party {
    params: CertificateParams,
    key: KeyPair,
}

impl Party {
    fn ca(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { params, key: KeyPair::generate().expect("a key") }
    }

    fn leaf(name: &str) -> Self {
        let mut params = params(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Self { params, key: KeyPair::generate().expect("a key") }
    }

    /// Another key behind the same name.
    fn namesake(&self) -> Self {
        Self { params: self.params.clone(), key: KeyPair::generate().expect("a key") }
    }

    fn root(&self) -> Certificate {
        read(self.params.self_signed(&self.key).expect("a certificate").der())
    }

    fn signs(&self, subject: &Self) -> Certificate {
        read(subject.params.signed_by(&subject.key, &Issuer::from_params(&self.params, &self.key)).expect("a certificate").der())
    }

    fn revokes(&self, serials: &[u8]) -> CertificateList {
        self.revokes_because(serials, None)
    }

    fn revokes_because(&self, serials: &[u8], reason: Option<RevocationReason>) -> CertificateList {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&[*serial]),
            revocation_time: time(-10),
            reason_code: reason,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: time(-1),
            next_update: time(1),
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&Issuer::from_params(&self.params, &self.key)).expect("a list");
        CertificateList::from_der(list.der()).expect("a good list")
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (time(-100), time(100));
    params
}

fn time(days: i64) -> ::time::OffsetDateTime {
    NOW.to_date_time() + ::time::Duration::days(days)
}

fn read(der: &[u8]) -> Certificate {
    Certificate::from_der(der).expect("a good certificate")
}

fn ders<'a>(chain: impl IntoIterator<Item = &'a Certificate>) -> Vec<&'a [u8]> {
    chain.into_iter().map(Certificate::der).collect()
}

fn trusting(anchor: &Certificate) -> AnchorsBuilder {
    Anchors::builder().anchor(anchor.clone())
}

const CLIENT: Policy = Policy::new(Purpose::Client);

#[test]
fn intermediates_come_in_any_order_with_duplicates_and_roots_and_rubbish() {
    let (root, upper, lower, leaf) = (Party::ca("root"), Party::ca("upper"), Party::ca("lower"), Party::leaf("leaf"));
    let chain = [lower.signs(&leaf), upper.signs(&lower), root.signs(&upper), root.root()];
    let anchors = trusting(&chain[3]).build().expect("anchors");
    let stranger = Party::ca("stranger").root();
    for order in [[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 2, 1], [0, 3, 1, 2]] {
        let mut presented = ders(order.map(|at| &chain[at]));
        presented.extend([presented[1], stranger.der(), &[0x30, 0x00]]);
        let verified = anchors.verify(&presented, &CLIENT, NOW).expect("a good chain");
        assert_eq!(verified.path().iter().map(AsRef::as_ref).collect::<Vec<&Certificate>>(), [&chain[0], &chain[1], &chain[2], &chain[3]]);
        assert_eq!(verified.signature_checks(), 3);
        assert_eq!(verified.valid_until(), chain[0].not_after());
    }
    let missing = anchors.verify(&ders([&chain[0], &chain[2]]), &CLIENT, NOW).expect_err("lower is missing");
    assert_eq!((missing.rule(), missing.place(), missing.blame()), (Rule::UnknownIssuer, Some(Place::Presented(0)), Blame::Peer));
}

#[test]
fn an_intermediate_may_be_the_anchor_and_vouches_for_nothing_beside_it() {
    let (root, ca, sibling, leaf) = (Party::ca("root"), Party::ca("ca"), Party::ca("sibling"), Party::leaf("leaf"));
    let anchors = trusting(&root.signs(&ca)).build().expect("anchors");
    assert!(anchors.verify(&ders([&ca.signs(&leaf)]), &CLIENT, NOW).is_ok());
    let beside = [sibling.signs(&leaf), root.signs(&sibling), root.root()];
    let refused = anchors.verify(&ders(&beside), &CLIENT, NOW).expect_err("the sibling is not trusted");
    assert_eq!(refused.rule(), Rule::UnknownIssuer);
}

#[test]
fn configured_intermediates_may_be_left_out() {
    let (root, ca, leaf) = (Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    let anchors = trusting(&root.root()).intermediate(root.signs(&ca)).build().expect("anchors");
    assert!(anchors.verify(&ders([&ca.signs(&leaf)]), &CLIENT, NOW).is_ok());
    assert_eq!(Anchors::builder().intermediate(root.signs(&ca)).build().err(), Some(AnchorsError::Empty));
}

#[test]
fn a_circle_of_cross_signed_cas_ends() {
    let (root, leaf) = (Party::ca("root"), Party::leaf("leaf"));
    let ring: Vec<Party> = ["a", "b", "c", "d"].map(Party::ca).into_iter().collect();
    let mut presented = vec![ring[0].signs(&leaf)];
    for issuer in &ring {
        presented.extend(ring.iter().filter(|subject| !std::ptr::eq(*subject, issuer)).map(|subject| issuer.signs(subject)));
    }
    let anchors = trusting(&root.root()).build().expect("anchors");
    let refused = anchors.verify(&ders(&presented), &CLIENT, NOW).expect_err("no way out of the circle");
    assert_eq!((refused.rule(), refused.signature_checks()), (Rule::UnknownIssuer, 0));
    // One exit, and the way out is found.
    presented.truncate(MAX_PRESENTED - 1);
    presented.push(root.signs(&ring[3]));
    let verified = anchors.verify(&ders(&presented), &CLIENT, NOW).expect("through d");
    assert!(verified.signature_checks() <= MAX_SIGNATURES);
}

#[test]
fn many_cas_of_one_name_without_key_identifiers_exceed_the_work() {
    let (root, ca, mut leaf) = (Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    leaf.params.use_authority_key_identifier_extension = false;
    let lenient = Policy { key_identifiers: KeyIdentifiers::WhenPresent, ..CLIENT };
    let anchors = trusting(&root.root()).build().expect("anchors");
    let namesakes = |count: usize| (0..count).map(|_| root.signs(&ca.namesake())).collect::<Vec<_>>();
    let presented = |others: usize| [vec![ca.signs(&leaf)], namesakes(others), vec![root.signs(&ca)]].concat();
    let verified = anchors.verify(&ders(&presented(3)), &lenient, NOW).expect("found at the fourth try");
    assert_eq!(verified.signature_checks(), 8);
    let refused = anchors.verify(&ders(&presented(14)), &lenient, NOW).expect_err("too many tries");
    assert_eq!((refused.rule(), refused.blame(), refused.signature_checks()), (Rule::WorkExceeded, Blame::Peer, MAX_SIGNATURES));
}

#[test]
fn forged_certificates_of_one_name_and_key_exceed_the_work() {
    let (root, forger, ca, leaf) = (Party::ca("root"), Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    let mut forged = root.namesake();
    forged.params = forger.params;
    // All have the name and key of `ca`, and none is signed by the root whose name they bear.
    let copies: Vec<Certificate> = (0..12_u8)
        .map(|serial| {
            let mut copy = Party { params: ca.params.clone(), key: KeyPair::generate().expect("a key") };
            copy.params.serial_number = Some(SerialNumber::from_slice(&[serial + 1]));
            copy.params.use_authority_key_identifier_extension = false;
            read(copy.params.signed_by(&ca.key, &Issuer::from_params(&forged.params, &forged.key)).expect("a certificate").der())
        })
        .collect();
    let anchors = trusting(&root.root()).build().expect("anchors");
    let presented = [vec![ca.signs(&leaf)], copies].concat();
    let lenient = Policy { key_identifiers: KeyIdentifiers::WhenPresent, ..CLIENT };
    let refused = anchors.verify(&ders(&presented), &lenient, NOW).expect_err("forged");
    assert_eq!((refused.rule(), refused.signature_checks()), (Rule::WorkExceeded, MAX_SIGNATURES));
}

#[test]
fn a_path_longer_than_the_signatures_is_refused() {
    let cas: Vec<Party> = (0..9).map(|at| Party::ca(&format!("ca {at}"))).collect();
    let leaf = Party::leaf("leaf");
    let chain = |below: usize| {
        let mut chain = vec![cas[below].signs(&leaf)];
        chain.extend((1..=below).rev().map(|at| cas[at - 1].signs(&cas[at])));
        chain
    };
    let anchors = trusting(&cas[0].root()).build().expect("anchors");
    assert_eq!(anchors.verify(&ders(&chain(7)), &CLIENT, NOW).expect("eight signatures").signature_checks(), 8);
    assert_eq!(anchors.verify(&ders(&chain(8)), &CLIENT, NOW).expect_err("nine signatures").rule(), Rule::WorkExceeded);
}

#[test]
fn names_against_constraints_are_bounded() {
    let (mut root, mut leaf) = (Party::ca("root"), Party::leaf("leaf"));
    let subtrees = |count: usize| (0..count).map(|at| rcgen::GeneralSubtree::DnsName(format!("h{at}"))).collect();
    root.params.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees: vec![], excluded_subtrees: subtrees(200) });
    let names = |count: usize| (0..count).map(|at| rcgen::SanType::DnsName(format!("x{at}").try_into().expect("IA5"))).collect();
    let anchors = trusting(&root.root()).build().expect("anchors");
    leaf.params.subject_alt_names = names(30);
    assert!(anchors.verify(&ders([&root.signs(&leaf)]), &CLIENT, NOW).is_ok());
    leaf.params.subject_alt_names = names(60);
    let refused = anchors.verify(&ders([&root.signs(&leaf)]), &CLIENT, NOW).expect_err("12,000 comparisons");
    assert_eq!((refused.rule(), refused.signature_checks()), (Rule::WorkExceeded, 1));
}

#[test]
fn what_is_presented_is_bounded() {
    let (root, leaf) = (Party::ca("root"), Party::leaf("leaf"));
    let anchors = trusting(&root.root()).build().expect("anchors");
    let leaf = root.signs(&leaf);
    let rule = |presented: &[&[u8]]| anchors.verify(presented, &CLIENT, NOW).err().map(|refused| refused.rule());
    assert_eq!(rule(&[]), Some(Rule::NoCertificate));
    assert_eq!(rule(&[leaf.der(); MAX_PRESENTED]), None);
    assert_eq!(rule(&[leaf.der(); MAX_PRESENTED + 1]), Some(Rule::TooMany));
    assert_eq!(rule(&[leaf.der(), &vec![0; MAX_PRESENTED_BYTES - leaf.der().len()]]), None);
    assert_eq!(rule(&[leaf.der(), &vec![0; MAX_PRESENTED_BYTES - leaf.der().len() + 1]]), Some(Rule::TooLarge));
}

#[test]
fn blocked_keys_are_refused_before_any_signature_is_checked() {
    let (root, ca, leaf) = (Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    let chain = [ca.signs(&leaf), root.signs(&ca), root.root()];
    for (at, place) in [(0, Place::Presented(0)), (1, Place::Presented(1)), (2, Place::Anchor(chain[2].fingerprint()))] {
        let anchors = trusting(&chain[2]).block(chain[at].public_key().fingerprint()).build().expect("anchors");
        let refused = anchors.verify(&ders(&chain), &CLIENT, NOW).expect_err("blocked");
        assert_eq!((refused.rule(), refused.place(), refused.signature_checks()), (Rule::BlockedKey, Some(place), 0));
    }
}

#[test]
fn the_path_must_pass_through_the_lead_wherever_that_stands() {
    let (root, upper, lower, leaf) = (Party::ca("root"), Party::ca("upper"), Party::ca("lower"), Party::leaf("leaf"));
    let cas = [upper.signs(&lower), root.signs(&upper), root.root()];
    let other = Party::ca("other");
    for lead in &cas {
        let configured = || trusting(&cas[2]).intermediate(cas[0].clone()).intermediate(cas[1].clone());
        let anchors = configured().lead(lead.clone()).build().expect("anchors");
        let verified = anchors.verify(&ders([&lower.signs(&leaf)]), &CLIENT, NOW).expect("through every CA");
        assert!(verified.passes_through(lead) && !verified.passes_through(&other.root()));
    }
    // The root is trusted, and the lead is below it: a leaf of the root, or of a sibling, did not pass through it.
    let anchors = trusting(&cas[2]).intermediate(cas[1].clone()).lead(cas[1].clone()).build().expect("anchors");
    for around in [vec![root.signs(&leaf)], vec![other.signs(&leaf), root.signs(&other)]] {
        let refused = anchors.verify(&ders(&around), &CLIENT, NOW).expect_err("around the lead");
        assert_eq!((refused.rule(), refused.blame()), (Rule::NotThroughLead, Blame::Peer));
    }
    assert_eq!(trusting(&cas[2]).lead(cas[1].clone()).build().err(), Some(AnchorsError::UnknownLead));
}

#[test]
fn an_expired_leaf_is_accepted_only_by_the_switch_and_revocation_is_still_judged_now() {
    let (mut root, mut leaf) = (Party::ca("root"), Party::leaf("leaf"));
    (leaf.params.not_before, leaf.params.not_after) = (time(-30), time(-10));
    let tolerant = Policy { expired_leaf: ExpiredLeaf::Accept, ..CLIENT };
    // The root was good in the middle of the leaf's life, 20 days ago, and is no more.
    root.params.not_after = time(-15);
    let chain = ders([&root.signs(&leaf)]).concat();
    let anchors = trusting(&root.root()).build().expect("anchors");
    let refused = anchors.verify(&[&chain], &CLIENT, NOW).expect_err("expired");
    assert_eq!((refused.rule(), refused.blame()), (Rule::Expired, Blame::Time));
    assert_eq!(anchors.verify(&[&chain], &tolerant, NOW).expect("was good").valid_until(), UnixTime::NO_END);
    // A root that was over before the middle does not become good again.
    root.params.not_after = time(-25);
    let over = trusting(&root.root()).build().expect("anchors");
    assert_eq!(over.verify(&[&chain], &tolerant, NOW).expect_err("over").rule(), Rule::Expired);
    // A leaf whose time has not come has not expired.
    (leaf.params.not_before, leaf.params.not_after, root.params.not_after) = (time(1), time(2), time(9));
    let early = root.signs(&leaf);
    let anchors = trusting(&root.root()).build().expect("anchors");
    assert_eq!(anchors.verify(&ders([&early]), &tolerant, NOW).expect_err("early").rule(), Rule::NotYetValid);
    // A list of today counts.
    root.params.not_after = time(-15);
    let revoking = trusting(&root.root()).revocation_list(root.revokes(&[7])).build().expect("anchors");
    assert_eq!(revoking.verify(&[&chain], &tolerant, NOW).expect_err("revoked").rule(), Rule::Revoked);
}

#[test]
fn a_leaf_without_an_end_does_not_ask_its_cas_to_live_for_ever() {
    let (mut root, mut leaf) = (Party::ca("root"), Party::leaf("leaf"));
    leaf.params.not_after = UnixTime::NO_END.to_date_time();
    root.params.not_after = time(100);
    let tolerant = Policy { expired_leaf: ExpiredLeaf::Accept, ..CLIENT };
    let anchors = trusting(&root.root()).build().expect("anchors");
    let verified = anchors.verify(&ders([&root.signs(&leaf)]), &tolerant, NOW).expect("good today");
    assert_eq!(verified.valid_until(), root.root().not_after());
}

#[test]
fn revocation_follows_its_mode() {
    let (root, ca, leaf) = (Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    let chain = [ca.signs(&leaf), root.signs(&ca)];
    let rule = |lists: &[CertificateList], mode: Revocation, now: UnixTime| {
        let builder = lists.iter().fold(trusting(&root.root()), |builder, list| builder.revocation_list(list.clone()));
        let policy = Policy { revocation: mode, ..CLIENT };
        builder.build().expect("anchors").verify(&ders(&chain), &policy, now).err().map(|refused| refused.rule())
    };
    use Revocation::{Ignore, Require, WhenPresent};
    let (clean_root, clean_ca) = (root.revokes(&[8]), ca.revokes(&[8]));
    assert_eq!(rule(&[], WhenPresent, NOW), None);
    assert_eq!(rule(&[], Require, NOW), Some(Rule::NoRevocationList));
    assert_eq!(rule(from_ref(&clean_root), Require, NOW), Some(Rule::NoRevocationList));
    assert_eq!(rule(&[clean_root.clone(), clean_ca.clone()], Require, NOW), None);
    for (revoked, at) in [(ca.revokes(&[7]), "leaf"), (root.revokes(&[7]), "ca")] {
        for mode in [WhenPresent, Require] {
            assert_eq!(rule(&[clean_root.clone(), clean_ca.clone(), revoked.clone()], mode, NOW), Some(Rule::Revoked), "{at}");
        }
        assert_eq!(rule(&[revoked], Ignore, NOW), None, "{at}");
    }
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(rule(from_ref(&clean_ca), WhenPresent, NOW + day + day), Some(Rule::RevocationListStale));
    assert_eq!(rule(from_ref(&clean_ca), WhenPresent, NOW - day - day), Some(Rule::RevocationListEarly));
    // A list of another CA of the same name says nothing about this one.
    assert_eq!(rule(&[ca.namesake().revokes(&[7])], WhenPresent, NOW), None);
    assert_eq!(rule(&[clean_root, ca.namesake().revokes(&[7])], Require, NOW), Some(Rule::NoRevocationList));
}

#[test]
fn a_rejection_says_whose_fault_it_is() {
    let (mut root, ca, leaf) = (Party::ca("root"), Party::ca("ca"), Party::leaf("leaf"));
    let blame = |builder: AnchorsBuilder, chain: &[Certificate], policy: &Policy| {
        builder.build().expect("anchors").verify(&ders(chain), policy, NOW).expect_err("refused").blame()
    };
    let chain = [ca.signs(&leaf), root.signs(&ca)];
    // The peer's: what it shows is not for this purpose, or leads nowhere.
    assert_eq!(blame(trusting(&root.root()), &chain, &Policy::new(Purpose::Server)), Blame::Peer);
    assert_eq!(blame(trusting(&root.root()), &chain[..1], &CLIENT), Blame::Peer);
    // Ours to configure: a list that is missing, an anchor that may not sign certificates.
    assert_eq!(blame(trusting(&root.root()), &chain, &Policy { revocation: Revocation::Require, ..CLIENT }), Blame::Configuration);
    root.params.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(blame(trusting(&root.root()), &chain, &CLIENT), Blame::Configuration);
    // Nobody's but time's.
    root.params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    root.params.not_after = time(-1);
    assert_eq!(blame(trusting(&root.root()), &chain, &CLIENT), Blame::Time);
}

#[test]
fn ten_thousand_anchors_of_one_name_are_told_apart_by_their_keys() {
    let (root, leaf) = (Party::ca("device root"), Party::leaf("leaf"));
    let own = root.root();
    // Certificates of one key with the key identifiers of many: cheap to make, and only the identifiers matter here.
    let others = (0..10_000_u16).map(|at| {
        let mut params = root.params.clone();
        params.key_identifier_method = KeyIdMethod::PreSpecified(at.to_be_bytes().to_vec());
        params.self_signed(&root.key).expect("a certificate")
    });
    let builder = others.fold(Anchors::builder(), |builder, other| builder.anchor(read(other.der())));
    let anchors = builder.anchor(own.clone()).build().expect("anchors");
    let verified = anchors.verify(&ders([&root.signs(&leaf)]), &CLIENT, NOW).expect("its own root is among them");
    assert_eq!((verified.anchor(), verified.signature_checks()), (&own, 1));
}
