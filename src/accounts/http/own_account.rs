//! The paths of one's own account: who one is, what happened, one's sessions, programs and password.

use super::{Answer, From, Given, Gone, sign_in::signed_in};
use crate::{
    Accounts, ActForSelf, ActInSession, ConsentInfo, HistoryEntry, KnowSelf, LinkInfo, NewPassword, OrganisationInfo, PersonInfo,
    SessionInfo, SignInError, refusals,
};
use axum::{
    Json,
    extract::{Path, Query},
    response::NoContent,
};
use gatehouse_http::{Body, Granted, Routes, doc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much of the history is told when nobody says how much.
const HISTORY_PAGE: usize = 50;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    present: Given,
    new: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct Me {
        #[serde(flatten)]
        person: PersonInfo,
        organisations: Vec<OrganisationInfo>,
    }
    Routes::new()
        .get(
            "/v1/me",
            doc("Read your account and what you are in which organisation").refuses(refusals::GONE),
            with!(accounts, |granted: Granted<KnowSelf>| {
                let (id, within) = *granted;
                let person = accounts.person(id).await?.ok_or(Gone)?;
                let mut organisations = accounts.organisations_of(id).await?;
                organisations.retain(|organisation| within.is_none_or(|within| within == organisation.id));
                Answer::Ok(Json(Me { person, organisations }))
            }),
        )
        .get(
            "/v1/me/history",
            doc("Read what happened to your account, the newest first"),
            with!(accounts, |granted: Granted<ActForSelf>, query: Query<HistoryQuery>| {
                let limit = query.limit.unwrap_or(HISTORY_PAGE);
                Answer::<Json<Vec<HistoryEntry>>>::Ok(Json(accounts.history(*granted, query.before, limit).await?))
            }),
        )
        .get(
            "/v1/me/sessions",
            doc("List your sessions"),
            with!(accounts, |granted: Granted<ActInSession>| {
                Answer::<Json<Vec<SessionInfo>>>::Ok(Json(accounts.sessions(granted.person, Some(granted.session)).await?))
            }),
        )
        .delete(
            "/v1/me/sessions/{id}",
            doc("End one of your sessions").refuses(refusals::SESSION),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.end_session(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .get(
            "/v1/me/links",
            doc("List the logins elsewhere that let you in"),
            with!(accounts, |granted: Granted<ActForSelf>| Answer::<Json<Vec<LinkInfo>>>::Ok(Json(accounts.linked(*granted).await?))),
        )
        .delete(
            "/v1/me/links/{id}",
            doc("End what a login elsewhere lets you do here").about("The sessions that began through it end.").refuses(refusals::LINKED),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.unlink(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .get(
            "/v1/me/programs",
            doc("List the programs that you let act for you"),
            with!(accounts, |granted: Granted<ActForSelf>| {
                Answer::<Json<Vec<ConsentInfo>>>::Ok(Json(accounts.consents(*granted).await?))
            }),
        )
        .delete(
            "/v1/me/programs/{id}",
            doc("End what a program may do for you").about("Its tokens are refused from the next request on.").refuses(refusals::CONSENT),
            with!(accounts, |granted: Granted<ActInSession>, from: From, id: Path<String>| {
                accounts.withdraw_consent(granted.person, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/me/password",
            doc("Change your password")
                .about("Every other session ends; this one goes on under a new cookie.")
                .refuses(refusals::PASSWORD)
                .refuses(refusals::NEW_PASSWORD),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<PasswordBody>| {
                let new = NewPassword::new(body.0.new.0).map_err(SignInError::from)?;
                let session = accounts.change_password(granted.person, &body.0.present.0, &new, &from).await?;
                signed_in(&accounts, &session)
            }),
        )
}
