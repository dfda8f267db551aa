//! Pages of other origins (CORS, <https://fetch.spec.whatwg.org>): those that are configured, by their exact names.
//!
//! They may call the API with tokens. Cookies are never allowed along (no `Access-Control-Allow-Credentials`), so that what a page of
//! another origin can do does not depend on who happens to be signed in.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header},
};
use gatehouse_base::config::Value;

/// What a page may send. Its answer is kept for ten minutes by the browser.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, gatehouse-organisation");
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, x-request-id");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// An origin as a browser writes it: scheme, host, and a port that is not the scheme's own (RFC 6454 §6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Value for Origin {
    fn expected() -> String {
        "an origin as browsers write it, like \"https://console.example.com\"; neither `*` nor a path".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let usual = if text.starts_with("https") { ":443" } else { ":80" };
        let good = !host.is_empty() && host.len() <= 255 && host.chars().all(allowed) && !host.ends_with(usual);
        good.then(|| Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// The origin of a request, if it is one of these.
pub(crate) fn allowed(origins: &[Origin], headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    origins.iter().any(|allowed| allowed.0.as_bytes() == origin.as_bytes()).then(|| origin.clone())
}

/// Whether a browser asks before it sends the request itself.
pub(crate) fn is_preflight(request: &Request<impl Sized>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ORIGIN)
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// What it is told. Whether there is such a route, it learns from the request itself.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

/// Lets a page of this origin read the answer. Where origins are configured, a cache must not give one origin's answer to another.
pub(crate) fn let_read(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    const FIELDS: [(HeaderName, HeaderValue); 1] = [(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED)];
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.extend(FIELDS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for good in ["https://console.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443", "https://a-b.example:80"] {
            assert!(Origin::from_text(good).is_some(), "{good}");
        }
        for bad in
            ["*", "null", "", "https://", "https://*.example.com", "https://example.com/", "HTTPS://example.com", "https://Example.com"]
        {
            assert!(Origin::from_text(bad).is_none(), "{bad}");
        }
        for never_sent in
            ["https://example.com:443", "http://example.com:80", "ftp://example.com", "https://example.com, https://b.example"]
        {
            assert!(Origin::from_text(never_sent).is_none(), "{never_sent}");
        }
    }

    #[test]
    fn only_the_exact_origin_is_allowed() {
        let origins = [Origin::from_text("https://console.example.com").expect("an origin")];
        let allows = |origin: &'static str| {
            let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
            allowed(&origins, &headers).is_some()
        };
        assert!(allows("https://console.example.com"));
        for other in ["https://console.example.com.evil.example", "http://console.example.com", "https://evil.example", "null", "*"] {
            assert!(!allows(other), "{other}");
        }
        assert_eq!(allowed(&origins, &HeaderMap::new()), None);
    }
}
