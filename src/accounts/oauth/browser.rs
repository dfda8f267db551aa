//! People in front of us whom a program sends: signing in, and saying yes or no.
//!
//! Nothing is kept for a stranger: what a program asked with travels in the forms and is read and checked anew with every step. A form
//! is tied to the browser that it was sent to. Before somebody has signed in that is a cookie of its own, so that nobody is signed in
//! to somebody else's account; afterwards it is the session. Signing in begins a new session and ends the one before. From here nobody
//! is ever sent to an address that came with a request, but to the registered ones of [`request`](super::request), and at once only
//! where the program is trusted.

use super::{
    AuthorizationRequest, Proof,
    code::NewCode,
    consent::Asked,
    forms::{
        Answered, Browser, FORM_COOKIE, FRESH, From, In, Next, before_session, form, fresh, in_session, out_of_date, page, same, see_other,
        set_cookie, told, waiting, without_fresh,
    },
    metadata::AUTHORIZE,
    pages::{self, CONSENT, SECOND_FACTOR, SIGN_IN, Tied},
    passkey_pages::answered,
    request::{Parameters, Refused, Why},
};
use crate::{
    Accounts, Caller, NewSession, OrganisationInfo, Proof as Shown, SignInError, SignedIn, StateError,
    caller::COOKIE,
    form::{Read, read},
    page::Page,
    rows, secret,
};
use axum::{
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use gatehouse_http::{Granted, Routes, SignIn};
use gatehouse_store::Batch;
use gatehouse_types::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// How long it holds that somebody signed in for a request.
const FRESH_FOR: Duration = Duration::from_secs(600);
const OUT_OF_DATE: &str = "This page was open for too long, or was not opened here. Please try again.";

/// The routes of people's pages.
pub(super) fn routes(accounts: &Accounts) -> Routes {
    let [authorize, sign_in, second, consent] = std::array::from_fn(|_| accounts.clone());
    Routes::new()
        .get(
            AUTHORIZE,
            page("Ask a person to let a program act for them (RFC 6749 §4.1.1, with PKCE)"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, uri: Uri| {
                let accounts = authorize.clone();
                async move { accounts.authorize(&Browser::new(caller, from, headers), uri.query().unwrap_or_default()).await }
            },
        )
        .post(
            SIGN_IN,
            form("Sign in on a page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<PasswordForm>| {
                let accounts = sign_in.clone();
                async move { accounts.password_typed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            SECOND_FACTOR,
            form("Take the second step on a page"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<CodeForm>| {
                let accounts = second.clone();
                async move { accounts.code_typed(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
        .post(
            CONSENT,
            form("Let a program act for you, or not"),
            move |_: Granted<SignIn>, caller: In, from: From, headers: HeaderMap, form: Read<ConsentForm>| {
                let accounts = consent.clone();
                async move { accounts.consent_given(&Browser::new(caller, from, headers), read(form)?).await }
            },
        )
}

#[derive(Deserialize, JsonSchema)]
struct PasswordForm {
    next: String,
    proof: String,
    email: String,
    password: String,
}

#[derive(Deserialize, JsonSchema)]
struct CodeForm {
    next: String,
    proof: String,
    challenge: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    recovery_code: String,
    /// Filled in by the script.
    #[serde(default)]
    credential: String,
}

#[derive(Deserialize, JsonSchema)]
struct ConsentForm {
    next: String,
    proof: String,
    organisation: String,
    answer: String,
}

impl Accounts {
    async fn authorize(&self, browser: &Browser, query: &str) -> Answered {
        let request = match self.authorization_request(query).await {
            Ok(request) => request,
            Err(refused) => return self.not_asked(browser, refused).await,
        };
        let next = Next::Authorize(query.to_owned());
        let Some(asked) = self.asked(browser).await?.filter(|asked| self.is_recent(asked, &request, query)) else {
            return match request.prompt.none {
                true => self.turned_away(browser, &request, ("login_required", "nobody is signed in, or not for this")).await,
                false => self.sign_in_page(browser, &next, &request.login_hint, None).await,
            };
        };
        let organisations = self.organisations_for(&asked, &request.client).await?;
        if organisations.is_empty() {
            let why = ("access_denied", "the person does not belong to the program's organisation");
            return self.turned_away(browser, &request, why).await;
        }
        if let Some(organisation) = self.known_answer(&asked, &request, &organisations).await? {
            return self.granted(browser, &asked, &request, organisation).await;
        }
        if request.prompt.none {
            return self.turned_away(browser, &request, ("consent_required", "the person has to be asked")).await;
        }
        let email = self.address_of(&asked).await?;
        let proof = in_session(&asked, query);
        let leads_to = request.leads_to();
        let tied = Tied { proof: &proof, next: query, leads_to: Some(&leads_to) };
        Ok(pages::consent(tied, &email, &request, &organisations).into_response())
    }

    /// What a request gets that nobody is asked about.
    async fn not_asked(&self, browser: &Browser, refused: Refused) -> Answered {
        match refused {
            Refused::Page(text) => Ok(pages::refused(StatusCode::BAD_REQUEST, text).into_response()),
            Refused::Client(request, why) => self.turned_away(browser, &request, why).await,
            Refused::Ours(error) => Err(error.into()),
        }
    }

    /// Tells a program that it gets nothing. Any organisation can have a program, with an address that looks like ours: a link to us must
    /// not end there before somebody has seen a page of ours (RFC 9700 §4.11.2), unless the operator vouches for the program, the person
    /// who is signed in has let it in before, or nobody looks at this window.
    async fn turned_away(&self, browser: &Browser, request: &AuthorizationRequest, why: Why) -> Answered {
        let address = request.refusal(why);
        let is_trusted = request.client.organisation.is_none() || browser.is_framed();
        if is_trusted || matches!(self.asked(browser).await?, Some(asked) if self.has_consented(asked.person, &request.id).await?) {
            return Ok(see_other(&address));
        }
        Ok(pages::turned_away(request, why, &address).into_response())
    }

    /// Whether somebody signed in recently enough for a request.
    fn is_recent(&self, asked: &Asked, request: &AuthorizationRequest, query: &str) -> bool {
        let now = self.clock.now();
        let age = now.since(asked.proof.at);
        if !request.prompt.login && request.max_age.is_none_or(|most| age <= Duration::from_secs(most)) {
            return true;
        }
        // For this very request, in this session: otherwise there would be no end to it.
        let shown = Parameters::read(query).and_then(|parameters| parameters.one(FRESH).map(str::to_owned));
        shown.is_some_and(|shown| same(&shown, &fresh(&asked.key, without_fresh(query)))) && age < FRESH_FOR
    }

    /// The organisation in which a program may act without asking again.
    async fn known_answer<'a>(
        &self,
        asked: &Asked,
        request: &AuthorizationRequest,
        organisations: &'a [OrganisationInfo],
    ) -> Result<Option<&'a OrganisationInfo>, StateError> {
        // RFC 8252 §8.6: whatever runs on the person's machine can pretend to be a program there.
        if request.prompt.consent || !request.is_exclusive {
            return Ok(None);
        }
        if request.client.first_party
            && let [only] = organisations
        {
            return Ok(Some(only));
        }
        self.consented(asked.person, &request.id, &request.scope, organisations).await
    }

    async fn granted(&self, browser: &Browser, asked: &Asked, request: &AuthorizationRequest, organisation: &OrganisationInfo) -> Answered {
        let scope = asked.scope(&request.scope, organisation.role);
        let code = rows::change::<_, StateError, _>(&self.events, || async {
            let Some((session, proof)) = self.session_proof(asked.session).await? else { return Ok((Batch::new(), None)) };
            let client = (request.id.as_str(), &request.client);
            // A password that changes at this moment ends the session, and this with it.
            let (batch, consent) = self.consenting(session.unchanged(), asked, organisation.id, client, &scope, &browser.from).await?;
            let new = NewCode {
                client: request.id.clone(),
                redirect: request.redirect.clone(),
                challenge: request.challenge.clone(),
                nonce: request.nonce.clone(),
                person: asked.person,
                organisation: organisation.id,
                scope: scope.clone(),
                proof,
                session: asked.session,
                consent,
            };
            let (batch, code) = self.beginning_code(batch, new);
            Ok((batch, Some(code)))
        })
        .await?;
        Ok(code.map_or_else(out_of_date, |code| see_other(&request.success(&secret::text(&code)))))
    }

    async fn consent_given(&self, browser: &Browser, form: ConsentForm) -> Answered {
        let ConsentForm { next, proof, organisation, answer } = form;
        let Some(asked) = self.asked(browser).await?.filter(|asked| same(&proof, &in_session(asked, &next))) else {
            return Ok(out_of_date());
        };
        let request = match self.authorization_request(&next).await {
            Ok(request) => request,
            Err(refused) => return self.not_asked(browser, refused).await,
        };
        if !self.is_recent(&asked, &request, &next) {
            return Ok(out_of_date());
        }
        if answer != "yes" {
            return Ok(see_other(&request.refusal(("access_denied", "the person said no"))));
        }
        let organisations = self.organisations_for(&asked, &request.client).await?;
        match organisations.iter().find(|own| own.id.to_string() == organisation) {
            Some(organisation) => self.granted(browser, &asked, &request, organisation).await,
            None => Ok(out_of_date()),
        }
    }

    pub(super) async fn sign_in_page(&self, browser: &Browser, next: &Next, email: &str, problem: Option<(StatusCode, &str)>) -> Answered {
        let buttons = self.buttons_for(next).await?;
        Ok(self.tied_page(browser, next, |tied| pages::sign_in(tied, email, self.relying_party().is_some(), &buttons, problem)))
    }

    /// A page for somebody who has not signed in, whose forms are tied to the browser that it is sent to.
    pub(super) fn tied_page(&self, browser: &Browser, next: &Next, page: impl FnOnce(Tied<'_>) -> Page) -> Response {
        let known = browser.tie();
        let drawn = known.is_none().then(|| secret::draw(&*self.random));
        let tie = known.or_else(|| drawn.clone()).unwrap_or_else(|| Secret::new(Vec::new()));
        let (proof, path) = (before_session(&tie, next), next.path());
        let leads_to = next.leads_to();
        let mut response = page(Tied { proof: &proof, next: &path, leads_to: leads_to.as_deref() }).into_response();
        if let Some(drawn) = drawn {
            set_cookie(&mut response, &format!("{FORM_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax", secret::text(&drawn)));
        }
        response
    }

    async fn password_typed(&self, browser: &Browser, form: PasswordForm) -> Answered {
        let PasswordForm { next, proof, email, password } = form;
        let Some(next) = Next::parse(&next) else { return Ok(out_of_date()) };
        if !browser.sent(&proof, &next) {
            return self.sign_in_page(browser, &next, &email, Some((StatusCode::FORBIDDEN, OUT_OF_DATE))).await;
        }
        match self.sign_in(&email, &Secret::from(password), &browser.from).await {
            Ok(SignedIn::Session(session)) => self.signed_in(browser, &next, &session).await,
            Ok(SignedIn::SecondFactor(challenge)) => {
                Ok(self.second_step_page(browser, &next, &secret::text(&challenge.secret), None).await)
            }
            Err(error) => {
                let (status, text) = told(&error)?;
                Ok(waiting(self.sign_in_page(browser, &next, &email, Some((status, &text))).await?, &error))
            }
        }
    }

    async fn code_typed(&self, browser: &Browser, form: CodeForm) -> Answered {
        let CodeForm { next, proof, challenge, code, recovery_code, credential } = form;
        let Some(next) = Next::parse(&next) else { return Ok(out_of_date()) };
        if !browser.sent(&proof, &next) {
            return self.sign_in_page(browser, &next, "", Some((StatusCode::FORBIDDEN, OUT_OF_DATE))).await;
        }
        let shown = match (recovery_code.trim(), answered(&credential)) {
            (_, Some(assertion)) => Shown::Passkey(Box::new(assertion)),
            ("", None) => Shown::Code(code),
            (recovery_code, None) => Shown::Recovery(Secret::from(recovery_code.to_owned())),
        };
        match self.answer_challenge(&Secret::from(challenge.clone()), &shown, &browser.from).await {
            Ok(session) => self.signed_in(browser, &next, &session).await,
            Err(error) => {
                let (status, text) = told(&error)?;
                let problem = Some((status, text.as_str()));
                let again = matches!(error, SignInError::Code | SignInError::Passkey(_) | SignInError::Wait { .. });
                let page = if again {
                    self.second_step_page(browser, &next, &challenge, problem).await
                } else {
                    self.sign_in_page(browser, &next, "", problem).await?
                };
                Ok(waiting(page, &error))
            }
        }
    }

    pub(super) async fn signed_in(&self, browser: &Browser, next: &Next, session: &NewSession) -> Answered {
        // What was there before must not be gone on with by whoever put it there.
        if let Some((person, before, _)) = browser.caller.as_ref().and_then(Caller::in_limited_session) {
            let _ = self.end_session(person, &before.to_string(), &browser.from).await;
        }
        let mut response = see_other(&match next {
            Next::Authorize(query) => {
                let bare = without_fresh(query);
                let (id, _) = self.session(&session.secret).await?.ok_or(StateError::Contention)?;
                let (row, _) = self.session_proof(id).await?.ok_or(StateError::Contention)?;
                let mark = row.value.form_key().map(|key| fresh(&key, bare)).unwrap_or_default();
                format!("{AUTHORIZE}?{bare}&{FRESH}={mark}")
            }
            Next::Device(_) | Next::Passkeys | Next::Links => next.path(),
        });
        let age = session.ends.since(self.clock.now()).as_secs();
        let text = secret::text(&session.secret);
        set_cookie(&mut response, &format!("{COOKIE}={text}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={age}"));
        set_cookie(&mut response, &format!("{FORM_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
        Ok(response)
    }

    pub(super) async fn address_of(&self, asked: &Asked) -> Result<String, StateError> {
        Ok(self.person(asked.person).await?.map(|person| person.email.to_string()).unwrap_or_default())
    }

    /// Who is asked, where somebody is signed in.
    pub(super) async fn asked(&self, browser: &Browser) -> Result<Option<Asked>, StateError> {
        let Some((person, session, within)) = browser.caller.as_ref().and_then(Caller::in_limited_session) else { return Ok(None) };
        let found = self.session_proof(session).await?;
        Ok(found.and_then(|(row, proof): (_, Proof)| Some(Asked { person, session, proof, key: row.value.form_key()?, within })))
    }
}
