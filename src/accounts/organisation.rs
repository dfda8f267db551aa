//! Organisations, and who is what in them.

use crate::{
    Accounts, Email, Right, Role, StateError, StepUpNeeded,
    history::Fact,
    oauth::ClientKey,
    person::{checked_name, person_id},
    role::Rights,
    rows::{self, MARK, MEMBERS, MEMBERSHIPS, ORGANISATIONS},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, Range, codec};
use gatehouse_types::{OrganisationId, PersonId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most organisations that one person belongs to.
pub const MOST_MEMBERSHIPS: usize = 200;
/// The most members that are told at once.
pub const MOST_MEMBERS: usize = 500;

/// A tenant. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Organisation {
    name: String,
    added: UnixTime,
    /// Made with its owner's account.
    personal: bool,
    /// Since when nothing is done in its name.
    #[serde(default)]
    pub(crate) suspended: Option<UnixTime>,
}

/// What somebody is in an organisation. A stored type: its old forms must still load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) role: Role,
    since: UnixTime,
}

impl Organisation {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn info(&self, id: OrganisationId, role: Role) -> OrganisationInfo {
        OrganisationInfo { id, name: self.name.clone(), personal: self.personal, role, suspended: self.suspended.is_some() }
    }
}

/// An organisation as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationInfo {
    /// The id.
    pub id: OrganisationId,
    /// What it is called.
    pub name: String,
    /// Whether it was made with its owner's account.
    pub personal: bool,
    /// What the member is in it.
    pub role: Role,
    /// Whether the operator of this installation has stopped everything that is done in its name.
    pub suspended: bool,
}

/// A member of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberInfo {
    /// Who.
    pub person: PersonId,
    /// The address to sign in with.
    pub email: Email,
    /// What to call them.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// Since when.
    pub since: UnixTime,
}

/// Proof that somebody has a right in an organisation. Made where a caller is checked, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Nobody where a program acts for itself.
    pub(crate) person: Option<PersonId>,
    pub(crate) organisation: OrganisationId,
    /// What they are through what they have shown: no more than what it may be, whoever it acts for.
    pub(crate) role: Role,
    /// What they may do through it, of what the role has.
    pub(crate) rights: Rights,
    /// Whether they are there themselves, and have proven lately who they are.
    pub(crate) lately: bool,
    /// The program that acts, for itself or for them.
    pub(crate) program: Option<ClientKey>,
}

impl Member {
    /// Somebody with all that their role has.
    pub(crate) fn of(person: PersonId, organisation: OrganisationId, role: Role) -> Self {
        Self { person: Some(person), organisation, role, rights: role.rights(), lately: false, program: None }
    }

    /// A program that acts for itself.
    pub(crate) fn of_program(organisation: OrganisationId, role: Role) -> Self {
        Self { person: None, organisation, role, rights: role.rights(), lately: false, program: None }
    }

    /// The same through something that was given these rights only.
    pub(crate) fn limited(self, rights: &[Right]) -> Self {
        Self { rights: self.rights.within(|right| rights.contains(&right)), ..self }
    }

    /// The same through a program.
    pub(crate) fn through(self, program: Option<ClientKey>) -> Self {
        Self { program, ..self }
    }

    /// The same through something that is this at most.
    pub(crate) fn at_most(self, role: Role) -> Self {
        Self { role: self.role.at_most(role), rights: self.rights.within(|right| role.has(right)), ..self }
    }

    /// The same, who has proven lately who they are.
    pub(crate) fn lately(self, lately: bool) -> Self {
        Self { lately, ..self }
    }

    /// What is dangerous asks for this.
    pub(crate) fn check_lately(&self) -> Result<(), StepUpNeeded> {
        if self.lately { Ok(()) } else { Err(StepUpNeeded) }
    }

    /// Who; nobody where a program acts for itself.
    pub fn person(&self) -> Option<PersonId> {
        self.person
    }

    /// Where.
    pub fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// As what.
    pub fn role(&self) -> Role {
        self.role
    }
}

/// An organisation cannot be made or its members cannot be changed.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// The name is empty or too long.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// The person is no member.
    #[error("there is no such member in this organisation")]
    NoMember,
    /// The role does not suffice.
    #[error("somebody whose role is {own} may neither give nor take away the role {role}")]
    NotAppointed {
        /// The role that the caller has.
        own: Role,
        /// The role that it is about.
        role: Role,
    },
    /// It is about an owner.
    #[error(transparent)]
    StepUp(#[from] StepUpNeeded),
    /// Nobody would own it any more.
    #[error("this is the last owner: make somebody else an owner first")]
    LastOwner,
    /// The person belongs to too many.
    #[error("somebody belongs to {MOST_MEMBERSHIPS} organisations at most")]
    TooMany,
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Makes an organisation that this person owns.
    ///
    /// # Errors
    /// The name is none, or the person belongs to too many.
    pub async fn add_organisation(&self, owner: PersonId, name: &str) -> Result<OrganisationInfo, MemberError> {
        let name = checked_name(name).ok_or(MemberError::Name)?;
        if self.organisations_of(owner).await?.len() >= MOST_MEMBERSHIPS {
            return Err(MemberError::TooMany);
        }
        let id = OrganisationId::from_random(self.draw());
        let batch = self.with_organisation_of(Batch::new(), id, &name, false, owner)?;
        self.events.commit(batch).await.map_err(StateError::Commit)?;
        Ok(OrganisationInfo { id, name, personal: false, role: Role::Owner, suspended: false })
    }

    /// The organisations that somebody belongs to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn organisations_of(&self, person: PersonId) -> Result<Vec<OrganisationInfo>, StateError> {
        let mut organisations = Vec::new();
        for (id, role) in self.roles_of(person).await? {
            let row = rows::find::<Organisation>(&self.events, ORGANISATIONS, *id.as_bytes()).await?;
            organisations.push(row.ok_or_else(|| StateError::Damaged(format!("organisation {id}")))?.value.info(id, role));
        }
        Ok(organisations)
    }

    /// The members of an organisation.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn members(&self, of: &Member) -> Result<Vec<MemberInfo>, StateError> {
        let mut members = Vec::new();
        for person in self.member_ids(of.organisation).await? {
            let (Some(membership), Some(row)) = (self.membership(person, of.organisation).await?, self.find_person(person).await?) else {
                continue;
            };
            let Membership { role, since } = membership.value;
            members.push(MemberInfo { person, email: row.value.email, name: row.value.name, role, since });
        }
        Ok(members)
    }

    /// Makes somebody something else in the caller's organisation, or adds them.
    ///
    /// # Errors
    /// The caller may not, or nobody would own it any more.
    pub async fn give_role(&self, by: &Member, person: PersonId, role: Role) -> Result<(), MemberError> {
        rows::change(&self.events, || async {
            let old = self.membership(person, by.organisation).await?.ok_or(MemberError::NoMember)?;
            self.check_change(by, person, old.value.role, Some(role)).await?;
            let mut new = old;
            new.value.role = role;
            let fact = Fact::RoleGiven { organisation: by.organisation, person, role };
            Ok((self.stating(self.unless_owners_change(new.rewritten(), by.organisation).await?, &fact)?, ()))
        })
        .await
    }

    /// Removes somebody from the caller's organisation; everybody may remove themselves.
    ///
    /// # Errors
    /// The caller may not, or nobody would own it any more.
    pub async fn remove_member(&self, by: &Member, person: PersonId) -> Result<(), MemberError> {
        rows::change(&self.events, || async {
            let old = self.membership(person, by.organisation).await?.ok_or(MemberError::NoMember)?;
            self.check_change(by, person, old.value.role, None).await?;
            let batch = self.unless_owners_change(old.deleted(), by.organisation).await?;
            let batch = batch.delete(MEMBERS, rows::member(by.organisation, person));
            let (batch, _) = self.ending_grants(batch, person, |grant| grant.organisation == by.organisation).await?;
            let batch = self.ending_tokens_in(batch, person, by.organisation).await?;
            let batch = self.ending_consents(batch, person, |organisation| organisation == by.organisation).await?;
            Ok((self.stating(batch, &Fact::MemberRemoved { organisation: by.organisation, person })?, ()))
        })
        .await
    }

    async fn check_change(&self, by: &Member, person: PersonId, old: Role, new: Option<Role>) -> Result<(), MemberError> {
        let leaves = by.person == Some(person) && new.is_none();
        for role in [Some(old), new].into_iter().flatten() {
            if !by.role.may_appoint(role) && !leaves {
                return Err(MemberError::NotAppointed { own: by.role, role });
            }
        }
        if old == Role::Owner || new == Some(Role::Owner) {
            by.check_lately()?;
        }
        if old == Role::Owner && new != Some(Role::Owner) && self.owner_ids(by.organisation).await?.len() == 1 {
            return Err(MemberError::LastOwner);
        }
        Ok(())
    }

    pub(crate) async fn owner_ids(&self, organisation: OrganisationId) -> Result<Vec<PersonId>, StateError> {
        let mut owners = Vec::new();
        for person in self.member_ids(organisation).await? {
            let membership = self.membership(person, organisation).await?;
            owners.extend(membership.filter(|row| row.value.role == Role::Owner).map(|_| person));
        }
        Ok(owners)
    }

    /// Makes a change of members conflict with every other one of the same organisation: two owners who leave at the same
    /// moment would each see the other one stay.
    pub(crate) async fn unless_owners_change(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let row = rows::find::<Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?;
        Ok(batch.and(row.ok_or_else(|| StateError::Damaged(format!("organisation {organisation}")))?.rewritten()))
    }

    pub(crate) async fn membership(
        &self,
        person: PersonId,
        organisation: OrganisationId,
    ) -> Result<Option<rows::Row<Membership>>, StateError> {
        rows::find(&self.events, MEMBERSHIPS, rows::membership(person, organisation)).await
    }

    pub(crate) async fn member_ids(&self, organisation: OrganisationId) -> Result<Vec<PersonId>, StateError> {
        let prefix = gatehouse_store::Key::new().id(organisation.as_bytes());
        rows::tails(&self.events, MEMBERS, prefix, MOST_MEMBERS).await?.iter().map(|key| person_id(key)).collect()
    }

    /// Whether somebody belongs to an organisation in whose name something may be done.
    pub(crate) async fn may_act_in(&self, person: PersonId, organisation: OrganisationId) -> Result<bool, StateError> {
        Ok(self.acting_role(person, organisation).await?.is_some())
    }

    /// What somebody is in an organisation in whose name something may be done.
    pub(crate) async fn acting_role(&self, person: PersonId, organisation: OrganisationId) -> Result<Option<Role>, StateError> {
        let role = self.roles_of(person).await?.into_iter().find(|(own, _)| *own == organisation).map(|(_, role)| role);
        if role.is_some() && self.is_suspended(organisation).await? { Ok(None) } else { Ok(role) }
    }

    pub(crate) async fn roles_of(&self, person: PersonId) -> Result<Vec<(OrganisationId, Role)>, StateError> {
        let range = Range::prefix(rows::by_person(person));
        let rows = self.events.store().scan(MEMBERSHIPS, range, MOST_MEMBERSHIPS).await?;
        rows.into_iter()
            .map(|(key, entry)| {
                let id = key.get(16..).and_then(|tail| <[u8; 16]>::try_from(tail).ok());
                let id = id.ok_or_else(|| StateError::Damaged("a membership's key".to_owned()))?;
                Ok((OrganisationId::from_random(id), codec::decode::<Membership>(&entry.value)?.role))
            })
            .collect()
    }

    /// Adds a new organisation with its owner to a batch.
    pub(crate) fn with_organisation(&self, batch: Batch, name: &str, personal: bool, owner: PersonId) -> Result<Batch, StateError> {
        self.with_organisation_of(batch, OrganisationId::from_random(self.draw()), name, personal, owner)
    }

    fn with_organisation_of(
        &self,
        batch: Batch,
        id: OrganisationId,
        name: &str,
        personal: bool,
        owner: PersonId,
    ) -> Result<Batch, StateError> {
        let now = self.clock.now();
        let organisation = Organisation { name: name.to_owned(), added: now, personal, suspended: None };
        let batch = batch.and(rows::new(ORGANISATIONS, *id.as_bytes(), &organisation));
        let batch = self.stating(batch, &Fact::OrganisationAdded { organisation: id })?;
        self.with_member(batch, id, owner, Role::Owner)
    }

    /// Adds a member to a batch.
    pub(crate) fn with_member(
        &self,
        batch: Batch,
        organisation: OrganisationId,
        person: PersonId,
        role: Role,
    ) -> Result<Batch, StateError> {
        let membership = Membership { role, since: self.clock.now() };
        let batch = batch.put(MEMBERSHIPS, rows::membership(person, organisation), codec::encode(&membership));
        let batch = batch.put(MEMBERS, rows::member(organisation, person), MARK);
        self.stating(batch, &Fact::RoleGiven { organisation, person, role })
    }
}

impl Fault for MemberError {
    fn kind(&self) -> Kind {
        match self {
            Self::Name => Kind::Invalid,
            Self::NoMember => Kind::NotFound,
            Self::NotAppointed { .. } => Kind::Forbidden,
            Self::StepUp(error) => error.kind(),
            Self::LastOwner | Self::TooMany => Kind::Conflict,
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::NoMember => "no-such-member",
            Self::NotAppointed { .. } => "role-not-yours-to-give",
            Self::StepUp(error) => error.code(),
            Self::LastOwner => "last-owner",
            Self::TooMany => "too-many-organisations",
            Self::State(error) => error.code(),
        }
    }

    fn field(&self) -> Option<&str> {
        match self {
            Self::Name => Some("name"),
            Self::NotAppointed { .. } => Some("role"),
            Self::NoMember | Self::StepUp(_) | Self::LastOwner | Self::TooMany | Self::State(_) => None,
        }
    }
}
