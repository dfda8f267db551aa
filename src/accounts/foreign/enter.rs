//! What follows when a provider says who somebody is.
//!
//! Only a link lets anybody in. Without one there are two ways, and both need that the operator of this installation trusts the provider
//! for the domain of the address, and that the provider has verified the address: the account whose owner has confirmed the same address
//! is linked, or, where the provider may bring people, an account is made. Everybody else learns what to do, and nothing about accounts.

use super::{
    Provider,
    identity::{LinkError, LinkedBy, Via},
};
use crate::{
    Accounts, Challenge, Email, Happening, NewPassword, NewSession, SignInError, StateError, Visitor,
    organisation::MOST_MEMBERS,
    person::{Person, checked_name},
    rows, secret,
};
use gatehouse_openid::Identity;
use gatehouse_types::{OrganisationId, PersonId};

/// That several factors were shown (RFC 8176 §2).
const SEVERAL_FACTORS: &str = "mfa";

/// How far somebody came whom a provider knows.
#[derive(Debug)]
pub(crate) enum Entered {
    /// All the way.
    Session(NewSession),
    /// A second factor is asked for, as with a password.
    SecondFactor(Challenge),
    /// Nobody here is linked to this login.
    Stranger,
    /// The provider is an organisation's, and the account does not belong to it.
    Outsider,
}

/// What is to be done about somebody whom a provider knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Decision {
    Admit(PersonId),
    Link(PersonId),
    Make(Email),
    Nothing,
}

/// Whom the address that a provider tells belongs to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Confirmed(PersonId),
    /// Somebody who has not shown that it is theirs, or it is kept for somebody.
    Other,
}

fn decide(provider: &Provider, identity: &Identity, linked: Option<PersonId>, holder: impl FnOnce(&Email) -> Holder) -> Decision {
    if let Some(person) = linked {
        return Decision::Admit(person);
    }
    let email = identity.email.as_ref().filter(|_| identity.email_verified).and_then(|email| email.parse::<Email>().ok());
    let Some(email) = email.filter(|email| provider.trust.speaks_for(email)) else { return Decision::Nothing };
    match holder(&email) {
        Holder::Confirmed(person) => Decision::Link(person),
        Holder::Nobody if provider.new_accounts => Decision::Make(email),
        Holder::Nobody | Holder::Other => Decision::Nothing,
    }
}

impl Accounts {
    /// Lets somebody in whom a provider knows.
    ///
    /// # Errors
    /// The accounts could not be read or written, or there is no turn for a password that nobody will ever type.
    pub(crate) async fn vouched_for(
        &self,
        (id, provider): (&str, &Provider),
        identity: &Identity,
        from: &Visitor,
    ) -> Result<Entered, SignInError> {
        if let Some(organisation) = provider.organisation
            && self.is_suspended(organisation).await?
        {
            return Ok(Entered::Outsider);
        }
        let linked = self.identity_linked(&provider.issuer, identity).await?;
        let holder = self.holder_of(identity).await?;
        let person = match decide(provider, identity, linked, |_| holder) {
            Decision::Admit(person) => person,
            Decision::Link(person) if self.link_by_address(person, provider, identity, from).await? => person,
            Decision::Make(email) => match self.make_account(email, provider, identity, from).await? {
                Some(person) => person,
                None => return Ok(Entered::Stranger),
            },
            Decision::Link(_) | Decision::Nothing => return Ok(Entered::Stranger),
        };
        if let Some(organisation) = provider.organisation
            && !self.may_act_in(person, organisation).await?
        {
            return Ok(Entered::Outsider);
        }
        let via = Via::new(id, &provider.issuer, &identity.subject);
        let shown = provider.trust.second_factor && identity.methods.iter().any(|method| method == SEVERAL_FACTORS);
        self.let_in_via(person, &via, shown, from).await
    }

    /// Whom an address belongs to.
    async fn holder_of(&self, identity: &Identity) -> Result<Holder, StateError> {
        let Some(email) = identity.email.as_ref().and_then(|email| email.parse::<Email>().ok()) else { return Ok(Holder::Other) };
        match self.find_by_email(&email).await? {
            Some((person, row)) if row.value.unconfirmed.is_none() => Ok(Holder::Confirmed(person)),
            Some(_) => Ok(Holder::Other),
            None if self.is_taken(&email).await? => Ok(Holder::Other),
            None => Ok(Holder::Nobody),
        }
    }

    /// Links the account whose owner has confirmed the address. Whether it still goes.
    async fn link_by_address(
        &self,
        person: PersonId,
        provider: &Provider,
        identity: &Identity,
        from: &Visitor,
    ) -> Result<bool, StateError> {
        let linked = rows::change::<_, LinkError, _>(&self.events, || async {
            let row = self.find_person(person).await?.ok_or(LinkError::Unknown)?;
            // It may have been changed since it was looked at.
            let same = identity.email.as_deref().is_some_and(|email| email.to_lowercase() == row.value.email.folded());
            if !same || row.value.unconfirmed.is_some() {
                return Err(LinkError::Unknown);
            }
            let known = (&provider.issuer, identity.subject.as_str(), identity.email.as_deref());
            Ok((self.with_identity(row.unchanged(), (person, &row.value), known, LinkedBy::Address, from).await?, ()))
        });
        match linked.await {
            Ok(()) => Ok(true),
            Err(LinkError::State(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// Makes an account for somebody new, in the provider's organisation where it has one. Nothing where the organisation is full.
    async fn make_account(
        &self,
        email: Email,
        provider: &Provider,
        identity: &Identity,
        from: &Visitor,
    ) -> Result<Option<PersonId>, SignInError> {
        if let Some(organisation) = provider.organisation
            && self.member_ids(organisation).await?.len() >= MOST_MEMBERS
        {
            return Ok(None);
        }
        // One that nobody knows: a link in a letter sets another, if its owner ever wants one.
        let password = self.passwords.keep(&NewPassword::new(secret::draw(&*self.random))?).await?;
        let name = identity.name.as_deref().and_then(checked_name).or_else(|| checked_name(email.as_str()));
        let person = Person::new(email.clone(), name.unwrap_or_else(|| "?".to_owned()), password, false, self.clock.now());
        let id = PersonId::from_random(self.draw());
        let made = rows::change::<_, LinkError, _>(&self.events, || async {
            if self.is_taken(&email).await? {
                return Err(LinkError::Taken);
            }
            let batch = self.adding(&person, id)?;
            let batch = match (provider.organisation, provider.role) {
                (Some(organisation), Some(role)) => {
                    let batch = self.unless_owners_change(batch, organisation).await?;
                    let batch = self.with_member(batch, organisation, id, role)?;
                    self.telling(batch, id, Happening::JoinedOrganisation { organisation, role }, Some(from)).await?
                }
                _ => batch,
            };
            let known = (&provider.issuer, identity.subject.as_str(), identity.email.as_deref());
            Ok((self.with_identity(batch, (id, &person), known, LinkedBy::Account, from).await?, ()))
        });
        match made.await {
            Ok(()) => Ok(Some(id)),
            Err(LinkError::State(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Whether a provider through which a session began is still there, and in which organisation alone the session acts.
    pub(crate) async fn reach_of(&self, via: &Via) -> Result<Option<Option<OrganisationId>>, StateError> {
        Ok(self.provider_row(&via.provider.0).await?.map(|row| row.value.organisation))
    }
}
