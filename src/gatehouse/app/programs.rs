//! Programs of the whole installation: what `gatehouse admin client` asks of the accounts, in the server or in a store that no server has open.

use super::control::{Refusal, Request};
use gatehouse_accounts::{Accounts, Authentication, ClientInfo, NewClient, RedirectUri, Right, Role};
use serde::{Deserialize, Serialize};

/// Something that the machine's own operator wants of these programs.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Let one in.
    Add {
        /// What it is called.
        name: String,
        /// What it may do for people at most.
        scopes: Vec<Right>,
        /// Where people's answers may be sent.
        redirect_uris: Vec<RedirectUri>,
        /// Whether it may ask people by device codes.
        device_code: bool,
        /// Whether it keeps no secret.
        public: bool,
        /// Whether people are not asked whether they trust it.
        first_party: bool,
    },
    /// All of them.
    List,
    /// Remove one.
    Remove {
        /// Its id.
        id: String,
    },
}

/// A program of the whole installation.
#[derive(Serialize, Deserialize)]
pub struct Program {
    /// The program.
    #[serde(flatten)]
    pub info: ClientInfo,
    /// Shown once, to the one who let it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl Request for Order {
    const NAME: &'static str = "admin-client";
    type Answer = Vec<Program>;
}

/// Carries an order out.
///
/// # Errors
/// Whatever the accounts refuse, in their words.
pub async fn perform(accounts: &Accounts, order: Order) -> Result<Vec<Program>, Refusal> {
    match order {
        Order::Add { name, scopes, redirect_uris, device_code, public, first_party } => {
            let authentication = if public { Authentication::None } else { Authentication::Secret };
            let new = NewClient {
                name,
                role: Role::Owner,
                rights: scopes,
                authentication,
                redirect_uris,
                keys: Vec::new(),
                device_code,
                certificate: None,
                bound: false,
            };
            let (info, secret) = accounts.make_installation_client(new, first_party).await?;
            Ok(vec![Program { info, secret: secret.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned()) }])
        }
        Order::List => {
            let clients = accounts.installation_clients().await?;
            Ok(clients.into_iter().map(|info| Program { info, secret: None }).collect())
        }
        Order::Remove { id } => {
            accounts.remove_installation_client(&id).await?;
            Ok(Vec::new())
        }
    }
}
