//! Listener certificates that our own service authority issues.

use gatehouse_base::{Fault, Kind};
use gatehouse_ca::{Authority, IssueError, ListenerCertificate, Presented};
use gatehouse_net::{CertificateSource, Credentials, CredentialsError, Shutdown};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::Notify;

/// How often the authority is asked whether a newer certificate is due.
const LOOK: Duration = Duration::from_secs(60);

/// A listener's certificate from our own authority, renewed while the listener runs.
pub struct IssuedCertificates {
    authority: Authority,
    wanted: ListenerCertificate,
    current: RwLock<(Vec<u8>, Arc<Credentials>)>,
    asked: Notify,
}

/// No certificate for a listener.
#[derive(Debug, thiserror::Error)]
pub enum IssuedError {
    /// The authority gives none.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The TLS engine does not take it.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl Fault for IssuedError {
    fn kind(&self) -> Kind {
        match self {
            Self::Issue(error) => error.kind(),
            Self::Credentials(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Issue(error) => error.code(),
            Self::Credentials(error) => error.code(),
        }
    }
}

impl IssuedCertificates {
    /// Gets the first certificate.
    ///
    /// # Errors
    /// The authority gives none.
    pub async fn open(authority: Authority, wanted: ListenerCertificate) -> Result<Self, IssuedError> {
        let first = present(&authority.listener_certificate(&wanted).await?)?;
        Ok(Self { authority, wanted, current: RwLock::new(first), asked: Notify::new() })
    }

    /// Asks the authority at intervals, and shows what is newer from the next handshake on. Returns when draining begins.
    pub async fn watch(&self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.asked.notified() => {}
                () = shutdown.draining() => return,
            }
            if let Err(error) = self.look().await {
                tracing::error!(listener = self.wanted.listener, %error, "no newer certificate; the present one is shown on");
            }
        }
    }

    /// Lets [`Self::watch`] ask now: the authority was told to do something, or somebody wants everything read again.
    pub fn wake(&self) {
        self.asked.notify_one();
    }

    /// Asks the authority once. Answers whether another certificate is shown from now on.
    ///
    /// # Errors
    /// The authority gives none; the present one is shown on.
    pub async fn look(&self) -> Result<bool, IssuedError> {
        let (serial, credentials) = present(&self.authority.listener_certificate(&self.wanted).await?)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.0 == serial {
            return Ok(false);
        }
        *current = (serial, credentials);
        tracing::info!(listener = self.wanted.listener, "the certificate was renewed, new handshakes use it");
        Ok(true)
    }
}

fn present(presented: &Presented) -> Result<(Vec<u8>, Arc<Credentials>), CredentialsError> {
    let chain = presented.chain.iter().map(|certificate| certificate.der().to_vec()).collect();
    let credentials = Credentials::from_signer(chain, presented.signer.clone())?;
    let serial = presented.chain.first().map(|own| own.serial().as_bytes().to_vec()).unwrap_or_default();
    Ok((serial, Arc::new(credentials)))
}

impl CertificateSource for IssuedCertificates {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1))
    }
}

impl fmt::Debug for IssuedCertificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("IssuedCertificates").field(&self.wanted).finish()
    }
}
