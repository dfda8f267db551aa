//! Requests as OpenSSL writes them.

use crate::openssl::OpenSsl;
use gatehouse_pki::{Csr, CsrError, KeyAlgorithm};

const DEVICE: &str = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";

fn request(genpkey: &str, subject: &str, more: &str) -> Vec<u8> {
    let openssl = OpenSsl::new();
    openssl.run(&format!("genpkey {genpkey} -out key.pem"));
    openssl.run(&format!("req -new -key key.pem -subj {subject} {more} -out request.pem"));
    openssl.read("request.pem")
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

#[test]
fn requests_for_every_accepted_key_are_read_and_verified() {
    for (genpkey, algorithm) in [
        (P256, KeyAlgorithm::P256),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-384", KeyAlgorithm::P384),
        ("-algorithm ED25519", KeyAlgorithm::Ed25519),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048", KeyAlgorithm::Rsa { bits: 2048 }),
    ] {
        let csr = Csr::from_pem(&request(genpkey, &format!("/CN={DEVICE}"), "")).expect("a request");
        let signed = csr.verify().expect("signed by its key");
        assert_eq!(signed.key_algorithm(), algorithm);
        assert_eq!(signed.claimed_device().map(|name| name.to_string()).as_deref(), Some(DEVICE));
    }
}

#[test]
fn requested_extensions_are_read_over() {
    let pem = request(P256, "/O=Acme/CN=SN-1", "-addext basicConstraints=critical,CA:TRUE -addext subjectAltName=DNS:a.example");
    let csr = Csr::from_pem(&pem).expect("a request");
    assert_eq!(csr.subject().to_string(), "O=Acme, CN=SN-1");
    assert!(csr.verify().is_ok());
}

#[test]
fn a_second_device_name_in_an_extension_is_refused() {
    let pem = request(P256, &format!("/CN={DEVICE}"), &format!("-addext subjectAltName=URI:{DEVICE}"));
    assert!(matches!(Csr::from_pem(&pem), Err(CsrError::DeviceName { .. })));
}

#[test]
fn a_request_signed_with_sha_1_is_refused() {
    let pem = request(P256, "/CN=x", "-sha1");
    let refused = Csr::from_pem(&pem).expect_err("refused");
    assert!(matches!(refused, CsrError::Algorithm(_)), "{refused:?}");
}

/// What an unmodified OCF device sent to its provisioning service.
const OF_A_DEVICE: &str = "-----BEGIN CERTIFICATE REQUEST-----
MIHwMIGWAgEAMDQxMjAwBgNVBAMMKXV1aWQ6ODZiNzcwODgtNjZjZi00OWVhLTYx
ZDItNjEwZjFlNjMxNDQwMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQneVtq2D
7ZYb2Ksm7pholgNSVnUwvDDyEVFukhNu0Q4yCUQvu1nwNWyUYhcBs7DoT4FK46J/
Da7wnSJI3imN+aAAMAoGCCqGSM49BAMCA0kAMEYCIQCHzBM31rnSybuwjpuVdypM
+0ILvPzJwVRCvxdpZNIn0AIhAOKO7raLr0SfhmzA2ve/Gq54QQoEeFpsV4irVIBy
z/gt
-----END CERTIFICATE REQUEST-----
";

#[test]
fn the_request_of_a_real_device_is_read_and_verified() {
    let csr = Csr::from_pem(OF_A_DEVICE.as_bytes()).expect("a request");
    assert_eq!(csr.subject().to_string(), "CN=uuid:86b77088-66cf-49ea-61d2-610f1e631440");
    let signed = csr.verify().expect("signed by its key");
    assert_eq!(signed.key_algorithm(), KeyAlgorithm::P256);
    assert_eq!(signed.claimed_device().map(|name| name.id().to_string()).as_deref(), Some("86b77088-66cf-49ea-61d2-610f1e631440"));
}

#[test]
fn a_refusal_names_the_rule() {
    let weak = request("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "/CN=x", "-sha256");
    let refused = Csr::from_pem(&weak).expect_err("refused");
    assert_eq!(refused.to_string(), "the RSA modulus has 1024 bits; 2048 to 4096 are accepted");
    let sha1 = Csr::from_pem(&request(P256, "/CN=x", "-sha1")).expect_err("refused");
    assert_eq!(sha1.to_string(), "signatures with SHA-1 can be forged; SHA-256 or better is needed");
}
