//! Ourselves at a provider's token endpoint.

use super::{World, secret};
use crate::{Ask, ExchangeError, Relying};
use gatehouse_base::Fault;
use serde_json::json;
use std::time::Duration;

const REDIRECT: &str = "https://gatehouse.example.com/account/provider/1/callback";
const VERIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

async fn relying(world: &World, secret_text: Option<&str>) -> Relying {
    let metadata = world.directory.metadata(&world.issuer()).await.expect("a document");
    Relying::new(metadata, "gatehouse", secret_text.map(secret).as_ref(), REDIRECT).expect("a client")
}

#[tokio::test]
async fn people_are_sent_with_everything_that_ties_the_answer_to_us() {
    let world = World::new().await;
    let relying = relying(&world, None).await;
    let scopes = ["openid".to_owned(), "email".to_owned()];
    let verifier = secret(VERIFIER);
    let url = relying.authorization(Ask { scopes: &scopes, state: "s&1", nonce: "n1", verifier: &verifier }).expect("a URL");
    assert!(url.starts_with(&world.provider.url("/authorize?")), "{url}");
    for part in ["response_type=code", "client_id=gatehouse", "state=s%261", "nonce=n1", "scope=openid+email", "code_challenge_method=S256"]
    {
        assert!(url.contains(part), "{part} is not in {url}");
    }
    assert!(url.contains("code_challenge=") && !url.contains(VERIFIER), "{url}");
    for wrong in ["short", &"a".repeat(129)] {
        let wrong = secret(wrong);
        assert!(relying.authorization(Ask { scopes: &[], state: "s", nonce: "n", verifier: &wrong }).is_err());
    }
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier_by_a_client_that_proves_itself() {
    let world = World::new().await;
    let answer = json!({ "access_token": "a1", "token_type": "Bearer", "refresh_token": "r1", "id_token": "i1", "expires_in": 300 });
    world.provider.answer("/token", 200, &answer);
    let relying = relying(&world, Some("s:e cret")).await;
    let tokens = relying.exchange(world.directory.outgoing(), &secret("c1"), Some(&secret(VERIFIER)), None).await.expect("tokens");
    assert_eq!((tokens.access, tokens.refresh, tokens.identity), (secret("a1"), Some(secret("r1")), Some(secret("i1"))));
    assert_eq!(tokens.lives, Some(Duration::from_secs(300)));
    let asked = world.provider.asked().pop().expect("asked");
    assert!(asked.authorization.expect("proven").starts_with("Basic "));
    for part in ["grant_type=authorization_code", "code=c1", &format!("code_verifier={VERIFIER}"), "redirect_uri=https%3A%2F%2Fgatehouse"] {
        assert!(asked.body.contains(part), "{part} is not in {}", asked.body);
    }
    relying.refresh(world.directory.outgoing(), &secret("r1")).await.expect("tokens");
    let asked = world.provider.asked().pop().expect("asked");
    assert!(asked.body.contains("grant_type=refresh_token") && asked.body.contains("refresh_token=r1"), "{}", asked.body);
}

#[tokio::test]
async fn a_provider_that_wants_the_secret_in_the_form_gets_it_there() {
    let world = World::new().await;
    world.provider.publish(|document| document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]));
    world.provider.answer("/token", 200, &json!({ "access_token": "a1", "token_type": "bearer" }));
    let relying = relying(&world, Some("s1")).await;
    relying.exchange(world.directory.outgoing(), &secret("c1"), None, None).await.expect("tokens");
    let asked = world.provider.asked().pop().expect("asked");
    assert!(asked.authorization.is_none() && asked.body.contains("client_secret=s1"), "{}", asked.body);
}

#[tokio::test]
async fn a_code_that_is_not_good_is_told_from_everything_that_passes() {
    let world = World::new().await;
    let relying = relying(&world, None).await;
    let cases = [
        (400, json!({ "error": "invalid_grant", "error_description": "no" }).to_string(), "provider-grant"),
        (401, json!({ "error": "invalid_client" }).to_string(), "provider-refuses"),
        (503, json!({ "error": "temporarily_unavailable" }).to_string(), "provider-refuses"),
        (500, "<html>".to_owned(), "provider-answer"),
        (200, "{}".to_owned(), "provider-answer"),
        (200, json!({ "access_token": "a1", "token_type": "mac" }).to_string(), "provider-answer"),
        (302, String::new(), "outgoing-redirection"),
    ];
    for (status, body, expected) in cases {
        world.provider.answer_with("/token", status, vec![("content-type", "application/json".to_owned())], &body);
        let refused = relying.exchange(world.directory.outgoing(), &secret("c1"), None, None).await.expect_err("refused");
        assert_eq!(refused.code(), expected, "{status} {body}");
        assert!(!refused.to_string().contains("a1"), "{refused}");
        assert_eq!(matches!(refused, ExchangeError::Grant), expected == "provider-grant");
    }
}
