//! The paths of API tokens.

use super::{Answer, From};
use crate::{Accounts, ActForSelf, ActInSession, Member, NewToken, Right, Sources, TokenChange, TokenInfo, refusals, secret};
use axum::{Json, extract::Path, response::NoContent};
use gatehouse_http::{Body, Created, Granted, Routes, doc};
use gatehouse_types::UnixTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    name: String,
    scopes: Vec<Right>,
    sources: Sources,
    /// Nothing must be said, too: a token for ever is a choice.
    expires: Option<UnixTime>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TokenChangeBody {
    name: Option<String>,
    scopes: Option<Vec<Right>>,
    sources: Option<Sources>,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct NewlyMadeToken {
        #[serde(flatten)]
        info: TokenInfo,
        token: String,
    }
    Routes::new()
        .get(
            "/v1/tokens",
            doc("List your API tokens"),
            with!(accounts, |granted: Granted<ActForSelf>| Answer::<Json<Vec<TokenInfo>>>::Ok(Json(accounts.tokens(*granted).await?))),
        )
        .post(
            "/v1/tokens",
            doc("Make an API token")
                .about("The answer is the only place that ever shows it.")
                .refuses(refusals::MEMBER)
                .refuses(refusals::STEP_UP_NEEDED)
                .refuses(refusals::TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<TokenBody>| {
                let TokenBody { name, scopes, sources, expires } = body.0;
                let member: Member = granted.member?;
                let (info, token) = accounts.make_token(&member, NewToken { name, rights: scopes, sources, expires }, &from).await?;
                Answer::Ok(Created(NewlyMadeToken { info, token: secret::text(&token) }))
            }),
        )
        .patch(
            "/v1/tokens/{id}",
            doc("Change an API token")
                .refuses(refusals::MEMBER)
                .refuses(refusals::STEP_UP_NEEDED)
                .refuses(refusals::TOKEN)
                .refuses(refusals::NAMED_TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>, body: Body<TokenChangeBody>| {
                let TokenChangeBody { name, scopes, sources } = body.0;
                let member: Member = granted.member?;
                let change = TokenChange { name, rights: scopes, sources };
                Answer::<Json<TokenInfo>>::Ok(Json(accounts.change_token(&member, &id, change, &from).await?))
            }),
        )
        .delete(
            "/v1/tokens/{id}",
            doc("Revoke an API token").refuses(refusals::NAMED_TOKEN),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.revoke_token(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}
