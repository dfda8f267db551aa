//! The server's contexts: what is offered to peers, made anew when the certificate changes.

use super::{
    ffi,
    keys::Curve,
    presented::{attach, judge_here},
};
use crate::{CertificateSource, Credentials, Refusal, clients::Clients};
use gatehouse_pki::{Fingerprint, KeyAlgorithm, MAX_PRESENTED, MAX_PRESENTED_BYTES, PublicKey};
use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{
        AlpnError, Ssl, SslContext, SslContextBuilder, SslContextRef, SslMethod, SslMode, SslOptions, SslRef, SslSessionCacheMode,
        SslVerifyMode, SslVersion,
    },
};
use rustls::SignatureScheme;
use std::{
    ffi::CStr,
    fmt, ptr,
    sync::{Arc, Mutex, PoisonError},
};

/// What carries the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A TCP stream: TLS 1.2 and 1.3.
    Stream,
    /// Datagrams: DTLS 1.2.
    #[allow(dead_code, reason = "DTLS stands on this")]
    Datagrams,
}

/// No connection could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    /// There is no certificate yet.
    #[error("there is no certificate to present")]
    NoCredentials,
    /// OpenSSL peers get ECDSA certificates.
    #[error("the certificate's key is not one on P-256 or P-384")]
    Key,
    /// OpenSSL refuses.
    #[error("OpenSSL refuses: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// Key agreement of TLS 1.2 is ephemeral, and encryption authenticates. The level is 0 because OpenSSL counts CCM8 as
/// that since 3.2; what else it would let in is shut out by the lists of signatures and groups, and by `pki`.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:\
    ECDHE-ECDSA-AES128-CCM:ECDHE-ECDSA-AES256-CCM:ECDHE-ECDSA-AES128-CCM8:ECDHE-ECDSA-AES256-CCM8:@SECLEVEL=0";

/// The same for TLS 1.3.
pub(super) const CIPHERS_13: &str =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256";

pub(super) const GROUPS: &str = "P-256:P-384:X25519";

/// What peers may sign a handshake with: the same as under rustls. No SHA-1, whatever the level.
pub(super) const PEER_SIGNATURES: &CStr =
    c"ECDSA+SHA256:ECDSA+SHA384:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

/// What a chain in a handshake may take, with the three bytes of each length and TLS 1.3's two for extensions.
pub(super) const MAX_CHAIN_MESSAGE: usize = MAX_PRESENTED_BYTES + 8 * MAX_PRESENTED + 8;

/// The server's contexts on one listener.
pub(crate) struct ServerContexts {
    transport: Transport,
    /// Sessions are bound to it, so that none is valid at another listener.
    id: [u8; 32],
    source: Arc<dyn CertificateSource>,
    clients: Option<Clients>,
    alpn: Vec<Vec<u8>>,
    adjust: Option<Box<Adjust>>,
    /// The last one that was made, with what it presents.
    built: Mutex<Option<(Arc<Credentials>, SslContext)>>,
}

/// What a transport has to set beside what all have in common.
pub(crate) type Adjust = dyn Fn(&mut SslContextBuilder) -> Result<(), ErrorStack> + Send + Sync;

impl ServerContexts {
    /// Contexts for a listener of this name. The application protocols are answered when they are offered, the most wanted
    /// first, and never demanded.
    pub(crate) fn new(
        transport: Transport,
        listener: &str,
        source: Arc<dyn CertificateSource>,
        clients: Option<Clients>,
        alpn: &[&[u8]],
    ) -> Self {
        let id = *Fingerprint::of(format!("{transport:?} {listener}").as_bytes()).as_bytes();
        Self {
            transport,
            id,
            source,
            clients,
            alpn: alpn.iter().map(|protocol| protocol.to_vec()).collect(),
            adjust: None,
            built: Mutex::new(None),
        }
    }

    /// The same with more settings for every context that is made.
    #[must_use]
    #[allow(dead_code, reason = "DTLS stands on this")]
    pub(crate) fn adjusted(mut self, adjust: impl Fn(&mut SslContextBuilder) -> Result<(), ErrorStack> + Send + Sync + 'static) -> Self {
        self.adjust = Some(Box::new(adjust));
        self
    }

    /// A connection that presents the certificate of this moment and has its judge with it.
    ///
    /// # Errors
    /// There is no certificate, or none that OpenSSL can use.
    pub(crate) fn connection(&self) -> Result<Ssl, ContextError> {
        let credentials = self.source.current().ok_or(ContextError::NoCredentials)?;
        // Whatever other users of OpenSSL left behind on this thread is not about this connection.
        ffi::forget_errors();
        let mut ssl = {
            let context = self.context(credentials)?;
            Ssl::new(&context)?
        };
        if let Some(clients) = self.clients.clone() {
            attach(&mut ssl, Box::new(move |presented| clients.judge(presented).map(Some).map_err(Refusal::Chain)))?;
        }
        Ok(ssl)
    }

    /// What is presented.
    pub(crate) fn source(&self) -> Arc<dyn CertificateSource> {
        Arc::clone(&self.source)
    }

    /// Whether a connection that was made a while ago presents the certificate of this moment.
    pub(crate) fn is_current(&self, ssl: &SslRef) -> bool {
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.source.current();
        built.as_ref().zip(current).is_some_and(|((with, context), current)| {
            Arc::ptr_eq(with, &current) && ptr::eq::<SslContextRef>(&**context, ssl.ssl_context())
        })
    }

    fn context(&self, credentials: Arc<Credentials>) -> Result<SslContext, ContextError> {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((with, context)) = &*built
            && Arc::ptr_eq(with, &credentials)
        {
            return Ok(context.clone());
        }
        let context = self.build(&credentials)?;
        *built = Some((credentials, context.clone()));
        Ok(context)
    }

    fn build(&self, credentials: &Credentials) -> Result<SslContext, ContextError> {
        let (method, oldest) = match self.transport {
            Transport::Stream => (SslMethod::tls_server(), SslVersion::TLS1_2),
            Transport::Datagrams => (SslMethod::dtls_server(), SslVersion::DTLS1_2),
        };
        let mut builder = ffi::context(method)?;
        common(&mut builder, oldest)?;
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
        builder.set_cipher_list(CIPHERS)?;
        builder.set_session_id_context(&self.id)?;
        let (key, signature) = key(credentials)?;
        present(&mut builder, credentials, &key)?;
        builder.set_sigalgs_list(signature)?;
        ffi::set_client_signature_algorithms(&mut builder, PEER_SIGNATURES)?;
        if self.clients.is_some() {
            // With no names of CAs: they would tell who our customers are.
            builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            judge_here(&mut builder);
        }
        if !self.alpn.is_empty() {
            let ours = self.alpn.clone();
            builder.set_alpn_select_callback(move |_, theirs| ffi::contain(|| select(&ours, theirs)).flatten().ok_or(AlpnError::NOACK));
        }
        if let Some(adjust) = &self.adjust {
            adjust(&mut builder)?;
        }
        Ok(builder.build())
    }
}

impl fmt::Debug for ServerContexts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ServerContexts({:?}, {:?})", self.transport, self.source)
    }
}

/// `SSL_OP_NO_RX_CERTIFICATE_COMPRESSION` of OpenSSL 3.2 and later: chains come as they are, or they would not be seen.
const NO_COMPRESSED_CHAINS: u64 = 1 << 33;

/// What servers and clients have in common.
pub(super) fn common(builder: &mut SslContextBuilder, oldest: SslVersion) -> Result<(), ErrorStack> {
    builder.set_min_proto_version(Some(oldest))?;
    builder.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION | SslOptions::NO_TICKET);
    builder.set_options(SslOptions::from_bits_retain(NO_COMPRESSED_CHAINS));
    builder.set_mode(SslMode::RELEASE_BUFFERS | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::ENABLE_PARTIAL_WRITE);
    // A resumed session is judged by nobody: over TLS there is none, and DTLS has rules of its own for it.
    builder.set_num_tickets(0)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_groups_list(GROUPS)?;
    builder.set_ciphersuites(CIPHERS_13)?;
    ffi::set_max_record(builder, crate::MAX_RECORD)?;
    ffi::set_max_chain(builder, MAX_CHAIN_MESSAGE);
    Ok(())
}

/// Presents a chain with its key, and nothing that OpenSSL would look for itself.
pub(super) fn present(builder: &mut SslContextBuilder, credentials: &Credentials, key: &PKey<Private>) -> Result<(), ErrorStack> {
    builder.set_mode(SslMode::NO_AUTO_CHAIN);
    for (at, der) in credentials.chain().enumerate() {
        let certificate = ffi::certificate(der)?;
        if at == 0 {
            builder.set_certificate(&certificate)?;
        } else {
            builder.add_extra_chain_cert(certificate)?;
        }
    }
    builder.set_private_key(key)
}

/// The key of the chain as OpenSSL can use it, and the one signature that it makes. It signs where it is kept.
pub(super) fn key(credentials: &Credentials) -> Result<(PKey<Private>, &'static str), ContextError> {
    let key = Arc::clone(&credentials.certified().key);
    let spki = key.public_key().ok_or(ContextError::Key)?;
    let public = PublicKey::from_spki_der(&spki).map_err(|_| ContextError::Key)?;
    let (curve, scheme, name, width) = match public.algorithm() {
        KeyAlgorithm::P256 => (Curve::P256, SignatureScheme::ECDSA_NISTP256_SHA256, "ECDSA+SHA256", 65),
        KeyAlgorithm::P384 => (Curve::P384, SignatureScheme::ECDSA_NISTP384_SHA384, "ECDSA+SHA384", 97),
        _ => return Err(ContextError::Key),
    };
    // The uncompressed point, which `pki` has checked, is the last thing in there.
    let point = spki.len().checked_sub(width).and_then(|start| spki.get(start..)).ok_or(ContextError::Key)?.to_vec();
    drop(spki);
    let sign = move |message: &[u8]| key.choose_scheme(&[scheme])?.sign(message).ok();
    Ok((ffi::signing_key(curve, &point, Arc::new(sign))?, name))
}

/// RFC 7301 §3.1: the first of ours that is among theirs, each of which stands behind its length.
fn select<'a>(ours: &[Vec<u8>], theirs: &'a [u8]) -> Option<&'a [u8]> {
    let names = || {
        let mut rest = theirs;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(name)
        })
    };
    ours.iter().find_map(|wanted| names().find(|name| name == wanted))
}
