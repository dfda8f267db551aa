//! The command line: one file a subcommand.
//!
//! A subcommand is a struct that derives [`clap::Args`], and a `run` that takes the [`Context`] and ends in `Ok` or
//! in a [`Failure`], which says what went wrong, what to do next and with which [`Exit`] code the process ends. What
//! a command answers goes to standard output through [`Output::answer`], as text or, with `--json`, as one JSON
//! value; everything else goes to standard error. To add a command, write its file and name it in `Command`; a
//! test demands examples in its help and parses each of them.

mod admin;
mod admin_client;
mod admin_organisation;
mod admin_provider;
mod admission;
mod api;
mod backup;
mod ca;
mod check;
mod client;
mod coap;
mod completions;
mod context;
mod doctor;
mod factory;
mod failure;
mod init;
mod log_level;
mod login;
mod logins;
mod mail;
mod man;
mod onboarding;
mod openapi;
mod output;
mod prompt;
mod reload;
mod serve;
mod status;
mod stop;
mod store;
mod trace_peer;

pub use context::Context;
pub use failure::{Exit, Failure};
pub use output::{Output, Tint};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Device identity, provisioning and cloud in one process.
#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
pub struct Arguments {
    /// The configuration file [default: $XDG_CONFIG_HOME/gatehouse/gatehouse.toml, or /etc/gatehouse/gatehouse.toml for root]
    #[arg(long, global = true, value_name = "FILE", env = "GATEHOUSE_CONFIG")]
    config: Option<PathBuf>,

    /// Answer with one JSON value on standard output, and report errors as JSON on standard error
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Serve(serve::Serve),
    Check(check::Check),
    Admin(admin::Admin),
    Mail(mail::Mail),
    Ca(ca::Ca),
    Coap(coap::Coap),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Doctor(doctor::Doctor),
    Status(status::Status),
    Reload(reload::Reload),
    LogLevel(log_level::LogLevel),
    Stop(stop::Stop),
    Store(store::Store),
    TracePeer(trace_peer::TracePeer),
    Factory(factory::Factory),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    Client(client::Client),
    Onboarding(onboarding::Onboarding),
    Admission(admission::Admission),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Serve(command) => command.run(context),
            Self::Check(command) => command.run(context),
            Self::Admin(command) => command.run(context),
            Self::Mail(command) => command.run(context),
            Self::Ca(command) => command.run(context),
            Self::Coap(command) => command.run(context),
            Self::Backup(command) => command.run(context),
            Self::Restore(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Reload(command) => command.run(context),
            Self::LogLevel(command) => command.run(context),
            Self::Stop(command) => command.run(context),
            Self::Store(command) => command.run(context),
            Self::TracePeer(command) => command.run(context),
            Self::Factory(command) => command.run(context),
            Self::OpenApi(command) => command.run(context),
            Self::Login(command) => command.run(context),
            Self::Logout(command) => command.run(context),
            Self::Whoami(command) => command.run(context),
            Self::Client(command) => command.run(context),
            Self::Onboarding(command) => command.run(context),
            Self::Admission(command) => command.run(context),
            Self::Completions(command) => command.run(context),
            Self::Man(command) => command.run(context),
        }
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed, and it is our fault
  2  the command line is wrong
  3  the configuration is wrong
  4  the input is wrong, or a check of it failed
  5  not permitted
  6  not found
  7  the state of things does not allow it
  8  something needed is away or full: try again later";

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe while printing help is nobody's problem.
            let _ = error.print();
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { Exit::Done } else { Exit::Usage }.into();
        }
    };
    let context = Context { config: arguments.config, output: Output::new(arguments.json) };
    match arguments.command.run(&context) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            context.output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// The whole command tree, for completions and man pages.
fn tree() -> clap::Command {
    let mut tree = Arguments::command();
    tree.build();
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
        let below: Vec<_> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        if below.is_empty() {
            found.push(command.clone());
        }
        below.into_iter().for_each(|c| leaves(c, found));
    }

    #[test]
    fn the_command_tree_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples_and_each_of_them_parses() {
        let mut all = Vec::new();
        leaves(&tree(), &mut all);
        for command in all {
            let name = command.get_bin_name().unwrap_or_default().to_owned();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter_map(|l| l.trim().strip_prefix("gatehouse ")).collect();
            assert!(help.starts_with("Examples:\n") && !examples.is_empty(), "`{name}` has no examples in its after_help");
            for example in examples {
                let words = example.split(['|', '<', '>', '#']).next().unwrap_or_default().split_whitespace();
                let parsed = Arguments::try_parse_from(std::iter::once("gatehouse").chain(words));
                assert!(parsed.is_ok(), "the example `gatehouse {example}` does not parse: {}", parsed.expect_err("checked"));
            }
        }
    }

    #[test]
    fn every_command_in_the_operators_page_about_authorities_parses() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ca.md");
        let page = std::fs::read_to_string(path).expect("docs/ca.md");
        let commands: Vec<_> = page.lines().filter(|line| line.starts_with("gatehouse ")).collect();
        assert!(commands.len() > 20);
        for command in commands {
            let words = command.split(['|', '<', '>', '#']).next().unwrap_or_default().split_whitespace();
            let parsed = Arguments::try_parse_from(words);
            assert!(parsed.is_ok(), "`{command}` does not parse: {}", parsed.expect_err("checked"));
        }
    }

    #[test]
    fn every_command_says_in_one_line_what_it_does() {
        let mut all = Vec::new();
        leaves(&tree(), &mut all);
        for command in all {
            assert!(command.get_about().is_some(), "{:?} has no doc comment", command.get_bin_name());
        }
    }
}
