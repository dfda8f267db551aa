//! The provider's paths for programs: discovery, keys, token, device codes, introspection, revocation, userinfo. Errors are those of
//! RFC 6749 §5.2, which every client library reads; what is our own fault is a problem like everywhere.

use super::{
    Bearer, Certified, Client, ClientId, GrantError, Scope, Word,
    assertion::ASSERTION_TYPE,
    client::Authentication,
    device,
    metadata::{DEVICE_AUTHORIZATION, INTROSPECT, KEYS, REVOKE, TOKEN, USERINFO},
    token::TokenForm,
};
use crate::{Accounts, Email, Visitor, caller::KnowPerson, counters, http::Gone, refusals, secret};
use axum::{
    Extension, Form, Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use gatehouse_base::Kind;
use gatehouse_http::{Doc, Granted, Problem, Refusal, Routes, SignIn, doc};
use gatehouse_types::{PersonId, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How long a list of keys may be cached; the next key is on it a day before it signs.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The provider's routes.
pub(crate) fn routes(accounts: &Accounts) -> Routes {
    public(accounts)
        .and(for_clients(accounts))
        .and(userinfo(accounts))
        .and(super::browser::routes(accounts))
        .and(super::device_pages::routes(accounts))
        .and(super::foreign_pages::routes(accounts))
        .and(super::passkey_pages::routes(accounts))
}

fn public(accounts: &Accounts) -> Routes {
    let [openid, oauth, keys] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .get(
            "/.well-known/openid-configuration",
            discovery("Find the provider's paths (OpenID Connect Discovery 1.0)"),
            move |_: Granted<SignIn>| {
                let metadata = openid.metadata();
                async move { metadata }
            },
        )
        .get("/.well-known/oauth-authorization-server", discovery("Find the provider's paths (RFC 8414)"), move |_: Granted<SignIn>| {
            let metadata = oauth.metadata();
            async move { metadata }
        })
        .get(KEYS, doc("Fetch the keys that verify our tokens (RFC 7517)"), move |_: Granted<SignIn>| {
            let published = keys.keys.published();
            async move { ([(header::CACHE_CONTROL, KEYS_AGE)], Json(published)) }
        })
}

fn for_clients(accounts: &Accounts) -> Routes {
    let [token, waiting, introspection, revocation] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .post(
            TOKEN,
            answering("Get tokens (RFC 6749, RFC 7636, RFC 8628)"),
            move |_: Granted<SignIn>, headers: HeaderMap, certified: Over, form: Result<Form<TokenForm>, _>| {
                let accounts = token.clone();
                async move { answered(accounts.token_answer(&headers, certified.as_deref(), form.map_err(unreadable)).await) }
            },
        )
        .post(
            DEVICE_AUTHORIZATION,
            answering("Get a code for a person to type in (RFC 8628)").answers::<OAuthError>(StatusCode::TOO_MANY_REQUESTS),
            move |_: Granted<SignIn>, from: Extension<Visitor>, headers: HeaderMap, certified: Over, form: Result<Form<DeviceForm>, _>| {
                let accounts = waiting.clone();
                async move { answered(accounts.device_authorization(&headers, certified.as_deref(), form.map_err(unreadable), &from).await) }
            },
        )
        .post(
            INTROSPECT,
            answering("Look into a token (RFC 7662)"),
            move |_: Granted<SignIn>, headers: HeaderMap, certified: Over, form: Result<Form<LookForm>, _>| {
                let accounts = introspection.clone();
                async move { answered(accounts.introspection(&headers, certified.as_deref(), form.map_err(unreadable)).await) }
            },
        )
        .post(
            REVOKE,
            answering("Revoke a token (RFC 7009)"),
            move |_: Granted<SignIn>, headers: HeaderMap, certified: Over, form: Result<Form<LookForm>, _>| {
                let accounts = revocation.clone();
                async move { answered(accounts.revocation(&headers, certified.as_deref(), form.map_err(unreadable)).await) }
            },
        )
}

/// OpenID Connect Core §5.3.1: by either method.
fn userinfo(accounts: &Accounts) -> Routes {
    let [get, post] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .get(USERINFO, knowing("Find out who let you act for them"), move |granted: Granted<KnowPerson>| {
            let accounts = get.clone();
            async move { accounts.userinfo(&granted).await }
        })
        .post(USERINFO, knowing("Find out who let you act for them, by POST"), move |granted: Granted<KnowPerson>| {
            let accounts = post.clone();
            async move { accounts.userinfo(&granted).await }
        })
}

fn knowing(summary: &'static str) -> Doc {
    doc(summary).about("What there is depends on the scopes `profile` and `email`.").refuses(refusals::GONE)
}

/// A document that tells where the provider's paths are; without an issuer there is none.
fn discovery(summary: &'static str) -> Doc {
    doc(summary).refuses(const { &[Refusal::new(Kind::NotFound, "no-issuer")] })
}

/// A route for programs that prove which client they are. The RFC has the members of its answer.
fn answering(summary: &'static str) -> Doc {
    doc(summary)
        .about("A client proves itself by Basic authentication, a secret in the form, an assertion or the certificate of its connection. Errors are those of RFC 6749 §5.2.")
        .answers::<Map<String, Value>>(StatusCode::OK)
        .answers::<OAuthError>(StatusCode::BAD_REQUEST)
        .answers::<OAuthError>(StatusCode::UNAUTHORIZED)
        .refuses(const { &[Refusal::new(Kind::NotFound, "no-issuer")] })
}

/// RFC 6749 §5.2.
#[derive(Serialize, JsonSchema)]
struct OAuthError {
    error: &'static str,
    error_description: String,
}

/// OpenID Connect Core §5.1.
#[derive(Serialize, JsonSchema)]
struct Userinfo {
    sub: PersonId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Email>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

/// How a client proves itself in a form (RFC 6749 §2.3.1, RFC 7523 §2.2).
#[derive(Deserialize, JsonSchema)]
pub(super) struct Shown {
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// RFC 8628 §3.1.
#[derive(Deserialize, JsonSchema)]
struct DeviceForm {
    scope: Option<String>,
    #[serde(flatten)]
    shown: Shown,
}

/// RFC 7662 §2.1, RFC 7009 §2.1. The hint helps nobody here.
#[derive(Deserialize, JsonSchema)]
struct LookForm {
    token: String,
    #[serde(flatten)]
    shown: Shown,
}

/// Why a client gets an error and not what it asked for.
#[derive(Debug)]
pub(super) enum Refused {
    Client(StatusCode, &'static str, String),
    Ours(Problem),
}

/// The certificate of the connection, where one was asked for.
type Over = Option<Extension<Certified>>;

pub(super) type Read<T> = Result<Form<T>, Refused>;

impl Accounts {
    /// RFC 8628 §3.2.
    async fn device_authorization(
        &self,
        headers: &HeaderMap,
        certified: Option<&Certified>,
        form: Read<DeviceForm>,
        from: &Visitor,
    ) -> Result<Value, Refused> {
        let Form(DeviceForm { scope, shown }) = form?;
        let (id, client) = self.client_of(headers, certified, shown).await?;
        let issuer = self.issuer.as_deref().ok_or(GrantError::NoIssuer)?;
        if !client.device_code {
            return Err(GrantError::NotForThis.into());
        }
        let scope = match scope.as_deref().map(str::parse::<Scope>) {
            Some(scope) => scope.map_err(|unknown| GrantError::Scope(unknown.0))?,
            None => Scope::of(client.rights.iter().copied().map(Word::Of)),
        };
        if let Some(beyond) = scope.beyond(&client.scope()) {
            return Err(GrantError::Scope(beyond.name().to_owned()).into());
        }
        let begun = self.begin_device_code(&id.0, scope, from).await.map_err(GrantError::from)?;
        let full = || Refused::Client(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", "too many wait already".to_owned());
        let device::DeviceCode { device_code, user_code } = begun.ok_or_else(full)?;
        let page = format!("{issuer}{}", super::forms::DEVICE);
        Ok(json!({
            "device_code": secret::text(&device_code),
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={user_code}"),
            "expires_in": device::ENDS.as_secs(),
            "interval": device::INTERVAL.as_secs(),
        }))
    }

    /// A client learns of its own organisation's tokens, and of its own; of all others that they are not active (RFC 7662 §2.2).
    async fn introspection(&self, headers: &HeaderMap, certified: Option<&Certified>, form: Read<LookForm>) -> Result<Value, Refused> {
        let Form(LookForm { token, shown }) = form?;
        let (id, client) = self.client_of(headers, certified, shown).await?;
        if client.authentication == Authentication::None {
            return Err(GrantError::Client.into());
        }
        let token = Secret::from(token);
        let inactive = || Ok(json!({ "active": false }));
        if let Some((_, grant)) = self.refresh_token(&token).await.map_err(GrantError::from)?.filter(|(_, grant)| grant.client == id.0) {
            let Some(scope) = self.present_scope(&grant, &client).await.map_err(GrantError::from)? else { return inactive() };
            let (sub, scope) = (grant.person.to_string(), scope.to_string());
            return Ok(json!({ "active": true, "client_id": id.0, "sub": sub, "scope": scope, "owner": grant.organisation }));
        }
        let found = self.access_token(&token).await.map_err(Problem::from)?;
        let may_know = |bearer: &Bearer| Some(bearer.claims.owner) == client.organisation || bearer.claims.client_id == id.0;
        let Some(Bearer { claims, scope, .. }) = found.filter(may_know) else { return inactive() };
        if self.is_suspended(claims.owner).await.map_err(GrantError::from)? {
            return inactive();
        }
        let mut answer = serde_json::to_value(&claims).unwrap_or_default();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("active".to_owned(), true.into());
            answer.insert("scope".to_owned(), scope.to_string().into());
            answer.insert("token_type".to_owned(), "Bearer".into());
        }
        Ok(answer)
    }

    /// A refresh token ends with everything that it gave (RFC 7009 §2.1); an access token ends alone.
    async fn revocation(&self, headers: &HeaderMap, certified: Option<&Certified>, form: Read<LookForm>) -> Result<Value, Refused> {
        let Form(LookForm { token, shown }) = form?;
        let (id, _) = self.client_of(headers, certified, shown).await?;
        let token = Secret::from(token);
        if !self.end_grant_of_token(&id.0, &token).await.map_err(Problem::from)? {
            self.revoke_access_token(&id, &token).await.map_err(Problem::from)?;
        }
        Ok(json!({}))
    }

    /// OpenID Connect Core §5.3.2.
    async fn userinfo(&self, (person, scope): &(PersonId, Scope)) -> Result<Json<Userinfo>, Problem> {
        let info = self.person(*person).await?.ok_or(Gone)?;
        let name = scope.has(Word::Profile).then_some(info.name);
        let (email, email_verified) = scope.has(Word::Email).then_some((info.email, info.confirmed)).unzip();
        Ok(Json(Userinfo { sub: *person, name, email, email_verified }))
    }

    /// The client that a request comes from, which proves itself in the one way that it was made for (RFC 6749 §2.3).
    pub(super) async fn client_of(
        &self,
        headers: &HeaderMap,
        certified: Option<&Certified>,
        shown: Shown,
    ) -> Result<(ClientId, Client), Refused> {
        let Shown { client_id, client_secret, client_assertion_type, client_assertion } = shown;
        let basic = basic(headers);
        // What is no Basic is no credential that clients show here, and must not be taken for none.
        if headers.contains_key(header::AUTHORIZATION) && basic.is_none() {
            return Err(GrantError::Client.into());
        }
        let ways = [basic.is_some(), client_secret.is_some(), client_assertion.is_some() || client_assertion_type.is_some()];
        let foreign_id = |proven: &str| client_id.as_ref().is_some_and(|id| id != proven);
        if ways.into_iter().filter(|way| *way).count() > 1 || basic.as_ref().is_some_and(|(id, _)| foreign_id(id)) {
            return Err(Refused::invalid("a client proves itself in one way"));
        }
        let found = match (basic, client_secret, client_assertion) {
            (Some((id, secret)), ..) => self.authenticated(&id, &secret).await.map_err(GrantError::from)?,
            (_, Some(secret), _) => {
                self.authenticated(client_id.as_deref().unwrap_or_default(), &Secret::from(secret)).await.map_err(GrantError::from)?
            }
            (_, _, Some(assertion)) if client_assertion_type.as_deref() == Some(ASSERTION_TYPE) => {
                let issuer = self.issuer.as_deref().ok_or(GrantError::NoIssuer)?;
                let audiences = [issuer.to_owned(), format!("{issuer}{TOKEN}")];
                let found = self.asserted(&Secret::from(assertion), &audiences).await.map_err(GrantError::from)?;
                found.filter(|(id, _)| !foreign_id(&id.0))
            }
            (None, None, None) if client_assertion_type.is_none() => {
                let id = client_id.clone().unwrap_or_default();
                let client = self.client(&id).await.map_err(GrantError::from)?;
                let proven = |client: &Client| client.authentication == Authentication::None || client.is_proven_by(certified);
                client.filter(proven).map(|client| (ClientId(id), client))
            }
            _ => None,
        };
        found.ok_or_else(|| {
            counters::program_refused("client");
            GrantError::Client.into()
        })
    }
}

/// RFC 6749 §2.3.1: both parts are form-encoded, which changes nothing about ours.
fn basic(headers: &HeaderMap) -> Option<(String, Secret)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| BASE64.decode(encoded.trim().as_bytes()).ok())??;
    let text = String::from_utf8(decoded).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), Secret::from(secret.to_owned())))
}

fn unreadable(_: axum::extract::rejection::FormRejection) -> Refused {
    let text = "the body is a form (application/x-www-form-urlencoded) with every parameter once".to_owned();
    Refused::invalid(text)
}

impl From<GrantError> for Refused {
    fn from(error: GrantError) -> Self {
        match error.oauth_code() {
            Some("invalid_client") => Self::Client(StatusCode::UNAUTHORIZED, "invalid_client", error.to_string()),
            Some(code) => Self::Client(StatusCode::BAD_REQUEST, code, error.to_string()),
            None => Self::Ours(error.into()),
        }
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Ours(problem)
    }
}

fn answered(answer: Result<Value, Refused>) -> Response {
    match answer {
        // RFC 6749 §5.1: never cached; the server's own headers say so.
        Ok(value) => Json(value).into_response(),
        Err(Refused::Ours(problem)) => problem.into_response(),
        Err(Refused::Client(status, error, error_description)) => {
            let mut response = (status, Json(OAuthError { error, error_description })).into_response();
            if status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"gatehouse\""));
            }
            response
        }
    }
}
