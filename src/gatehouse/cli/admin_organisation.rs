//! `gatehouse admin organisation`: stopping what is done in the name of an organisation, and letting it go on.
//!
//! The same can be done over HTTP by somebody who runs this installation; here it needs nobody's password, like all of `gatehouse admin`.

use super::{Context, Failure, Output, Tint, admin};
use crate::app::organisations::{self, Order};
use clap::Subcommand;
use gatehouse_accounts::OrganisationSummary;
use gatehouse_types::OrganisationId;
use serde::Serialize;
use std::fmt;

/// What to do about them.
#[derive(Debug, Subcommand)]
pub(super) enum AdminOrganisation {
    /// List the organisations
    #[command(after_help = "Examples:
  gatehouse admin organisation list")]
    List,
    /// Stop everything that is done in the name of one; nothing is deleted
    ///
    /// From the next request on no session, token or program acts in it.
    #[command(after_help = "Examples:
  gatehouse admin organisation suspend 11111111-2222-4333-8444-555555555555")]
    Suspend {
        /// Its id
        id: OrganisationId,
    },
    /// Let one go on
    #[command(after_help = "Examples:
  gatehouse admin organisation resume 11111111-2222-4333-8444-555555555555")]
    Resume {
        /// Its id
        id: OrganisationId,
    },
}

impl AdminOrganisation {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let order = match self {
            Self::List => Order::List,
            Self::Suspend { id } => Order::Suspend { id },
            Self::Resume { id } => Order::Resume { id },
        };
        let organisations = admin::carry_out(context, order, organisations::perform)?;
        context.output.answer(&Organisations { organisations: &organisations, output: context.output })
    }
}

struct Organisations<'a> {
    organisations: &'a [OrganisationSummary],
    output: Output,
}

impl Serialize for Organisations<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.organisations.serialize(serializer)
    }
}

impl fmt::Display for Organisations<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for OrganisationSummary { id, name, suspended } in self.organisations {
            let suspended = suspended.map(|since| format!("  suspended since {since}")).unwrap_or_default();
            writeln!(out, "{id}  {}{suspended}", self.output.tint(Tint::Strong, name))?;
        }
        if self.organisations.is_empty() { writeln!(out, "none; one comes with every account") } else { Ok(()) }
    }
}
