//! Letters about what happened to an account, for the case that it was somebody else.
//!
//! They go with what they tell of and hold nothing up: when there is no mail, or too many letters went to the address, it happens
//! without one. Only the letter about a sign-in from a new place can be switched off.

use crate::{
    Accounts, StateError, Visitor,
    letters::{Change, Changed, MemberReset, NewSignIn},
    person::Person,
};
use gatehouse_store::Batch;
use gatehouse_types::PersonId;
use std::collections::BTreeSet;

/// The most owners who are told of one reset.
const MOST_TOLD: usize = 100;

impl Accounts {
    /// Tells somebody that the way into their account has changed.
    pub(crate) async fn noticing(&self, batch: Batch, person: &Person, what: Change, from: Option<&Visitor>) -> Result<Batch, StateError> {
        let Some(outbox) = self.mail.as_ref().filter(|_| person.unconfirmed.is_none()) else { return Ok(batch) };
        let letter = Changed { what, from, at: self.clock.now() };
        Ok(outbox.enclose_if_possible(batch, &person.email, &letter).await?)
    }

    /// Tells somebody of a sign-in from where there was none before. The first one of all is no news.
    pub(crate) async fn noticing_sign_in(&self, batch: Batch, person: &mut Person, from: &Visitor) -> Result<Batch, StateError> {
        let first = person.seen.is_empty();
        let elsewhere = person.seen.add(from.address);
        let otherwise = person.programs.add(&from.agent);
        let wanted = person.sign_in_mail && person.unconfirmed.is_none();
        let Some(outbox) = self.mail.as_ref().filter(|_| wanted && !first && (elsewhere || otherwise)) else { return Ok(batch) };
        let letter = NewSignIn { from, at: self.clock.now() };
        Ok(outbox.enclose_if_possible(batch, &person.email, &letter).await?)
    }

    /// Tells somebody, and the owners of the organisations that they belong to, of a reset at the console.
    pub(crate) async fn noticing_reset(&self, batch: Batch, id: PersonId, person: &Person) -> Result<Batch, StateError> {
        let mut batch = self.noticing(batch, person, Change::ResetByOperator, None).await?;
        let Some(outbox) = &self.mail else { return Ok(batch) };
        let mut told = BTreeSet::from([id]);
        for organisation in self.organisations_of(id).await? {
            for owner in self.owner_ids(organisation.id).await? {
                if told.len() > MOST_TOLD || !told.insert(owner) {
                    continue;
                }
                let Some(row) = self.find_person(owner).await?.filter(|row| row.value.unconfirmed.is_none()) else { continue };
                let letter = MemberReset { member: &person.email, organisation: &organisation.name, at: self.clock.now() };
                batch = outbox.enclose_if_possible(batch, &row.value.email, &letter).await?;
            }
        }
        Ok(batch)
    }
}
