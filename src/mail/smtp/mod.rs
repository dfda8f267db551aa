//! Handing letters to a mail server (RFC 5321, submission by RFC 6409).
//!
//! Letters that wait together go over one connection, so many of them at most, encrypted before anything that matters is said, unless the
//! server is on this machine or the danger was named. When none waits any more the connection is ended ([`Carrier::rest`]). Who is to blame for a refusal depends on where it comes: a wrong password or sender is ours and no letter's, a recipient
//! that does not exist is that letter's for good, and 4xx is for now (greylisting is that).

mod config;
mod conversation;
mod preface;
mod wire;

pub use config::{Config, Security};

use crate::carrier::{Blame, Carried, Carrier, Envelope, NotCarried, Resting};
use conversation::{Conversation, Said};
use gatehouse_types::Secret;
use lettre::transport::smtp::{Error as SmtpError, extension::ClientId, response::Severity};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_rustls::TlsConnector;

/// A mail server.
pub struct Smtp {
    config: Config,
    /// How we introduce ourselves.
    name: ClientId,
    tls: TlsConnector,
    /// The connection over which the next letter goes. Whoever carries one has it in hand: one that was given up half-way is never here.
    open: Mutex<Option<Conversation>>,
}

/// A mail server cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SmtpSetupError {
    /// The file with its authorities.
    #[error("the authorities in {path} cannot be used: {reason}")]
    Anchors {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// This system trusts nobody.
    #[error("this system has no list of authorities; install ca-certificates, or name a file in [mail.smtp] anchors: {reason}")]
    NoAnchors {
        /// What was looked for.
        reason: String,
    },
    /// The TLS library.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

impl Smtp {
    /// The server of this configuration. It is not asked yet. The name is how we introduce ourselves: this installation's address.
    ///
    /// # Errors
    /// The authorities that it is held against cannot be read.
    pub fn new(config: Config, name: &str) -> Result<Self, SmtpSetupError> {
        let mut roots = RootCertStore::empty();
        if config.security != Security::Plain {
            anchors(&config, &mut roots)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let name = match name.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(std::net::IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(name.to_owned()),
        };
        Ok(Self { config, name, tls: TlsConnector::from(Arc::new(tls)), open: Mutex::default() })
    }

    async fn submit(&self, envelope: &Envelope, letter: &Secret) -> Result<(), NotCarried> {
        let open = self.open().take();
        if let Some(open) = open {
            if open.letters() < self.config.letters {
                match self.over(open, envelope, letter).await {
                    Said::Taken => return Ok(()),
                    Said::Refused(why) => return Err(why),
                    Said::NotHere(why) => tracing::debug!(text = why.text, "a connection to the mail server was used up"),
                }
            } else {
                open.end().await;
            }
        }
        let fresh = Conversation::begin(&self.config, &self.tls, &self.name).await?;
        match self.over(fresh, envelope, letter).await {
            Said::Taken => Ok(()),
            Said::Refused(why) | Said::NotHere(why) => Err(why),
        }
    }

    async fn over(&self, conversation: Conversation, envelope: &Envelope, letter: &Secret) -> Said {
        let (said, left) = conversation.carry(self.config.timeout, envelope, letter).await;
        *self.open() = left;
        said
    }

    async fn end(&self) {
        let open = self.open().take();
        if let Some(open) = open {
            open.end().await;
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<Conversation>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carrier for Smtp {
    fn carry<'a>(&'a self, envelope: &'a Envelope, letter: &'a Secret) -> Carried<'a> {
        Box::pin(self.submit(envelope, letter))
    }

    fn rest(&self) -> Resting<'_> {
        Box::pin(self.end())
    }
}

/// Where in the conversation a refusal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Authentication,
    Sender,
    Letter,
    /// From here on the server may have the letter, whatever we hear.
    Content,
}

fn told(error: &SmtpError, stage: Stage) -> NotCarried {
    let text = error.to_string();
    let Some(code) = error.status() else {
        // A reply that is none, or a connection that broke.
        let reason = if error.is_response() || error.is_client() { "protocol" } else { "connection" };
        return NotCarried::new(Blame::Server, reason, text);
    };
    let permanent = code.severity == Severity::PermanentNegativeCompletion;
    // RFC 5321 §3.8: the server is about to close, whatever was asked.
    let closing = u16::from(code) == 421;
    match stage {
        Stage::Authentication => NotCarried::new(Blame::Server, "authentication", text),
        Stage::Greeting => NotCarried::new(Blame::Server, "connection", text),
        // Nobody's letter is lost because our own address or quota is refused.
        Stage::Sender if permanent => NotCarried::new(Blame::Server, "sender", text),
        Stage::Letter | Stage::Content if permanent => NotCarried::new(Blame::Letter, "refusal", text),
        Stage::Sender | Stage::Letter | Stage::Content if closing => NotCarried::new(Blame::Server, "connection", text),
        Stage::Sender | Stage::Letter | Stage::Content => NotCarried::new(Blame::Moment, "postponed", text),
    }
}

fn too_slow(what: &str) -> NotCarried {
    NotCarried::new(Blame::Server, "timeout", format!("the mail server took too long {what}"))
}

fn anchors(config: &Config, roots: &mut RootCertStore) -> Result<(), SmtpSetupError> {
    if let Some(path) = &config.anchors {
        let unusable = |reason: String| SmtpSetupError::Anchors { path: path.display().to_string(), reason };
        let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?.collect();
        for certificate in all.map_err(|error| unusable(error.to_string()))? {
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        return if roots.is_empty() { Err(unusable("there is no certificate in it".to_owned())) } else { Ok(()) };
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map_or_else(|| "nothing was found".to_owned(), ToString::to_string);
        return Err(SmtpSetupError::NoAnchors { reason });
    }
    Ok(())
}

impl fmt::Debug for Smtp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Smtp").field("host", &self.config.host).finish_non_exhaustive()
    }
}
