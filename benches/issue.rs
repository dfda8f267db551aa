//! How far is a certificate from what its cryptography costs?
//!
//! From the bytes of a request to a certificate takes one verification (the requester has the key) and one signature. Both alone
//! are measured in the same run, as the floor. What lies between is reading, deciding, encoding, and the lint.

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse_base::SystemRandom;
use gatehouse_pki::{Builtin, Csr, Facts, Issuer, KeyAlgorithm, Profile, SignedCsr, Signer, SoftwareKey};
use gatehouse_types::UnixTime;
use std::{hint::black_box, sync::Arc};

const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);
const DEVICE: &str = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";

fn issuer() -> Issuer {
    let key = Arc::new(SoftwareKey::generate(KeyAlgorithm::P256).expect("a key"));
    let facts = Facts::new().organisation("Example".parse().expect("a name")).common_name("Example CA".parse().expect("a name"));
    let approved = Profile::builtin(Builtin::CustomerRoot).approve(SignedCsr::for_software_key(&key), &facts, NOW).expect("approved");
    let root = Issuer::self_signed(approved, &*key, &SystemRandom).expect("a root");
    Issuer::new(vec![root], key).expect("it issues")
}

fn request() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, DEVICE);
    parameters.serialize_request(&key).expect("a request").der().to_vec()
}

fn issue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("issue");
    let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    let message = [7; 400];
    group.bench_function("floor: one P-256 verification and one signature", |bencher| {
        let signature = key.sign(&message).expect("a signature");
        bencher.iter(|| {
            key.public_key().verify(key.signature_algorithm(), black_box(&message), &signature).expect("its own");
            key.sign(black_box(&message)).expect("a signature")
        });
    });

    let (issuer, profile, request) = (issuer(), Profile::builtin(Builtin::OcfIdentity), request());
    let facts = Facts::new().device(DEVICE.parse().expect("a name"));
    group.bench_function("request to certificate", |bencher| {
        bencher.iter(|| {
            let signed = Csr::from_der(black_box(&request)).and_then(Csr::verify).expect("a good request");
            let approved = profile.approve(signed, &facts, NOW).expect("approved");
            issuer.issue(approved, &SystemRandom).expect("a certificate")
        });
    });

    let device = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
    group.bench_function("certificate for a key made here", |bencher| {
        bencher.iter(|| {
            let approved = profile.approve(SignedCsr::for_software_key(black_box(&device)), &facts, NOW).expect("approved");
            issuer.issue(approved, &SystemRandom).expect("a certificate")
        });
    });
    group.finish();
}

criterion_group!(benches, issue);
criterion_main!(benches);
