//! The paths of the programs that an organisation lets in.

use super::Answer;
use crate::{
    Accounts, Authentication, CertificateRule, ClientInfo, Jwk, MakeClients, ManageClients, NewClient, RedirectUri, Right, Role, refusals,
    secret,
};
use axum::{Json, extract::Path, response::NoContent};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    certificate: Option<CertificateRule>,
    #[serde(default)]
    bound: bool,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
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
            doc("Let a program in")
                .about("A program makes others within its own role and scopes, an API token none. The answer is the only place that ever shows the secret.")
                .refuses(refusals::CLIENT),
            with!(accounts, |granted: Granted<MakeClients>, body: Body<ClientBody>| {
                let ClientBody { name, role, scopes, authentication, redirect_uris, keys, device_code, certificate, bound } = body.0;
                let new = NewClient { name, role, rights: scopes, authentication, redirect_uris, keys, device_code, certificate, bound };
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
