//! People in front of us who let a program in that has no browser: they type its short code, see who asks, and say yes or no.

use super::{
    Scope,
    consent::Asked,
    device::{UserCodeError, Waiting},
    forms::{Answered, Browser, DEVICE, From, In, Next, form, in_session, out_of_date, page, same},
    pages::{self, DEVICE_ANSWER, Tied},
    request::Parameters,
};
use crate::{
    Accounts, Visitor,
    form::{Read, read},
};
use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use gatehouse_http::{Granted, Routes, SignIn};
use schemars::JsonSchema;
use serde::Deserialize;

/// The routes of the pages for short codes.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    let [device, code, answer] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .get(
            DEVICE,
            page("Type in the code of a program without a browser (RFC 8628 §3.3)"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, uri: Uri| {
                let accounts = device.clone();
                async move { accounts.device_page(&Browser::new(caller, from, headers), uri.query().unwrap_or_default()).await }
            },
        )
        .post(
            DEVICE,
            form("See who shows a code"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<UserCodeForm>| {
                let accounts = code.clone();
                async move { accounts.user_code_typed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            DEVICE_ANSWER,
            form("Let the program in that shows a code, or not"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<AnswerForm>| {
                let accounts = answer.clone();
                async move { accounts.device_answered(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
}

#[derive(Deserialize, JsonSchema)]
struct UserCodeForm {
    proof: String,
    user_code: String,
}

#[derive(Deserialize, JsonSchema)]
struct AnswerForm {
    proof: String,
    user_code: String,
    organisation: String,
    answer: String,
}

impl Accounts {
    async fn device_page(&self, browser: &Browser, query: &str) -> Answered {
        let typed = Parameters::read(query).and_then(|parameters| parameters.one("user_code").map(str::to_owned)).unwrap_or_default();
        let typed: String = typed.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(16).collect();
        match self.asked(browser).await? {
            Some(asked) => self.user_code_page(&asked, &typed, None).await,
            None => self.sign_in_page(browser, &Next::Device(typed), "", None).await,
        }
    }

    async fn user_code_page(&self, asked: &Asked, typed: &str, problem: Option<(StatusCode, &str)>) -> Answered {
        let proof = in_session(asked, DEVICE);
        let tied = Tied { proof: &proof, next: "", leads_to: None };
        Ok(pages::device_code(tied, &self.address_of(asked).await?, typed, problem).into_response())
    }

    async fn user_code_typed(&self, browser: &Browser, form: UserCodeForm) -> Answered {
        let Some(asked) = self.asked(browser).await?.filter(|asked| same(&form.proof, &in_session(asked, DEVICE))) else {
            return Ok(out_of_date());
        };
        let (user_code, found) = match self.find_user_code(&asked, &form.user_code, &browser.from).await {
            Ok(found) => found,
            Err(UserCodeError::State(error)) => return Err(error.into()),
            Err(error @ UserCodeError::Unknown) => {
                return self.user_code_page(&asked, "", Some((StatusCode::BAD_REQUEST, &error.to_string()))).await;
            }
            Err(error @ UserCodeError::Wait { .. }) => {
                return self.user_code_page(&asked, "", Some((StatusCode::TOO_MANY_REQUESTS, &error.to_string()))).await;
            }
        };
        let Some(client) = self.client(&found.client).await? else { return Ok(out_of_date()) };
        let organisations = self.organisations_for(&asked, &client).await?;
        if organisations.is_empty() {
            return Ok(pages::refused(StatusCode::FORBIDDEN, "You do not belong to the program's organisation.").into_response());
        }
        let proof = in_session(&asked, &format!("{DEVICE_ANSWER} {user_code}"));
        let tied = Tied { proof: &proof, next: "", leads_to: None };
        let email = self.address_of(&asked).await?;
        Ok(pages::device_consent(tied, &email, (&user_code, &found), &client, &organisations).into_response())
    }

    async fn device_answered(&self, browser: &Browser, form: AnswerForm) -> Answered {
        let AnswerForm { proof, user_code, organisation, answer } = form;
        let tied_to = format!("{DEVICE_ANSWER} {user_code}");
        let Some(asked) = self.asked(browser).await?.filter(|asked| same(&proof, &in_session(asked, &tied_to))) else {
            return Ok(out_of_date());
        };
        let allowed = if answer == "yes" { Some(organisation.as_str()) } else { None };
        match self.answer_in(&asked, &user_code, allowed, &browser.from).await {
            Ok(()) if allowed.is_some() => Ok(pages::done("Done", "The program goes on. You can close this page.").into_response()),
            Ok(()) => Ok(pages::done("Nothing was allowed", "The program was told no. You can close this page.").into_response()),
            Err(UserCodeError::State(error)) => Err(error.into()),
            Err(error @ UserCodeError::Wait { .. }) => {
                Ok(pages::refused(StatusCode::TOO_MANY_REQUESTS, &error.to_string()).into_response())
            }
            Err(error) => Ok(pages::refused(StatusCode::BAD_REQUEST, &error.to_string()).into_response()),
        }
    }

    /// Takes an answer in one of the person's organisations.
    async fn answer_in(&self, asked: &Asked, user_code: &str, organisation: Option<&str>, from: &Visitor) -> Result<(), UserCodeError> {
        // An answer to a code that is none is a guess at one like any other.
        let (_, Waiting { client, scope, .. }) = self.find_user_code(asked, user_code, from).await?;
        let mut yes: Option<(_, Scope)> = None;
        if let Some(organisation) = organisation {
            let client = self.client(&client).await?.ok_or(UserCodeError::Unknown)?;
            let organisations = self.organisations_for(asked, &client).await?;
            let chosen = organisations.iter().find(|own| own.id.to_string() == organisation).ok_or(UserCodeError::Unknown)?;
            yes = Some((chosen.id, asked.scope(&scope, chosen.role)));
        }
        self.answer_user_code(asked, user_code, yes, from).await
    }
}
