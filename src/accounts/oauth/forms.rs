//! What ties people's forms to the browsers that they were sent to, and the answers that browsers get.
//!
//! Before somebody signs in, a tie is a digest over a cookie and what the form is about: another site can make a browser send a form, and
//! cannot know its tie. In a session it is keyed by what only the server knows, since the person must not make ties either: a tie says that
//! they were shown a page, after the waiting that belongs to it.

use super::{
    consent::Asked,
    metadata::AUTHORIZE,
    pages::{self, LINKS, PASSKEYS, Tied},
    request::Parameters,
};
use crate::{Caller, SignInError, Visitor, caller::cookie_named, refusals, secret, session::FormKey};
use axum::{
    Extension,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use data_encoding::BASE64URL_NOPAD;
use gatehouse_base::{Fault, Kind};
use gatehouse_http::{Doc, Problem, doc};
use gatehouse_types::Secret;

/// Where people type the short code of a program.
pub(super) const DEVICE: &str = "/device";
/// The cookie that ties forms to a browser in which nobody has signed in yet.
pub(super) const FORM_COOKIE: &str = "__Host-gatehouse-form";
/// What marks a request for which somebody has signed in just now.
pub(super) const FRESH: &str = "gatehouse_signed_in";

const OUT_OF_DATE: &str = "This page was open for too long, or was not opened here. Go back to where you came from and try again.";

pub(super) type In = Option<Extension<Caller>>;
pub(super) type From = Extension<Visitor>;
pub(super) type Answered = Result<Response, Problem>;

/// Who is in front of us.
pub(super) struct Browser {
    pub(super) caller: Option<Caller>,
    pub(super) from: Visitor,
    headers: HeaderMap,
}

/// Where to go on after signing in: a request for authorization, or our own pages for short codes and passkeys. There is nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Authorize(String),
    Device(String),
    Passkeys,
    Links,
}

impl Browser {
    pub(super) fn new(caller: In, from: From, headers: HeaderMap) -> Self {
        Self { caller: caller.map(|caller| caller.0), from: from.0, headers }
    }

    /// One of its cookies.
    pub(super) fn cookie(&self, name: &str) -> Option<Secret> {
        cookie_named(&self.headers, name)
    }

    /// What ties its forms before somebody signs in, if it has been given it.
    pub(super) fn tie(&self) -> Option<Secret> {
        cookie_named(&self.headers, FORM_COOKIE).filter(|tie| (32..=64).contains(&tie.len()))
    }

    /// Whether this browser was sent the form that comes from it, and a page of ours sends it.
    pub(super) fn sent(&self, proof: &str, next: &Next) -> bool {
        let site = self.headers.get("sec-fetch-site");
        let tied = self.tie().is_some_and(|tie| same(proof, &before_session(&tie, next)));
        tied && site.is_none_or(|site| site == "same-origin")
    }

    /// Whether its window shows another page, in which we would be a part that nobody sees: pages look so whether somebody is signed in
    /// (OpenID Connect Core §3.1.2.1, `prompt=none`). Browsers say it, and pages cannot.
    pub(super) fn is_framed(&self) -> bool {
        self.headers.get("sec-fetch-dest").is_some_and(|dest| dest == "iframe" || dest == "frame")
    }

    pub(super) fn second_factor_page(&self, next: &Next, challenge: (&str, bool), problem: Option<(StatusCode, &str)>) -> Response {
        let tie = self.tie().unwrap_or_else(|| Secret::new(Vec::new()));
        let (proof, path, leads_to) = (before_session(&tie, next), next.path(), next.leads_to());
        pages::second_factor(Tied { proof: &proof, next: &path, leads_to: leads_to.as_deref() }, challenge, problem).into_response()
    }
}

impl Next {
    pub(super) fn parse(path: &str) -> Option<Self> {
        if let Some(query) = path.strip_prefix(AUTHORIZE).and_then(|rest| rest.strip_prefix('?')) {
            return Some(Self::Authorize(query.to_owned()));
        }
        if path == PASSKEYS {
            return Some(Self::Passkeys);
        }
        if path == LINKS {
            return Some(Self::Links);
        }
        let code = path.strip_prefix(DEVICE)?;
        let code = if code.is_empty() { "" } else { code.strip_prefix("?user_code=")? };
        code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-').then(|| Self::Device(code.to_owned()))
    }

    pub(super) fn path(&self) -> String {
        match self {
            Self::Authorize(query) => format!("{AUTHORIZE}?{query}"),
            Self::Passkeys => PASSKEYS.to_owned(),
            Self::Links => LINKS.to_owned(),
            Self::Device(code) if code.is_empty() => DEVICE.to_owned(),
            Self::Device(code) => format!("{DEVICE}?user_code={code}"),
        }
    }

    /// Where answers lead in the end. The page's policy must let them; whether we do is decided later, and not by this.
    pub(super) fn leads_to(&self) -> Option<String> {
        let Self::Authorize(query) = self else { return None };
        Parameters::read(query)?.one("redirect_uri").map(super::redirect::source_of)
    }
}

/// The tie of a form to a browser in which nobody has signed in.
pub(super) fn before_session(tie: &Secret, next: &Next) -> String {
    let text = [tie.expose(), b"\0", next.path().as_bytes()].concat();
    BASE64URL_NOPAD.encode(&secret::digest_of("form before a session", &Secret::new(text)))
}

/// The tie of a form to somebody's session.
pub(super) fn in_session(asked: &Asked, about: &str) -> String {
    asked.key.tie("form in a session", about)
}

/// What shows that a session began for a request.
pub(super) fn fresh(key: &FormKey, query: &str) -> String {
    key.tie("session for a request", query)
}

/// A request without the mark of a session that began for it.
pub(super) fn without_fresh(query: &str) -> &str {
    query.split_once(&format!("&{FRESH}=")).map_or(query, |(bare, _)| bare)
}

/// In the same time whatever differs.
pub(super) fn same(shown: &str, expected: &str) -> bool {
    Secret::from(shown.to_owned()) == Secret::from(expected.to_owned())
}

/// RFC 9700 §4.12: not with 307, which would send what was typed along.
pub(super) fn see_other(address: &str) -> Response {
    let location = HeaderValue::from_str(address).map(|location| (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response());
    location.unwrap_or_else(|_| out_of_date())
}

pub(super) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(mut cookie) = HeaderValue::from_str(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

pub(super) fn out_of_date() -> Response {
    pages::refused(StatusCode::BAD_REQUEST, OUT_OF_DATE).into_response()
}

/// What somebody is told whose sign-in was refused; our own faults are told like everywhere.
pub(super) fn told(error: &SignInError) -> Result<(StatusCode, String), Problem> {
    match error.kind() {
        Kind::Exhausted => Ok((StatusCode::TOO_MANY_REQUESTS, error.to_string())),
        Kind::Unauthenticated => Ok((StatusCode::UNAUTHORIZED, error.to_string())),
        _ => Err(Problem::new(error)),
    }
}

/// Adds when it makes sense to come back.
pub(super) fn waiting(mut response: Response, error: &SignInError) -> Response {
    if let Some(wait) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    }
    response
}

/// A page for people, in the document of the API.
pub(super) fn page(summary: &'static str) -> Doc {
    let html = Some("text/html");
    let told = "For browsers. Refusals are pages or, where a program may be told, redirections to it.";
    let told = doc(summary).about(told).answers_with(StatusCode::OK, html).answers_with(StatusCode::SEE_OTHER, None);
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    refusals.into_iter().fold(told, |told, status| told.answers_with(status, html))
}

/// What a form of such a page is sent to.
pub(super) fn form(summary: &'static str) -> Doc {
    page(summary).refuses(refusals::FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_goes_on_anywhere_but_to_our_own_pages() {
        for path in ["/oauth/authorize?client_id=a&state=b", "/device", "/device?user_code=BCDF-GHJK", "/account/passkeys"] {
            assert_eq!(Next::parse(path).map(|next| next.path()).as_deref(), Some(path));
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/",
            "/\\evil.example",
            "/oauth/authorize",
            "/oauth/token?x",
            "/devices",
            "/account/passkeys/remove",
        ] {
            assert_eq!(Next::parse(path), None, "{path}");
        }
        assert_eq!(Next::parse("/device?user_code=\r\nset-cookie:x"), None);
    }

    #[test]
    fn the_mark_of_a_new_session_is_taken_off_wherever_it_stands() {
        assert_eq!(without_fresh("a=b&gatehouse_signed_in=x"), "a=b");
        assert_eq!(without_fresh("a=b"), "a=b");
    }
}
