//! What the process says about itself: logs to standard error, and metrics for Prometheus.
//!
//! There is one of each in a process, made by [`start`]. Everything else only uses the macros of `tracing` and
//! `metrics`. A part that counts something declares it as a [`Metric`] in a list of its own, so that the names are
//! documented where they are used; `docs/metrics.md` repeats all lists and a test compares it. Labels come from fixed
//! sets, never from peers: a metric per device would be a way to make us grow.

mod filter;
mod metric;

pub use filter::Filter;
pub use metric::{Metric, MetricKind, Metrics, table};

use crate::config::{Choice, Configure, Section};
use std::{
    io::IsTerminal,
    sync::{Mutex, OnceLock, PoisonError},
};
use tracing_subscriber::{Layer, Registry, filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// The section `[log]`.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), and levels of single parts after commas,
    /// like `info,gatehouse_net=debug`. Default `info`. Can be changed while the server runs.
    pub level: Filter,
    /// How lines look: `text` for people, `json` for collectors. Default `text`.
    pub format: Format,
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        Some(Self { level: from.or("level", Filter::default()), format: from.or("format", Format::Text) })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self { level: Filter::default(), format: Format::Text }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

/// Why logs and metrics could not be set up: somebody else in this process did it.
#[derive(Debug, thiserror::Error)]
#[error("another part of this process has set up {0} already")]
pub struct TelemetryError(&'static str);

/// The handle on this process's logs and metrics.
#[derive(Debug)]
pub struct Telemetry {
    level: Mutex<Filter>,
    reload: reload::Handle<Targets, Registry>,
    metrics: Metrics,
}

impl Telemetry {
    /// What is logged at present.
    pub fn level(&self) -> Filter {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Logs this from now on.
    pub fn set_level(&self, filter: &Filter) {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // Fails only when the subscriber is gone, and the global one never is.
        let _ = self.reload.reload(filter.targets());
        *level = filter.clone();
    }

    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// Sets up logs and metrics for this process. A second call, from a test that starts two servers in one process,
/// returns what the first one made and applies the level.
///
/// # Errors
/// Something else has installed a global logger or recorder.
pub fn start(config: &Config) -> Result<&'static Telemetry, TelemetryError> {
    static STARTED: OnceLock<Telemetry> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(telemetry) = STARTED.get() {
        telemetry.set_level(&config.level);
        return Ok(telemetry);
    }
    let (filter, reload) = reload::Layer::new(config.level.targets());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        Format::Json => lines.json().boxed(),
        Format::Text => {
            let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal();
            lines.with_ansi(colour).boxed()
        }
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| TelemetryError("logs"))?;
    let metrics = Metrics::install().ok_or(TelemetryError("metrics"))?;
    Ok(STARTED.get_or_init(|| Telemetry { level: Mutex::new(config.level.clone()), reload, metrics }))
}
