//! Providers as they are configured: by an organisation for itself, or by the operator for the whole installation.
//!
//! What a provider publishes is looked at before it is kept. Its secret is sealed and never shown again. What only the operator may say
//! of any provider is for what it is trusted beyond its own word.

use super::{DeviceSettings, NewProvider, OwnerInfo, ProviderError, Trust};
use crate::{
    Accounts, Fact, Member, Role, StateError,
    rows::{self, MARK, ORGANISATIONS, Row},
    secret::{self, Digest},
};
use gatehouse_openid::{Directory, Issuer, Relying};
use gatehouse_store::{Batch, Key, Table, codec::Bytes};
use gatehouse_types::{OrganisationId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Providers by their id.
pub(crate) const PROVIDERS: Table = Table::new("account-providers");
/// The providers of an organisation: organisation, then provider; without content.
pub(crate) const PROVIDERS_OF: Table = Table::new("account-providers-of");
/// The providers with an issuer: the issuer's digest, then provider; without content.
pub(crate) const PROVIDERS_BY_ISSUER: Table = Table::new("account-providers-by-issuer");

const ID_CHARACTERS: usize = 32;
/// The most configurations of one issuer that are looked at.
const MOST_OF_ISSUER: usize = 10_000;
/// Under which the index has the providers of the whole installation. No organisation has it: ids carry their version.
const INSTALLATION: [u8; 16] = [0; 16];

/// Which provider. It is no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProviderId(pub(crate) String);

/// A provider as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Provider {
    /// None where it is the whole installation's.
    pub(crate) organisation: Option<OrganisationId>,
    pub(crate) name: String,
    pub(crate) issuer: Issuer,
    pub(crate) client_id: String,
    sealed: Option<Bytes>,
    pub(crate) scopes: Vec<String>,
    pub(crate) sign_in: bool,
    pub(crate) new_accounts: bool,
    pub(crate) role: Option<Role>,
    pub(crate) devices: Option<DeviceSettings>,
    pub(crate) trust: Trust,
    /// Where people are sent, as a browser's policy names it.
    pub(crate) leads_to: String,
    made: UnixTime,
}

/// A provider as those see it who may configure it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderInfo {
    /// Which one.
    pub id: ProviderId,
    /// Whose it is; nothing for one of the whole installation.
    pub organisation: Option<OrganisationId>,
    /// What people see on the button.
    pub name: String,
    /// Its name, where its documents begin.
    pub issuer: Issuer,
    /// As which client it knows us.
    pub client_id: String,
    /// Whether there is a secret.
    pub confidential: bool,
    /// What is asked for when people sign in, besides `openid`.
    pub scopes: Vec<String>,
    /// Whether it signs people in.
    pub sign_in: bool,
    /// Whether people whom it knows get accounts, where the operator trusts it for their address.
    pub new_accounts: bool,
    /// What such people become in the provider's organisation.
    pub role: Option<Role>,
    /// How it vouches for devices, if it does.
    pub devices: Option<DeviceSettings>,
    /// For what the operator trusts it.
    pub trust: Trust,
    /// The redirect URI to be registered at the provider.
    pub redirect_uri: Option<String>,
    /// Whose the devices are that it vouches for.
    pub owners: Vec<OwnerInfo>,
    /// Since when.
    pub made: UnixTime,
}

/// What a test of a provider found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    /// Whom it was about.
    pub issuer: Issuer,
    /// How many of its keys can verify tokens.
    pub keys: usize,
    /// Where it sends people.
    pub leads_to: String,
    /// Whether its answers say from whom they are (RFC 9207).
    pub answers_with_issuer: bool,
}

impl Accounts {
    /// Configures a provider of the caller's organisation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_provider(&self, by: &Member, new: NewProvider) -> Result<ProviderInfo, ProviderError> {
        if let Some(role) = new.role.filter(|role| !by.role.may_appoint(*role)) {
            return Err(ProviderError::NotAppointed { own: by.role, role });
        }
        self.keep_provider(new, Some(by.organisation)).await
    }

    /// Configures a provider of the whole installation, or of an organisation in its name: for who runs this installation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn make_provider_for(&self, organisation: Option<OrganisationId>, new: NewProvider) -> Result<ProviderInfo, ProviderError> {
        if let Some(organisation) = organisation
            && rows::find::<crate::organisation::Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?.is_none()
        {
            return Err(ProviderError::NoOrganisation);
        }
        self.keep_provider(new, organisation).await
    }

    async fn keep_provider(&self, new: NewProvider, organisation: Option<OrganisationId>) -> Result<ProviderInfo, ProviderError> {
        let NewProvider { name, issuer, client_id, secret, scopes, sign_in, new_accounts, role, devices } =
            new.checked(organisation.is_some())?;
        if organisation.is_some() && devices.is_some() && self.installation_has_devices_of(&issuer).await? {
            return Err(ProviderError::IssuerTaken);
        }
        let most = self.config.providers.per_organisation;
        if self.provider_ids(organisation).await?.len() >= most {
            return Err(ProviderError::TooMany { most });
        }
        let probe = self.directory()?.probe(&issuer).await?;
        let id: String = self.draw().iter().map(|byte| format!("{byte:02x}")).collect();
        let sealed = secret.map(|secret| self.sealer.seal(&seal_subject(&id), &secret)).transpose().map_err(StateError::Seal)?;
        let provider = Provider {
            organisation,
            name,
            client_id,
            sealed: sealed.map(Bytes::from),
            scopes,
            sign_in,
            new_accounts,
            role,
            devices,
            trust: Trust::default(),
            leads_to: probe.metadata.authorization_origin(),
            made: self.clock.now(),
            issuer,
        };
        let batch = rows::new(PROVIDERS, id.as_bytes(), &provider).put(PROVIDERS_OF, in_home(organisation, &id), MARK);
        let batch = batch.put(PROVIDERS_BY_ISSUER, of_issuer(&provider.issuer, &id), MARK);
        let batch = self.stating(batch, &Fact::ProviderMade { organisation, provider: id.clone() })?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        self.provider_info(ProviderId(id), provider).await.map_err(ProviderError::from)
    }

    /// The providers of an organisation.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn providers(&self, of: &Member) -> Result<Vec<ProviderInfo>, StateError> {
        self.providers_for(Some(of.organisation)).await
    }

    /// The providers of an organisation, or of the whole installation: for who runs it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn providers_for(&self, organisation: Option<OrganisationId>) -> Result<Vec<ProviderInfo>, StateError> {
        let mut providers = Vec::new();
        for id in self.provider_ids(organisation).await? {
            if let Some(row) = self.provider_row(&id).await? {
                providers.push(self.provider_info(ProviderId(id), row.value).await?);
            }
        }
        Ok(providers)
    }

    /// Removes a provider of the caller's organisation. Who signed in through it is signed out with the next request.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn remove_provider(&self, by: &Member, id: &str) -> Result<(), ProviderError> {
        self.drop_provider(id, |provider| provider.organisation == Some(by.organisation)).await
    }

    /// Removes any provider: for who runs this installation.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn remove_any_provider(&self, id: &str) -> Result<(), ProviderError> {
        self.drop_provider(id, |_| true).await
    }

    /// Says for what a provider is trusted: for who runs this installation.
    ///
    /// # Errors
    /// There is none of this id, or a domain is none.
    pub async fn trust_provider(&self, id: &str, trust: Trust) -> Result<ProviderInfo, ProviderError> {
        let trust = trust.checked()?;
        let provider = rows::change::<_, ProviderError, _>(&self.events, || async {
            let mut row = self.provider_row(id).await?.ok_or(ProviderError::Unknown)?;
            row.value.trust = trust.clone();
            let fact = Fact::ProviderTrusted { organisation: row.value.organisation, provider: id.to_owned() };
            Ok((self.stating(row.rewritten(), &fact)?, row.value))
        })
        .await?;
        Ok(self.provider_info(ProviderId(id.to_owned()), provider).await?)
    }

    /// Asks a provider what it publishes now.
    ///
    /// # Errors
    /// There is none of this id, or what it publishes is refused.
    pub async fn test_provider(&self, by: Option<&Member>, id: &str) -> Result<Tested, ProviderError> {
        let provider = self.provider_of(by, id).await?.value;
        let probe = self.directory()?.probe(&provider.issuer).await?;
        let (leads_to, answers_with_issuer) = (probe.metadata.authorization_origin(), probe.metadata.answers_with_issuer());
        if leads_to != provider.leads_to {
            self.note_origin(id, &leads_to).await?;
        }
        Ok(Tested { issuer: provider.issuer, keys: probe.keys, leads_to, answers_with_issuer })
    }

    /// A provider that the caller may configure: nobody who is named means who runs this installation.
    pub(crate) async fn provider_of(&self, by: Option<&Member>, id: &str) -> Result<Row<Provider>, ProviderError> {
        let row = self.provider_row(id).await?;
        row.filter(|row| by.is_none_or(|by| row.value.organisation == Some(by.organisation))).ok_or(ProviderError::Unknown)
    }

    /// Remembers where a provider sends people now, for the policies of pages.
    pub(crate) async fn note_origin(&self, id: &str, leads_to: &str) -> Result<(), StateError> {
        rows::change(&self.events, || async {
            let Some(mut row) = self.provider_row(id).await? else { return Ok((Batch::new(), ())) };
            leads_to.clone_into(&mut row.value.leads_to);
            Ok((row.rewritten(), ()))
        })
        .await
    }

    pub(crate) async fn provider_row(&self, id: &str) -> Result<Option<Row<Provider>>, StateError> {
        if !is_id(id) {
            return Ok(None);
        }
        rows::find(&self.events, PROVIDERS, id.as_bytes()).await
    }

    /// The providers of an issuer, of whatever organisation.
    pub(crate) async fn providers_named(&self, issuer: &Issuer) -> Result<Vec<(String, Provider)>, StateError> {
        let prefix = by_issuer(issuer);
        let mut found = Vec::new();
        for tail in rows::tails(&self.events, PROVIDERS_BY_ISSUER, prefix, MOST_OF_ISSUER).await? {
            let id = String::from_utf8_lossy(&tail).into_owned();
            found.extend(self.provider_row(&id).await?.map(|row| (id, row.value)));
        }
        Ok(found)
    }

    /// Whom providers are asked through.
    pub(crate) fn directory(&self) -> Result<&Directory, ProviderError> {
        self.directory.as_ref().ok_or(ProviderError::Off)
    }

    /// Ourselves as a client of a provider.
    pub(crate) async fn relying(&self, id: &str, provider: &Provider, redirect: &str) -> Result<Relying, ProviderError> {
        let metadata = self.directory()?.metadata(&provider.issuer).await?;
        let secret = self.secret_of(id, provider)?;
        Relying::new(metadata, &provider.client_id, secret.as_ref(), redirect).map_err(|_| ProviderError::Shape("the redirect URI is none"))
    }

    fn secret_of(&self, id: &str, provider: &Provider) -> Result<Option<Secret>, StateError> {
        let sealed = provider.sealed.as_ref();
        sealed.map(|sealed| self.sealer.unseal(&seal_subject(id), sealed)).transpose().map_err(StateError::Seal)
    }

    /// Where a provider sends people back to. Each has an address of its own, so that the answer of one cannot pass for another's.
    pub(crate) fn redirect_uri_of(&self, id: &str) -> Option<String> {
        self.issuer.as_ref().map(|issuer| format!("{issuer}/account/provider/{id}/callback"))
    }

    /// Ends all providers of an organisation, in a batch.
    pub(crate) async fn ending_providers(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let mut batch = batch;
        for id in self.provider_ids(Some(organisation)).await? {
            if let Some(row) = self.provider_row(&id).await? {
                batch = self.without_provider(batch, &id, &row.value).await?;
            }
        }
        self.ending_owners_of(batch, organisation).await
    }

    async fn drop_provider(&self, id: &str, may: impl Fn(&Provider) -> bool) -> Result<(), ProviderError> {
        rows::change(&self.events, || async {
            let row = self.provider_row(id).await?.filter(|row| may(&row.value)).ok_or(ProviderError::Unknown)?;
            let batch = self.without_provider(row.deleted(), id, &row.value).await?;
            let fact = Fact::ProviderRemoved { organisation: row.value.organisation, provider: id.to_owned() };
            Ok((self.stating(batch, &fact)?, ()))
        })
        .await
    }

    async fn without_provider(&self, batch: Batch, id: &str, provider: &Provider) -> Result<Batch, StateError> {
        let batch = batch.delete(PROVIDERS, id.as_bytes()).delete(PROVIDERS_OF, in_home(provider.organisation, id));
        let batch = batch.delete(PROVIDERS_BY_ISSUER, of_issuer(&provider.issuer, id));
        self.ending_owners(batch, id, &provider.issuer).await
    }

    async fn installation_has_devices_of(&self, issuer: &Issuer) -> Result<bool, StateError> {
        let named = self.providers_named(issuer).await?;
        Ok(named.iter().any(|(_, provider)| provider.organisation.is_none() && provider.devices.is_some()))
    }

    pub(crate) async fn provider_ids(&self, of: Option<OrganisationId>) -> Result<Vec<String>, StateError> {
        let most = self.config.providers.per_organisation;
        let tails = rows::tails(&self.events, PROVIDERS_OF, Key::new().id(&home(of)), most).await?;
        Ok(tails.iter().map(|tail| String::from_utf8_lossy(tail).into_owned()).collect())
    }

    async fn provider_info(&self, id: ProviderId, provider: Provider) -> Result<ProviderInfo, StateError> {
        let owners = self.owners_of(&id.0, &provider.issuer).await?;
        let redirect_uri = self.redirect_uri_of(&id.0);
        let Provider { organisation, name, issuer, client_id, sealed, scopes, sign_in, new_accounts, role, devices, trust, made, .. } =
            provider;
        let confidential = sealed.is_some();
        Ok(ProviderInfo {
            id,
            organisation,
            name,
            issuer,
            client_id,
            confidential,
            scopes,
            sign_in,
            new_accounts,
            role,
            devices,
            trust,
            redirect_uri,
            owners,
            made,
        })
    }
}

/// Whether a text can be a provider's id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == ID_CHARACTERS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What rows about an issuer begin with.
pub(crate) fn digest_of(issuer: &Issuer) -> Digest {
    secret::digest_of("issuer", &Secret::from(issuer.as_str().to_owned()))
}

/// The key that rows about an issuer begin with.
pub(crate) fn by_issuer(issuer: &Issuer) -> Key {
    let digest = digest_of(issuer);
    let (halves, _) = digest.as_chunks::<16>();
    halves.iter().fold(Key::new(), Key::id)
}

fn of_issuer(issuer: &Issuer, id: &str) -> Vec<u8> {
    [digest_of(issuer).as_slice(), id.as_bytes()].concat()
}

fn home(organisation: Option<OrganisationId>) -> [u8; 16] {
    organisation.map_or(INSTALLATION, |organisation| *organisation.as_bytes())
}

fn in_home(organisation: Option<OrganisationId>, id: &str) -> Vec<u8> {
    [home(organisation).as_slice(), id.as_bytes()].concat()
}

fn seal_subject(id: &str) -> String {
    format!("secret of provider {id}")
}

impl fmt::Display for ProviderId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
