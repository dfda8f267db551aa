//! Which servers our own clients talk to.

use gatehouse_base::Clock;
use gatehouse_pki::{Anchors, Fingerprint, Policy, Purpose, Rejection, VerifiedChain};
use gatehouse_types::Secret;
use std::{fmt, sync::Arc};

/// Why what a peer presented was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its chain breaks a rule.
    #[error(transparent)]
    Chain(#[from] Rejection),
    /// Its own certificate is not the expected one.
    #[error("the server's certificate does not have the expected fingerprint")]
    NotPinned,
    /// Nothing that it could present is believed: only a shared key is.
    #[error("a certificate was presented where only a shared key is believed")]
    NotTrusted,
}

/// What a server has to present.
#[derive(Clone)]
pub struct ServerTrust {
    believed: Believed,
    shown_to: Option<Arc<Onlooker>>,
}

/// Sees what a server presents.
type Onlooker = dyn Fn(&[&[u8]]) + Send + Sync;

#[derive(Clone)]
enum Believed {
    Anchors { anchors: Arc<Anchors>, policy: Policy, clock: Arc<dyn Clock> },
    Fingerprint(Fingerprint),
    Anything,
    Nothing,
}

impl ServerTrust {
    /// A chain that leads to one of these anchors. Whose name it has remains for the caller to compare.
    pub fn anchors(anchors: Arc<Anchors>, clock: Arc<dyn Clock>) -> Self {
        Self::only(Believed::Anchors { anchors, policy: Policy::new(Purpose::Server), clock })
    }

    /// A server whose own certificate, the first of its chain, has this fingerprint (SHA-256 over its DER); nothing else is asked
    /// of it. Another certificate of the chain does not count: the handshake proves the first one's key only.
    pub fn fingerprint(certificate: Fingerprint) -> Self {
        Self::only(Believed::Fingerprint(certificate))
    }

    /// Whatever the server presents: whoever sits between can read and change everything. For a bench with a device whose
    /// certificate nobody has.
    pub fn danger_anything() -> Self {
        Self::only(Believed::Anything)
    }

    /// No certificate: for peers that share a key.
    pub fn nothing() -> Self {
        Self::only(Believed::Nothing)
    }

    fn only(believed: Believed) -> Self {
        Self { believed, shown_to: None }
    }

    /// The same, and shows what a server presents, its own certificate first, before that is judged. Called inside the handshake.
    #[must_use]
    pub fn shown_to(self, onlooker: impl Fn(&[&[u8]]) + Send + Sync + 'static) -> Self {
        Self { shown_to: Some(Arc::new(onlooker)), ..self }
    }

    pub(crate) fn judge(&self, presented: &[&[u8]]) -> Result<Option<VerifiedChain>, Refusal> {
        if let Some(show) = &self.shown_to {
            show(presented);
        }
        match &self.believed {
            Believed::Anchors { anchors, policy, clock } => Ok(Some(anchors.verify(presented, policy, clock.now())?)),
            Believed::Fingerprint(pinned) => match presented.first() {
                Some(own) if Fingerprint::of(own) == *pinned => Ok(None),
                _ => Err(Refusal::NotPinned),
            },
            Believed::Anything => Ok(None),
            Believed::Nothing => Err(Refusal::NotTrusted),
        }
    }
}

impl fmt::Debug for ServerTrust {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.believed {
            Believed::Anchors { anchors, .. } => write!(out, "ServerTrust({anchors:?})"),
            Believed::Fingerprint(pinned) => write!(out, "ServerTrust({pinned})"),
            Believed::Anything => out.write_str("ServerTrust(anything)"),
            Believed::Nothing => out.write_str("ServerTrust(nothing)"),
        }
    }
}

/// A key that both ends know (RFC 4279), with the name under which the other end knows it.
#[derive(Clone)]
pub struct PresharedKey {
    pub(crate) identity: Vec<u8>,
    pub(crate) key: Arc<Secret>,
}

/// The longest identity and key that OpenSSL takes.
const MAX_IDENTITY: usize = 128;
const MAX_KEY: usize = 64;

impl PresharedKey {
    /// `None` where the identity is longer than 128 bytes or has a zero byte, or the key is empty or longer than 64 bytes.
    pub fn new(identity: &[u8], key: Secret) -> Option<Self> {
        let fits = identity.len() <= MAX_IDENTITY && !identity.contains(&0) && (1..=MAX_KEY).contains(&key.len());
        fits.then(|| Self { identity: identity.to_vec(), key: Arc::new(key) })
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PresharedKey({:?})", String::from_utf8_lossy(&self.identity))
    }
}
