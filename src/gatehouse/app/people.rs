//! Accounts in the running program: opened over the same log as the authority, and what `gatehouse admin` asks of them.
//!
//! The same [`Order`]s are carried out by the server, over the control socket, and by a command that opened the store
//! itself because no server runs: whoever may read the data directory can always let somebody in again.

use super::{
    Config, ListenerConfig, Role,
    control::{Refusal, Request},
};
use gatehouse_accounts::{Accounts, Email, NewPassword, NewPerson, PersonInfo};
use gatehouse_base::{SystemClock, SystemRandom, with_causes};
use gatehouse_ca::Authority;
use gatehouse_mail::Outbox;
use gatehouse_net::Shutdown;
use gatehouse_openid::Directory;
use gatehouse_outgoing::Outgoing;
use gatehouse_types::Secret;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// How often keys are looked after.
const UPKEEP: Duration = Duration::from_secs(600);

/// The most people that one answer lists.
const LIST_MAX: usize = 10_000;

/// Something that the machine's own operator wants of the accounts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Give somebody an account.
    Add {
        /// The address to sign in with.
        email: Email,
        /// What to call them; the address when nothing is given.
        name: Option<String>,
        /// The password.
        password: String,
        /// Whether they run this installation.
        operator: bool,
    },
    /// Everybody who has one.
    List,
    /// Set a new password and take the second factor off.
    Reset {
        /// Whose.
        email: Email,
        /// The new password.
        password: String,
    },
}

impl Request for Order {
    const NAME: &'static str = "admin";
    type Answer = Vec<PersonInfo>;
}

/// Opens the accounts in the authority's store. Their secrets are sealed by the authority's keyring.
pub fn open(config: &Config, authority: &Authority, outbox: Option<Outbox>, outgoing: Option<Outgoing>) -> Accounts {
    let (issuer, certified_address) = (issuer(config), certified_address(config));
    let settings = gatehouse_accounts::Config { issuer, certified_address, ..config.accounts.clone() };
    let (events, keyring) = (authority.events().clone(), authority.keyring().clone());
    let directory = outgoing.map(|outgoing| Directory::new(outgoing, Arc::new(SystemClock), config.accounts.providers.clone()));
    let accounts = Accounts::new(events, keyring, Arc::new(SystemClock), Arc::new(SystemRandom), settings);
    accounts.with_mail(outbox).with_directory(directory).with_authority(authority.clone())
}

/// How tokens name this installation.
fn issuer(config: &Config) -> Option<String> {
    let at = |which: fn(&ListenerConfig) -> bool| address_of(config, which);
    config.accounts.issuer.clone().or_else(|| at(|listener| listener.clients.is_none())).or_else(|| at(|_| true))
}

/// Where programs are asked for a certificate.
fn certified_address(config: &Config) -> Option<String> {
    config.accounts.certified_address.clone().or_else(|| address_of(config, |listener| listener.clients.is_some()))
}

/// The address of the first listener for people and programs of which this holds. A port that the system chooses is no address that anybody
/// could keep.
fn address_of(config: &Config, which: impl Fn(&ListenerConfig) -> bool) -> Option<String> {
    let mut listeners = config.listeners.values().filter(|listener| listener.role == Role::Https && which(listener));
    let port = listeners.next()?.address.port();
    (port != 0).then(|| format!("https://{}:{port}", config.external_address))
}

/// Makes the next signing key in time and forgets what has ended, until the server stops.
pub(super) async fn upkeep(accounts: Accounts, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.stopped() => return,
        }
        if let Err(error) = accounts.signing_keys().upkeep().await {
            tracing::error!(cause = with_causes(&error), "the keys of tokens were not looked after; this is tried again");
        }
        if let Err(error) = accounts.forget_ended().await {
            tracing::error!(cause = with_causes(&error), "what has ended was not forgotten; this is tried again");
        }
    }
}

/// Carries an order out.
///
/// # Errors
/// Whatever the accounts refuse, in their words.
pub async fn perform(accounts: &Accounts, order: Order) -> Result<Vec<PersonInfo>, Refusal> {
    match order {
        Order::Add { email, name, password, operator } => {
            let name = name.unwrap_or_else(|| email.to_string());
            let password = NewPassword::new(Secret::from(password))?;
            Ok(vec![accounts.add_person(NewPerson { email, name, password, operator }).await?])
        }
        Order::List => Ok(accounts.people(None, LIST_MAX).await?),
        Order::Reset { email, password } => Ok(vec![accounts.reset(&email, &NewPassword::new(Secret::from(password))?).await?]),
    }
}
