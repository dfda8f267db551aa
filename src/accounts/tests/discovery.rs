//! What the provider says about itself, compared with what it does.

use super::{ISSUER, World, authorization::App, browser::location, doors::Door};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn the_discovery_document_is_true() {
    let door = Door::new().await;
    let document = door.get("/.well-known/openid-configuration", &[]).await.body;
    let routes = crate::routes(&door.world.accounts);
    let is_there = |path: &str| routes.table().iter().any(|route| route.path == path);
    let entries = document.as_object().expect("an object");
    let endpoints: Vec<_> = entries.iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri").collect();
    assert_eq!(endpoints.len(), 7);
    for (name, url) in endpoints {
        let path = url.as_str().and_then(|url| url.strip_prefix(ISSUER)).unwrap_or_else(|| panic!("{name}"));
        assert!(is_there(path), "{name} names {path}");
    }
    let listed = |name: &str| {
        document[name].as_array().expect(name).iter().map(|value| value.as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let app = App::new(&door).await;
    for grant in listed("grant_types_supported") {
        assert_ne!(app.token(&door, &format!("grant_type={grant}")).await.body["error"], "unsupported_grant_type", "{grant}");
    }
    for scope in listed("scopes_supported") {
        assert!(scope.parse::<crate::oauth::Scope>().is_ok(), "{scope}");
    }
    let keys = door.get("/oauth/jwks.json", &[]).await.body;
    assert_eq!(listed("id_token_signing_alg_values_supported"), [keys["keys"][0]["alg"].as_str().expect("alg")]);
    for method in ["plain", "S256"] {
        let answer = door.get(&app.path(&[("code_challenge_method", method)]), &[]).await;
        assert_eq!(answer.status == StatusCode::OK, listed("code_challenge_methods_supported").contains(&method.to_owned()));
    }
    for prompt in listed("prompt_values_supported") {
        let answer = door.get(&app.path(&[("prompt", &prompt)]), &[]).await;
        assert!(!location(&answer).unwrap_or_default().contains("invalid_request"), "{prompt}");
    }
}

#[tokio::test]
async fn tokens_are_signed_with_the_kind_of_key_that_is_set() {
    let world = World::with(|config| config.token_keys = crate::TokenKeys::EdDsa).await;
    let keys = world.accounts.signing_keys().published();
    assert_eq!((&keys["keys"][0]["alg"], &keys["keys"][0]["crv"]), (&json!("EdDSA"), &json!("Ed25519")));
}
