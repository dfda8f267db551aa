//! The primitives of a mutual handshake at the server's end, and nothing else.

use gatehouse_testkit::cores::processor_time;
use openssl::{
    derive::Deriver,
    ec::{EcGroup, EcKey},
    ecdsa::EcdsaSig,
    nid::Nid,
    pkey::PKey,
};
use ring::{
    agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey},
    rand::SystemRandom,
    signature::{self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

const MESSAGE: &[u8] = &[7; 300];

/// How often in a second of processor time, when it is done for so long.
fn count(time: Duration, mut once: impl FnMut()) -> f64 {
    let own = std::process::id();
    let (begun, before, mut count) = (Instant::now(), processor_time(own), 0_u32);
    while begun.elapsed() < time {
        once();
        count += 1;
    }
    f64::from(count) / (processor_time(own) - before).as_secs_f64()
}

/// By what rustls uses here.
pub(crate) fn ring(time: Duration) -> f64 {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).expect("a key");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.as_ref(), &random).expect("a key");
    let signature = key.sign(&random, MESSAGE).expect("a signature");
    let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref());
    let peer = EphemeralPrivateKey::generate(&ECDH_P256, &random).and_then(|key| key.compute_public_key()).expect("a key");
    count(time, || {
        black_box(key.sign(&random, MESSAGE).expect("a signature"));
        for _ in 0..2 {
            public.verify(MESSAGE, signature.as_ref()).expect("its own");
        }
        let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).expect("a key");
        black_box(own.compute_public_key().expect("a key"));
        let agreed = agreement::agree_ephemeral(own, &UnparsedPublicKey::new(&ECDH_P256, peer.as_ref()), <[u8]>::to_vec);
        black_box(agreed.expect("a secret"));
    })
}

/// By OpenSSL.
pub(crate) fn openssl(time: Duration) -> f64 {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a group");
    let key = EcKey::generate(&group).expect("a key");
    let digest = openssl::sha::sha256(MESSAGE);
    let signature = EcdsaSig::sign(&digest, &key).expect("a signature");
    let peer = PKey::from_ec_key(EcKey::from_public_key(&group, key.public_key()).expect("a key")).expect("a key");
    count(time, || {
        black_box(EcdsaSig::sign(&openssl::sha::sha256(MESSAGE), &key).expect("a signature"));
        for _ in 0..2 {
            assert!(signature.verify(&openssl::sha::sha256(MESSAGE), &key).expect("its own"));
        }
        let own = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        let mut deriver = Deriver::new(&own).expect("an agreement");
        deriver.set_peer(&peer).expect("on the same curve");
        black_box(deriver.derive_to_vec().expect("a secret"));
    })
}
