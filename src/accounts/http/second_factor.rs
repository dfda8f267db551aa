//! The paths of the second factor.

use super::{Answer, From, Given, sign_in::proof};
use crate::{Accounts, ActSteppedUp, refusals, secret};
use axum::{Json, response::NoContent};
use gatehouse_http::{Body, Granted, Routes, doc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProofBody {
    code: Option<String>,
    recovery_code: Option<Given>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CodeBody {
    code: String,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    #[derive(Serialize, JsonSchema)]
    struct SecondFactorShown {
        secret: String,
        link: String,
        picture: String,
    }
    #[derive(Serialize, JsonSchema)]
    struct RecoveryCodes {
        recovery_codes: Vec<String>,
    }
    Routes::new()
        .post(
            "/v1/me/second-factor",
            doc("Begin with a second factor")
                .about("Shows the secret for an authenticator. It counts when a code from it was confirmed.")
                .refuses(refusals::SECOND_FACTOR),
            with!(accounts, |granted: Granted<ActSteppedUp>| {
                let enrolment = accounts.enrol_second_factor(&granted).await?;
                let [secret, link, picture] = [enrolment.secret, enrolment.link, enrolment.picture].map(|shown| secret::text(&shown));
                Answer::Ok(Json(SecondFactorShown { secret, link, picture }))
            }),
        )
        .post(
            "/v1/me/second-factor/confirm",
            doc("Switch the second factor on with a code").refuses(refusals::SECOND_FACTOR),
            with!(accounts, |granted: Granted<ActSteppedUp>, from: From, body: Body<CodeBody>| {
                let codes = accounts.confirm_second_factor(&granted, &body.0.code, &from).await?;
                Answer::Ok(Json(RecoveryCodes { recovery_codes: codes.iter().map(secret::text).collect() }))
            }),
        )
        .post(
            "/v1/me/second-factor/disable",
            doc("Switch the second factor off").refuses(refusals::SECOND_FACTOR).refuses(refusals::PROOF),
            with!(accounts, |granted: Granted<ActSteppedUp>, from: From, body: Body<ProofBody>| {
                let proof = proof(body.0.code, body.0.recovery_code)?;
                accounts.disable_second_factor(&granted, &proof, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}
