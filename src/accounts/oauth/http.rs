//! The provider's paths: discovery, keys, token, introspection, revocation. Errors are those of RFC 6749 §5.2, which every client
//! library reads; what is our own fault is a problem like everywhere.

use super::{Client, ClientId, GrantError};
use crate::Accounts;
use axum::{
    Form, Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64;
use gatehouse_base::Kind;
use gatehouse_http::{Doc, Granted, Problem, Refusal, Routes, SignIn, doc};
use gatehouse_types::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const TOKEN: &str = "/oauth/token";
const KEYS: &str = "/oauth/jwks.json";
const INTROSPECT: &str = "/oauth/introspect";
const REVOKE: &str = "/oauth/revoke";

/// How long a list of keys may be cached; the next key is on it a day before it signs.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The provider's routes.
pub(crate) fn routes(accounts: &Accounts) -> Routes {
    let [openid, oauth, keys, token, introspection, revocation] = std::array::from_fn(|_| accounts.clone());
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
        .post(
            TOKEN,
            for_clients("Get an access token (RFC 6749)"),
            move |_: Granted<SignIn>, headers: HeaderMap, form: Result<Form<TokenForm>, _>| {
                let accounts = token.clone();
                async move { answered(accounts.token_answer(&headers, form.map_err(unreadable)).await) }
            },
        )
        .post(
            INTROSPECT,
            for_clients("Look into a token (RFC 7662)"),
            move |_: Granted<SignIn>, headers: HeaderMap, form: Result<Form<LookForm>, _>| {
                let accounts = introspection.clone();
                async move { answered(accounts.introspection(&headers, form.map_err(unreadable)).await) }
            },
        )
        .post(
            REVOKE,
            for_clients("Revoke a token (RFC 7009)"),
            move |_: Granted<SignIn>, headers: HeaderMap, form: Result<Form<LookForm>, _>| {
                let accounts = revocation.clone();
                async move { answered(accounts.revocation(&headers, form.map_err(unreadable)).await) }
            },
        )
}

/// A document that tells where the provider's paths are; without an issuer there is none.
fn discovery(summary: &'static str) -> Doc {
    doc(summary).refuses(const { &[Refusal::new(Kind::NotFound, "no-issuer")] })
}

/// A route for programs that show a client's id and secret, by Basic or in the form. The RFC has the members of its answer.
fn for_clients(summary: &'static str) -> Doc {
    doc(summary)
        .about("A client shows its id and secret by Basic authentication or in the form. Errors are those of RFC 6749 §5.2.")
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

/// RFC 6749 §4.4.2. A parameter that comes twice is refused with the form (§3.2).
#[derive(Deserialize, JsonSchema)]
pub(crate) struct TokenForm {
    grant_type: String,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// RFC 7662 §2.1, RFC 7009 §2.1. The hint helps nobody here.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct LookForm {
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// Why a client gets an error and not what it asked for.
enum Refused {
    Client(StatusCode, &'static str, String),
    Ours(Problem),
}

type Read<T> = Result<Form<T>, Refused>;

impl Accounts {
    /// RFC 8414 §2.
    fn metadata(&self) -> Result<Json<Value>, Problem> {
        let issuer = self.issuer.as_deref().ok_or(GrantError::NoIssuer)?;
        let at = |path: &str| format!("{issuer}{path}");
        let authentication = ["client_secret_basic", "client_secret_post"];
        Ok(Json(json!({
            "issuer": issuer,
            "token_endpoint": at(TOKEN),
            "jwks_uri": at(KEYS),
            "introspection_endpoint": at(INTROSPECT),
            "revocation_endpoint": at(REVOKE),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "scopes_supported": crate::Right::ALL.map(crate::Right::name),
            "token_endpoint_auth_methods_supported": authentication,
            "introspection_endpoint_auth_methods_supported": authentication,
            "revocation_endpoint_auth_methods_supported": authentication,
        })))
    }

    async fn token_answer(&self, headers: &HeaderMap, form: Read<TokenForm>) -> Result<Value, Refused> {
        let Form(TokenForm { grant_type, scope, client_id, client_secret }) = form?;
        let (id, client) = self.client_of(headers, client_id, client_secret).await?;
        if grant_type != "client_credentials" {
            let text = "the grant here is client_credentials".to_owned();
            return Err(Refused::Client(StatusCode::BAD_REQUEST, "unsupported_grant_type", text));
        }
        let issued = self.grant(&id, &client, scope.as_deref())?;
        Ok(json!({
            "access_token": crate::secret::text(&issued.token),
            "token_type": "Bearer",
            "expires_in": issued.lifetime.as_secs(),
            "scope": issued.scope,
        }))
    }

    /// A client learns of its own organisation's tokens; of all others that they are not active (RFC 7662 §2.2).
    async fn introspection(&self, headers: &HeaderMap, form: Read<LookForm>) -> Result<Value, Refused> {
        let Form(LookForm { token, client_id, client_secret }) = form?;
        let (_, client) = self.client_of(headers, client_id, client_secret).await?;
        let found = self.access_token(&Secret::from(token)).await.map_err(Problem::from)?;
        let Some((claims, _)) = found.filter(|(claims, _)| claims.owner == client.organisation) else {
            return Ok(json!({ "active": false }));
        };
        let mut answer = serde_json::to_value(&claims).unwrap_or_default();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("active".to_owned(), true.into());
            answer.insert("token_type".to_owned(), "Bearer".into());
        }
        Ok(answer)
    }

    async fn revocation(&self, headers: &HeaderMap, form: Read<LookForm>) -> Result<Value, Refused> {
        let Form(LookForm { token, client_id, client_secret }) = form?;
        let (id, _) = self.client_of(headers, client_id, client_secret).await?;
        self.revoke_access_token(&id, &Secret::from(token)).await.map_err(Problem::from)?;
        Ok(json!({}))
    }

    /// The client that a request comes from, by Basic or by the form, not by both (RFC 6749 §2.3).
    async fn client_of(&self, headers: &HeaderMap, id: Option<String>, secret: Option<String>) -> Result<(ClientId, Client), Refused> {
        let both = || Refused::Client(StatusCode::BAD_REQUEST, "invalid_request", "a client shows its secret in one way".to_owned());
        let (id, secret) = match (basic(headers), secret) {
            (Some(_), Some(_)) => return Err(both()),
            (Some((shown, _)), None) if id.as_ref().is_some_and(|id| *id != shown) => return Err(both()),
            (Some(shown), None) => shown,
            (None, Some(secret)) => (id.unwrap_or_default(), Secret::from(secret)),
            (None, None) => return Err(GrantError::Client.into()),
        };
        Ok(self.authenticated(&id, &secret).await.map_err(GrantError::from)?.ok_or(GrantError::Client)?)
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
    Refused::Client(StatusCode::BAD_REQUEST, "invalid_request", text)
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
