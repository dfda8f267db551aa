//! Clients: programs that an organisation lets in. Each proves itself by a secret of 256 bits that is shown once, by a key of its
//! own, by a certificate, or not at all, where it runs on people's machines and could keep no secret.
//!
//! An organisation's clients act in that organisation only. Those of the whole installation act where a person lets them: our own
//! command line is one, and is built in.

use super::{CertificateRule, Jwk, RedirectUri, Scope, Word};
use crate::{
    Accounts, Member, Right, Role, StateError, TokenError,
    person::checked_name,
    rows::{self, MARK},
    secret::{self, Digest},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, Key, Table, codec::Bytes};
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
/// Under which the index has the clients of the whole installation. No organisation has it: ids carry their version. A row of just this key
/// is written by whoever adds one.
const INSTALLATION: [u8; 16] = [0; 16];

/// Which client. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ClientId(pub(crate) String);

/// Which client, in a size that is copied along with what it may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientKey([u8; ID_CHARACTERS]);

/// The most redirect URIs and the most keys that a client has.
const MOST_REDIRECT_URIS: usize = 20;
const MOST_KEYS: usize = 5;

/// The id of our own command line, which is built in.
pub const COMMAND_LINE: &str = "gatehouse-cli";

/// How a client proves that it is the one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Authentication {
    /// By a secret that it shows.
    #[default]
    Secret,
    /// By a key that it signs with (RFC 7523).
    Key,
    /// By a certificate (RFC 8705 §2.1), on a listener that asks for one. Its tokens are bound to that.
    Certificate,
    /// Not at all: it is a public client (RFC 6749 §2.1), which acts for people only.
    None,
}

/// A client to be made.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What it is called.
    pub name: String,
    /// What it is in the organisation, and what its tokens for people are at most.
    pub role: Role,
    /// What its tokens may do at most.
    pub rights: Vec<Right>,
    /// How it proves itself.
    pub authentication: Authentication,
    /// Where people's answers may be sent; none for a client that sends nobody to us.
    pub redirect_uris: Vec<RedirectUri>,
    /// Its public keys, where it proves itself by one.
    pub keys: Vec<Jwk>,
    /// Whether it may ask for people by a device code (RFC 8628).
    pub device_code: bool,
    /// Its certificate's name, where it proves itself by one.
    pub certificate: Option<CertificateRule>,
    /// Whether its tokens are worth something over its certificate only (RFC 8705 §3). Those of a client that proves itself by a
    /// certificate are in any case.
    pub bound: bool,
}

/// A client as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    /// Of its secret, if it has one.
    digest: Option<Bytes>,
    /// None where it is the whole installation's.
    pub(crate) organisation: Option<OrganisationId>,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) rights: Vec<Right>,
    made: UnixTime,
    #[serde(default)]
    pub(crate) authentication: Authentication,
    #[serde(default)]
    redirect_uris: Vec<RedirectUri>,
    #[serde(default)]
    pub(crate) keys: Vec<Jwk>,
    #[serde(default)]
    pub(crate) device_code: bool,
    /// It is ours: people are not asked whether they trust it.
    #[serde(default)]
    pub(crate) first_party: bool,
    #[serde(default)]
    pub(crate) certificate: Option<CertificateRule>,
    #[serde(default)]
    pub(crate) bound: bool,
}

/// A client as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientInfo {
    /// Which one.
    pub id: ClientId,
    /// What it is called.
    pub name: String,
    /// What it is in the organisation.
    pub role: Role,
    /// What its tokens may do at most.
    pub scopes: Vec<Right>,
    /// How it proves itself.
    pub authentication: Authentication,
    /// Where people's answers may be sent.
    pub redirect_uris: Vec<RedirectUri>,
    /// Whether it may ask for people by a device code.
    pub device_code: bool,
    /// Whether people are not asked whether they trust it.
    pub first_party: bool,
    /// Its certificate's name, where it proves itself by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRule>,
    /// Whether its tokens are worth something over its certificate only.
    #[serde(default)]
    pub bound: bool,
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
    /// It would be allowed more than what makes it.
    #[error("who makes a client gives it what they have themselves, which is not `{right}`")]
    Beyond {
        /// What they do not have.
        right: Right,
    },
    /// Its keys, its redirect URIs and how it proves itself do not go together.
    #[error(
        "a client that proves itself by a key brings 1 to {MOST_KEYS} of them, and no other does; a public one has redirect URIs or device \
         codes, and its tokens are bound to no certificate; one that proves itself by a certificate, and no other, says by which one name that \
         is known; there are {MOST_REDIRECT_URIS} redirect URIs at most"
    )]
    Shape,
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
    /// Makes a client in the caller's organisation. The answer's secret, where it has one, is shown once.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_client(&self, by: &Member, new: NewClient) -> Result<(ClientInfo, Option<Secret>), ClientError> {
        if !by.role.may_appoint(new.role) {
            return Err(ClientError::NotAppointed { own: by.role, role: new.role });
        }
        // A program could otherwise make one that may more, and go on through that.
        if let Some(right) = new.rights.iter().find(|right| !by.rights.has(**right)) {
            return Err(ClientError::Beyond { right: *right });
        }
        self.keep_client(new, Some(by.organisation), false).await
    }

    /// Makes a client of the whole installation, which its operator vouches for: it acts in whichever organisation a person lets it,
    /// and a first-party one does without asking them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_installation_client(&self, new: NewClient, first_party: bool) -> Result<(ClientInfo, Option<Secret>), ClientError> {
        self.keep_client(new, None, first_party).await
    }

    async fn keep_client(
        &self,
        new: NewClient,
        organisation: Option<OrganisationId>,
        first_party: bool,
    ) -> Result<(ClientInfo, Option<Secret>), ClientError> {
        let NewClient { name, role, rights, authentication, redirect_uris, keys, device_code, certificate, bound } = new;
        let name = checked_name(&name).ok_or(TokenError::Name)?;
        let for_people = !redirect_uris.is_empty() || device_code;
        if (rights.is_empty() && !for_people) || !rights.iter().all(|right| role.has(*right)) {
            return Err(TokenError::Rights { role }.into());
        }
        let keys_fit = (authentication == Authentication::Key) != keys.is_empty() && keys.len() <= MOST_KEYS;
        let certificate_fits = match &certificate {
            Some(rule) => authentication == Authentication::Certificate && rule.is_sound(),
            None => authentication != Authentication::Certificate,
        };
        // Whoever has the refresh token of a public client has the client: there is nothing that the binding would hold to.
        let binding_fits = !(bound && authentication == Authentication::None);
        if !certificate_fits
            || !binding_fits
            || !keys_fit
            || redirect_uris.len() > MOST_REDIRECT_URIS
            || (authentication == Authentication::None && !for_people)
        {
            return Err(ClientError::Shape);
        }
        let drawn = (authentication == Authentication::Secret).then(|| secret::draw(&*self.random));
        let id: String = self.draw().iter().map(|byte| format!("{byte:02x}")).collect();
        let client = Client {
            digest: drawn.as_ref().map(|drawn| secret::digest_of(PURPOSE, drawn).to_vec().into()),
            organisation,
            name,
            role,
            rights,
            made: self.clock.now(),
            authentication,
            redirect_uris,
            keys,
            device_code,
            first_party,
            certificate,
            bound,
        };
        rows::change::<_, ClientError, _>(&self.events, || async {
            if self.client_ids(organisation).await?.len() >= MOST {
                return Err(ClientError::TooMany);
            }
            let batch = rows::new(CLIENTS, id.as_bytes(), &client).put(CLIENTS_OF, in_home(organisation, &id), MARK);
            let batch = self.taking_turns(batch, organisation).await?;
            Ok((self.stating(batch, &crate::Fact::ClientMade { organisation, client: id.clone() })?, ()))
        })
        .await?;
        Ok((client.info(ClientId(id)), drawn))
    }

    /// Makes clients of one home conflict that are made at the same moment: each would see the other one missing.
    async fn taking_turns(&self, batch: Batch, organisation: Option<OrganisationId>) -> Result<Batch, StateError> {
        let Some(organisation) = organisation else {
            let before = self.events.store().get(CLIENTS_OF, &INSTALLATION).await?;
            return Ok(batch.require_unchanged(CLIENTS_OF, INSTALLATION, before.as_ref()).put(CLIENTS_OF, INSTALLATION, MARK));
        };
        self.unless_owners_change(batch, organisation).await
    }

    /// The clients of an organisation.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn clients(&self, of: &Member) -> Result<Vec<ClientInfo>, StateError> {
        self.clients_in(Some(of.organisation)).await
    }

    /// The clients of the whole installation, without those that are built in.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn installation_clients(&self) -> Result<Vec<ClientInfo>, StateError> {
        self.clients_in(None).await
    }

    async fn clients_in(&self, organisation: Option<OrganisationId>) -> Result<Vec<ClientInfo>, StateError> {
        let mut clients = Vec::new();
        for id in self.client_ids(organisation).await? {
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
        self.drop_client(id, Some(by.organisation), |client| match by.role.may_appoint(client.role) {
            true => Ok(()),
            false => Err(ClientError::NotAppointed { own: by.role, role: client.role }),
        })
        .await
    }

    /// Removes a client of the whole installation.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn remove_installation_client(&self, id: &str) -> Result<(), ClientError> {
        self.drop_client(id, None, |_| Ok(())).await
    }

    async fn drop_client(
        &self,
        id: &str,
        of: Option<OrganisationId>,
        may: impl Fn(&Client) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        rows::change(&self.events, || async {
            let row = self.client_row(id).await?.filter(|row| row.value.organisation == of).ok_or(ClientError::Unknown)?;
            may(&row.value)?;
            let batch = row.deleted().delete(CLIENTS_OF, in_home(of, id));
            let fact = crate::Fact::ClientRemoved { organisation: of, client: id.to_owned() };
            Ok((self.stating(batch, &fact)?, ()))
        })
        .await
    }

    /// Ends all clients of an organisation, in a batch.
    pub(crate) async fn ending_clients(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let of = Some(organisation);
        let ids = self.client_ids(of).await?;
        Ok(ids.into_iter().fold(batch, |batch, id| batch.delete(CLIENTS_OF, in_home(of, &id)).delete(CLIENTS, id.as_bytes())))
    }

    /// The client of this id, if the secret is its own.
    pub(crate) async fn authenticated(&self, id: &str, shown: &Secret) -> Result<Option<(ClientId, Client)>, StateError> {
        let Some(client) = self.client(id).await? else { return Ok(None) };
        let Some(kept) = &client.digest else { return Ok(None) };
        let shown: Digest = secret::digest_of(PURPOSE, shown);
        let good = Secret::new(kept.to_vec()) == Secret::new(shown.to_vec());
        Ok(good.then(|| (ClientId(id.to_owned()), client)))
    }

    /// The client of this id.
    pub(crate) async fn client(&self, id: &str) -> Result<Option<Client>, StateError> {
        if id == COMMAND_LINE {
            return Ok(Some(Client::command_line()));
        }
        Ok(self.client_row(id).await?.map(|row| row.value))
    }

    async fn client_row(&self, id: &str) -> Result<Option<rows::Row<Client>>, StateError> {
        if id.len() != ID_CHARACTERS {
            return Ok(None);
        }
        rows::find(&self.events, CLIENTS, id.as_bytes()).await
    }

    async fn client_ids(&self, of: Option<OrganisationId>) -> Result<Vec<String>, StateError> {
        let tails = rows::tails(&self.events, CLIENTS_OF, Key::new().id(&home(of)), MOST + 1).await?;
        // The row without a client is the one that is written in turns.
        Ok(tails.iter().filter(|tail| !tail.is_empty()).map(|tail| String::from_utf8_lossy(tail).into_owned()).collect())
    }
}

#[cfg(test)]
impl Accounts {
    /// Binds the tokens of a client to certificates from now on.
    pub(crate) async fn bind_client(&self, id: &str) {
        let mut row = self.client_row(id).await.expect("read").expect("a client");
        row.value.bound = true;
        self.events.commit(row.rewritten()).await.expect("written");
    }
}

fn home(organisation: Option<OrganisationId>) -> [u8; 16] {
    organisation.map_or(INSTALLATION, |organisation| *organisation.as_bytes())
}

fn in_home(organisation: Option<OrganisationId>, id: &str) -> Vec<u8> {
    [home(organisation).as_slice(), id.as_bytes()].concat()
}

impl Client {
    /// `gatehouse login`.
    fn command_line() -> Self {
        Self {
            digest: None,
            organisation: None,
            name: "Gatehouse command line".to_owned(),
            role: Role::Owner,
            rights: Right::ALL.to_vec(),
            made: UnixTime::from_secs(0),
            authentication: Authentication::None,
            redirect_uris: Vec::new(),
            keys: Vec::new(),
            device_code: true,
            first_party: true,
            certificate: None,
            bound: false,
        }
    }

    /// The registered address that allows this one.
    pub(crate) fn redirect(&self, asked: &str) -> Option<&RedirectUri> {
        self.redirect_uris.iter().find(|registered| registered.allows(asked))
    }

    /// What it may ask people for.
    pub(crate) fn scope(&self) -> Scope {
        let of_installation = self.organisation.is_none();
        let own = Word::all().filter(|word| match word {
            Word::Of(right) => self.rights.contains(right),
            Word::Account => of_installation,
            _ => true,
        });
        Scope::of(own)
    }

    /// Whether it may ask somebody into an organisation as this.
    pub(crate) fn may_invite(&self, organisation: OrganisationId, role: Role) -> bool {
        let is_its_place = self.organisation.is_none_or(|own| own == organisation);
        is_its_place && self.role.may_appoint(role) && self.rights.contains(&Right::ManageMembers)
    }

    fn info(&self, id: ClientId) -> ClientInfo {
        let bound = self.is_bound();
        let Self { name, role, rights, made, authentication, redirect_uris, device_code, first_party, certificate, .. } = self.clone();
        ClientInfo { id, name, role, scopes: rights, authentication, redirect_uris, device_code, first_party, certificate, bound, made }
    }
}

impl ClientKey {
    /// Nothing where the id is none of ours.
    pub(crate) fn of(id: &str) -> Option<Self> {
        let mut key = [0; ID_CHARACTERS];
        key.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
        Some(Self(key))
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(String::from_utf8_lossy(&self.0).trim_end_matches('\0'))
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
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
            Self::Shape => Kind::Invalid,
            Self::NotAppointed { .. } | Self::Beyond { .. } => Kind::Forbidden,
            Self::TooMany => Kind::Conflict,
            Self::Unknown => Kind::NotFound,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code(),
            Self::Shape => "client-shape",
            Self::NotAppointed { .. } => "role-not-yours-to-give",
            Self::Beyond { .. } => "scope-not-yours-to-give",
            Self::TooMany => "too-many-clients",
            Self::Unknown => "no-such-client",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => error.field(),
            Self::NotAppointed { .. } => Some("role"),
            Self::Beyond { .. } => Some("scopes"),
            Self::Shape | Self::TooMany | Self::Unknown | Self::State(_) => None,
        }
    }
}
