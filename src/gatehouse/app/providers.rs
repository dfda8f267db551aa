//! Foreign providers: what `gatehouse admin provider` asks of the accounts, in the server or in a store that no server has open; and whom
//! everything outside is asked through.

use super::{
    Config,
    control::{Refusal, Request},
};
use gatehouse_accounts::{Accounts, DeviceSettings, DeviceToken, NewProvider, ProviderInfo, Role, Tested, Trust};
use gatehouse_base::{Fault, with_causes};
use gatehouse_openid::Issuer;
use gatehouse_outgoing::{Outgoing, SetupError};
use gatehouse_types::{OrganisationId, Secret};
use serde::{Deserialize, Serialize};

/// Something that the machine's own operator wants of providers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Let one in.
    Add(Box<Adding>),
    /// Those of an organisation, or of the whole installation.
    List {
        /// Whose.
        organisation: Option<OrganisationId>,
    },
    /// Remove one.
    Remove {
        /// Its id.
        id: String,
    },
    /// Say for what one is trusted.
    Trust {
        /// Its id.
        id: String,
        /// For what.
        trust: Trust,
    },
    /// Ask one what it publishes, and find out what a device's token is worth.
    Test {
        /// Its id.
        id: String,
        /// The token.
        token: Option<String>,
    },
    /// Map an owner to an organisation.
    Own {
        /// The provider's id.
        id: String,
        /// What the claim holds.
        owner: String,
        /// Whose its devices are.
        organisation: OrganisationId,
    },
    /// Take the mapping of an owner back.
    Disown {
        /// The provider's id.
        id: String,
        /// What the claim holds.
        owner: String,
    },
}

/// A provider to be let in.
#[derive(Serialize, Deserialize)]
pub struct Adding {
    /// Whose it is; nothing for one of the whole installation.
    pub organisation: Option<OrganisationId>,
    /// What people see on the button.
    pub name: String,
    /// Its name, where its documents begin.
    pub issuer: Issuer,
    /// As which client it knows us.
    pub client_id: String,
    /// By what it knows that it is us.
    pub secret: Option<String>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// Whether it signs people in.
    pub sign_in: bool,
    /// Whether people whom it knows get accounts.
    pub new_accounts: bool,
    /// What such people become in the organisation.
    pub role: Option<Role>,
    /// How it vouches for devices.
    pub devices: Option<DeviceSettings>,
}

/// What an order is answered with.
#[derive(Default, Serialize, Deserialize)]
pub struct Answer {
    /// Providers that it is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderInfo>,
    /// What a test found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
    /// What a good token says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<DeviceToken>,
    /// Why a token is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
}

/// Why a token is refused.
#[derive(Serialize, Deserialize)]
pub struct Refused {
    /// For programs.
    pub code: String,
    /// For people.
    pub why: String,
}

impl Request for Order {
    const NAME: &'static str = "admin-provider";
    type Answer = Answer;
}

/// Whom servers that somebody else names are asked through.
///
/// # Errors
/// The file of authorities cannot be used.
pub fn outgoing(config: &Config) -> Result<Outgoing, SetupError> {
    Outgoing::new(config.outgoing.clone())
}

/// Carries an order out.
///
/// # Errors
/// Whatever the accounts refuse, in their words.
pub async fn perform(accounts: &Accounts, order: Order) -> Result<Answer, Refusal> {
    let about = |providers| Answer { providers, ..Answer::default() };
    match order {
        Order::Add(adding) => {
            let Adding { organisation, name, issuer, client_id, secret, scopes, sign_in, new_accounts, role, devices } = *adding;
            let secret = secret.map(Secret::from);
            let new = NewProvider { name, issuer, client_id, secret, scopes, sign_in, new_accounts, role, devices };
            Ok(about(vec![accounts.make_provider_for(organisation, new).await?]))
        }
        Order::List { organisation } => Ok(about(accounts.providers_for(organisation).await?)),
        Order::Remove { id } => {
            accounts.remove_any_provider(&id).await?;
            Ok(Answer::default())
        }
        Order::Trust { id, trust } => Ok(about(vec![accounts.trust_provider(&id, trust).await?])),
        Order::Own { id, owner, organisation } => {
            accounts.map_owner_for(&id, &owner, organisation).await?;
            Ok(Answer::default())
        }
        Order::Disown { id, owner } => {
            accounts.unmap_owner(None, &id, &owner).await?;
            Ok(Answer::default())
        }
        Order::Test { id, token } => {
            let tested = Some(accounts.test_provider(None, &id).await?);
            let Some(token) = token else { return Ok(Answer { tested, ..Answer::default() }) };
            match accounts.verify_device_token(Some(&id), &Secret::from(token)).await {
                Ok(token) => Ok(Answer { tested, token: Some(token), ..Answer::default() }),
                Err(error) => {
                    let refused = Refused { code: error.code().to_owned(), why: with_causes(&error) };
                    Ok(Answer { tested, refused: Some(refused), ..Answer::default() })
                }
            }
        }
    }
}
