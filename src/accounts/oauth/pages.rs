//! What people see who are asked by a program: the words and fields of each page. What their answers do is [`browser`](super::browser)'s.

use super::{AuthorizationRequest, Client, Scope, device::Waiting, forms::DEVICE, request::Why};
use crate::{
    LinkInfo, OrganisationInfo, PasskeyInfo,
    page::{Field, Form, Page},
};
use axum::http::StatusCode;

pub(super) const SIGN_IN: &str = "/account/sign-in";
pub(super) const SECOND_FACTOR: &str = "/account/sign-in/second-factor";
pub(super) const PASSKEY_SIGN_IN: &str = "/account/sign-in/passkey";
pub(super) const PASSKEYS: &str = "/account/passkeys";
pub(super) const PASSKEYS_REMOVE: &str = "/account/passkeys/remove";
/// The only script that our pages have.
pub(super) const SCRIPT: &str = "/account/passkeys.js";
pub(super) const BY_PROVIDER: &str = "/account/sign-in/provider";
pub(super) const LINKS: &str = "/account/links";
pub(super) const LINKS_CONFIRM: &str = "/account/links/confirm";
pub(super) const LINKS_REMOVE: &str = "/account/links/remove";
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

/// A button that leads to somebody who may vouch for whoever presses it.
#[derive(Clone, Debug)]
pub(super) struct Button {
    pub(super) provider: String,
    pub(super) name: String,
    pub(super) leads_to: String,
}

impl Button {
    fn on(&self, page: Page, tied: Tied<'_>) -> Page {
        let form = Form::to(BY_PROVIDER).hidden("next", tied.next).hidden("proof", tied.proof).hidden("provider", &self.provider);
        page.leading_to(&self.leads_to).form(form.other_button(&format!("Sign in with {}", self.name)))
    }
}

/// The page of one provider.
pub(super) fn by_provider(tied: Tied<'_>, button: &Button) -> Page {
    let page = tied.page("Sign in", None).text(&format!("{} says who you are.", button.name));
    button.on(page, tied)
}

/// Somebody's logins elsewhere, and those that could be added.
pub(super) fn links(tied: Tied<'_>, email: &str, (linked, buttons): (&[LinkInfo], &[Button]), problem: Option<(StatusCode, &str)>) -> Page {
    let page = tied.page("Your logins elsewhere", problem).text(&format!("You are signed in as {email}."));
    let page = linked.iter().fold(page, |page, link| {
        let known = link.email.clone().unwrap_or_else(|| link.subject.clone());
        let page = page.facts([("Provider", link.issuer.to_string()), ("As", known), ("Since", link.since.to_string())]);
        page.form(Form::to(LINKS_REMOVE).hidden("proof", tied.proof).hidden("link", &link.id).other_button("End this"))
    });
    buttons.iter().fold(page, |page, button| {
        let form = Form::to(LINKS).hidden("proof", tied.proof).hidden("provider", &button.provider);
        page.leading_to(&button.leads_to).form(form.button(&format!("Let {} sign me in", button.name)))
    })
}

/// Asks once more before a login elsewhere lets somebody in.
pub(super) fn link(tied: Tied<'_>, email: &str, (name, issuer, known): (&str, &str, &str), sealed: &str) -> Page {
    let facts = [("Your account", email.to_owned()), ("Provider", format!("{name} ({issuer})")), ("You are there", known.to_owned())];
    let page = tied.page("Is this you?", None).text("Whoever signs in there as this gets into your account here.").facts(facts);
    let form = Form::to(LINKS_CONFIRM).hidden("proof", tied.proof).hidden("sealed", sealed);
    page.form(form.decision("answer", ("yes", "Yes, link it"), ("no", "No")))
}

/// With a button for passkeys, where there can be some, and one for each provider.
pub(super) fn sign_in(tied: Tied<'_>, email: &str, passkeys: bool, buttons: &[Button], problem: Option<(StatusCode, &str)>) -> Page {
    let form = Form::to(SIGN_IN)
        .hidden("next", tied.next)
        .hidden("proof", tied.proof)
        .field(Field { name: "email", label: "E-mail address", autocomplete: "username", value: email, ..Field::default() })
        .field(Field { name: "password", label: "Password", kind: "password", autocomplete: "current-password", ..Field::default() })
        .button("Sign in");
    let page = buttons.iter().fold(tied.page("Sign in", problem).form(form), |page, button| button.on(page, tied));
    if !passkeys {
        return page;
    }
    let form = Form::to(PASSKEY_SIGN_IN).asking_passkey("get", "/v1/sign-in/passkey/options");
    page.script(SCRIPT).form(form.hidden("next", tied.next).hidden("proof", tied.proof).other_button("Sign in with a passkey"))
}

pub(super) fn second_factor(tied: Tied<'_>, (challenge, passkey): (&str, bool), problem: Option<(StatusCode, &str)>) -> Page {
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
    let page = tied.page("One more step", problem).form(form);
    if !passkey {
        return page;
    }
    let form = Form::to(SECOND_FACTOR).asking_passkey("get", "/v1/sign-in/second-factor/options");
    let form = form.hidden("next", tied.next).hidden("proof", tied.proof).hidden("challenge", challenge);
    page.script(SCRIPT).form(form.other_button("Use a passkey"))
}

/// Somebody's passkeys, and whether the only one of them is the only second factor.
pub(super) fn passkeys(tied: Tied<'_>, email: &str, (kept, only): (&[PasskeyInfo], bool), problem: Option<(StatusCode, &str)>) -> Page {
    let page = tied.page("Your passkeys", problem).text(&format!("You are signed in as {email}."));
    let page = page.text("A passkey lets you in without a password. Besides one, it is asked for as a second step.");
    let page = kept.iter().fold(page, |page, passkey| {
        let used = passkey.used.as_ref().map_or_else(|| "never".to_owned(), |used| format!("{} from {}", used.at, used.address));
        let page = page.facts([("Name", passkey.name.clone()), ("Added", passkey.made.to_string()), ("Used last", used)]);
        let label = if only { "Remove, and sign in with the password alone" } else { "Remove" };
        page.form(Form::to(PASSKEYS_REMOVE).hidden("proof", tied.proof).hidden("passkey", &passkey.id).other_button(label))
    });
    let form = Form::to(PASSKEYS).asking_passkey("create", "/v1/me/passkeys/options").hidden("proof", tied.proof);
    let form = form.field(Field { name: "name", label: "What to call it", autocomplete: "off", ..Field::default() });
    page.script(SCRIPT).form(form.button("Add a passkey"))
}

/// A passkey that was added, with recovery codes where it is the first second factor.
pub(super) fn passkey_added(name: &str, codes: &[String]) -> Page {
    let page = Page::new("The passkey is added").text(&format!("{name} lets you in from now on."));
    if codes.is_empty() {
        return page;
    }
    let text = "Keep these recovery codes where nobody else finds them. Each lets you in once, with your password, when you have lost your passkey. They are not shown again.";
    page.text(text).list(codes)
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

/// What somebody sees whom a program would be told about that they have not let in: where that leads, and why.
pub(super) fn turned_away(request: &AuthorizationRequest, (_, why): Why, address: &str) -> Page {
    let page = Page::new("This does not go").status(StatusCode::BAD_REQUEST);
    let page = page.text(&format!("A program sent you here and gets nothing from us: {why}."));
    let page = page.text("It is no part of this installation, and nothing was told to it. Go on only if you know where this leads:");
    page.facts([("It calls itself", request.client.name.clone()), ("It is at", request.leads_to())]).link("Go back to it", address)
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
