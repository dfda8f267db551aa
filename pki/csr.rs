//! Certificate requests (PKCS #10, RFC 2986): read, then verified.
//!
//! A [`Csr`] was read; a [`SignedCsr`] was also signed by the key that it asks a certificate for. Profiles take only the
//! latter. Of everything that a request says, the key is used, and the device that it claims to come from can be
//! compared with what is known; names and extensions that it asks for go nowhere.

mod write;

use crate::{
    der::{self, DerError, Reader, tag},
    distinguished_name::DistinguishedName,
    key::{AlgorithmError, KeyAlgorithm, KeyError, NewKey, PublicKey, SignatureAlgorithm, Signer, SignerError, SoftwareKey},
    name::{DeviceName, looks_like_a_device},
    oid,
    pem::{self, PemError},
};
use std::fmt;

/// The largest request that is read, in DER. One with a 4096-bit RSA key and a dozen names takes 2 KiB.
pub const MAX_CSR: usize = 8 * 1024;

/// The largest text that is searched for a request.
const MAX_PEM: usize = 16 * 1024;

/// A certificate request that is refused, and the rule that says so.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// More bytes than any request needs.
    #[error("the request has {len} bytes; at most {most} are read")]
    TooLarge {
        /// How many there were.
        len: usize,
        /// How many are read.
        most: usize,
    },
    /// Not one PEM block of the right kind.
    #[error("the text does not hold one PEM block CERTIFICATE REQUEST (RFC 7468 §7): {0}")]
    Pem(String),
    /// Not DER, or not a request.
    #[error("the request is not a PKCS #10 request in DER (RFC 2986 §4): {part}: {fault}")]
    Encoding {
        /// Where.
        part: &'static str,
        /// What is wrong there.
        fault: DerError,
    },
    /// A version other than 1.
    #[error("the request's version is not 1 (RFC 2986 §4.1)")]
    Version,
    /// The key is not accepted.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signature algorithm is not accepted.
    #[error(transparent)]
    Algorithm(#[from] AlgorithmError),
    /// An attribute or an extension inside of it is there twice.
    #[error("the request has {0} twice; which of them counts would be anybody's guess")]
    Duplicate(String),
    /// A device name that is not the one common name in its one spelling.
    #[error("the request says {text:?}; a device names itself once, as the common name, as `uuid:` and its id in lower case")]
    DeviceName {
        /// What it says.
        text: String,
    },
    /// Whoever sent it does not have the key.
    #[error("the request is not signed by the key that it asks a certificate for (RFC 2986 §3): its sender has not shown to have the key")]
    Possession,
    /// Our own signer did not show that it has the key.
    #[error("the signer did not sign with its own key")]
    Signer(#[source] SignerError),
}

/// A request that was read. Nothing is known yet about who sent it.
#[derive(Clone)]
pub struct Csr {
    /// What is signed: the `CertificationRequestInfo`.
    info: Vec<u8>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    key: PublicKey,
    subject: DistinguishedName,
    claimed_device: Option<DeviceName>,
}

/// A request whose sender has the private key (proof of possession, RFC 2986 §3).
///
/// Only [`Csr::verify`], [`SignedCsr::for_key`], [`SignedCsr::for_software_key`] and [`SignedCsr::for_new_key`] make one.
#[derive(Debug)]
pub struct SignedCsr {
    key: PublicKey,
    claimed_device: Option<DeviceName>,
}

impl Csr {
    /// Reads a request in DER; nothing may follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let outside = encoding("the outer structure");
        if der.len() > MAX_CSR {
            return Err(CsrError::TooLarge { len: der.len(), most: MAX_CSR });
        }
        der::check(der, MAX_CSR).map_err(outside)?;
        let mut request = Reader::only(der, tag::SEQUENCE).map_err(outside)?;
        let info = request.expect(tag::SEQUENCE).map_err(outside)?;
        let algorithm = request.expect(tag::SEQUENCE).map_err(encoding("the signature algorithm"))?.raw;
        let signature = request.bytes_in_bits().map_err(encoding("the signature"))?;
        request.finish().map_err(outside)?;

        let mut fields = Reader::new(info.content);
        if fields.expect(tag::INTEGER).map_err(encoding("the version"))?.content != [0] {
            return Err(CsrError::Version);
        }
        let subject = fields.expect(tag::SEQUENCE).map_err(encoding("the subject"))?.raw;
        let subject = DistinguishedName::from_der(subject).map_err(encoding("the subject"))?;
        let key = PublicKey::from_spki_der(fields.expect(tag::SEQUENCE).map_err(encoding("the key"))?.raw)?;
        check_attributes(&mut fields)?;
        fields.finish().map_err(encoding("the request's information"))?;

        let claimed_device = claimed_device(&subject)?;
        let algorithm = SignatureAlgorithm::from_identifier_der(algorithm)?;
        Ok(Self { info: info.raw.to_vec(), algorithm, signature: signature.to_vec(), key, subject, claimed_device })
    }

    /// Reads a request in PEM. Text around the one block is passed over.
    pub fn from_pem(text: &[u8]) -> Result<Self, CsrError> {
        if text.len() > MAX_PEM {
            return Err(CsrError::TooLarge { len: text.len(), most: MAX_PEM });
        }
        // RFC 7468 §7: some old generators write NEW in front.
        let blocks = match pem::blocks(text, pem::CERTIFICATE_REQUEST, 1) {
            Err(PemError::Kind) => pem::blocks(text, pem::NEW_CERTIFICATE_REQUEST, 1),
            read => read,
        };
        let blocks = blocks.map_err(|error| CsrError::Pem(error.to_string()))?;
        Self::from_der(blocks.first().map_or(&[], Vec::as_slice))
    }

    /// The key that a certificate is asked for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The subject as the request has it; for people and logs, never for a certificate.
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The device that the request says it comes from. A claim: anybody can write it.
    pub fn claimed_device(&self) -> Option<DeviceName> {
        self.claimed_device
    }

    /// Checks that whoever made the request has the private key.
    pub fn verify(self) -> Result<SignedCsr, CsrError> {
        self.key.verify(self.algorithm, &self.info, &self.signature).map_err(|_| CsrError::Possession)?;
        Ok(SignedCsr { key: self.key, claimed_device: self.claimed_device })
    }
}

impl fmt::Debug for Csr {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Csr").field("subject", &self.subject.to_string()).field("key", &self.key).finish_non_exhaustive()
    }
}

impl SignedCsr {
    /// A request for the certificate of a key that we hold ourselves. The signer proves that it has the key like everybody
    /// else, so that a token with the wrong key in it is found before its certificate is made.
    pub fn for_key(signer: &dyn Signer) -> Result<Self, CsrError> {
        let key = signer.public_key();
        // No DER begins like this, so that the signature is good for nothing else.
        let challenge = [b"Gatehouse proof of possession\n", key.spki_der()].concat();
        let signature = signer.sign(&challenge).map_err(CsrError::Signer)?;
        key.verify(signer.signature_algorithm(), &challenge, &signature).map_err(|_| CsrError::Possession)?;
        Ok(Self { key: key.clone(), claimed_device: None })
    }

    /// A request for the certificate of a key in memory. Nothing needs to be signed for it: making and reading such a
    /// key checks that its two halves belong together.
    pub fn for_software_key(key: &SoftwareKey) -> Self {
        Self { key: key.public_key().clone(), claimed_device: None }
    }

    /// A request for the certificate of a key that was just made here: its public half was computed from the private one.
    pub fn for_new_key(key: &NewKey) -> Self {
        Self { key: key.public_key().clone(), claimed_device: None }
    }

    /// The key that a certificate is asked for.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// What kind of key it is.
    pub fn key_algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    /// The device that the request says it comes from. Its sender has the key; that does not make the name true.
    pub fn claimed_device(&self) -> Option<DeviceName> {
        self.claimed_device
    }

    pub(crate) fn into_key(self) -> PublicKey {
        self.key
    }
}

/// `attributes [0] IMPLICIT SET OF Attribute` (RFC 2986 §4.1): well-formed, each type once. Their values are not used.
fn check_attributes(fields: &mut Reader<'_>) -> Result<(), CsrError> {
    let fault = encoding("the attributes");
    // Some makers leave an empty set out, against the RFC; that takes nothing from anybody.
    let Some(attributes) = fields.optional(tag::context_constructed(0)).map_err(fault)? else { return Ok(()) };
    let mut attributes = Reader::new(attributes.content);
    let mut seen: Vec<&[u8]> = Vec::new();
    while !attributes.is_empty() {
        let mut attribute = attributes.nested(tag::SEQUENCE).map_err(fault)?;
        let kind = attribute.oid().map_err(fault)?;
        if seen.contains(&kind) {
            return Err(CsrError::Duplicate(format!("the attribute {}", oid::dotted(kind))));
        }
        seen.push(kind);
        let mut values = attribute.nested(tag::SET).map_err(fault)?;
        attribute.finish().map_err(fault)?;
        if kind == EXTENSION_REQUEST {
            check_requested_extensions(values.nested(tag::SEQUENCE).map_err(fault)?)?;
            // RFC 2985 §5.4.2: one list of extensions.
            values.finish().map_err(fault)?;
        } else if values.is_empty() {
            return Err(fault(DerError::Truncated));
        }
    }
    Ok(())
}

/// Extensions that are asked for are not given, but a request that hides a second device name in them is refused.
fn check_requested_extensions(mut extensions: Reader<'_>) -> Result<(), CsrError> {
    let fault = encoding("the requested extensions");
    let mut seen: Vec<&[u8]> = Vec::new();
    while !extensions.is_empty() {
        let mut extension = extensions.nested(tag::SEQUENCE).map_err(fault)?;
        let kind = extension.oid().map_err(fault)?;
        if seen.contains(&kind) {
            return Err(CsrError::Duplicate(format!("the requested extension {}", oid::dotted(kind))));
        }
        seen.push(kind);
        extension.default_false().map_err(fault)?;
        let value = extension.expect(tag::OCTET_STRING).map_err(fault)?.content;
        extension.finish().map_err(fault)?;
        let text = String::from_utf8_lossy(value);
        if looks_like_a_device(&text) {
            let printable: String = text.chars().filter(|character| !character.is_control()).take(80).collect();
            return Err(CsrError::DeviceName { text: printable });
        }
    }
    Ok(())
}

/// The device that the subject names. A second one, one elsewhere than in the common name, or one in another spelling
/// is refused: whoever compares names after us might take another of them than we.
fn claimed_device(subject: &DistinguishedName) -> Result<Option<DeviceName>, CsrError> {
    let mut claimed = None;
    for attribute in subject.attributes().filter(|attribute| looks_like_a_device(attribute.value())) {
        let refused = || CsrError::DeviceName { text: attribute.value().chars().take(80).collect() };
        if attribute.oid() != COMMON_NAME || claimed.is_some() {
            return Err(refused());
        }
        claimed = Some(attribute.value().parse().map_err(|_| refused())?);
    }
    Ok(claimed)
}

fn encoding(part: &'static str) -> impl Fn(DerError) -> CsrError + Copy {
    move |fault| CsrError::Encoding { part, fault }
}

const COMMON_NAME: &str = "2.5.4.3";
/// pkcs-9-at-extensionRequest, 1.2.840.113549.1.9.14 (RFC 2985 §5.4.2).
const EXTENSION_REQUEST: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crafted::{element, name, oid, sequence, set, signed},
        oid::attribute::{COMMON_NAME as CN, SERIAL_NUMBER},
    };

    const DEVICE: &str = "uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4";
    const UTF8: u8 = tag::UTF8_STRING;

    fn key() -> SoftwareKey {
        SoftwareKey::generate(KeyAlgorithm::P256).expect("P-256")
    }

    /// A request with this subject and these attributes, signed by its key.
    fn request(subject: &[u8], attributes: &[u8]) -> Vec<u8> {
        let key = key();
        let info = sequence(&[&[2, 1, 0], subject, key.public_key().spki_der(), &element(tag::context_constructed(0), attributes)]);
        signed(&info, &key)
    }

    fn device_request() -> Vec<u8> {
        request(&name(&[(CN, UTF8, DEVICE)]), &[])
    }

    fn extension_request(extensions: &[&[u8]]) -> Vec<u8> {
        sequence(&[&oid(EXTENSION_REQUEST), &set(&[&sequence(extensions)])])
    }

    fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
        sequence(&[&oid(kind), &element(tag::OCTET_STRING, value)])
    }

    fn refused(der: &[u8]) -> String {
        match Csr::from_der(der) {
            Ok(csr) => panic!("{csr:?} was accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_device_request_shows_its_key_and_its_claim() {
        let der = device_request();
        let csr = Csr::from_der(&der).expect("a request");
        assert_eq!(csr.claimed_device().map(|name| name.to_string()).as_deref(), Some(DEVICE));
        let signed = csr.clone().verify().expect("signed by its key");
        assert_eq!(signed.key(), csr.key());
        assert_eq!(signed.claimed_device(), csr.claimed_device());
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let info = sequence(&[&[2, 1, 0], &name(&[(CN, UTF8, DEVICE)]), key().public_key().spki_der(), &element(0xa0, &[])]);
        let csr = Csr::from_der(&signed(&info, &key())).expect("well-formed");
        assert!(matches!(csr.verify(), Err(CsrError::Possession)));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let der = device_request();
        for bit in 0..der.len() * 8 {
            let mut changed = der.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let verified = Csr::from_der(&changed).and_then(Csr::verify);
            assert!(verified.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_cut_or_prolonged_request_is_refused() {
        let der = device_request();
        for len in 0..der.len() {
            assert!(Csr::from_der(&der[..len]).is_err(), "{len}");
        }
        assert!(refused(&[der.as_slice(), &[0]].concat()).contains("bytes after the end"));
        let info = sequence(&[&[2, 1, 0], &name(&[(CN, UTF8, DEVICE)]), key().public_key().spki_der(), &element(0xa0, &[]), &[5, 0]]);
        assert!(refused(&signed(&info, &key())).contains("bytes after the end"));
    }

    #[test]
    fn size_is_bounded_before_reading() {
        assert!(matches!(Csr::from_der(&vec![0x30; MAX_CSR + 1]), Err(CsrError::TooLarge { .. })));
        assert!(matches!(Csr::from_pem(&vec![b'-'; MAX_PEM + 1]), Err(CsrError::TooLarge { .. })));
    }

    #[test]
    fn rfc_2986_section_4_1_the_version_is_1() {
        let info = sequence(&[&[2, 1, 1], &name(&[]), key().public_key().spki_der(), &element(0xa0, &[])]);
        assert!(matches!(Csr::from_der(&signed(&info, &key())), Err(CsrError::Version)));
    }

    #[test]
    fn duplicate_attributes_and_extensions_are_refused() {
        let password = sequence(&[&oid(b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"), &set(&[&element(UTF8, b"x")])]);
        let once = request(&name(&[]), &password);
        assert!(Csr::from_der(&once).is_ok());
        let twice = request(&name(&[]), &[password.as_slice(), &password].concat());
        assert!(refused(&twice).contains("the attribute 1.2.840.113549.1.9.7 twice"));

        let usage = extension(b"\x55\x1d\x0f", &[3, 2, 7, 0x80]);
        assert!(Csr::from_der(&request(&name(&[]), &extension_request(&[&usage]))).is_ok());
        assert!(refused(&request(&name(&[]), &extension_request(&[&usage, &usage]))).contains("2.5.29.15 twice"));
        let lists = [extension_request(&[&usage]), extension_request(&[])].concat();
        assert!(refused(&request(&name(&[]), &lists)).contains("the attribute 1.2.840.113549.1.9.14 twice"));
    }

    #[test]
    fn attributes_without_values_are_refused() {
        let empty = sequence(&[&oid(b"\x2a\x03"), &set(&[])]);
        assert!(matches!(Csr::from_der(&request(&name(&[]), &empty)), Err(CsrError::Encoding { .. })));
        let two_lists = sequence(&[&oid(EXTENSION_REQUEST), &set(&[&sequence(&[]), &sequence(&[])])]);
        assert!(matches!(Csr::from_der(&request(&name(&[]), &two_lists)), Err(CsrError::Encoding { .. })));
    }

    #[test]
    fn a_device_name_stands_once_in_the_common_name_and_in_its_one_spelling() {
        let shouting = DEVICE.replace("uuid", "UUID");
        let upper = DEVICE.to_uppercase();
        let inside = format!("x{DEVICE}");
        for subject in [
            name(&[(CN, UTF8, &shouting)]),
            name(&[(CN, UTF8, &upper)]),
            name(&[(CN, UTF8, &inside)]),
            name(&[(CN, UTF8, "uuid:")]),
            name(&[(CN, UTF8, DEVICE), (CN, UTF8, DEVICE)]),
            name(&[(SERIAL_NUMBER, tag::PRINTABLE_STRING, DEVICE)]),
            name(&[(CN, UTF8, DEVICE), (b"\x55\x04\x0b", UTF8, "uuid:")]),
        ] {
            let error = Csr::from_der(&request(&subject, &[])).map(drop);
            assert!(matches!(error, Err(CsrError::DeviceName { .. })), "{error:?}");
        }
        let uri = sequence(&[&element(0x86, DEVICE.as_bytes())]);
        let hidden = request(&name(&[(CN, UTF8, DEVICE)]), &extension_request(&[&extension(b"\x55\x1d\x11", &uri)]));
        assert!(matches!(Csr::from_der(&hidden), Err(CsrError::DeviceName { .. })));
    }

    #[test]
    fn other_names_are_read_and_claim_no_device() {
        let subject = name(&[(b"\x55\x04\x0a", UTF8, "Acme"), (CN, tag::PRINTABLE_STRING, "SN-1")]);
        let csr = Csr::from_der(&request(&subject, &[])).expect("a request");
        assert_eq!(csr.claimed_device(), None);
        assert_eq!(csr.subject().common_name().as_deref(), Some("SN-1"));
    }

    #[test]
    fn pem_holds_one_request() {
        let der = device_request();
        for kind in [pem::CERTIFICATE_REQUEST, pem::NEW_CERTIFICATE_REQUEST] {
            let text = pem::encode(kind, &der);
            assert!(Csr::from_pem(text.as_bytes()).is_ok(), "{text}");
            let twice = format!("{text}{text}");
            assert!(matches!(Csr::from_pem(twice.as_bytes()), Err(CsrError::Pem(_))));
        }
        let certificate = pem::encode(pem::CERTIFICATE, &der);
        assert!(matches!(Csr::from_pem(certificate.as_bytes()), Err(CsrError::Pem(_))));
        assert!(matches!(Csr::from_pem(b""), Err(CsrError::Pem(_))));
    }

    #[test]
    fn our_own_keys_show_that_they_are_there() {
        let key = key();
        assert_eq!(SignedCsr::for_key(&key).expect("it signs").key(), key.public_key());
        assert_eq!(SignedCsr::for_software_key(&key).key(), key.public_key());
        let new = NewKey::generate(KeyAlgorithm::P256).expect("P-256");
        assert_eq!(SignedCsr::for_new_key(&new).key(), new.public_key());

        struct WrongKey(SoftwareKey, SoftwareKey);
        impl Signer for WrongKey {
            fn public_key(&self) -> &PublicKey {
                self.0.public_key()
            }
            fn signature_algorithm(&self) -> SignatureAlgorithm {
                self.0.signature_algorithm()
            }
            fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
                self.1.sign(message)
            }
        }
        assert!(matches!(SignedCsr::for_key(&WrongKey(self::key(), key)), Err(CsrError::Possession)));
    }
}
