//! How an elliptic recipient gets the content keys of many messages for one key agreement (RFC 5753, RFC 3394).
//!
//! An ephemeral key and the recipient's give one shared secret. From it and random keying material each message has a wrapping
//! key of its own, which wraps the message's content key. What is equal in all messages is written once.

use super::sealed::SealError;
use gatehouse_pki::der::{tag::OID, write};
use gatehouse_types::Secret;
use openssl::{
    cipher::Cipher,
    cipher_ctx::{CipherCtx, CipherCtxRef},
    error::ErrorStack,
};
use ring::{
    agreement::{self, EphemeralPrivateKey, UnparsedPublicKey},
    digest::{Context, SHA256},
};
use zeroize::Zeroizing;

pub(super) const CONTENT_KEY: usize = 32;
/// What makes the wrapping key of a message another than those of the others.
pub(super) const MATERIAL: usize = 32;
/// What AES key wrap works on, and what it begins with (RFC 3394 §2.2.3).
const SEMIBLOCK: usize = 8;
const INITIAL: u8 = 0xa6;
/// A content key once it is wrapped.
const WRAPPED: usize = SEMIBLOCK + CONTENT_KEY;

const ID_AES256_WRAP: [u8; 11] = [OID, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2d];
const ID_ECDH_SHA256: [u8; 8] = [OID, 6, 0x2b, 0x81, 0x04, 0x01, 0x0b, 0x01];
const ID_EC_PUBLIC_KEY: [u8; 9] = [OID, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// A shared secret, and what is equal in all that comes of it.
pub(super) struct Agreed {
    shared: Secret,
    /// ECC-CMS-SharedInfo (RFC 5753 §7.2) around the keying material.
    shared_info: [Vec<u8>; 2],
    /// KeyAgreeRecipientInfo (RFC 5652 §6.2.2) before, between and after material and wrapped key; nothing comes after.
    recipient_info: [Vec<u8>; 2],
    /// AES-256; each message has a key of its own.
    aes: CipherCtx,
}

impl Agreed {
    /// Agrees with a recipient, given by the point of their key and by what messages call them.
    pub(super) fn new(algorithm: &'static agreement::Algorithm, point: &[u8], identifier: &[u8]) -> Result<Self, SealError> {
        let random = ring::rand::SystemRandom::new();
        let ephemeral = EphemeralPrivateKey::generate(algorithm, &random).map_err(|_| SealError::Key)?;
        let public = ephemeral.compute_public_key().map_err(|_| SealError::Key)?;
        let peer = UnparsedPublicKey::new(algorithm, point);
        let shared = agreement::agree_ephemeral(ephemeral, &peer, |secret| Secret::new(secret.to_vec())).map_err(|_| SealError::Key)?;
        let originator = originator(public.as_ref());
        let aes = block_cipher().map_err(SealError::Crypto)?;
        Ok(Self { shared, shared_info: shared_info(), recipient_info: recipient_info(&originator, identifier), aes })
    }

    /// The part of a message that gives its content key to the recipient.
    pub(super) fn recipient_info(&mut self, content_key: &[u8], material: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key = self.wrapping_key(material);
        let wrapped = wrapped(&mut self.aes, &*key, content_key)?;
        let [before, between] = &self.recipient_info;
        Ok([before, material, between, &wrapped].concat())
    }

    /// ANSI X9.63 with SHA-256.
    fn wrapping_key(&self, material: &[u8]) -> Zeroizing<[u8; 32]> {
        let [before, after] = &self.shared_info;
        let mut hash = Context::new(&SHA256);
        for part in [self.shared.expose(), &1u32.to_be_bytes(), before, material, after] {
            hash.update(part);
        }
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(hash.finish().as_ref());
        key
    }
}

fn originator(point: &[u8]) -> Vec<u8> {
    let algorithm = write::sequence(&[&ID_EC_PUBLIC_KEY]);
    write::context(0, &[&write::context(1, &[&algorithm, &write::bits(point)])])
}

fn shared_info() -> [Vec<u8>; 2] {
    let wrap = write::sequence(&[&ID_AES256_WRAP]);
    let bits = (CONTENT_KEY as u32 * 8).to_be_bytes();
    let bits = write::context(2, &[&write::octets(&bits)]);
    let whole = write::sequence(&[&wrap, &write::context(0, &[&write::octets(&[0; MATERIAL])]), &bits]);
    cut(&whole, whole.len() - bits.len(), MATERIAL)
}

fn recipient_info(originator: &[u8], identifier: &[u8]) -> [Vec<u8>; 2] {
    let wrap = write::sequence(&[&ID_AES256_WRAP]);
    let encrypted = write::sequence(&[&write::sequence(&[identifier, &write::octets(&[0; WRAPPED])])]);
    let algorithm = write::sequence(&[&ID_ECDH_SHA256, &wrap]);
    let material = write::context(1, &[&write::octets(&[0; MATERIAL])]);
    let whole = write::context(1, &[&write::small(3), originator, &material, &algorithm, &encrypted]);
    let [before, mut after] = cut(&whole, whole.len() - encrypted.len() - algorithm.len(), MATERIAL);
    after.truncate(after.len() - WRAPPED);
    [before, after]
}

/// What stands around so many bytes that end here.
fn cut(whole: &[u8], end: usize, length: usize) -> [Vec<u8>; 2] {
    [whole[..end - length].to_vec(), whole[end..].to_vec()]
}

/// AES-256 for single blocks.
fn block_cipher() -> Result<CipherCtx, ErrorStack> {
    let mut context = CipherCtx::new()?;
    let cipher = Cipher::fetch(None, "AES-256-ECB", None)?;
    context.encrypt_init(Some(&cipher), None, None)?;
    context.set_padding(false);
    Ok(context)
}

/// AES key wrap (RFC 3394 §2.2.1). OpenSSL's own computes each of its 24 blocks without the processor's AES instructions,
/// which takes longer than all the rest of sealing.
fn wrapped(aes: &mut CipherCtxRef, key: &[u8], content_key: &[u8]) -> Result<[u8; WRAPPED], ErrorStack> {
    aes.encrypt_init(None, Some(key), None)?;
    // The integrity check, then the content key; both are ciphertext in the end.
    let mut registers = Zeroizing::new([INITIAL; WRAPPED]);
    registers[SEMIBLOCK..].copy_from_slice(content_key);
    let (check, text) = registers.split_at_mut(SEMIBLOCK);
    let mut block = Zeroizing::new([0; 2 * SEMIBLOCK]);
    let mut encrypted = [0; 4 * SEMIBLOCK];
    let mut step = 0;
    for _ in 0..6 {
        for register in text.chunks_exact_mut(SEMIBLOCK) {
            step += 1;
            block[..SEMIBLOCK].copy_from_slice(check);
            block[SEMIBLOCK..].copy_from_slice(register);
            aes.cipher_update(&*block, Some(&mut encrypted))?;
            check.copy_from_slice(&encrypted[..SEMIBLOCK]);
            // The counter has 64 bits, of which 24 steps reach the last.
            check[SEMIBLOCK - 1] ^= step;
            register.copy_from_slice(&encrypted[SEMIBLOCK..2 * SEMIBLOCK]);
        }
    }
    Ok(*registers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3394_section_4_6_wraps_256_bits_with_256_bits() {
        let key: Vec<u8> = (0..32).collect();
        let content: Vec<u8> = [0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
            .into_iter()
            .chain(0..16)
            .collect();
        let expected = b"\x28\xc9\xf4\x04\xc4\xb8\x10\xf4\xcb\xcc\xb3\x5c\xfb\x87\xf8\x26\x3f\x57\x86\xe2\xd8\x0e\xd3\x26\
                         \xcb\xc7\xf0\xe7\x1a\x99\xf4\x3b\xfb\x98\x8b\x9b\x7a\x02\xdd\x21";
        let mut aes = block_cipher().expect("AES");
        // A context that wrapped something else before gives the same.
        wrapped(&mut aes, &[7; 32], &[8; 32]).expect("wrapped");
        assert_eq!(wrapped(&mut aes, &key, &content).expect("wrapped"), *expected);
    }
}
