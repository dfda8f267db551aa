//! Sealing a device's private key to a recipient: CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM.
//!
//! The recipient is a certificate with an elliptic key (ephemeral-static ECDH, RFC 5753) or an RSA key
//! (RSAES-OAEP, RFC 3560). Every message has a content key of its own. For elliptic recipients the messages of one
//! [`Session`] share the ephemeral key, and each has its own random user keying material, so that the key that
//! wraps the content key differs too: one key agreement serves hundreds of messages, and what opens one of them
//! opens no other; [`agreement`](super::agreement) does that part. `openssl cms -decrypt` opens them all.

use super::agreement::{Agreed, CONTENT_KEY, MATERIAL};
use gatehouse_pki::der::{
    append::{element, within},
    tag::{self, OID},
    write,
};
use gatehouse_types::{Random, Secret};
use openssl::{
    cms::CmsContentInfo,
    ec::EcKey,
    encrypt::Encrypter,
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{Id, PKey, Private, Public},
    rsa::Padding,
    x509::X509,
};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey},
    agreement,
};
use zeroize::Zeroizing;

/// The smallest RSA key that is sealed to.
const MIN_RSA_BITS: u32 = 2048;

const NONCE: usize = 12;
const MAC: usize = 16;
/// More than a message takes beside what is encrypted and the recipient's part.
const FRAME: usize = 128;

const ID_AUTH_ENVELOPED_DATA: [u8; 13] = [OID, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17];
const ID_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_AES256_GCM: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e];
const ID_RSAES_OAEP: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
const ID_MGF1: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
const ID_SHA256: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

/// Why a key cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file holds no certificate.
    #[error("the recipient is not a certificate in PEM")]
    NotCertificate(#[source] ErrorStack),
    /// The certificate's key cannot be sealed to.
    #[error("a recipient has a P-256, P-384 or RSA key of at least {MIN_RSA_BITS} bits")]
    Key,
    /// OpenSSL fails.
    #[error("the key could not be sealed")]
    Crypto(#[source] ErrorStack),
    /// The sealed key is not for this recipient, or was damaged.
    #[error("the sealed key does not open with this recipient's key")]
    NotOurs,
}

/// Whoever may open the keys that the factory makes: their certificate.
#[derive(Clone)]
pub struct Recipient {
    identifier: Vec<u8>,
    key: RecipientKey,
}

#[derive(Clone)]
enum RecipientKey {
    Elliptic { algorithm: &'static agreement::Algorithm, point: Vec<u8> },
    Rsa(PKey<Public>),
}

impl Recipient {
    /// The recipient whose certificate this is. Who vouches for it is not checked: whoever starts the line chooses it.
    ///
    /// # Errors
    /// It is no certificate, or its key cannot be sealed to.
    pub fn from_pem(pem: &[u8]) -> Result<Self, SealError> {
        let certificate = X509::from_pem(pem).map_err(SealError::NotCertificate)?;
        let identifier = (|| {
            let issuer = certificate.issuer_name().to_der()?;
            let serial = certificate.serial_number().to_bn()?.to_vec();
            Ok(write::sequence(&[&issuer, &write::unsigned(&serial)]))
        })();
        let key = certificate.public_key().map_err(|_| SealError::Key)?;
        Ok(Self { identifier: identifier.map_err(SealError::Crypto)?, key: RecipientKey::new(key)? })
    }

    /// Begins to seal: at most a few hundred messages belong to one session.
    ///
    /// # Errors
    /// There is no randomness, or the recipient's key is not on its curve.
    pub fn session(&self) -> Result<Session<'_>, SealError> {
        let agreed = match &self.key {
            RecipientKey::Rsa(_) => None,
            RecipientKey::Elliptic { algorithm, point } => Some(Agreed::new(algorithm, point, &self.identifier)?),
        };
        Ok(Session { recipient: self, agreed })
    }
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Recipient").finish_non_exhaustive()
    }
}

impl RecipientKey {
    fn new(key: PKey<Public>) -> Result<Self, SealError> {
        match key.id() {
            Id::RSA if key.bits() >= MIN_RSA_BITS => Ok(Self::Rsa(key)),
            Id::EC => {
                let elliptic: EcKey<Public> = key.ec_key().map_err(SealError::Crypto)?;
                let algorithm = match elliptic.group().curve_name() {
                    Some(Nid::X9_62_PRIME256V1) => &agreement::ECDH_P256,
                    Some(Nid::SECP384R1) => &agreement::ECDH_P384,
                    _ => return Err(SealError::Key),
                };
                let mut numbers = openssl::bn::BigNumContext::new().map_err(SealError::Crypto)?;
                let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
                let point = elliptic.public_key().to_bytes(elliptic.group(), form, &mut numbers).map_err(SealError::Crypto)?;
                Ok(Self::Elliptic { algorithm, point })
            }
            _ => Err(SealError::Key),
        }
    }
}

/// One key agreement, and the messages that are sealed with it.
pub struct Session<'a> {
    recipient: &'a Recipient,
    agreed: Option<Agreed>,
}

impl Session<'_> {
    /// Seals the secret: the DER of a CMS message.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn seal(&mut self, secret: &Secret, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        // At once: a call of the operating system each would cost more than what is drawn.
        let mut drawn = Zeroizing::new([0; CONTENT_KEY + NONCE + MATERIAL]);
        random.fill(&mut *drawn);
        let (content_key, public) = drawn.split_at(CONTENT_KEY);
        let (nonce, material) = public.split_at(NONCE);
        let mut text = secret.expose().to_vec();
        let mac = encrypt(&mut text, content_key, nonce);
        let recipient = self.recipient_info(content_key, material)?;
        let mut out = Vec::with_capacity(recipient.len() + text.len() + FRAME);
        within(&mut out, tag::SEQUENCE, |out| {
            out.extend_from_slice(&ID_AUTH_ENVELOPED_DATA);
            within(out, tag::context_constructed(0), |out| {
                within(out, tag::SEQUENCE, |out| {
                    out.extend_from_slice(&write::small(0));
                    element(out, tag::SET, &recipient);
                    within(out, tag::SEQUENCE, |out| {
                        out.extend_from_slice(&ID_DATA);
                        within(out, tag::SEQUENCE, |out| {
                            out.extend_from_slice(&ID_AES256_GCM);
                            within(out, tag::SEQUENCE, |out| {
                                element(out, tag::OCTET_STRING, nonce);
                                out.extend_from_slice(&write::small(MAC as u8));
                            });
                        });
                        element(out, tag::context(0), &text);
                    });
                    element(out, tag::OCTET_STRING, mac.as_ref());
                });
            });
        });
        Ok(out)
    }

    fn recipient_info(&mut self, content_key: &[u8], material: &[u8]) -> Result<Vec<u8>, SealError> {
        match (&self.recipient.key, &mut self.agreed) {
            (RecipientKey::Rsa(key), _) => transport(key, &self.recipient.identifier, content_key).map_err(SealError::Crypto),
            (_, Some(agreed)) => agreed.recipient_info(content_key, material).map_err(SealError::Crypto),
            (RecipientKey::Elliptic { .. }, None) => Err(SealError::Key),
        }
    }
}

/// Encrypts in place.
fn encrypt(text: &mut [u8], content_key: &[u8], nonce: &[u8]) -> Tag {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key).expect("the content key has the cipher's length"));
    let nonce = Nonce::try_assume_unique_for_key(nonce).expect("the nonce has the cipher's length");
    key.seal_in_place_separate_tag(nonce, Aad::empty(), text).expect("a key is far shorter than what GCM seals")
}

/// KeyTransRecipientInfo (RFC 5652 §6.2.1) with OAEP over SHA-256.
fn transport(key: &PKey<Public>, identifier: &[u8], content_key: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut encrypter = Encrypter::new(key)?;
    encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
    encrypter.set_rsa_oaep_md(MessageDigest::sha256())?;
    encrypter.set_rsa_mgf1_md(MessageDigest::sha256())?;
    let mut encrypted = vec![0; encrypter.encrypt_len(content_key)?];
    let length = encrypter.encrypt(content_key, &mut encrypted)?;
    encrypted.truncate(length);
    let hash = write::sequence(&[&ID_SHA256, &[tag::NULL, 0]]);
    let mask = write::sequence(&[&ID_MGF1, &hash]);
    let parameters = write::sequence(&[&write::context(0, &[&hash]), &write::context(1, &[&mask])]);
    let algorithm = write::sequence(&[&ID_RSAES_OAEP, &parameters]);
    Ok(write::sequence(&[&write::small(0), identifier, &algorithm, &write::octets(&encrypted)]))
}

/// The recipient's private key, with which a bundle is checked after it was made.
pub struct RecipientPrivateKey(PKey<Private>);

impl RecipientPrivateKey {
    /// Reads an unencrypted PEM file.
    ///
    /// # Errors
    /// It is no private key.
    pub fn from_pem(pem: &Secret) -> Result<Self, SealError> {
        // A callback that gives nothing: OpenSSL would otherwise ask on the terminal for the passphrase.
        PKey::private_key_from_pem_callback(pem.expose(), |_| Ok(0)).map(Self).map_err(|_| SealError::Key)
    }

    /// Opens a sealed message.
    ///
    /// # Errors
    /// It is not for this recipient, or was damaged.
    pub fn open(&self, message: &[u8]) -> Result<Secret, SealError> {
        let message = CmsContentInfo::from_der(message).map_err(|_| SealError::NotOurs)?;
        message.decrypt_without_cert_check(&self.0).map(Secret::new).map_err(|_| SealError::NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::der::{
        Reader,
        tag::{INTEGER, SEQUENCE, SET, context_constructed},
    };
    use openssl::{
        asn1::Asn1Time,
        ec::EcGroup,
        rsa::Rsa,
        x509::{X509Builder, X509NameBuilder},
    };
    use std::process::Command;

    struct System;

    impl Random for System {
        fn fill(&self, buffer: &mut [u8]) {
            openssl::rand::rand_bytes(buffer).expect("random");
        }
    }

    fn elliptic(curve: Nid) -> PKey<Private> {
        let group = EcGroup::from_curve_name(curve).expect("curve");
        PKey::from_ec_key(EcKey::generate(&group).expect("key")).expect("key")
    }

    fn certificate(key: &PKey<Private>) -> Vec<u8> {
        let mut name = X509NameBuilder::new().expect("name");
        name.append_entry_by_text("CN", "recipient").expect("name");
        let name = name.build();
        let mut builder = X509Builder::new().expect("certificate");
        builder.set_version(2).expect("version");
        // The top bit is set: the identifier must not make it a negative number.
        let serial = openssl::bn::BigNum::from_slice(&[0xf1; 16]).expect("serial");
        builder.set_serial_number(&serial.to_asn1_integer().expect("serial")).expect("serial");
        builder.set_subject_name(&name).expect("subject");
        builder.set_issuer_name(&name).expect("issuer");
        builder.set_pubkey(key).expect("key");
        builder.set_not_before(&Asn1Time::days_from_now(0).expect("time")).expect("time");
        builder.set_not_after(&Asn1Time::days_from_now(1).expect("time")).expect("time");
        builder.sign(key, MessageDigest::sha256()).expect("sign");
        builder.build().to_pem().expect("pem")
    }

    #[test]
    fn stock_openssl_opens_what_is_sealed_for_each_kind_of_recipient() {
        let rsa = PKey::from_rsa(Rsa::generate(2048).expect("key")).expect("key");
        for key in [elliptic(Nid::X9_62_PRIME256V1), elliptic(Nid::SECP384R1), rsa] {
            let pem = certificate(&key);
            let recipient = Recipient::from_pem(&pem).expect("recipient");
            let mut session = recipient.session().expect("session");
            let dir = tempfile::tempdir().expect("dir");
            let path = |name: &str| dir.path().join(name);
            std::fs::write(path("r.pem"), &pem).expect("write");
            std::fs::write(path("r.key"), key.private_key_to_pem_pkcs8().expect("pem")).expect("write");
            for secret in [&b"first"[..], b"second"] {
                std::fs::write(path("key.cms"), session.seal(&Secret::new(secret.to_vec()), &System).expect("sealed")).expect("write");
                let arguments = ["cms", "-decrypt", "-inform", "DER", "-in", "key.cms", "-inkey", "r.key", "-recip", "r.pem"];
                let run = Command::new("openssl").args(arguments).current_dir(&dir).output().expect("openssl runs");
                assert_eq!(run.stdout, secret, "{:?}: {}", key.id(), String::from_utf8_lossy(&run.stderr));
            }
        }
    }

    #[test]
    fn the_recipient_opens_it_and_nobody_else() {
        let (ours, theirs) = (elliptic(Nid::X9_62_PRIME256V1), elliptic(Nid::X9_62_PRIME256V1));
        let recipient = Recipient::from_pem(&certificate(&ours)).expect("recipient");
        let sealed = recipient.session().expect("session").seal(&Secret::new(b"key".to_vec()), &System).expect("sealed");
        let private =
            |key: &PKey<Private>| RecipientPrivateKey::from_pem(&Secret::new(key.private_key_to_pem_pkcs8().expect("pem"))).expect("key");
        assert_eq!(private(&ours).open(&sealed).expect("ours").expose(), b"key");
        assert!(matches!(private(&theirs).open(&sealed), Err(SealError::NotOurs)));
    }

    #[test]
    fn a_changed_message_does_not_open() {
        let key = elliptic(Nid::X9_62_PRIME256V1);
        let recipient = Recipient::from_pem(&certificate(&key)).expect("recipient");
        let sealed = recipient.session().expect("session").seal(&Secret::new(b"key".to_vec()), &System).expect("sealed");
        let private = RecipientPrivateKey(key);
        // From the wrapped key on every byte is covered by the wrap's check or by GCM.
        for at in sealed.len() - 20..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(private.open(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn messages_of_one_session_share_no_key() {
        let key = elliptic(Nid::X9_62_PRIME256V1);
        let recipient = Recipient::from_pem(&certificate(&key)).expect("recipient");
        let mut session = recipient.session().expect("session");
        let wrapped = |message: &[u8]| {
            let mut reader = Reader::only(message, SEQUENCE).expect("content info");
            reader.expect(OID).expect("type");
            let mut message = reader.nested(context_constructed(0)).expect("message").nested(SEQUENCE).expect("message");
            message.expect(INTEGER).expect("version");
            let mut info = message.nested(SET).expect("recipients").nested(context_constructed(1)).expect("agreement");
            info.expect(INTEGER).expect("version");
            let originator = info.expect(context_constructed(0)).expect("originator").raw.to_vec();
            (originator, info.expect(context_constructed(1)).expect("material").raw.to_vec())
        };
        let secret = Secret::new(b"key".to_vec());
        let (a, b) = (session.seal(&secret, &System).expect("sealed"), session.seal(&secret, &System).expect("sealed"));
        assert_eq!(wrapped(&a).0, wrapped(&b).0);
        assert_ne!(wrapped(&a).1, wrapped(&b).1);
    }

    #[test]
    fn weak_and_foreign_recipient_keys_are_refused() {
        let weak = PKey::from_rsa(Rsa::generate(1024).expect("key")).expect("key");
        for key in [weak, elliptic(Nid::SECP256K1)] {
            assert!(matches!(Recipient::from_pem(&certificate(&key)), Err(SealError::Key)));
        }
        assert!(matches!(Recipient::from_pem(b"nothing"), Err(SealError::NotCertificate(_))));
    }
}
