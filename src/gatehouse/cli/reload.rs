//! `gatehouse reload`: what SIGHUP does, with an answer.

use super::{Context, Exit, Failure};
use crate::app::Reload as Request;
use clap::Args;

/// Let the running server read its certificates and log level again
///
/// New handshakes use what was read; no connection is closed. What cannot be read stays as it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse reload")]
pub(super) struct Reload {}

impl Reload {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let problems = context.ask(&config, &Request {})?;
        if problems.is_empty() {
            return context.output.answer(&"reloaded");
        }
        Err(Failure::new(Exit::Invalid, format!("not everything was reloaded:\n  {}", problems.join("\n  "))))
    }
}
