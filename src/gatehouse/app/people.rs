//! Accounts in the running program: opened over the same log as the authority, and what `gatehouse admin` asks of them.
//!
//! The same [`Order`]s are carried out by the server, over the control socket, and by a command that opened the store
//! itself because no server runs: whoever may read the data directory can always let somebody in again.

use super::{
    Config,
    control::{Refusal, Request},
};
use gatehouse_accounts::{Accounts, Email, NewPassword, NewPerson, PersonInfo};
use gatehouse_base::{SystemClock, SystemRandom};
use gatehouse_ca::Authority;
use gatehouse_types::Secret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The most people that one answer lists.
const LIST_MAX: usize = 10_000;

/// Something that the machine's own operator wants of the accounts.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Give somebody an account.
    Add {
        /// The address to sign in with.
        email: Email,
        /// What to call them; the address when nothing is given.
        name: Option<String>,
        /// The password.
        password: String,
        /// Whether they run this installation.
        operator: bool,
    },
    /// Everybody who has one.
    List,
    /// Set a new password and take the second factor off.
    Reset {
        /// Whose.
        email: Email,
        /// The new password.
        password: String,
    },
}

impl Request for Order {
    const NAME: &'static str = "admin";
    type Answer = Vec<PersonInfo>;
}

/// Opens the accounts in the authority's store. Their secrets are sealed by the authority's keyring.
pub fn open(config: &Config, authority: &Authority) -> Accounts {
    let keyring = Arc::new(authority.keyring().clone());
    Accounts::new(authority.events().clone(), keyring, Arc::new(SystemClock), Arc::new(SystemRandom), config.accounts.clone())
}

/// Carries an order out.
///
/// # Errors
/// Whatever the accounts refuse, in their words.
pub async fn perform(accounts: &Accounts, order: Order) -> Result<Vec<PersonInfo>, Refusal> {
    match order {
        Order::Add { email, name, password, operator } => {
            let name = name.unwrap_or_else(|| email.to_string());
            let password = NewPassword::new(Secret::from(password))?;
            Ok(vec![accounts.add_person(NewPerson { email, name, password, operator }).await?])
        }
        Order::List => Ok(accounts.people(None, LIST_MAX).await?),
        Order::Reset { email, password } => Ok(vec![accounts.reset(&email, &NewPassword::new(Secret::from(password))?).await?]),
    }
}
