//! The factory's own private keys: sealed in files, or in a token.
//!
//! A key file is a sealed stream of [`gatehouse_ca`] and opens with the factory's passphrase or key file, which
//! lies elsewhere. Which key a file must hold is known from the certificate beside it, so that files cannot be
//! exchanged. Nothing here decides what is signed.

use crate::files::{self, FileError};
use gatehouse_ca::{
    StretchCost,
    sealed_stream::{OpenWith, SealFor, SealedReader, SealedWriter, StreamError},
    unlock::Unlock,
};
use gatehouse_pki::{PrivateKeyError, PublicKey, Signer, SoftwareKey};
use gatehouse_types::{Random, Secret};
use std::{io::Write, path::Path, path::PathBuf};

/// A sealed key is much smaller.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is damaged, or the passphrase is another one.
    #[error("the key in {path} does not open", path = path.display())]
    Sealed {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// The key cannot be sealed.
    #[error("a key could not be sealed")]
    Seal(#[source] StreamError),
    /// What was sealed is not a key.
    #[error("{path} does not hold a private key", path = path.display())]
    NotKey {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PrivateKeyError,
    },
    /// The file holds the key of another certificate.
    #[error("{path} holds the key of another certificate", path = path.display())]
    OtherKey {
        /// Which file.
        path: PathBuf,
    },
    /// The key was taken elsewhere, as it should be.
    #[error("{path} is not here; bring the file back from where it is kept, and take it away again afterwards", path = path.display())]
    Away {
        /// Which file.
        path: PathBuf,
    },
}

/// Seals a key into a file. One that is there holds the same key, or that of an
/// earlier run which came to no certificate.
pub(crate) fn seal(path: &Path, key: &SoftwareKey, unlock: &Unlock, cost: StretchCost, random: &dyn Random) -> Result<(), CustodyError> {
    let seal_for = SealFor::Holder(unlock.clone());
    let mut writer = SealedWriter::new(Vec::new(), &seal_for, cost, random).map_err(CustodyError::Seal)?;
    let sealed = writer.write_all(key.to_pkcs8().expose()).and_then(|()| writer.finish());
    files::replace(path, &sealed.map_err(|error| CustodyError::Seal(error.into()))?)?;
    Ok(())
}

/// Opens the key that belongs to this public key.
pub(crate) fn open(path: &Path, unlock: &Unlock, public: &PublicKey) -> Result<SoftwareKey, CustodyError> {
    let bytes = match files::read(path, MAX_KEY_FILE) {
        Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Err(CustodyError::Away { path: path.to_owned() });
        }
        read => read?,
    };
    let sealed = |source| CustodyError::Sealed { path: path.to_owned(), source };
    let mut reader = SealedReader::new(bytes.as_slice(), &OpenWith::Holder(unlock.clone())).map_err(sealed)?;
    // A key fits one chunk; the second call says that nothing was cut off.
    let pkcs8 = reader.next_chunk().map_err(sealed)?.map(Secret::new).unwrap_or_else(|| Secret::new(Vec::new()));
    while reader.next_chunk().map_err(sealed)?.is_some() {}
    let key = SoftwareKey::from_pkcs8(pkcs8).map_err(|source| CustodyError::NotKey { path: path.to_owned(), source })?;
    if key.public_key() == public { Ok(key) } else { Err(CustodyError::OtherKey { path: path.to_owned() }) }
}
