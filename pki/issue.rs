//! Issuing: from what a profile approved to a signed certificate.
//!
//! The bytes are written first, then the [lint](crate::lint) reads them back, and what it found good is the only thing that
//! the real key signs.

mod encode;
#[cfg(test)]
mod reference;
mod revocation_list;
mod to_be_signed;

pub use encode::EncoderError;
#[cfg(test)]
pub(crate) use reference::{encoded, parameters};
pub use revocation_list::{CrlContent, CrlError};

use crate::{
    certificate::{Certificate, CertificateError},
    distinguished_name::DistinguishedName,
    extensions::KeyUsage,
    key::{Fingerprint, PublicKey, Role, Signer, SignerError},
    lint::{self, Expected, Finding, IssuingCa},
    profile::{Approved, Kind},
    serial::Serial,
};
use gatehouse_types::{Random, UnixTime};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// A CA that issues: its certificate, those above it, and its key.
pub struct Issuer {
    /// The issuing CA first, the root last.
    chain: Vec<Certificate>,
    signer: Arc<dyn Signer>,
    /// The issuing CA as the encoder of revocation lists takes it.
    written: rcgen::CertificateParams,
    denied: BTreeSet<Fingerprint>,
}

/// A chain and key that cannot issue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// No certificate at all, or more than a chain has.
    #[error("an issuer has 1 to {MAX_CHAIN} certificates, its own first and the root last, and there are {0}")]
    Length(usize),
    /// The key is another than the one in the first certificate.
    #[error("the signing key is not the key of the first certificate, {subject}; the issuing CA comes first in the chain")]
    OtherKey {
        /// The first certificate's subject.
        subject: String,
    },
    /// A certificate of the chain is not a CA's.
    #[error("{subject} cannot issue: {rule}")]
    NotCa {
        /// The certificate's subject.
        subject: String,
        /// What it lacks.
        rule: &'static str,
    },
    /// Two neighbours do not fit.
    #[error("{subject} was not issued by the next certificate of the chain, {issuer}: {rule}")]
    Broken {
        /// The lower certificate's subject.
        subject: String,
        /// The upper certificate's subject.
        issuer: String,
        /// What does not fit.
        rule: &'static str,
    },
    /// The last certificate is not a root.
    #[error("the last certificate of the chain, {subject}, is not signed by its own key; the root comes last")]
    NoRoot {
        /// Its subject.
        subject: String,
    },
    /// The encoder cannot write the CA's name exactly as it is.
    #[error(
        "{subject} cannot issue here: its name has several attributes in one set, two of one kind, or a question mark, which are not written"
    )]
    Name {
        /// The issuing CA's subject.
        subject: String,
    },
}

/// A certificate or revocation list that is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The finished bytes break rules; nothing was signed.
    #[error("the certificate was not signed, because it would break a rule: {}", listed(.0))]
    Lint(Vec<Finding>),
    /// The key belongs to a CA of the chain, or is blocked.
    #[error("the key {fingerprint} gets no certificate: {reason}; make a new key")]
    DeniedKey {
        /// The key.
        fingerprint: Fingerprint,
        /// Whose it is.
        reason: &'static str,
    },
    /// Clamped into the life of every CA above it, the certificate would be too short.
    #[error("{ca} ends {end}, which leaves less than {} minutes for a certificate below it; renew the CA first", shortest / 60)]
    EndsTooSoon {
        /// The CA that ends first.
        ca: String,
        /// When.
        end: UnixTime,
        /// The shortest life that the profile gives, in seconds.
        shortest: u64,
    },
    /// A CA of the chain is not valid yet.
    #[error("{ca} is valid from {begin} on, and nothing is issued below it before")]
    NotYetValid {
        /// The CA.
        ca: String,
        /// Its first moment.
        begin: UnixTime,
    },
    /// A root is asked of an issuer, or something else of a key alone.
    #[error("{0}")]
    Hierarchy(&'static str),
    /// The signer did not sign.
    #[error("the certificate could not be signed")]
    Signer(#[from] SignerError),
    /// What was signed is not read by the judging half.
    #[error("the finished certificate is not one that is accepted")]
    Certificate(#[from] CertificateError),
}

impl Issuer {
    /// An issuer with this chain, the issuing CA first and the root last, and the issuing CA's key. Checks that they fit; not
    /// that they are valid now, which each certificate's dates decide when it is issued.
    pub fn new(chain: Vec<Certificate>, signer: Arc<dyn Signer>) -> Result<Self, IssuerError> {
        let own = match chain.first() {
            Some(own) if chain.len() <= MAX_CHAIN => own,
            _ => return Err(IssuerError::Length(chain.len())),
        };
        if own.public_key() != signer.public_key() {
            return Err(IssuerError::OtherKey { subject: own.subject().to_string() });
        }
        for (below, ca) in chain.iter().enumerate() {
            check_ca(ca, below)?;
        }
        for pair in chain.windows(2) {
            check_link(&pair[0], &pair[1])?;
        }
        if let Some(root) = chain.last()
            && check_link(root, root).is_err()
        {
            return Err(IssuerError::NoRoot { subject: root.subject().to_string() });
        }
        let Some(written) = encode::issuing_parameters(own, signer.public_key()) else {
            return Err(IssuerError::Name { subject: own.subject().to_string() });
        };
        Ok(Self { chain, signer, written, denied: BTreeSet::new() })
    }

    /// Keys that get no certificate, by their fingerprints, beside those of the chain: revoked ones, and the instance's own.
    #[must_use]
    pub fn denying(self, keys: impl IntoIterator<Item = Fingerprint>) -> Self {
        Self { denied: keys.into_iter().collect(), ..self }
    }

    /// The issuing CA's certificate.
    pub fn certificate(&self) -> &Certificate {
        // `new` refuses an empty chain.
        &self.chain[0]
    }

    /// The issuing CA's certificate and those above it, the root last.
    pub fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    /// The issuing CA as the encoder of revocation lists takes it.
    pub(crate) fn written(&self) -> &rcgen::CertificateParams {
        &self.written
    }

    /// The key that signs.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// Issues what was approved, valid no longer than any CA above it.
    pub fn issue(&self, approved: Approved, random: &dyn Random) -> Result<Certificate, IssueError> {
        if matches!(approved.kind, Kind::Root { .. }) {
            return Err(IssueError::Hierarchy("a root is signed by its own key; another issuer makes an intermediate"));
        }
        self.check_key(&approved.key)?;
        sign(&self.expected(&approved, Serial::random(random))?, &*self.signer)
    }

    /// What the finished bytes must say.
    pub(crate) fn expected<'a>(&'a self, approved: &'a Approved, serial: Serial) -> Result<Expected<'a>, IssueError> {
        let window = self.window(approved)?;
        let own = self.certificate();
        let issuing = IssuingCa {
            name: own.subject().der(),
            key_id: own.subject_key_id().unwrap_or_default(),
            signature_algorithm: self.signer.signature_algorithm(),
            window: Some(window),
            cas_below: self.cas_below(),
        };
        let (not_before, not_after) = (approved.not_before.max(window.0), approved.not_after.min(window.1));
        Ok(Expected { not_before, not_after, serial, approved, issuing })
    }

    /// Makes a root: a certificate that its own key signs.
    pub fn self_signed(approved: Approved, signer: &dyn Signer, random: &dyn Random) -> Result<Certificate, IssueError> {
        if !matches!(approved.kind, Kind::Root { .. }) {
            return Err(IssueError::Hierarchy("only a root signs itself; use an issuer, or the profile of a root"));
        }
        if approved.key != *signer.public_key() {
            return Err(IssueError::Hierarchy("a root is signed by its own key, and the signer has another one"));
        }
        sign(&Self::expected_of_root(&approved, signer, Serial::random(random)), signer)
    }

    /// What the finished bytes of a root must say.
    pub(crate) fn expected_of_root<'a>(approved: &'a Approved, signer: &dyn Signer, serial: Serial) -> Expected<'a> {
        let signature_algorithm = signer.signature_algorithm();
        let issuing = IssuingCa { name: &[], key_id: &[], signature_algorithm, window: None, cas_below: None };
        Expected { not_before: approved.not_before, not_after: approved.not_after, serial, issuing, approved }
    }

    /// A key with two certificates speaks for two. No CA may be an end entity, and no end entity a CA.
    fn check_key(&self, key: &PublicKey) -> Result<(), IssueError> {
        let reason = if self.chain.iter().any(|ca| ca.public_key() == key) {
            "it is the key of a CA in the issuer's own chain"
        } else if !self.denied.is_empty() && self.denied.contains(&key.fingerprint()) {
            "it is blocked"
        } else {
            return Ok(());
        };
        Err(IssueError::DeniedKey { fingerprint: key.fingerprint(), reason })
    }

    /// When every CA of the chain is valid.
    fn window(&self, approved: &Approved) -> Result<(UnixTime, UnixTime), IssueError> {
        let mut window = (UnixTime::from_millis(i64::MIN), UnixTime::NO_END);
        for ca in &self.chain {
            let name = || ca.subject().to_string();
            if approved.approved_at < ca.not_before() {
                return Err(IssueError::NotYetValid { ca: name(), begin: ca.not_before() });
            }
            let left = ca.not_after().since(approved.approved_at);
            if left < approved.shortest {
                return Err(IssueError::EndsTooSoon { ca: name(), end: ca.not_after(), shortest: approved.shortest.as_secs() });
            }
            window = (window.0.max(ca.not_before()), window.1.min(ca.not_after()));
        }
        Ok(window)
    }

    /// How many CAs may follow below the issuing one; `None` for any number.
    fn cas_below(&self) -> Option<u32> {
        let left = |(below, ca): (u32, &Certificate)| ca.path_length().map(|length| length.saturating_sub(below));
        (0..).zip(&self.chain).filter_map(left).min()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Issuer({})", self.certificate().subject())
    }
}

/// Writes what is expected, and has it signed if the lint finds nothing.
fn sign(expected: &Expected<'_>, signer: &dyn Signer) -> Result<Certificate, IssueError> {
    let to_be_signed = to_be_signed::to_be_signed(expected);
    lint::examine(&to_be_signed, expected).map_err(IssueError::Lint)?.sign(signer)
}

/// Whether this certificate of the chain may stand over so many CAs.
fn check_ca(ca: &Certificate, below: usize) -> Result<(), IssuerError> {
    let signs = |uses| ca.key_usage().is_some_and(|usage| usage.contains(uses));
    let rule = if !ca.is_ca() {
        "its basic constraints do not say CA (RFC 5280 §4.2.1.9)"
    } else if !signs(KeyUsage::KEY_CERT_SIGN) {
        "its key usage does not include signing certificates (RFC 5280 §4.2.1.3)"
    } else if below == 0 && !signs(KeyUsage::CRL_SIGN) {
        "its key usage does not include signing revocation lists (RFC 5280 §4.2.1.3)"
    } else if below == 0 && ca.subject_key_id().is_none() {
        "it has no subject key identifier (RFC 5280 §4.2.1.2)"
    } else if ca.path_length().is_some_and(|length| (length as usize) < below) {
        "its path length does not allow the CAs below it (RFC 5280 §4.2.1.9)"
    } else if below == 0 && !Role::Intermediate.issues(ca.public_key().algorithm()) {
        "its key is of a kind that is verified and not issued with"
    } else {
        return Ok(());
    };
    Err(IssuerError::NotCa { subject: ca.subject().to_string(), rule })
}

fn check_link(lower: &Certificate, upper: &Certificate) -> Result<(), IssuerError> {
    let rule = if lower.issuer() != upper.subject() {
        "it names another issuer (RFC 5280 §6.1.3 (a)(4))"
    } else if upper.public_key().verify(lower.signature_algorithm(), lower.to_be_signed(), lower.signature()).is_err() {
        "the signature is not that issuer's (RFC 5280 §6.1.3 (a)(1))"
    } else {
        return Ok(());
    };
    let text = |name: &DistinguishedName| name.to_string();
    Err(IssuerError::Broken { subject: text(lower.subject()), issuer: text(upper.subject()), rule })
}

fn listed(findings: &[Finding]) -> String {
    findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; ")
}

const MAX_CHAIN: usize = 8;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        csr::SignedCsr,
        key::{KeyAlgorithm, SignatureAlgorithm, SoftwareKey},
        profile::{Builtin, Facts, Profile},
    };
    use std::{str::FromStr, sync::Mutex, time::Duration};

    pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    /// Draws 1, 2, 3, …
    pub(crate) struct Counting(Mutex<u8>);

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            let mut count = self.0.lock().expect("not poisoned");
            *count += 1;
            buffer.fill(*count);
        }
    }

    pub(crate) fn random() -> Counting {
        Counting(Mutex::new(0))
    }

    pub(crate) fn named<T: FromStr<Err: fmt::Debug>>(text: &str) -> T {
        text.parse().expect("a name")
    }

    pub(crate) fn key() -> Arc<SoftwareKey> {
        Arc::new(SoftwareKey::generate(KeyAlgorithm::P256).expect("P-256"))
    }

    pub(crate) fn ca_facts(name: &str) -> Facts {
        Facts::new().organisation(named("Acme")).common_name(named(name))
    }

    pub(crate) fn approve(builtin: Builtin, key: &dyn Signer, facts: &Facts) -> Approved {
        let request = SignedCsr::for_key(key).expect("it signs");
        Profile::builtin(builtin).approve(request, facts, NOW).expect("approved")
    }

    pub(crate) fn root(builtin: Builtin) -> Issuer {
        let key = key();
        let approved = approve(builtin, &*key, &ca_facts("Acme Root"));
        let certificate = Issuer::self_signed(approved, &*key, &random()).expect("a root");
        Issuer::new(vec![certificate], key).expect("it issues")
    }

    pub(crate) fn below(issuer: &Issuer, builtin: Builtin) -> Issuer {
        let key = key();
        let certificate = issuer.issue(approve(builtin, &*key, &ca_facts("Acme Line 1")), &random()).expect("an intermediate");
        Issuer::new([vec![certificate], issuer.chain().to_vec()].concat(), key).expect("it issues")
    }

    pub(crate) fn device_facts() -> Facts {
        Facts::new().device(named("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4"))
    }

    #[test]
    fn an_identity_says_what_was_approved() {
        let issuer = below(&root(Builtin::CustomerRoot), Builtin::CustomerIntermediate);
        let device = key();
        let facts = device_facts().crl(named("http://ca.example/1.crl"));
        let certificate = issuer.issue(approve(Builtin::OcfIdentity, &*device, &facts), &random()).expect("an identity");
        assert_eq!(certificate.subject().common_name().as_deref(), Some("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4"));
        assert_eq!(certificate.issuer(), issuer.certificate().subject());
        assert_eq!(certificate.public_key(), device.public_key());
        assert_eq!(certificate.authority_key_id(), issuer.certificate().subject_key_id());
        assert_eq!(certificate.subject_key_id(), Some(&device.public_key().key_id().as_bytes()[..]));
        assert_eq!(certificate.key_usage(), Some(KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_AGREEMENT));
        assert_eq!(certificate.not_before(), NOW - Duration::from_secs(65 * 60));
        assert_eq!(certificate.not_after(), NOW + 365 * DAY);
        assert_eq!(certificate.crl_distribution_points().collect::<Vec<_>>(), ["http://ca.example/1.crl"]);
        assert_eq!(certificate.serial().to_string(), format!("41{}", "01".repeat(15)));
        assert!(!certificate.is_ca());
        assert_eq!(check_link(&certificate, issuer.certificate()), Ok(()));
    }

    #[test]
    fn a_device_for_life_does_not_end_when_its_issuers_do_not() {
        let issuer = below(&root(Builtin::ManufacturerRoot), Builtin::ManufacturerIntermediate);
        let facts = Facts::new().serial_number(named("SN-1"));
        let certificate = issuer.issue(approve(Builtin::ManufacturerDevice, &*key(), &facts), &random()).expect("a device");
        assert_eq!(certificate.not_after(), UnixTime::NO_END);
        assert_eq!(certificate.subject().serial_number().as_deref(), Some("SN-1"));
    }

    #[test]
    fn a_certificate_lives_no_longer_than_its_issuers() {
        let issuer = root(Builtin::CustomerRoot);
        let key = key();
        let approved = approve(Builtin::CustomerIntermediate, &*key, &ca_facts("Short").lifetime(10 * DAY));
        let certificate = issuer.issue(approved, &random()).expect("an intermediate");
        let issuer = Issuer::new([vec![certificate], issuer.chain().to_vec()].concat(), key).expect("it issues");
        let identity = issuer.issue(approve(Builtin::OcfIdentity, &*self::key(), &device_facts()), &random()).expect("an identity");
        assert_eq!(identity.not_after(), NOW + 10 * DAY);

        let profile = Profile::builtin(Builtin::OcfIdentity);
        let later = |after| {
            let request = SignedCsr::for_key(&*self::key()).expect("it signs");
            issuer.issue(profile.approve(request, &device_facts(), NOW + after).expect("approved"), &random())
        };
        assert!(later(10 * DAY - Duration::from_secs(2 * 3600)).is_ok());
        assert!(matches!(later(10 * DAY - Duration::from_secs(2 * 3600 - 1)), Err(IssueError::EndsTooSoon { .. })));
        assert!(matches!(later(20 * DAY), Err(IssueError::EndsTooSoon { .. })));
        let request = SignedCsr::for_key(&*self::key()).expect("it signs");
        let early = profile.approve(request, &device_facts(), NOW - DAY).expect("approved");
        assert!(matches!(issuer.issue(early, &random()), Err(IssueError::NotYetValid { .. })));
    }

    #[test]
    fn the_keys_of_the_chain_and_blocked_keys_get_no_certificate() {
        let root_key = key();
        let certificate = Issuer::self_signed(approve(Builtin::CustomerRoot, &*root_key, &ca_facts("Root")), &*root_key, &random());
        let root = Issuer::new(vec![certificate.expect("a root")], root_key.clone()).expect("it issues");
        let issuer = below(&root, Builtin::CustomerIntermediate);
        for ca_key in [&*root_key as &dyn Signer, &**issuer.signer()] {
            let refused = issuer.issue(approve(Builtin::OcfIdentity, ca_key, &device_facts()), &random());
            assert!(matches!(refused, Err(IssueError::DeniedKey { .. })), "{refused:?}");
        }
        let device = key();
        let issuer = issuer.denying([device.public_key().fingerprint()]);
        let refused = issuer.issue(approve(Builtin::OcfIdentity, &*device, &device_facts()), &random());
        assert!(matches!(refused, Err(IssueError::DeniedKey { reason: "it is blocked", .. })), "{refused:?}");
        assert!(issuer.issue(approve(Builtin::OcfIdentity, &*key(), &device_facts()), &random()).is_ok());
    }

    #[test]
    fn path_lengths_are_kept() {
        let root = root(Builtin::CustomerRoot);
        let intermediate = below(&root, Builtin::CustomerIntermediate);
        let one_more = intermediate.issue(approve(Builtin::CustomerIntermediate, &*key(), &ca_facts("Too deep")), &random());
        let Err(IssueError::Lint(findings)) = one_more else { panic!("{one_more:?}") };
        assert_eq!(findings.iter().map(Finding::rule).collect::<Vec<_>>(), [crate::LintRule::PathLength]);
    }

    #[test]
    fn roots_sign_themselves_and_nothing_else_does() {
        let root_key = key();
        let issuer = root(Builtin::CustomerRoot);
        let approved = approve(Builtin::CustomerRoot, &*root_key, &ca_facts("Another"));
        assert!(matches!(issuer.issue(approved, &random()), Err(IssueError::Hierarchy(_))));
        let approved = approve(Builtin::CustomerRoot, &*root_key, &ca_facts("Another"));
        assert!(matches!(Issuer::self_signed(approved, &*key(), &random()), Err(IssueError::Hierarchy(_))));
        let approved = approve(Builtin::OcfIdentity, &*root_key, &device_facts());
        assert!(matches!(Issuer::self_signed(approved, &*root_key, &random()), Err(IssueError::Hierarchy(_))));
    }

    #[test]
    fn an_issuer_is_a_complete_chain_and_its_key() {
        let root = root(Builtin::CustomerRoot);
        let issuer = below(&root, Builtin::CustomerIntermediate);
        let (own, top) = (issuer.certificate().clone(), root.certificate().clone());
        let stranger = self::root(Builtin::CustomerRoot).certificate().clone();
        let new =
            |chain: &[&Certificate], signer: &Arc<dyn Signer>| Issuer::new(chain.iter().map(|ca| (*ca).clone()).collect(), signer.clone());
        assert!(new(&[&own, &top], issuer.signer()).is_ok());
        assert!(matches!(new(&[], issuer.signer()), Err(IssuerError::Length(0))));
        assert!(matches!(new(&[&own; 9], issuer.signer()), Err(IssuerError::Length(9))));
        assert!(matches!(new(&[&top, &own], issuer.signer()), Err(IssuerError::OtherKey { .. })));
        assert!(matches!(new(&[&own], issuer.signer()), Err(IssuerError::NoRoot { .. })));
        // The stranger has the same name and another key.
        assert!(matches!(new(&[&own, &stranger], issuer.signer()), Err(IssuerError::Broken { .. })));
        let leaf_key = key();
        let leaf = issuer.issue(approve(Builtin::OcfIdentity, &*leaf_key, &device_facts()), &random()).expect("an identity");
        let leaf_key: Arc<dyn Signer> = leaf_key;
        assert!(matches!(new(&[&leaf, &own, &top], &leaf_key), Err(IssuerError::NotCa { .. })));
    }

    #[test]
    fn what_the_signer_says_when_it_fails_is_kept() {
        struct Failing(Arc<SoftwareKey>);
        impl Signer for Failing {
            fn public_key(&self) -> &PublicKey {
                self.0.public_key()
            }
            fn signature_algorithm(&self) -> SignatureAlgorithm {
                self.0.signature_algorithm()
            }
            fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
                Err(SignerError::Away("the token was pulled".into()))
            }
        }
        let key = key();
        let approved = approve(Builtin::CustomerRoot, &*key, &ca_facts("Root"));
        let failed = Issuer::self_signed(approved, &Failing(key), &random());
        assert!(matches!(failed, Err(IssueError::Signer(SignerError::Away(_)))), "{failed:?}");
    }
}
