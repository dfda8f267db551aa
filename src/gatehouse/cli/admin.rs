//! `gatehouse admin`: what the machine's own operator does for people: the first account, and the way back in.
//!
//! A running server is asked through the control socket; when none runs, the command opens the store itself. Neither needs
//! a password of anybody: who may read the data directory is trusted with it.

use super::{
    Context, Exit, Failure, Output, Tint, admin_client::AdminClient, admin_organisation::AdminOrganisation, admin_provider::AdminProvider,
    prompt,
};
use crate::app::{
    control::{Refusal, Request},
    custody, mail,
    people::{self, Order},
    providers,
};
use clap::{Args, Subcommand};
use gatehouse_accounts::{Accounts, Email, PersonInfo};
use gatehouse_types::Secret;
use serde::Serialize;
use std::fmt;

/// People's accounts: add one, list them, let somebody in again; organisations; programs and foreign providers of all
#[derive(Debug, Args)]
pub(super) struct Admin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Programs of the whole installation: add one, list them, remove one
    #[command(subcommand)]
    Client(AdminClient),
    /// Organisations: list them, stop what is done in the name of one, let it go on
    #[command(subcommand)]
    Organisation(AdminOrganisation),
    /// Foreign providers: add one, list, trust, test and remove them, say whose devices they vouch for
    #[command(subcommand)]
    Provider(AdminProvider),
    /// Give somebody an account, with an organisation of their own
    ///
    /// Asks for the password at the terminal, or takes the first line of standard input with --password-stdin.
    #[command(after_help = "Examples:
  gatehouse admin add ann@example.com --name Ann --operator
  gatehouse admin add ben@example.com --password-stdin < password.txt")]
    Add {
        /// The e-mail address to sign in with
        email: Email,
        /// What to call them [default: the address]
        #[arg(long)]
        name: Option<String>,
        /// They run this installation
        #[arg(long)]
        operator: bool,
        /// Take the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List everybody who has an account
    #[command(after_help = "Examples:
  gatehouse admin list
  gatehouse --json admin list")]
    List,
    /// Set a new password, take the second factor off and end all sessions
    ///
    /// For somebody who has lost both. It is written into their history.
    #[command(after_help = "Examples:
  gatehouse admin reset ann@example.com
  gatehouse admin reset ann@example.com --password-stdin < password.txt")]
    Reset {
        /// Whose account
        email: Email,
        /// Take the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

impl Admin {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let order = match self.command {
            Command::Client(command) => return command.run(context),
            Command::Organisation(command) => return command.run(context),
            Command::Provider(command) => return command.run(context),
            Command::Add { email, name, operator, password_stdin } => {
                Order::Add { email, name, password: password(password_stdin)?, operator }
            }
            Command::List => Order::List,
            Command::Reset { email, password_stdin } => Order::Reset { email, password: password(password_stdin)? },
        };
        let people = carry_out(context, order, people::perform)?;
        context.output.answer(&People { people: &people, output: context.output })
    }
}

/// Has the running server carry an order out, or opens the store and does it here.
pub(super) fn carry_out<R: Request>(
    context: &Context,
    order: R,
    perform: impl AsyncFnOnce(&Accounts, R) -> Result<R::Answer, Refusal>,
) -> Result<R::Answer, Failure> {
    let config = context.load()?.config;
    if let Some(answer) = context.ask_if_running(&config, &order)? {
        return Ok(answer);
    }
    gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    context.block_on(async {
        crate::app::prepare_data_dir(&config.data_dir)?;
        let store = crate::app::open_store(&config).await?;
        let authority = custody::open(&config, &store).await?;
        let outgoing = providers::outgoing(&config)?;
        Ok(perform(&people::open(&config, &authority, mail::open(&config, &authority), Some(outgoing)), order).await?)
    })
}

fn password(from_stdin: bool) -> Result<String, Failure> {
    let typed = if from_stdin { prompt::read_piped()? } else { asked_twice()? };
    String::from_utf8(typed.expose().to_vec()).map_err(|_| Failure::new(Exit::Invalid, "the password is not UTF-8"))
}

fn asked_twice() -> Result<Secret, Failure> {
    let no_terminal = || {
        let failure = Failure::new(Exit::Usage, "there is no terminal to ask for the password at");
        failure.advise("give --password-stdin, and the password on standard input")
    };
    let first = prompt::ask_hidden("The new password").ok_or_else(no_terminal)?;
    let second = prompt::ask_hidden("The same once more").ok_or_else(no_terminal)?;
    if first == second { Ok(first) } else { Err(Failure::new(Exit::Invalid, "the two differ; nothing was done")) }
}

struct People<'a> {
    people: &'a [PersonInfo],
    output: Output,
}

impl Serialize for People<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.people.serialize(serializer)
    }
}

impl fmt::Display for People<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for person in self.people {
            let operator = if person.operator { ", operator" } else { "" };
            let factor = if person.second_factor { ", second factor on" } else { "" };
            let email = self.output.tint(Tint::Strong, &person.email);
            writeln!(out, "{email}  {}  since {}{operator}{factor}", person.name, person.added)?;
        }
        if self.people.is_empty() { writeln!(out, "nobody; `gatehouse admin add` gives somebody an account") } else { Ok(()) }
    }
}
