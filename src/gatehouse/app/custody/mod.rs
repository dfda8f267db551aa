//! Custody in the running program: the keyring and the authority opened, what they publish, the certificates that they
//! give to listeners, and what the command line asks of them.
//!
//! The same [`Order`]s are carried out by the server, over the control socket, and by a command that opened the store
//! itself because no server runs.

pub(crate) mod crl_base;
mod issued;
mod orders;
mod publish;
mod tokens;

pub use issued::{IssuedCertificates, IssuedError};
pub use orders::{
    Algorithm, Answer, CertificateInfo, FactsGiven, KeyRotation, NewAuthority, Order, RecordInfo, SeatName, StatusInfo, perform,
};
pub(super) use publish::Published;
pub use tokens::TokenConfig;

use super::{Config, ListenerConfig};
use gatehouse_base::{Fault, Kind, SystemClock, SystemRandom};
use gatehouse_ca::{
    Authority, Keyring, KeyringError, Settings, StateError, StretchCost,
    unlock::{Unlock, UnlockError},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_pki::Host;
use gatehouse_store::Store;
use std::{collections::BTreeMap, sync::Arc};

/// Custody could not be opened, so nothing starts.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The key-encryption key is not to be had.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The keyring does not open.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The authority's state cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Opens the keyring and the authority over it. An empty store gets a keyring, opened by the configured key from now
/// on.
///
/// # Errors
/// The key is missing or another one, or the store cannot be read.
pub async fn open(config: &Config, store: &Store) -> Result<Authority, CustodyError> {
    let unlock = config.key_encryption.source.load()?;
    open_with(config, store, &unlock).await
}

async fn open_with(config: &Config, store: &Store, unlock: &Unlock) -> Result<Authority, CustodyError> {
    let random = Arc::new(SystemRandom);
    let keyring = match Keyring::open(store.clone(), unlock, random.clone()).await {
        // Only where nothing was ever signed: a lost lock is damage, and a new one would bury it.
        Err(KeyringError::Missing) if Authority::is_untouched(store).await? => {
            Keyring::create(store.clone(), unlock, StretchCost::DEFAULT, random.clone()).await?
        }
        opened => opened?,
    };
    let keyring = match &config.tokens {
        Some(tokens) => keyring.with_tokens(Arc::new(tokens::Module::new(tokens.clone()))),
        None => keyring,
    };
    let events = Events::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(keyring.clone()), random.clone());
    Ok(Authority::open(events, keyring, Arc::new(SystemClock), random, config.authority.settings(config)).await?)
}

/// The section `[authority]`.
#[derive(Clone, Debug)]
pub struct AuthorityConfig {
    settings: Settings,
    publish_at: Option<String>,
}

impl AuthorityConfig {
    /// The settings, with the place of revocation lists worked out.
    fn settings(&self, config: &Config) -> Settings {
        Settings { crl_base: Some(self.crl_base(&config.external_address, &config.listeners)), ..self.settings.clone() }
    }

    /// Where certificates say that revocation lists are.
    pub(crate) fn crl_base(&self, host: &Host, listeners: &BTreeMap<String, ListenerConfig>) -> String {
        self.publish_at.clone().unwrap_or_else(|| crl_base::default(host, listeners))
    }

    /// Why none of our listeners answers there, if one should.
    pub(crate) fn unanswered(&self, host: &Host, listeners: &BTreeMap<String, ListenerConfig>) -> Option<String> {
        crl_base::unanswered(&self.crl_base(host, listeners), host, listeners)
    }
}

impl gatehouse_base::config::Configure for AuthorityConfig {
    fn read(from: &mut gatehouse_base::config::Section<'_>) -> Option<Self> {
        use std::time::Duration;
        const HOUR: Duration = Duration::from_secs(3600);
        let defaults = Settings::default();
        let grace = from.within("grace", defaults.grace, Duration::ZERO..=HOUR * 24 * 365);
        let crl_lifetime = from.within("crl_lifetime", defaults.crl_lifetime, HOUR..=HOUR * 24 * 30);
        let mut clock = defaults.clock;
        clock.jump = from.within("clock_jump", clock.jump, Duration::from_secs(10)..=HOUR);
        clock.behind = from.within("clock_behind", clock.behind, Duration::ZERO..=Duration::from_secs(60));
        Some(Self { settings: Settings { grace, crl_lifetime, clock, crl_base: None }, publish_at: from.optional("crl_base") })
    }
}

impl Fault for CustodyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unlock(_) => Kind::Forbidden,
            Self::Keyring(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unlock(_) => "key-encryption-key",
            Self::Keyring(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}
