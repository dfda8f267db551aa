//! Who is calling, and the permissions that this core names.

use crate::{
    Accounts, Member, Right, StateError, StepUpNeeded, SteppedUp, Visitor,
    api_token::{self, TokenRefused},
    oauth::{Certified, ClientKey, Scope, Word},
    refusals,
    session::SessionId,
};
use axum::http::{HeaderMap, Method, header, request::Parts};
use gatehouse_base::{Denied, Fault, Kind};
use gatehouse_http::{Authenticate, ClientAddress, Credential as Shown, Permission, Problem, RateKey, Refusal};
use gatehouse_net::Peer;
use gatehouse_types::{OrganisationId, PersonId, Secret};
use serde_json::{Value, json};
use std::pin::Pin;

/// The cookie that carries a session. Browsers take a name that begins so only from an encrypted connection, for this host
/// and for every path.
pub(crate) const COOKIE: &str = "__Host-gatehouse-session";

/// The header by which somebody who belongs to several organisations names one.
pub(crate) const ORGANISATION: &str = "gatehouse-organisation";

/// The session's cookie in the document of the API.
const SESSION: Shown = Shown { scheme: "session", scopes: &[] };

/// The ways to show who is calling, as the document of the API explains them.
pub fn security_schemes() -> Vec<(&'static str, Value)> {
    vec![
        ("session", json!({ "type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A person's session, from `/v1/sign-in`." })),
        ("token", json!({ "type": "http", "scheme": "bearer", "description": "A person's API token, from `/v1/tokens`." })),
        (
            "program",
            json!({ "type": "http", "scheme": "bearer", "description": "A program's access token, its own or for a person, from `/oauth/token`." }),
        ),
    ]
}

/// Somebody who has shown who they are. Made in [`Gate`] only.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Nobody where a program acts for itself.
    person: Option<PersonId>,
    by: Credential,
    member: Result<Member, NotInOrganisation>,
    /// Whose requests are counted together.
    rate: RateKey,
    standing: Standing,
    /// The only organisation that it reaches: a session that began through an organisation's own provider is nobody elsewhere.
    within: Option<OrganisationId>,
    /// Whether it was proven lately who is in the session.
    lately: bool,
}

/// What an account may do as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing but confirming its address.
    Unconfirmed,
    Usual,
    /// Runs this installation.
    Operator,
}

#[derive(Clone, Debug)]
enum Credential {
    Session(SessionId),
    /// A person's API token.
    ApiToken,
    /// A program's that acts for itself.
    Own,
    /// A program's that a person lets act for them.
    Program {
        scope: Scope,
    },
}

/// A session was shown that has ended. Public paths are for everybody, so that who has to sign in again can.
#[derive(Clone, Copy, Debug)]
struct Lapsed;

/// Somebody who acts for themselves in a session, not through a token.
#[derive(Clone, Copy, Debug)]
pub struct SelfInSession {
    pub(crate) person: PersonId,
    pub(crate) session: SessionId,
    pub(crate) member: Result<Member, NotInOrganisation>,
}

/// Why nothing can be done in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInOrganisation {
    /// There are several, and none was named.
    #[error("you belong to several organisations: name one in the header `{ORGANISATION}`")]
    NoneNamed,
    /// What was named is no id.
    #[error("the header `{ORGANISATION}` holds an organisation's id")]
    NoId,
    /// It was stopped.
    #[error("the operator of this installation has suspended this organisation")]
    Suspended,
    /// There is none, or it is somebody else's: it is not told which.
    #[error("you belong to no such organisation")]
    NotYours,
}

impl Fault for NotInOrganisation {
    fn kind(&self) -> Kind {
        match self {
            Self::NoneNamed | Self::NoId => Kind::Invalid,
            Self::NotYours | Self::Suspended => Kind::Forbidden,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoneNamed => "organisation-not-named",
            Self::NoId => "organisation-id",
            Self::NotYours => "organisation-not-yours",
            Self::Suspended => "organisation-suspended",
        }
    }

    fn field(&self) -> Option<&str> {
        Some(ORGANISATION)
    }
}

/// The address is not confirmed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("confirm your address first: a letter with a link was sent there, and `/v1/me/confirmation` sends another one")]
struct Unconfirmed;

impl Fault for Unconfirmed {
    fn kind(&self) -> Kind {
        Kind::Forbidden
    }

    fn code(&self) -> &'static str {
        "address-not-confirmed"
    }
}

/// Credentials that are not good.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum BadCredentials {
    #[error("the session has ended; sign in again")]
    Session,
    #[error("this is no credential that is known here")]
    Unknown,
    #[error("a request that changes something comes from a page of this site, or shows a token")]
    ForeignOrigin,
}

impl Fault for BadCredentials {
    fn kind(&self) -> Kind {
        match self {
            Self::Session | Self::Unknown => Kind::Unauthenticated,
            Self::ForeignOrigin => Kind::Forbidden,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Session => "session-over",
            Self::Unknown => "unknown-credential",
            Self::ForeignOrigin => "foreign-origin",
        }
    }
}

/// Turns a request's credentials into a [`Caller`].
#[derive(Clone, Debug)]
pub struct Gate(Accounts);

impl Gate {
    /// The gate before these accounts.
    pub fn new(accounts: Accounts) -> Self {
        Self(accounts)
    }

    async fn caller(&self, request: &mut Parts, from: &Visitor) -> Result<Option<Caller>, Problem> {
        let named = organisation_named(&request.headers);
        // A token that is not good does not fall back to a cookie: who shows one means it.
        if request.headers.contains_key(header::AUTHORIZATION) {
            // A client's own secret (RFC 7617) is looked at where clients show it, and makes nobody a caller.
            let Some(text) = bearer(&request.headers) else { return Ok(None) };
            if !text.expose().starts_with(api_token::PREFIX.as_bytes()) {
                return self.program(&text, named, request.extensions.get()).await.map(Some);
            }
            let (id, grant) = self.0.token(&text, from).await.map_err(|refused: TokenRefused| Problem::new(&refused))?;
            let member = match named {
                Some(Ok(named)) if named != grant.organisation => Err(NotInOrganisation::NotYours),
                Some(Err(error)) => Err(error),
                _ => self.member(grant.person, Some(grant.organisation)).await?.map(|member| member.limited(&grant.rights)),
            };
            let rate = RateKey(format!("token {id}").into());
            let by = Credential::ApiToken;
            return Ok(Some(Caller {
                person: Some(grant.person),
                by,
                member,
                rate,
                standing: Standing::Usual,
                lately: false,
                within: None,
            }));
        }
        let Some(secret) = cookie(&request.headers) else { return Ok(None) };
        if !is_safe(&request.method) && !comes_from_here(&request.headers) {
            return Err(BadCredentials::ForeignOrigin.into());
        }
        let found = match self.0.session_lately(&secret).await? {
            Some((session, person, lately, None)) => Some((session, person, lately, None)),
            // It ends with the provider through which it began.
            Some((session, person, lately, Some(via))) => self.0.reach_of(&via).await?.map(|within| (session, person, lately, within)),
            None => None,
        };
        let Some((session, person, lately, within)) = found else {
            request.extensions.insert(Lapsed);
            return Ok(None);
        };
        let named = match (named, within) {
            (Some(Ok(named)), Some(within)) if named != within => Some(Err(NotInOrganisation::NotYours)),
            (None, Some(within)) => Some(Ok(within)),
            (named, _) => named,
        };
        let member = match named {
            Some(Err(error)) => Err(error),
            Some(Ok(named)) => self.member(person, Some(named)).await?,
            None => self.member(person, None).await?,
        };
        let member = member.map(|member| member.lately(lately));
        let standing = match self.0.find_person(person).await? {
            None => return Err(BadCredentials::Session.into()),
            Some(row) if row.value.unconfirmed.is_some() => Standing::Unconfirmed,
            Some(row) if row.value.operator => Standing::Operator,
            Some(_) => Standing::Usual,
        };
        let rate = RateKey(format!("person {person}").into());
        Ok(Some(Caller { person: Some(person), by: Credential::Session(session), member, rate, standing, lately, within }))
    }

    /// A program that shows an access token of ours.
    async fn program(
        &self,
        text: &Secret,
        named: Option<Result<OrganisationId, NotInOrganisation>>,
        certified: Option<&Certified>,
    ) -> Result<Caller, Problem> {
        let bearer = self.0.access_token(text).await?.ok_or(BadCredentials::Unknown)?;
        // RFC 8705 §3: what is bound to a certificate is worth nothing over another one, or over none.
        if bearer.claims.cnf.as_ref().is_some_and(|cnf| !cnf.is_met_by(certified)) {
            return Err(BadCredentials::Unknown.into());
        }
        let owner = bearer.claims.owner;
        let person = bearer.grant.as_ref().map(|grant| grant.person);
        let member = match (named, person) {
            (Some(Ok(named)), _) if named != owner => Err(NotInOrganisation::NotYours),
            (Some(Err(error)), _) => Err(error),
            (_, Some(person)) => self.member(person, Some(owner)).await?,
            (_, None) => Ok(Member::of_program(owner, bearer.client.role)),
        };
        // What the client is and may have at most, it and whoever it acts for are through it (`NewClient::role`).
        let program = ClientKey::of(&bearer.claims.client_id);
        let member = member.map(|member| member.at_most(bearer.client.role).limited(&bearer.rights()).through(program));
        let by = match person {
            Some(_) => Credential::Program { scope: bearer.scope.clone() },
            None => Credential::Own,
        };
        // A program that acts for a thousand people is a thousand callers.
        let rate = match person {
            Some(person) => format!("program {} for {person}", bearer.claims.client_id),
            None => format!("program {}", bearer.claims.client_id),
        };
        let member = self.unless_suspended(member).await?;
        Ok(Caller { person, by, member, rate: RateKey(rate.into()), standing: Standing::Usual, lately: false, within: None })
    }

    async fn member(&self, person: PersonId, named: Option<OrganisationId>) -> Result<Result<Member, NotInOrganisation>, StateError> {
        let roles = self.0.roles_of(person).await?;
        let found = match named {
            Some(named) => roles.into_iter().find(|(organisation, _)| *organisation == named).ok_or(NotInOrganisation::NotYours),
            None => match roles.as_slice() {
                [only] => Ok(*only),
                [] => Err(NotInOrganisation::NotYours),
                _ => Err(NotInOrganisation::NoneNamed),
            },
        };
        let member = found.map(|(organisation, role)| Member::of(person, organisation, role));
        self.unless_suspended(member).await
    }

    /// Nothing is done in the name of an organisation that is suspended.
    async fn unless_suspended(&self, member: Result<Member, NotInOrganisation>) -> Result<Result<Member, NotInOrganisation>, StateError> {
        match member {
            Ok(member) if self.0.is_suspended(member.organisation).await? => Ok(Err(NotInOrganisation::Suspended)),
            member => Ok(member),
        }
    }
}

impl Authenticate for Gate {
    fn authenticate<'a>(&'a self, request: &'a mut Parts) -> Pin<Box<dyn Future<Output = Result<(), Problem>> + Send + 'a>> {
        Box::pin(async move {
            let Some(ClientAddress(address)) = request.extensions.get::<ClientAddress>().copied() else { return Ok(()) };
            let agent = request.headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
            let from = Visitor::new(address, agent.as_deref().unwrap_or_default());
            if let Some(chain) = request.extensions.get::<Peer>().and_then(Peer::chain).cloned() {
                request.extensions.insert(Certified(chain));
            }
            let caller = self.caller(request, &from).await?;
            request.extensions.insert(from);
            if let Some(caller) = caller {
                request.extensions.insert(caller.rate.clone());
                request.extensions.insert(caller);
            }
            Ok(())
        })
    }
}

/// RFC 6750 §2.1.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::from(token.trim().to_owned()))
}

fn cookie(headers: &HeaderMap) -> Option<Secret> {
    cookie_named(headers, COOKIE)
}

/// The value of a cookie.
pub(crate) fn cookie_named(headers: &HeaderMap, wanted: &str) -> Option<Secret> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == wanted).map(|(_, value)| Secret::from(value.to_owned()))
}

fn organisation_named(headers: &HeaderMap) -> Option<Result<OrganisationId, NotInOrganisation>> {
    let value = headers.get(ORGANISATION)?;
    Some(value.to_str().ok().and_then(|text| text.parse().ok()).ok_or(NotInOrganisation::NoId))
}

/// RFC 9110 §9.2.1.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether a browser says that one of our own pages made the request. Every browser in use sends at least one of the two
/// headers with a request that changes something, and no page can set them.
fn comes_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, authority)| authority == host),
        _ => false,
    }
}

/// Somebody whose address is confirmed, or a program.
fn caller(request: &Parts) -> Result<&Caller, Problem> {
    let caller = anybody(request)?;
    if caller.standing == Standing::Unconfirmed { Err(Unconfirmed.into()) } else { Ok(caller) }
}

fn anybody(request: &Parts) -> Result<&Caller, Problem> {
    match request.extensions.get::<Lapsed>() {
        Some(_) => Err(BadCredentials::Session.into()),
        None => Ok(request.extensions.get().ok_or(Denied::Unauthenticated)?),
    }
}

/// What somebody may do whose address is not confirmed: confirm it, and leave.
#[derive(Debug)]
pub enum ActUnconfirmed {}

impl Permission for ActUnconfirmed {
    const NAME: &'static str = "act-unconfirmed";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = SelfInSession;

    fn check(request: &Parts) -> Result<SelfInSession, Problem> {
        let caller = anybody(request)?;
        // Whoever came through an organisation's provider may leave, too.
        let (person, session) = caller.session_and_person().ok_or(Denied::Forbidden)?;
        Ok(SelfInSession { person, session, member: caller.member })
    }
}

/// Who runs this installation may stop and mend what concerns everybody.
#[derive(Debug)]
pub enum OperateInstance {}

impl Permission for OperateInstance {
    const NAME: &'static str = "operate-instance";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = PersonId;

    fn check(request: &Parts) -> Result<PersonId, Problem> {
        let caller = caller(request)?;
        let proof = caller.self_in_session()?;
        if caller.standing == Standing::Operator { Ok(proof.person) } else { Err(Denied::Forbidden.into()) }
    }
}

impl Caller {
    pub(crate) fn self_in_session(&self) -> Result<SelfInSession, Problem> {
        let (person, session) = self.in_any_session().ok_or(Denied::Forbidden)?;
        Ok(SelfInSession { person, session, member: self.member })
    }

    /// The same, where it was proven lately who is in the session.
    pub(crate) fn stepped_up(&self) -> Result<SteppedUp, Problem> {
        let SelfInSession { person, session, .. } = self.self_in_session()?;
        if self.lately { Ok(SteppedUp { person, session }) } else { Err(StepUpNeeded.into()) }
    }

    /// Who it is and in which session, where it is somebody in one whose address is confirmed, with the only organisation that the session
    /// reaches, where it is one.
    pub(crate) fn in_limited_session(&self) -> Option<(PersonId, SessionId, Option<OrganisationId>)> {
        let found = self.session_and_person().filter(|_| self.standing != Standing::Unconfirmed);
        found.map(|(person, session)| (person, session, self.within))
    }

    /// Who it is and in which session, where it reaches everything that is theirs.
    pub(crate) fn in_any_session(&self) -> Option<(PersonId, SessionId)> {
        self.session_and_person().filter(|_| self.within.is_none())
    }

    fn session_and_person(&self) -> Option<(PersonId, SessionId)> {
        match (&self.by, self.person) {
            (Credential::Session(session), Some(person)) => Some((person, *session)),
            _ => None,
        }
    }

    /// The member as whom the caller may use this right.
    fn with(&self, right: Right) -> Result<Member, Problem> {
        let member = self.member?;
        if member.rights.has(right) { Ok(member) } else { Err(Denied::Forbidden.into()) }
    }
}

/// Everybody may see what concerns themselves.
#[derive(Debug)]
pub enum ActForSelf {}

impl Permission for ActForSelf {
    const NAME: &'static str = "act-for-self";
    const SECURITY: &'static [Shown] =
        &[SESSION, Shown { scheme: "token", scopes: &[] }, Shown { scheme: "program", scopes: &["account"] }];
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = PersonId;

    fn check(request: &Parts) -> Result<PersonId, Problem> {
        let Caller { person, by, within, .. } = caller(request)?;
        let reaches = match by {
            Credential::Session(_) => within.is_none(),
            Credential::ApiToken => true,
            Credential::Own => false,
            Credential::Program { scope } => scope.has(Word::Account),
        };
        Ok(person.filter(|_| reaches).ok_or(Denied::Forbidden)?)
    }
}

/// Who one is may be known as far as one's session reaches.
#[derive(Debug)]
pub enum KnowSelf {}

impl Permission for KnowSelf {
    const NAME: &'static str = "know-self";
    const SECURITY: &'static [Shown] = ActForSelf::SECURITY;
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = (PersonId, Option<OrganisationId>);

    fn check(request: &Parts) -> Result<Self::Proof, Problem> {
        match caller(request)?.in_limited_session() {
            Some((person, _, within)) => Ok((person, within)),
            None => Ok((ActForSelf::check(request)?, None)),
        }
    }
}

/// What concerns one's own credentials is for people in a session: a token that leaked must not make another one.
#[derive(Debug)]
pub enum ActInSession {}

impl Permission for ActInSession {
    const NAME: &'static str = "act-in-session";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = SelfInSession;

    fn check(request: &Parts) -> Result<SelfInSession, Problem> {
        caller(request)?.self_in_session()
    }
}

/// What is dangerous to one's own account is for people who have proven lately who they are.
#[derive(Debug)]
pub enum ActSteppedUp {}

impl Permission for ActSteppedUp {
    const NAME: &'static str = "act-stepped-up";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::STEPPED_UP;
    type Proof = SteppedUp;

    fn check(request: &Parts) -> Result<SteppedUp, Problem> {
        caller(request)?.stepped_up()
    }
}

/// What is dangerous to everybody is for those who run this installation and have proven lately who they are.
#[derive(Debug)]
pub enum OperateSteppedUp {}

impl Permission for OperateSteppedUp {
    const NAME: &'static str = "operate-stepped-up";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::STEPPED_UP;
    type Proof = SteppedUp;

    fn check(request: &Parts) -> Result<SteppedUp, Problem> {
        OperateInstance::check(request)?;
        caller(request)?.stepped_up()
    }
}

/// Who may let programs in: as [`ManageClients`], but through no API token, and people who have proven lately who they are. Such a token
/// is limited to networks and times that what it made would not know of, and would not end with it.
#[derive(Debug)]
pub enum MakeClients {}

impl Permission for MakeClients {
    const NAME: &'static str = "make-clients";
    const SECURITY: &'static [Shown] = &[SESSION, Shown { scheme: "program", scopes: &[Right::ManageClients.name()] }];
    const REFUSALS: &'static [Refusal] = refusals::MEMBER_STEPPED_UP;
    type Proof = Member;

    fn check(request: &Parts) -> Result<Member, Problem> {
        let caller = caller(request)?;
        match caller.by {
            Credential::ApiToken => Err(Denied::Forbidden.into()),
            Credential::Session(_) => caller.with(Right::ManageClients).and_then(|member| caller.stepped_up().map(|_| member)),
            Credential::Own | Credential::Program { .. } => caller.with(Right::ManageClients),
        }
    }
}

/// Who may configure an organisation's providers: they decide who gets in, so that no token does it.
#[derive(Debug)]
pub enum ManageProviders {}

impl Permission for ManageProviders {
    const NAME: &'static str = "manage-providers";
    const SECURITY: &'static [Shown] = &[SESSION];
    const REFUSALS: &'static [Refusal] = refusals::MEMBER_STEPPED_UP;
    type Proof = Member;

    fn check(request: &Parts) -> Result<Member, Problem> {
        let caller = caller(request)?;
        caller.self_in_session()?;
        // Looking is not dangerous.
        if !is_safe(&request.method) {
            caller.stepped_up()?;
        }
        caller.with(Right::ManageMembers)
    }
}

/// A program may ask who somebody is that let it know (OpenID Connect Core §5.3).
#[derive(Debug)]
pub(crate) enum KnowPerson {}

impl Permission for KnowPerson {
    const NAME: &'static str = "know-person";
    const SECURITY: &'static [Shown] = &[Shown { scheme: "program", scopes: &["openid"] }];
    const REFUSALS: &'static [Refusal] = refusals::DENIED;
    type Proof = (PersonId, Scope);

    fn check(request: &Parts) -> Result<(PersonId, Scope), Problem> {
        let Caller { person, by, .. } = caller(request)?;
        match (by, person) {
            (Credential::Program { scope }, Some(person)) if scope.has(Word::OpenId) => Ok((*person, scope.clone())),
            _ => Err(Denied::Forbidden.into()),
        }
    }
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $right:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Permission for $name {
            const NAME: &'static str = $text;
            const SECURITY: &'static [Shown] = &[
                SESSION,
                Shown { scheme: "token", scopes: &[$right.name()] },
                Shown { scheme: "program", scopes: &[$right.name()] },
            ];
            const REFUSALS: &'static [Refusal] = refusals::MEMBER;
            type Proof = Member;

            fn check(request: &Parts) -> Result<Member, Problem> {
                caller(request)?.with($right)
            }
        }
    )*};
}

rights! {
    /// Who may see the members of an organisation.
    ReadMembers = "read-members", Right::ReadMembers;
    /// Who may change what members are.
    ManageMembers = "manage-members", Right::ManageMembers;
    /// Who may see and remove programs.
    ManageClients = "manage-clients", Right::ManageClients;
    /// Who may see an organisation's devices.
    ReadDevices = "read-devices", Right::ReadDevices;
    /// Who may let devices in and end what they have.
    ManageDevices = "manage-devices", Right::ManageDevices;
}
