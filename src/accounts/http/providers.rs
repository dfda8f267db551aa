//! The paths of an organisation's own foreign providers.
//!
//! A provider's secret comes in here and goes out nowhere.

use super::{Answer, Given};
use crate::{Accounts, DeviceSettings, DeviceToken, DeviceTokenError, ManageProviders, NewProvider, ProviderInfo, Role, Tested, refusals};
use axum::{
    Json,
    extract::{Path, Query},
    response::NoContent,
};
use gatehouse_base::{Fault, Kind, with_causes};
use gatehouse_http::{Body, Created, Granted, Problem, Routes, doc};
use gatehouse_openid::Issuer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderBody {
    name: String,
    issuer: Issuer,
    client_id: String,
    client_secret: Option<Given>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    sign_in: bool,
    #[serde(default)]
    new_accounts: bool,
    role: Option<Role>,
    devices: Option<DevicesBody>,
}

/// How a provider is to vouch for devices.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DevicesBody {
    /// For whom its tokens have to be: one of their audiences.
    audience: String,
    /// The claim that says who the owner is.
    owner_claim: String,
    /// The claim that says which device it is; nothing where tokens are bound to none.
    device_claim: Option<String>,
    /// Of which types its tokens may be. Default: `at+jwt` (RFC 9068).
    types: Option<Vec<String>>,
    /// Whether codes are tied to a verifier (RFC 7636), which then has to come with each. Default `true`.
    pkce: Option<bool>,
    /// Where the codes of devices were sent. Default: where those of people are.
    redirect_uri: Option<String>,
}

impl From<DevicesBody> for DeviceSettings {
    fn from(body: DevicesBody) -> Self {
        let DevicesBody { audience, owner_claim, device_claim, types, pkce, redirect_uri } = body;
        let types = types.unwrap_or_else(Self::access_tokens);
        Self { audience, owner_claim, device_claim, types, pkce: pkce.unwrap_or(true), redirect_uri }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OwnerBody {
    owner: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerQuery {
    pub(super) owner: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBody {
    /// A device's token, to find out why it is refused.
    token: Option<Given>,
}

/// What a test found, of the provider and of a token.
#[derive(Serialize, JsonSchema)]
pub(super) struct TestAnswer {
    provider: Tested,
    token: Option<Verdict>,
}

/// What a token is worth.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good(DeviceToken),
    Refused { code: &'static str, why: String },
}

impl From<ProviderBody> for NewProvider {
    fn from(body: ProviderBody) -> Self {
        let ProviderBody { name, issuer, client_id, client_secret, scopes, sign_in, new_accounts, role, devices } = body;
        Self {
            name,
            issuer,
            client_id,
            secret: client_secret.map(|given| given.0),
            scopes,
            sign_in,
            new_accounts,
            role,
            devices: devices.map(Into::into),
        }
    }
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/providers",
            doc("List the foreign providers of an organisation"),
            with!(accounts, |granted: Granted<ManageProviders>| {
                Answer::<Json<Vec<ProviderInfo>>>::Ok(Json(accounts.providers(&granted).await?))
            }),
        )
        .post(
            "/v1/providers",
            doc("Let a foreign provider sign people in or vouch for devices")
                .about("What it publishes is looked at first. Register the `redirect_uri` of the answer there.")
                .refuses(refusals::PROVIDER),
            with!(accounts, |granted: Granted<ManageProviders>, body: Body<ProviderBody>| {
                Answer::<Created<ProviderInfo>>::Ok(Created(accounts.make_provider(&granted, body.0.into()).await?))
            }),
        )
        .delete(
            "/v1/providers/{id}",
            doc("Remove a foreign provider").about("Who signed in through it is signed out.").refuses(refusals::NAMED_PROVIDER),
            with!(accounts, |granted: Granted<ManageProviders>, id: Path<String>| {
                accounts.remove_provider(&granted, &id).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/providers/{id}/test",
            doc("Ask a foreign provider what it publishes, and find out what a device's token is worth")
                .refuses(refusals::NAMED_PROVIDER)
                .refuses(refusals::TESTED_PROVIDER),
            with!(accounts, |granted: Granted<ManageProviders>, id: Path<String>, body: Body<TestBody>| {
                let provider = accounts.test_provider(Some(&granted), &id).await?;
                Answer::<Json<TestAnswer>>::Ok(Json(tested(&accounts, provider, &id, body.0).await?))
            }),
        )
        .post(
            "/v1/providers/{id}/owners",
            doc("Take the devices of an owner of a foreign provider for this organisation's")
                .about("The owner is what the claim of its tokens holds. A pair of issuer and owner is one organisation's only.")
                .refuses(refusals::NAMED_PROVIDER)
                .refuses(refusals::OWNER),
            with!(accounts, |granted: Granted<ManageProviders>, id: Path<String>, body: Body<OwnerBody>| {
                accounts.map_owner(&granted, &id, &body.0.owner).await?;
                Answer::Ok(NoContent)
            }),
        )
        .delete(
            "/v1/providers/{id}/owners",
            doc("Take them for nobody's any more").refuses(refusals::NAMED_PROVIDER).refuses(refusals::NAMED_OWNER),
            with!(accounts, |granted: Granted<ManageProviders>, id: Path<String>, query: Query<OwnerQuery>| {
                accounts.unmap_owner(Some(&granted), &id, &query.owner).await?;
                Answer::Ok(NoContent)
            }),
        )
}

/// The answer to a test: what is wrong with a token is what was asked for, and no error.
pub(super) async fn tested(accounts: &Accounts, provider: Tested, id: &str, body: TestBody) -> Result<TestAnswer, Problem> {
    let Some(Given(token)) = body.token else { return Ok(TestAnswer { provider, token: None }) };
    let verdict = match accounts.verify_device_token(Some(id), &token).await {
        Ok(token) => Verdict::Good(token),
        Err(DeviceTokenError::State(error)) => return Err(error.into()),
        Err(error) if error.kind() == Kind::Internal => return Err(error.into()),
        Err(error) => Verdict::Refused { code: error.code(), why: with_causes(&error) },
    };
    Ok(TestAnswer { provider, token: Some(verdict) })
}
