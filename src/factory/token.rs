//! Lines whose key lives in a PKCS#11 token.

use crate::{error::FactoryError, files, name::LineName, settings::TokenSettings};
use gatehouse_pkcs11::{Token, TokenError, TokenLocation};
use gatehouse_pki::{PublicKey, Signer};
use gatehouse_types::Secret;
use std::{num::NonZeroUsize, sync::Arc};

/// A PIN is much shorter.
const MAX_PIN: u64 = 1024;

/// How many workers sign at a time. Tokens have few sessions.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

/// Finds the key in the token.
pub(crate) fn find(line: &LineName, settings: &TokenSettings) -> Result<Arc<dyn Signer>, FactoryError> {
    let pin = files::read_secret(&settings.pin_file, MAX_PIN)?;
    // Editors end a file with a newline that nobody means as part of the PIN.
    let pin = Secret::new(pin.expose().trim_ascii_end().to_vec());
    let location = TokenLocation { module: settings.module.clone(), label: settings.token.clone() };
    let failed = |source: TokenError| FactoryError::Token { line: line.clone(), source };
    let token = Token::open(location, pin, SESSIONS).map_err(failed)?;
    Ok(Arc::new(token.key(&settings.key).map_err(failed)?))
}

/// Finds the key in the token, which must be the one that the line's certificate names.
pub(crate) fn open(line: &LineName, settings: &TokenSettings, public: &PublicKey) -> Result<Arc<dyn Signer>, FactoryError> {
    let signer = find(line, settings)?;
    if signer.public_key() == public { Ok(signer) } else { Err(FactoryError::TokenKey { line: line.clone() }) }
}
