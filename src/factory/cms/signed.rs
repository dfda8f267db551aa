//! Signed messages: CMS SignedData (RFC 5652 §5) with one signer, one signature and the content inside.
//!
//! Written so that `openssl cms -verify` accepts it, and read so strictly that there is one way to read it: one signer,
//! named by issuer and serial number, whose certificate is inside; SHA-256; ECDSA; signed attributes with exactly one
//! content type and one message digest.

use super::der::{self, NotDer, OCTET_STRING, OID, Reader, SEQUENCE, SET};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose, Rejection, SignatureAlgorithm, Signer, SignerError};
use gatehouse_types::UnixTime;
use ring::digest::{SHA256, digest};

/// The largest message that is read: a manifest of a million devices has about 300 MB, and is sent in parts.
pub(crate) const MAX_MESSAGE: u64 = 64 * 1024 * 1024;

/// Most certificates in a message.
const MAX_CERTIFICATES: usize = 4;

const ID_SIGNED_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const ID_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_SHA256: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ID_CONTENT_TYPE: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const ID_MESSAGE_DIGEST: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const ID_SIGNING_TIME: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];

const GENERALIZED_TIME: u8 = 0x18;
const UTC_TIME: u8 = 0x17;

/// Why a signed message is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// It is no signed message, or one of another shape.
    #[error("this is not a signed message with one signer, its certificate and its content (CMS SignedData)")]
    Form,
    /// The content is not what was signed.
    #[error("the content is not what was signed: it was altered")]
    Digest,
    /// The signature is not the signer's.
    #[error("the signature is not the signer's: the message was altered")]
    Signature,
    /// The signer is nobody that the anchor vouches for.
    #[error("the signer's certificate is refused")]
    Signer(#[source] Rejection),
    /// The anchor cannot be used.
    #[error("the anchor cannot be used: {0}")]
    Anchor(String),
    /// The message could not be signed.
    #[error("the message could not be signed")]
    Sign(#[from] SignerError),
    /// The key signs with another algorithm.
    #[error("messages are signed with ECDSA and SHA-256")]
    Algorithm,
}

impl From<NotDer> for SignedError {
    fn from(_: NotDer) -> Self {
        Self::Form
    }
}

/// Signs the content as the holder of the certificate.
pub(crate) fn sign(content: &[u8], certificate: &Certificate, key: &dyn Signer, at: UnixTime) -> Result<Vec<u8>, SignedError> {
    if key.signature_algorithm() != SignatureAlgorithm::EcdsaSha256 {
        return Err(SignedError::Algorithm);
    }
    let algorithm = der::sequence(&[&ID_SHA256]);
    let digest = digest(&SHA256, content);
    let attribute = |kind: &[u8], value: &[u8]| der::sequence(&[kind, &der::value(SET, &[value])]);
    let mut attributes = [
        attribute(&ID_CONTENT_TYPE, &ID_DATA),
        attribute(&ID_MESSAGE_DIGEST, &der::value(OCTET_STRING, &[digest.as_ref()])),
        attribute(&ID_SIGNING_TIME, &signing_time(at)),
    ];
    // X.690 §11.6: the members of a SET OF stand in the order of their encodings.
    attributes.sort();
    let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
    let signature = key.sign(&der::value(SET, &attributes))?;
    let serial = der::value(der::INTEGER, &[&certificate.serial().to_integer()]);
    let signer = der::sequence(&[
        &der::small(1),
        &der::sequence(&[certificate.issuer().der(), &serial]),
        &algorithm,
        &der::value(der::context(0), &attributes),
        SignatureAlgorithm::EcdsaSha256.identifier_der(),
        &der::value(OCTET_STRING, &[&signature]),
    ]);
    let signed = der::sequence(&[
        &der::small(1),
        &der::value(SET, &[&algorithm]),
        &der::sequence(&[&ID_DATA, &der::value(der::context(0), &[&der::value(OCTET_STRING, &[content])])]),
        &der::value(der::context(0), &[certificate.der()]),
        &der::value(SET, &[&signer]),
    ]);
    Ok(der::sequence(&[&ID_SIGNED_DATA, &der::value(der::context(0), &[&signed])]))
}

fn signing_time(at: UnixTime) -> Vec<u8> {
    let time = at.to_date_time();
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", time.hour(), time.minute(), time.second());
    // RFC 5652 §11.3: UTCTime up to the year 2049.
    let (tag, text) = if (1950..2050).contains(&year) {
        (UTC_TIME, format!("{:02}{rest}", year % 100))
    } else {
        (GENERALIZED_TIME, format!("{year:04}{rest}"))
    };
    der::value(tag, &[text.as_bytes()])
}

/// The content of a message whose signature is good and whose signer the anchor vouches for.
pub(crate) fn verify<'a>(message: &'a [u8], anchor: &Certificate, now: UnixTime) -> Result<&'a [u8], SignedError> {
    let Parts { content, certificates, signer } = parts(message)?;
    let certificates = certificates.into_iter().map(Certificate::from_der).collect::<Result<Vec<_>, _>>().map_err(|_| SignedError::Form)?;
    let mut signer = Reader::new(signer);
    signer.expect(&der::small(1))?;
    let mut identifier = signer.enter(SEQUENCE)?;
    let (issuer, serial) = (identifier.whole(SEQUENCE)?, identifier.take(der::INTEGER)?);
    identifier.end()?;
    digest_algorithm(&mut signer)?;
    let attributes = signer.take(der::context(0))?;
    signer.expect(SignatureAlgorithm::EcdsaSha256.identifier_der())?;
    let signature = signer.take(OCTET_STRING)?;
    signer.end()?;

    let is_signer = |c: &&Certificate| c.issuer().der() == issuer && c.serial().to_integer() == serial;
    let certificate = certificates.iter().find(is_signer).ok_or(SignedError::Form)?;
    if message_digest(attributes)? != digest(&SHA256, content).as_ref() {
        return Err(SignedError::Digest);
    }
    // RFC 5652 §5.4: what is signed has the tag of a SET OF, not the tag that stands in the message.
    let signed = der::value(SET, &[attributes]);
    let key = certificate.public_key();
    key.verify(SignatureAlgorithm::EcdsaSha256, &signed, signature).map_err(|_| SignedError::Signature)?;

    let anchors = Anchors::builder().anchor(anchor.clone()).build().map_err(|error| SignedError::Anchor(error.to_string()))?;
    let others = certificates.iter().filter(|c| !is_signer(c));
    let chain: Vec<&[u8]> = std::iter::once(certificate).chain(others).map(Certificate::der).collect();
    anchors.verify(&chain, &Policy::new(Purpose::SignedMessage), now).map_err(SignedError::Signer)?;
    Ok(content)
}

struct Parts<'a> {
    content: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer: &'a [u8],
}

fn parts(message: &[u8]) -> Result<Parts<'_>, NotDer> {
    let mut outside = Reader::new(message);
    let mut info = outside.enter(SEQUENCE)?;
    outside.end()?;
    info.expect(&ID_SIGNED_DATA)?;
    let mut wrapped = info.enter(der::context(0))?;
    info.end()?;
    let mut signed = wrapped.enter(SEQUENCE)?;
    wrapped.end()?;
    signed.expect(&der::small(1))?;
    let mut digests = signed.enter(SET)?;
    digest_algorithm(&mut digests)?;
    digests.end()?;
    let mut encapsulated = signed.enter(SEQUENCE)?;
    encapsulated.expect(&ID_DATA)?;
    let mut content = encapsulated.enter(der::context(0))?;
    encapsulated.end()?;
    let octets = content.take(OCTET_STRING)?;
    content.end()?;
    let mut set = signed.enter(der::context(0))?;
    let mut certificates = Vec::new();
    while !set.is_empty() {
        certificates.push(set.whole(SEQUENCE)?);
        if certificates.len() > MAX_CERTIFICATES {
            return Err(NotDer);
        }
    }
    let mut signers = signed.enter(SET)?;
    signed.end()?;
    let signer = signers.take(SEQUENCE)?;
    signers.end()?;
    Ok(Parts { content: octets, certificates, signer })
}

/// SHA-256, with or without the NULL that some write after it.
fn digest_algorithm(reader: &mut Reader<'_>) -> Result<(), NotDer> {
    let mut algorithm = reader.enter(SEQUENCE)?;
    algorithm.expect(&ID_SHA256)?;
    if !algorithm.is_empty() {
        algorithm.expect(&[der::NULL, 0])?;
    }
    algorithm.end()
}

/// The message digest among the signed attributes. Other attributes say nothing that is used here.
fn message_digest(attributes: &[u8]) -> Result<&[u8], NotDer> {
    let mut attributes = Reader::new(attributes);
    let (mut kind_seen, mut found) = (false, None);
    while !attributes.is_empty() {
        let mut attribute = attributes.enter(SEQUENCE)?;
        let kind = attribute.whole(OID)?;
        let mut values = attribute.enter(SET)?;
        attribute.end()?;
        if kind == ID_CONTENT_TYPE {
            values.expect(&ID_DATA)?;
            values.end()?;
            if std::mem::replace(&mut kind_seen, true) {
                return Err(NotDer);
            }
        } else if kind == ID_MESSAGE_DIGEST {
            let digest = values.take(OCTET_STRING)?;
            values.end()?;
            if found.replace(digest).is_some() {
                return Err(NotDer);
            }
        }
    }
    if kind_seen { found.ok_or(NotDer) } else { Err(NotDer) }
}
