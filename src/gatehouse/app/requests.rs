//! What the running server itself can be asked over the control socket.

use super::{
    Reloader, Role,
    control::{Handlers, Refusal, Request},
    store_work,
};
use gatehouse_base::{
    Clock, Kind, SystemClock,
    telemetry::{Filter, Telemetry},
};
use gatehouse_http::Readiness;
use gatehouse_net::{Gate, Shutdown};
use gatehouse_store::Store;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// How is the server?
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {}

/// How the server is.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusReport {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// For how many seconds it has been serving.
    pub uptime_seconds: u64,
    /// Whether it accepts nothing new any more.
    pub draining: bool,
    /// The parts that have to work, with what is wrong with each that does not.
    pub checks: BTreeMap<String, Option<String>>,
    /// Connections that are open.
    pub connections: usize,
    /// What is logged.
    pub log_level: String,
    /// Address and role of each listener.
    pub listeners: BTreeMap<String, ListenerReport>,
}

/// Where a listener listens.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListenerReport {
    /// The address.
    pub address: SocketAddr,
    /// What it serves.
    pub role: String,
}

impl StatusReport {
    /// Whether the server should be sent work: the same answer as `/ready` gives.
    pub fn is_ready(&self) -> bool {
        self.checks.values().all(Option::is_none)
    }
}

impl Request for Status {
    const NAME: &'static str = "status";
    type Answer = StatusReport;
}

/// What is logged, or log this from now on.
#[derive(Debug, Serialize, Deserialize)]
pub struct LogLevel {
    /// The new level; without one, only the present one is answered.
    pub level: Option<String>,
}

impl Request for LogLevel {
    const NAME: &'static str = "log-level";
    type Answer = String;
}

/// Read certificates and the log level again. Answers with what could not be read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reload {}

impl Request for Reload {
    const NAME: &'static str = "reload";
    type Answer = Vec<String>;
}

/// Stop. Answers with the process's id, to be waited for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stop {
    /// Without finishing what was accepted.
    pub now: bool,
}

impl Request for Stop {
    const NAME: &'static str = "stop";
    type Answer = u32;
}

/// What the control socket orders the server's main loop to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Drain,
    StopNow,
}

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) started: Duration,
    pub(super) addresses: BTreeMap<String, (SocketAddr, Role)>,
    pub(super) gate: Arc<Gate>,
    pub(super) telemetry: &'static Telemetry,
    pub(super) reloader: Arc<Reloader>,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) shutdown: Shutdown,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) store: Store,
}

pub(super) fn handlers(server: Server) -> Handlers {
    let (telemetry, orders, reloader) = (server.telemetry, server.orders.clone(), Arc::clone(&server.reloader));
    let work = store_work::Worker::new(server.store.clone());
    let handlers = Handlers::new()
        .on(move |Status {}| std::future::ready(Ok(server.report())))
        .on(move |request: LogLevel| std::future::ready(set_level(telemetry, request)))
        .on(move |Reload {}| std::future::ready(Ok(reloader.reload())))
        .on(move |Stop { now }| {
            let order = if now { Order::StopNow } else { Order::Drain };
            // A full queue holds the same order already.
            let _ = orders.try_send(order);
            std::future::ready(Ok(std::process::id()))
        });
    work.answer(handlers)
}

impl Server {
    fn report(&self) -> StatusReport {
        let listeners = self
            .addresses
            .iter()
            .map(|(name, (address, role))| (name.clone(), ListenerReport { address: *address, role: role.name().to_owned() }));
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: SystemClock.elapsed().saturating_sub(self.started).as_secs(),
            draining: self.shutdown.is_draining(),
            checks: self.readiness.checks().into_iter().map(|(name, result)| (name.to_owned(), result.err())).collect(),
            connections: self.gate.connections(),
            log_level: self.telemetry.level().to_string(),
            listeners: listeners.collect(),
        }
    }
}

fn set_level(telemetry: &Telemetry, request: LogLevel) -> Result<String, Refusal> {
    if let Some(level) = request.level {
        let filter: Filter = level.parse().map_err(|error| Refusal::new(Kind::Invalid, "log-level", format!("{error}")))?;
        telemetry.set_level(&filter);
        tracing::info!(level = %filter, "log level changed");
    }
    Ok(telemetry.level().to_string())
}
