//! The server, assembled in one place.
//!
//! [`App::build`] opens the store and binds every socket; when it returns, nothing serves yet and nothing can fail for
//! want of a port or a file any more. [`App::run`] starts the tasks, each named and waited for. [`Running::serve`] goes on
//! until a signal or the control socket says to stop: then nothing new is accepted, what was accepted is finished within
//! the grace period, and a second signal ends the waiting. Tests and the command line enter by the same door.

pub mod api;
pub mod backup;
mod checkpoints;
mod coap;
mod config;
pub mod control;
pub mod custody;
mod listen;
pub mod mail;
mod metrics;
mod notify;
pub mod organisations;
pub mod people;
pub mod programs;
pub mod providers;
mod requests;
mod retention;
mod signals;
pub mod store_work;
mod tasks;

pub(crate) use checkpoints::public_key_file;
pub use config::{Config, KeyEncryption};
pub use custody::CustodyError;
pub use listen::{CertificateFiles, ClientFiles, Config as ListenerConfig, ListenError, Role};
pub use metrics::METRICS;
pub use requests::{LogLevel, Reload, Status, StatusReport, Stop, TraceEnd, TraceLines, TracePeer, TraceRead};
pub use retention::{Config as RetentionConfig, METRICS as RETENTION_METRICS};
pub use signals::{Signal, Signals};
pub use tasks::TaskFailed;

use control::{ControlError, ControlSocket};
use gatehouse_base::{Clock, Fault, Kind, SystemClock, SystemRandom, telemetry::Telemetry};
use gatehouse_ca::Authority;
use gatehouse_http::{Limits, Readiness, Server};
use gatehouse_net::{DatagramGate, FromFiles, Gate, Shutdown, watch};
use gatehouse_store::{Health, Store};
use listen::{Bound, Socket};
use notify::{Notifier, State};
use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tasks::Tasks;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

/// How often certificate files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// How often histograms are folded and the store's counters are taken over.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long tasks may take to see that everything has to end at once.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A server with everything open and bound, which serves nobody yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    telemetry: &'static Telemetry,
    store: Store,
    authority: Authority,
    listeners: Vec<Bound>,
    control: ControlSocket,
    gate: Arc<Gate>,
    datagrams: Arc<DatagramGate>,
    notifier: Notifier,
    carrier: Option<Arc<dyn gatehouse_mail::Carrier>>,
    outgoing: gatehouse_outgoing::Outgoing,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The data directory cannot be used.
    #[error("the data directory {} cannot be used", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others may enter the data directory.
    #[error("the data directory {} is open to other users (mode {mode:o}); run `chmod 700 {}`", path.display(), path.display())]
    DataDirOpen {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The control socket could not be made, mostly because a server runs already.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The store could not be opened.
    #[error("the store could not be opened")]
    Store(#[source] gatehouse_store::OpenError),
    /// The private keys could not be opened.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A listener could not be made.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The mail server cannot be used.
    #[error(transparent)]
    Mail(#[from] gatehouse_mail::SmtpSetupError),
    /// Other servers cannot be asked.
    #[error(transparent)]
    Outgoing(#[from] gatehouse_outgoing::SetupError),
}

impl Fault for BuildError {
    fn kind(&self) -> Kind {
        match self {
            Self::DataDir { .. } => Kind::Unavailable,
            Self::DataDirOpen { .. } => Kind::Conflict,
            Self::Control(error) => error.kind(),
            Self::Store(gatehouse_store::OpenError::InUse { .. }) => Kind::Conflict,
            Self::Store(_) => Kind::Unavailable,
            Self::Custody(error) => error.kind(),
            Self::Listen(error) => error.kind(),
            Self::Mail(_) => Kind::Conflict,
            Self::Outgoing(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "data-dir",
            Self::DataDirOpen { .. } => "data-dir-open",
            Self::Control(error) => error.code(),
            Self::Store(_) => "store",
            Self::Custody(error) => error.code(),
            Self::Listen(error) => error.code(),
            Self::Mail(_) => "mail",
            Self::Outgoing(error) => error.code(),
        }
    }
}

impl App {
    /// Opens and binds everything. Peers wait in the kernel's queues from here on.
    ///
    /// # Errors
    /// The first part that cannot be opened or bound.
    pub async fn build(config: Config, telemetry: &'static Telemetry) -> Result<Self, BuildError> {
        metrics::declare(telemetry.metrics());
        prepare_data_dir(&config.data_dir)?;
        // First of all: it tells whether another server holds everything else.
        let control = ControlSocket::bind(&config.control_socket)?;
        let store = open_store(&config).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let authority = custody::open(&config, &store).await?;
        let carrier = mail::carrier(&config)?;
        let outgoing = providers::outgoing(&config)?;
        let (gate, datagrams) = (Gate::new(config.net.clone()), DatagramGate::new(&config.net));
        let listeners = listen::bind(&config.listeners, &config.external_address, &authority, &clock, &config.net, &datagrams).await?;
        let notifier = Notifier::from_environment();
        Ok(Self { telemetry, store, authority, listeners, control, gate, datagrams, notifier, carrier, outgoing, config })
    }

    /// The address of each listener, with the ports that the system chose.
    pub fn addresses(&self) -> BTreeMap<String, (SocketAddr, Role)> {
        self.listeners.iter().map(|bound| (bound.listener.name().to_owned(), (bound.listener.address(), bound.role))).collect()
    }

    /// Starts serving.
    pub fn run(self) -> Running {
        let shutdown = Shutdown::new();
        let addresses = self.addresses();
        let Self { config, telemetry, store, authority, listeners, control, gate, datagrams, notifier, carrier, outgoing } = self;
        let readiness = Arc::new(Ready { store: store.clone(), shutdown: shutdown.clone() });
        let (orders, incoming) = mpsc::channel(4);
        let mut doors = Tasks::default();
        let mut helpers = Tasks::default();
        let files: Vec<_> = listeners.iter().flat_map(|bound| bound.files.iter().cloned()).collect();
        let renewed: Vec<_> = listeners.iter().filter_map(|bound| bound.issued.clone()).collect();
        let certificate = |bound: &Bound| Some((bound.listener.name().to_owned(), bound.listener.certificate_source()?));
        let certificates = listeners.iter().filter_map(certificate).collect();
        let traces = gatehouse_coap::Traces::new();
        let outbox = mail::open(&config, &authority);
        let accounts = people::open(&config, &authority, outbox.clone(), Some(outgoing));
        let parts = api::Parts {
            readiness: Arc::clone(&readiness) as Arc<dyn Readiness>,
            publications: Arc::new(custody::Published(authority.clone())),
            accounts: accounts.clone(),
            metrics: Arc::new(|| telemetry.metrics().render()),
        };
        let networks = config.net.clone();
        let limits = Limits::new(&config.http, move |address| networks.network(address));
        let coap = coap::Door::new(&config, &authority, Arc::clone(&traces));
        let health = coap.health(Arc::clone(&readiness) as Arc<dyn Readiness>, shutdown.clone());
        helpers.start("health", health);
        for Bound { listener, role, framing, files, issued } in listeners {
            if let Some(issued) = issued {
                let shutdown = shutdown.clone();
                helpers.start(format!("certificate of {}", listener.name()), async move { issued.watch(shutdown).await });
            }
            for files in files {
                helpers.start(format!("files of {}", listener.name()), watch(files, WATCH_INTERVAL, shutdown.clone()));
            }
            info!(listener = listener.name(), address = %listener.address(), "listening");
            let name = format!("listener {}", listener.name());
            let (gate, shutdown) = (Arc::clone(&gate), shutdown.clone());
            match listener {
                Socket::Streams(listener) => match api::routes(role, &parts) {
                    Some(routes) => {
                        let mut server = Server::new(routes, config.http.clone(), Arc::clone(&limits), Arc::new(SystemRandom));
                        if role == Role::Https {
                            server = server.authenticating(Arc::new(gatehouse_accounts::Gate::new(accounts.clone())));
                        }
                        doors.start(name, listener.run(Arc::new(server), gate, shutdown));
                    }
                    None => doors.start(name, listener.run(coap.server(framing), gate, shutdown)),
                },
                Socket::Datagrams(listener) => doors.start(name, listener.run(coap.server(framing), shutdown)),
            }
        }
        let reloader = Arc::new(Reloader { file: config.file.clone(), files, issued: renewed.clone(), telemetry });
        let handlers = requests::handlers(requests::Server {
            started: SystemClock.elapsed(),
            addresses,
            gate: Arc::clone(&gate),
            datagrams: Arc::clone(&datagrams),
            telemetry,
            reloader: Arc::clone(&reloader),
            readiness,
            shutdown: shutdown.clone(),
            orders,
            store: store.clone(),
            traces,
        });
        let checkpoints = Arc::new(checkpoints::Checkpoints::new(&config, store.clone(), authority.keyring().clone()));
        helpers.start("checkpoints", Arc::clone(&checkpoints).run(shutdown.clone()));
        let retention = retention::Retention { config: config.retention.clone(), checkpoints, authority: authority.clone() };
        helpers.start("retention", retention.run(shutdown.clone()));
        let custodian = authority.clone();
        let handlers = handlers.on(move |order: custody::Order| {
            let (authority, renewed) = (custodian.clone(), renewed.clone());
            async move {
                let answer = custody::perform(&authority, order, SystemClock.now()).await;
                // A revocation or a roll-over may have been about what we present ourselves.
                renewed.iter().for_each(|issued| issued.wake());
                answer
            }
        });
        helpers.start("accounts", people::upkeep(accounts.clone(), shutdown.clone()));
        let programs = accounts.clone();
        let handlers = handlers.on(move |order: programs::Order| {
            let accounts = programs.clone();
            async move { programs::perform(&accounts, order).await }
        });
        let foreign = accounts.clone();
        let handlers = handlers.on(move |order: providers::Order| {
            let accounts = foreign.clone();
            async move { providers::perform(&accounts, order).await }
        });
        let tenants = accounts.clone();
        let handlers = handlers.on(move |order: organisations::Order| {
            let accounts = tenants.clone();
            async move { organisations::perform(&accounts, order).await }
        });
        let handlers = handlers.on(move |order: people::Order| {
            let accounts = accounts.clone();
            async move { people::perform(&accounts, order).await }
        });
        let handlers = match outbox {
            Some(outbox) => {
                if let Some(carrier) = carrier {
                    let (outbox, shutdown) = (outbox.clone(), shutdown.clone());
                    helpers.start("mail", async move { outbox.run(carrier, shutdown.stopped()).await });
                }
                helpers.start("outbox", mail::upkeep(outbox.clone(), shutdown.clone()));
                handlers.on(move |order: mail::Order| {
                    let outbox = outbox.clone();
                    async move { mail::perform(&outbox, order).await }
                })
            }
            None => handlers,
        };
        let backups = Arc::new(backup::Backups::new(store.clone(), config.key_encryption.source.clone()));
        let reports = Arc::clone(&backups);
        let handlers = handlers
            .on(move |backup::Begin(plan)| std::future::ready(backups.begin(plan, SystemClock.now())))
            .on(move |backup::HowFar {}| std::future::ready(reports.report()));
        let (stopped, watched) = (shutdown.clone(), authority.clone());
        helpers.start("authority", async move { authority.run(stopped.stopped()).await });
        helpers.start("control socket", control.serve(Arc::new(handlers), shutdown.clone()));
        let sources = metrics::Sources { metrics: telemetry.metrics().clone(), store: store.clone(), authority: watched, certificates };
        helpers.start("metrics", metrics::upkeep(sources, UPKEEP_INTERVAL, shutdown.clone()));
        if let Some(interval) = notifier.heartbeat() {
            helpers.start("watchdog", heartbeat(Notifier::from_environment(), interval, shutdown.clone()));
        }
        notifier.tell(State::Ready);
        Running { doors, helpers, shutdown, orders: incoming, notifier, reloader, gate, datagrams, grace: config.grace, store }
    }
}

/// A server that serves.
#[derive(Debug)]
pub struct Running {
    doors: Tasks,
    helpers: Tasks,
    shutdown: Shutdown,
    orders: mpsc::Receiver<requests::Order>,
    notifier: Notifier,
    reloader: Arc<Reloader>,
    gate: Arc<Gate>,
    datagrams: Arc<DatagramGate>,
    grace: Duration,
    store: Store,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was accepted was finished.
    Drained,
    /// The grace period or somebody's patience ended before these connections did.
    CutShort {
        /// Connections that were open.
        connections: usize,
    },
}

impl Running {
    /// Serves until it is told to stop, and drains.
    ///
    /// # Errors
    /// A task failed. Everything was ended at once then, for the service manager to start anew.
    pub async fn serve(mut self, signals: &mut Signals) -> Result<Ending, TaskFailed> {
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    Signal::Reload => self.reloader.reload_and_log(),
                },
                Some(order) = self.orders.recv() => {
                    if order == requests::Order::StopNow {
                        self.shutdown.stop();
                    }
                    break;
                },
                // Doors end when draining begins, which is below.
                Some(ended) = self.doors.ended() => return Err(self.fail(ended).await),
                Some(ended) = self.helpers.ended() => if ended.is_err() { return Err(self.fail(ended).await) },
            }
        }
        self.drain(signals).await
    }

    async fn drain(mut self, signals: &mut Signals) -> Result<Ending, TaskFailed> {
        info!(connections = self.connections(), grace = ?self.grace, "draining");
        self.notifier.tell(State::Stopping);
        self.shutdown.start_draining();
        let out_of_patience = tokio::time::sleep(self.grace);
        tokio::pin!(out_of_patience);
        loop {
            tokio::select! {
                ended = self.doors.ended() => match ended {
                    Some(Ok(_)) => {}
                    Some(Err(failed)) => return Err(self.fail(Err(failed)).await),
                    None => break,
                },
                signal = signals.next() => if signal == Signal::Stop { break },
                Some(order) = self.orders.recv() => if order == requests::Order::StopNow { break },
                () = &mut out_of_patience => break,
                () = self.shutdown.stopped() => break,
            }
        }
        let connections = self.connections();
        self.end().await;
        if connections == 0 {
            info!("drained");
            return Ok(Ending::Drained);
        }
        warn!(connections, "stopped before these connections had finished");
        Ok(Ending::CutShort { connections })
    }

    fn connections(&self) -> usize {
        self.gate.connections() + self.datagrams.connected()
    }

    async fn fail(mut self, ended: Result<String, TaskFailed>) -> TaskFailed {
        let failed = ended.map_or_else(|failed| failed, |name| TaskFailed { name, reason: "it ended on its own".to_owned() });
        error!(task = failed.name, reason = failed.reason, "stopping because a task failed");
        self.end().await;
        failed
    }

    /// Ends every task, and closes the store when the last of them has let go of it.
    async fn end(&mut self) {
        self.shutdown.stop();
        let all = async {
            while self.doors.ended().await.is_some() {}
            while self.helpers.ended().await.is_some() {}
        };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            warn!(doors = ?self.doors.names(), helpers = ?self.helpers.names(), "tasks did not end in time");
        }
        if let Health::Poisoned { reason } = self.store.health() {
            error!(reason, "the store had stopped taking batches");
        }
    }
}

/// What can be read again while serving.
#[derive(Debug)]
struct Reloader {
    file: Option<PathBuf>,
    issued: Vec<Arc<custody::IssuedCertificates>>,
    files: Vec<Arc<dyn FromFiles>>,
    telemetry: &'static Telemetry,
}

impl Reloader {
    /// Reads certificates and the log level again. What cannot be read stays as it is, and is named.
    fn reload(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.files.iter().filter_map(|files| files.reload().err()).map(|error| error.to_string()).collect();
        self.issued.iter().for_each(|issued| issued.wake());
        if let Some(file) = &self.file {
            match Config::load(file) {
                Ok(loaded) => self.telemetry.set_level(&loaded.config.log.level),
                Err(mistakes) => problems.push(mistakes.to_string()),
            }
        }
        problems
    }

    fn reload_and_log(&self) {
        let problems = self.reload();
        problems.iter().for_each(|problem| error!(problem, "not reloaded"));
        info!(problems = problems.len(), "reloaded");
    }
}

/// Whether the server should be sent work.
struct Ready {
    store: Store,
    shutdown: Shutdown,
}

impl Readiness for Ready {
    fn checks(&self) -> BTreeMap<&'static str, Result<(), String>> {
        let store = match self.store.health() {
            Health::Good => Ok(()),
            Health::Full { .. } => Err("does not take batches: the disk is full".to_owned()),
            Health::Poisoned { .. } => Err("does not take batches; the log says why".to_owned()),
        };
        let accepting = if self.shutdown.is_draining() { Err("draining".to_owned()) } else { Ok(()) };
        [("accepting", accepting), ("store", store)].into()
    }
}

async fn heartbeat(notifier: Notifier, interval: Duration, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            _ = ticks.tick() => notifier.tell(State::Alive),
            () = shutdown.stopped() => return,
        }
    }
}

/// Opens the store and brings what all parts keep in it up to this version of the program.
pub(crate) async fn open_store(config: &Config) -> Result<Store, BuildError> {
    let store = Store::open(&config.store).await.map_err(BuildError::Store)?;
    store.prepare(SCHEMAS).await.map_err(BuildError::Store)?;
    Ok(store)
}

/// What all parts keep in the store.
const SCHEMAS: &[gatehouse_store::Schema] =
    &[gatehouse_events::SCHEMA, gatehouse_ca::SCHEMA, gatehouse_accounts::SCHEMA, gatehouse_mail::SCHEMA];

/// Makes the folder when it is missing, and refuses one that others may enter.
pub(crate) fn prepare_data_dir(path: &Path) -> Result<(), BuildError> {
    let failed = |source| BuildError::DataDir { path: path.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(BuildError::DataDirOpen { path: path.to_owned(), mode }) }
}
