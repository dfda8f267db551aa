//! `gatehouse status`: how the running server is.

use super::{Context, Exit, Failure};
use crate::app::{Status as Request, StatusReport};
use clap::Args;
use serde::Serialize;
use std::fmt;

/// Show how the running server is
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse status
  gatehouse status --ready
  gatehouse --json status")]
pub(super) struct Status {
    /// End with 8 unless the server is ready for work, as a container's health check wants it
    #[arg(long)]
    ready: bool,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Answer(StatusReport);

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let report = context.ask(&config, &Request {})?;
        let ready = report.is_ready();
        context.output.answer(&Answer(report))?;
        if self.ready && !ready { Err(Failure::new(Exit::Unavailable, "the server is not ready for work")) } else { Ok(()) }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        let doing = if report.draining { "draining" } else { "serving" };
        writeln!(out, "gatehouse {}, process {}, {doing} for {} s", report.version, report.pid, report.uptime_seconds)?;
        writeln!(out, "connections: {}, log level: {}", report.connections, report.log_level)?;
        for (check, problem) in report.checks.iter().filter_map(|(check, problem)| Some((check, problem.as_ref()?))) {
            writeln!(out, "not ready: {check}: {problem}")?;
        }
        report.listeners.iter().try_for_each(|(name, listener)| writeln!(out, "{name}: {} ({})", listener.address, listener.role))
    }
}
