//! Certificates and revocation lists before they are signed, with every part open to change.

use crate::{
    Error, der,
    key::{Algorithm, Key},
};
use time::OffsetDateTime;

/// When the certificates of this corpus begin, unless their chain is about that: 2025-01-01.
pub const BEGIN: OffsetDateTime = moment(1735689600);
/// When they end: 2049-12-31T23:59:59Z.
pub const END: OffsetDateTime = moment(2524607999);
/// When they are judged: 2027-06-01T12:00:00Z.
pub const NOW: OffsetDateTime = moment(1811851200);

/// A certificate to be. Each part is the DER of its field, so that it may also be what DER does not allow.
#[derive(Clone)]
pub struct Draft {
    /// `[0]` and what is in it; nothing for version 1.
    pub version: Vec<u8>,
    /// The serial number.
    pub serial: Vec<u8>,
    /// The algorithm identifier inside.
    pub inner_algorithm: Vec<u8>,
    /// The algorithm identifier outside.
    pub outer_algorithm: Vec<u8>,
    /// The issuer's name.
    pub issuer: Vec<u8>,
    /// The begin of the validity.
    pub not_before: Vec<u8>,
    /// The end of the validity.
    pub not_after: Vec<u8>,
    /// The subject's name.
    pub subject: Vec<u8>,
    /// The public key.
    pub spki: Vec<u8>,
    /// What stands between the key and the extensions.
    pub unique_ids: Vec<u8>,
    /// The extensions.
    pub extensions: Vec<Extension>,
    /// How it is signed, whatever it says.
    pub algorithm: Algorithm,
    /// With which key it is signed.
    pub signer: Key,
    /// The key of whom it is for.
    pub key: Key,
}

/// One extension.
#[derive(Clone)]
pub struct Extension {
    /// Its object identifier with dots.
    pub oid: &'static str,
    /// The BOOLEAN; nothing for an extension that is not critical.
    pub critical: Vec<u8>,
    /// What is in its OCTET STRING.
    pub value: Vec<u8>,
}

/// A revocation list to be.
#[derive(Clone)]
pub struct ListDraft {
    /// The version; nothing for version 1.
    pub version: Vec<u8>,
    /// The issuer's name.
    pub issuer: Vec<u8>,
    /// When it was made.
    pub this_update: Vec<u8>,
    /// When the next one is due.
    pub next_update: Vec<u8>,
    /// The entries, each a whole SEQUENCE.
    pub entries: Vec<Vec<u8>>,
    /// Its extensions.
    pub extensions: Vec<Extension>,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// With which key.
    pub signer: Key,
}

/// Object identifiers of extensions.
pub mod id {
    /// Subject key identifier.
    pub const SKI: &str = "2.5.29.14";
    /// Key usage.
    pub const KU: &str = "2.5.29.15";
    /// Subject alternative name.
    pub const SAN: &str = "2.5.29.17";
    /// Issuer alternative name.
    pub const IAN: &str = "2.5.29.18";
    /// Basic constraints.
    pub const BC: &str = "2.5.29.19";
    /// CRL number.
    pub const CRL_NUMBER: &str = "2.5.29.20";
    /// Reason of a revocation.
    pub const REASON: &str = "2.5.29.21";
    /// Delta CRL indicator.
    pub const DELTA: &str = "2.5.29.27";
    /// Issuing distribution point.
    pub const IDP: &str = "2.5.29.28";
    /// Certificate issuer of a revocation entry.
    pub const CERTIFICATE_ISSUER: &str = "2.5.29.29";
    /// Name constraints.
    pub const NC: &str = "2.5.29.30";
    /// CRL distribution points.
    pub const CDP: &str = "2.5.29.31";
    /// Certificate policies.
    pub const POLICIES: &str = "2.5.29.32";
    /// Policy mappings.
    pub const MAPPINGS: &str = "2.5.29.33";
    /// Authority key identifier.
    pub const AKI: &str = "2.5.29.35";
    /// Policy constraints.
    pub const PC: &str = "2.5.29.36";
    /// Extended key usage.
    pub const EKU: &str = "2.5.29.37";
    /// Inhibit any-policy.
    pub const INHIBIT_ANY: &str = "2.5.29.54";
    /// An extension that nobody knows.
    pub const UNKNOWN: &str = "1.3.6.1.4.1.44924.99.1";
}

/// Object identifiers of extended key usages.
pub mod usage {
    /// Any.
    pub const ANY: &str = "2.5.29.37.0";
    /// TLS server.
    pub const SERVER: &str = "1.3.6.1.5.5.7.3.1";
    /// TLS client.
    pub const CLIENT: &str = "1.3.6.1.5.5.7.3.2";
    /// Code signing.
    pub const CODE: &str = "1.3.6.1.5.5.7.3.3";
    /// OCF identity.
    pub const OCF: &str = "1.3.6.1.4.1.44924.1.6";
}

/// Numbers of key usage bits.
pub mod ku {
    /// digitalSignature
    pub const SIGN: u8 = 0;
    /// keyEncipherment
    pub const ENCIPHER: u8 = 2;
    /// keyAgreement
    pub const AGREE: u8 = 4;
    /// keyCertSign
    pub const CERTIFY: u8 = 5;
    /// cRLSign
    pub const CRL: u8 = 6;
}

impl Draft {
    /// A root.
    pub fn root(name: &str, key: &Key) -> Result<Self, Error> {
        Self::new(name, key, named(name), key, key.algorithm())?.into_ca(None)
    }

    /// A CA below another.
    pub fn ca(&self, name: &str, key: &Key, path_length: Option<u8>) -> Result<Self, Error> {
        Self::new(name, key, self.subject.clone(), &self.key, self.key.algorithm())?.into_ca(path_length)
    }

    /// A certificate below this CA that is no CA's.
    pub fn leaf(&self, name: &str, key: &Key, usages: &[&str]) -> Result<Self, Error> {
        let mut draft = Self::new(name, key, self.subject.clone(), &self.key, self.key.algorithm())?;
        draft.extensions.extend([
            Extension::critical(id::BC, der::sequence(&[])),
            Extension::critical(id::KU, der::named_bits(&[ku::SIGN, ku::AGREE])),
            Extension::new(id::EKU, usage_list(usages)),
        ]);
        Ok(draft)
    }

    /// Puts an extension there, in the place of one of the same kind.
    pub fn put(&mut self, extension: Extension) {
        match self.extensions.iter_mut().find(|known| known.oid == extension.oid) {
            Some(known) => *known = extension,
            None => self.extensions.push(extension),
        }
    }

    /// The same with the extension.
    #[must_use]
    pub fn with(mut self, extension: Extension) -> Self {
        self.put(extension);
        self
    }

    /// Takes an extension out.
    pub fn drop(&mut self, oid: &str) {
        self.extensions.retain(|extension| extension.oid != oid);
    }

    /// The extension of this kind.
    pub fn find(&mut self, oid: &str) -> Option<&mut Extension> {
        self.extensions.iter_mut().find(|extension| extension.oid == oid)
    }

    /// What is signed.
    pub fn to_be_signed(&self) -> Vec<u8> {
        let validity = der::sequence(&[&self.not_before, &self.not_after]);
        let extensions = encode_extensions(&self.extensions, |list| der::context(3, list));
        der::sequence(&[
            &self.version,
            &self.serial,
            &self.inner_algorithm,
            &self.issuer,
            &validity,
            &self.subject,
            &self.spki,
            &self.unique_ids,
            &extensions,
        ])
    }

    /// The certificate.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let content = self.to_be_signed();
        let signature = self.signer.sign(self.algorithm, &content)?;
        Ok(der::sequence(&[&content, &self.outer_algorithm, &der::bits(&signature)]))
    }

    /// An empty revocation list of this CA.
    pub fn list(&self) -> Result<ListDraft, Error> {
        Ok(ListDraft {
            version: der::integer(&[1]),
            issuer: self.subject.clone(),
            this_update: der::time(NOW - time::Duration::days(1)),
            next_update: der::time(NOW + time::Duration::days(30)),
            entries: Vec::new(),
            extensions: vec![
                Extension::new(id::AKI, der::sequence(&[&der::implicit(0, &self.key.id()?)])),
                Extension::new(id::CRL_NUMBER, der::integer(&[5])),
            ],
            algorithm: self.key.algorithm(),
            signer: self.key.clone(),
        })
    }

    fn new(name: &str, key: &Key, issuer: Vec<u8>, signer: &Key, algorithm: Algorithm) -> Result<Self, Error> {
        let identifier = algorithm.identifier();
        Ok(Self {
            version: der::context(0, &der::integer(&[2])),
            serial: serial_for(name),
            inner_algorithm: identifier.clone(),
            outer_algorithm: identifier,
            issuer,
            not_before: der::time(BEGIN),
            not_after: der::time(END),
            subject: named(name),
            spki: key.spki()?,
            unique_ids: Vec::new(),
            extensions: vec![
                Extension::new(id::SKI, der::octets(&key.id()?)),
                Extension::new(id::AKI, der::sequence(&[&der::implicit(0, &signer.id()?)])),
            ],
            algorithm,
            signer: signer.clone(),
            key: key.clone(),
        })
    }

    fn into_ca(mut self, path_length: Option<u8>) -> Result<Self, Error> {
        self.put(Extension::critical(id::BC, basic_constraints(path_length)));
        self.put(Extension::critical(id::KU, der::named_bits(&[ku::CERTIFY, ku::CRL])));
        Ok(self)
    }
}

impl Extension {
    /// One that is not critical.
    pub fn new(oid: &'static str, value: Vec<u8>) -> Self {
        Self { oid, critical: Vec::new(), value }
    }

    /// A critical one.
    pub fn critical(oid: &'static str, value: Vec<u8>) -> Self {
        Self { oid, critical: der::TRUE.to_vec(), value }
    }

    fn encode(&self) -> Vec<u8> {
        der::sequence(&[&der::oid(self.oid), &self.critical, &der::octets(&self.value)])
    }
}

impl ListDraft {
    /// Revokes a serial number, given as its INTEGER, with extensions of the entry.
    pub fn revoke(&mut self, serial: &[u8], extensions: &[Extension]) {
        let since = der::time(NOW - time::Duration::days(2));
        let extensions = encode_extensions(extensions, <[u8]>::to_vec);
        self.entries.push(der::sequence(&[serial, &since, &extensions]));
    }

    /// The list.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let algorithm = self.algorithm.identifier();
        let entries = if self.entries.is_empty() { Vec::new() } else { der::element(0x30, &self.entries.concat()) };
        let extensions = encode_extensions(&self.extensions, |list| der::context(0, list));
        let content =
            der::sequence(&[&self.version, &algorithm, &self.issuer, &self.this_update, &self.next_update, &entries, &extensions]);
        let signature = self.signer.sign(self.algorithm, &content)?;
        Ok(der::sequence(&[&content, &algorithm, &der::bits(&signature)]))
    }
}

/// The name of a party in this corpus.
pub fn named(name: &str) -> Vec<u8> {
    der::name(&[(der::ORGANISATION, "Gatehouse Test"), (der::COMMON_NAME, name)])
}

/// BasicConstraints of a CA.
pub fn basic_constraints(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map(|length| der::integer(&[length])).unwrap_or_default();
    der::sequence(&[&der::TRUE, &length])
}

/// ExtKeyUsageSyntax.
pub fn usage_list(usages: &[&str]) -> Vec<u8> {
    let usages: Vec<Vec<u8>> = usages.iter().map(|usage| der::oid(usage)).collect();
    der::element(0x30, &usages.concat())
}

/// NameConstraints of permitted and excluded bases, each a GeneralName.
pub fn name_constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<u8> {
    let subtrees = |number: u8, bases: &[Vec<u8>]| match bases {
        [] => Vec::new(),
        bases => der::context(number, &bases.iter().map(|base| der::sequence(&[base])).collect::<Vec<_>>().concat()),
    };
    der::sequence(&[&subtrees(0, permitted), &subtrees(1, excluded)])
}

/// CRLDistributionPoints with one address.
pub fn distribution_point(uri: &str) -> Vec<u8> {
    let names = der::context(0, &der::implicit(6, uri.as_bytes()));
    der::sequence(&[&der::sequence(&[&der::context(0, &names)])])
}

/// CertificatePolicies without qualifiers.
pub fn policies(oids: &[&str]) -> Vec<u8> {
    let list: Vec<Vec<u8>> = oids.iter().map(|oid| der::sequence(&[&der::oid(oid)])).collect();
    der::element(0x30, &list.concat())
}

fn encode_extensions(extensions: &[Extension], wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    match extensions {
        [] => Vec::new(),
        extensions => wrap(&der::element(0x30, &extensions.iter().map(Extension::encode).collect::<Vec<_>>().concat())),
    }
}

/// The same serial number each time, and a different one for each name: eight bytes of its SHA-256.
fn serial_for(name: &str) -> Vec<u8> {
    let digest = openssl::sha::sha256(name.as_bytes());
    let mut content = [0x40; 9];
    content[1..].copy_from_slice(&digest[..8]);
    der::integer(&content)
}

const fn moment(seconds: i64) -> OffsetDateTime {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(moment) => moment,
        Err(_) => OffsetDateTime::UNIX_EPOCH,
    }
}
