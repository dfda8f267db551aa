//! Judging again: what a memo spares, and when a chain that was accepted is accepted no more.

use super::*;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// A root, two CAs below it and a leaf.
struct Four {
    root: Party,
    upper: Party,
    lower: Party,
    leaf: Party,
}

impl Four {
    fn new() -> Self {
        Self { root: Party::ca("root"), upper: Party::ca("upper"), lower: Party::ca("lower"), leaf: Party::leaf("leaf") }
    }

    fn presented(&self) -> [Certificate; 3] {
        [self.lower.signs(&self.leaf), self.upper.signs(&self.lower), self.root.signs(&self.upper)]
    }

    fn anchors(&self) -> AnchorsBuilder {
        trusting(&self.root.root())
    }
}

#[test]
fn with_known_intermediates_only_the_leafs_signature_is_checked() {
    let (four, memo) = (Four::new(), Memo::new(10));
    let (presented, anchors) = (four.presented(), four.anchors().build().expect("anchors"));
    let checks = |presented: &[Certificate]| anchors.verify_with(&memo, &ders(presented), &CLIENT, NOW).expect("good").signature_checks();
    assert_eq!((checks(&presented), memo.len()), (3, 2));
    assert_eq!((checks(&presented), memo.len()), (1, 2));
    // Another device of the same maker.
    let other = [four.lower.signs(&Party::leaf("other")), presented[1].clone(), presented[2].clone()];
    assert_eq!((checks(&other), memo.len()), (1, 2));
    assert_eq!(anchors.verify(&ders(&presented), &CLIENT, NOW).expect("good").signature_checks(), 3);
}

#[test]
fn what_is_remembered_spares_nothing_but_signatures() {
    let (four, memo) = (Four::new(), Memo::new(10));
    let presented = four.presented();
    four.anchors().build().expect("anchors").verify_with(&memo, &ders(&presented), &CLIENT, NOW).expect("good");
    let rule = |builder: AnchorsBuilder, policy: Policy, now: UnixTime| {
        let refused = builder.build().expect("anchors").verify_with(&memo, &ders(&presented), &policy, now);
        refused.expect_err("refused").rule()
    };
    assert_eq!(rule(four.anchors(), CLIENT, NOW + DAY * 200), Rule::Expired);
    assert_eq!(rule(four.anchors(), Policy::new(Purpose::Server), NOW), Rule::ExtendedKeyUsage);
    assert_eq!(rule(four.anchors().revocation_list(four.root.revokes(&[7])), CLIENT, NOW), Rule::Revoked);
    assert_eq!(rule(four.anchors().block(presented[1].public_key().fingerprint()), CLIENT, NOW), Rule::BlockedKey);
    assert_eq!(rule(trusting(&Party::ca("stranger").root()), CLIENT, NOW), Rule::UnknownIssuer);
    // Somebody else's root of the same name vouches for nothing that this one's key has signed.
    let namesake = four.root.namesake();
    assert!(matches!(rule(trusting(&namesake.root()), CLIENT, NOW), Rule::KeyIdMismatch | Rule::Signature));
}

#[test]
fn a_forged_intermediate_is_not_taken_for_the_known_one() {
    let (four, memo) = (Four::new(), Memo::new(10));
    let mut presented = four.presented();
    let anchors = four.anchors().build().expect("anchors");
    anchors.verify_with(&memo, &ders(&presented), &CLIENT, NOW).expect("good");
    // The last bytes are the signature's.
    let mut forged = presented[1].der().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    presented[1] = read(&forged);
    let refused = anchors.verify_with(&memo, &ders(&presented), &CLIENT, NOW).expect_err("forged");
    assert_eq!((refused.rule(), memo.len()), (Rule::Signature, 2));
}

#[test]
fn nothing_of_what_no_anchor_vouches_for_is_remembered() {
    let (four, rogue, memo) = (Four::new(), Four::new(), Memo::new(10));
    let anchors = four.anchors().build().expect("anchors");
    anchors.verify_with(&memo, &ders(&rogue.presented()), &CLIENT, NOW).expect_err("a stranger's");
    assert!(memo.is_empty());
}

#[test]
fn the_oldest_is_forgotten_for_a_new_one() {
    let (one, other, memo) = (Four::new(), Four::new(), Memo::new(3));
    let both = one.anchors().anchor(other.root.root()).build().expect("anchors");
    let (of_one, of_other) = (one.presented(), other.presented());
    for (presented, known, checks) in [(&of_one, 2, 3), (&of_other, 3, 3), (&of_other, 3, 1), (&of_one, 3, 3)] {
        let verified = both.verify_with(&memo, &ders(presented), &CLIENT, NOW).expect("good");
        assert_eq!((memo.len(), verified.signature_checks()), (known, checks));
    }
}

#[test]
fn revocation_expiry_a_blocked_key_and_a_lost_anchor_end_a_chain_that_was_accepted() {
    let four = Four::new();
    let presented = four.presented();
    let anchors = four.anchors().build().expect("anchors");
    let chain = anchors.verify(&ders(&presented), &CLIENT, NOW).expect("good");
    let rule = |builder: AnchorsBuilder, now: UnixTime| {
        builder.build().expect("anchors").recheck(&chain, &CLIENT, now).err().map(|refused| (refused.rule(), refused.place()))
    };
    assert_eq!(rule(four.anchors(), NOW), None);
    assert_eq!(rule(four.anchors(), chain.valid_until()), None);
    let late = chain.valid_until() + Duration::from_secs(1);
    assert_eq!(rule(four.anchors(), late), Some((Rule::Expired, Some(Place::Presented(0)))));
    let revoked = |list: CertificateList| rule(four.anchors().revocation_list(list), NOW);
    assert_eq!(revoked(four.lower.revokes(&[7])), Some((Rule::Revoked, Some(Place::Presented(0)))));
    let upper = Place::Intermediate(presented[2].fingerprint());
    assert_eq!(revoked(four.root.revokes(&[7])), Some((Rule::Revoked, Some(upper))));
    assert_eq!(revoked(four.lower.revokes(&[8])), None);
    // Nobody takes back what another CA has issued.
    assert_eq!(revoked(four.lower.namesake().revokes(&[7])), None);
    let blocked = presented[0].public_key().fingerprint();
    assert_eq!(rule(four.anchors().block(blocked), NOW), Some((Rule::BlockedKey, Some(Place::Presented(0)))));
    let anchor = Place::Anchor(chain.anchor().fingerprint());
    assert_eq!(rule(trusting(&four.root.namesake().root()), NOW), Some((Rule::UnknownIssuer, Some(anchor))));
    // The same CA with a younger certificate is the same anchor.
    let mut younger = Party { params: four.root.params.clone(), key: four.root.key };
    younger.params.not_after = time(900);
    assert_eq!(trusting(&younger.root()).build().expect("anchors").recheck(&chain, &CLIENT, NOW), Ok(()));
}

#[test]
fn what_only_stands_in_the_way_of_new_connections_does_not_end_old_ones() {
    let four = Four::new();
    let anchors = four.anchors().build().expect("anchors");
    let chain = anchors.verify(&ders(&four.presented()), &CLIENT, NOW).expect("good");
    let require = Policy { revocation: Revocation::Require, ..CLIENT };
    assert_eq!(anchors.recheck(&chain, &require, NOW), Ok(()));
    let stale = four.anchors().revocation_list(four.lower.revokes(&[8])).build().expect("anchors");
    assert_eq!(stale.recheck(&chain, &require, NOW + DAY * 30), Ok(()));
    let replaced = four.lower.revokes_because(&[7], Some(RevocationReason::Superseded));
    let superseded = four.anchors().revocation_list(replaced).build().expect("anchors");
    assert_eq!(superseded.verify(&ders(&four.presented()), &CLIENT, NOW).expect_err("replaced").rule(), Rule::Revoked);
    assert_eq!(superseded.recheck(&chain, &CLIENT, NOW), Ok(()));
    let compromised = four.lower.revokes_because(&[7], Some(RevocationReason::KeyCompromise));
    let compromised = four.anchors().revocation_list(compromised).build().expect("anchors");
    assert_eq!(compromised.recheck(&chain, &CLIENT, NOW).expect_err("revoked").rule(), Rule::Revoked);
    let ignoring = Policy { revocation: Revocation::Ignore, ..CLIENT };
    assert_eq!(compromised.recheck(&chain, &ignoring, NOW), Ok(()));
}
