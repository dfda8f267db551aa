//! Organisations as the machine's own operator deals with them: what `gatehouse admin organisation` asks of the accounts, in the server or in a
//! store that no server has open.

use super::control::{Refusal, Request};
use gatehouse_accounts::{Accounts, OrganisationSummary};
use gatehouse_types::OrganisationId;
use serde::{Deserialize, Serialize};

/// The most organisations that one answer lists.
const LIST_MAX: usize = 10_000;

/// Something that the operator wants of them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// All of them.
    List,
    /// Stop everything that is done in the name of one.
    Suspend {
        /// Its id.
        id: OrganisationId,
    },
    /// Let one go on.
    Resume {
        /// Its id.
        id: OrganisationId,
    },
}

impl Request for Order {
    const NAME: &'static str = "admin-organisation";
    type Answer = Vec<OrganisationSummary>;
}

/// Carries an order out; the answer is all organisations.
///
/// # Errors
/// Whatever the accounts refuse, in their words.
pub async fn perform(accounts: &Accounts, order: Order) -> Result<Vec<OrganisationSummary>, Refusal> {
    match order {
        Order::List => {}
        Order::Suspend { id } => accounts.suspend_at_console(id).await?,
        Order::Resume { id } => accounts.resume(id).await?,
    }
    Ok(accounts.organisations(None, LIST_MAX).await?)
}
