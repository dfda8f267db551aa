//! Signed messages: CMS SignedData (RFC 5652 §5) with one signer, one signature and the content inside.
//!
//! Written so that `openssl cms -verify` accepts it, and read so strictly that there is one way to read it: one signer,
//! named by issuer and serial number, whose certificate is inside; SHA-256; ECDSA; signed attributes with exactly one
//! content type and one message digest.

use gatehouse_pki::{
    Anchors, Certificate, Policy, Purpose, Rejection, SignatureAlgorithm, Signer, SignerError,
    der::{
        self, DerError, Reader,
        tag::{INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET, context_constructed},
        write,
    },
};
use gatehouse_types::UnixTime;
use ring::digest::{SHA256, digest};

/// The largest message that is read: a manifest of a million devices has about 300 MB, and is sent in parts.
pub(crate) const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// Most certificates in a message.
const MAX_CERTIFICATES: usize = 4;

const ID_SIGNED_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const ID_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_SHA256: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ID_CONTENT_TYPE: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const ID_MESSAGE_DIGEST: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];
const ID_SIGNING_TIME: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x05];

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

impl From<DerError> for SignedError {
    fn from(_: DerError) -> Self {
        Self::Form
    }
}

/// Signs the content as the holder of the certificate.
pub(crate) fn sign(content: &[u8], certificate: &Certificate, key: &dyn Signer, at: UnixTime) -> Result<Vec<u8>, SignedError> {
    if key.signature_algorithm() != SignatureAlgorithm::EcdsaSha256 {
        return Err(SignedError::Algorithm);
    }
    let algorithm = write::sequence(&[&ID_SHA256]);
    let digest = digest(&SHA256, content);
    let attribute = |kind: &[u8], value: &[u8]| write::sequence(&[kind, &write::set(&[value])]);
    let mut attributes = [
        attribute(&ID_CONTENT_TYPE, &ID_DATA),
        attribute(&ID_MESSAGE_DIGEST, &write::octets(digest.as_ref())),
        attribute(&ID_SIGNING_TIME, &write::time(at)),
    ];
    // X.690 §11.6: the members of a SET OF stand in the order of their encodings.
    attributes.sort();
    let attributes: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
    let signature = key.sign(&write::set(&attributes))?;
    let serial = write::element(INTEGER, &[&certificate.serial().to_integer()]);
    let signer = write::sequence(&[
        &write::small(1),
        &write::sequence(&[certificate.issuer().der(), &serial]),
        &algorithm,
        &write::context(0, &attributes),
        SignatureAlgorithm::EcdsaSha256.identifier_der(),
        &write::octets(&signature),
    ]);
    let signed = write::sequence(&[
        &write::small(1),
        &write::set(&[&algorithm]),
        &write::sequence(&[&ID_DATA, &write::context(0, &[&write::octets(content)])]),
        &write::context(0, &[certificate.der()]),
        &write::set(&[&signer]),
    ]);
    Ok(write::sequence(&[&ID_SIGNED_DATA, &write::context(0, &[&signed])]))
}

/// The content of a message whose signature is good and whose signer the anchor vouches for.
pub(crate) fn verify<'a>(message: &'a [u8], anchor: &Certificate, now: UnixTime) -> Result<&'a [u8], SignedError> {
    let Parts { content, certificates, signer } = parts(message)?;
    let certificates = certificates.into_iter().map(Certificate::from_der).collect::<Result<Vec<_>, _>>().map_err(|_| SignedError::Form)?;
    let mut signer = Reader::new(signer);
    signer.exactly(&write::small(1))?;
    let mut identifier = signer.nested(SEQUENCE)?;
    let (issuer, serial) = (identifier.expect(SEQUENCE)?.raw, identifier.expect(INTEGER)?.content);
    identifier.finish()?;
    digest_algorithm(&mut signer)?;
    let attributes = signer.expect(context_constructed(0))?.content;
    signer.exactly(SignatureAlgorithm::EcdsaSha256.identifier_der())?;
    let signature = signer.expect(OCTET_STRING)?.content;
    signer.finish()?;

    let is_signer = |c: &&Certificate| c.issuer().der() == issuer && c.serial().to_integer() == serial;
    let certificate = certificates.iter().find(is_signer).ok_or(SignedError::Form)?;
    if message_digest(attributes)? != digest(&SHA256, content).as_ref() {
        return Err(SignedError::Digest);
    }
    // RFC 5652 §5.4: what is signed has the tag of a SET OF, not the tag that stands in the message.
    let signed = write::set(&[attributes]);
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

fn parts(message: &[u8]) -> Result<Parts<'_>, SignedError> {
    der::check(message, MAX_MESSAGE)?;
    let mut info = Reader::only(message, SEQUENCE)?;
    info.exactly(&ID_SIGNED_DATA)?;
    let mut wrapped = info.nested(context_constructed(0))?;
    info.finish()?;
    let mut signed = wrapped.nested(SEQUENCE)?;
    wrapped.finish()?;
    signed.exactly(&write::small(1))?;
    let mut digests = signed.nested(SET)?;
    digest_algorithm(&mut digests)?;
    digests.finish()?;
    let mut encapsulated = signed.nested(SEQUENCE)?;
    encapsulated.exactly(&ID_DATA)?;
    let mut content = encapsulated.nested(context_constructed(0))?;
    encapsulated.finish()?;
    let octets = content.expect(OCTET_STRING)?.content;
    content.finish()?;
    let mut set = signed.nested(context_constructed(0))?;
    let mut certificates = Vec::new();
    while !set.is_empty() {
        certificates.push(set.expect(SEQUENCE)?.raw);
        if certificates.len() > MAX_CERTIFICATES {
            return Err(SignedError::Form);
        }
    }
    let mut signers = signed.nested(SET)?;
    signed.finish()?;
    let signer = signers.expect(SEQUENCE)?.content;
    signers.finish()?;
    Ok(Parts { content: octets, certificates, signer })
}

/// SHA-256, with or without the NULL that some write after it.
fn digest_algorithm(reader: &mut Reader<'_>) -> Result<(), SignedError> {
    let mut algorithm = reader.nested(SEQUENCE)?;
    algorithm.exactly(&ID_SHA256)?;
    if !algorithm.is_empty() {
        algorithm.exactly(&[NULL, 0])?;
    }
    Ok(algorithm.finish()?)
}

/// The message digest among the signed attributes. Other attributes say nothing that is used here.
fn message_digest(attributes: &[u8]) -> Result<&[u8], SignedError> {
    let mut attributes = Reader::new(attributes);
    let (mut kind_seen, mut found) = (false, None);
    while !attributes.is_empty() {
        let mut attribute = attributes.nested(SEQUENCE)?;
        let kind = attribute.expect(OID)?.raw;
        let mut values = attribute.nested(SET)?;
        attribute.finish()?;
        if kind == ID_CONTENT_TYPE {
            values.exactly(&ID_DATA)?;
            values.finish()?;
            if std::mem::replace(&mut kind_seen, true) {
                return Err(SignedError::Form);
            }
        } else if kind == ID_MESSAGE_DIGEST {
            let digest = values.expect(OCTET_STRING)?.content;
            values.finish()?;
            if found.replace(digest).is_some() {
                return Err(SignedError::Form);
            }
        }
    }
    if kind_seen { found.ok_or(SignedError::Form) } else { Err(SignedError::Form) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_der_to_its_last_element() {
        let message = |signer: &[u8]| {
            let digests = write::set(&[&write::sequence(&[&ID_SHA256])]);
            let content = write::sequence(&[&ID_DATA, &write::context(0, &[&write::octets(b"content")])]);
            let signers = write::set(&[&write::sequence(&[signer])]);
            let signed = write::sequence(&[&write::small(1), &digests, &content, &write::context(0, &[]), &signers]);
            write::sequence(&[&ID_SIGNED_DATA, &write::context(0, &[&signed])])
        };
        let (yes, perhaps) = ([0x01, 0x01, 0xff], [0x01, 0x01, 0x01]);
        assert!(matches!(parts(&message(&yes)), Ok(Parts { content: b"content", signer, .. }) if signer == yes));
        assert!(matches!(parts(&message(&perhaps)), Err(SignedError::Form)));
    }
}
