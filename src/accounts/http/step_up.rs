//! The paths by which somebody proves once more who they are.

use super::{Answer, From, Given, sign_in::proof};
use crate::{Accounts, ActInSession, Assertion, RequestOptions, StepUp, refusals};
use axum::Json;
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Body, Granted, Routes, doc};
use gatehouse_types::UnixTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepUpBody {
    password: Option<Given>,
    code: Option<String>,
    recovery_code: Option<Given>,
    passkey: Option<Box<Assertion>>,
}

#[derive(Serialize, JsonSchema)]
struct SteppedUpUntil {
    /// Until when dangerous actions go without being asked again.
    until: UnixTime,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/me/step-up",
            doc("Prove once more who you are, for what answers `step-up-needed`")
                .about("Takes a passkey that makes sure of you, or the password with the second factor that you have.")
                .refuses(refusals::STEP_UP)
                .refuses(refusals::PROOF),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<StepUpBody>| {
                let until = accounts.step_up(&granted, &shown(body.0)?, &from).await?;
                Answer::Ok(Json(SteppedUpUntil { until }))
            }),
        )
        .post(
            "/v1/me/step-up/options",
            doc("Read what a passkey is to be asked for that steps up").refuses(refusals::PASSKEY_ASKING),
            with!(accounts, |granted: Granted<ActInSession>| {
                Answer::<Json<RequestOptions>>::Ok(Json(accounts.step_up_options(&granted).await?))
            }),
        )
}

fn shown(body: StepUpBody) -> Answer<StepUp> {
    let StepUpBody { password, code, recovery_code, passkey } = body;
    match (password, passkey) {
        (Some(password), None) => {
            let nothing = code.is_none() && recovery_code.is_none();
            let second = if nothing { None } else { Some(proof(code, recovery_code)?) };
            Ok(StepUp::Password { password: password.0, second })
        }
        (None, Some(passkey)) if code.is_none() && recovery_code.is_none() => Ok(StepUp::Passkey(passkey)),
        _ => Err(StepUpProofNeeded.into()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("give either `passkey`, or `password` with the `code` or `recovery_code` of your second factor")]
struct StepUpProofNeeded;

impl Fault for StepUpProofNeeded {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "proof-needed"
    }

    fn field(&self) -> Option<&str> {
        Some("password")
    }
}
