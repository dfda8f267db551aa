//! How far is judging a chain from the signatures that it cannot avoid?
//!
//! The floor is `ring` checking the same signatures with the same keys, in the same run, and nothing else. Above it lie reading
//! the presented certificates, finding the path, and every other rule of RFC 5280 §6.1. The aim is 1.15 times the floor.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gatehouse_pki::{Anchors, Certificate, CertificateList, Memo, Policy, PublicKey, Purpose, Revocation, SignatureAlgorithm};
use gatehouse_types::UnixTime;
use std::{fs, hint::black_box, path::PathBuf};

/// Inside of the validity of every chain of `certs/`.
const NOW: UnixTime = UnixTime::from_secs(1_811_851_200);

/// One chain of `certs/good`.
struct Chain {
    presented: Vec<Certificate>,
    anchor: Certificate,
    list: Option<CertificateList>,
}

impl Chain {
    fn read(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("certs/good").join(name);
        let certificates = |file: &str| Certificate::chain_from_pem(&fs::read(folder.join(file)).expect("kept")).expect("good");
        let list = fs::read(folder.join("lists.pem")).ok().map(|text| CertificateList::from_pem(&text).expect("good"));
        Self { presented: certificates("chain.pem"), anchor: certificates("anchors.pem").remove(0), list }
    }

    fn ders(&self) -> Vec<&[u8]> {
        self.presented.iter().map(Certificate::der).collect()
    }

    fn anchors(&self) -> Anchors {
        let builder = Anchors::builder().anchor(self.anchor.clone());
        self.list.iter().fold(builder, |all, list| all.revocation_list(list.clone())).build().expect("anchors")
    }

    /// The issuer's key, the algorithm, what is signed, and the signature, for each certificate below the anchor.
    fn signatures(&self) -> Vec<(PublicKey, SignatureAlgorithm, Vec<u8>, Vec<u8>)> {
        let issuers = self.presented.iter().skip(1).chain([&self.anchor]);
        let pairs = self.presented.iter().zip(issuers);
        pairs
            .map(|(child, issuer)| (issuer.public_key().clone(), child.signature_algorithm(), part(child.der(), 0), signature(child.der())))
            .collect()
    }
}

/// One of the three elements of a certificate.
fn part(der: &[u8], number: usize) -> Vec<u8> {
    let mut rest = &der[header(der).0..];
    for _ in 0..number {
        rest = &rest[header(rest).1..];
    }
    rest[..header(rest).1].to_vec()
}

/// The bytes in the BIT STRING.
fn signature(der: &[u8]) -> Vec<u8> {
    let bits = part(der, 2);
    bits[header(&bits).0 + 1..].to_vec()
}

/// Where the content begins and where it ends.
fn header(der: &[u8]) -> (usize, usize) {
    match der[1] {
        short @ 0..=0x7f => (2, 2 + usize::from(short)),
        0x81 => (3, 3 + usize::from(der[2])),
        _ => (4, 4 + usize::from(u16::from_be_bytes([der[2], der[3]]))),
    }
}

fn verify(criterion: &mut Criterion) {
    for (name, what) in [
        ("root-leaf", "P-256, one signature"),
        ("p256", "P-256, two signatures"),
        ("p256-long", "P-256, three signatures"),
        ("constrained", "P-256, three signatures, name constraints"),
        ("p384-long", "P-384, three signatures"),
        ("ed25519", "Ed25519, two signatures"),
        ("rsa2048", "RSA-2048, two signatures"),
    ] {
        let chain = Chain::read(name);
        let (anchors, presented, signatures) = (chain.anchors(), chain.ders(), chain.signatures());
        let mut group = criterion.benchmark_group("verify");
        group.bench_function(BenchmarkId::new("floor", what), |bencher| {
            bencher.iter(|| {
                for (key, algorithm, message, signature) in &signatures {
                    key.verify(*algorithm, black_box(message), signature).expect("good");
                }
            });
        });
        let policy = Policy::new(Purpose::Client);
        group.bench_function(BenchmarkId::new("chain", what), |bencher| {
            bencher.iter(|| anchors.verify(black_box(&presented), &policy, NOW).expect("good"));
        });
        // What a handshake costs when another device of the same maker came before: its floor is the leaf's signature.
        let memo = Memo::new(16);
        anchors.verify_with(&memo, &presented, &policy, NOW).expect("good");
        group.bench_function(BenchmarkId::new("chain, intermediates known", what), |bencher| {
            bencher.iter(|| anchors.verify_with(&memo, black_box(&presented), &policy, NOW).expect("good"));
        });
        group.finish();
    }
}

fn revocation(criterion: &mut Criterion) {
    let chain = Chain::read("list-of-leaf-only");
    let (anchors, presented) = (chain.anchors(), chain.ders());
    let mut group = criterion.benchmark_group("verify");
    for (what, mode) in [("ignored", Revocation::Ignore), ("of a presented CA", Revocation::WhenPresent)] {
        let policy = Policy { revocation: mode, ..Policy::new(Purpose::Client) };
        group.bench_function(BenchmarkId::new("revocation list", what), |bencher| {
            bencher.iter(|| anchors.verify(black_box(&presented), &policy, NOW).expect("good"));
        });
    }
    group.finish();
}

fn refuse(criterion: &mut Criterion) {
    let chain = Chain::read("p256-long");
    let (anchors, presented) = (chain.anchors(), chain.ders());
    let policy = Policy::new(Purpose::Server);
    criterion.bench_function("refuse/wrong purpose, before any signature", |bencher| {
        bencher.iter(|| anchors.verify(black_box(&presented), &policy, NOW).expect_err("a client"));
    });
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for name in ["p256", "p384-long", "ed25519", "rsa2048", "constrained"] {
        let leaf = Chain::read(name).presented.remove(0);
        group.bench_function(BenchmarkId::new("certificate", name), |bencher| {
            bencher.iter(|| Certificate::from_der(black_box(leaf.der())).expect("good"));
        });
    }
    group.finish();
}

criterion_group!(benches, verify, revocation, refuse, read);
criterion_main!(benches);
