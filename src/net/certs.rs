//! The certificates that we present, and how they change while we run.
//!
//! A listener holds a [`CertificateSource`] and asks it in every handshake, so that a new certificate is used from the
//! next handshake on and no connection notices. [`FileCertificates`] is the source for a chain and key that somebody
//! else puts into files; custody implements the trait for certificates that we issue ourselves.

use crate::files::{FromFiles, Loaded, read};
use gatehouse_pki::{Certificate, CertificateError, Signer};
use gatehouse_types::{Secret, UnixTime};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject},
    sign::{CertifiedKey, SigningKey},
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// No chain or key file is longer.
pub(crate) const MAX_FILE: usize = 256 * 1024;

/// No chain that we present is longer; peers with small buffers could not take it in.
const MAX_CHAIN: usize = 8;

/// Where a listener gets the certificate that it presents.
pub trait CertificateSource: Send + Sync + fmt::Debug {
    /// What handshakes present from now on. `None` refuses them: there is nothing to present.
    fn current(&self) -> Option<Arc<Credentials>>;
}

/// A chain with the key of its first certificate.
#[derive(Debug)]
pub struct Credentials {
    certified: Arc<CertifiedKey>,
}

/// Why a chain and a key cannot be presented.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is longer than any of its kind.
    #[error("{} is longer than {limit} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: usize,
    },
    /// There is no certificate, too many, or one that is no certificate.
    #[error("the chain is not one to {MAX_CHAIN} certificates in PEM form, the server's own first")]
    Chain,
    /// There is no private key of a supported kind.
    #[error("the key is not a private key in PEM form that TLS can use: ECDSA P-256 or P-384, Ed25519, or RSA")]
    Key,
    /// The key does not belong to the first certificate.
    #[error("the key does not belong to the first certificate of the chain")]
    Mismatch,
    /// A file of anchors or a revocation list breaks a rule.
    #[error("{} cannot be used", path.display())]
    Anchors {
        /// The file.
        path: PathBuf,
        /// The rule.
        #[source]
        source: CertificateError,
    },
    /// There is no anchor in the file.
    #[error("{} holds no anchor", path.display())]
    NoAnchor {
        /// The file.
        path: PathBuf,
    },
}

impl gatehouse_base::Fault for CredentialsError {
    fn kind(&self) -> gatehouse_base::Kind {
        gatehouse_base::Kind::Invalid
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "certificate-file",
            Self::TooLong { .. } => "certificate-file-length",
            Self::Chain => "certificate-chain",
            Self::Key => "certificate-key",
            Self::Mismatch => "certificate-key-mismatch",
            Self::Anchors { .. } => "client-anchors",
            Self::NoAnchor { .. } => "client-anchors-empty",
        }
    }
}

impl Credentials {
    /// Reads a chain and its key from PEM.
    ///
    /// # Errors
    /// One of them is unusable, or they do not belong together.
    pub fn from_pem(chain: &[u8], key: &Secret) -> Result<Self, CredentialsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| CredentialsError::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| CredentialsError::Key)?;
        Self::new(chain, any_supported_type(&key).map_err(|_| CredentialsError::Key)?)
    }

    /// Takes a chain in DER and its key in PKCS#8.
    ///
    /// # Errors
    /// As for [`Credentials::from_pem`].
    pub fn from_der(chain: Vec<Vec<u8>>, key: &Secret) -> Result<Self, CredentialsError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()));
        let key = any_supported_type(&key).map_err(|_| CredentialsError::Key)?;
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), key)
    }

    /// Takes a chain in DER whose key signs for us but is not seen, in a hardware token or in custody.
    ///
    /// # Errors
    /// As for [`Credentials::from_pem`].
    pub fn from_signer(chain: Vec<Vec<u8>>, signer: Arc<dyn Signer>) -> Result<Self, CredentialsError> {
        let key = HiddenKey::new(signer).ok_or(CredentialsError::Key)?;
        Self::new(chain.into_iter().map(CertificateDer::from).collect(), Arc::new(key))
    }

    fn new(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Result<Self, CredentialsError> {
        if chain.is_empty() || chain.len() > MAX_CHAIN {
            return Err(CredentialsError::Chain);
        }
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) => Ok(Self { certified: Arc::new(certified) }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CredentialsError::Mismatch),
            Err(_) => Err(CredentialsError::Chain),
        }
    }

    /// The chain in DER, the server's own certificate first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.certified.cert.iter().map(AsRef::as_ref)
    }

    /// When the server's own certificate ends, if `pki` can read it. A foreign one may have a form that only browsers bear.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.chain().next().and_then(|own| Certificate::from_der(own).ok()).map(|own| own.not_after())
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

/// A key that signs through [`Signer`].
#[derive(Clone)]
struct HiddenKey {
    signer: Arc<dyn Signer>,
    scheme: SignatureScheme,
}

impl HiddenKey {
    fn new(signer: Arc<dyn Signer>) -> Option<Self> {
        let scheme = match signer.signature_algorithm() {
            gatehouse_pki::SignatureAlgorithm::EcdsaSha256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            gatehouse_pki::SignatureAlgorithm::EcdsaSha384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            gatehouse_pki::SignatureAlgorithm::Ed25519 => SignatureScheme::ED25519,
            _ => return None,
        };
        Some(Self { signer, scheme })
    }
}

impl SigningKey for HiddenKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        offered.contains(&self.scheme).then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.signer.public_key().spki_der()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.scheme {
            SignatureScheme::ED25519 => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl rustls::sign::Signer for HiddenKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signer.sign(message).map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

impl fmt::Debug for HiddenKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HiddenKey({:?})", self.scheme)
    }
}

/// A chain and a key in files, read again when they change.
#[derive(Debug)]
pub struct FileCertificates {
    files: Loaded<Credentials>,
}

impl FileCertificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// They cannot be read or do not fit together.
    pub fn open(chain: &Path, key: &Path) -> Result<Self, CredentialsError> {
        Ok(Self { files: Loaded::open(vec![chain.to_owned(), key.to_owned()], from_files)? })
    }
}

impl CertificateSource for FileCertificates {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(self.files.current())
    }
}

impl FromFiles for FileCertificates {
    fn changed(&self) -> bool {
        self.files.changed()
    }

    fn reload(&self) -> Result<(), CredentialsError> {
        self.files.reload()
    }
}

fn from_files(paths: &[PathBuf]) -> Result<Credentials, CredentialsError> {
    let [chain, key] = paths else { return Err(CredentialsError::Chain) };
    let key = Secret::new(read(key, MAX_FILE)?);
    Credentials::from_pem(&read(chain, MAX_FILE)?, &key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::SoftwareKey;
    use rcgen::{CertificateParams, KeyPair};
    use std::fs;

    fn self_signed() -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().expect("key");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters").self_signed(&key).expect("certificate");
        (certificate.der().to_vec(), key)
    }

    #[test]
    fn a_chain_and_its_key_belong_together_in_every_form() {
        let (certificate, key) = self_signed();
        let (_, other) = self_signed();
        let secret = |key: &KeyPair| Secret::new(key.serialize_der());
        let signer = |key: &KeyPair| Arc::new(SoftwareKey::from_pkcs8(secret(key)).expect("P-256"));
        assert!(Credentials::from_der(vec![certificate.clone()], &secret(&key)).is_ok());
        assert!(Credentials::from_signer(vec![certificate.clone()], signer(&key)).is_ok());
        let mismatch = [
            Credentials::from_der(vec![certificate.clone()], &secret(&other)).err(),
            Credentials::from_signer(vec![certificate], signer(&other)).err(),
        ];
        assert!(mismatch.iter().all(|error| matches!(error, Some(CredentialsError::Mismatch))), "{mismatch:?}");
    }

    #[test]
    fn a_chain_has_one_to_eight_certificates() {
        let (certificate, key) = self_signed();
        let chain = |length: usize| Credentials::from_der(vec![certificate.clone(); length], &Secret::new(key.serialize_der()));
        for length in [1, MAX_CHAIN] {
            assert!(chain(length).is_ok(), "{length}");
        }
        for length in [0, MAX_CHAIN + 1] {
            assert!(matches!(chain(length), Err(CredentialsError::Chain)), "{length}");
        }
    }

    #[test]
    fn a_file_that_is_too_long_is_not_collected() {
        let folder = tempfile::tempdir().expect("folder");
        let (chain, key) = (folder.path().join("chain"), folder.path().join("key"));
        fs::write(&key, vec![b'x'; MAX_FILE + 1]).expect("written");
        let refused = FileCertificates::open(&chain, &key).expect_err("too long");
        assert!(matches!(refused, CredentialsError::TooLong { .. }), "{refused}");
    }
}
