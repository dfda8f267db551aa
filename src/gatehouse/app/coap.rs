//! What CoAP listeners serve, and what they share.

use super::{Config, custody};
use gatehouse_base::{SystemClock, SystemRandom};
use gatehouse_ca::Authority;
use gatehouse_coap::{Common, Framing, Routes, Server, Traces, discovery, health, publications, time};
use gatehouse_http::Readiness;
use gatehouse_net::Shutdown;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// How often is looked whether the server should be sent work. Who observes that is told so much later.
const LOOK: Duration = Duration::from_secs(1);

/// Makes the servers of all CoAP listeners.
pub(super) struct Door {
    config: gatehouse_coap::Config,
    routes: Routes,
    common: Common,
    ready: watch::Sender<bool>,
}

impl Door {
    pub(super) fn new(config: &Config, authority: &Authority, traces: Arc<Traces>) -> Self {
        let (ready, is_ready) = watch::channel(true);
        let published = publications(Arc::new(custody::Published(authority.clone())));
        let routes = discovery(time(Arc::new(SystemClock)).and(health(is_ready)).and(published));
        Self { config: config.coap.clone(), routes, common: Common::new(&config.coap, traces), ready }
    }

    /// A server for one listener.
    pub(super) fn server(&self, framing: Framing) -> Arc<Server> {
        Arc::new(Server::new(self.routes.clone(), framing, self.config.clone(), &self.common, Arc::new(SystemRandom)))
    }

    /// Looks after what observers of our health are told, until everything ends.
    pub(super) fn health(&self, readiness: Arc<dyn Readiness>, shutdown: Shutdown) -> impl Future<Output = ()> + Send + 'static {
        let ready = self.ready.clone();
        async move {
            let mut ticks = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = shutdown.stopped() => return,
                }
                let now = readiness.checks().values().all(Result::is_ok);
                ready.send_if_modified(|before| std::mem::replace(before, now) != now);
            }
        }
    }
}
