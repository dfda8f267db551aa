//! The paths for those who run this installation: providers that sign everybody in, and for what any provider is trusted.

use super::{
    Answer,
    providers::{OwnerQuery, ProviderBody, TestAnswer, TestBody, tested},
};
use crate::{Accounts, OperateInstance, OperateSteppedUp, ProviderInfo, Trust, refusals};
use axum::{
    Json,
    extract::{Path, Query},
    response::NoContent,
};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use gatehouse_types::OrganisationId;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OwnerOfBody {
    owner: String,
    organisation: OrganisationId,
}

/// For what a provider is to be trusted.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TrustBody {
    /// Domains whose addresses the provider speaks for: somebody with a verified address there is the account with that address.
    #[serde(default)]
    domains: Vec<String>,
    /// Whether its word (`amr`) stands for a second factor.
    #[serde(default)]
    second_factor: bool,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/instance/providers",
            doc("List the foreign providers of the whole installation"),
            with!(accounts, |_granted: Granted<OperateInstance>| {
                Answer::<Json<Vec<ProviderInfo>>>::Ok(Json(accounts.providers_for(None).await?))
            }),
        )
        .post(
            "/v1/instance/providers",
            doc("Let a foreign provider sign everybody in or vouch for everybody's devices").refuses(refusals::PROVIDER),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, body: Body<ProviderBody>| {
                Answer::<Created<ProviderInfo>>::Ok(Created(accounts.make_provider_for(None, body.0.into()).await?))
            }),
        )
        .delete(
            "/v1/instance/providers/{id}",
            doc("Remove any foreign provider").about("An organisation's as well.").refuses(refusals::NAMED_PROVIDER),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, id: Path<String>| {
                accounts.remove_any_provider(&id).await?;
                Answer::Ok(NoContent)
            }),
        )
        .put(
            "/v1/instance/providers/{id}/trust",
            doc("Say for what a foreign provider is trusted")
                .about(
                    "For domains whose addresses it speaks for, and for a second factor. Of an organisation's provider only the operator says this.",
                )
                .refuses(refusals::NAMED_PROVIDER)
                .refuses(refusals::TRUST),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, id: Path<String>, body: Body<TrustBody>| {
                let TrustBody { domains, second_factor } = body.0;
                Answer::<Json<ProviderInfo>>::Ok(Json(accounts.trust_provider(&id, Trust { domains, second_factor }).await?))
            }),
        )
        .post(
            "/v1/instance/providers/{id}/test",
            doc("Ask any foreign provider what it publishes, and find out what a device's token is worth")
                .refuses(refusals::NAMED_PROVIDER)
                .refuses(refusals::TESTED_PROVIDER),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, id: Path<String>, body: Body<TestBody>| {
                let provider = accounts.test_provider(None, &id).await?;
                Answer::<Json<TestAnswer>>::Ok(Json(tested(&accounts, provider, &id, body.0).await?))
            }),
        )
        .post(
            "/v1/instance/providers/{id}/owners",
            doc("Take the devices of an owner of a foreign provider for an organisation's")
                .refuses(refusals::NAMED_PROVIDER)
                .refuses(refusals::OWNER),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, id: Path<String>, body: Body<OwnerOfBody>| {
                accounts.map_owner_for(&id, &body.0.owner, body.0.organisation).await?;
                Answer::Ok(NoContent)
            }),
        )
        .delete(
            "/v1/instance/providers/{id}/owners",
            doc("Take them for nobody's").refuses(refusals::NAMED_PROVIDER).refuses(refusals::NAMED_OWNER),
            with!(accounts, |_granted: Granted<OperateSteppedUp>, id: Path<String>, query: Query<OwnerQuery>| {
                accounts.unmap_owner(None, &id, &query.owner).await?;
                Answer::Ok(NoContent)
            }),
        )
}
