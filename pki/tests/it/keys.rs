//! Keys that OpenSSL makes, and those that it makes and nobody should take.

use crate::openssl::OpenSsl;
use gatehouse_pki::{BadSignature, KeyAlgorithm, KeyError, PublicKey, SignatureAlgorithm, Signer, SoftwareKey};
use gatehouse_types::Secret;

/// A public key in DER, and the directory where its private half is in `key.pem`.
fn made(genpkey: &str) -> (OpenSsl, Vec<u8>) {
    let openssl = OpenSsl::new();
    openssl.run(&format!("genpkey {genpkey} -out key.pem"));
    openssl.run("pkey -in key.pem -pubout -outform DER -out key.der");
    let der = openssl.read("key.der");
    (openssl, der)
}

#[test]
fn keys_of_every_accepted_kind_are_read_and_verify_what_openssl_signs() {
    use SignatureAlgorithm::{
        EcdsaSha256, EcdsaSha384, RsaPkcs1Sha256, RsaPkcs1Sha384, RsaPkcs1Sha512, RsaPssSha256, RsaPssSha384, RsaPssSha512,
    };
    let pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest";
    let p256 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    let p384 = "-algorithm EC -pkeyopt ec_paramgen_curve:P-384";
    let rsa = [(RsaPkcs1Sha256, "sha256", ""), (RsaPkcs1Sha384, "sha384", ""), (RsaPkcs1Sha512, "sha512", "")];
    let rsa_pss = [(RsaPssSha256, "sha256", pss), (RsaPssSha384, "sha384", pss), (RsaPssSha512, "sha512", pss)];
    let every_rsa = [rsa, rsa_pss].concat();
    let ecdsa = vec![(EcdsaSha256, "sha256", ""), (EcdsaSha384, "sha384", "")];
    for (kind, algorithm, signatures) in [
        (p256, KeyAlgorithm::P256, ecdsa.clone()),
        (p384, KeyAlgorithm::P384, ecdsa),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", KeyAlgorithm::Rsa { bits: 2048 }, every_rsa),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:3072", KeyAlgorithm::Rsa { bits: 3072 }, vec![rsa[0]]),
    ] {
        let (openssl, der) = made(kind);
        let key = PublicKey::from_spki_der(&der).unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(key.spki_der(), der);
        openssl.write("message", b"message");
        for (signature_algorithm, hash, options) in signatures {
            openssl.run(&format!("dgst -{hash} -sign key.pem {options} -out signature message"));
            let signature = openssl.read("signature");
            assert_eq!(key.verify(signature_algorithm, b"message", &signature), Ok(()), "{kind} {signature_algorithm}");
            assert_eq!(key.verify(signature_algorithm, b"massage", &signature), Err(BadSignature), "{kind} {signature_algorithm}");
        }
    }
}

#[test]
fn ed25519_verifies_what_openssl_signs() {
    let (openssl, der) = made("-algorithm ED25519");
    let key = PublicKey::from_spki_der(&der).expect("Ed25519");
    openssl.write("message", b"message");
    openssl.run("pkeyutl -sign -rawin -inkey key.pem -in message -out signature");
    assert_eq!(key.verify(SignatureAlgorithm::Ed25519, b"message", &openssl.read("signature")), Ok(()));
}

#[test]
fn private_keys_are_read_from_openssl_and_written_for_it() {
    for kind in ["EC -pkeyopt ec_paramgen_curve:P-256", "EC -pkeyopt ec_paramgen_curve:P-384", "ED25519"] {
        let (openssl, public) = made(&format!("-algorithm {kind}"));
        openssl.run("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.p8");
        let key = SoftwareKey::from_pkcs8(Secret::new(openssl.read("key.p8"))).expect("PKCS#8");
        assert_eq!(key.public_key().spki_der(), public, "{kind}");
        openssl.write("ours.p8", key.to_pkcs8().expose());
        openssl.run("pkey -inform DER -in ours.p8 -pubout -outform DER -out again.der");
        assert_eq!(openssl.read("again.der"), public, "{kind}");
    }
}

#[test]
fn private_keys_in_other_forms_are_refused() {
    let (openssl, _) = made("-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    openssl.run("ec -in key.pem -outform DER -out sec1.der");
    assert!(SoftwareKey::from_pkcs8(Secret::new(openssl.read("sec1.der"))).is_err());
    let (openssl, _) = made("-algorithm RSA -pkeyopt rsa_keygen_bits:2048");
    openssl.run("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.p8");
    assert!(SoftwareKey::from_pkcs8(Secret::new(openssl.read("key.p8"))).is_err());
}

#[test]
fn keys_that_are_not_accepted_are_refused_with_the_reason() {
    let refused = |genpkey: &str| PublicKey::from_spki_der(&made(genpkey).1).expect_err(genpkey);
    let explicit = refused("-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit");
    assert_eq!(explicit, KeyError::ExplicitCurve);
    assert_eq!(refused("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1"), KeyError::Curve { oid: "1.3.132.0.10".to_owned() });
    assert_eq!(refused("-algorithm EC -pkeyopt ec_paramgen_curve:P-521"), KeyError::Curve { oid: "1.3.132.0.35".to_owned() });
    assert_eq!(refused("-algorithm RSA -pkeyopt rsa_keygen_bits:1024"), KeyError::RsaSize { bits: 1024 });
    assert_eq!(refused("-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3"), KeyError::RsaExponent);
    assert_eq!(refused("-algorithm ED448"), KeyError::Algorithm { oid: "1.3.101.113".to_owned() });
    assert_eq!(refused("-algorithm X25519"), KeyError::Algorithm { oid: "1.3.101.110".to_owned() });
    let pss_only = refused("-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048");
    assert_eq!(pss_only, KeyError::Algorithm { oid: "1.2.840.113549.1.1.10".to_owned() });

    let (openssl, _) = made("-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
    openssl.run("ec -in key.pem -pubout -conv_form compressed -outform DER -out compressed.der");
    assert_eq!(PublicKey::from_spki_der(&openssl.read("compressed.der")), Err(KeyError::CompressedPoint));
}
