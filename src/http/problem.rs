//! Errors as answers: problem details (RFC 9457), made from [`Fault`] by one table.

use crate::Refusal;
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use gatehouse_base::{Fault, Kind, with_causes};
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error on its way to the peer. Handlers return it; `?` makes it from any [`Fault`].
#[derive(Clone, Debug)]
pub struct Problem(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: &'static str,
    detail: Option<String>,
    field: Option<String>,
    retry_after: Option<Duration>,
    /// What the operator needs to know and the peer must not.
    for_the_log: Option<String>,
}

/// The door's one table.
pub(crate) const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Exhausted => StatusCode::TOO_MANY_REQUESTS,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What is wrong, as RFC 9457 has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Details<'a> {
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// What is wrong, for people. It may change; programs look at `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// Which problem it is, for programs.
    code: &'a str,
    /// The field of the request that is to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// Under which the server's log has more.
    request_id: &'a str,
}

impl Problem {
    /// The problem that this fault is to a peer. What is our own affair goes to the log and not into the answer.
    pub fn new(fault: &(impl Fault + ?Sized)) -> Self {
        let kind = fault.kind();
        let ours = matches!(kind, Kind::Internal | Kind::Unavailable);
        Self(Arc::new(Inner {
            status: status(kind),
            code: fault.code(),
            detail: (!ours).then(|| fault.to_string()),
            field: fault.field().map(str::to_owned),
            retry_after: fault.retry_after(),
            for_the_log: ours.then(|| with_causes(fault)),
        }))
    }

    /// The problem that nothing but a status is known about: what the router and the protocol refuse.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => "no-such-resource",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            StatusCode::PAYLOAD_TOO_LARGE => "body-too-large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
            StatusCode::GATEWAY_TIMEOUT => "request-timeout",
            status if status.is_client_error() => "bad-request",
            _ => "internal",
        };
        Self(Arc::new(Inner { status, code, detail: None, field: None, retry_after: None, for_the_log: None }))
    }

    /// The problem of somebody who comes too often or in too great a number, and may come back after this time.
    pub(crate) fn to_wait(refusal: Refusal, wait: Duration) -> Self {
        let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let code = refusal.code;
        Self(Arc::new(Inner { status, code, detail: None, field: None, retry_after: Some(wait), for_the_log: None }))
    }

    /// The stable word for programs.
    pub fn code(&self) -> &'static str {
        self.0.code
    }

    pub(crate) fn for_the_log(&self) -> Option<&str> {
        self.0.for_the_log.as_deref()
    }

    /// The whole answer. The request id lets an operator find the line in the log.
    pub(crate) fn answer(&self, request_id: &str) -> Response<Body> {
        let details = Details {
            // RFC 9457 §4.2.1: the title is then that of the status; programs look at `code`.
            r#type: "about:blank",
            title: self.0.status.canonical_reason().unwrap_or("Error"),
            status: self.0.status.as_u16(),
            detail: self.0.detail.as_deref(),
            code: self.0.code,
            field: self.0.field.as_deref(),
            request_id,
        };
        let body = serde_json::to_vec(&details).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        if let Some(retry_after) = self.0.retry_after {
            // Rounded up: who comes back a moment early comes in vain.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl<F: Fault> From<F> for Problem {
    fn from(fault: F) -> Self {
        Self::new(&fault)
    }
}

/// A marker response: the server writes the body, because it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.0.status;
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the shelf at /var/lib is full")]
    struct Shelf(Kind);

    impl Fault for Shelf {
        fn kind(&self) -> Kind {
            self.0
        }

        fn code(&self) -> &'static str {
            "shelf"
        }

        fn field(&self) -> Option<&str> {
            Some("shelf")
        }

        fn retry_after(&self) -> Option<Duration> {
            Some(Duration::from_millis(1500))
        }
    }

    async fn body(kind: Kind) -> (Response<()>, serde_json::Value) {
        let (head, body) = Problem::from(Shelf(kind)).answer("abc").into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.expect("body");
        (Response::from_parts(head, ()), serde_json::from_slice(&bytes).expect("json"))
    }

    #[tokio::test]
    async fn a_fault_of_the_peer_is_explained_to_it() {
        let (head, body) = body(Kind::Conflict).await;
        assert_eq!(head.status(), StatusCode::CONFLICT);
        assert_eq!(head.headers()[header::RETRY_AFTER], "2");
        assert_eq!(head.headers()[header::CONTENT_TYPE], "application/problem+json");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Conflict", "status": 409, "detail": "the shelf at /var/lib is full",
            "code": "shelf", "field": "shelf", "request_id": "abc"
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn our_own_affairs_stay_in_the_log() {
        for kind in [Kind::Internal, Kind::Unavailable] {
            let (head, body) = body(kind).await;
            assert!(head.status().is_server_error());
            assert!(body.get("detail").is_none(), "{body}");
            assert_eq!(Problem::from(Shelf(kind)).for_the_log(), Some("the shelf at /var/lib is full"));
        }
    }
}
