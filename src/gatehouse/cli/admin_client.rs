//! `gatehouse admin client`: programs of the whole installation, which its operator vouches for.
//!
//! They act in whichever organisation a person lets them; people are not asked whether they trust a first-party one. Like all of
//! `gatehouse admin` this needs nobody's password: whoever may read the data directory is trusted with it.

use super::{Context, Failure, admin};
use crate::app::programs::{self, Order, Program};
use clap::Subcommand;
use gatehouse_accounts::{RedirectUri, Right};
use serde::Serialize;
use std::fmt;

/// What to do about them.
#[derive(Debug, Subcommand)]
pub(super) enum AdminClient {
    /// Let a program of the whole installation in
    ///
    /// The answer is the only place that ever shows its secret; a public one has none.
    #[command(after_help = "Examples:
  gatehouse admin client add Console --first-party --public --scope members:read --redirect-uri https://console.example.com/callback
  gatehouse admin client add tool --public --device-code --scope members:read")]
    Add {
        /// What to call it
        name: String,
        /// What it may do for people at most; may be given several times
        #[arg(long = "scope", value_name = "SCOPE", value_parser = right)]
        scopes: Vec<Right>,
        /// Where people's answers may be sent; may be given several times
        #[arg(long = "redirect-uri", value_name = "URI", value_parser = redirect_uri)]
        redirect_uris: Vec<RedirectUri>,
        /// It may ask people by device codes
        #[arg(long)]
        device_code: bool,
        /// It runs on people's machines and keeps no secret
        #[arg(long)]
        public: bool,
        /// It is ours: people are not asked whether they trust it
        #[arg(long)]
        first_party: bool,
    },
    /// List the programs of the whole installation
    #[command(after_help = "Examples:
  gatehouse admin client list")]
    List,
    /// Remove one; its tokens are refused from the next request on
    #[command(after_help = "Examples:
  gatehouse admin client remove 0123456789abcdef0123456789abcdef")]
    Remove {
        /// Its id
        id: String,
    },
}

impl AdminClient {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let order = match self {
            Self::Add { name, scopes, redirect_uris, device_code, public, first_party } => {
                Order::Add { name, scopes, redirect_uris, device_code, public, first_party }
            }
            Self::List => Order::List,
            Self::Remove { id } => Order::Remove { id },
        };
        context.output.answer(&Clients(admin::carry_out(context, order, programs::perform)?))
    }
}

fn right(text: &str) -> Result<Right, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn redirect_uri(text: &str) -> Result<RedirectUri, String> {
    RedirectUri::try_from(text.to_owned()).map_err(|error| error.to_string())
}

#[derive(Serialize)]
#[serde(transparent)]
struct Clients(Vec<Program>);

impl fmt::Display for Clients {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Program { info, secret } in &self.0 {
            let first_party = if info.first_party { "  first-party" } else { "" };
            writeln!(out, "{}  {}{first_party}", info.id, info.name)?;
            info.redirect_uris.iter().try_for_each(|uri| writeln!(out, "  back to {uri}"))?;
            if let Some(secret) = secret {
                writeln!(out, "  secret, shown once: {secret}")?;
            }
        }
        if self.0.is_empty() { writeln!(out, "none") } else { Ok(()) }
    }
}
