//! The token endpoint (RFC 6749 §3.2): who may have tokens for what.

use super::{
    Certified, Client, ClientId, Scope,
    client::Authentication,
    code::{Exchanged, ShownCode},
    device::{INTERVAL, Polled},
    grant::{GrantError, Issued},
    grants::Refreshed,
    http::{Read, Refused, Shown},
    mutual_tls::Confirmation,
};
use crate::{Accounts, Right, admission::TokenFor, counters, secret};
use axum::{
    Form,
    http::{HeaderMap, StatusCode},
};
use gatehouse_types::{IdError, OrganisationId, Secret};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::str::FromStr;

const CLIENT_CREDENTIALS: &str = "client_credentials";
const CODE: &str = "authorization_code";
const REFRESH: &str = "refresh_token";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What this endpoint takes.
pub(super) const GRANT_TYPES: [&str; 4] = [CLIENT_CREDENTIALS, CODE, REFRESH, DEVICE];

/// RFC 6749 §4.1.3, §4.4.2, §6; RFC 7636 §4.5; RFC 8628 §3.4. A parameter that comes twice is refused with the form (§3.2).
#[derive(Deserialize, JsonSchema)]
pub(super) struct TokenForm {
    grant_type: Option<String>,
    scope: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
    /// A token for this device to sign up with, and not for the client itself.
    device_id: Option<String>,
    /// The organisation whose the device becomes, as some services say it: it is the client's, or a mistake.
    owner: Option<String>,
    hub: Option<String>,
    group: Option<String>,
    #[serde(flatten)]
    shown: Shown,
}

impl TokenForm {
    fn device(&self) -> Result<Option<(TokenFor, Option<OrganisationId>)>, Refused> {
        fn id<T: FromStr<Err = IdError>>(text: Option<&String>, name: &str) -> Result<Option<T>, Refused> {
            text.map(|text| text.parse().map_err(|error| Refused::invalid(format!("`{name}`: {error}")))).transpose()
        }
        let Some(device) = id(self.device_id.as_ref(), "device_id")? else { return Ok(None) };
        let (hub, group) = (id(self.hub.as_ref(), "hub")?, id(self.group.as_ref(), "group")?);
        Ok(Some((TokenFor { device, hub, group }, id(self.owner.as_ref(), "owner")?)))
    }
}

impl Accounts {
    pub(super) async fn token_answer(
        &self,
        headers: &HeaderMap,
        certified: Option<&Certified>,
        form: Read<TokenForm>,
    ) -> Result<Value, Refused> {
        let Form(form) = form?;
        let device = form.device();
        let TokenForm { grant_type, scope, code, redirect_uri, code_verifier, refresh_token, device_code, shown, .. } = form;
        let (id, client) = self.client_of(headers, certified, shown).await?;
        // Before anything is used up.
        let cnf = client.binding(certified)?;
        let given = |parameter: Option<String>, name: &str| parameter.ok_or_else(|| Refused::invalid(format!("`{name}` is missing")));
        let (kind, issued) = match grant_type.as_deref() {
            Some(CLIENT_CREDENTIALS) if client.authentication == Authentication::None => return Err(GrantError::NotForThis.into()),
            Some(CLIENT_CREDENTIALS) => match device? {
                Some((wanted, owner)) => ("device", self.issued_for_device(&id, &client, (wanted, owner), scope.as_deref()).await?),
                None => (CLIENT_CREDENTIALS, self.grant(&id, &client, scope.as_deref(), cnf).await?),
            },
            Some(CODE) => {
                let (code, redirect) = (given(code, "code")?, given(redirect_uri, "redirect_uri")?);
                let verifier = given(code_verifier, "code_verifier")?;
                let shown = ShownCode { code: Secret::from(code), redirect: &redirect, verifier: &verifier };
                (CODE, self.issued_for_code(&id, &shown, cnf).await?)
            }
            Some(REFRESH) => {
                let token = Secret::from(given(refresh_token, "refresh_token")?);
                (REFRESH, self.issued_for_refresh_token(&id, &client, &token, scope.as_deref(), cnf).await?)
            }
            Some(DEVICE) => ("device_code", self.issued_for_device_code(&id, &client, given(device_code, "device_code")?, cnf).await?),
            Some(_) => return Err(Refused::bad("unsupported_grant_type", format!("the grants here are {}", GRANT_TYPES.join(", ")))),
            None => return Err(Refused::invalid("`grant_type` is missing")),
        };
        counters::program_granted(kind);
        Ok(answer(&issued))
    }

    async fn issued_for_device(
        &self,
        id: &ClientId,
        client: &Client,
        (wanted, owner): (TokenFor, Option<OrganisationId>),
        scope: Option<&str>,
    ) -> Result<Issued, Refused> {
        if owner.is_some() && owner != client.organisation {
            return Err(Refused::invalid("`owner` is another organisation than the client's"));
        }
        if let Some(other) = scope.and_then(|scope| scope.split(' ').find(|word| !word.is_empty() && *word != Right::ManageDevices.name()))
        {
            return Err(GrantError::Scope(other.chars().take(64).collect()).into());
        }
        Ok(self.admissions().token_for(id, client, wanted, self.clock.now()).await?)
    }

    async fn issued_for_code(&self, id: &ClientId, shown: &ShownCode<'_>, cnf: Option<Confirmation>) -> Result<Issued, Refused> {
        match self.exchange(&id.0, shown).await.map_err(GrantError::from)? {
            Exchanged::Granted(granting, nonce) => Ok(self.issued(*granting, None, nonce.as_deref(), cnf)?),
            Exchanged::Refused => Err(GrantError::NotGood.into()),
        }
    }

    async fn issued_for_refresh_token(
        &self,
        id: &ClientId,
        client: &Client,
        token: &Secret,
        scope: Option<&str>,
        cnf: Option<Confirmation>,
    ) -> Result<Issued, Refused> {
        let less = scope.map(str::parse::<Scope>).transpose().map_err(|unknown| GrantError::Scope(unknown.0))?;
        let less = less.filter(|less| !less.is_empty());
        match self.refresh(&id.0, client, token, less.as_ref()).await.map_err(GrantError::from)? {
            Refreshed::Turned(granting) => Ok(self.issued(*granting, less.as_ref(), None, cnf)?),
            Refreshed::Beyond(word) => Err(GrantError::Scope(word.name().to_owned()).into()),
            Refreshed::Replayed | Refreshed::Unknown => Err(GrantError::NotGood.into()),
        }
    }

    async fn issued_for_device_code(
        &self,
        id: &ClientId,
        client: &Client,
        code: String,
        cnf: Option<Confirmation>,
    ) -> Result<Issued, Refused> {
        // RFC 8628 §3.5.
        let refused = |error, why: &str| Err(Refused::bad(error, why));
        match self.poll_device_code(&id.0, client, &Secret::from(code)).await.map_err(GrantError::from)? {
            Polled::Granted(granting) => Ok(self.issued(*granting, None, None, cnf)?),
            Polled::Pending => refused("authorization_pending", "nobody has answered yet"),
            Polled::TooSoon => refused("slow_down", &format!("wait {} seconds longer from now on", INTERVAL.as_secs())),
            Polled::Over => refused("expired_token", "the code is not known, was used or is over"),
            Polled::Denied => refused("access_denied", "the person said no"),
        }
    }
}

/// RFC 6749 §5.1.
fn answer(issued: &Issued) -> Value {
    let mut answer = json!({
        "access_token": secret::text(&issued.token),
        "token_type": "Bearer",
        "expires_in": issued.lifetime.as_secs(),
        "scope": issued.scope,
    });
    if let Some(answer) = answer.as_object_mut() {
        for (name, token) in [("refresh_token", &issued.refresh), ("id_token", &issued.id_token)] {
            if let Some(token) = token {
                answer.insert(name.to_owned(), secret::text(token).into());
            }
        }
    }
    answer
}

impl Refused {
    pub(super) fn invalid(why: impl Into<String>) -> Self {
        Self::bad("invalid_request", why)
    }

    pub(super) fn bad(error: &'static str, why: impl Into<String>) -> Self {
        Self::Client(StatusCode::BAD_REQUEST, error, why.into())
    }
}
