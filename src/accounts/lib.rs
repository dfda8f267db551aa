//! Accounts: people, organisations, what people are in them, and what people and programs show to prove it.
//!
//! [`Accounts`] is the facade. Its operations read, decide and commit one batch with the events that tell of it; who
//! asks and from where is an argument ([`Visitor`]), and so are the clock and randomness that it was opened with.
//!
//! A request's credentials become a [`Caller`] in [`Gate`], which the HTTP door runs before anything else. Permissions
//! ([`ActForSelf`], [`ActInSession`], [`ReadMembers`], [`ManageMembers`]) turn the caller into a proof that operations demand:
//! a [`Member`] is made by nothing but such a check, and neither is [`SteppedUp`], which what is dangerous demands. [`routes`] are the paths of `/v1`.
//!
//! Nothing that is kept gives a secret away: passwords are Argon2id, what we hand out is kept as a digest, what must be
//! read again is sealed under the key-encryption key, and each person's history is encrypted under a key of its own.
//!
//! Providers that are not ours may sign people in and vouch for devices; what they say is judged by `gatehouse-openid`.
//!
//! Devices are let in and go on by [`Admissions`], over connections that others hold.
//!
//! Letters go into the outbox of `gatehouse-mail`, with what they tell of. This crate carries none.

mod account_error;
mod address;
mod admission;
mod api_token;
mod breached;
mod caller;
mod config;
mod counters;
mod error;
mod foreign;
mod form;
mod history;
mod http;
mod invitation;
mod letters;
mod links;
mod notices;
mod oauth;
mod organisation;
mod pace;
mod page;
mod passkey;
mod password;
mod person;
mod refusals;
mod registration;
mod removal;
mod reset;
mod role;
mod rows;
mod second_factor;
mod second_person;
mod secret;
mod session;
mod sign_in;
mod sources;
mod step_up;
mod suspension;
#[cfg(test)]
mod tests;
mod throttle;
mod told;
mod totp;

pub use account_error::AccountError;
pub use admission::{
    AdmissionError, AdmissionId, AdmissionInfo, Admissions, AlarmInfo, Away, CodeInfo, Config as DevicesConfig, DeviceAuthority, Ending,
    Entitlement, Fact as AdmissionFact, Judgement, NewCode, NotADevice, OWN_PROVIDER, Presenter, Theft, Tokens, VerifiedDevice,
};
pub use api_token::{NewToken, TokenChange, TokenError, TokenId, TokenInfo, Used};
pub use caller::{
    ActForSelf, ActInSession, ActSteppedUp, ActUnconfirmed, Caller, Gate, KnowSelf, MakeClients, ManageClients, ManageDevices,
    ManageMembers, ManageProviders, OperateInstance, OperateSteppedUp, ReadDevices, ReadMembers, SelfInSession, security_schemes,
};
pub use config::{Config, TokenKeys};
pub use counters::METRICS;
pub use error::StateError;
pub use foreign::{
    ANY_PROVIDER, DeviceCode, DeviceExchangeError, DeviceSettings, DeviceToken, DeviceTokenError, DeviceTokens, LinkError, LinkInfo,
    LinkedBy, NewProvider, OwnerInfo, ProviderError, ProviderId, ProviderInfo, Tested, Trust,
};
pub use gatehouse_mail::{Email, EmailError};
pub use history::{Fact, Happening, HistoryEntry, MOST_ENTRIES, STREAM, Visitor};
pub use invitation::{Accepting, InvitationError, InvitationInfo, InvitationOffer};
pub use links::MailError;
pub use oauth::{
    Authentication, COMMAND_LINE, CertificateRule, ClientError, ClientId, ClientInfo, ConsentInfo, Jwk, JwkError, KeyError, NewClient,
    RedirectUri, RedirectUriError, SigningKeys,
};
pub use organisation::{MOST_MEMBERS, MOST_MEMBERSHIPS, Member, MemberError, MemberInfo, OrganisationInfo};
pub use passkey::{Assertion, CreationOptions, NewPasskey, PasskeyError, PasskeyInfo, Registration, Rejection, RequestOptions};
pub use password::{Busy, Config as PasswordConfig, NewPassword, PasswordRefused};
pub use person::{NewPerson, PersonError, PersonInfo};
pub use refusals::AUTHENTICATION;
pub use registration::Confirming;
pub use role::{Right, Role, UnknownWord};
pub use rows::SCHEMA;
pub use second_factor::{Enrolment, Proof, SecondFactorError};
pub use second_person::{Deed, DeedError, DeedKind, Outcome, WaitingDeed};
pub use session::{NewSession, SessionId, SessionInfo};
pub use sign_in::{Challenge, SignInError, SignedIn};
pub use sources::{Sources, SourcesError};
pub use step_up::{StepUp, StepUpNeeded, SteppedUp};
pub use suspension::OrganisationSummary;
pub use told::{Named, NamedError};

use gatehouse_base::Clock;
use gatehouse_ca::{Authority, Keyring};
use gatehouse_events::{Events, KeySealer};
use gatehouse_http::Routes;
use gatehouse_mail::Outbox;
use gatehouse_openid::Directory;
use gatehouse_types::{PersonId, Random};
use password::Passwords;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicUsize},
    time::Duration,
};
use throttle::{Guess, PersonKey, Throttle};

/// How an attempt to prove something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Succeeded,
    Failed,
    Undecided,
}

/// All paths of accounts: `/v1` for people, and the provider's.
pub fn routes(accounts: &Accounts) -> Routes {
    http::routes(accounts).and(oauth::routes(accounts))
}

/// The accounts of this installation. Clones are the same accounts.
#[derive(Clone)]
pub struct Accounts {
    events: Events,
    sealer: Arc<dyn KeySealer>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    config: Config,
    passwords: Arc<Passwords>,
    throttle: Arc<Mutex<Throttle>>,
    /// Who has letters sent how often; nobody's sign-in waits for it.
    asking: Arc<Mutex<Throttle>>,
    queue: Arc<Mutex<oauth::Queue>>,
    /// How many accounts wait for their confirmation; counted anew now and then.
    unconfirmed: Arc<AtomicUsize>,
    places: Arc<admission::Places>,
    authorities: Arc<RwLock<admission::Authorities>>,
    keys: SigningKeys,
    issuer: Option<String>,
    mail: Option<Outbox>,
    directory: Option<Directory>,
    /// What halts and resumes.
    authority: Option<Authority>,
}

impl Accounts {
    /// The accounts that are kept in the store under these events. The keyring protects what must be read again, and signs tokens.
    pub fn new(events: Events, keyring: Keyring, clock: Arc<dyn Clock>, random: Arc<dyn Random>, config: Config) -> Self {
        let keys = SigningKeys::new(events.clone(), keyring.clone(), Arc::clone(&clock), config.token_keys);
        let issuer = config.issuer.clone();
        let passwords = Arc::new(Passwords::new(config.password.clone(), Arc::clone(&random)));
        let asking = Arc::new(Mutex::new(Throttle::new(config.throttle_entries)));
        let throttle = Arc::new(Mutex::new(Throttle::new(config.throttle_entries)));
        Self {
            events,
            sealer: Arc::new(keyring),
            clock,
            random,
            config,
            passwords,
            throttle,
            asking,
            queue: Arc::default(),
            unconfirmed: Arc::default(),
            places: Arc::default(),
            authorities: Arc::default(),
            keys,
            issuer,
            mail: None,
            directory: None,
            authority: None,
        }
    }

    /// The same with an outbox for letters. Without one nobody can be written to, and what needs that says so.
    #[must_use]
    pub fn with_mail(self, outbox: Option<Outbox>) -> Self {
        Self { mail: outbox, ..self }
    }

    /// The same with a directory of foreign providers. Without one there are none.
    #[must_use]
    pub fn with_directory(self, directory: Option<Directory>) -> Self {
        Self { directory, ..self }
    }

    /// The same with the authority that issues certificates, which operators halt and resume.
    #[must_use]
    pub fn with_authority(self, authority: Authority) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// The keys that sign tokens; whoever runs the program calls their upkeep.
    pub fn signing_keys(&self) -> &SigningKeys {
        &self.keys
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, oauth::Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asking(&self) -> MutexGuard<'_, Throttle> {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to look at a proof that somebody was asked for once more, or tells how long it has to wait.
    fn begin_attempt(&self, person: PersonId, from: &Visitor) -> Result<(), Duration> {
        let begun = self.throttle().begin(Guess::Proof, PersonKey::Known(person), from.address, self.clock.now());
        begun.inspect_err(|_| counters::throttled())
    }

    /// Ends an attempt: a proof that did not hold counts, everything else is taken back.
    fn end_attempt(&self, person: PersonId, from: &Visitor, ended: Attempt) {
        match ended {
            Attempt::Failed => {}
            Attempt::Succeeded => self.throttle().succeeded(Guess::Proof, PersonKey::Known(person), from.address),
            Attempt::Undecided => self.throttle().undecided(Guess::Proof, PersonKey::Known(person), from.address),
        }
    }

    /// Forgets what is over: links and invitations, accounts that nobody confirmed, sessions, sign-ins that nobody went on with, what programs waited with, what they were granted, and codes and admissions of devices.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn forget_ended(&self) -> Result<usize, StateError> {
        let people = self.forget_ended_sessions().await? + self.forget_ended_challenges().await?;
        let people = people + self.forget_spent_challenges().await? + self.forget_ended_deeds().await?;
        let waiting = self.forget_ended_codes().await? + self.forget_ended_device_codes().await? + self.forget_ended_assertions().await?;
        let letters = self.forget_ended_links().await? + self.forget_ended_invitations().await? + self.forget_kept_addresses().await?;
        let unconfirmed = self.forget_unconfirmed().await? + self.forget_paces().await? + self.forget_ended_of_devices().await?;
        Ok(letters + unconfirmed + people + waiting + self.forget_ended_grants().await? + self.forget_ended_tokens().await?)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Accounts").field("config", &self.config).finish_non_exhaustive()
    }
}
