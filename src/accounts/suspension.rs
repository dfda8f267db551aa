//! Suspending an organisation: the operator of this installation stops everything that is done in its name, and lets it go on again.
//!
//! Nothing is deleted. From the next request on no session, token or program acts in it ([`Gate`](crate::Gate) asks each time). The
//! fact in the stream of all accounts is for what holds connections open: whoever follows it closes those of the organisation.

use crate::{
    Accounts, Named, NamedError, StateError,
    history::Fact,
    organisation::Organisation,
    rows::{self, ORGANISATIONS},
};
use gatehouse_store::{Range, codec};
use gatehouse_types::{OrganisationId, UnixTime};
use serde::{Deserialize, Serialize};

/// An organisation as whoever runs the installation sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganisationSummary {
    /// The id.
    pub id: OrganisationId,
    /// What it is called.
    pub name: String,
    /// Since when nothing is done in its name.
    pub suspended: Option<UnixTime>,
}

impl Accounts {
    /// Suspends an organisation; one that is suspended stays so.
    ///
    /// # Errors
    /// There is none of this id.
    pub(crate) async fn suspend(&self, organisation: OrganisationId) -> Result<(), NamedError> {
        self.suspending(organisation, true).await
    }

    /// The same at the machine's own console, which needs nobody else's consent.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn suspend_at_console(&self, organisation: OrganisationId) -> Result<(), NamedError> {
        self.suspend(organisation).await
    }

    /// Lets an organisation go on.
    ///
    /// # Errors
    /// There is none of this id.
    pub async fn resume(&self, organisation: OrganisationId) -> Result<(), NamedError> {
        self.suspending(organisation, false).await
    }

    /// The organisations behind this one, by their ids, so many at most.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn organisations(&self, after: Option<OrganisationId>, limit: usize) -> Result<Vec<OrganisationSummary>, StateError> {
        let range = after.map_or(Range::all(), |id| Range::all().after(id.as_bytes()));
        let rows = self.events.store().scan(ORGANISATIONS, range, limit).await?;
        let summary = |(key, entry): (Vec<u8>, gatehouse_store::Entry)| {
            let id = <[u8; 16]>::try_from(key).map_err(|_| StateError::Damaged("an organisation's key".to_owned()))?;
            let organisation: Organisation = codec::decode(&entry.value)?;
            // As with people's ids: what we wrote comes back unchanged.
            Ok(OrganisationSummary {
                id: OrganisationId::from_random(id),
                name: organisation.name().to_owned(),
                suspended: organisation.suspended,
            })
        };
        rows.into_iter().map(summary).collect()
    }

    /// Whether everything that is done in an organisation's name is stopped.
    pub(crate) async fn is_suspended(&self, organisation: OrganisationId) -> Result<bool, StateError> {
        let row = rows::find::<Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?;
        Ok(row.is_none_or(|row| row.value.suspended.is_some()))
    }

    async fn suspending(&self, organisation: OrganisationId, suspend: bool) -> Result<(), NamedError> {
        rows::change(&self.events, || async {
            let row = rows::find::<Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?;
            let mut row = row.ok_or(NamedError::Unknown(Named::Organisation))?;
            if row.value.suspended.is_some() == suspend {
                return Ok((row.unchanged(), ()));
            }
            row.value.suspended = suspend.then(|| self.clock.now());
            let fact = if suspend { Fact::OrganisationSuspended { organisation } } else { Fact::OrganisationResumed { organisation } };
            Ok((self.stating(row.rewritten(), &fact)?, ()))
        })
        .await
    }
}
