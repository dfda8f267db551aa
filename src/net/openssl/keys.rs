//! The keys on P-256 and P-384 that OpenSSL's handshakes use: what they can do, computed by ring.
//!
//! [`ffi`](super::ffi) brings them to OpenSSL as those of a provider. Certificates' keys verify, a key that was made for one handshake
//! agrees on one secret, and ours signs through a function that alone knows where its private half is. OpenSSL 3.0 has all of
//! this by itself, and spends more time on turning keys from one form into another than on the mathematics.
//!
//! Nothing here is about memory or C, and nothing judges whose key it is. ring wipes neither the private half of an agreement nor the
//! secret that it lends to [`Key::agree`]'s closure; OpenSSL wipes its copy of the latter.

use ring::{
    agreement::{self, EphemeralPrivateKey},
    hmac,
    rand::SystemRandom,
    signature,
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Signs a message, hashing it first as the key's curve demands; the signature is a DER `Ecdsa-Sig-Value`.
pub(crate) type Sign = dyn Fn(&[u8]) -> Option<Vec<u8>> + Send + Sync;

/// The curves, each with the one hash that our own keys sign with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
}

/// What a signature is made over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
}

impl Curve {
    pub(super) fn bits(self) -> usize {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
        }
    }

    /// The bytes of one coordinate, and of an agreed secret.
    pub(super) fn width(self) -> usize {
        self.bits() / 8
    }

    /// The longest signature: two numbers of the curve's size, each with a sign byte and a header, in a sequence.
    pub(super) fn max_signature(self) -> usize {
        match self {
            Self::P256 => 72,
            Self::P384 => 104,
        }
    }

    /// What its keys sign with.
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
        }
    }

    fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &agreement::ECDH_P256,
            Self::P384 => &agreement::ECDH_P384,
        }
    }

    /// What stands before the point in a `SubjectPublicKeyInfo` (RFC 5480 §2), whose parts all have fixed lengths.
    fn spki_head(self) -> &'static [u8] {
        match self {
            Self::P256 => b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
            Self::P384 => b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
        }
    }
}

impl Hash {
    pub(super) fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
        }
    }

    /// By the name that OpenSSL uses, whose versions put hyphens into different places.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name: Vec<u8> = name.iter().filter(|byte| **byte != b'-').map(u8::to_ascii_uppercase).collect();
        match name.as_slice() {
            b"SHA256" | b"SHA2256" => Some(Self::Sha256),
            b"SHA384" | b"SHA2384" => Some(Self::Sha384),
            _ => None,
        }
    }
}

/// A key as OpenSSL holds it. It begins with nothing, and what it has once it keeps.
#[derive(Default)]
pub(super) struct Key {
    curve: OnceLock<Curve>,
    point: OnceLock<Box<[u8]>>,
    private: OnceLock<Private>,
}

enum Private {
    Signs(Arc<Sign>),
    /// Until it is used: an ephemeral key agrees on one secret.
    Agrees(Mutex<Option<EphemeralPrivateKey>>),
}

impl Key {
    /// A key that has a curve and nothing else.
    pub(super) fn on(curve: Curve) -> Self {
        Self { curve: OnceLock::from(curve), ..Self::default() }
    }

    /// A new key that agrees on one secret.
    pub(super) fn generate(curve: Curve) -> Option<Self> {
        let private = EphemeralPrivateKey::generate(curve.agreement(), &SystemRandom::new()).ok()?;
        let point = private.compute_public_key().ok()?;
        let key = Self::on(curve);
        key.point.set(point.as_ref().into()).ok()?;
        key.private.set(Private::Agrees(Mutex::new(Some(private)))).ok()?;
        Some(key)
    }

    /// The public key of a DER `SubjectPublicKeyInfo`, if it is one on these curves that names its curve and has its point uncompressed:
    /// `pki` accepts no other.
    pub(super) fn from_spki(der: &[u8]) -> Option<Self> {
        let (curve, point) =
            [Curve::P256, Curve::P384].into_iter().find_map(|curve| Some((curve, der.strip_prefix(curve.spki_head())?)))?;
        let key = Self::on(curve);
        key.set_point(point).then_some(key)
    }

    /// Fills a new key. The point has any form; what is to verify or agree needs the uncompressed one.
    pub(super) fn fill(&self, curve: Curve, point: &[u8], sign: Option<Arc<Sign>>) -> bool {
        let filled = self.curve.set(curve).is_ok() && self.point.set(point.into()).is_ok();
        filled && sign.is_none_or(|sign| self.private.set(Private::Signs(sign)).is_ok())
    }

    /// Gives a key that has none its uncompressed point (RFC 8422 §5.4.1). Whether it is on the curve is seen when it is used.
    pub(super) fn set_point(&self, point: &[u8]) -> bool {
        let Some(curve) = self.curve() else { return false };
        point.first() == Some(&4) && point.len() == 1 + 2 * curve.width() && self.point.set(point.into()).is_ok()
    }

    /// The same curve, and the same point where that is wanted, without the private half.
    pub(super) fn public_copy(&self, with_point: bool) -> Option<Self> {
        let copy = Self::on(self.curve()?);
        if with_point && let Some(point) = self.point() {
            copy.point.set(point.into()).ok()?;
        }
        Some(copy)
    }

    pub(super) fn curve(&self) -> Option<Curve> {
        self.curve.get().copied()
    }

    pub(super) fn point(&self) -> Option<&[u8]> {
        self.point.get().map(AsRef::as_ref)
    }

    pub(super) fn has_private(&self) -> bool {
        self.private.get().is_some()
    }

    pub(super) fn is_on_curve_of(&self, other: &Self) -> bool {
        self.curve().is_some() && self.curve() == other.curve()
    }

    /// Whether both have the same point, in whatever form each has it.
    pub(super) fn equals(&self, other: &Self) -> bool {
        self.is_on_curve_of(other) && self.position().is_some() && self.position() == other.position()
    }

    /// The horizontal coordinate and which of the two points with it, which every form of a point tells.
    fn position(&self) -> Option<(&[u8], bool)> {
        let point = self.point()?;
        let horizontal = point.get(1..=self.curve()?.width())?;
        let last = match point.first()? {
            4 => point.last()?,
            form => form,
        };
        Some((horizontal, last & 1 == 1))
    }

    /// Signs with the hash of the curve.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self.private.get()? {
            Private::Signs(sign) => sign(message),
            Private::Agrees(_) => None,
        }
    }

    pub(super) fn verify(&self, hash: Hash, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match (self.curve(), hash) {
            (Some(Curve::P256), Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Some(Curve::P256), Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Some(Curve::P384), Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Some(Curve::P384), Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (None, _) => return false,
        };
        let Some(point) = self.point() else { return false };
        signature::UnparsedPublicKey::new(algorithm, point).verify(message, signature).is_ok()
    }

    /// Agrees with the peer on a secret, of which `take` makes something. Works once; a point that is not on the curve fails.
    pub(super) fn agree<T>(&self, peer: &Self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let Private::Agrees(own) = self.private.get()? else { return None };
        let own = own.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let theirs = agreement::UnparsedPublicKey::new(peer.curve()?.agreement(), peer.point()?);
        agreement::agree_ephemeral(own, &theirs, take).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};

    const CURVES: [(Curve, KeyAlgorithm); 2] = [(Curve::P256, KeyAlgorithm::P256), (Curve::P384, KeyAlgorithm::P384)];

    #[test]
    fn two_new_keys_agree_on_one_secret_once() {
        for (curve, _) in CURVES {
            let (one, other) = (Key::generate(curve).expect("a key"), Key::generate(curve).expect("a key"));
            let secret = one.agree(&other, <[u8]>::to_vec).expect("a secret");
            assert_eq!(secret.len(), curve.width());
            assert_eq!(other.agree(&one, <[u8]>::to_vec), Some(secret));
            assert_eq!(one.agree(&other, <[u8]>::to_vec), None, "a second time");
        }
    }

    #[test]
    fn nothing_is_agreed_on_with_a_point_beside_the_curve_or_on_another() {
        let beside = Key::on(Curve::P256);
        assert!(beside.set_point(&[&[4][..], &[7; 64]].concat()));
        for peer in [beside, Key::generate(Curve::P384).expect("a key"), Key::on(Curve::P256)] {
            let own = Key::generate(Curve::P256).expect("a key");
            assert_eq!(own.agree(&peer, <[u8]>::to_vec), None);
        }
    }

    #[test]
    fn a_point_has_one_form_and_comes_once() {
        for (curve, _) in CURVES {
            let point = Key::generate(curve).expect("a key").point().expect("a point").to_vec();
            let mut compressed = point[..=curve.width()].to_vec();
            compressed[0] = 2;
            for wrong in [&point[..point.len() - 1], &[&point[..], &[0]].concat(), &compressed, &[0], &[]] {
                assert!(!Key::on(curve).set_point(wrong), "{wrong:?}");
            }
            let key = Key::on(curve);
            assert!(key.set_point(&point));
            assert!(!key.set_point(&point), "twice");
        }
    }

    #[test]
    fn keys_of_certificates_verify_what_they_have_signed_and_nothing_else() {
        for (curve, algorithm) in CURVES {
            let signer = SoftwareKey::generate(algorithm).expect("a key");
            let signature = signer.sign(b"message").expect("signed");
            let key = Key::from_spki(signer.public_key().spki_der()).expect("read");
            let other = if curve.hash() == Hash::Sha256 { Hash::Sha384 } else { Hash::Sha256 };
            assert!(key.verify(curve.hash(), b"message", &signature));
            assert!(!key.verify(curve.hash(), b"another", &signature));
            assert!(!key.verify(other, b"message", &signature));
            assert!(!key.verify(curve.hash(), b"message", &[]));
            assert!(key.sign(b"message").is_none(), "it is public");
        }
    }

    #[test]
    fn a_key_in_another_encoding_is_not_read() {
        for (_, algorithm) in CURVES {
            let signer = SoftwareKey::generate(algorithm).expect("a key");
            let der = signer.public_key().spki_der();
            let mut hybrid = der.to_vec();
            hybrid[der.len() - 2 * algorithm_width(algorithm) - 1] = 6;
            for wrong in [&der[..der.len() - 1], &[der, &[0]].concat(), &der[1..], &hybrid, &[]] {
                assert!(Key::from_spki(wrong).is_none());
            }
        }
        let edwards = SoftwareKey::generate(KeyAlgorithm::Ed25519).expect("a key");
        assert!(Key::from_spki(edwards.public_key().spki_der()).is_none());
    }

    fn algorithm_width(algorithm: KeyAlgorithm) -> usize {
        if algorithm == KeyAlgorithm::P256 { 32 } else { 48 }
    }

    #[test]
    fn a_copy_has_no_private_half() {
        let key = Key::generate(Curve::P256).expect("a key");
        let (whole, parameters) = (key.public_copy(true).expect("a copy"), key.public_copy(false).expect("a copy"));
        assert!(whole.equals(&key) && !whole.has_private());
        assert!(parameters.is_on_curve_of(&key) && parameters.point().is_none() && !parameters.equals(&key));
    }

    #[test]
    fn hashes_have_several_names() {
        for (name, hash) in [("SHA256", Some(Hash::Sha256)), ("sha2-384", Some(Hash::Sha384)), ("SHA1", None), ("SHA512", None)] {
            assert_eq!(Hash::named(name.as_bytes()), hash, "{name}");
        }
    }
}
