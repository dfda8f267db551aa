//! Whose the devices are that a provider vouches for: what a token says about its owner, mapped to an organisation by hand.
//!
//! The pair of issuer and owner stands for one organisation in the whole installation, and is given once: whoever has it keeps it until
//! they give it up. An organisation maps owners to itself only; the operator, for providers of the whole installation, to anybody.

use super::{
    ProviderError,
    provider::{by_issuer, digest_of},
};
use crate::{
    Accounts, Fact, Member, StateError,
    rows::{self, ORGANISATIONS, Row},
};
use gatehouse_openid::Issuer;
use gatehouse_store::{Batch, Range, Table, codec};
use gatehouse_types::{OrganisationId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Owners: the issuer's digest, then what the claim holds.
pub(crate) const OWNERS: Table = Table::new("account-provider-owners");

const MOST_OWNER_BYTES: usize = 255;
/// The most owners that one provider has.
const MOST: usize = 1000;
/// How many rows of an issuer are looked at in one go.
const PAGE: usize = 1000;
/// Behind the digest of the issuer.
const OWNER_AT: usize = 32;

/// An owner as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) provider: String,
    pub(crate) organisation: OrganisationId,
    since: UnixTime,
}

/// What an owner stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerInfo {
    /// What the claim holds.
    pub owner: String,
    /// Whose its devices are.
    pub organisation: OrganisationId,
    /// Since when.
    pub since: UnixTime,
}

impl Accounts {
    /// Maps an owner to the organisation of the provider.
    ///
    /// # Errors
    /// There is no such provider of the caller's, or somebody has the owner.
    pub async fn map_owner(&self, by: &Member, id: &str, owner: &str) -> Result<(), ProviderError> {
        self.map_owner_to(Some(by), id, owner, by.organisation).await
    }

    /// Maps an owner of a provider of the whole installation to an organisation: for who runs it.
    ///
    /// # Errors
    /// There is no such provider or organisation, or somebody has the owner.
    pub async fn map_owner_for(&self, id: &str, owner: &str, organisation: OrganisationId) -> Result<(), ProviderError> {
        self.map_owner_to(None, id, owner, organisation).await
    }

    async fn map_owner_to(&self, by: Option<&Member>, id: &str, owner: &str, organisation: OrganisationId) -> Result<(), ProviderError> {
        if !(1..=MOST_OWNER_BYTES).contains(&owner.len()) {
            return Err(ProviderError::Owner);
        }
        rows::change(&self.events, || async {
            let row = self.provider_of(by, id).await?;
            let provider = &row.value;
            if provider.devices.is_none() {
                return Err(ProviderError::NoDevices);
            }
            // A tenant's provider never speaks for another tenant, whoever maps it.
            let exists = rows::find::<crate::organisation::Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?;
            if exists.is_none() || provider.organisation.is_some_and(|own| own != organisation) {
                return Err(ProviderError::NoOrganisation);
            }
            if self.find_owner(&provider.issuer, owner).await?.is_some() {
                return Err(ProviderError::OwnerTaken);
            }
            if self.owners_of(id, &provider.issuer).await?.len() >= MOST {
                return Err(ProviderError::TooManyOwners { most: MOST });
            }
            let kept = Owner { provider: id.to_owned(), organisation, since: self.clock.now() };
            let batch = row.unchanged().and(rows::new(OWNERS, key(&provider.issuer, owner), &kept));
            Ok((self.stating(batch, &Fact::OwnerMapped { organisation, provider: id.to_owned() })?, ()))
        })
        .await
    }

    /// Takes the mapping of an owner back; nobody who is named means who runs this installation.
    ///
    /// # Errors
    /// There is no such provider of the caller's, or no such owner.
    pub async fn unmap_owner(&self, by: Option<&Member>, id: &str, owner: &str) -> Result<(), ProviderError> {
        rows::change(&self.events, || async {
            let provider = self.provider_of(by, id).await?.value;
            let row = self.find_owner(&provider.issuer, owner).await?.filter(|row| row.value.provider == id);
            let row = row.ok_or(ProviderError::NoOwner)?;
            let fact = Fact::OwnerUnmapped { organisation: row.value.organisation, provider: id.to_owned() };
            Ok((self.stating(row.deleted(), &fact)?, ()))
        })
        .await
    }

    pub(crate) async fn find_owner(&self, issuer: &Issuer, owner: &str) -> Result<Option<Row<Owner>>, StateError> {
        rows::find(&self.events, OWNERS, key(issuer, owner)).await
    }

    pub(crate) async fn owners_of(&self, id: &str, issuer: &Issuer) -> Result<Vec<OwnerInfo>, StateError> {
        let mut owners = self.owners_where(Range::prefix(by_issuer(issuer)), |kept| kept.provider == id).await?;
        owners.truncate(MOST);
        let info = |(key, kept): (Vec<u8>, Owner)| OwnerInfo {
            owner: String::from_utf8_lossy(key.get(OWNER_AT..).unwrap_or_default()).into_owned(),
            organisation: kept.organisation,
            since: kept.since,
        };
        Ok(owners.into_iter().map(info).collect())
    }

    /// Takes all mappings of a provider back, in a batch.
    pub(crate) async fn ending_owners(&self, batch: Batch, id: &str, issuer: &Issuer) -> Result<Batch, StateError> {
        let owners = self.owners_where(Range::prefix(by_issuer(issuer)), |kept| kept.provider == id).await?;
        Ok(owners.into_iter().fold(batch, |batch, (key, _)| batch.delete(OWNERS, key)))
    }

    /// Takes all mappings to an organisation back, in a batch.
    pub(crate) async fn ending_owners_of(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let owners = self.owners_where(Range::all(), |kept| kept.organisation == organisation).await?;
        Ok(owners.into_iter().fold(batch, |batch, (key, _)| batch.delete(OWNERS, key)))
    }

    async fn owners_where(&self, range: Range, wanted: impl Fn(&Owner) -> bool) -> Result<Vec<(Vec<u8>, Owner)>, StateError> {
        let (mut range, mut owners) = (range, Vec::new());
        loop {
            let rows = self.events.store().scan(OWNERS, range.clone(), PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(owners) };
            range = range.after(last);
            for (key, entry) in rows {
                let kept: Owner = codec::decode(&entry.value)?;
                if wanted(&kept) {
                    owners.push((key, kept));
                }
            }
        }
    }
}

fn key(issuer: &Issuer, owner: &str) -> Vec<u8> {
    [digest_of(issuer).as_slice(), owner.as_bytes()].concat()
}
