//! The paths by which people come in and leave: sign-in in one or two steps, sign-out.

use super::{Answer, From, Given, Gone};
use crate::{Accounts, ActUnconfirmed, Assertion, NewSession, Proof, RequestOptions, SignedIn, caller::COOKIE, refusals, secret};
use axum::{
    Json,
    http::{HeaderMap, HeaderValue, header},
    response::NoContent,
};
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Body, Granted, Routes, SignIn, doc};
use gatehouse_types::UnixTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    email: String,
    password: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChallengeBody {
    challenge: Given,
    code: Option<String>,
    recovery_code: Option<Given>,
    passkey: Option<Box<Assertion>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StepBody {
    challenge: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PasskeyBody {
    credential: Assertion,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignInAnswer {
    /// The session is in the cookie; this tells when it ends.
    SignedIn {
        ends: UnixTime,
    },
    SecondFactor {
        challenge: String,
        ends: UnixTime,
    },
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/sign-in",
            doc("Sign in with address and password")
                .about("Answers with a session in a cookie, or with a challenge when a second factor is on.")
                .refuses(refusals::PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<SignInBody>| {
                match accounts.sign_in(&body.0.email, &body.0.password.0, &from).await? {
                    SignedIn::Session(session) => signed_in(&accounts, &session),
                    SignedIn::SecondFactor(challenge) => {
                        let answer = SignInAnswer::SecondFactor { challenge: secret::text(&challenge.secret), ends: challenge.ends };
                        Ok((HeaderMap::new(), Json(answer)))
                    }
                }
            }),
        )
        .post(
            "/v1/sign-in/second-factor",
            doc("Answer a challenge with a code, a recovery code or a passkey")
                .refuses(refusals::CHALLENGE)
                .refuses(refusals::PASSKEY_SIGN_IN)
                .refuses(refusals::PROOF),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<ChallengeBody>| {
                let ChallengeBody { challenge, code, recovery_code, passkey } = body.0;
                let proof = match passkey {
                    Some(passkey) if code.is_none() && recovery_code.is_none() => Proof::Passkey(passkey),
                    Some(_) => return Err(ProofNeeded.into()),
                    None => proof(code, recovery_code)?,
                };
                let session = accounts.answer_challenge(&challenge.0, &proof, &from).await?;
                signed_in(&accounts, &session)
            }),
        )
        .post(
            "/v1/sign-in/second-factor/options",
            doc("Read what a passkey is to be asked for in the second step").refuses(refusals::CHALLENGE).refuses(refusals::PASSKEY_ASKING),
            with!(accounts, |_granted: Granted<SignIn>, body: Body<StepBody>| {
                Answer::<Json<RequestOptions>>::Ok(Json(accounts.challenge_options(&body.0.challenge.0).await?))
            }),
        )
        .post(
            "/v1/sign-in/passkey/options",
            doc("Read what a passkey is to be asked for that signs in without a password").refuses(refusals::PASSKEY_ASKING),
            with!(accounts, |_granted: Granted<SignIn>| Answer::<Json<RequestOptions>>::Ok(Json(accounts.passkey_sign_in_options()?))),
        )
        .post(
            "/v1/sign-in/passkey",
            doc("Sign in with a passkey and without a password")
                .about("The authenticator has to make sure that its owner is there.")
                .refuses(refusals::PASSKEY_SIGN_IN),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<PasskeyBody>| {
                let session = accounts.sign_in_with_passkey(&body.0.credential, &from).await?;
                signed_in(&accounts, &session)
            }),
        )
        .post(
            "/v1/sign-out",
            doc("End this session").refuses(refusals::SESSION),
            with!(accounts, |granted: Granted<ActUnconfirmed>, from: From| {
                accounts.end_session(granted.person, &granted.session.to_string(), &from).await?;
                let cookie = HeaderValue::from_static("__Host-gatehouse-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
                Answer::Ok(([(header::SET_COOKIE, cookie)], NoContent))
            }),
        )
}

/// The answer to who has signed in: the cookie, and when it ends.
pub(super) fn signed_in(accounts: &Accounts, session: &NewSession) -> Answer<(HeaderMap, Json<SignInAnswer>)> {
    let age = Duration::from_millis(u64::try_from(session.ends.millis() - accounts.clock.now().millis()).unwrap_or(0)).as_secs();
    let cookie = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}", secret::text(&session.secret));
    let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| Gone)?;
    cookie.set_sensitive(true);
    let mut headers = HeaderMap::new();
    headers.insert(header::SET_COOKIE, cookie);
    Ok((headers, Json(SignInAnswer::SignedIn { ends: session.ends })))
}

/// What was shown of the two proofs of a second factor.
pub(super) fn proof(code: Option<String>, recovery_code: Option<Given>) -> Result<Proof, ProofNeeded> {
    match (code, recovery_code) {
        (Some(code), None) => Ok(Proof::Code(code)),
        (None, Some(code)) => Ok(Proof::Recovery(code.0)),
        _ => Err(ProofNeeded),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("give one proof: `code`, `recovery_code` or, where it is taken, `passkey`")]
pub(super) struct ProofNeeded;

impl Fault for ProofNeeded {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "proof-needed"
    }

    fn field(&self) -> Option<&str> {
        Some("code")
    }
}
