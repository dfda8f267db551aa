//! What the HTTP and CoAP doors publish of our authorities: chains and revocation lists, under the names of their keys.

use gatehouse_base::{Fetch, Publications};
use gatehouse_ca::{Authority, CaState};
use gatehouse_pki::{Certificate, KeyId};
use std::future::ready;

/// The authority as the door sees it. A name is the key identifier in hexadecimal: it never means another authority.
pub(crate) struct Published(pub(crate) Authority);

impl Published {
    fn names(&self) -> Vec<String> {
        let shown = |state| matches!(state, CaState::Active | CaState::Trusted);
        self.0.authorities().into_iter().filter(|ca| shown(ca.state)).map(|ca| ca.key_id).collect()
    }

    fn certificates(&self, authority: &str) -> Option<Vec<Certificate>> {
        key_id(authority).and_then(|key_id| self.0.chain_by_key_id(&key_id)).filter(|chain| !chain.is_empty())
    }

    fn list(&self, authority: &str) -> Option<Vec<u8>> {
        key_id(authority).and_then(|key_id| self.0.crl(&key_id)).map(|list| list.der().to_vec())
    }
}

impl Publications for Published {
    fn authorities(&self) -> Fetch<Vec<String>> {
        Box::pin(ready(Ok(self.names())))
    }

    fn certificate(&self, authority: String) -> Fetch<Option<Vec<u8>>> {
        let own = self.certificates(&authority).and_then(|chain| chain.first().map(|own| own.der().to_vec()));
        Box::pin(ready(Ok(own)))
    }

    fn chain(&self, authority: String) -> Fetch<Option<String>> {
        Box::pin(ready(Ok(self.certificates(&authority).map(|chain| chain.iter().map(Certificate::pem).collect()))))
    }

    fn revocations(&self, authority: String) -> Fetch<Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.list(&authority))))
    }
}

fn key_id(text: &str) -> Option<KeyId> {
    let digits = text.as_bytes();
    if digits.len() != 2 * KeyId::LEN || !digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)) {
        return None;
    }
    let mut bytes = [0; KeyId::LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes.into())
}
