//! What is served over HTTP: the routes of all parts, composed for each role of a listener, and their document.
//!
//! [`routes_of_nothing`] makes the same routes over nothing at all, so that the command line can print the document without an
//! installation and a test can go through the whole table.

use super::Role;
use gatehouse_accounts::Accounts;
use gatehouse_base::{Fault, Fetch, Publications, SystemClock, SystemRandom};
use gatehouse_ca::{
    Keyring, KeyringError, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_http::{About, Document, Readiness, Routes, document, health, metrics, publications, serve_document};
use gatehouse_store::Store;
use std::{collections::BTreeMap, sync::Arc};

const DESCRIPTION: &str = "\
One program in which devices prove who they are, get an identity and find their cloud.

People sign in and get a session in a cookie; programs show API tokens or access tokens. Whoever belongs to several organisations \
names one in the header `gatehouse-organisation`. Times are milliseconds since 1970. Errors are problem details (RFC 9457) with a `code` for programs; \
the list of codes of a route may grow.";

/// The parts that have routes.
pub(super) struct Parts {
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) publications: Arc<dyn Publications>,
    pub(super) accounts: Accounts,
    pub(super) metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// What a role serves over HTTP, if it does.
pub(super) fn routes(role: Role, parts: &Parts) -> Option<Routes> {
    let health = health(Arc::clone(&parts.readiness));
    let published = || publications(Arc::clone(&parts.publications));
    match role {
        Role::Https => Some(serve_document(health.and(published()).and(gatehouse_accounts::routes(&parts.accounts)), &about())),
        Role::Http => Some(health.and(published())),
        Role::Metrics => Some(health.and(metrics(Arc::clone(&parts.metrics)))),
        Role::Coap | Role::CoapTcp | Role::Coaps | Role::CoapsTcp => None,
    }
}

/// The document of what a role serves over HTTP, if it does.
///
/// # Errors
/// An empty store cannot be made in memory.
pub async fn document_of(role: Role) -> Result<Option<Document>, NothingError> {
    Ok(routes_of_nothing(role).await?.map(|routes| document(&routes, &about())))
}

/// The routes of a role, over an installation that holds nothing and is gone when they are dropped.
///
/// # Errors
/// An empty store cannot be made in memory.
pub async fn routes_of_nothing(role: Role) -> Result<Option<Routes>, NothingError> {
    let store = Store::memory()?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let unlock = Unlock::Key(Key::generate(&SystemRandom));
    let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, random.clone()).await?;
    let events = Events::new(store, Arc::new(LocalBus::default()), Arc::new(keyring.clone()), random.clone());
    let accounts = Accounts::new(events, keyring, clock, random, gatehouse_accounts::Config::default());
    let parts = Parts { readiness: Arc::new(Nothing), publications: Arc::new(Nothing), accounts, metrics: Arc::new(String::new) };
    Ok(routes(role, &parts))
}

/// The document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NothingError {
    /// No store in memory.
    #[error(transparent)]
    Store(#[from] gatehouse_store::OpenError),
    /// No keyring in it.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}

fn about() -> About {
    About {
        title: "Gatehouse",
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
        schemes: gatehouse_accounts::security_schemes(),
        authentication: gatehouse_accounts::AUTHENTICATION,
    }
}

/// An installation that has nothing and publishes nothing.
struct Nothing;

impl Readiness for Nothing {
    fn checks(&self) -> BTreeMap<&'static str, Result<(), String>> {
        BTreeMap::new()
    }
}

fn none<T: Default + Send + 'static>() -> Fetch<T> {
    Box::pin(std::future::ready(Ok::<_, Box<dyn Fault + Send + Sync>>(T::default())))
}

impl Publications for Nothing {
    fn authorities(&self) -> Fetch<Vec<String>> {
        none()
    }

    fn certificate(&self, _authority: String) -> Fetch<Option<Vec<u8>>> {
        none()
    }

    fn chain(&self, _authority: String) -> Fetch<Option<String>> {
        none()
    }

    fn revocations(&self, _authority: String) -> Fetch<Option<Vec<u8>>> {
        none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_route_is_told_without_a_mistake() {
        for role in [Role::Https, Role::Http, Role::Metrics] {
            let document = document_of(role).await.expect("made").expect("a role of HTTP");
            assert_eq!(document.mistakes, Vec::<String>::new(), "{}", role.name());
        }
    }
}
