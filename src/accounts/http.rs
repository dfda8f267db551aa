//! The paths of `/v1` that concern accounts.
//!
//! Secrets that are shown once are written into an answer here and nowhere else.

use crate::{
    Accounts, ActForSelf, ActInSession, ActUnconfirmed, Authentication, ClientInfo, ConsentInfo, HistoryEntry, Jwk, ManageClients,
    ManageMembers, Member, MemberInfo, NewClient, NewPassword, NewSession, NewToken, OrganisationInfo, PersonInfo, Proof, ReadMembers,
    RedirectUri, Right, Role, SessionInfo, SignInError, SignedIn, Sources, TokenChange, TokenInfo, Visitor, caller::COOKIE, refusals,
    secret,
};
use axum::{
    Extension, Json,
    extract::{Path, Query},
    http::{HeaderMap, HeaderValue, header},
    response::NoContent,
};
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Body, Created, Granted, Problem, Routes, SignIn, doc};
use gatehouse_types::{PersonId, Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much of the history is told when nobody says how much.
const HISTORY_PAGE: usize = 50;

type From = Extension<Visitor>;
type Answer<T> = Result<T, Problem>;

/// The routes of accounts, under `/v1`.
pub(crate) fn routes(accounts: &Accounts) -> Routes {
    sign_in(accounts)
        .and(own_account(accounts))
        .and(second_factor(accounts))
        .and(tokens(accounts))
        .and(members(accounts))
        .and(clients(accounts))
        .and(life::routes(accounts))
        .and(invitations::routes(accounts))
        .and(instance::routes(accounts))
        .and(pages::routes(accounts))
}

/// A handler with the accounts as its first argument, behind the permission that it asks for.
macro_rules! with {
    ($accounts:ident, |$($name:ident: $kind:ty),*| $work:expr) => {{
        let $accounts = $accounts.clone();
        move |$($name: $kind),*| {
            let $accounts = $accounts.clone();
            async move { $work }
        }
    }};
}

mod instance;
mod invitations;
mod life;
mod pages;

/// A secret in a request.
#[derive(Deserialize, JsonSchema)]
#[serde(from = "String")]
#[schemars(extend("format" = "password"))]
struct Given(#[schemars(with = "String")] Secret);

impl std::convert::From<String> for Given {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    email: String,
    password: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChallengeBody {
    challenge: Given,
    code: Option<String>,
    recovery_code: Option<Given>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProofBody {
    code: Option<String>,
    recovery_code: Option<Given>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeBody {
    code: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    present: Given,
    new: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    name: String,
    scopes: Vec<Right>,
    sources: Sources,
    /// Nothing must be said, too: a token for ever is a choice.
    expires: Option<UnixTime>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenChangeBody {
    name: Option<String>,
    scopes: Option<Vec<Right>>,
    sources: Option<Sources>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClientBody {
    name: String,
    role: Role,
    #[serde(default)]
    scopes: Vec<Right>,
    #[serde(default)]
    authentication: Authentication,
    #[serde(default)]
    redirect_uris: Vec<RedirectUri>,
    #[serde(default)]
    keys: Vec<Jwk>,
    #[serde(default)]
    device_code: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NameBody {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RoleBody {
    role: Role,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SignInAnswer {
    /// The session is in the cookie; this tells when it ends.
    SignedIn {
        ends: UnixTime,
    },
    SecondFactor {
        challenge: String,
        ends: UnixTime,
    },
}

fn sign_in(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/sign-in",
            doc("Sign in with address and password")
                .about("Answers with a session in a cookie, or with a challenge when a second factor is on.")
                .refuses(refusals::PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<SignInBody>| {
                match accounts.sign_in(&body.0.email, &body.0.password.0, &from).await? {
                    SignedIn::Session(session) => signed_in(&accounts, &session),
                    SignedIn::SecondFactor(challenge) => {
                        let answer = SignInAnswer::SecondFactor { challenge: secret::text(&challenge.secret), ends: challenge.ends };
                        Ok((HeaderMap::new(), Json(answer)))
                    }
                }
            }),
        )
        .post(
            "/v1/sign-in/second-factor",
            doc("Answer a challenge with a code or a recovery code").refuses(refusals::CHALLENGE).refuses(refusals::PROOF),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<ChallengeBody>| {
                let ChallengeBody { challenge, code, recovery_code } = body.0;
                let proof = proof(code, recovery_code)?;
                let session = accounts.answer_challenge(&challenge.0, &proof, &from).await?;
                signed_in(&accounts, &session)
            }),
        )
        .post(
            "/v1/sign-out",
            doc("End this session").refuses(refusals::SESSION),
            with!(accounts, |granted: Granted<ActUnconfirmed>, from: From| {
                accounts.end_session(granted.person, &granted.session.to_string(), &from).await?;
                let cookie = HeaderValue::from_static("__Host-gatehouse-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
                Answer::Ok(([(header::SET_COOKIE, cookie)], NoContent))
            }),
        )
}

fn own_account(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct Me {
        #[serde(flatten)]
        person: PersonInfo,
        organisations: Vec<OrganisationInfo>,
    }
    Routes::new()
        .get(
            "/v1/me",
            doc("Read your account and what you are in which organisation").refuses(refusals::GONE),
            with!(accounts, |granted: Granted<ActForSelf>| {
                let person = accounts.person(*granted).await?.ok_or(Gone)?;
                Answer::Ok(Json(Me { person, organisations: accounts.organisations_of(*granted).await? }))
            }),
        )
        .get(
            "/v1/me/history",
            doc("Read what happened to your account, the newest first"),
            with!(accounts, |granted: Granted<ActForSelf>, query: Query<HistoryQuery>| {
                let limit = query.limit.unwrap_or(HISTORY_PAGE);
                Answer::<Json<Vec<HistoryEntry>>>::Ok(Json(accounts.history(*granted, query.before, limit).await?))
            }),
        )
        .get(
            "/v1/me/sessions",
            doc("List your sessions"),
            with!(accounts, |granted: Granted<ActInSession>| {
                Answer::<Json<Vec<SessionInfo>>>::Ok(Json(accounts.sessions(granted.person, Some(granted.session)).await?))
            }),
        )
        .delete(
            "/v1/me/sessions/{id}",
            doc("End one of your sessions").refuses(refusals::SESSION),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.end_session(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .get(
            "/v1/me/programs",
            doc("List the programs that you let act for you"),
            with!(accounts, |granted: Granted<ActForSelf>| {
                Answer::<Json<Vec<ConsentInfo>>>::Ok(Json(accounts.consents(*granted).await?))
            }),
        )
        .delete(
            "/v1/me/programs/{id}",
            doc("End what a program may do for you").about("Its tokens are refused from the next request on.").refuses(refusals::CONSENT),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.withdraw_consent(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/me/password",
            doc("Change your password")
                .about("Every other session ends; this one goes on under a new cookie.")
                .refuses(refusals::PASSWORD)
                .refuses(refusals::NEW_PASSWORD),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<PasswordBody>| {
                let new = NewPassword::new(body.0.new.0).map_err(SignInError::from)?;
                let session = accounts.change_password(granted.person, &body.0.present.0, &new, &from).await?;
                signed_in(&accounts, &session)
            }),
        )
}

fn second_factor(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct SecondFactorShown {
        secret: String,
        link: String,
        picture: String,
    }
    #[derive(Serialize, JsonSchema)]
    struct RecoveryCodes {
        recovery_codes: Vec<String>,
    }
    Routes::new()
        .post(
            "/v1/me/second-factor",
            doc("Begin with a second factor")
                .about("Shows the secret for an authenticator. It counts when a code from it was confirmed.")
                .refuses(refusals::SECOND_FACTOR),
            with!(accounts, |granted: Granted<ActInSession>| {
                let enrolment = accounts.enrol_second_factor(granted.person).await?;
                let [secret, link, picture] = [enrolment.secret, enrolment.link, enrolment.picture].map(|shown| secret::text(&shown));
                Answer::Ok(Json(SecondFactorShown { secret, link, picture }))
            }),
        )
        .post(
            "/v1/me/second-factor/confirm",
            doc("Switch the second factor on with a code").refuses(refusals::SECOND_FACTOR),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<CodeBody>| {
                let codes = accounts.confirm_second_factor(granted.person, &body.0.code, &from).await?;
                Answer::Ok(Json(RecoveryCodes { recovery_codes: codes.iter().map(secret::text).collect() }))
            }),
        )
        .post(
            "/v1/me/second-factor/disable",
            doc("Switch the second factor off").refuses(refusals::SECOND_FACTOR).refuses(refusals::PROOF),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<ProofBody>| {
                let proof = proof(body.0.code, body.0.recovery_code)?;
                accounts.disable_second_factor(granted.person, &proof, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn tokens(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct NewlyMadeToken {
        #[serde(flatten)]
        info: TokenInfo,
        token: String,
    }
    Routes::new()
        .get(
            "/v1/tokens",
            doc("List your API tokens"),
            with!(accounts, |granted: Granted<ActForSelf>| Answer::<Json<Vec<TokenInfo>>>::Ok(Json(accounts.tokens(*granted).await?))),
        )
        .post(
            "/v1/tokens",
            doc("Make an API token")
                .about("The answer is the only place that ever shows it.")
                .refuses(refusals::MEMBER)
                .refuses(refusals::TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<TokenBody>| {
                let TokenBody { name, scopes, sources, expires } = body.0;
                let member: Member = granted.member?;
                let (info, token) = accounts.make_token(&member, NewToken { name, rights: scopes, sources, expires }, &from).await?;
                Answer::Ok(Created(NewlyMadeToken { info, token: secret::text(&token) }))
            }),
        )
        .patch(
            "/v1/tokens/{id}",
            doc("Change an API token").refuses(refusals::MEMBER).refuses(refusals::TOKEN).refuses(refusals::NAMED_TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>, body: Body<TokenChangeBody>| {
                let TokenChangeBody { name, scopes, sources } = body.0;
                let member: Member = granted.member?;
                let change = TokenChange { name, rights: scopes, sources };
                Answer::<Json<TokenInfo>>::Ok(Json(accounts.change_token(&member, &id, change, &from).await?))
            }),
        )
        .delete(
            "/v1/tokens/{id}",
            doc("Revoke an API token").refuses(refusals::NAMED_TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.revoke_token(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn members(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/organisations",
            doc("Make an organisation, which is then yours").refuses(refusals::ORGANISATION),
            with!(accounts, |granted: Granted<ActInSession>, body: Body<NameBody>| {
                let organisation = accounts.add_organisation(granted.person, &body.0.name).await?;
                Answer::Ok(Created(organisation))
            }),
        )
        .get(
            "/v1/members",
            doc("List the members of an organisation"),
            with!(accounts, |granted: Granted<ReadMembers>| {
                Answer::<Json<Vec<MemberInfo>>>::Ok(Json(accounts.members(&granted).await?))
            }),
        )
        .patch(
            "/v1/members/{person}",
            doc("Give a member another role").refuses(refusals::NAMED_MEMBER),
            with!(accounts, |granted: Granted<ManageMembers>, person: Path<PersonId>, body: Body<RoleBody>| {
                accounts.give_role(&granted, *person, body.0.role).await?;
                Answer::Ok(NoContent)
            }),
        )
        .delete(
            "/v1/members/{person}",
            doc("Remove a member").refuses(refusals::NAMED_MEMBER),
            with!(accounts, |granted: Granted<ManageMembers>, person: Path<PersonId>| {
                accounts.remove_member(&granted, *person).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn clients(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct NewlyMadeClient {
        #[serde(flatten)]
        info: ClientInfo,
        #[serde(skip_serializing_if = "Option::is_none")]
        secret: Option<String>,
    }
    Routes::new()
        .get(
            "/v1/clients",
            doc("List the programs that an organisation lets in"),
            with!(accounts, |granted: Granted<ManageClients>| Answer::<Json<Vec<ClientInfo>>>::Ok(Json(accounts.clients(&granted).await?))),
        )
        .post(
            "/v1/clients",
            doc("Let a program in").about("The answer is the only place that ever shows its secret.").refuses(refusals::CLIENT),
            with!(accounts, |granted: Granted<ManageClients>, body: Body<ClientBody>| {
                let ClientBody { name, role, scopes, authentication, redirect_uris, keys, device_code } = body.0;
                let new = NewClient { name, role, rights: scopes, authentication, redirect_uris, keys, device_code };
                let (info, secret) = accounts.make_client(&granted, new).await?;
                Answer::Ok(Created(NewlyMadeClient { info, secret: secret.as_ref().map(secret::text) }))
            }),
        )
        .delete(
            "/v1/clients/{id}",
            doc("Let a program in no more").refuses(refusals::NAMED_CLIENT),
            with!(accounts, |granted: Granted<ManageClients>, id: Path<String>| {
                accounts.remove_client(&granted, &id).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn signed_in(accounts: &Accounts, session: &NewSession) -> Answer<(HeaderMap, Json<SignInAnswer>)> {
    let age = Duration::from_millis(u64::try_from(session.ends.millis() - accounts.clock.now().millis()).unwrap_or(0)).as_secs();
    let cookie = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}", secret::text(&session.secret));
    let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Gone)?;
    cookie.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, cookie);
    Ok((headers, Json(SignInAnswer::SignedIn { ends: session.ends })))
}

fn proof(code: Option<String>, recovery_code: Option<Given>) -> Result<Proof, ProofNeeded> {
    match (code, recovery_code) {
        (Some(code), None) => Ok(Proof::Code(code)),
        (None, Some(code)) => Ok(Proof::Recovery(code.0)),
        _ => Err(ProofNeeded),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("give either `code` or `recovery_code`")]
struct ProofNeeded;

impl Fault for ProofNeeded {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "proof-needed"
    }

    fn field(&self) -> Option<&str> {
        Some("code")
    }
}

#[derive(Debug, thiserror::Error)]
#[error("this account is gone")]
pub(crate) struct Gone;

impl Fault for Gone {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }

    fn code(&self) -> &'static str {
        "account-gone"
    }
}
