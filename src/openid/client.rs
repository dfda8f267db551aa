//! Ourselves as a client of a provider (RFC 6749, RFC 7636): where to send people, and tokens for what they come back with.
//!
//! The crate `oauth2` knows how requests and answers are written. Randomness comes from the caller, and the network is
//! `gatehouse-outgoing`'s.

use crate::Metadata;
use gatehouse_base::{Fault, Kind};
use gatehouse_outgoing::{Outgoing, OutgoingError, Purpose};
use gatehouse_types::Secret;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields,
    HttpRequest, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope, StandardRevocableToken,
    StandardTokenResponse, TokenResponse, TokenUrl,
    basic::{BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, sync::Arc, time::Duration};

const TOKEN: Purpose = Purpose("token");
/// RFC 7636 §4.1.
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

type Answer = StandardTokenResponse<WithIdentity, BasicTokenType>;
type Asking = Client<
    BasicErrorResponse,
    Answer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What OpenID adds to the answer.
#[derive(Debug, Deserialize, Serialize)]
struct WithIdentity {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdentity {}

/// A client of a provider: ourselves, for one configuration of it.
#[derive(Debug)]
pub struct Relying {
    metadata: Arc<Metadata>,
    client: Asking,
}

/// A request for authorization.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is asked for, besides `openid`.
    pub scopes: &'a [String],
    /// What ties the answer to the browser.
    pub state: &'a str,
    /// What ties the ID token to the request.
    pub nonce: &'a str,
    /// What ties the code to us: 43 to 128 characters.
    pub verifier: &'a Secret,
}

/// What a provider gives for a code or a refresh token.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret,
    /// What the next ones are asked for with.
    pub refresh: Option<Secret>,
    /// Who it was, where `openid` was asked for.
    pub identity: Option<Secret>,
    /// How long the access token lives, as the provider says.
    pub lives: Option<Duration>,
}

/// A provider gives no tokens.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The code or refresh token is not good, or not any more.
    #[error("the provider does not take this code or token")]
    Grant,
    /// It refuses us, or something else about the request.
    #[error("the provider refuses the request: {0}")]
    Refused(String),
    /// It cannot be asked.
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    /// Its answer cannot be read.
    #[error("the provider's answer cannot be read")]
    Answer,
    /// Something that we would send is none.
    #[error("this is no code verifier or redirect URI")]
    Ours,
}

impl Relying {
    /// Ourselves at a provider.
    ///
    /// # Errors
    /// The redirect URI is none.
    pub fn new(metadata: Arc<Metadata>, client_id: &str, secret: Option<&Secret>, redirect: &str) -> Result<Self, ExchangeError> {
        let ours = |_| ExchangeError::Ours;
        let authorization = AuthUrl::new(metadata.authorization.as_str().to_owned()).map_err(ours)?;
        let token = TokenUrl::new(metadata.token.as_str().to_owned()).map_err(ours)?;
        let client = Client::new(ClientId::new(client_id.to_owned())).set_auth_uri(authorization).set_token_uri(token);
        let client = client.set_redirect_uri(RedirectUrl::new(redirect.to_owned()).map_err(ours)?);
        let client = client.set_auth_type(if metadata.secret_in_form { AuthType::RequestBody } else { AuthType::BasicAuth });
        let client = match secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(text(secret))),
            None => client,
        };
        Ok(Self { metadata, client })
    }

    /// What the provider publishes.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Where to send somebody.
    ///
    /// # Errors
    /// The verifier is none.
    pub fn authorization(&self, ask: Ask<'_>) -> Result<String, ExchangeError> {
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier(ask.verifier)?);
        let state = ask.state.to_owned();
        let request = self.client.authorize_url(|| CsrfToken::new(state)).add_scope(Scope::new("openid".to_owned()));
        let others = ask.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let request = request.add_scopes(others).add_extra_param("nonce", ask.nonce.to_owned()).set_pkce_challenge(challenge);
        Ok(request.url().0.into())
    }

    /// Exchanges a code. The verifier is what the request for it was tied to; a redirect URI is given where it was another one.
    ///
    /// # Errors
    /// The provider gives no tokens.
    pub async fn exchange(
        &self,
        outgoing: &Outgoing,
        code: &Secret,
        tied_to: Option<&Secret>,
        redirect: Option<&str>,
    ) -> Result<Tokens, ExchangeError> {
        let mut request = self.client.exchange_code(AuthorizationCode::new(text(code)));
        if let Some(tied_to) = tied_to {
            request = request.set_pkce_verifier(verifier(tied_to)?);
        }
        if let Some(redirect) = redirect {
            let redirect = RedirectUrl::new(redirect.to_owned()).map_err(|_| ExchangeError::Ours)?;
            request = request.set_redirect_uri(Cow::Owned(redirect));
        }
        taken(request.request_async(&asking(outgoing)).await)
    }

    /// Exchanges a refresh token.
    ///
    /// # Errors
    /// The provider gives no tokens.
    pub async fn refresh(&self, outgoing: &Outgoing, token: &Secret) -> Result<Tokens, ExchangeError> {
        let token = RefreshToken::new(text(token));
        let request = self.client.exchange_refresh_token(&token);
        taken(request.request_async(&asking(outgoing)).await)
    }
}

fn asking(
    outgoing: &Outgoing,
) -> impl Fn(HttpRequest) -> std::pin::Pin<Box<dyn Future<Output = Result<oauth2::HttpResponse, OutgoingError>> + Send>> + Sync {
    let outgoing = outgoing.clone();
    move |request| {
        let outgoing = outgoing.clone();
        Box::pin(async move { outgoing.send(TOKEN, request).await })
    }
}

fn taken(answer: Result<Answer, RequestTokenError<OutgoingError, BasicErrorResponse>>) -> Result<Tokens, ExchangeError> {
    let answer = answer.map_err(|error| match error {
        RequestTokenError::ServerResponse(refused) if *refused.error() == BasicErrorResponseType::InvalidGrant => ExchangeError::Grant,
        RequestTokenError::ServerResponse(refused) => ExchangeError::Refused(printable(refused.error().as_ref())),
        RequestTokenError::Request(error) => ExchangeError::Outgoing(error),
        // The answer's bytes may hold tokens.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => ExchangeError::Answer,
    })?;
    if *answer.token_type() != BasicTokenType::Bearer {
        return Err(ExchangeError::Answer);
    }
    let secret = |text: &String| Secret::from(text.clone());
    Ok(Tokens {
        access: secret(answer.access_token().secret()),
        refresh: answer.refresh_token().map(|token| secret(token.secret())),
        identity: answer.extra_fields().id_token.as_ref().map(secret),
        lives: answer.expires_in(),
    })
}

fn verifier(secret: &Secret) -> Result<PkceCodeVerifier, ExchangeError> {
    // The library asserts what the length is.
    if VERIFIER.contains(&secret.len()) { Ok(PkceCodeVerifier::new(text(secret))) } else { Err(ExchangeError::Ours) }
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(64).collect()
}

impl Fault for ExchangeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Grant => Kind::Unauthenticated,
            Self::Refused(_) | Self::Answer => Kind::Unavailable,
            Self::Outgoing(error) => error.kind(),
            Self::Ours => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Grant => "provider-grant",
            Self::Refused(_) => "provider-refuses",
            Self::Outgoing(error) => error.code(),
            Self::Answer => "provider-answer",
            Self::Ours => "code-verifier",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Outgoing(error) => error.retry_after(),
            _ => None,
        }
    }
}
