//! The client's context.

use super::{
    context::{ContextError, PEER_SIGNATURES, Transport, common, key, present},
    ffi,
    presented::{attach, judge_here},
};
use crate::{Credentials, PresharedKey, ServerTrust};
use openssl::{
    error::ErrorStack,
    ssl::{Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion},
};
use std::fmt;

/// Servers are other people's: RSA certificates are taken as well as ECDSA's, for the same kind of suite.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM8:ECDHE-ECDSA-AES256-CCM:\
    ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:@SECLEVEL=0";

/// With a shared key. RFC 7252 §9.1.3.1 makes the first one every device's.
const SHARED_KEY_CIPHERS: &str = "PSK-AES128-CCM8:PSK-AES128-CCM:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:ECDHE-PSK-CHACHA20-POLY1305:\
    PSK-AES256-CCM8:PSK-AES256-CCM:PSK-CHACHA20-POLY1305:@SECLEVEL=0";

/// What one client offers to servers and asks of them.
pub(crate) struct ClientContext {
    context: SslContext,
    trust: ServerTrust,
}

impl ClientContext {
    /// Made once for any number of connections.
    ///
    /// # Errors
    /// The credentials' key is not ECDSA, or OpenSSL refuses.
    pub(crate) fn new(
        transport: Transport,
        trust: ServerTrust,
        credentials: Option<&Credentials>,
        shared: Option<&PresharedKey>,
        alpn: &[&[u8]],
    ) -> Result<Self, ContextError> {
        let (method, oldest) = match transport {
            Transport::Stream => (SslMethod::tls_client(), SslVersion::TLS1_2),
            Transport::Datagrams => (SslMethod::dtls_client(), SslVersion::DTLS1_2),
        };
        ffi::forget_errors();
        let mut builder = ffi::context(method)?;
        common(&mut builder, oldest)?;
        // Over TCP it means nothing.
        builder.set_options(SslOptions::NO_QUERY_MTU);
        builder.set_sigalgs_list(PEER_SIGNATURES.to_str().expect("ASCII"))?;
        match shared {
            Some(shared) => share(&mut builder, shared.clone())?,
            None => builder.set_cipher_list(CIPHERS)?,
        }
        if let Some(credentials) = credentials {
            let (key, _) = key(credentials)?;
            present(&mut builder, credentials, &key)?;
        }
        if !alpn.is_empty() {
            builder.set_alpn_protos(&wire_alpn(alpn))?;
        }
        builder.set_verify(SslVerifyMode::PEER);
        judge_here(&mut builder);
        Ok(Self { context: builder.build(), trust })
    }

    /// A connection with its judge; `name` is told to the server (RFC 6066 §3), which may have several certificates.
    ///
    /// # Errors
    /// OpenSSL refuses.
    pub(crate) fn connection(&self, name: Option<&str>) -> Result<Ssl, ContextError> {
        ffi::forget_errors();
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(name) = name {
            ssl.set_hostname(name)?;
        }
        let trust = self.trust.clone();
        attach(&mut ssl, Box::new(move |presented| trust.judge(presented)))?;
        Ok(ssl)
    }
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ClientContext({:?})", self.trust)
    }
}

fn share(builder: &mut SslContextBuilder, shared: PresharedKey) -> Result<(), ErrorStack> {
    builder.set_cipher_list(SHARED_KEY_CIPHERS)?;
    // Shared keys of this kind are TLS 1.2's; in 1.3 they would be bound to another hash.
    let newest = if builder.min_proto_version() == Some(SslVersion::DTLS1_2) { SslVersion::DTLS1_2 } else { SslVersion::TLS1_2 };
    builder.set_max_proto_version(Some(newest))?;
    builder.set_psk_client_callback(move |_, _, identity, key| {
        let answer = || {
            let secret = shared.key.expose();
            identity.get_mut(..shared.identity.len())?.copy_from_slice(&shared.identity);
            // Room for the zero that ends the identity.
            *identity.get_mut(shared.identity.len())? = 0;
            key.get_mut(..secret.len())?.copy_from_slice(secret);
            Some(secret.len())
        };
        // An answer of 0 bytes fails the handshake.
        Ok(ffi::contain(answer).flatten().unwrap_or(0))
    });
    Ok(())
}

/// RFC 7301 §3.1: each name behind its length.
fn wire_alpn(protocols: &[&[u8]]) -> Vec<u8> {
    let named = |protocol: &&[u8]| Some([&[u8::try_from(protocol.len()).ok()?], *protocol].concat());
    protocols.iter().filter_map(named).flatten().collect()
}
