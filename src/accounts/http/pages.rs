//! The pages that links in letters open.
//!
//! Fetching one changes nothing: programs that look at mail fetch links. What a link does happens when somebody presses the button.
//! The secret comes in the query, which is not logged, and goes on in the form; the page tells nobody where its reader came from.

use super::From;
use crate::{
    Accepting, Accounts, Caller, Confirming, InvitationError, NewPassword, Visitor,
    form::{Read, read},
    links::LinkKind,
    page::{Field, Form, Page},
    refusals::{ACCEPTING, ADDRESS, FORM, LINK, NEW_PASSWORD, OFFER, PASSWORD},
};
use axum::{
    Extension,
    extract::Query,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Doc, Granted, Problem, Refusal, Routes, SignIn, doc};
use gatehouse_types::{PersonId, Secret};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a link carries.
#[derive(Deserialize, JsonSchema)]
struct Carried {
    #[serde(default)]
    secret: String,
}

/// What the form of a page sends.
#[derive(Deserialize, JsonSchema)]
struct Sent {
    #[serde(default)]
    secret: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
}

const HTML: Option<&str> = Some("text/html");

type Session = Option<Extension<Caller>>;
type Posted = Read<Sent>;
type Answered = Result<Response, Problem>;

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    links(accounts).and(invitation(accounts))
}

fn links(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            LinkKind::Confirm.path(),
            page_of("Open the page that confirms an address"),
            |_granted: Granted<SignIn>, caller: Session, link: Query<Carried>| async move {
                confirming(&link.secret, signed_in(caller).is_some(), None).into_response()
            },
        )
        .post(
            LinkKind::Confirm.path(),
            form_of("Confirm an address from its page", &[LINK, ADDRESS, PASSWORD]),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Session, sent: Posted| {
                let session = signed_in(caller);
                let Sent { secret, password, .. } = read(sent)?;
                let password = Secret::from(password);
                let by = session.map_or(Confirming::Password(&password), Confirming::Session);
                let done = accounts.confirm_address(&Secret::from(secret.clone()), by, &from).await;
                after(done, "The address is confirmed.", |why| confirming(&secret, session.is_some(), Some(why)))
            }),
        )
        .get(
            LinkKind::Reset.path(),
            page_of("Open the page for a new password"),
            |_granted: Granted<SignIn>, link: Query<Carried>| async move { resetting(&link.secret, None).into_response() },
        )
        .post(
            LinkKind::Reset.path(),
            form_of("Set a new password from its page", &[LINK, NEW_PASSWORD]),
            with!(accounts, |_granted: Granted<SignIn>, from: From, sent: Posted| {
                let Sent { secret, password, .. } = read(sent)?;
                let done = reset(&accounts, &secret, password, &from).await;
                let text = "The new password is set, and all sessions have ended. Sign in with it.";
                after(done, text, |why| resetting(&secret, Some(why)))
            }),
        )
        .get(
            LinkKind::ChangeAddress.path(),
            page_of("Open the page that changes an address"),
            |_granted: Granted<SignIn>, caller: Session, link: Query<Carried>| async move {
                changing(&link.secret, signed_in(caller).is_some(), None).into_response()
            },
        )
        .post(
            LinkKind::ChangeAddress.path(),
            form_of("Change an address from its page", &[LINK, ADDRESS, PASSWORD]),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Session, sent: Posted| {
                let session = signed_in(caller);
                let Sent { secret, password, .. } = read(sent)?;
                let password = Secret::from(password);
                let by = session.map_or(Confirming::Password(&password), Confirming::Session);
                let done = accounts.change_address(&Secret::from(secret.clone()), by, &from).await;
                after(done, "This is the address of your account now.", |why| changing(&secret, session.is_some(), Some(why)))
            }),
        )
        .get(
            LinkKind::KeepAddress.path(),
            page_of("Open the page that takes a change of address back"),
            |_granted: Granted<SignIn>, link: Query<Carried>| async move { keeping(&link.secret, None).into_response() },
        )
        .post(
            LinkKind::KeepAddress.path(),
            form_of("Take a change of address back from its page", &[LINK]),
            with!(accounts, |_granted: Granted<SignIn>, from: From, sent: Posted| {
                let Sent { secret, .. } = read(sent)?;
                let done = accounts.keep_address(&Secret::from(secret.clone()), &from).await;
                let text =
                    "Your account keeps this address, and all sessions have ended. A letter with a link for a new password is on its way.";
                after(done, text, |why| keeping(&secret, Some(why)))
            }),
        )
}

fn invitation(accounts: &Accounts) -> Routes {
    Routes::new()
        .get(
            LinkKind::Invitation.path(),
            shown_again(page_of("Open the page of an invitation"), &[OFFER]),
            with!(accounts, |_granted: Granted<SignIn>, caller: Session, link: Query<Carried>| {
                inviting(&accounts, &link.secret, signed_in(caller), None).await
            }),
        )
        .post(
            LinkKind::Invitation.path(),
            form_of("Accept an invitation from its page", &[OFFER, ACCEPTING, NEW_PASSWORD]),
            with!(accounts, |_granted: Granted<SignIn>, from: From, caller: Session, sent: Posted| {
                let (Sent { secret, name, password }, session) = (read(sent)?, signed_in(caller));
                match accept(&accounts, &secret, &name, password, session, &from).await {
                    Ok(organisation) => Ok(Page::new("Welcome").text(&format!("You belong to {organisation} now.")).into_response()),
                    Err(error) => match ours(&error) {
                        Some(problem) => Err(problem),
                        None => inviting(&accounts, &secret, session, Some(&error)).await,
                    },
                }
            }),
        )
}

/// What the document of the API says about a page.
fn page_of(summary: &'static str) -> Doc {
    doc(summary).answers_with(StatusCode::OK, HTML)
}

/// The same of what the form of one is sent to, which is answered with the page again when it is refused with one of these.
fn form_of(summary: &'static str, refused: &[&[Refusal]]) -> Doc {
    shown_again(page_of(summary).refuses(FORM), refused)
}

fn shown_again(doc: Doc, refused: &[&[Refusal]]) -> Doc {
    refused.iter().copied().flatten().fold(doc, |doc, refusal| doc.answers_with(refusal.status(), HTML))
}

fn signed_in(caller: Session) -> Option<PersonId> {
    caller.and_then(|caller| caller.in_any_session()).map(|(person, _)| person)
}

async fn reset(accounts: &Accounts, link: &str, password: String, from: &Visitor) -> Result<(), crate::AccountError> {
    let new = NewPassword::new(Secret::from(password))?;
    accounts.reset_password(&Secret::from(link.to_owned()), &new, from).await
}

async fn accept(
    accounts: &Accounts,
    link: &str,
    name: &str,
    password: String,
    session: Option<PersonId>,
    from: &Visitor,
) -> Result<String, InvitationError> {
    let link = Secret::from(link.to_owned());
    let accepted = match session {
        Some(person) => accounts.accept_invitation(&link, Accepting::Person(person), from).await?,
        None => {
            let password = NewPassword::new(Secret::from(password))?;
            accounts.accept_invitation(&link, Accepting::New { name, password: &password }, from).await?
        }
    };
    Ok(accepted.1.name)
}

/// The page after a button was pressed: that it was done, or the same page again with what was wrong.
fn after<E: Fault>(done: Result<(), E>, text: &str, again: impl FnOnce(&dyn Fault) -> Page) -> Answered {
    match done {
        Ok(()) => Ok(Page::new("Done").text(text).into_response()),
        Err(error) => ours(&error).map_or_else(|| Ok(again(&error).into_response()), Err),
    }
}

/// What is our own fault goes to the log, as everywhere.
fn ours(error: &impl Fault) -> Option<Problem> {
    matches!(error.kind(), Kind::Internal | Kind::Unavailable).then(|| Problem::new(error))
}

fn page(title: &str, wrong: Option<&dyn Fault>) -> Page {
    let page = Page::new(title);
    match wrong {
        Some(wrong) => page.status(Problem::new(wrong).into_response().status()).alert(Some(&wrong.to_string())),
        None => page,
    }
}

fn form(kind: LinkKind, secret: &str) -> Form {
    Form::to(kind.path()).hidden("secret", secret)
}

fn new_password() -> Field<'static> {
    Field { name: "password", label: "New password", kind: "password", autocomplete: "new-password", ..Field::default() }
}

/// A form whose sender has to be the owner of the account: the session says so, or the password does.
fn owned(kind: LinkKind, secret: &str, session: bool, label: &str) -> Form {
    let form = form(kind, secret);
    if session {
        return form;
    }
    form.field(Field { name: "password", label, kind: "password", autocomplete: "current-password", ..Field::default() })
}

fn confirming(secret: &str, session: bool, wrong: Option<&dyn Fault>) -> Page {
    let form = owned(LinkKind::Confirm, secret, session, "The password of your new account");
    page("Confirm your address", wrong).form(form.button("Confirm"))
}

fn resetting(secret: &str, wrong: Option<&dyn Fault>) -> Page {
    let page = page("Set a new password", wrong).text("All sessions end. A second factor is asked for as before.");
    page.form(form(LinkKind::Reset, secret).field(new_password()).button("Set the password"))
}

fn changing(secret: &str, session: bool, wrong: Option<&dyn Fault>) -> Page {
    let form = owned(LinkKind::ChangeAddress, secret, session, "The password of your account");
    page("Use this address", wrong).form(form.button("Use this address"))
}

fn keeping(secret: &str, wrong: Option<&dyn Fault>) -> Page {
    let page = page("Keep your address", wrong)
        .text("The change is taken back, all sessions end, and the password is none any more: a letter lets you set a new one.");
    page.form(form(LinkKind::KeepAddress, secret).button("Keep this address"))
}

async fn inviting(accounts: &Accounts, secret: &str, session: Option<PersonId>, wrong: Option<&InvitationError>) -> Answered {
    let offer = match accounts.offered(&Secret::from(secret.to_owned())).await {
        Ok(offer) => offer,
        Err(error) => {
            return ours(&error).map_or_else(|| Ok(page("An invitation", Some(&error)).into_response()), Err);
        }
    };
    let facts = [("Organisation", offer.organisation), ("As", offer.role.name().to_owned()), ("Address", offer.email.to_string())];
    let page = page("An invitation", wrong.map(|wrong| wrong as &dyn Fault)).facts(facts);
    let form = form(LinkKind::Invitation, secret);
    let page = match (offer.account, session) {
        (_, Some(_)) => page.form(form.button("Accept")),
        (true, None) => page.text("There is an account with this address. Sign in, and open the link again."),
        (false, None) => {
            let name = Field { name: "name", label: "Your name", autocomplete: "name", ..Field::default() };
            page.text("An account is made for you.").form(form.field(name).field(new_password()).button("Accept"))
        }
    };
    Ok(page.into_response())
}
