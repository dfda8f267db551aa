//! `gatehouse serve`: runs the server until it is told to stop.

use super::{Context, Exit, Failure, init::Init};
use crate::app::{App, Config, Signals};
use clap::Args;
use gatehouse_base::telemetry;
use gatehouse_pki::Host;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
};

/// Run the server until SIGTERM; a second SIGTERM stops at once
///
/// When every socket is bound, the addresses go to standard output, with --json as one line. SIGTERM and SIGINT stop
/// accepting, finish what was accepted within the grace period, and end; SIGHUP reads certificates and the log level
/// again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse serve
  gatehouse serve --init
  gatehouse serve --init --external-address gatehouse.example.com --listen 0.0.0.0
  gatehouse --config ./gatehouse.toml --json serve")]
pub(super) struct Serve {
    /// When there is no configuration yet, make one for this machine first, as `gatehouse init` would with
    /// `--external-address localhost`: state in its default folder, everything on loopback
    #[arg(long)]
    init: bool,

    /// With --init: another external address
    #[arg(long, value_name = "HOST", requires = "init")]
    external_address: Option<Host>,

    /// With --init: listen here, and not on loopback only
    #[arg(long, value_name = "IP", requires = "init")]
    listen: Option<IpAddr>,
}

#[derive(Serialize)]
struct Answer {
    listeners: BTreeMap<String, Address>,
    control_socket: String,
}

#[derive(Serialize)]
struct Address {
    address: SocketAddr,
    role: &'static str,
    #[serde(skip)]
    scheme: &'static str,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        umask(rustix::fs::Mode::from_raw_mode(0o077));
        let memory = gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if self.init && !context.config_path().exists() {
            Init::unasked(self.external_address, self.listen).run(context)?;
        }
        let loaded = context.load()?;
        let telemetry = telemetry::start(&loaded.config.log).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        for remark in &loaded.remarks {
            tracing::warn!(key = remark.key, "{}", remark.text);
        }
        tracing::info!(version = env!("CARGO_PKG_VERSION"), %memory, open_files = raise_file_limit(), "starting");
        context.block_on(serve(context, loaded.config, telemetry))
    }
}

async fn serve(context: &Context, config: Config, telemetry: &'static telemetry::Telemetry) -> Result<(), Failure> {
    // Before anything is opened: a signal that comes while the store recovers must not end the process halfway.
    let mut signals = Signals::take().map_err(|error| Failure::new(Exit::Failed, format!("signals cannot be received: {error}")))?;
    let control_socket = config.control_socket.display().to_string();
    let app = App::build(config, telemetry).await?;
    let listeners =
        app.addresses().into_iter().map(|(name, (address, role))| (name, Address { address, role: role.name(), scheme: role.scheme() }));
    let answer = Answer { listeners: listeners.collect(), control_socket };
    let running = app.run();
    context.output.answer(&answer)?;
    let ended = running.serve(&mut signals).await;
    ended.map(drop).map_err(|failed| Failure::new(Exit::Failed, failed.to_string()))
}

/// Connections are open files. The soft limit is low for old programs' sake; the hard one is what the administrator means.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.unwrap_or(u64::MAX)
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Address { address, scheme, .. }) in &self.listeners {
            writeln!(out, "{name}: {scheme}://{address}")?;
        }
        Ok(())
    }
}
