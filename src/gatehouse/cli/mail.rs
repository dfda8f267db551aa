//! `gatehouse mail`: letters that wait or were given up, and whether the mail server takes any.
//!
//! A running server is asked through the control socket; when none runs, the command opens the store itself. `test` needs neither:
//! it speaks to the mail server directly.

use super::{Context, Exit, Failure, Output, Tint};
use crate::app::{
    Config, custody,
    mail::{self, Order},
};
use clap::{Args, Subcommand};
use gatehouse_base::{Clock, SystemClock};
use gatehouse_mail::{Blame, Email, LetterInfo};
use serde::Serialize;
use std::fmt;

/// Letters: list those that wait, try or drop those that were given up, send one as a test
#[derive(Debug, Args)]
pub(super) struct Mail {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List letters that wait and letters that were given up
    ///
    /// What a letter says is not shown: it may hold a link that lets its reader in.
    #[command(after_help = "Examples:
  gatehouse mail list
  gatehouse --json mail list")]
    List,
    /// Try letters now, whatever happened to them before
    #[command(after_help = "Examples:
  gatehouse mail retry
  gatehouse mail retry 5f1c2a904d7b4f0e8a6b3c2d1e0f9a8b")]
    Retry {
        /// Which letters [default: all that were given up]
        letters: Vec<String>,
    },
    /// Throw letters away
    #[command(after_help = "Examples:
  gatehouse mail drop 5f1c2a904d7b4f0e8a6b3c2d1e0f9a8b
  gatehouse mail drop --dead")]
    Drop {
        /// Which letters
        #[arg(required_unless_present = "dead")]
        letters: Vec<String>,
        /// All that were given up
        #[arg(long, conflicts_with = "letters")]
        dead: bool,
    },
    /// Send a letter to an address at once, and tell what the mail server says
    ///
    /// It does not go through the outbox, and needs no running server.
    #[command(after_help = "Examples:
  gatehouse mail test --to ann@example.com")]
    Test {
        /// Where to
        #[arg(long, value_name = "ADDRESS")]
        to: Email,
    },
}

impl Mail {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        let (order, done) = match self.command {
            Command::Test { to } => return test(context, &config, to),
            Command::List => (Order::List, None),
            Command::Retry { letters } => (Order::Retry { letters }, Some("tried again")),
            Command::Drop { letters, .. } => (Order::Drop { letters }, Some("dropped")),
        };
        let letters = carry_out(context, &config, order)?;
        context.output.answer(&Letters { letters: &letters, done, output: context.output })
    }
}

fn no_mail() -> Failure {
    let failure = Failure::new(Exit::Conflict, "this installation sends no mail");
    failure.advise("set [mail.smtp], or `capture` in [mail] for letters in files; docs/mail.md tells how")
}

fn carry_out(context: &Context, config: &Config, order: Order) -> Result<Vec<LetterInfo>, Failure> {
    if config.mail.delivery.is_none() {
        return Err(no_mail());
    }
    if let Some(letters) = context.ask_if_running(config, &order)? {
        return Ok(letters);
    }
    gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    context.block_on(async {
        crate::app::prepare_data_dir(&config.data_dir)?;
        let store = crate::app::open_store(config).await?;
        let authority = custody::open(config, &store).await?;
        let outbox = mail::open(config, &authority).ok_or_else(no_mail)?;
        Ok(mail::perform(&outbox, order).await?)
    })
}

fn test(context: &Context, config: &Config, to: Email) -> Result<(), Failure> {
    let setup = mail::carrier(config).map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    let carrier = setup.ok_or_else(no_mail)?;
    let (envelope, letter) = gatehouse_mail::trial(&config.mail, &config.external_address.to_string(), to, SystemClock.now())
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    let carried = context.block_on(async {
        let carried = carrier.carry(&envelope, &letter).await;
        carrier.rest().await;
        Ok(carried)
    })?;
    carried.map_err(|refused| {
        let exit = if refused.blame == Blame::Letter { Exit::Invalid } else { Exit::Unavailable };
        Failure::new(exit, format!("the letter was not taken ({}): {refused}", refused.reason))
    })?;
    context.output.answer(&Taken { to: envelope.to, output: context.output })
}

struct Letters<'a> {
    letters: &'a [LetterInfo],
    done: Option<&'static str>,
    output: Output,
}

impl Serialize for Letters<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.letters.serialize(serializer)
    }
}

impl fmt::Display for Letters<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for LetterInfo { id, letter, to, made, attempts, due, problem } in self.letters {
            let state = match (self.done, due) {
                (Some(done), _) => done.to_owned(),
                (None, Some(due)) => format!("tried next {due}"),
                (None, None) => self.output.tint(Tint::Bad, "given up"),
            };
            let problem = problem.as_ref().map(|problem| format!("\n    {problem}")).unwrap_or_default();
            let id = self.output.tint(Tint::Strong, id);
            writeln!(out, "{id}  {letter} to {to}, written {made}, tried {attempts} times, {state}{problem}")?;
        }
        if self.letters.is_empty() { writeln!(out, "no letters") } else { Ok(()) }
    }
}

#[derive(Serialize)]
struct Taken {
    to: Email,
    #[serde(skip)]
    output: Output,
}

impl fmt::Display for Taken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} the letter to {} was taken", self.output.tint(Tint::Good, "good:"), self.to)
    }
}
