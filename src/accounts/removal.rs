//! Leaving: an account goes with everything that is its own.
//!
//! Its sessions, tokens, passkeys, links and memberships go, and the organisations that nobody else is in. Organisations that have other
//! members and no other owner stand in the way. The history becomes unreadable: its key is destroyed in the same batch.

use crate::{
    AccountError, Accounts, Role, StateError, SteppedUp, Visitor,
    address::KEPT_ADDRESSES,
    history::Fact,
    letters::AddressGone,
    links::LinkKind,
    passkey::ending_passkeys,
    person::Person,
    registration::UNCONFIRMED,
    rows::{self, ADDRESSES, MEMBERS, MEMBERSHIPS, ORGANISATIONS, Row},
};
use gatehouse_store::Batch;
use gatehouse_types::{OrganisationId, PersonId, Secret};

impl Accounts {
    /// Deletes the account of somebody who gives the password once more.
    ///
    /// # Errors
    /// The password is wrong, or organisations would have no owner.
    pub async fn remove_account(&self, by: &SteppedUp, password: &Secret, from: &Visitor) -> Result<(), AccountError> {
        let person = by.person;
        self.check_password(person, password, from).await?;
        rows::change(&self.events, || async {
            let row = self.find_person(person).await?.ok_or(AccountError::Wrong)?;
            let batch = self.removing(person, &row).await?;
            let Some(outbox) = &self.mail else { return Ok((batch, ())) };
            let letter = AddressGone { from, at: self.clock.now(), removed: true };
            Ok((outbox.enclose_if_possible(batch, &row.value.email, &letter).await.map_err(StateError::from)?, ()))
        })
        .await
    }

    /// Deletes an account that nobody confirmed.
    pub(crate) async fn forget_person(&self, person: PersonId) -> Result<(), StateError> {
        let forgotten = rows::change::<_, AccountError, _>(&self.events, || async {
            match self.find_person(person).await? {
                Some(row) if row.value.unconfirmed.is_some() => Ok((self.removing(person, &row).await?, ())),
                _ => Ok((Batch::new().delete(UNCONFIRMED, rows::by_person(person)), ())),
            }
        });
        match forgotten.await {
            Err(AccountError::State(error)) => Err(error),
            // Somebody who has confirmed nothing is no owner of anything with members in it.
            _ => Ok(()),
        }
    }

    async fn removing(&self, person: PersonId, row: &Row<Person>) -> Result<Batch, AccountError> {
        let mut batch = row.deleted().delete(ADDRESSES, row.value.email.folded()).delete(UNCONFIRMED, rows::by_person(person));
        batch = ending_passkeys(batch, &row.value.second_factor);
        let mut in_the_way = Vec::new();
        for organisation in self.organisations_of(person).await? {
            let members = self.member_ids(organisation.id).await?;
            if members.as_slice() == [person] {
                batch = self.removing_organisation(batch, organisation.id).await?;
            } else if organisation.role == Role::Owner && self.owner_ids(organisation.id).await?.len() == 1 {
                in_the_way.push(organisation.name);
            } else {
                batch = self.unless_owners_change(batch, organisation.id).await?;
                batch = self.stating(batch, &Fact::MemberRemoved { organisation: organisation.id, person })?;
            }
            batch = batch.delete(MEMBERSHIPS, rows::membership(person, organisation.id));
            batch = batch.delete(MEMBERS, rows::member(organisation.id, person));
        }
        if !in_the_way.is_empty() {
            return Err(AccountError::LastOwner { organisations: in_the_way });
        }
        let batch = self.ending_sessions(batch, person, None).await?;
        let batch = self.ending_tokens(batch, person).await?;
        let batch = self.ending_consents(batch, person, |_| true).await?;
        let batch = self.ending_identities(batch, person).await?;
        let all = [LinkKind::Confirm, LinkKind::Reset, LinkKind::ChangeAddress, LinkKind::KeepAddress];
        let batch = self.ending_links(batch, person, &all).await?;
        let batch = self.giving_up_addresses(batch, person).await?;
        let batch = self.stating(batch, &Fact::PersonRemoved { person })?;
        Ok(self.events.erasing(batch, &format!("person/{person}")))
    }

    async fn removing_organisation(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let batch = self.unless_owners_change(batch, organisation).await?.delete(ORGANISATIONS, *organisation.as_bytes());
        let batch = self.ending_clients(batch, organisation).await?;
        let batch = self.ending_providers(batch, organisation).await?;
        let batch = self.ending_invitations(batch, organisation).await?;
        self.stating(batch, &Fact::OrganisationRemoved { organisation })
    }

    async fn giving_up_addresses(&self, batch: Batch, person: PersonId) -> Result<Batch, StateError> {
        let mut batch = batch;
        for address in self.addresses_kept_for(person).await? {
            batch = batch.delete(KEPT_ADDRESSES, address);
        }
        Ok(batch)
    }
}
