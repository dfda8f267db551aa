//! The paths of an account's own life: registering, confirming, resetting, another address, leaving.
//!
//! What links in letters do can be done here by programs too; people come to the [pages](super::pages).

use super::{Answer, From, Given};
use crate::{AccountError, Accounts, ActInSession, ActSteppedUp, ActUnconfirmed, Caller, Confirming, NewPassword, refusals};
use axum::{Extension, response::NoContent};
use gatehouse_http::{Body, Granted, Routes, SignIn, doc};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RegisterBody {
    email: String,
    name: String,
    password: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConfirmBody {
    link: Given,
    /// Where nobody is signed in.
    password: Option<Given>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EmailBody {
    email: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ResetBody {
    link: Given,
    new: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddressBody {
    email: String,
    password: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LinkBody {
    link: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LeaveBody {
    password: Given,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WishesBody {
    sign_in_mail: bool,
}

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    beginning(accounts).and(changing(accounts))
}

/// Who shows a link: the password that came with it, or the session.
fn confirming(body: &ConfirmBody, caller: Option<Extension<Caller>>) -> Result<Confirming<'_>, AccountError> {
    match (&body.password, caller.and_then(|caller| caller.in_any_session())) {
        (Some(password), _) => Ok(Confirming::Password(&password.0)),
        (None, Some((person, _))) => Ok(Confirming::Session(person)),
        (None, None) => Err(AccountError::Wrong),
    }
}

fn beginning(accounts: &Accounts) -> Routes {
    Routes::new()
        .post(
            "/v1/register",
            doc("Register an address")
                .about("The answer is the same whether somebody has the address or not; what happened is told to the address.")
                .refuses(refusals::REGISTRATION)
                .refuses(refusals::NEW_PASSWORD)
                .refuses(refusals::MAIL),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<RegisterBody>| {
                let RegisterBody { email, name, password } = body.0;
                let password = NewPassword::new(password.0).map_err(AccountError::from)?;
                accounts.register(&email, &name, &password, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/confirm",
            doc("Confirm an address by the link that was sent there")
                .about("Takes the password of the account, or its session.")
                .refuses(refusals::LINK)
                .refuses(refusals::PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Option<Extension<Caller>>, body: Body<ConfirmBody>| {
                accounts.confirm_address(&body.0.link.0, confirming(&body.0, caller)?, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/me/confirmation",
            doc("Send the letter once more that asks to confirm the address").refuses(refusals::CONFIRMATION).refuses(refusals::MAIL),
            with!(accounts, |granted: Granted<ActUnconfirmed>| {
                accounts.resend_confirmation(granted.person).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/forgot-password",
            doc("Send a link for a new password to an address")
                .about("The answer is the same whether somebody has the address or not.")
                .refuses(refusals::ASKING)
                .refuses(refusals::MAIL),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<EmailBody>| {
                accounts.forgot_password(&body.0.email, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/reset-password",
            doc("Set a new password by a link, and end all sessions").refuses(refusals::LINK).refuses(refusals::NEW_PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<ResetBody>| {
                let new = NewPassword::new(body.0.new.0).map_err(AccountError::from)?;
                accounts.reset_password(&body.0.link.0, &new, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}

fn changing(accounts: &Accounts) -> Routes {
    Routes::new()
        .patch(
            "/v1/me",
            doc("Say whether sign-ins from new places are told by mail"),
            with!(accounts, |granted: Granted<ActInSession>, body: Body<WishesBody>| {
                accounts.want_sign_in_mail(granted.person, body.0.sign_in_mail).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/me/email",
            doc("Ask for another address")
                .about("It changes when the new address is confirmed. The present one gets a link that prevents it or takes it back.")
                .refuses(refusals::ADDRESS)
                .refuses(refusals::PASSWORD)
                .refuses(refusals::MAIL),
            with!(accounts, |granted: Granted<ActInSession>, from: From, body: Body<AddressBody>| {
                accounts.ask_for_address(granted.person, &body.0.email, &body.0.password.0, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/address/confirm",
            doc("Change the address by the link that was sent to the new one")
                .about("Takes the password of the account, or its session.")
                .refuses(refusals::LINK)
                .refuses(refusals::ADDRESS)
                .refuses(refusals::PASSWORD),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Option<Extension<Caller>>, body: Body<ConfirmBody>| {
                accounts.change_address(&body.0.link.0, confirming(&body.0, caller)?, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/address/keep",
            doc("Prevent or take back a change of address by the link that was sent to the old one").refuses(refusals::LINK),
            with!(accounts, |_granted: Granted<SignIn>, from: From, body: Body<LinkBody>| {
                accounts.keep_address(&body.0.link.0, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
        .post(
            "/v1/me/delete",
            doc("Delete your account").refuses(refusals::PASSWORD).refuses(refusals::LEAVING),
            with!(accounts, |granted: Granted<ActSteppedUp>, from: From, body: Body<LeaveBody>| {
                accounts.remove_account(&granted, &body.0.password.0, &from).await?;
                Answer::Ok(NoContent)
            }),
        )
}
