//! What a provider publishes about itself (OpenID Connect Discovery 1.0 §3, RFC 8414), as far as it is used.

use crate::{DirectoryError, Issuer};
use gatehouse_outgoing::Target;
use serde::Deserialize;

/// A provider's document that was checked: it is about the provider that was asked, and every address in it is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub(crate) issuer: Issuer,
    pub(crate) authorization: Target,
    pub(crate) token: Target,
    pub(crate) keys: Target,
    /// Whether answers to requests for authorization say who answers (RFC 9207 §3).
    pub(crate) answers_with_issuer: bool,
    /// Whether a client shows its secret in the form because it cannot otherwise.
    pub(crate) secret_in_form: bool,
}

/// The document as it comes. What is not here is not looked at.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    response_types_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// An answer that comes from another provider than the one that was asked, or does not say from which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer does not come from the provider that was asked")]
pub struct MixUp;

impl Metadata {
    pub(crate) fn read(asked: &Issuer, document: &[u8]) -> Result<Self, DirectoryError> {
        let bad = |why: &str| DirectoryError::Document { issuer: asked.clone(), why: why.to_owned() };
        let document: Document = serde_json::from_slice(document).map_err(|error| bad(&error.to_string()))?;
        // Discovery §4.3: exactly. Another name would let one provider speak in the name of another.
        if document.issuer != asked.as_str() {
            return Err(bad("it is about another issuer"));
        }
        let address = |name: &str, text: &str| {
            let target = Target::parse(text).map_err(|error| bad(&format!("its {name} is refused: {error}")))?;
            if target.is_encrypted() { Ok(target) } else { Err(bad(&format!("its {name} is in the clear"))) }
        };
        let lacks = |list: &Option<Vec<String>>, word: &str| list.as_ref().is_some_and(|list| !list.iter().any(|one| one == word));
        if lacks(&document.response_types_supported, "code") {
            return Err(bad("it has no authorization codes"));
        }
        if lacks(&document.code_challenge_methods_supported, "S256") {
            return Err(bad("it has no PKCE with S256"));
        }
        Ok(Self {
            issuer: asked.clone(),
            authorization: address("authorization_endpoint", &document.authorization_endpoint)?,
            token: address("token_endpoint", &document.token_endpoint)?,
            keys: address("jwks_uri", &document.jwks_uri)?,
            answers_with_issuer: document.authorization_response_iss_parameter_supported,
            secret_in_form: lacks(&document.token_endpoint_auth_methods_supported, "client_secret_basic"),
        })
    }

    /// Whose it is.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The origin of the page that people are sent to.
    pub fn authorization_origin(&self) -> String {
        self.authorization.origin()
    }

    /// Whether its answers say from whom they are (RFC 9207 §3).
    pub fn answers_with_issuer(&self) -> bool {
        self.answers_with_issuer
    }

    /// Compares who an answer says that it comes from (RFC 9207 §2.4). A provider that says it does so always has to.
    ///
    /// # Errors
    /// It comes from somebody else, or does not say.
    pub fn check_answer(&self, says: Option<&str>) -> Result<(), MixUp> {
        match says {
            Some(says) if says == self.issuer.as_str() => Ok(()),
            None if !self.answers_with_issuer => Ok(()),
            _ => Err(MixUp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn issuer() -> Issuer {
        "https://login.example.com/a".parse().expect("an issuer")
    }

    fn document() -> Value {
        json!({
            "issuer": "https://login.example.com/a",
            "authorization_endpoint": "https://login.example.com/a/authorize",
            "token_endpoint": "https://login.example.com/a/token",
            "jwks_uri": "https://keys.example.com/a",
        })
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Metadata, DirectoryError> {
        let mut document = document();
        change(&mut document);
        Metadata::read(&issuer(), document.to_string().as_bytes())
    }

    #[test]
    fn a_document_is_about_the_issuer_that_was_asked_and_nobody_else() {
        let good = read(|_| {}).expect("good");
        assert_eq!((good.authorization_origin().as_str(), good.secret_in_form), ("https://login.example.com", false));
        for other in
            ["https://login.example.com/a/", "https://login.example.com/b", "https://LOGIN.example.com/a", "http://login.example.com/a", ""]
        {
            assert!(read(|document| document["issuer"] = other.into()).is_err(), "{other}");
        }
    }

    #[test]
    fn every_address_in_it_is_encrypted_and_written_the_usual_way() {
        for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            for wrong in
                ["http://login.example.com/x", "https://user@login.example.com/x", "https://2130706433/x", "javascript:alert(1)", ""]
            {
                assert!(read(|document| document[name] = wrong.into()).is_err(), "{name}: {wrong}");
            }
            assert!(read(|document| document[name] = Value::Null).is_err(), "{name}");
        }
    }

    #[test]
    fn a_provider_without_codes_or_without_pkce_is_none_for_us() {
        assert!(read(|document| document["response_types_supported"] = json!(["id_token"])).is_err());
        assert!(read(|document| document["code_challenge_methods_supported"] = json!(["plain"])).is_err());
        assert!(read(|document| document["code_challenge_methods_supported"] = json!(["plain", "S256"])).is_ok());
        assert!(
            read(|document| document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]))
                .expect("good")
                .secret_in_form
        );
    }

    #[test]
    fn an_answer_comes_from_the_provider_that_was_asked() {
        let silent = read(|_| {}).expect("good");
        let telling = read(|document| document["authorization_response_iss_parameter_supported"] = true.into()).expect("good");
        for provider in [&silent, &telling] {
            assert_eq!(provider.check_answer(Some("https://login.example.com/a")), Ok(()));
            assert_eq!(provider.check_answer(Some("https://evil.example/")), Err(MixUp));
            assert_eq!(provider.check_answer(Some("")), Err(MixUp));
        }
        assert_eq!(silent.check_answer(None), Ok(()));
        assert_eq!(telling.check_answer(None), Err(MixUp));
    }
}
