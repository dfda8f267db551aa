//! Sealing: what turns private keys into bytes that may lie on a disk.
//!
//! Two layers. Every private key is sealed under a data key of its own, and the data key under a wrapping key that
//! is derived from the key-encryption key. Changing the key-encryption key re-wraps the data keys and never opens
//! a private key. Both layers authenticate whose key it is, what it is for and its version, so that a sealed key
//! moved to another row does not open.
//!
//! AES-GCM does not commit to its key: one ciphertext can open under two keys, which turns a server that answers
//! "opens" or "does not" into a guessing machine for passphrases. Therefore [`Lock`] carries a check value that
//! commits to the key and its parameters, and nothing is decrypted before the check holds.

use crate::{
    codec::{self, Bytes},
    unlock::{Key, Unlock},
};
use gatehouse_types::{Random, Secret};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf, hmac,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What Argon2id spends on one guess at a passphrase. Stored beside the lock, so that it can be raised later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StretchCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that are computed side by side.
    pub lanes: u32,
}

impl StretchCost {
    /// RFC 9106 §4, second recommended option: 64 MiB, three passes, four lanes.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Nothing cheaper is made or opened (the smallest that OWASP's table names).
    const MIN: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// Nothing dearer is opened, so that damaged rows cannot eat the machine.
    const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 64, lanes: 16 };

    fn is_sane(self) -> bool {
        (Self::MIN.memory_kib..=Self::MAX.memory_kib).contains(&self.memory_kib)
            && (Self::MIN.passes..=Self::MAX.passes).contains(&self.passes)
            && (Self::MIN.lanes..=Self::MAX.lanes).contains(&self.lanes)
    }
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stretch {
    salt: Bytes,
    cost: StretchCost,
}

/// The stored half of a key-encryption key: not secret, and enough to tell the right key from a wrong one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lock {
    id: Bytes,
    stretch: Option<Stretch>,
    check: Bytes,
}

/// The given key does not open what it should open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Another key, a mistyped passphrase, or a lock that was tampered with: there is one answer for all of them.
    #[error(
        "this key-encryption key does not open the keyring. Give the one that was last set with `gatehouse init` or \
         `gatehouse ca rotate-key`; without it the private keys in this data directory are lost"
    )]
    WrongKey,
    /// A key where a passphrase is wanted.
    #[error("the keyring is opened by a passphrase, and a key was given")]
    WantsPassphrase,
    /// A passphrase where a key is wanted.
    #[error("the keyring is opened by a key, and a passphrase was given")]
    WantsKey,
    /// The stored half is damaged.
    #[error("the keyring's lock is damaged. Restore the data directory from a backup")]
    Damaged,
    /// Argon2 had no memory.
    #[error("there is not enough memory to stretch the passphrase")]
    NoMemory,
}

const SALT_LENGTH: usize = 16;
const ID_LENGTH: usize = 16;

impl Lock {
    /// Makes a lock for this key and what it opens.
    pub(crate) fn new(unlock: &Unlock, cost: StretchCost, random: &dyn Random) -> Result<(Self, Wrapping), LockError> {
        let stretch = match unlock {
            Unlock::Key(_) => None,
            Unlock::Passphrase(_) => Some(Stretch { salt: codec::random(SALT_LENGTH, random), cost }),
        };
        let mut lock = Self { id: codec::random(ID_LENGTH, random), stretch, check: Bytes::default() };
        let key = lock.key(unlock)?;
        lock.check = hmac::sign(&check_key(&key), &lock.bound()).as_ref().to_vec().into();
        Ok((lock, Wrapping(key)))
    }

    /// Opens the lock.
    pub(crate) fn open(&self, unlock: &Unlock) -> Result<Wrapping, LockError> {
        let key = self.key(unlock)?;
        hmac::verify(&check_key(&key), &self.bound(), &self.check).map_err(|_| LockError::WrongKey)?;
        Ok(Wrapping(key))
    }

    /// Whether a passphrase opens it.
    pub(crate) fn wants_passphrase(&self) -> bool {
        self.stretch.is_some()
    }

    fn key(&self, unlock: &Unlock) -> Result<Key, LockError> {
        match (unlock, &self.stretch) {
            (Unlock::Key(key), None) => Ok(key.clone()),
            (Unlock::Passphrase(text), Some(stretch)) => stretch.apply(text),
            (Unlock::Key(_), Some(_)) => Err(LockError::WantsPassphrase),
            (Unlock::Passphrase(_), None) => Err(LockError::WantsKey),
        }
    }

    /// Everything stored that decides what the key means.
    fn bound(&self) -> Vec<u8> {
        let mut bound = codec::Bound::new("gatehouse keyring lock 1").field(&self.id);
        if let Some(Stretch { salt, cost }) = &self.stretch {
            bound = bound.field(salt);
            for number in [cost.memory_kib, cost.passes, cost.lanes] {
                bound = bound.field(&number.to_be_bytes());
            }
        }
        bound.done()
    }
}

impl Stretch {
    fn apply(&self, passphrase: &Secret) -> Result<Key, LockError> {
        if !self.cost.is_sane() {
            return Err(LockError::Damaged);
        }
        stretch(passphrase, &self.salt, self.cost)
    }
}

/// Argon2id: the passphrase becomes a key.
fn stretch(passphrase: &Secret, salt: &[u8], cost: StretchCost) -> Result<Key, LockError> {
    use argon2::{Algorithm, Argon2, Params, Version};
    if !cost.is_sane() {
        return Err(LockError::Damaged);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(crate::unlock::KEY_LENGTH)).map_err(|_| LockError::Damaged)?;
    let mut key = Zeroizing::new(vec![0; crate::unlock::KEY_LENGTH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(passphrase.expose(), salt, &mut key).map_err(|error| {
        match error {
            argon2::Error::OutOfMemory => LockError::NoMemory,
            _ => LockError::Damaged,
        }
    })?;
    Key::from_bytes(Secret::new(std::mem::take(&mut *key))).ok_or(LockError::Damaged)
}

fn check_key(key: &Key) -> hmac::Key {
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key.expose());
    hmac::Key::from(prk.expand(&[b"gatehouse keyring check 1"], hmac::HMAC_SHA256).expect("one digest is a length that HKDF delivers"))
}

/// Derives a cipher key for one purpose. HKDF's extract step is skipped: the key is uniformly random already.
fn aead_key(key: &Key, info: &[&[u8]]) -> LessSafeKey {
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key.expose());
    LessSafeKey::new(UnboundKey::from(prk.expand(info, &AES_256_GCM).expect("32 bytes is a length that HKDF delivers")))
}

/// The key behind an opened lock. It is never used itself; what is used is derived from it for one purpose each.
#[derive(Debug)]
pub(crate) struct Wrapping(Key);

impl Wrapping {
    /// The cipher for one purpose.
    pub(crate) fn cipher(&self, purpose: &str, bound: &[u8]) -> LessSafeKey {
        aead_key(&self.0, &[&codec::Bound::new(purpose).field(bound).done()])
    }

    /// Seals a few bytes for one purpose and subject: nonce, then text.
    pub(crate) fn seal_bytes(&self, purpose: &str, subject: &[u8], text: &Secret, random: &dyn Random) -> Vec<u8> {
        let Sealed { nonce, text } = Sealed::seal(&self.cipher(purpose, subject), text.expose(), &[], random);
        [&*nonce, &*text].concat()
    }

    /// The other way.
    pub(crate) fn open_bytes(&self, purpose: &str, subject: &[u8], sealed: &[u8]) -> Result<Secret, Damaged> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(Damaged)?;
        Sealed { nonce: nonce.to_vec().into(), text: text.to_vec().into() }.open(&self.cipher(purpose, subject), &[])
    }

    fn data_keys(&self) -> LessSafeKey {
        self.cipher("gatehouse keyring wrap 1", &[])
    }
}

impl From<Key> for Wrapping {
    fn from(key: Key) -> Self {
        Self(key)
    }
}

/// Whose key is sealed, for what, and in which version of the row's form. Authenticated by both layers.
#[derive(Clone, Debug)]
pub(crate) struct Binding<'a> {
    pub(crate) key_id: &'a [u8],
    pub(crate) purpose: &'a str,
    pub(crate) version: u32,
}

impl Binding<'_> {
    fn bytes(&self, layer: &str) -> Vec<u8> {
        codec::Bound::new(layer).field(self.key_id).field(self.purpose.as_bytes()).field(&self.version.to_be_bytes()).done()
    }
}

const DATA_KEY_LAYER: &str = "gatehouse data key 1";
const PRIVATE_KEY_LAYER: &str = "gatehouse private key 1";

/// A sealed private key as it lies in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    data_key: Sealed,
    private_key: Sealed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sealed {
    nonce: Bytes,
    text: Bytes,
}

/// A sealed key does not open although the key-encryption key is the right one: the row was damaged or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed private key was damaged or moved")]
pub(crate) struct Damaged;

impl Envelope {
    pub(crate) fn seal(private_key: &Secret, wrapping: &Wrapping, binding: &Binding<'_>, random: &dyn Random) -> Self {
        let data_key = Key::generate(random);
        Self {
            private_key: Sealed::seal(&cipher(&data_key), private_key.expose(), &binding.bytes(PRIVATE_KEY_LAYER), random),
            data_key: Sealed::seal(&wrapping.data_keys(), data_key.expose(), &binding.bytes(DATA_KEY_LAYER), random),
        }
    }

    pub(crate) fn open(&self, wrapping: &Wrapping, binding: &Binding<'_>) -> Result<Secret, Damaged> {
        let data_key = self.data_key(wrapping, binding)?;
        self.private_key.open(&cipher(&data_key), &binding.bytes(PRIVATE_KEY_LAYER))
    }

    /// The same private key under another key-encryption key. The private key stays sealed.
    pub(crate) fn rewrap(&self, old: &Wrapping, new: &Wrapping, binding: &Binding<'_>, random: &dyn Random) -> Result<Self, Damaged> {
        let data_key = self.data_key(old, binding)?;
        let data_key = Sealed::seal(&new.data_keys(), data_key.expose(), &binding.bytes(DATA_KEY_LAYER), random);
        Ok(Self { data_key, private_key: self.private_key.clone() })
    }

    fn data_key(&self, wrapping: &Wrapping, binding: &Binding<'_>) -> Result<Key, Damaged> {
        Key::from_bytes(self.data_key.open(&wrapping.data_keys(), &binding.bytes(DATA_KEY_LAYER))?).ok_or(Damaged)
    }
}

fn cipher(key: &Key) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("a key has the cipher's length"))
}

impl Sealed {
    /// Random nonces: a wrapping key seals some thousand data keys and a data key one private key, far below the
    /// 2^32 messages at which random 96-bit nonces become doubtful (NIST SP 800-38D §8.3).
    fn seal(cipher: &LessSafeKey, text: &[u8], bound: &[u8], random: &dyn Random) -> Self {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        // Sized for the tag: a buffer that grew would leave the plain text behind in freed memory.
        let mut buffer = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
        buffer.extend_from_slice(text);
        cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut buffer)
            .expect("a key is far shorter than the cipher's longest message");
        Self { nonce: nonce.to_vec().into(), text: buffer.into() }
    }

    fn open(&self, cipher: &LessSafeKey, bound: &[u8]) -> Result<Secret, Damaged> {
        let nonce = Nonce::try_assume_unique_for_key(&self.nonce).map_err(|_| Damaged)?;
        let mut buffer = Zeroizing::new(self.text.to_vec());
        let text = cipher.open_in_place(nonce, Aad::from(bound), &mut buffer).map_err(|_| Damaged)?;
        Ok(Secret::new(text.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;

    const CHEAP: StretchCost = StretchCost::MIN;
    const BINDING: Binding<'_> = Binding { key_id: b"id", purpose: "instance-root", version: 1 };

    fn lock(unlock: &Unlock) -> (Lock, Wrapping) {
        Lock::new(unlock, CHEAP, &SystemRandom).expect("a lock")
    }

    fn key() -> Unlock {
        Unlock::Key(Key::generate(&SystemRandom))
    }

    fn passphrase(text: &str) -> Unlock {
        Unlock::Passphrase(Secret::from(text.to_owned()))
    }

    #[test]
    fn the_right_key_opens_and_another_does_not() {
        let right = key();
        let (lock, _) = lock(&right);
        assert!(lock.open(&right).is_ok());
        assert_eq!(lock.open(&key()).expect_err("another key"), LockError::WrongKey);
        assert_eq!(lock.open(&passphrase("a long enough passphrase")).expect_err("no key"), LockError::WantsKey);
    }

    #[test]
    fn the_right_passphrase_opens_and_another_does_not() {
        let right = passphrase("correct horse battery staple");
        let (lock, _) = lock(&right);
        assert!(lock.open(&right).is_ok());
        assert_eq!(lock.open(&passphrase("correct horse battery stapl")).expect_err("another"), LockError::WrongKey);
        assert_eq!(lock.open(&key()).expect_err("a key"), LockError::WantsPassphrase);
    }

    #[test]
    fn a_lock_whose_parameters_were_changed_does_not_open() {
        let right = passphrase("correct horse battery staple");
        let (good, _) = lock(&right);
        let cost = StretchCost { passes: CHEAP.passes + 1, ..CHEAP };
        let dearer = Lock { stretch: good.stretch.clone().map(|stretch| Stretch { cost, ..stretch }), ..good.clone() };
        assert_eq!(dearer.open(&right).expect_err("other cost"), LockError::WrongKey);
        let cost = StretchCost { memory_kib: u32::MAX, ..CHEAP };
        let absurd = Lock { stretch: good.stretch.clone().map(|stretch| Stretch { cost, ..stretch }), ..good.clone() };
        assert_eq!(absurd.open(&right).expect_err("absurd cost"), LockError::Damaged);
        let renamed = Lock { id: vec![0; ID_LENGTH].into(), ..good };
        assert_eq!(renamed.open(&right).expect_err("other id"), LockError::WrongKey);
    }

    #[test]
    fn a_sealed_key_opens_only_in_its_place() {
        let (_, wrapping) = lock(&key());
        let secret = Secret::new(vec![7; 138]);
        let envelope = Envelope::seal(&secret, &wrapping, &BINDING, &SystemRandom);
        assert_eq!(envelope.open(&wrapping, &BINDING), Ok(secret));
        for elsewhere in [
            Binding { key_id: b"di", ..BINDING },
            Binding { purpose: "instance-roo", ..BINDING },
            Binding { version: 2, ..BINDING },
            Binding { key_id: b"idi", purpose: "nstance-root", ..BINDING },
        ] {
            assert_eq!(envelope.open(&wrapping, &elsewhere), Err(Damaged), "{elsewhere:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (_, wrapping) = lock(&key());
        let good = Envelope::seal(&Secret::new(vec![7; 40]), &wrapping, &BINDING, &SystemRandom);
        let flips = |text: &Bytes| -> Vec<Bytes> {
            (0..text.len() * 8)
                .map(|bit| {
                    let mut copy = text.to_vec();
                    copy[bit / 8] ^= 1 << (bit % 8);
                    copy.into()
                })
                .collect()
        };
        let sealed = |good: &Sealed| -> Vec<Sealed> {
            let nonces = flips(&good.nonce).into_iter().map(|nonce| Sealed { nonce, text: good.text.clone() });
            let texts = flips(&good.text).into_iter().map(|text| Sealed { nonce: good.nonce.clone(), text });
            nonces.chain(texts).collect()
        };
        for data_key in sealed(&good.data_key) {
            assert_eq!(Envelope { data_key, ..good.clone() }.open(&wrapping, &BINDING), Err(Damaged));
        }
        for private_key in sealed(&good.private_key) {
            assert_eq!(Envelope { private_key, ..good.clone() }.open(&wrapping, &BINDING), Err(Damaged));
        }
        let short = Sealed { nonce: vec![0; 3].into(), text: good.private_key.text.clone() };
        assert_eq!(Envelope { private_key: short, ..good }.open(&wrapping, &BINDING), Err(Damaged));
    }

    #[test]
    fn rewrapping_changes_the_key_that_opens() {
        let ((_, old), (_, new)) = (lock(&key()), lock(&key()));
        let secret = Secret::new(vec![9; 64]);
        let before = Envelope::seal(&secret, &old, &BINDING, &SystemRandom);
        let after = before.rewrap(&old, &new, &BINDING, &SystemRandom).expect("the old key opens it");
        assert_eq!(after.open(&new, &BINDING), Ok(secret));
        assert_eq!(after.open(&old, &BINDING), Err(Damaged));
        assert_eq!(before.rewrap(&new, &old, &BINDING, &SystemRandom), Err(Damaged));
    }

    #[test]
    fn two_seals_of_one_key_share_no_bytes_that_matter() {
        let (_, wrapping) = lock(&key());
        let secret = Secret::new(vec![7; 40]);
        let (one, two) =
            (Envelope::seal(&secret, &wrapping, &BINDING, &SystemRandom), Envelope::seal(&secret, &wrapping, &BINDING, &SystemRandom));
        assert_ne!(one.private_key.text, two.private_key.text);
        assert_ne!(one.data_key.nonce, two.data_key.nonce);
    }
}
