//! `gatehouse trace-peer`: one peer's CoAP messages as they pass.

use super::{Context, Failure};
use crate::app::{Config, TraceEnd, TraceLines, TracePeer as Begin, TraceRead};
use clap::Args;
use gatehouse_base::config::parse_duration;
use serde::Serialize;
use std::{fmt, time::Duration};

/// Show the CoAP messages of one peer while they pass
///
/// Both directions are decoded, one line a message: seconds since the beginning, `<-` from the peer or `->` to it, code,
/// token, path, options and body. Bodies and arguments that are credentials, or might be, are not shown. Nothing of it goes
/// into the log. Ends by itself; nobody else's messages are looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse trace-peer 192.0.2.7
  gatehouse trace-peer --for 10m uuid:921e7b6e-5ff7-4559-60d9-bf03bc730cc4
  gatehouse --json trace-peer --for 5s 192.0.2.7:5684")]
pub(super) struct TracePeer {
    /// The peer: its address, address and port, or the common name of its certificate
    peer: String,

    /// For how long, an hour at most
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = duration)]
    length: Duration,
}

#[derive(Serialize)]
struct Answer {
    lines: Vec<String>,
    missed: u64,
}

impl TracePeer {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let trace = context.ask(&config, &Begin { peer: self.peer, seconds: self.length.as_secs() })?;
        let followed = follow(context, &config, trace);
        // One that is over is forgotten by itself.
        context.ask(&config, &TraceEnd { trace })?;
        followed
    }
}

fn follow(context: &Context, config: &Config, trace: u64) -> Result<(), Failure> {
    let mut from = 0;
    loop {
        let TraceLines { lines, next, missed, over } = context.ask(config, &TraceRead { trace, from })?;
        from = next;
        if !lines.is_empty() || missed > 0 {
            context.output.answer(&Answer { lines, missed })?;
        }
        if over {
            return Ok(());
        }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|length| *length >= Duration::from_secs(1)).ok_or_else(|| "a time like 30s, 5m or 1h".to_owned())
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.missed > 0 {
            writeln!(out, "… {} messages were not read in time", self.missed)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
    }
}
