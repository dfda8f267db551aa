//! What the provider says about itself (RFC 8414 §2, OpenID Connect Discovery §3). Everything in it is true: a test compares it with
//! the routes and with what the code takes.

use super::{Word, assertion, token::GRANT_TYPES};
use crate::{Accounts, oauth::GrantError};
use axum::Json;
use gatehouse_http::Problem;
use serde_json::{Value, json};

pub(super) const AUTHORIZE: &str = "/oauth/authorize";
pub(super) const TOKEN: &str = "/oauth/token";
pub(super) const DEVICE_AUTHORIZATION: &str = "/oauth/device_authorization";
pub(super) const KEYS: &str = "/oauth/jwks.json";
pub(super) const INTROSPECT: &str = "/oauth/introspect";
pub(super) const REVOKE: &str = "/oauth/revoke";
pub(super) const USERINFO: &str = "/oauth/userinfo";

impl Accounts {
    /// The document at both well-known addresses.
    pub(super) fn metadata(&self) -> Result<Json<Value>, Problem> {
        let issuer = self.issuer.as_deref().ok_or(GrantError::NoIssuer)?;
        let at = |path: &str| format!("{issuer}{path}");
        let certified = self.config.certified_address.as_deref();
        let proven = [
            &["client_secret_basic", "client_secret_post", "private_key_jwt"][..],
            &["tls_client_auth"][..usize::from(certified.is_some())],
        ]
        .concat();
        let proven_or_public = [proven.as_slice(), &["none"]].concat();
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": at(AUTHORIZE),
            "token_endpoint": at(TOKEN),
            "device_authorization_endpoint": at(DEVICE_AUTHORIZATION),
            "jwks_uri": at(KEYS),
            "introspection_endpoint": at(INTROSPECT),
            "revocation_endpoint": at(REVOKE),
            "userinfo_endpoint": at(USERINFO),
            "grant_types_supported": GRANT_TYPES,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
            "scopes_supported": Word::all().map(Word::name).collect::<Vec<_>>(),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": self.keys.algorithms(),
            "claims_supported": ["iss", "sub", "aud", "azp", "iat", "exp", "auth_time", "amr", "at_hash", "nonce", "name", "email", "email_verified"],
            "token_endpoint_auth_methods_supported": proven_or_public,
            "token_endpoint_auth_signing_alg_values_supported": assertion::ALGORITHMS,
            "introspection_endpoint_auth_methods_supported": proven,
            "introspection_endpoint_auth_signing_alg_values_supported": assertion::ALGORITHMS,
            "revocation_endpoint_auth_methods_supported": proven_or_public,
            "revocation_endpoint_auth_signing_alg_values_supported": assertion::ALGORITHMS,
            "tls_client_certificate_bound_access_tokens": certified.is_some(),
        });
        // RFC 8705 §5: browsers are never asked for a certificate, because this is another port.
        if let (Some(address), Some(document)) = (certified, document.as_object_mut()) {
            let at = |path: &str| format!("{address}{path}");
            let aliases = json!({
                "token_endpoint": at(TOKEN),
                "device_authorization_endpoint": at(DEVICE_AUTHORIZATION),
                "introspection_endpoint": at(INTROSPECT),
                "revocation_endpoint": at(REVOKE),
                "userinfo_endpoint": at(USERINFO),
            });
            document.insert("mtls_endpoint_aliases".to_owned(), aliases);
        }
        Ok(Json(document))
    }
}
