//! A root, an intermediate, and what stands below it: the port's certificate and a device's. And a device of somebody else.

use openssl::{pkey::PKey, x509::X509};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::{fs, path::PathBuf};
use tempfile::TempDir;

/// A folder of PEM files, made anew for each run.
#[derive(Debug)]
pub(crate) struct Chains(TempDir);

/// Somebody who signs.
struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Chains {
    /// Makes `anchors.pem`, `intermediate.pem`, and a chain and a key for each of `server`, `device` and `stranger`.
    pub(crate) fn make() -> Self {
        let folder = tempfile::Builder::new().prefix("gatehouse-port-").tempdir().expect("a folder");
        let chains = Self(folder);
        let root = Authority::new("root", None);
        let intermediate = Authority::new("intermediate", Some(&root));
        let strange = Authority::new("strange", None);
        chains.write("anchors.pem", &pem(&[&root.der]));
        chains.write("intermediate.pem", &pem(&[&intermediate.der]));
        for (name, by) in [("server", &intermediate), ("device", &intermediate), ("stranger", &strange)] {
            let key = KeyPair::generate().expect("a key");
            let own = leaf(name, &key, by);
            chains.write(&format!("{name}.pem"), &pem(&[&own, &by.der]));
            let key = PKey::private_key_from_der(&key.serialize_der()).expect("a key");
            chains.write(&format!("{name}-key.pem"), &key.private_key_to_pem_pkcs8().expect("a key"));
        }
        chains
    }

    /// Where a file is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).expect("written");
    }
}

impl Authority {
    fn new(name: &str, above: Option<&Self>) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = above.is_some();
        let certificate = match above {
            Some(above) => params.signed_by(&key, &above.issuer),
            None => params.self_signed(&key),
        };
        let der = certificate.expect("a certificate").der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }
}

fn leaf(name: &str, key: &KeyPair, by: &Authority) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(key, &by.issuer).expect("a leaf").der().to_vec()
}

fn pem(chain: &[&[u8]]) -> Vec<u8> {
    chain.iter().flat_map(|der| X509::from_der(der).expect("a certificate").to_pem().expect("PEM")).collect()
}
