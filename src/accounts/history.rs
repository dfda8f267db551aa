//! What happened to an account: sign-ins, refusals, changed credentials, tokens in new places.
//!
//! Each person has a stream of their own, encrypted under a key that is destroyed with the account. What concerns
//! everybody, and attempts at addresses that nobody has, goes to the stream `accounts`, without names.

use crate::{Accounts, DeedKind, Email, LinkedBy, Role, StateError};
use gatehouse_events::{Event, Record, Recorded};
use gatehouse_store::{Batch, Position, Stream};
use gatehouse_types::{OrganisationId, PersonId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The stream of what concerns everybody.
pub const STREAM: &str = "accounts";

/// Agents tell more than anybody wants to keep.
const MOST_AGENT_CHARACTERS: usize = 200;

/// The most entries that are told at once.
pub const MOST_ENTRIES: usize = 500;

/// From where somebody asks, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The address that asks.
    pub address: IpAddr,
    /// What the program at that address calls itself.
    pub agent: String,
}

impl Visitor {
    /// A visitor; the agent's name is cut where it is too long and cleaned of what does not print.
    pub fn new(address: IpAddr, agent: &str) -> Self {
        let agent = agent.chars().filter(|c| !c.is_control()).take(MOST_AGENT_CHARACTERS).collect();
        Self { address: address.to_canonical(), agent }
    }
}

/// Something that happened to an account. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Happening {
    /// Somebody signed in.
    SignedIn {
        /// With a second factor.
        second_factor: bool,
    },
    /// Somebody signed in through a provider that is not ours.
    SignedInByProvider {
        /// Which one.
        issuer: String,
        /// With a second factor, here or there.
        second_factor: bool,
    },
    /// A login elsewhere lets this person in.
    ProviderLinked {
        /// Of which provider.
        issuer: String,
        /// How it came about.
        by: LinkedBy,
    },
    /// It does not any more.
    ProviderUnlinked {
        /// Of which provider.
        issuer: String,
    },
    /// The password was right, and a second factor is awaited.
    SecondFactorAsked,
    /// A sign-in was refused.
    SignInRefused {
        /// Why.
        reason: String,
    },
    /// A recovery code was used up.
    RecoveryCodeUsed {
        /// How many are left.
        left: usize,
    },
    /// Somebody proved once more who they are, for something dangerous.
    SteppedUp,
    /// Somebody who runs the installation wants something done that takes a second person.
    DeedAsked {
        /// What.
        deed: String,
    },
    /// They approved or rejected what another one wants.
    DeedAnswered {
        /// What.
        deed: String,
        /// Whether they approved it.
        approved: bool,
    },
    /// They did something to everybody.
    DeedDone {
        /// What.
        deed: String,
    },
    /// A session ended before its time.
    SessionEnded,
    /// The password was changed.
    PasswordChanged,
    /// Codes from an authenticator are asked for from now on.
    SecondFactorEnabled,
    /// They are not any more.
    SecondFactorDisabled,
    /// A passkey was added.
    PasskeyAdded {
        /// Its id.
        passkey: String,
        /// Its name.
        name: String,
    },
    /// A passkey was removed.
    PasskeyRemoved {
        /// Its id.
        passkey: String,
        /// Its name.
        name: String,
    },
    /// Somebody signed in with a passkey and without a password.
    SignedInWithPasskey {
        /// Its id.
        passkey: String,
    },
    /// A passkey has counted backwards, as one does of which there is a copy. It was refused.
    PasskeyCountedBackwards {
        /// Its id.
        passkey: String,
        /// Its name.
        name: String,
    },
    /// An API token was made.
    TokenMade {
        /// Its id.
        token: String,
        /// Its name.
        name: String,
    },
    /// An API token was changed.
    TokenChanged {
        /// Its id.
        token: String,
    },
    /// An API token was revoked.
    TokenRevoked {
        /// Its id.
        token: String,
    },
    /// An API token was used from another network than before.
    TokenUsedFromNewNetwork {
        /// Its id.
        token: String,
    },
    /// An API token was refused.
    TokenRefused {
        /// Its id.
        token: String,
        /// Why.
        reason: String,
    },
    /// A program may act for this person.
    ProgramLetIn {
        /// Its id.
        client: String,
        /// Its name.
        name: String,
    },
    /// It may not any more.
    ProgramEnded {
        /// Its id.
        client: String,
    },
    /// A code or refresh token of a program was shown a second time: somebody else has it, and what it gave has ended.
    ProgramTokenReplayed {
        /// The program's id.
        client: String,
    },
    /// Somebody asked for a link for a new password.
    PasswordResetAsked,
    /// A new password was set by such a link.
    PasswordReset,
    /// The address was confirmed.
    AddressConfirmed,
    /// Another address is wanted.
    AddressChangeAsked {
        /// Which one.
        to: Email,
    },
    /// The account has another address.
    AddressChanged {
        /// The one that it had.
        from: Email,
        /// The one that it has.
        to: Email,
    },
    /// A change of address was prevented or taken back.
    AddressKept {
        /// The one that it has.
        address: Email,
    },
    /// An invitation to an organisation was accepted.
    JoinedOrganisation {
        /// Which one.
        organisation: OrganisationId,
        /// As what.
        role: Role,
    },
    /// The operator of this installation set a new password and took the second factor off.
    ResetByOperator,
}

/// One line of the history. A stored type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    happening: Happening,
    /// Nothing when it happened at this machine's own console.
    #[serde(default)]
    address: Option<IpAddr>,
    #[serde(default)]
    agent: String,
}

impl Event for Sighting {
    const TYPE: &'static str = "account.sighting";
    const VERSION: u32 = 1;
}

/// A fact about the accounts as a whole, without names. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// Somebody has an account.
    PersonAdded {
        /// Who.
        person: PersonId,
        /// Whether they run this installation.
        operator: bool,
    },
    /// An organisation exists.
    OrganisationAdded {
        /// Which one.
        organisation: OrganisationId,
    },
    /// Somebody has a role, or another one.
    RoleGiven {
        /// Where.
        organisation: OrganisationId,
        /// Who.
        person: PersonId,
        /// Which one.
        role: Role,
    },
    /// Somebody is no member any more.
    MemberRemoved {
        /// Where.
        organisation: OrganisationId,
        /// Who.
        person: PersonId,
    },
    /// An account was reset at the machine's own console.
    PersonReset {
        /// Whose.
        person: PersonId,
    },
    /// An organisation lets a program in.
    ClientMade {
        /// Where; nothing for one of the whole installation.
        organisation: Option<OrganisationId>,
        /// Its id.
        client: String,
    },
    /// It does not any more.
    ClientRemoved {
        /// Where; nothing for one of the whole installation.
        organisation: Option<OrganisationId>,
        /// Its id.
        client: String,
    },
    /// A foreign provider was configured.
    ProviderMade {
        /// Where; nothing for one of the whole installation.
        organisation: Option<OrganisationId>,
        /// Its id.
        provider: String,
    },
    /// The operator said for what a provider is trusted.
    ProviderTrusted {
        /// Where; nothing for one of the whole installation.
        organisation: Option<OrganisationId>,
        /// Its id.
        provider: String,
    },
    /// A provider is gone: what it vouched for is to be let in no more.
    ProviderRemoved {
        /// Where; nothing for one of the whole installation.
        organisation: Option<OrganisationId>,
        /// Its id.
        provider: String,
    },
    /// Devices of an owner of a provider are an organisation's.
    OwnerMapped {
        /// Whose.
        organisation: OrganisationId,
        /// Of which provider.
        provider: String,
    },
    /// They are not any more.
    OwnerUnmapped {
        /// Whose they were.
        organisation: OrganisationId,
        /// Of which provider.
        provider: String,
    },
    /// Somebody tried an address that nobody has.
    UnknownAddressTried,
    /// Somebody wanted to register an address, which may be somebody's or not.
    RegistrationTried,
    /// Somebody has confirmed their address.
    PersonConfirmed {
        /// Who.
        person: PersonId,
    },
    /// Somebody has another address.
    AddressChanged {
        /// Who.
        person: PersonId,
    },
    /// Somebody has no account any more.
    PersonRemoved {
        /// Who.
        person: PersonId,
    },
    /// An organisation is gone.
    OrganisationRemoved {
        /// Which one.
        organisation: OrganisationId,
    },
    /// Nothing may be done in an organisation's name: connections of what it owns are to be closed.
    OrganisationSuspended {
        /// Which one.
        organisation: OrganisationId,
    },
    /// An organisation that was suspended goes on.
    OrganisationResumed {
        /// Which one.
        organisation: OrganisationId,
    },
    /// Something waits for a second person.
    DeedAsked {
        /// Of which kind.
        kind: DeedKind,
        /// Who wants it.
        person: PersonId,
    },
    /// A second person answered, or the first one took it back.
    DeedAnswered {
        /// Of which kind it was.
        kind: DeedKind,
        /// Who answered.
        person: PersonId,
        /// Whether it was approved.
        approved: bool,
    },
    /// Something was done to everybody.
    DeedDone {
        /// Of which kind.
        kind: DeedKind,
        /// Who wanted it.
        person: PersonId,
        /// Who approved it, where it took two.
        second: Option<PersonId>,
    },
    /// Somebody was invited.
    InvitationMade {
        /// Where to.
        organisation: OrganisationId,
        /// The invitation's id.
        invitation: String,
        /// As what.
        role: Role,
    },
    /// Somebody is not invited any more.
    InvitationWithdrawn {
        /// Where to.
        organisation: OrganisationId,
        /// The invitation's id.
        invitation: String,
    },
}

impl Event for Fact {
    const TYPE: &'static str = "account.fact";
    const VERSION: u32 = 1;
}

/// One line of the history as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HistoryEntry {
    /// Its number, counted from the beginning of the account.
    pub number: u64,
    /// When it happened.
    pub at: UnixTime,
    /// What happened.
    #[serde(flatten)]
    pub happening: Happening,
    /// From where; nothing when it was done at this machine's own console.
    pub address: Option<IpAddr>,
    /// With which program.
    pub agent: String,
}

impl Accounts {
    /// The newest entries of somebody's history, or those before an entry, the newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn history(&self, person: PersonId, before: Option<u64>, limit: usize) -> Result<Vec<HistoryEntry>, StateError> {
        let stream = stream_of(person);
        let head = self.events.store().head(&stream).await.map_err(StateError::Read)?;
        let end = before.unwrap_or(u64::MAX).min(head.position.0 + 1);
        let limit = limit.min(MOST_ENTRIES);
        let from = Position(end.saturating_sub(limit as u64).max(head.truncated.0 + 1));
        let wanted = usize::try_from(end.saturating_sub(from.0)).unwrap_or(limit).min(limit);
        let events = self.events.read(&stream, from, wanted).await?;
        Ok(events.iter().rev().filter_map(entry).collect())
    }

    /// Adds a line to somebody's history, in the batch of what it tells of.
    pub(crate) async fn telling(
        &self,
        batch: Batch,
        person: PersonId,
        happening: Happening,
        from: Option<&Visitor>,
    ) -> Result<Batch, StateError> {
        let sighting = Sighting {
            happening,
            address: from.map(|visitor| visitor.address),
            agent: from.map(|visitor| visitor.agent.clone()).unwrap_or_default(),
        };
        let key = self.events.content_key(&format!("person/{person}")).await?;
        Ok(batch.record_about(&key, &[&stream_of(person)], &sighting, self.clock.now(), &*self.random)?)
    }

    /// Adds a fact to the stream of all accounts.
    pub(crate) fn stating(&self, batch: Batch, fact: &Fact) -> Result<Batch, StateError> {
        let stream: Stream = STREAM.parse().expect("a constant that is a stream's name");
        Ok(batch.record(&[&stream], fact, self.clock.now())?)
    }
}

fn stream_of(person: PersonId) -> Stream {
    format!("person/{person}").parse().expect("an id makes a stream's name")
}

fn entry(event: &Recorded) -> Option<HistoryEntry> {
    let Sighting { happening, address, agent } = event.decode().ok()?;
    Some(HistoryEntry { number: event.position.0, at: event.at, happening, address, agent })
}
