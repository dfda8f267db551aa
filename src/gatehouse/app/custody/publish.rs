//! What the HTTP and CoAP doors publish of our authorities: chains and revocation lists, under the names of their keys.

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

    fn chain(&self, authority: &str) -> Option<Vec<Vec<u8>>> {
        let chain = key_id(authority).and_then(|key_id| self.0.chain_by_key_id(&key_id)).filter(|chain| !chain.is_empty());
        chain.map(|chain| chain.iter().map(Certificate::der).map(<[u8]>::to_vec).collect())
    }

    fn list(&self, authority: &str) -> Option<Vec<u8>> {
        key_id(authority).and_then(|key_id| self.0.crl(&key_id)).map(|list| list.der().to_vec())
    }
}

impl gatehouse_http::Publications for Published {
    fn authorities(&self) -> gatehouse_http::Fetch<Vec<String>> {
        Box::pin(ready(Ok(self.names())))
    }

    fn certificates(&self, authority: String) -> gatehouse_http::Fetch<Option<Vec<Vec<u8>>>> {
        Box::pin(ready(Ok(self.chain(&authority))))
    }

    fn revocations(&self, authority: String) -> gatehouse_http::Fetch<Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.list(&authority))))
    }
}

impl gatehouse_coap::Publications for Published {
    fn authorities(&self) -> gatehouse_coap::Fetch<Vec<String>> {
        Box::pin(ready(Ok(self.names())))
    }

    fn certificate(&self, authority: String) -> gatehouse_coap::Fetch<Option<Vec<u8>>> {
        Box::pin(ready(Ok(self.chain(&authority).and_then(|chain| chain.into_iter().next()))))
    }

    fn revocations(&self, authority: String) -> gatehouse_coap::Fetch<Option<Vec<u8>>> {
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
