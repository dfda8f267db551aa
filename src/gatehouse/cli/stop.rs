//! `gatehouse stop`: ends the running server.

use super::{Context, Exit, Failure};
use crate::app::Stop as Request;
use clap::Args;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Stop the running server and wait until it has ended
///
/// It accepts nothing new, finishes what it has accepted within the grace period of the configuration, and ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse stop
  gatehouse stop --now")]
pub(super) struct Stop {
    /// Do not finish what was accepted
    #[arg(long)]
    now: bool,
}

impl Stop {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        // The handle is taken before the order is given: afterwards the number could belong to another process.
        let status = context.ask(&config, &crate::app::Status {})?;
        let failed = |error: rustix::io::Errno| Failure::new(Exit::Failed, format!("the server cannot be waited for: {error}"));
        let pid = i32::try_from(status.pid).ok().and_then(Pid::from_raw).ok_or_else(|| failed(rustix::io::Errno::SRCH))?;
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
        context.ask(&config, &Request { now: self.now })?;
        // The handle becomes readable when the process ends (pidfd_open(2)).
        let mut handles = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut handles, None).map_err(failed)?;
        context.output.answer(&"stopped")
    }
}
