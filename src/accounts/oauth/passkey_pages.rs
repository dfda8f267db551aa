//! Passkeys on pages: a button that signs in, a second step, and the page where somebody keeps theirs.
//!
//! These are the only pages with a script, one small file of ours. It asks the browser for a passkey and puts the answer into a form;
//! what happens then is as with any other form, tied to the browser that it was sent to.

use super::{
    consent::Asked,
    forms::{Answered, Browser, From, In, Next, form, in_session, out_of_date, page, same, told, waiting},
    pages::{self, PASSKEY_SIGN_IN, PASSKEYS, PASSKEYS_REMOVE, SCRIPT, Tied},
};
use crate::{
    Accounts, Caller, NewPasskey, PasskeyError, SteppedUp,
    form::{Read, read},
    secret,
};
use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Granted, Problem, Routes, SignIn, doc};
use gatehouse_types::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

const CODE: &str = include_str!("passkeys.js");
const UNREADABLE: &str = "Your browser's answer cannot be read. Please try again.";

/// The routes of the pages for passkeys.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    let [sign_in, keep, add, remove] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .get(SCRIPT, doc("Fetch the script of the pages for passkeys").answers_with(StatusCode::OK, Some("text/javascript")), script)
        .post(
            PASSKEY_SIGN_IN,
            form("Sign in with a passkey on a page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<SignInForm>| {
                let accounts = sign_in.clone();
                async move { accounts.passkey_shown(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .get(PASSKEYS, page("Open the page of your passkeys"), move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap| {
            let accounts = keep.clone();
            async move { accounts.passkeys_page(&Browser::new(caller, from, headers)).await }
        })
        .post(
            PASSKEYS,
            form("Add a passkey from its page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<AddForm>| {
                let accounts = add.clone();
                async move { accounts.passkey_added(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            PASSKEYS_REMOVE,
            form("Remove a passkey from its page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<RemoveForm>| {
                let accounts = remove.clone();
                async move { accounts.passkey_removed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
}

#[derive(Deserialize, JsonSchema)]
struct SignInForm {
    next: String,
    proof: String,
    credential: String,
}

#[derive(Deserialize, JsonSchema)]
struct AddForm {
    proof: String,
    name: String,
    credential: String,
}

#[derive(Deserialize, JsonSchema)]
struct RemoveForm {
    proof: String,
    passkey: String,
}

async fn script(_: Granted<SignIn>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, CODE).into_response()
}

/// What the script put into a form.
pub(super) fn answered<T: DeserializeOwned>(credential: &str) -> Option<T> {
    serde_json::from_str(credential).ok()
}

impl Accounts {
    async fn passkey_shown(&self, browser: &Browser, form: SignInForm) -> Answered {
        let SignInForm { next, proof, credential } = form;
        let Some(next) = Next::parse(&next).filter(|next| browser.sent(&proof, next)) else { return Ok(out_of_date()) };
        let Some(assertion) = answered(&credential) else {
            return self.sign_in_page(browser, &next, "", Some((StatusCode::BAD_REQUEST, UNREADABLE))).await;
        };
        match self.sign_in_with_passkey(&assertion, &browser.from).await {
            Ok(session) => self.signed_in(browser, &next, &session).await,
            Err(error) => {
                let (status, text) = told(&error)?;
                Ok(waiting(self.sign_in_page(browser, &next, "", Some((status, &text))).await?, &error))
            }
        }
    }

    async fn passkeys_page(&self, browser: &Browser) -> Answered {
        match self.keeper(browser).await? {
            Some((asked, _)) => self.kept_passkeys(&asked, None).await,
            None => self.sign_in_page(browser, &Next::Passkeys, "", None).await,
        }
    }

    async fn passkey_added(&self, browser: &Browser, form: AddForm) -> Answered {
        let AddForm { proof, name, credential } = form;
        let Some((asked, by)) = self.keeper(browser).await?.filter(|(asked, _)| same(&proof, &in_session(asked, PASSKEYS))) else {
            return Ok(out_of_date());
        };
        let Some(credential) = answered(&credential) else { return self.kept_passkeys(&asked, Some(UNREADABLE)).await };
        match self.add_passkey(&by, &NewPasskey { name, credential }, &browser.from).await {
            Ok((passkey, codes)) => {
                Ok(pages::passkey_added(&passkey.name, &codes.iter().map(secret::text).collect::<Vec<_>>()).into_response())
            }
            Err(error) => self.refused_passkey(&asked, &error).await,
        }
    }

    async fn passkey_removed(&self, browser: &Browser, form: RemoveForm) -> Answered {
        let tied = |asked: &Asked| same(&form.proof, &in_session(asked, PASSKEYS));
        let Some((asked, by)) = self.keeper(browser).await?.filter(|(asked, _)| tied(asked)) else { return Ok(out_of_date()) };
        // The page says what the last one means, on its button.
        match self.remove_passkey(&by, &form.passkey, true, &browser.from).await {
            Ok(()) => self.kept_passkeys(&asked, None).await,
            Err(error) => self.refused_passkey(&asked, &error).await,
        }
    }

    /// Somebody who may keep passkeys. Who has not proven lately who they are signs in again.
    async fn keeper(&self, browser: &Browser) -> Result<Option<(Asked, SteppedUp)>, Problem> {
        let by = browser.caller.as_ref().and_then(|caller: &Caller| caller.stepped_up().ok());
        Ok(self.asked(browser).await?.zip(by))
    }

    async fn refused_passkey(&self, asked: &Asked, error: &PasskeyError) -> Answered {
        match error.kind() {
            Kind::Internal | Kind::Unavailable => Err(Problem::new(error)),
            _ => self.kept_passkeys(asked, Some(&error.to_string())).await,
        }
    }

    async fn kept_passkeys(&self, asked: &Asked, problem: Option<&str>) -> Answered {
        let proof = in_session(asked, PASSKEYS);
        let tied = Tied { proof: &proof, next: "", leads_to: None };
        let (email, kept) = (self.address_of(asked).await?, self.passkeys(asked.person).await?);
        let only = kept.len() == 1 && !self.takes_codes(asked.person).await?;
        Ok(pages::passkeys(tied, &email, (&kept, only), problem.map(|text| (StatusCode::BAD_REQUEST, text))).into_response())
    }

    /// The page of the second step, with a button for passkeys where there are some.
    pub(super) async fn second_step_page(
        &self,
        browser: &Browser,
        next: &Next,
        challenge: &str,
        problem: Option<(StatusCode, &str)>,
    ) -> Response {
        let passkey = self.challenge_options(&Secret::from(challenge.to_owned())).await.is_ok();
        browser.second_factor_page(next, (challenge, passkey), problem)
    }
}
