//! Sealing to somebody who is not here.
//!
//! A server that backs itself up every night should not hold what opens the backups. It holds a [`Recipient`], the
//! public half; the [`RecipientKey`] lies in a safe. X25519 with a fresh key each time, then HKDF over the shared
//! secret with both public keys bound in (the shape of RFC 9180's base mode).

use crate::unlock::{self, Key, UnlockError};
use gatehouse_types::{Random, Secret};
use openssl::{
    derive::Deriver,
    pkey::{Id, PKey, Private},
};
use ring::{
    agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral},
    hkdf,
    rand::SystemRandom,
};
use std::{fmt, path::Path, str::FromStr};

const LENGTH: usize = 32;
const PUBLIC_PREFIX: &str = "gatehouse-recipient-1:";
const PRIVATE_PREFIX: &str = "gatehouse-recipient-key-1:";

/// The public half: seals, cannot open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient([u8; LENGTH]);

/// The private half: opens.
#[derive(Clone, Debug)]
pub struct RecipientKey {
    bytes: Secret,
    public: Recipient,
}

/// A recipient that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Not a recipient's text.
    #[error("a recipient is written `{PUBLIC_PREFIX}` and 44 characters of base64")]
    Form,
    /// A public key of small order, which makes every shared secret the same.
    #[error("the recipient's public key is not a usable X25519 key")]
    Weak,
}

impl Recipient {
    /// The public key from its bytes. Whether it is usable shows when something is sealed to it.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// A fresh public key to send along, and the key that only the recipient can compute from it.
    pub(crate) fn encapsulate(&self) -> Result<([u8; LENGTH], Key), RecipientError> {
        let random = SystemRandom::new();
        let ephemeral = EphemeralPrivateKey::generate(&X25519, &random).map_err(|_| RecipientError::Weak)?;
        let sent: [u8; LENGTH] =
            ephemeral.compute_public_key().ok().and_then(|public| public.as_ref().try_into().ok()).ok_or(RecipientError::Weak)?;
        let peer = UnparsedPublicKey::new(&X25519, &self.0);
        let key = agree_ephemeral(ephemeral, &peer, |shared| derive(shared, &sent, self)).map_err(|_| RecipientError::Weak)?;
        Ok((sent, key))
    }
}

impl RecipientKey {
    /// Makes a new pair.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = vec![0; LENGTH];
        random.fill(&mut bytes);
        Self::from_bytes(Secret::new(bytes)).expect("any 32 bytes are an X25519 private key (RFC 7748 §5)")
    }

    /// Reads the key from a file that only this user can read.
    ///
    /// # Errors
    /// When the file is missing, unsafe or holds something else.
    pub fn load(path: &Path) -> Result<Self, UnlockError> {
        let text = unlock::read_private_file(path)?;
        unlock::decode_line(PRIVATE_PREFIX, &text)
            .and_then(Self::from_bytes)
            .ok_or_else(|| UnlockError::NotARecipientKey { place: path.display().to_string() })
    }

    /// Writes the key into a new file that only this user can read. Never overwrites.
    ///
    /// # Errors
    /// When the file exists or cannot be written durably.
    pub fn write_new(&self, path: &Path) -> std::io::Result<()> {
        unlock::write_private_file(path, &unlock::encode_line(PRIVATE_PREFIX, &self.bytes))
    }

    /// The public half.
    pub fn recipient(&self) -> &Recipient {
        &self.public
    }

    /// The key that the sender computed, from what the sender sent along.
    pub(crate) fn decapsulate(&self, sent: &[u8]) -> Option<Key> {
        let sent: [u8; LENGTH] = sent.try_into().ok()?;
        let peer = PKey::public_key_from_raw_bytes(&sent, Id::X25519).ok()?;
        let own = private(&self.bytes)?;
        let mut deriver = Deriver::new(&own).ok()?;
        deriver.set_peer(&peer).ok()?;
        // OpenSSL refuses a shared secret of zeros, which a key of small order gives (RFC 7748 §6.1).
        let shared = Secret::new(deriver.derive_to_vec().ok()?);
        Some(derive(shared.expose(), &sent, &self.public))
    }

    fn from_bytes(bytes: Secret) -> Option<Self> {
        let public = private(&bytes)?.raw_public_key().ok()?;
        Some(Self { bytes, public: Recipient::from_bytes(&public)? })
    }
}

fn private(bytes: &Secret) -> Option<PKey<Private>> {
    PKey::private_key_from_raw_bytes(bytes.expose(), Id::X25519).ok()
}

fn derive(shared: &[u8], sent: &[u8; LENGTH], recipient: &Recipient) -> Key {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gatehouse recipient 1");
    let mut bytes = vec![0; unlock::KEY_LENGTH];
    salt.extract(shared)
        .expand(&[sent, &recipient.0], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut bytes))
        .expect("one digest is a length that HKDF delivers, and the buffer has it");
    Key::from_bytes(Secret::new(bytes)).expect("a digest has a key's length")
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let bytes = unlock::decode_line(PUBLIC_PREFIX, &Secret::from(text.to_owned())).ok_or(RecipientError::Form)?;
        Self::from_bytes(bytes.expose()).ok_or(RecipientError::Form)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = unlock::encode_line(PUBLIC_PREFIX, &Secret::new(self.0.to_vec()));
        out.write_str(String::from_utf8_lossy(line.expose()).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom as Bytes;

    #[test]
    fn only_the_recipient_computes_the_key() {
        let own = RecipientKey::generate(&Bytes);
        let (sent, key) = own.recipient().encapsulate().expect("seals");
        assert_eq!(own.decapsulate(&sent).expect("opens"), key);
        let other = RecipientKey::generate(&Bytes);
        assert_ne!(other.decapsulate(&sent).expect("computes"), key);
        assert_ne!(own.recipient().encapsulate().expect("seals").1, key, "every sealing has a key of its own");
    }

    #[test]
    fn keys_of_small_order_are_refused_on_both_sides() {
        assert_eq!(Recipient([0; LENGTH]).encapsulate().expect_err("zero"), RecipientError::Weak);
        assert_eq!(RecipientKey::generate(&Bytes).decapsulate(&[0; LENGTH]), None);
        assert_eq!(RecipientKey::generate(&Bytes).decapsulate(&[9; 31]), None);
    }

    #[test]
    fn both_halves_round_trip_as_text() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("recipient.key");
        let key = RecipientKey::generate(&Bytes);
        key.write_new(&path).expect("writes");
        let read = RecipientKey::load(&path).expect("loads");
        assert_eq!(read.recipient(), key.recipient());
        assert_eq!(read.bytes, key.bytes);
        assert_eq!(key.recipient().to_string().parse(), Ok(key.recipient().clone()));
        assert_eq!("gatehouse-recipient-1:AAAA".parse::<Recipient>(), Err(RecipientError::Form));
        assert_eq!(String::from_utf8_lossy(key.bytes.expose()).parse::<Recipient>(), Err(RecipientError::Form));
    }
}
