//! What each fuzz target does with its bytes. The ordinary tests run the same over all seeds and known crashes.

#![allow(dead_code, reason = "each target uses one of the bodies")]

use gatehouse_pki::{
    Anchors, Certificate, CertificateList, Csr, ExpiredLeaf, KeyIdentifiers, MAX_SIGNATURES, Policy, Purpose, Revocation, VerifiedChain,
};
use gatehouse_types::UnixTime;
use std::sync::LazyLock;

/// Inside of the validity of the chains in `certs/`.
const NOW: UnixTime = UnixTime::from_secs(1_811_851_200);

/// Reads a request; a good one tells the same of itself as PEM.
pub(crate) fn csr(data: &[u8]) {
    let _ = Csr::from_pem(data);
    if let Ok(csr) = Csr::from_der(data) {
        let (key, device) = (csr.key().clone(), csr.claimed_device());
        let _ = csr.subject().to_string();
        if let Ok(signed) = csr.verify() {
            assert_eq!((signed.key(), signed.claimed_device()), (&key, device));
        }
    }
}

/// Reads a certificate; a good one is its bytes, and is the same as PEM.
pub(crate) fn certificate(data: &[u8]) {
    let _ = Certificate::chain_from_pem(data);
    if let Ok(certificate) = Certificate::from_der(data) {
        assert_eq!(certificate.der(), data);
        assert_eq!(Certificate::chain_from_pem(certificate.pem().as_bytes()).as_deref(), Ok([certificate.clone()].as_slice()));
        assert!(certificate.not_before() <= certificate.not_after());
        assert!(!certificate.issuer().is_empty());
        let _ = format!("{certificate:?} {} {}", certificate.issuer(), certificate.subject());
        for name in [certificate.issuer(), certificate.subject()] {
            assert!(name.to_string().chars().all(|character| !character.is_control()));
        }
    }
}

/// Reads a revocation list; each of its entries is found.
pub(crate) fn crl(data: &[u8]) {
    let _ = CertificateList::from_pem(data);
    if let Ok(list) = CertificateList::from_der(data) {
        assert_eq!(list.der(), data);
        assert_eq!(CertificateList::from_pem(list.pem().as_bytes()).as_ref().map(CertificateList::der), Ok(data));
        assert!(list.this_update() <= list.next_update());
        assert!(list.entries().iter().all(|entry| list.find(&entry.serial).is_some_and(|found| found.serial == entry.serial)));
        let _ = format!("{list:?}");
    }
}

/// Presents certificates, each after its length in two bytes. The work is bounded, and what is accepted is a chain.
pub(crate) fn chain(data: &[u8]) {
    let mut presented = Vec::new();
    let mut rest = data;
    while let [high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (certificate, after) = after.split_at(length);
        presented.push(certificate);
        rest = after;
    }
    for policy in POLICIES {
        match ANCHORS.verify(&presented, &policy, NOW) {
            Ok(verified) => check(&verified, presented[0]),
            Err(rejection) => assert!(rejection.signature_checks() <= MAX_SIGNATURES && !rejection.to_string().is_empty()),
        }
    }
}

/// What is true of every chain that is accepted, seen without the code that accepted it.
fn check(verified: &VerifiedChain, leaf: &[u8]) {
    assert_eq!(verified.leaf().der(), leaf);
    assert!(!verified.leaf().is_ca());
    assert!(verified.signature_checks() <= MAX_SIGNATURES);
    assert!(verified.valid_until() >= NOW);
    for pair in verified.path().windows(2) {
        assert!(pair[1].is_ca());
        assert_eq!(pair[0].issuer(), pair[1].subject());
    }
}

const POLICIES: [Policy; 2] = [
    Policy::new(Purpose::Client),
    Policy {
        purpose: Purpose::Server,
        expired_leaf: ExpiredLeaf::Accept,
        revocation: Revocation::Ignore,
        key_identifiers: KeyIdentifiers::WhenPresent,
    },
];

static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    let anchors = [
        include_bytes!("../certs/good/p256-long/anchors.pem").as_slice(),
        include_bytes!("../certs/good/p384-long/anchors.pem"),
        include_bytes!("../certs/good/ed25519/anchors.pem"),
    ];
    let read = |pem| Certificate::chain_from_pem(pem).expect("anchors of the corpus").remove(0);
    anchors.into_iter().fold(Anchors::builder(), |all, pem| all.anchor(read(pem))).build().expect("anchors")
});
