//! Secrets that we hand out and recognise later: what is kept of them is a digest.
//!
//! They are drawn at random from so many that nobody guesses one, so a fast digest keeps them as well as a slow one would.

use data_encoding::{BASE32_NOPAD, Encoding};
use gatehouse_types::{Random, Secret};
use ring::digest::{SHA256, digest};

/// 256 bits.
const SECRET_BYTES: usize = 32;

pub(crate) const DIGEST_BYTES: usize = 32;

/// The digest under which a secret is kept.
pub(crate) type Digest = [u8; DIGEST_BYTES];

/// A new secret, in letters and digits that survive every clipboard and header.
pub(crate) fn draw(random: &dyn Random) -> Secret {
    let mut bytes = vec![0; SECRET_BYTES];
    random.fill(&mut bytes);
    Secret::from(lower_case(&BASE32_NOPAD, &Secret::new(bytes)))
}

/// What is kept of it. The purpose makes a secret of one kind worthless as another.
pub(crate) fn digest_of(purpose: &str, secret: &Secret) -> Digest {
    let text = [purpose.as_bytes(), b"\0", secret.expose()].concat();
    let mut kept = [0; DIGEST_BYTES];
    kept.copy_from_slice(digest(&SHA256, Secret::new(text).expose()).as_ref());
    kept
}

pub(crate) fn lower_case(encoding: &Encoding, secret: &Secret) -> String {
    encoding.encode(secret.expose()).to_lowercase()
}

/// The text of a secret that is about to be shown to the one it is for.
pub(crate) fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}
