//! Sealing the factory's private keys anew, for another key file or passphrase: when whoever knew the old one has left,
//! or when it may have been seen.
//!
//! Every key is opened before the first is written, so that a wrong key changes nothing. A run that is cut short leaves
//! some keys under the new one and the rest under the old one; the same call goes on with the rest. Keys in tokens have
//! PINs of their own and are left out.

use crate::{
    custody::{self, CustodyError},
    error::FactoryError,
    home::Factory,
};
use gatehouse_ca::{StretchCost, unlock::Unlock};
use serde::Serialize;
use std::path::PathBuf;

/// What became of the keys' files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    /// Those that the new key opens from now on, and the old one no more.
    pub resealed: Vec<PathBuf>,
    /// Those that the new key opened before.
    pub before: Vec<PathBuf>,
    /// Those that are not here: the old key still opens them, wherever they are.
    pub away: Vec<PathBuf>,
}

impl Factory {
    /// Seals every key that is here anew.
    ///
    /// # Errors
    /// A key opens with neither; then nothing was changed. Or a file cannot be written.
    pub fn reseal(&mut self, old: &Unlock, new: &Unlock, cost: StretchCost) -> Result<Resealed, FactoryError> {
        let (mut report, mut opened) = (Resealed::default(), Vec::new());
        for (path, certificate) in self.books.sealed_keys()? {
            let public = certificate.public_key();
            match custody::open(&path, old, public) {
                Ok(key) => opened.push((path, key)),
                Err(CustodyError::Away { path }) => report.away.push(path),
                Err(error) => match custody::open(&path, new, public) {
                    Ok(_) => report.before.push(path),
                    Err(_) => return Err(error.into()),
                },
            }
        }
        for (path, key) in opened {
            custody::seal(&path, &key, new, cost, self.surroundings.random.as_ref())?;
            report.resealed.push(path);
        }
        Ok(report)
    }
}
