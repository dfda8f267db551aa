//! Sealing a device's private key to a recipient: CMS AuthEnvelopedData (RFC 5083) with AES-256-GCM.
//!
//! The recipient is a certificate with an elliptic key (ephemeral-static ECDH, RFC 5753) or an RSA key
//! (RSAES-OAEP, RFC 3560). Every message has a content key of its own. For elliptic recipients the messages of one
//! [`Session`] share the ephemeral key, and each has its own random user keying material, so that the key that
//! wraps the content key differs too: one key agreement serves hundreds of messages, and what opens one of them
//! opens no other. `openssl cms -decrypt` opens them all.

use gatehouse_pki::der::{
    tag::{NULL, OID, context},
    write,
};
use gatehouse_types::{Random, Secret};
use openssl::{
    cipher::{Cipher, CipherRef},
    cipher_ctx::CipherCtx,
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
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{self, EphemeralPrivateKey, UnparsedPublicKey},
    digest::{Context, SHA256},
};
use zeroize::Zeroizing;

/// The smallest RSA key that is sealed to.
const MIN_RSA_BITS: u32 = 2048;

const CONTENT_KEY: usize = 32;
const NONCE: usize = 12;
const MAC: usize = 16;
const USER_KEYING_MATERIAL: usize = 32;
/// What AES key wrap works on, and what it begins with (RFC 3394 §2.2.3).
const SEMIBLOCK: usize = 8;
const INITIAL: u8 = 0xa6;
/// A content key once it is wrapped.
const WRAPPED: usize = SEMIBLOCK + CONTENT_KEY;

const ID_AUTH_ENVELOPED_DATA: [u8; 13] = [OID, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17];
const ID_DATA: [u8; 11] = [OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const ID_AES256_GCM: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2e];
const ID_AES256_WRAP: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d];
const ID_ECDH_SHA256: [u8; 8] = [OID, 6, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01];
const ID_EC_PUBLIC_KEY: [u8; 9] = [OID, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
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
            RecipientKey::Elliptic { algorithm, point } => Some(Agreed::new(algorithm, point)?),
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

struct Agreed {
    originator: Vec<u8>,
    shared: Secret,
    aes: Cipher,
}

impl Agreed {
    fn new(algorithm: &'static agreement::Algorithm, point: &[u8]) -> Result<Self, SealError> {
        let random = ring::rand::SystemRandom::new();
        let ephemeral = EphemeralPrivateKey::generate(algorithm, &random).map_err(|_| SealError::Key)?;
        let public = ephemeral.compute_public_key().map_err(|_| SealError::Key)?;
        let peer = UnparsedPublicKey::new(algorithm, point);
        let shared = agreement::agree_ephemeral(ephemeral, &peer, |secret| Secret::new(secret.to_vec())).map_err(|_| SealError::Key)?;
        let algorithm = write::sequence(&[&ID_EC_PUBLIC_KEY]);
        let public = write::bits(public.as_ref());
        let aes = Cipher::fetch(None, "AES-256-ECB", None).map_err(SealError::Crypto)?;
        Ok(Self { originator: write::context(0, &[&write::context(1, &[&algorithm, &public])]), shared, aes })
    }

    /// ANSI X9.63 with SHA-256 over the shared secret and ECC-CMS-SharedInfo (RFC 5753 §7.2).
    fn wrapping_key(&self, material: &[u8], wrap: &[u8]) -> Secret {
        let bits = (CONTENT_KEY as u32 * 8).to_be_bytes();
        let info = write::sequence(&[wrap, &write::context(0, &[&write::octets(material)]), &write::context(2, &[&write::octets(&bits)])]);
        let mut hash = Context::new(&SHA256);
        hash.update(self.shared.expose());
        hash.update(&1u32.to_be_bytes());
        hash.update(&info);
        Secret::new(hash.finish().as_ref().to_vec())
    }
}

impl Session<'_> {
    /// Seals the secret: the DER of a CMS message.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn seal(&self, secret: &Secret, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let mut content_key = vec![0; CONTENT_KEY];
        random.fill(&mut content_key);
        let content_key = Secret::new(content_key);
        let mut nonce = [0; NONCE];
        random.fill(&mut nonce);
        let mut text = secret.expose().to_vec();
        let cipher =
            LessSafeKey::new(UnboundKey::new(&AES_256_GCM, content_key.expose()).expect("the content key has the cipher's length"));
        let mac = cipher
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
            .expect("a key is far shorter than what GCM seals");
        let algorithm = write::sequence(&[&ID_AES256_GCM, &write::sequence(&[&write::octets(&nonce), &write::small(MAC as u8)])]);
        let content = write::sequence(&[&ID_DATA, &algorithm, &write::element(context(0), &[&text])]);
        let recipients = write::set(&[&self.recipient_info(&content_key, random)?]);
        let message = write::sequence(&[&write::small(0), &recipients, &content, &write::octets(mac.as_ref())]);
        Ok(write::sequence(&[&ID_AUTH_ENVELOPED_DATA, &write::context(0, &[&message])]))
    }

    fn recipient_info(&self, content_key: &Secret, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        match (&self.recipient.key, &self.agreed) {
            (RecipientKey::Rsa(key), _) => self.transport(key, content_key).map_err(SealError::Crypto),
            (_, Some(agreed)) => self.agreement(agreed, content_key, random),
            (RecipientKey::Elliptic { .. }, None) => Err(SealError::Key),
        }
    }

    /// KeyAgreeRecipientInfo (RFC 5652 §6.2.2).
    fn agreement(&self, agreed: &Agreed, content_key: &Secret, random: &dyn Random) -> Result<Vec<u8>, SealError> {
        let mut material = [0; USER_KEYING_MATERIAL];
        random.fill(&mut material);
        let wrap = write::sequence(&[&ID_AES256_WRAP]);
        let key = agreed.wrapping_key(&material, &wrap);
        let wrapped = wrapped(&agreed.aes, &key, content_key).map_err(SealError::Crypto)?;
        let encrypted = write::sequence(&[&self.recipient.identifier, &write::octets(&wrapped)]);
        let parts: [&[u8]; 5] = [
            &write::small(3),
            &agreed.originator,
            &write::context(1, &[&write::octets(&material)]),
            &write::sequence(&[&ID_ECDH_SHA256, &wrap]),
            &write::sequence(&[&encrypted]),
        ];
        Ok(write::context(1, &parts))
    }

    /// KeyTransRecipientInfo (RFC 5652 §6.2.1) with OAEP over SHA-256.
    fn transport(&self, key: &PKey<Public>, content_key: &Secret) -> Result<Vec<u8>, ErrorStack> {
        let mut encrypter = Encrypter::new(key)?;
        encrypter.set_rsa_padding(Padding::PKCS1_OAEP)?;
        encrypter.set_rsa_oaep_md(MessageDigest::sha256())?;
        encrypter.set_rsa_mgf1_md(MessageDigest::sha256())?;
        let mut encrypted = vec![0; encrypter.encrypt_len(content_key.expose())?];
        let length = encrypter.encrypt(content_key.expose(), &mut encrypted)?;
        encrypted.truncate(length);
        let hash = write::sequence(&[&ID_SHA256, &[NULL, 0]]);
        let mask = write::sequence(&[&ID_MGF1, &hash]);
        let parameters = write::sequence(&[&write::context(0, &[&hash]), &write::context(1, &[&mask])]);
        let algorithm = write::sequence(&[&ID_RSAES_OAEP, &parameters]);
        Ok(write::sequence(&[&write::small(0), &self.recipient.identifier, &algorithm, &write::octets(&encrypted)]))
    }
}

/// AES key wrap (RFC 3394 §2.2.1). OpenSSL's own computes each of its 24 blocks without the processor's AES instructions,
/// which takes longer than all the rest of sealing.
fn wrapped(aes: &CipherRef, key: &Secret, content_key: &Secret) -> Result<[u8; WRAPPED], ErrorStack> {
    let mut context = CipherCtx::new()?;
    context.encrypt_init(Some(aes), Some(key.expose()), None)?;
    context.set_padding(false);
    // The integrity check, then the content key; both are ciphertext in the end.
    let mut registers = Zeroizing::new([INITIAL; WRAPPED]);
    registers[SEMIBLOCK..].copy_from_slice(content_key.expose());
    let (check, text) = registers.split_at_mut(SEMIBLOCK);
    let mut block = Zeroizing::new([0; 2 * SEMIBLOCK]);
    let mut encrypted = [0; 4 * SEMIBLOCK];
    let mut step = 0;
    for _ in 0..6 {
        for register in text.chunks_exact_mut(SEMIBLOCK) {
            step += 1;
            block[..SEMIBLOCK].copy_from_slice(check);
            block[SEMIBLOCK..].copy_from_slice(register);
            context.cipher_update(&*block, Some(&mut encrypted))?;
            check.copy_from_slice(&encrypted[..SEMIBLOCK]);
            // The counter has 64 bits, of which 24 steps reach the last.
            check[SEMIBLOCK - 1] ^= step;
            register.copy_from_slice(&encrypted[SEMIBLOCK..2 * SEMIBLOCK]);
        }
    }
    Ok(*registers)
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
    fn rfc_3394_section_4_6_wraps_256_bits_with_256_bits() {
        let key: Vec<u8> = (0..32).collect();
        let content: Vec<u8> = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
            .into_iter()
            .chain(0..16)
            .collect();
        let aes = Cipher::fetch(None, "AES-256-ECB", None).expect("AES");
        let text = wrapped(&aes, &Secret::new(key), &Secret::new(content)).expect("wrapped");
        let expected = b"\x28\xc9\xf4\x04\xc4\xb8\x10\xf4\xcb\xcc\xb3\x5c\xfb\x87\xf8\x26\x3f\x57\x86\xe2\xd8\x0e\xd3\x26\
                         \xcb\xc7\xf0\xe7\x1a\x99\xf4\x3b\xfb\x98\x8b\x9b\x7a\x02\xdd\x21";
        assert_eq!(text, *expected);
    }

    #[test]
    fn stock_openssl_opens_what_is_sealed_for_each_kind_of_recipient() {
        let rsa = PKey::from_rsa(Rsa::generate(2048).expect("key")).expect("key");
        for key in [elliptic(Nid::X9_62_PRIME256V1), elliptic(Nid::SECP384R1), rsa] {
            let pem = certificate(&key);
            let recipient = Recipient::from_pem(&pem).expect("recipient");
            let session = recipient.session().expect("session");
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
        let session = recipient.session().expect("session");
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
