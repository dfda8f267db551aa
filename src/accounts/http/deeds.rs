//! The paths for what is done to everybody, and for the second person whom it may take.

use super::{Answer, From};
use crate::{Accounts, Deed, OperateInstance, OperateSteppedUp, Outcome, WaitingDeed, refusals};
use axum::{
    Json,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, NoContent, Response},
};
use gatehouse_ca::Issuance;
use gatehouse_http::{Body, Doc, Granted, Routes, doc};
use gatehouse_types::{OrganisationId, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HaltBody {
    /// Why, for whoever finds it halted.
    note: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(tag = "issuance", rename_all = "kebab-case")]
enum AuthorityShown {
    /// Certificates are issued.
    Open,
    /// They are not.
    Halted {
        /// Since when.
        since: UnixTime,
        /// Why not.
        cause: String,
    },
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    deeds(accounts).and(answers(accounts))
}

fn deeds(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/instance/authority",
            doc("Read whether certificates are issued").refuses(refusals::AUTHORITY),
            with!(accounts, |_granted: Granted<OperateInstance>| {
                Answer::Ok(Json(match accounts.issuance().await? {
                    Issuance::Open => AuthorityShown::Open,
                    Issuance::Halted { cause, since } => AuthorityShown::Halted { since, cause: cause.to_string() },
                }))
            }),
        )
        .post(
            "/v1/instance/authority/halt",
            deed("Halt the issue of certificates").refuses(refusals::AUTHORITY).refuses(refusals::NOTE),
            with!(accounts, |granted: Granted<OperateSteppedUp>, from: From, body: Body<HaltBody>| {
                Answer::Ok(outcome(accounts.act(&granted, Deed::Halt { note: body.0.note }, &from).await?))
            }),
        )
        .post(
            "/v1/instance/authority/resume",
            deed("Let the issue of certificates go on").refuses(refusals::AUTHORITY),
            with!(accounts, |granted: Granted<OperateSteppedUp>, from: From| {
                Answer::Ok(outcome(accounts.act(&granted, Deed::Resume, &from).await?))
            }),
        )
        .post(
            "/v1/instance/organisations/{id}/suspend",
            deed("Stop everything that is done in an organisation's name").refuses(refusals::SUSPENSION),
            with!(accounts, |granted: Granted<OperateSteppedUp>, from: From, id: Path<OrganisationId>| {
                Answer::Ok(outcome(accounts.act(&granted, Deed::SuspendOrganisation { organisation: *id }, &from).await?))
            }),
        )
}

fn answers(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            "/v1/instance/requests",
            doc("List what waits for a second person"),
            with!(accounts, |_granted: Granted<OperateInstance>| {
                Answer::<Json<Vec<WaitingDeed>>>::Ok(Json(accounts.waiting_deeds().await?))
            }),
        )
        .post(
            "/v1/instance/requests/{id}/approve",
            doc("Approve what another person asked for, and do it")
                .refuses(refusals::SECOND_PERSON)
                .refuses(refusals::AUTHORITY)
                .refuses(refusals::SUSPENSION),
            with!(accounts, |granted: Granted<OperateSteppedUp>, from: From, id: Path<String>| {
                accounts.approve_deed(&granted, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/instance/requests/{id}/reject",
            doc("Reject what another person asked for, or take back what you asked for").refuses(refusals::NAMED_REQUEST),
            with!(accounts, |granted: Granted<OperateSteppedUp>, from: From, id: Path<String>| {
                accounts.reject_deed(&granted, &id, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}

/// What is done at once, or waits.
fn deed(summary: &'static str) -> Doc {
    doc(summary)
        .about("Where `second_person` names it, it waits for another operator: the answer is then what waits.")
        .answers_with(StatusCode::NO_CONTENT, None)
        .answers::<WaitingDeed>(StatusCode::ACCEPTED)
        .refuses(refusals::TOO_MANY_REQUESTS)
}

fn outcome(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Done => StatusCode::NO_CONTENT.into_response(),
        Outcome::Waits(waiting) => (StatusCode::ACCEPTED, Json(waiting)).into_response(),
    }
}
