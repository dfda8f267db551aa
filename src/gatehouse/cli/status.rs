//! `gatehouse status`: how the running server is.

use super::{Context, Failure};
use crate::app::{Status as Request, StatusReport};
use clap::Args;
use serde::Serialize;
use std::fmt;

/// Show how the running server is
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse status
  gatehouse --json status")]
pub(super) struct Status {}

#[derive(Serialize)]
#[serde(transparent)]
struct Answer(StatusReport);

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        context.output.answer(&Answer(context.ask(&config, &Request {})?))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        let doing = if report.draining { "draining" } else { "serving" };
        writeln!(out, "gatehouse {}, process {}, {doing} for {} s", report.version, report.pid, report.uptime_seconds)?;
        writeln!(out, "connections: {}, log level: {}", report.connections, report.log_level)?;
        report.listeners.iter().try_for_each(|(name, listener)| writeln!(out, "{name}: {} ({})", listener.address, listener.role))
    }
}
