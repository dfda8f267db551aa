//! Signs a certificate request: from the bytes that somebody sent to a chain that verifies.
//!
//! ```text
//! cargo run --example sign_csr                   # makes a key and a request of its own
//! cargo run --example sign_csr -- device.csr     # PEM or DER, such as `openssl req -new` writes
//! ```
//!
//! The CA is made for this run and forgotten; custody of real ones is `gatehouse_ca`'s.

use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_pki::{Anchors, Builtin, Csr, DeviceName, Facts, Issuer, KeyAlgorithm, Policy, Profile, Purpose, SignedCsr, SoftwareKey};
use gatehouse_types::{DeviceId, Random};
use std::{error::Error, fs, io::Write, sync::Arc};

fn main() -> Result<(), Box<dyn Error>> {
    let now = SystemClock.now();
    let random = SystemRandom;

    // A request becomes a `SignedCsr` when its sender has shown to have the key. Nothing else can be approved.
    let request = match std::env::args().nth(1) {
        Some(path) => {
            let bytes = fs::read(path)?;
            if bytes.starts_with(b"-----") { Csr::from_pem(&bytes)? } else { Csr::from_der(&bytes)? }.verify()?
        }
        None => SignedCsr::for_software_key(&SoftwareKey::generate(KeyAlgorithm::P256)?),
    };

    // The name in a request is a claim. Whoever calls decides whom the certificate is for.
    let device = request.claimed_device().unwrap_or_else(|| {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        DeviceName::from(DeviceId::from_random(bytes))
    });

    let ca_key = Arc::new(SoftwareKey::generate(KeyAlgorithm::P256)?);
    let ca_facts = Facts::new().organisation("Example".parse()?).common_name("Example Device CA".parse()?);
    let ca = Profile::builtin(Builtin::CustomerRoot).approve(SignedCsr::for_software_key(&ca_key), &ca_facts, now)?;
    let root = Issuer::self_signed(ca, &*ca_key, &random)?;
    let issuer = Issuer::new(vec![root.clone()], ca_key)?;

    let approved = Profile::builtin(Builtin::OcfIdentity).approve(request, &Facts::new().device(device), now)?;
    let certificate = issuer.issue(approved, &random)?;

    // What anybody does who is shown the certificate.
    let anchors = Anchors::builder().anchor(root.clone()).build()?;
    let verified = anchors.verify(&[certificate.der()], &Policy::new(Purpose::OcfDevice), now)?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{} until {}, under {}", verified.leaf().subject(), certificate.not_after(), verified.anchor().subject())?;
    write!(out, "{}{}", certificate.pem(), root.pem())?;
    Ok(())
}
