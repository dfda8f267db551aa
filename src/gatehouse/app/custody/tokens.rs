//! Keys in PKCS#11 tokens: the configured module as the keyring's [`Tokens`].

use gatehouse_base::config::{Configure, Section};
use gatehouse_ca::{
    Tokens,
    unlock::{KeySource, Unlock},
};
use gatehouse_pkcs11::{Token, TokenLocation};
use gatehouse_pki::{Signer, SignerError};
use std::{
    collections::HashMap,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Signatures at a time; tokens have few sessions, and authorities sign seldom.
const SESSIONS: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

/// The section `[tokens]`: where keys that do not live here are.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The vendor's shared library.
    module: PathBuf,
    /// A file with the PIN on its first line, closed to other users.
    pin: KeySource,
}

/// The module, with the tokens in it that were used.
pub(super) struct Module {
    config: TokenConfig,
    open: Mutex<HashMap<String, Token>>,
}

impl Module {
    pub(super) fn new(config: TokenConfig) -> Self {
        Self { config, open: Mutex::default() }
    }

    fn token(&self, label: &str) -> Result<Token, SignerError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = open.get(label) {
            return Ok(token.clone());
        }
        let Unlock::Passphrase(pin) = self.config.pin.load().map_err(|error| SignerError::Away(Box::new(error)))? else {
            return Err(SignerError::Away("the PIN's file holds a key".into()));
        };
        let location = TokenLocation { module: self.config.module.clone(), label: label.to_owned() };
        let token = Token::open(location, pin, SESSIONS).map_err(|error| SignerError::Away(Box::new(error)))?;
        open.insert(label.to_owned(), token.clone());
        Ok(token)
    }
}

impl Tokens for Module {
    fn open(&self, uri: &str) -> Result<Arc<dyn Signer>, SignerError> {
        let (token, object) = parse(uri).ok_or_else(|| {
            SignerError::Refused(format!("{uri:?} is not of the form `pkcs11:token=LABEL;object=LABEL` (RFC 7512)").into())
        })?;
        let key = self.token(&token)?.key(&object).map_err(|error| SignerError::Away(Box::new(error)))?;
        Ok(Arc::new(key))
    }
}

/// Token and object of a PKCS#11 URI. Others of its attributes would be ignored silently, so they are refused.
fn parse(uri: &str) -> Option<(String, String)> {
    let (mut token, mut object) = (None, None);
    for attribute in uri.strip_prefix("pkcs11:")?.split(';') {
        let (name, value) = attribute.split_once('=')?;
        let slot = match name {
            "token" => &mut token,
            "object" => &mut object,
            _ => return None,
        };
        if slot.replace(decoded(value)?).is_some() {
            return None;
        }
    }
    token.zip(object)
}

/// Takes percent-encoding off (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

impl Configure for TokenConfig {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let (module, pin) = (from.path("module"), from.path("pin_file"));
        if module.is_none() && !from.mentions("module") {
            from.refuse("module", "is missing: the vendor's PKCS#11 library");
        }
        if pin.is_none() && !from.mentions("pin_file") {
            from.refuse("pin_file", "is missing: a file with the PIN, closed to other users");
        }
        Some(Self { module: module?, pin: KeySource::PassphraseFile(pin?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_an_object_are_found_in_a_uri() {
        let both = |token: &str, object: &str| Some((token.to_owned(), object.to_owned()));
        assert_eq!(parse("pkcs11:token=root;object=key"), both("root", "key"));
        assert_eq!(parse("pkcs11:object=a%20b;token=%C3%A4"), both("ä", "a b"));
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in [
            "",
            "pkcs11:",
            "pkcs11:token=root",
            "pkcs11:token=;object=key",
            "pkcs11:token=root;token=root;object=key",
            "pkcs11:token=root;object=key;pin-value=1234",
            "pkcs11:token=root;object=%zz",
            "pkcs11:token=root;object=%2",
            "pkcs11:token=root;object=%+1",
            "file:token=root;object=key",
        ] {
            assert_eq!(parse(uri), None, "{uri}");
        }
    }
}
