//! People in front of us who come through a provider that is not ours, and those who link one to their account.
//!
//! Nothing is kept for a stranger: what a request to a provider was made with goes along in a cookie that we sealed, which only this
//! browser has and which is good for a while and for one answer. The answer has to bring its `state`, come to the address of the
//! provider that was asked, and, where it says who it is from, say that (RFC 9207); the code is worth nothing without the verifier in
//! the cookie, and the ID token has to hold its nonce. Linking asks once more, in the session in which it began.

use super::{
    consent::Asked,
    forms::{Answered, Browser, From, In, Next, form, in_session, out_of_date, page, same, see_other, set_cookie},
    pages::{self, BY_PROVIDER, Button, LINKS, LINKS_CONFIRM, LINKS_REMOVE, Tied},
    request::Parameters,
};
use crate::{
    Accounts, LinkError, ProviderError, StateError,
    foreign::{Entered, Provider},
    form::{Read, read},
    secret,
};
use axum::{
    extract::Path,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::{Fault, Kind, with_causes};
use gatehouse_http::{Doc, Granted, Problem, Routes, SignIn};
use gatehouse_openid::{Ask, Identity, IdentityExpected, Relying};
use gatehouse_types::{Secret, UnixTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The cookie with what a request to a provider was made with.
const FLOW_COOKIE: &str = "__Host-gatehouse-provider";
/// How long a provider may take, with everything that it asks people.
const FLOW_ENDS: Duration = Duration::from_secs(600);
/// Browsers take no longer cookies.
const MOST_COOKIE_BYTES: usize = 3900;
const FLOW: &str = "request to a provider";
const PENDING: &str = "link to a provider";

const AWAY: &str = "The provider cannot be asked at this moment. Please try again later.";
const STRANGER: &str = "Nobody here is linked to this login. If you have an account, sign in to it as before, and let this provider sign you in \
                        under \"Your logins elsewhere\". If you have none, ask whoever runs this installation, or your organisation, for an invitation.";
const OUTSIDER: &str = "Your account does not belong to the organisation of this provider. Ask somebody there to invite you.";
const NOT_BELIEVED: &str =
    "What the provider answered is not believed. Please try again; if it stays so, tell whoever runs this installation.";

/// The routes of this file.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    let [begin, one, answer, links, link, confirm, remove] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .post(
            BY_PROVIDER,
            unavailable(form("Go to a provider to sign in")),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<BeginForm>| {
                let accounts = begin.clone();
                async move { accounts.provider_chosen(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .get(
            "/account/provider/{id}",
            page("Open the page of one provider"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, id: Path<String>| {
                let accounts = one.clone();
                async move { accounts.provider_page(&Browser::new(caller, from, headers), &id).await }
            },
        )
        .get(
            "/account/provider/{id}/callback",
            unavailable(page("Come back from a provider (RFC 6749 §4.1.2, RFC 9207)")),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, id: Path<String>, uri: Uri| {
                let accounts = answer.clone();
                async move { accounts.provider_answered(&Browser::new(caller, from, headers), &id, uri.query().unwrap_or_default()).await }
            },
        )
        .get(
            LINKS,
            page("Open the page of your logins elsewhere"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap| {
                let accounts = links.clone();
                async move { accounts.links_page(&Browser::new(caller, from, headers)).await }
            },
        )
        .post(
            LINKS,
            unavailable(form("Go to a provider to link it")),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<LinkForm>| {
                let accounts = link.clone();
                async move { accounts.link_begun(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            LINKS_CONFIRM,
            form("Link a login elsewhere, or not"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<ConfirmForm>| {
                let accounts = confirm.clone();
                async move { accounts.link_confirmed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            LINKS_REMOVE,
            form("End a link from its page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<RemoveForm>| {
                let accounts = remove.clone();
                async move { accounts.link_removed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
}

/// Providers may be away.
fn unavailable(doc: Doc) -> Doc {
    doc.answers_with(StatusCode::SERVICE_UNAVAILABLE, Some("text/html"))
}

#[derive(Deserialize, JsonSchema)]
struct BeginForm {
    next: String,
    proof: String,
    provider: String,
}

#[derive(Deserialize, JsonSchema)]
struct LinkForm {
    proof: String,
    provider: String,
}

#[derive(Deserialize, JsonSchema)]
struct ConfirmForm {
    proof: String,
    sealed: String,
    answer: String,
}

#[derive(Deserialize, JsonSchema)]
struct RemoveForm {
    proof: String,
    link: String,
}

/// What a request to a provider was made with.
#[derive(Serialize, Deserialize)]
struct Flow {
    provider: String,
    state: String,
    nonce: String,
    verifier: String,
    aim: Aim,
    ends: UnixTime,
}

/// What is to follow.
#[derive(Serialize, Deserialize)]
enum Aim {
    /// Signing in, and going on there.
    SignIn(String),
    /// Linking, in this session.
    Link(String),
}

/// A login elsewhere that its owner is asked about.
#[derive(Serialize, Deserialize)]
struct Pending {
    provider: String,
    subject: String,
    email: Option<String>,
    session: String,
    ends: UnixTime,
}

/// Why an answer of a provider leads nowhere.
enum Astray {
    Page(StatusCode, &'static str),
    Ours(Problem),
}

impl std::convert::From<StateError> for Astray {
    fn from(error: StateError) -> Self {
        Self::Ours(error.into())
    }
}

impl std::convert::From<ProviderError> for Astray {
    fn from(error: ProviderError) -> Self {
        Self::Ours(error.into())
    }
}

impl Accounts {
    /// The buttons of a page on which somebody signs in: those of the whole installation, and of the organisation whose program asks.
    pub(super) async fn buttons_for(&self, next: &Next) -> Result<Vec<Button>, StateError> {
        let mut buttons = self.buttons_of(None).await?;
        if let Next::Authorize(query) = next
            && let Some(id) = Parameters::read(query).and_then(|parameters| parameters.one("client_id").map(str::to_owned))
            && let Some(organisation) = self.client(&id).await?.and_then(|client| client.organisation)
        {
            buttons.extend(self.buttons_of(Some(organisation)).await?);
        }
        Ok(buttons)
    }

    async fn buttons_of(&self, organisation: Option<gatehouse_types::OrganisationId>) -> Result<Vec<Button>, StateError> {
        let mut buttons = Vec::new();
        if self.directory.is_none() || self.issuer.is_none() {
            return Ok(buttons);
        }
        for id in self.provider_ids(organisation).await? {
            let row = self.provider_row(&id).await?.filter(|row| row.value.sign_in);
            buttons.extend(row.map(|row| button(&id, &row.value)));
        }
        Ok(buttons)
    }

    async fn provider_page(&self, browser: &Browser, id: &str) -> Answered {
        match self.provider_row(id).await?.filter(|row| row.value.sign_in) {
            Some(row) => Ok(self.tied_page(browser, &Next::Links, |tied| pages::by_provider(tied, &button(id, &row.value)))),
            None => Ok(pages::refused(StatusCode::BAD_REQUEST, "There is no such provider.").into_response()),
        }
    }

    async fn provider_chosen(&self, browser: &Browser, form: BeginForm) -> Answered {
        let BeginForm { next, proof, provider } = form;
        let Some(next) = Next::parse(&next).filter(|next| browser.sent(&proof, next)) else { return Ok(out_of_date()) };
        self.sent_to_provider(&provider, Aim::SignIn(next.path())).await
    }

    async fn link_begun(&self, browser: &Browser, form: LinkForm) -> Answered {
        let tied = |asked: &Asked| asked.within.is_none() && same(&form.proof, &in_session(asked, LINKS));
        let Some(asked) = self.asked(browser).await?.filter(tied) else { return Ok(out_of_date()) };
        self.sent_to_provider(&form.provider, Aim::Link(named(&asked))).await
    }

    /// Sends a browser to a provider, with what ties the answer to it in a cookie.
    async fn sent_to_provider(&self, id: &str, aim: Aim) -> Answered {
        let Some(row) = self.provider_row(id).await?.filter(|row| row.value.sign_in) else { return Ok(out_of_date()) };
        let relying = match self.relying_for_people(id, &row.value).await {
            Ok(relying) => relying,
            Err(astray) => return told(astray),
        };
        let origin = relying.metadata().authorization_origin();
        if origin != row.value.leads_to {
            self.note_origin(id, &origin).await?;
        }
        let [state, nonce, verifier] = std::array::from_fn(|_| secret::text(&secret::draw(&*self.random)));
        let tied_to = Secret::from(verifier.clone());
        let ask = Ask { scopes: &row.value.scopes, state: &state, nonce: &nonce, verifier: &tied_to };
        let address = relying.authorization(ask).map_err(|error| Problem::new(&error))?;
        let flow = Flow { provider: id.to_owned(), state, nonce, verifier, aim, ends: self.clock.now() + FLOW_ENDS };
        let cookie = self.sealed(FLOW, &flow)?;
        if cookie.len() > MOST_COOKIE_BYTES {
            return Ok(pages::refused(StatusCode::BAD_REQUEST, "The request of the program that sent you here is too long for this.")
                .into_response());
        }
        let mut response = see_other(&address);
        let age = FLOW_ENDS.as_secs();
        set_cookie(&mut response, &format!("{FLOW_COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}"));
        Ok(response)
    }

    async fn provider_answered(&self, browser: &Browser, id: &str, query: &str) -> Answered {
        let mut response = match self.answer_believed(browser, id, query).await {
            Ok((flow, provider, identity)) => self.went_on(browser, (id, &provider), flow, &identity).await?,
            Err(astray) => told(astray)?,
        };
        // Good for one answer, whatever it was.
        set_cookie(&mut response, &format!("{FLOW_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
        Ok(response)
    }

    /// Who somebody is, as a provider answers that was asked from this browser.
    async fn answer_believed(&self, browser: &Browser, id: &str, query: &str) -> Result<(Flow, Provider, Identity), Astray> {
        let not_believed = || Astray::Page(StatusCode::BAD_REQUEST, NOT_BELIEVED);
        let flow: Option<Flow> = browser.cookie(FLOW_COOKIE).and_then(|cookie| self.unsealed(FLOW, &secret::text(&cookie)));
        let flow = flow.filter(|flow| self.clock.now() < flow.ends && flow.provider == id).ok_or_else(not_believed)?;
        let parameters = Parameters::read(query).filter(|parameters| !parameters.repeated()).ok_or_else(not_believed)?;
        if !parameters.one("state").is_some_and(|state| same(state, &flow.state)) {
            return Err(not_believed());
        }
        let row = self.provider_row(id).await?.filter(|row| row.value.sign_in).ok_or_else(not_believed)?;
        let provider = row.value;
        let relying = self.relying_for_people(id, &provider).await?;
        relying.metadata().check_answer(parameters.one("iss")).map_err(|_| not_believed())?;
        if parameters.one("error").is_some() {
            return Err(Astray::Page(
                StatusCode::BAD_REQUEST,
                "The provider did not let you in, or you did not let it tell us who you are.",
            ));
        }
        let code = parameters.one("code").map(|code| Secret::from(code.to_owned())).ok_or_else(not_believed)?;
        let directory = self.directory()?;
        let verifier = Secret::from(flow.verifier.clone());
        let tokens = relying.exchange(directory.outgoing(), &code, Some(&verifier), None).await.map_err(|error| refused(&error))?;
        let identity = tokens.identity.ok_or_else(not_believed)?;
        let signed = directory.signed(&provider.issuer, &identity).await.map_err(|error| refused(&error))?;
        let expected = IdentityExpected { client: &provider.client_id, nonce: &flow.nonce, access_token: &tokens.access };
        let identity = signed.identity(expected, self.clock.now(), directory.skew()).map_err(|error| refused(&error))?;
        Ok((flow, provider, identity))
    }

    async fn went_on(&self, browser: &Browser, (id, provider): (&str, &Provider), flow: Flow, identity: &Identity) -> Answered {
        match flow.aim {
            Aim::SignIn(next) => {
                let Some(next) = Next::parse(&next) else { return Ok(out_of_date()) };
                match self.vouched_for((id, provider), identity, &browser.from).await {
                    Ok(Entered::Session(session)) => self.signed_in(browser, &next, &session).await,
                    Ok(Entered::SecondFactor(challenge)) => {
                        Ok(self.second_step_page(browser, &next, &secret::text(&challenge.secret), None).await)
                    }
                    Ok(Entered::Stranger) => Ok(pages::refused(StatusCode::BAD_REQUEST, STRANGER).into_response()),
                    Ok(Entered::Outsider) => Ok(pages::refused(StatusCode::BAD_REQUEST, OUTSIDER).into_response()),
                    Err(error) => Err(Problem::new(&error)),
                }
            }
            Aim::Link(session) => {
                let Some(asked) = self.asked(browser).await?.filter(|asked| asked.within.is_none() && named(asked) == session) else {
                    return Ok(out_of_date());
                };
                let known = identity.email.clone().unwrap_or_else(|| identity.subject.clone());
                let pending = Pending {
                    provider: id.to_owned(),
                    subject: identity.subject.clone(),
                    email: identity.email.clone(),
                    session,
                    ends: self.clock.now() + FLOW_ENDS,
                };
                let sealed = self.sealed(PENDING, &pending)?;
                let proof = in_session(&asked, &sealed);
                let tied = Tied { proof: &proof, next: "", leads_to: None };
                let email = self.address_of(&asked).await?;
                Ok(pages::link(tied, &email, (&provider.name, provider.issuer.as_str(), &known), &sealed).into_response())
            }
        }
    }

    async fn link_confirmed(&self, browser: &Browser, form: ConfirmForm) -> Answered {
        let ConfirmForm { proof, sealed, answer } = form;
        let tied = |asked: &Asked| asked.within.is_none() && same(&proof, &in_session(asked, &sealed));
        let Some(asked) = self.asked(browser).await?.filter(tied) else { return Ok(out_of_date()) };
        let pending: Option<Pending> = self.unsealed(PENDING, &sealed);
        let good = |pending: &Pending| self.clock.now() < pending.ends && pending.session == named(&asked);
        let Some(pending) = pending.filter(good) else { return Ok(out_of_date()) };
        let Some(row) = self.provider_row(&pending.provider).await? else { return Ok(out_of_date()) };
        if answer != "yes" {
            return self.kept_links(&asked, None).await;
        }
        let known = (&row.value.issuer, pending.subject.as_str(), pending.email.as_deref());
        match self.link_identity(asked.person, known, &browser.from).await {
            Ok(()) => self.kept_links(&asked, None).await,
            Err(LinkError::State(error)) => Err(error.into()),
            Err(error) => self.kept_links(&asked, Some(&error.to_string())).await,
        }
    }

    async fn link_removed(&self, browser: &Browser, form: RemoveForm) -> Answered {
        let tied = |asked: &Asked| asked.within.is_none() && same(&form.proof, &in_session(asked, LINKS));
        let Some(asked) = self.asked(browser).await?.filter(tied) else { return Ok(out_of_date()) };
        match self.unlink(asked.person, &form.link, &browser.from).await {
            Err(LinkError::State(error)) => Err(error.into()),
            Err(error) => self.kept_links(&asked, Some(&error.to_string())).await,
            // It may have been the session that asks.
            Ok(()) if self.session_proof(asked.session).await?.is_none() => self.sign_in_page(browser, &Next::Links, "", None).await,
            Ok(()) => self.kept_links(&asked, None).await,
        }
    }

    async fn links_page(&self, browser: &Browser) -> Answered {
        match self.asked(browser).await? {
            Some(asked) if asked.within.is_none() => self.kept_links(&asked, None).await,
            Some(asked) => {
                let text = format!(
                    "You are signed in as {}, through your organisation's provider and for that organisation.",
                    self.address_of(&asked).await?
                );
                Ok(pages::done("Signed in", &text).into_response())
            }
            None => self.sign_in_page(browser, &Next::Links, "", None).await,
        }
    }

    async fn kept_links(&self, asked: &Asked, problem: Option<&str>) -> Answered {
        let proof = in_session(asked, LINKS);
        let tied = Tied { proof: &proof, next: "", leads_to: None };
        let (email, linked) = (self.address_of(asked).await?, self.linked(asked.person).await?);
        let mut buttons = self.buttons_of(None).await?;
        for organisation in self.organisations_of(asked.person).await? {
            buttons.extend(self.buttons_of(Some(organisation.id)).await?);
        }
        Ok(pages::links(tied, &email, (&linked, &buttons), problem.map(|text| (StatusCode::BAD_REQUEST, text))).into_response())
    }

    async fn relying_for_people(&self, id: &str, provider: &Provider) -> Result<Relying, Astray> {
        let redirect = self.redirect_uri_of(id).ok_or(ProviderError::NoIssuer)?;
        self.relying(id, provider, &redirect).await.map_err(|error| match error {
            ProviderError::Directory(error) => refused(&error),
            error => error.into(),
        })
    }

    fn sealed(&self, purpose: &str, value: &impl Serialize) -> Result<String, StateError> {
        let text = serde_json::to_vec(value).map_err(|error| StateError::Damaged(error.to_string()))?;
        Ok(BASE64URL_NOPAD.encode(&self.sealer.seal(purpose, &Secret::new(text)).map_err(StateError::Seal)?))
    }

    fn unsealed<T: serde::de::DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        let sealed = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        serde_json::from_slice(self.sealer.unseal(purpose, &sealed).ok()?.expose()).ok()
    }
}

fn button(id: &str, provider: &Provider) -> Button {
    Button { provider: id.to_owned(), name: provider.name.clone(), leads_to: provider.leads_to.clone() }
}

/// A session, as sealed things name it.
fn named(asked: &Asked) -> String {
    BASE64URL_NOPAD.encode(&asked.session.0)
}

/// What a provider did not do. It is for the log; who comes from there is told little.
fn refused(error: &impl Fault) -> Astray {
    tracing::warn!(code = error.code(), cause = with_causes(error), "a provider's answer led nowhere");
    match error.kind() {
        Kind::Unavailable | Kind::Invalid | Kind::Exhausted => Astray::Page(StatusCode::SERVICE_UNAVAILABLE, AWAY),
        _ => Astray::Page(StatusCode::BAD_REQUEST, NOT_BELIEVED),
    }
}

fn told(astray: Astray) -> Result<Response, Problem> {
    match astray {
        Astray::Page(status, text) => Ok(pages::refused(status, text).into_response()),
        Astray::Ours(problem) => Err(problem),
    }
}
