//! Answers that may have been lost: kept until their result was used, so that the device gets the same one again.
//!
//! An answer is sealed under a key that is made of what the device showed for it, and which is kept nowhere: who has the store and the
//! key-encryption key can read no tokens of devices.

use crate::StateError;
use gatehouse_store::codec::{self, Bytes};
use gatehouse_types::{Random, Secret, UnixTime};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};
use serde::{Deserialize, Serialize};

const PURPOSE: &[u8] = b"gatehouse device answer 1";

/// What a device is answered.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    access: String,
    pub(super) access_ends: UnixTime,
    refresh: String,
}

impl Answer {
    pub(super) fn new(access: &Secret, access_ends: UnixTime, refresh: &Secret) -> Self {
        Self { access: crate::secret::text(access), access_ends, refresh: crate::secret::text(refresh) }
    }

    pub(super) fn access(&self) -> Secret {
        Secret::from(self.access.clone())
    }

    pub(super) fn refresh(&self) -> Secret {
        Secret::from(self.refresh.clone())
    }

    /// The answer to what was shown, sealed for whoever shows it again.
    pub(super) fn seal(&self, shown: &Secret, family: &[u8], random: &dyn Random) -> Result<Bytes, StateError> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = codec::encode(self);
        let key = key(shown).ok_or_else(failed)?;
        let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(family), &mut sealed);
        let tag = tag.map_err(|_| failed())?;
        Ok([&nonce, sealed.as_slice(), tag.as_ref()].concat().into())
    }

    /// The answer, if this is what was shown for it.
    pub(super) fn open(sealed: &[u8], shown: &Secret, family: &[u8]) -> Option<Self> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let opened = key(shown)?.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(family), &mut bytes).ok()?;
        codec::decode(opened).ok()
    }
}

fn key(shown: &Secret) -> Option<LessSafeKey> {
    let drawn = Salt::new(HKDF_SHA256, PURPOSE).extract(shown.expose());
    let key: UnboundKey = drawn.expand(&[PURPOSE], &AES_256_GCM).ok()?.into();
    Some(LessSafeKey::new(key))
}

fn failed() -> StateError {
    StateError::Damaged("a device's answer was not sealed".to_owned())
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Answer(ends {})", self.access_ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn an_answer_opens_for_what_was_shown_for_it_and_for_nothing_else() {
        let answer = Answer::new(&secret("access"), UnixTime::from_secs(5), &secret("refresh"));
        let sealed = answer.seal(&secret("code"), b"family", &SystemRandom).expect("sealed");
        let opened = Answer::open(&sealed, &secret("code"), b"family").expect("opened");
        assert_eq!((opened.access(), opened.refresh(), opened.access_ends), (secret("access"), secret("refresh"), UnixTime::from_secs(5)));
        assert!(Answer::open(&sealed, &secret("other"), b"family").is_none());
        assert!(Answer::open(&sealed, &secret("code"), b"another").is_none());
        assert!(!sealed.windows(6).any(|part| part == b"access"), "nothing can be read without it");
        for length in 0..sealed.len() {
            assert!(Answer::open(&sealed[..length], &secret("code"), b"family").is_none(), "{length} bytes");
        }
    }
}
