//! Invitations: a member who appoints roles asks an address into the organisation.
//!
//! The link in the letter is good once. Whoever has it has read the mailbox: it makes an account with that address, or adds the
//! membership of the person who has it and is signed in. An invitation is worth what its maker may still give when it is accepted.

use crate::{
    Accounts, Email, Happening, MailError, Member, NewPassword, OrganisationInfo, PasswordRefused, PersonInfo, Role, StateError,
    StepUpNeeded, Visitor, counters,
    history::Fact,
    letters::Invited,
    links::LinkKind,
    organisation::{MOST_MEMBERS, MOST_MEMBERSHIPS, Organisation},
    pace::TooFast,
    password::{Busy, Kept},
    person::{Person, checked_name},
    rows::{self, MARK, ORGANISATIONS, Row},
    secret::{self, DIGEST_BYTES, Digest},
    told::{Tells, Told},
};
use gatehouse_base::Kind;
use gatehouse_store::{Batch, Key, Table};
use gatehouse_types::{OrganisationId, PersonId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Invitations by the digest of their secret.
pub(crate) const INVITATIONS: Table = Table::new("account-invitations");
/// The invitations of an organisation: organisation, then digest; without content.
pub(crate) const INVITATIONS_OF: Table = Table::new("account-invitations-of");

/// The most invitations that an organisation has out.
const MOST: usize = 200;

/// An invitation as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    organisation: OrganisationId,
    email: Email,
    role: Role,
    /// Nobody where a program invited for itself.
    by: Option<PersonId>,
    /// The program that invited, for itself or for somebody.
    #[serde(default)]
    client: Option<String>,
    made: UnixTime,
    ends: UnixTime,
}

/// An invitation as members see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InvitationInfo {
    /// What it is withdrawn by.
    pub id: String,
    /// Who is invited.
    pub email: Email,
    /// As what.
    pub role: Role,
    /// Since when.
    pub made: UnixTime,
    /// Until when.
    pub ends: UnixTime,
}

/// An invitation as the one who is invited sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InvitationOffer {
    /// The organisation's name.
    pub organisation: String,
    /// Who is invited.
    pub email: Email,
    /// As what.
    pub role: Role,
    /// Until when.
    pub ends: UnixTime,
    /// Whether somebody has an account with the address, who has to sign in.
    pub account: bool,
}

/// Who accepts an invitation.
#[derive(Debug)]
pub enum Accepting<'a> {
    /// Somebody who is signed in.
    Person(PersonId),
    /// Somebody new.
    New {
        /// What to call them.
        name: &'a str,
        /// Their password.
        password: &'a NewPassword,
    },
}

/// An invitation cannot be made, found or accepted.
#[derive(Debug, thiserror::Error)]
pub enum InvitationError {
    /// An owner is invited.
    #[error(transparent)]
    StepUp(#[from] StepUpNeeded),
    /// The caller's role does not suffice.
    #[error("somebody whose role is {own} cannot invite anybody as {role}")]
    NotAppointed {
        /// The caller's role.
        own: Role,
        /// The role that it is about.
        role: Role,
    },
    /// There are too many.
    #[error("an organisation has {MOST} invitations out at most; withdraw one first")]
    TooMany,
    /// There were too many in a day.
    #[error("an organisation, and somebody in all of theirs, invites only so many in a day; wait {} minutes", wait.as_secs().div_ceil(60))]
    TooFast {
        /// When to come back.
        wait: Duration,
    },
    /// The person is a member.
    #[error("somebody with this address is a member already")]
    Member,
    /// There is none of this id.
    #[error("there is no such invitation")]
    Unknown,
    /// The link does nothing.
    #[error("this invitation was used or withdrawn, or its time is over; ask for another one")]
    Over,
    /// It is for another address.
    #[error("this invitation is for another address than that of your account")]
    ForAnother,
    /// There is an account with the address.
    #[error("there is an account with this address: sign in, and accept the invitation then")]
    SignIn,
    /// The name is none.
    #[error("a name has 1 to 100 characters, none of which is a control character")]
    Name,
    /// The organisation or the person has too many.
    #[error("the organisation has {MOST_MEMBERS} members, or you belong to {MOST_MEMBERSHIPS} organisations: that is the most")]
    Crowded,
    /// Nobody can be written to.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// The new password is not accepted.
    #[error(transparent)]
    Refused(#[from] PasswordRefused),
    /// There is no turn for the password.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The accounts could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Accounts {
    /// Invites an address into the caller's organisation. An invitation of the same address that is out is replaced.
    ///
    /// # Errors
    /// The caller may not give the role, the person is a member, or no letter can go there.
    pub async fn invite(&self, by: &Member, email: &Email, role: Role) -> Result<InvitationInfo, InvitationError> {
        self.mailer()?;
        if !by.role.may_appoint(role) {
            return Err(InvitationError::NotAppointed { own: by.role, role });
        }
        if role == Role::Owner {
            by.check_lately()?;
        }
        let secret = secret::draw(&*self.random);
        let digest = LinkKind::Invitation.digest(&secret);
        let made = self.clock.now();
        let ends = made + self.config.invitation_lifetime;
        rows::change(&self.events, || async {
            let organisation = self.organisation(by.organisation).await?;
            if let Some((person, _)) = self.find_by_email(email).await?
                && self.membership(person, by.organisation).await?.is_some()
            {
                return Err(InvitationError::Member);
            }
            let mut batch = Batch::new();
            let (same, others): (Vec<_>, Vec<_>) =
                self.kept_invitations(by.organisation).await?.into_iter().partition(|(_, row)| row.value.email.folded() == email.folded());
            if others.len() >= MOST {
                return Err(InvitationError::TooMany);
            }
            for (digest, row) in same {
                // To replace is to withdraw.
                if made < row.value.ends && !by.role.may_appoint(row.value.role) {
                    return Err(InvitationError::NotAppointed { own: by.role, role: row.value.role });
                }
                batch = batch.and(ending(&row, &digest));
            }
            for whose in [Some(*by.organisation.as_bytes()), by.person.map(|person| *person.as_bytes())].into_iter().flatten() {
                batch = self.paced(batch, &whose, self.config.invitations_per_day).await?.map_err(|TooFast { wait }| {
                    counters::held_off("invitations");
                    InvitationError::TooFast { wait }
                })?;
            }
            let client = by.program.map(|program| program.to_string());
            let invitation = Invitation { organisation: by.organisation, email: email.clone(), role, by: by.person, client, made, ends };
            let batch = batch.and(rows::new(INVITATIONS, digest, &invitation)).put(INVITATIONS_OF, of(by.organisation, &digest), MARK);
            let fact = Fact::InvitationMade { organisation: by.organisation, invitation: shown(&digest), role };
            let batch = self.stating(batch, &fact)?;
            let link = self.link_address(LinkKind::Invitation, &secret)?;
            let letter = Invited { organisation: organisation.value.name(), role, link, ends };
            let batch = self.mailer()?.enclose(batch, email, &letter).await.map_err(MailError::from)?;
            Ok((batch, invitation.info(&digest)))
        })
        .await
    }

    /// The invitations that an organisation has out.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn invitations(&self, of: &Member) -> Result<Vec<InvitationInfo>, StateError> {
        let now = self.clock.now();
        let all = self.kept_invitations(of.organisation).await?.into_iter().filter(|(_, row)| now < row.value.ends);
        let mut all: Vec<_> = all.map(|(digest, row)| row.value.info(&digest)).collect();
        all.sort_by_key(|invitation| invitation.made);
        Ok(all)
    }

    /// Withdraws an invitation of the caller's organisation.
    ///
    /// # Errors
    /// There is none of this id, or the caller could not have made it.
    pub async fn withdraw_invitation(&self, by: &Member, id: &str) -> Result<(), InvitationError> {
        rows::change(&self.events, || async {
            let kept = self.kept_invitations(by.organisation).await?;
            let (digest, row) = kept.into_iter().find(|(digest, _)| shown(digest) == id).ok_or(InvitationError::Unknown)?;
            if !by.role.may_appoint(row.value.role) {
                return Err(InvitationError::NotAppointed { own: by.role, role: row.value.role });
            }
            let fact = Fact::InvitationWithdrawn { organisation: by.organisation, invitation: shown(&digest) };
            Ok((self.stating(ending(&row, &digest), &fact)?, ()))
        })
        .await
    }

    /// What the link of an invitation offers.
    ///
    /// # Errors
    /// It is over.
    pub async fn offered(&self, link: &Secret) -> Result<InvitationOffer, InvitationError> {
        let (_, row, organisation) = self.good_invitation(link).await?;
        let Invitation { email, role, ends, .. } = row.value;
        let account = self.find_by_email(&email).await?.is_some();
        Ok(InvitationOffer { organisation: organisation.value.name().to_owned(), email, role, ends, account })
    }

    /// Accepts an invitation by its link.
    ///
    /// # Errors
    /// It is over, or for another address, or the one who accepts belongs there already.
    pub async fn accept_invitation(
        &self,
        link: &Secret,
        who: Accepting<'_>,
        from: &Visitor,
    ) -> Result<(PersonInfo, OrganisationInfo), InvitationError> {
        let (_, row, _) = self.good_invitation(link).await?;
        let password = match &who {
            Accepting::Person(_) => None,
            Accepting::New { .. } if self.is_taken(&row.value.email).await? => return Err(InvitationError::SignIn),
            Accepting::New { password, .. } => Some(self.passwords.keep(password).await?),
        };
        let new = PersonId::from_random(self.draw());
        let accepted = rows::change(&self.events, || async {
            let (digest, row, organisation) = self.good_invitation(link).await?;
            let Invitation { organisation: id, ref email, role, .. } = row.value;
            let batch = self.unless_owners_change(ending(&row, &digest), id).await?;
            let (batch, person, info) = match (&who, &password) {
                (Accepting::New { name, .. }, Some(password)) => self.joining_anew(batch, new, email, name, password).await?,
                (Accepting::Person(person), _) => self.joining(batch, *person, email, id).await?,
                (Accepting::New { .. }, None) => return Err(InvitationError::Over),
            };
            if self.member_ids(id).await?.len() >= MOST_MEMBERS || self.roles_of(person).await?.len() >= MOST_MEMBERSHIPS {
                return Err(InvitationError::Crowded);
            }
            let batch = self.with_member(batch, id, person, role)?;
            let happening = Happening::JoinedOrganisation { organisation: id, role };
            let batch = self.telling(batch, person, happening, Some(from)).await?;
            Ok((batch, (info, organisation.value.info(id, role))))
        });
        accepted.await
    }

    /// Ends the invitations of an organisation, in a batch.
    pub(crate) async fn ending_invitations(&self, batch: Batch, organisation: OrganisationId) -> Result<Batch, StateError> {
        let all = self.kept_invitations(organisation).await?;
        Ok(all.into_iter().fold(batch, |batch, (digest, row)| batch.and(ending(&row, &digest))))
    }

    /// Forgets invitations that nobody accepted.
    pub(crate) async fn forget_ended_invitations(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        let also = |batch: Batch, digest: &[u8], invitation: &Invitation| batch.delete(INVITATIONS_OF, of(invitation.organisation, digest));
        rows::forget(&self.events, INVITATIONS, |invitation: &Invitation| invitation.ends <= now, also).await
    }

    async fn joining_anew(
        &self,
        batch: Batch,
        id: PersonId,
        email: &Email,
        name: &str,
        password: &Kept,
    ) -> Result<(Batch, PersonId, PersonInfo), InvitationError> {
        let name = checked_name(name).ok_or(InvitationError::Name)?;
        if self.is_taken(email).await? {
            return Err(InvitationError::SignIn);
        }
        let person = Person::new(email.clone(), name, password.clone(), false, self.clock.now());
        Ok((batch.and(self.adding(&person, id)?), id, person.info(id)))
    }

    async fn joining(
        &self,
        batch: Batch,
        person: PersonId,
        email: &Email,
        organisation: OrganisationId,
    ) -> Result<(Batch, PersonId, PersonInfo), InvitationError> {
        let mut row = self.find_person(person).await?.ok_or(InvitationError::ForAnother)?;
        if row.value.email.folded() != email.folded() {
            return Err(InvitationError::ForAnother);
        }
        if self.membership(person, organisation).await?.is_some() {
            return Err(InvitationError::Member);
        }
        // The link has come to the address.
        let batch = self.confirming(batch, person, &mut row.value)?.and(row.rewritten());
        Ok((batch, person, row.value.info(person)))
    }

    /// The invitation behind a link, if it is good, with its organisation.
    async fn good_invitation(&self, link: &Secret) -> Result<(Digest, Row<Invitation>, Row<Organisation>), InvitationError> {
        let digest = LinkKind::Invitation.digest(link);
        let row = rows::find::<Invitation>(&self.events, INVITATIONS, digest).await?.ok_or(InvitationError::Over)?;
        let Invitation { organisation, role, by, ends, .. } = row.value;
        let client = row.value.client.clone();
        let found = rows::find::<Organisation>(&self.events, ORGANISATIONS, *organisation.as_bytes()).await?;
        let found = found.filter(|found| found.value.suspended.is_none()).ok_or(InvitationError::Over)?;
        let person = match by {
            Some(by) => Some(self.membership(by, organisation).await?.is_some_and(|member| member.value.role.may_appoint(role))),
            None => None,
        };
        let program = match client {
            Some(client) => Some(self.client(&client).await?.is_some_and(|client| client.may_invite(organisation, role))),
            None => None,
        };
        // Whoever made it, person, program or both, must be there still and may still do it.
        let makers: Vec<bool> = [person, program].into_iter().flatten().collect();
        let may = !makers.is_empty() && makers.into_iter().all(|may| may);
        if may && self.clock.now() < ends { Ok((digest, row, found)) } else { Err(InvitationError::Over) }
    }

    async fn organisation(&self, id: OrganisationId) -> Result<Row<Organisation>, StateError> {
        let row = rows::find::<Organisation>(&self.events, ORGANISATIONS, *id.as_bytes()).await?;
        row.ok_or_else(|| StateError::Damaged(format!("organisation {id}")))
    }

    async fn kept_invitations(&self, organisation: OrganisationId) -> Result<Vec<(Digest, Row<Invitation>)>, StateError> {
        let mut kept = Vec::new();
        for tail in rows::tails(&self.events, INVITATIONS_OF, Key::new().id(organisation.as_bytes()), MOST + 1).await? {
            let digest = Digest::try_from(tail.as_slice()).map_err(|_| StateError::Damaged("an invitation's key".to_owned()))?;
            if let Some(row) = rows::find::<Invitation>(&self.events, INVITATIONS, digest).await? {
                kept.push((digest, row));
            }
        }
        Ok(kept)
    }
}

impl Invitation {
    fn info(&self, digest: &Digest) -> InvitationInfo {
        let Self { email, role, made, ends, .. } = self.clone();
        InvitationInfo { id: shown(digest), email, role, made, ends }
    }
}

fn ending(row: &Row<Invitation>, digest: &Digest) -> Batch {
    row.deleted().delete(INVITATIONS_OF, of(row.value.organisation, digest))
}

fn of(organisation: OrganisationId, digest: &[u8]) -> Vec<u8> {
    [organisation.as_bytes().as_slice(), digest].concat()
}

/// The first half of the digest: enough to tell invitations apart, of no use to whoever reads it.
fn shown(digest: &Digest) -> String {
    digest[..DIGEST_BYTES / 2].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Tells for InvitationError {
    fn told(&self) -> Told<'_> {
        match self {
            Self::NotAppointed { .. } => Told::about(Kind::Forbidden, "role-not-yours-to-give", "role"),
            Self::TooMany => Told::own(Kind::Conflict, "too-many-invitations"),
            Self::TooFast { wait } => {
                Told::Own { kind: Kind::Exhausted, code: "too-many-invitations-today", field: None, wait: Some(*wait) }
            }
            Self::Member => Told::own(Kind::Conflict, "member-already"),
            Self::Unknown => Told::own(Kind::NotFound, "no-such-invitation"),
            Self::Over => Told::own(Kind::NotFound, "invitation-over"),
            Self::ForAnother => Told::own(Kind::Forbidden, "invitation-for-another"),
            Self::SignIn => Told::own(Kind::Conflict, "sign-in-first"),
            Self::Name => Told::about(Kind::Invalid, "name", "name"),
            Self::Crowded => Told::own(Kind::Conflict, "too-many-members"),
            Self::StepUp(error) => Told::Below(error),
            Self::Mail(error) => Told::Below(error),
            Self::Refused(error) => Told::Below(error),
            Self::Busy(error) => Told::Below(error),
            Self::State(error) => Told::Below(error),
        }
    }
}
