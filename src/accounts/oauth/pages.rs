//! What people see who are asked by a program: the words and fields of each page. What their answers do is [`browser`](super::browser)'s.

use super::{AuthorizationRequest, Client, Scope, device::Waiting, forms::DEVICE};
use crate::{
    OrganisationInfo,
    page::{Field, Form, Page},
};
use axum::http::StatusCode;

pub(super) const SIGN_IN: &str = "/account/sign-in";
pub(super) const SECOND_FACTOR: &str = "/account/sign-in/second-factor";
pub(super) const CONSENT: &str = "/oauth/consent";
pub(super) const DEVICE_ANSWER: &str = "/device/answer";

/// What ties a form to the browser that it was sent to, and where to go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tied<'a> {
    pub(super) proof: &'a str,
    pub(super) next: &'a str,
    /// Where the answer may lead after us.
    pub(super) leads_to: Option<&'a str>,
}

pub(super) fn sign_in(tied: Tied<'_>, email: &str, problem: Option<(StatusCode, &str)>) -> Page {
    let form = Form::to(SIGN_IN)
        .hidden("next", tied.next)
        .hidden("proof", tied.proof)
        .field(Field { name: "email", label: "E-mail address", autocomplete: "username", value: email, ..Field::default() })
        .field(Field { name: "password", label: "Password", kind: "password", autocomplete: "current-password", ..Field::default() })
        .button("Sign in");
    tied.page("Sign in", problem).form(form)
}

pub(super) fn second_factor(tied: Tied<'_>, challenge: &str, problem: Option<(StatusCode, &str)>) -> Page {
    let form = Form::to(SECOND_FACTOR)
        .hidden("next", tied.next)
        .hidden("proof", tied.proof)
        .hidden("challenge", challenge)
        .field(Field {
            name: "code",
            label: "Code from your authenticator",
            autocomplete: "one-time-code",
            optional: true,
            ..Field::default()
        })
        .field(Field {
            name: "recovery_code",
            label: "Or one of your recovery codes",
            autocomplete: "off",
            optional: true,
            ..Field::default()
        })
        .button("Go on");
    tied.page("One more step", problem).form(form)
}

pub(super) fn consent(tied: Tied<'_>, email: &str, request: &AuthorizationRequest, organisations: &[OrganisationInfo]) -> Page {
    let page = tied.page(&format!("{} asks to act for you", request.client.name), None);
    let page = asked(page, email, &request.client, &request.scope);
    let page = page.facts([("Where your answer goes", request.leads_to())]);
    page.form(decision(Form::to(CONSENT), tied, organisations, &request.scope))
}

/// Asks for the short code that a program shows.
pub(super) fn device_code(tied: Tied<'_>, email: &str, typed: &str, problem: Option<(StatusCode, &str)>) -> Page {
    let form = Form::to(DEVICE)
        .hidden("proof", tied.proof)
        .field(Field { name: "user_code", label: "Code that the program shows", autocomplete: "off", value: typed, ..Field::default() })
        .button("Go on");
    let text = "A program without a browser shows you a code. Type it only if you started that program yourself, just now.";
    tied.page("Let a program in", problem).text(&format!("You are signed in as {email}.")).text(text).form(form)
}

pub(super) fn device_consent(
    tied: Tied<'_>,
    email: &str,
    (user_code, waiting): (&str, &Waiting),
    client: &Client,
    organisations: &[OrganisationInfo],
) -> Page {
    let page = tied.page(&format!("{} asks to act for you", client.name), None);
    let page = asked(page, email, client, &waiting.scope);
    let page = page.facts([
        ("Code", super::device::typed(user_code)),
        ("It asks from", waiting.address.to_string()),
        ("It calls itself", waiting.agent.clone()),
        ("Since", waiting.began.to_string()),
    ]);
    let page = page.text("If the code is not the one that you see, or you did not start it, say no: somebody wants to use your account.");
    page.form(decision(Form::to(DEVICE_ANSWER).hidden("user_code", user_code), tied, organisations, &waiting.scope))
}

/// An answer that nothing follows.
pub(super) fn done(title: &str, text: &str) -> Page {
    Page::new(title).text(text)
}

pub(super) fn refused(status: StatusCode, text: &str) -> Page {
    Page::new("This does not go").status(status).text(text).text("Nothing was done, and nothing was told to anybody.")
}

fn asked(page: Page, email: &str, client: &Client, scope: &Scope) -> Page {
    let page = page.text(&format!("You are signed in as {email}."));
    let page = if client.first_party { page } else { page.text("It is no part of this installation. It asks to:") };
    page.list(scope.sentences())
}

fn decision(form: Form, tied: Tied<'_>, organisations: &[OrganisationInfo], scope: &Scope) -> Form {
    let form = form.hidden("next", tied.next).hidden("proof", tied.proof);
    let options: Vec<(String, String)> = organisations
        .iter()
        .map(|organisation| {
            let less = if scope.within(organisation.role) == *scope { "" } else { "; less than it asks for" };
            (organisation.id.to_string(), format!("{} ({}{less})", organisation.name, organisation.role))
        })
        .collect();
    form.choice("organisation", "In which organisation", &options).decision("answer", ("yes", "Allow"), ("no", "Do not allow"))
}

impl Tied<'_> {
    fn page(&self, title: &str, problem: Option<(StatusCode, &str)>) -> Page {
        let page = Page::new(title);
        let page = if let Some(source) = self.leads_to { page.leading_to(source) } else { page };
        match problem {
            Some((status, text)) => page.status(status).alert(Some(text)),
            None => page,
        }
    }
}
