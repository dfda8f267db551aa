//! Writes certificates of every built-in profile and a revocation list into a directory, for other tools to judge:
//!
//! ```text
//! cargo run --example profile_samples -- samples 20
//! openssl x509 -in samples/ocf-identity-0.pem -noout -text
//! lint_pkix_cert lint samples/ocf-identity-0.pem
//! ```
//!
//! `docs/certificates.md` says what pkilint finds in them. The keys are forgotten; nothing trusts these certificates.

use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_pki::{
    Builtin, Certificate, CrlContent, DeviceName, Facts, Issuer, KeyAlgorithm, Profile, RevocationReason, RevokedCertificate, SignedCsr,
    SoftwareKey,
};
use gatehouse_types::{DeviceId, Random, UnixTime};
use std::{error::Error, fs, num::NonZeroU64, path::Path, sync::Arc, time::Duration};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: profile_samples DIRECTORY [COUNT]")?;
    let count: usize = arguments.next().map_or(Ok(1), |text| text.parse())?;
    let directory = Path::new(&directory);
    fs::create_dir_all(directory)?;
    let now = SystemClock.now();
    for number in 0..count {
        // Both curves take turns.
        let algorithm = if number % 2 == 0 { KeyAlgorithm::P256 } else { KeyAlgorithm::P384 };
        let manufacturer = root(Builtin::ManufacturerRoot, algorithm, now)?;
        let line = below(&manufacturer, Builtin::ManufacturerIntermediate, algorithm, now)?;
        let service = root(Builtin::ServiceRoot, algorithm, now)?;
        let customer = root(Builtin::CustomerRoot, algorithm, now)?;
        let issuing = below(&customer, Builtin::CustomerIntermediate, algorithm, now)?;
        let mut made = vec![
            (Builtin::ManufacturerRoot, manufacturer.certificate().clone()),
            (Builtin::ManufacturerIntermediate, line.certificate().clone()),
            (Builtin::ServiceRoot, service.certificate().clone()),
            (Builtin::CustomerRoot, customer.certificate().clone()),
            (Builtin::CustomerIntermediate, issuing.certificate().clone()),
        ];
        for (builtin, issuer) in [
            (Builtin::ManufacturerDevice, &line),
            (Builtin::ProvisioningServer, &service),
            (Builtin::OcfIdentity, &issuing),
            (Builtin::HubServer, &issuing),
            (Builtin::ApiServer, &issuing),
            (Builtin::AgentClient, &issuing),
        ] {
            made.push((builtin, leaf(issuer, builtin, &facts(builtin, number)?, algorithm, now)?));
        }
        for (builtin, certificate) in &made {
            let name = Profile::builtin(*builtin).name().to_owned();
            fs::write(directory.join(format!("{name}-{number}.pem")), certificate.pem())?;
        }
        let last = made.last().map(|(_, certificate)| certificate.serial().clone()).ok_or("made above")?;
        let revoked = vec![RevokedCertificate { serial: last, time: now, reason: RevocationReason::CessationOfOperation }];
        let content = CrlContent { number: NonZeroU64::MIN, this_update: now, next_update: now + Duration::from_secs(86_400), revoked };
        fs::write(directory.join(format!("revoked-{number}.crl")), issuing.sign_crl(&content)?.der())?;
    }
    Ok(())
}

fn facts(builtin: Builtin, number: usize) -> Outcome<Facts> {
    let name = || {
        let mut bytes = [0; 16];
        SystemRandom.fill(&mut bytes);
        DeviceName::from(DeviceId::from_random(bytes))
    };
    let facts = Facts::new().crl("http://ca.example.com/issuing.crl".parse()?);
    Ok(match builtin {
        // Every other device is onboarded by OCF devices.
        Builtin::ManufacturerDevice if number % 4 < 2 => facts.serial_number(format!("SN-{number:06}").parse()?),
        Builtin::ManufacturerDevice => facts.serial_number(format!("SN-{number:06}").parse()?).option("ocf-onboarding"),
        Builtin::OcfIdentity => facts.device(name()),
        Builtin::HubServer => facts.hub(name()).host("hub.example.com".parse()?),
        Builtin::AgentClient => facts.common_name(format!("agent {number}").parse()?).organisation("Example".parse()?),
        _ => facts.host("gatehouse.example.com".parse()?).host("192.0.2.1".parse()?).host("2001:db8::1".parse()?),
    })
}

fn root(builtin: Builtin, algorithm: KeyAlgorithm, now: UnixTime) -> Outcome<Issuer> {
    let key = Arc::new(SoftwareKey::generate(algorithm)?);
    let facts = Facts::new().organisation("Example".parse()?).common_name("Example Root".parse()?);
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_software_key(&key), &facts, now)?;
    let certificate = Issuer::self_signed(approved, &*key, &SystemRandom)?;
    Ok(Issuer::new(vec![certificate], key)?)
}

fn below(issuer: &Issuer, builtin: Builtin, algorithm: KeyAlgorithm, now: UnixTime) -> Outcome<Issuer> {
    let key = Arc::new(SoftwareKey::generate(algorithm)?);
    let facts =
        Facts::new().organisation("Example".parse()?).common_name("Example Line 1".parse()?).crl("http://ca.example.com/root.crl".parse()?);
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_software_key(&key), &facts, now)?;
    let certificate = issuer.issue(approved, &SystemRandom)?;
    Ok(Issuer::new([vec![certificate], issuer.chain().to_vec()].concat(), key)?)
}

fn leaf(issuer: &Issuer, builtin: Builtin, facts: &Facts, algorithm: KeyAlgorithm, now: UnixTime) -> Outcome<Certificate> {
    let key = SoftwareKey::generate(algorithm)?;
    let approved = Profile::builtin(builtin).approve(SignedCsr::for_software_key(&key), facts, now)?;
    Ok(issuer.issue(approved, &SystemRandom)?)
}
