//! `gatehouse log-level`: what the running server logs.

use super::{Context, Failure};
use crate::app::LogLevel as Request;
use clap::Args;

/// Show or change what the running server logs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse log-level
  gatehouse log-level debug
  gatehouse log-level info,gatehouse_net=debug")]
pub(super) struct LogLevel {
    /// The new level: off, error, warn, info, debug or trace, and levels of single parts after commas. It holds until
    /// the next change, reload or restart
    level: Option<String>,
}

impl LogLevel {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let level: String = context.ask(&config, &Request { level: self.level })?;
        context.output.answer(&level)
    }
}
