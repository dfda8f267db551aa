//! Clients: programs that an organisation lets in, each with a secret of 256 bits that is shown once.

use crate::{
    Accounts, Member, Right, Role, StateError, TokenError,
    person::checked_name,
    rows::{self, MARK},
    secret::{self, Digest},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Key, Table, codec::Bytes};
use gatehouse_types::{OrganisationId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Clients by their id.
pub(crate) const CLIENTS: Table = Table::new("account-clients");
/// The clients of an organisation: organisation, then client; without content.
pub(crate) const CLIENTS_OF: Table = Table::new("account-clients-of");

/// The most clients that an organisation has.
const MOST: usize = 500;
const PURPOSE: &str = "client secret";
const ID_CHARACTERS: usize = 32;

/// Which client. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ClientId(pub(crate) String);

/// A client to be made.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What it is called.
    pub name: String,
    /// What it is in the organisation.
    pub role: Role,
    /// What its tokens may do at most.
    pub rights: Vec<Right>,
}

/// A client as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    digest: Bytes,
    pub(crate) organisation: OrganisationId,
    name: String,
    pub(crate) role: Role,
    pub(crate) rights: Vec<Right>,
    made: UnixTime,
}

/// A client as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ClientInfo {
    /// Which one.
    pub id: ClientId,
    /// What it is called.
    pub name: String,
    /// What it is in the organisation.
    pub role: Role,
    /// What its tokens may do at most.
    pub scopes: Vec<Right>,
    /// Since when.
    pub made: UnixTime,
}

/// A client cannot be made or found.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its name or its rights are refused.
    #[error(transparent)]
    Refused(#[from] TokenError),
    /// The caller's role does not suffice.
    #[error("somebody whose role is {own} cannot make a client that is {role}")]
    NotAppointed {
        /// The caller's role.
        own: Role,
        /// The client's.
        role: Role,
    },
    /// There are too many.
    #[error("an organisation has {MOST} clients at most")]
    TooMany,
    /// There is none of this id.
    #[error("there is no such client")]
    Unknown,
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Makes a client in the caller's organisation. The answer's secret is shown once.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_client(&self, by: &Member, new: NewClient) -> Result<(ClientInfo, Secret), ClientError> {
        let name = checked_name(&new.name).ok_or(TokenError::Name)?;
        if !by.role.may_appoint(new.role) {
            return Err(ClientError::NotAppointed { own: by.role, role: new.role });
        }
        if new.rights.is_empty() || !new.rights.iter().all(|right| new.role.has(*right)) {
            return Err(TokenError::Rights { role: new.role }.into());
        }
        if self.client_ids(by.organisation).await?.len() >= MOST {
            return Err(ClientError::TooMany);
        }
        let drawn = secret::draw(&*self.random);
        let id: String = self.draw().iter().map(|byte| format!("{byte:02x}")).collect();
        let client = Client {
            digest: secret::digest_of(PURPOSE, &drawn).to_vec().into(),
            organisation: by.organisation,
            name,
            role: new.role,
            rights: new.rights,
            made: self.clock.now(),
        };
        let batch = rows::new(CLIENTS, id.as_bytes(), &client).put(CLIENTS_OF, in_organisation(by.organisation, &id), MARK);
        let batch = self.stating(batch, &crate::Fact::ClientMade { organisation: by.organisation, client: id.clone() })?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        Ok((client.info(ClientId(id)), drawn))
    }

    /// The clients of an organisation.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn clients(&self, of: &Member) -> Result<Vec<ClientInfo>, StateError> {
        let mut clients = Vec::new();
        for id in self.client_ids(of.organisation).await? {
            if let Some(row) = rows::find::<Client>(&self.events, CLIENTS, id.as_bytes()).await? {
                clients.push(row.value.info(ClientId(id)));
            }
        }
        Ok(clients)
    }

    /// Removes a client of the caller's organisation; its tokens are refused from the next request on.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn remove_client(&self, by: &Member, id: &str) -> Result<(), ClientError> {
        rows::change(&self.events, || async {
            let row = self.client_row(id).await?.filter(|row| row.value.organisation == by.organisation).ok_or(ClientError::Unknown)?;
            if !by.role.may_appoint(row.value.role) {
                return Err(ClientError::NotAppointed { own: by.role, role: row.value.role });
            }
            let batch = row.deleted().delete(CLIENTS_OF, in_organisation(by.organisation, id));
            let fact = crate::Fact::ClientRemoved { organisation: by.organisation, client: id.to_owned() };
            Ok((self.stating(batch, &fact)?, ()))
        })
        .await
    }

    /// The client of this id, if the secret is its own.
    pub(crate) async fn authenticated(&self, id: &str, shown: &Secret) -> Result<Option<(ClientId, Client)>, StateError> {
        let Some(client) = self.client(id).await? else { return Ok(None) };
        let shown: Digest = secret::digest_of(PURPOSE, shown);
        let good = Secret::new(client.digest.to_vec()) == Secret::new(shown.to_vec());
        Ok(good.then(|| (ClientId(id.to_owned()), client)))
    }

    /// The client of this id.
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Client>, StateError> {
        Ok(self.client_row(id).await?.map(|row| row.value))
    }

    async fn client_row(&self, id: &str) -> Result<Option<rows::Row<Client>>, StateError> {
        if id.len() != ID_CHARACTERS {
            return Ok(None);
        }
        rows::find(&self.events, CLIENTS, id.as_bytes()).await
    }

    async fn client_ids(&self, organisation: OrganisationId) -> Result<Vec<String>, StateError> {
        let tails = rows::tails(&self.events, CLIENTS_OF, Key::new().id(organisation.as_bytes()), MOST).await?;
        Ok(tails.iter().map(|tail| String::from_utf8_lossy(tail).into_owned()).collect())
    }
}

fn in_organisation(organisation: OrganisationId, id: &str) -> Vec<u8> {
    [organisation.as_bytes().as_slice(), id.as_bytes()].concat()
}

impl Client {
    fn info(&self, id: ClientId) -> ClientInfo {
        let Self { name, role, rights, made, .. } = self.clone();
        ClientInfo { id, name, role, scopes: rights, made }
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Fault for ClientError {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(error) => error.kind(),
            Self::NotAppointed { .. } => Kind::Forbidden,
            Self::TooMany => Kind::Conflict,
            Self::Unknown => Kind::NotFound,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::NotAppointed { .. } => "role-not-yours-to-give",
            Self::TooMany => "too-many-clients",
            Self::Unknown => "no-such-client",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error.field(),
            Self::NotAppointed { .. } => Some("role"),
            Self::TooMany | Self::Unknown | Self::State(_) => None,
        }
    }
}
