//! The paths of one's own passkeys.

use super::{Answer, From};
use crate::{Accounts, ActForSelf, ActInSession, ActSteppedUp, CreationOptions, NewPasskey, PasskeyInfo, Registration, refusals, secret};
use axum::{
    Json,
    extract::{Path, Query},
    response::NoContent,
};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasskeyAddedBody {
    name: String,
    credential: Registration,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasskeyNameBody {
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RemovalQuery {
    /// Whether the last second factor may go.
    #[serde(default)]
    last: bool,
}

#[derive(Serialize, JsonSchema)]
struct NewlyAddedPasskey {
    #[serde(flatten)]
    info: PasskeyInfo,
    /// With the first second factor of all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recovery_codes: Vec<String>,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/me/passkeys",
            doc("List your passkeys"),
            with!(accounts, |granted: Granted<ActForSelf>| {
                Answer::<Json<Vec<PasskeyInfo>>>::Ok(Json(accounts.passkeys(*granted).await?))
            }),
        )
        .post(
            "/v1/me/passkeys/options",
            doc("Read what a new passkey is to be asked for with").refuses(refusals::PASSKEY_OPTIONS),
            with!(accounts, |granted: Granted<ActSteppedUp>| {
                Answer::<Json<CreationOptions>>::Ok(Json(accounts.passkey_options(&granted).await?))
            }),
        )
        .post(
            "/v1/me/passkeys",
            doc("Add a passkey")
                .about("It is a second factor from now on. The first one of all comes with recovery codes, shown once.")
                .refuses(refusals::PASSKEY),
            with!(accounts, |granted: Granted<ActSteppedUp>, from: From, body: Body<PasskeyAddedBody>| {
                let PasskeyAddedBody { name, credential } = body.0;
                let (info, codes) = accounts.add_passkey(&granted, &NewPasskey { name, credential }, &from).await?;
                Answer::Ok(Created(NewlyAddedPasskey { info, recovery_codes: codes.iter().map(secret::text).collect() }))
            }),
        )
        .patch(
            "/v1/me/passkeys/{id}",
            doc("Give a passkey another name").refuses(refusals::NAMED_PASSKEY),
            with!(accounts, |granted: Granted<ActInSession>, id: Path<String>, body: Body<PasskeyNameBody>| {
                Answer::<Json<PasskeyInfo>>::Ok(Json(accounts.rename_passkey(granted.person, &id, &body.0.name).await?))
            }),
        )
        .delete(
            "/v1/me/passkeys/{id}",
            doc("Remove a passkey")
                .about("Where it is the last second factor, `last=true` has to say that the password alone is to let in.")
                .refuses(refusals::PASSKEY_REMOVAL),
            with!(accounts, |granted: Granted<ActSteppedUp>, from: From, id: Path<String>, query: Query<RemovalQuery>| {
                accounts.remove_passkey(&granted, &id, query.last, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}
