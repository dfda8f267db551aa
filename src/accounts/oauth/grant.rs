//! Access tokens, for programs that act for themselves (RFC 6749 §4.4) and for people, with the ID tokens that tell programs who those
//! are (OpenID Connect Core §2); and how a token is looked at and ended again (RFC 7662, RFC 7009).

use super::{
    Client, ClientId, KeyError, Scope, Word,
    grants::{Grant, Granting, Proof},
    mutual_tls::Confirmation,
};
use crate::{Accounts, Right, StateError, rows};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::{Fault, Kind};
use gatehouse_store::{Batch, Table, codec};
use gatehouse_types::{OrganisationId, Secret, UnixTime};
use ring::digest::digest;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When revoked tokens would have ended, by their `jti`.
pub(crate) const REVOKED: Table = Table::new("account-revoked-tokens");

/// RFC 9068 §2.1.
const ACCESS_TOKEN: &str = "at+jwt";
/// How long an access token is good.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// OpenID Connect Core §2. An ID token is no access token: its type says so.
const ID_TOKEN: &str = "JWT";

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
    /// What it is good within, where it acts for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<String>,
    /// What it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cnf: Option<Confirmation>,
}

/// What an ID token says (OpenID Connect Core §2).
#[derive(Serialize)]
struct IdClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    azp: &'a str,
    iat: i64,
    exp: i64,
    auth_time: i64,
    /// RFC 8176 §2.
    amr: &'static [&'static str],
    at_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

/// For whom and what an access token is.
struct Named<'a> {
    subject: &'a str,
    client: &'a str,
    owner: OrganisationId,
    grant: Option<String>,
    cnf: Option<Confirmation>,
}

/// An access token that was shown and is good at this moment.
#[derive(Debug)]
pub(crate) struct Bearer {
    pub(crate) claims: Claims,
    /// What is left of its scope: the client's scopes and the person's role may be less than when it was given.
    pub(crate) scope: Scope,
    pub(crate) client: Client,
    /// Where it acts for a person.
    pub(crate) grant: Option<Grant>,
}

/// An access token on its way to its client.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: Secret,
    pub(crate) lifetime: Duration,
    pub(crate) scope: String,
    pub(crate) refresh: Option<Secret>,
    pub(crate) id_token: Option<Secret>,
}

/// No token is given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GrantError {
    #[error("there is no such client, or the secret is another one")]
    Client,
    #[error("this client gets no tokens in this way")]
    NotForThis,
    #[error("this client's tokens are bound to its certificate: ask where clients are asked for one (`mtls_endpoint_aliases`)")]
    Uncertified,
    #[error("the operator of this installation has suspended the client's organisation")]
    Suspended,
    #[error("the code or token is not known, was used, is over, or came with something else than it was made for")]
    NotGood,
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
            Self::NotForThis | Self::Suspended => Some("unauthorized_client"),
            Self::Uncertified => Some("invalid_request"),
            Self::NotGood => Some("invalid_grant"),
            Self::Scope(_) => Some("invalid_scope"),
            Self::NoIssuer | Self::Key(_) | Self::State(_) => None,
        }
    }
}

impl Accounts {
    /// A token for a client that showed its secret (RFC 6749 §4.4).
    pub(crate) async fn grant(
        &self,
        id: &ClientId,
        client: &Client,
        scope: Option<&str>,
        cnf: Option<Confirmation>,
    ) -> Result<Issued, GrantError> {
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
        let organisation = client.organisation.ok_or(GrantError::NotForThis)?;
        if self.is_suspended(organisation).await? {
            return Err(GrantError::Suspended);
        }
        let token = self.signed(&Named { subject: &id.0, client: &id.0, owner: organisation, grant: None, cnf }, &scope)?;
        Ok(Issued { token, lifetime: LIFETIME, scope, refresh: None, id_token: None })
    }

    /// What a program gets that acts for a person; less than what is left of the grant where it asks for less.
    pub(crate) fn issued(
        &self,
        granting: Granting,
        less: Option<&Scope>,
        nonce: Option<&str>,
        cnf: Option<Confirmation>,
    ) -> Result<Issued, GrantError> {
        let Granting { id, grant, present, refresh } = granting;
        let scope = less.map_or_else(|| present.clone(), |less| present.common(less));
        let subject = grant.person.to_string();
        let named = Named { subject: &subject, client: &grant.client, owner: grant.organisation, grant: Some(id.to_string()), cnf };
        let token = self.signed(&named, &scope.to_string())?;
        let id_token = if scope.has(Word::OpenId) { Some(self.id_token(&grant, &token, nonce)?) } else { None };
        Ok(Issued { token, lifetime: LIFETIME, scope: scope.to_string(), refresh, id_token })
    }

    fn signed(&self, named: &Named<'_>, scope: &str) -> Result<Secret, GrantError> {
        let issuer = self.issuer.clone().ok_or(GrantError::NoIssuer)?;
        let now = self.clock.now();
        let claims = Claims {
            aud: issuer.clone(),
            iss: issuer,
            sub: named.subject.to_owned(),
            client_id: named.client.to_owned(),
            iat: now.secs(),
            exp: (now + LIFETIME).secs(),
            jti: BASE64URL_NOPAD.encode(&self.draw()),
            scope: scope.to_owned(),
            owner: named.owner,
            grant: named.grant.clone(),
            cnf: named.cnf.clone(),
        };
        Ok(Secret::from(self.keys.sign(ACCESS_TOKEN, &claims)?))
    }

    fn id_token(&self, grant: &Grant, access: &Secret, nonce: Option<&str>) -> Result<Secret, GrantError> {
        let now = self.clock.now();
        // §3.1.3.6: the left half of the digest that goes with the algorithm; SHA-512 with Ed25519.
        let digest = digest(self.keys.token_digest(), access.expose());
        let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
        let claims = IdClaims {
            iss: self.issuer.as_deref().ok_or(GrantError::NoIssuer)?,
            sub: grant.person.to_string(),
            aud: &grant.client,
            azp: &grant.client,
            iat: now.secs(),
            exp: (now + LIFETIME).secs(),
            auth_time: grant.proof.at.secs(),
            // RFC 8176 §2: a key that was proven to be had, and its owner made sure of.
            amr: match grant.proof {
                Proof { passkey: true, .. } => &["pop", "mfa"],
                Proof { second_factor: true, .. } => &["pwd", "mfa"],
                _ => &["pwd"],
            },
            at_hash: BASE64URL_NOPAD.encode(half),
            nonce,
        };
        Ok(Secret::from(self.keys.sign(ID_TOKEN, &claims)?))
    }

    /// What an access token allows that is good at this moment.
    pub(crate) async fn access_token(&self, text: &Secret) -> Result<Option<Bearer>, StateError> {
        let claims = std::str::from_utf8(text.expose()).ok().and_then(|text| self.keys.claims::<Claims>(ACCESS_TOKEN, text));
        let now = self.clock.now().secs();
        let ours = |claims: &Claims| Some(&claims.iss) == self.issuer.as_ref() && claims.aud == claims.iss;
        let Some(claims) = claims.filter(|claims| ours(claims) && now < claims.exp) else { return Ok(None) };
        if self.events.store().get(REVOKED, claims.jti.as_bytes()).await?.is_some() {
            return Ok(None);
        }
        let client = self.client(&claims.client_id).await?;
        let Some(client) = client.filter(|client| client.organisation.is_none_or(|own| own == claims.owner)) else { return Ok(None) };
        let grant = match &claims.grant {
            None => None,
            Some(id) => match self.live_grant(id).await? {
                Some(grant) => Some(grant),
                None => return Ok(None),
            },
        };
        let scope = claims.scope.parse::<Scope>().unwrap_or_default().common(&client.scope());
        let role = if let Some(grant) = &grant { self.acting_role(grant.person, grant.organisation).await? } else { None };
        let scope = role.map_or_else(|| scope.clone(), |role| scope.within(role));
        Ok(Some(Bearer { claims, scope, client, grant }))
    }

    /// Ends a token of this client's; another's is left alone, and the answer is the same (RFC 7009 §2.2).
    pub(crate) async fn revoke_access_token(&self, by: &ClientId, text: &Secret) -> Result<(), StateError> {
        let Some(Bearer { claims, .. }) = self.access_token(text).await? else { return Ok(()) };
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
        rows::forget(&self.events, REVOKED, |ends: &UnixTime| *ends + rows::CLOCK_MARGIN <= now, |batch, _, _| batch).await
    }
}

impl Bearer {
    /// What it allows: what the client may not have any more, its tokens have not either.
    pub(crate) fn rights(&self) -> Vec<Right> {
        self.scope.rights()
    }
}

impl Fault for GrantError {
    fn kind(&self) -> Kind {
        match self {
            Self::Client => Kind::Unauthenticated,
            Self::NotForThis | Self::Suspended => Kind::Forbidden,
            Self::Uncertified | Self::NotGood | Self::Scope(_) => Kind::Invalid,
            Self::NoIssuer => Kind::NotFound,
            Self::Key(error) => error.kind(),
            Self::State(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Client => "invalid-client",
            Self::NotForThis => "unauthorized-client",
            Self::Uncertified => "uncertified",
            Self::Suspended => "organisation-suspended",
            Self::NotGood => "invalid-grant",
            Self::Scope(_) => "invalid-scope",
            Self::NoIssuer => "no-issuer",
            Self::Key(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}
