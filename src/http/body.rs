//! Bodies in JSON, read into types, with mistakes told by the field's name.

use crate::Problem;
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::{StatusCode, header},
};
use gatehouse_base::{Fault, Kind};
use serde::de::DeserializeOwned;

/// The body of a request, read from JSON. Keys that the type does not know are refused by the type
/// (`serde(deny_unknown_fields)`): a misspelt one must not silently leave a default in place.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // A form that another site submits cannot have this type without asking us first.
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|refusal| Problem::of_status(refusal.status()))?;
        read(&bytes).map(Self).map_err(Problem::from)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotThis> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| NotThis { field: error.path().to_string(), problem: problem(error.inner()) })?;
    reader.end().map_err(|error| NotThis { field: ".".to_owned(), problem: problem(&error) })?;
    Ok(value)
}

/// What is wrong and where. serde quotes the value that it did not like, which may be a password.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let expected = text.split_once(", expected ").map(|(_, expected)| format!("expected {expected}"));
    match (error.classify(), expected) {
        (serde_json::error::Category::Data, Some(expected)) => expected,
        (serde_json::error::Category::Data, None) if text.starts_with("missing field") || text.starts_with("unknown field") => text,
        (serde_json::error::Category::Data, None) => "its value is not accepted".to_owned(),
        _ => format!("this is not JSON, at line {} column {}", error.line(), error.column()),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
struct NotThis {
    field: String,
    problem: String,
}

impl Fault for NotThis {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "bad-body"
    }

    fn field(&self) -> Option<&str> {
        (self.field != ".").then_some(&self.field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Login {
        #[expect(dead_code, reason = "read by serde only")]
        email: String,
        #[expect(dead_code, reason = "read by serde only")]
        attempts: u8,
    }

    fn refusal(body: &str) -> (Option<String>, String) {
        let refusal = read::<Login>(body.as_bytes()).expect_err("a bad body");
        (refusal.field().map(str::to_owned), refusal.to_string())
    }

    #[test]
    fn a_mistake_is_told_by_the_fields_name_and_without_its_value() {
        let (field, problem) = refusal(r#"{"email": "a@b", "attempts": "correct horse"}"#);
        assert_eq!(field.as_deref(), Some("attempts"));
        assert!(problem.starts_with("expected u8") && !problem.contains("horse"), "{problem}");
        let (field, problem) = refusal(r#"{"email": ["secret"], "attempts": 1}"#);
        assert_eq!((field.as_deref(), problem.contains("secret")), (Some("email"), false), "{problem}");
    }

    #[test]
    fn missing_and_unknown_fields_and_what_is_no_json_are_refused() {
        assert!(refusal(r#"{"email": "a@b"}"#).1.starts_with("missing field `attempts`"));
        let (field, problem) = refusal(r#"{"email": "a@b", "attempts": 1, "admin": true}"#);
        assert_eq!(field.as_deref(), Some("admin"));
        assert!(problem.contains("email"), "{problem}");
        assert!(refusal("{").1.starts_with("this is not JSON"));
        assert!(refusal(r#"{"email": "a", "attempts": 1} x"#).1.starts_with("this is not JSON"));
    }
}
