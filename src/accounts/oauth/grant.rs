//! What clients get for their secret, and how it is looked at and ended again: RFC 6749 §4.4, RFC 7662, RFC 7009.

use super::{Client, ClientId, KeyError};
use crate::{Accounts, Right, StateError, rows};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, Table, codec};
use gatehouse_types::{OrganisationId, Secret, UnixTime};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When revoked tokens would have ended, by their `jti`.
pub(crate) const REVOKED: Table = Table::new("account-revoked-tokens");

/// RFC 9068 §2.1.
const ACCESS_TOKEN: &str = "at+jwt";
/// How long an access token is good.
const LIFETIME: Duration = Duration::from_secs(600);

/// What an access token says (RFC 9068 §2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) scope: String,
    /// The organisation: the tenant boundary.
    pub(crate) owner: OrganisationId,
}

/// An access token on its way to its client.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: Secret,
    pub(crate) lifetime: Duration,
    pub(crate) scope: String,
}

/// No token is given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("there is no such client, or the secret is another one")]
    Client,
    #[error("the client may not have the scope `{0}`")]
    Scope(String),
    #[error("this installation has no issuer: set `[accounts] issuer` or an https listener")]
    NoIssuer,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    State(#[from] StateError),
}

impl GrantError {
    /// The words of RFC 6749 §5.2; none where the fault is ours.
    pub(crate) fn oauth_code(&self) -> Option<&'static str> {
        match self {
            Self::Client => Some("invalid_client"),
            Self::Scope(_) => Some("invalid_scope"),
            Self::NoIssuer | Self::Key(_) | Self::State(_) => None,
        }
    }
}

impl Accounts {
    /// A token for a client that showed its secret (RFC 6749 §4.4).
    pub(crate) fn grant(&self, id: &ClientId, client: &Client, scope: Option<&str>) -> Result<Issued, GrantError> {
        let rights = match scope {
            None => client.rights.clone(),
            Some(scope) => {
                let wanted = scope.split(' ').filter(|word| !word.is_empty());
                let allowed = |word: &str| word.parse().ok().filter(|right| client.rights.contains(right));
                wanted
                    .map(|word| allowed(word).ok_or_else(|| GrantError::Scope(word.chars().take(64).collect())))
                    .collect::<Result<Vec<Right>, _>>()?
            }
        };
        let scope = rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(" ");
        let issuer = self.issuer.clone().ok_or(GrantError::NoIssuer)?;
        let now = self.clock.now();
        let claims = Claims {
            aud: issuer.clone(),
            iss: issuer,
            sub: id.0.clone(),
            client_id: id.0.clone(),
            iat: now.secs(),
            exp: (now + LIFETIME).secs(),
            jti: BASE64URL_NOPAD.encode(&self.draw()),
            scope: scope.clone(),
            owner: client.organisation,
        };
        let token = Secret::from(self.keys.sign(ACCESS_TOKEN, &claims)?);
        Ok(Issued { token, lifetime: LIFETIME, scope })
    }

    /// The claims of an access token that is good at this moment, and the client that has it.
    pub(crate) async fn access_token(&self, text: &Secret) -> Result<Option<(Claims, Client)>, StateError> {
        let claims = std::str::from_utf8(text.expose()).ok().and_then(|text| self.keys.claims::<Claims>(ACCESS_TOKEN, text));
        let now = self.clock.now().secs();
        let ours = |claims: &Claims| Some(&claims.iss) == self.issuer.as_ref() && claims.aud == claims.iss;
        let Some(claims) = claims.filter(|claims| ours(claims) && now < claims.exp) else { return Ok(None) };
        if self.events.store().get(REVOKED, claims.jti.as_bytes()).await?.is_some() {
            return Ok(None);
        }
        let client = self.client(&claims.client_id).await?;
        Ok(client.filter(|client| client.organisation == claims.owner).map(|client| (claims, client)))
    }

    /// Ends a token of this client's; another's is left alone, and the answer is the same (RFC 7009 §2.2).
    pub(crate) async fn revoke_access_token(&self, by: &ClientId, text: &Secret) -> Result<(), StateError> {
        let Some((claims, _)) = self.access_token(text).await? else { return Ok(()) };
        if claims.client_id != by.0 {
            return Ok(());
        }
        let batch = Batch::new().put(REVOKED, claims.jti.as_bytes(), codec::encode(&UnixTime::from_secs(claims.exp)));
        self.events.commit(batch).await?;
        Ok(())
    }

    /// Forgets revocations of tokens that have ended by themselves.
    pub(crate) async fn forget_ended_tokens(&self) -> Result<usize, StateError> {
        let now = self.clock.now();
        rows::forget(&self.events, REVOKED, |ends: &UnixTime| *ends <= now, |batch, _, _| batch).await
    }
}

impl Claims {
    pub(crate) fn rights(&self) -> Vec<Right> {
        self.scope.split(' ').filter_map(|word| word.parse().ok()).collect()
    }
}

impl Fault for GrantError {
    fn kind(&self) -> Kind {
        match self {
            Self::Client => Kind::Unauthenticated,
            Self::Scope(_) => Kind::Invalid,
            Self::NoIssuer => Kind::NotFound,
            Self::Key(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Client => "invalid-client",
            Self::Scope(_) => "invalid-scope",
            Self::NoIssuer => "no-issuer",
            Self::Key(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}
