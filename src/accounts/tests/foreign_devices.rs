//! Whose word about a device is worth what: tokens of foreign providers, and the organisations that they speak for.

use super::foreign_world::{Foreign, devices, directory};
use crate::{DeviceCode, DeviceToken, DeviceTokenError, NewProvider, foreign::Authority};
use gatehouse_base::{Clock, Fault};
use gatehouse_testkit::provider::{Provider, SigningKey};
use gatehouse_types::Secret;
use serde_json::json;

const DEVICE: &str = "921e7b6e-5ff7-4559-60d9-bf03bc730cc4";

fn code(result: &Result<DeviceToken, DeviceTokenError>) -> &'static str {
    result.as_ref().map_or_else(|error| error.code(), |_| "good")
}

async fn verified(foreign: &Foreign, change: serde_json::Value) -> Result<DeviceToken, DeviceTokenError> {
    foreign.world.accounts.verify_device_token(None, &foreign.device_token(change)).await
}

#[tokio::test]
async fn a_token_speaks_for_the_organisation_that_its_owner_is_mapped_to() {
    let foreign = Foreign::new().await;
    assert_eq!(code(&verified(&foreign, json!({})).await), "token-issuer-unknown");
    assert!(foreign.provider.asked().is_empty(), "nobody is asked about an issuer that nobody configured");
    let id = foreign.of_ann().await.id.to_string();
    assert_eq!(code(&verified(&foreign, json!({})).await), "token-owner-unknown");
    foreign.world.accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    let token = verified(&foreign, json!({})).await.expect("good");
    assert_eq!((token.organisation, token.provider.as_str(), token.device), (foreign.ann.organisation(), id.as_str(), None));
    for (change, expected) in [
        (json!({ "owner": "beta" }), "token-owner-unknown"),
        (json!({ "owner": 7 }), "token-claim"),
        (json!({ "owner": foreign.ann.organisation().to_string() }), "token-owner-unknown"),
        (json!({ "owner": foreign.ben.organisation().to_string() }), "token-owner-unknown"),
        (json!({ "aud": "gatehouse" }), "token-audience"),
        (json!({ "exp": 1 }), "token-expired"),
        (json!({ "iss": "https://other.example.com" }), "token-issuer-unknown"),
        (json!({ "iss": "not a URL" }), "token-issuer-unknown"),
    ] {
        assert_eq!(code(&verified(&foreign, change.clone()).await), expected, "{change}");
    }
    foreign.world.accounts.suspend(foreign.ann.organisation()).await.expect("suspended");
    assert_eq!(code(&verified(&foreign, json!({})).await), "organisation-suspended");
}

#[tokio::test]
async fn a_token_may_be_bound_to_a_device() {
    let foreign = Foreign::new().await;
    let bound = NewProvider {
        devices: Some(crate::DeviceSettings { device_claim: Some("device".to_owned()), ..devices() }),
        ..foreign.new_provider()
    };
    let accounts = &foreign.world.accounts;
    let id = accounts.make_provider(&foreign.ann, bound).await.expect("a provider").id.to_string();
    accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    let token = verified(&foreign, json!({ "device": DEVICE })).await.expect("good");
    assert_eq!(token.device.map(|device| device.to_string()).as_deref(), Some(DEVICE));
    for (change, expected) in
        [(json!({}), "token-claim"), (json!({ "device": "lamp" }), "token-device"), (json!({ "device": "" }), "token-claim")]
    {
        assert_eq!(code(&verified(&foreign, change.clone()).await), expected, "{change}");
    }
}

#[tokio::test]
async fn a_tenants_provider_never_speaks_for_another_tenant() {
    let foreign = Foreign::new().await;
    let accounts = &foreign.world.accounts;
    let anns = foreign.of_ann().await.id.to_string();
    accounts.map_owner(&foreign.ann, &anns, "acme").await.expect("mapped");
    // Ben relies on the same issuer, with an audience of his own.
    let other = NewProvider { devices: Some(crate::DeviceSettings { audience: "ben".to_owned(), ..devices() }), ..foreign.new_provider() };
    let bens = accounts.make_provider(&foreign.ben, other).await.expect("a provider").id.to_string();
    accounts.map_owner(&foreign.ben, &bens, "beta").await.expect("mapped");
    let organisation = |token: Result<DeviceToken, DeviceTokenError>| token.map(|token| token.organisation).map_err(|error| error.code());
    assert_eq!(organisation(verified(&foreign, json!({})).await), Ok(foreign.ann.organisation()));
    assert_eq!(organisation(verified(&foreign, json!({ "aud": "ben", "owner": "beta" })).await), Ok(foreign.ben.organisation()));
    for crossed in [json!({ "aud": "ben" }), json!({ "owner": "beta" })] {
        assert!(verified(&foreign, crossed.clone()).await.is_err(), "{crossed}");
    }
    // Shown where only the other tenant's provider counts.
    let token = foreign.device_token(json!({}));
    assert!(accounts.verify_device_token(Some(&bens), &token).await.is_err());
    assert!(accounts.verify_device_token(Some(&anns), &token).await.is_ok());
}

#[tokio::test]
async fn each_issuer_is_judged_by_its_own_keys() {
    let mut foreign = Foreign::new().await;
    let evil = Provider::start().await;
    foreign.world.accounts = foreign.world.accounts.clone().with_directory(Some(directory(&foreign.world, &[&foreign.provider])));
    let id = foreign.of_ann().await.id.to_string();
    foreign.world.accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    for key in [&evil.key, &SigningKey::new("k1")] {
        let forged = Secret::from(key.sign("at+jwt", &foreign.device_claims(json!({}))));
        assert_eq!(code(&foreign.world.accounts.verify_device_token(None, &forged).await), "token-signature");
    }
    assert!(evil.asked().is_empty());
}

#[tokio::test]
async fn what_cannot_be_found_out_now_is_told_from_what_is_wrong() {
    let foreign = Foreign::new().await;
    let id = foreign.of_ann().await.id.to_string();
    foreign.world.accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    let fresh = foreign.world.accounts.clone().with_directory(Some(directory(&foreign.world, &[&foreign.provider])));
    foreign.provider.go_away();
    let away = fresh.verify_device_token(None, &foreign.device_token(json!({}))).await.expect_err("away");
    assert_eq!((away.kind(), away.code()), (gatehouse_base::Kind::Unavailable, "provider-status"));
    assert_eq!(
        code(&foreign.world.accounts.verify_device_token(None, &foreign.device_token(json!({}))).await),
        "good",
        "the keys are remembered"
    );
}

const VERIFIER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn text(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

async fn exchanged(foreign: &Foreign, id: &str, verifier: Option<&str>, issuer: Option<&str>) -> &'static str {
    let (code, verifier) = (text("c1"), verifier.map(text));
    let brought = DeviceCode { code: &code, verifier: verifier.as_ref(), issuer };
    foreign.world.accounts.exchange_device_code(id, brought).await.map_or_else(|error| error.code(), |_| "good")
}

#[tokio::test]
async fn a_devices_code_is_exchanged_at_its_provider_and_what_comes_is_judged() {
    let foreign = Foreign::new().await;
    let id = foreign.of_ann().await.id.to_string();
    let accounts = &foreign.world.accounts;
    accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    let give = |token: Secret| {
        let access = crate::secret::text(&token);
        foreign.provider.answer("/token", 200, &json!({ "access_token": access, "token_type": "Bearer", "refresh_token": "r1" }));
    };
    give(foreign.device_token(json!({})));
    assert_eq!(exchanged(&foreign, &id, None, None).await, "code-verifier");
    let evil = "https://evil.example.com";
    assert_eq!(exchanged(&foreign, &id, Some(VERIFIER), Some(evil)).await, "provider-mixed-up");
    assert_eq!(foreign.provider.times("/token"), 0, "nobody is given such a code");
    assert_eq!(exchanged(&foreign, &id, Some(VERIFIER), Some(&foreign.provider.issuer())).await, "good");
    let asked = foreign.provider.asked().pop().expect("asked");
    assert!(asked.body.contains(&format!("code_verifier={VERIFIER}")) && asked.authorization.is_some(), "{}", asked.body);
    let next = accounts.refresh_device_token(&id, &text("r0")).await.expect("tokens");
    assert_eq!((next.token.organisation, next.refresh), (foreign.ann.organisation(), Some(text("r1"))));
    give(foreign.device_token(json!({ "owner": "beta" })));
    assert_eq!(exchanged(&foreign, &id, Some(VERIFIER), None).await, "token-owner-unknown");
    foreign.provider.answer("/token", 400, &json!({ "error": "invalid_grant" }));
    let refused = accounts.refresh_device_token(&id, &text("r1")).await.expect_err("refused");
    assert_eq!((refused.kind(), refused.code()), (gatehouse_base::Kind::Unauthenticated, "provider-grant"));
    foreign.provider.answer("/token", 503, &json!({}));
    let away = accounts.refresh_device_token(&id, &text("r1")).await.expect_err("away");
    assert_eq!(away.kind(), gatehouse_base::Kind::Unavailable, "a device that is told no gives up");
}

#[tokio::test]
async fn a_token_in_place_of_a_code_says_once_and_for_whom_it_lets_a_device_in() {
    let foreign = Foreign::new().await;
    let id = foreign.of_ann().await.id.to_string();
    let accounts = &foreign.world.accounts;
    accounts.map_owner(&foreign.ann, &id, "acme").await.expect("mapped");
    let now = foreign.world.clock.now();
    for name in [id.as_str(), crate::ANY_PROVIDER] {
        let authority = Authority::named(accounts, name).expect("an authority");
        let entitled = authority.judge(&foreign.device_token(json!({})), now).await.expect("there").expect("good");
        assert_eq!((entitled.organisation, entitled.device), (foreign.ann.organisation(), None));
        assert_eq!(entitled.once, format!("{} 1", foreign.provider.issuer()));
        assert_eq!(authority.judge(&foreign.device_token(json!({ "owner": "beta" })), now).await.expect("there"), None);
        let over = authority
            .judge(&foreign.device_token(json!({ "iat": now.secs() - 2000, "exp": now.secs() - 1000 })), now)
            .await
            .expect("there")
            .expect("told");
        assert_eq!(over.ends.secs(), now.secs() - 1000, "with the end that it had");
    }
    assert!(Authority::named(accounts, "somebody").is_none());
    let fresh = accounts.clone().with_directory(Some(directory(&foreign.world, &[&foreign.provider])));
    foreign.provider.go_away();
    let authority = Authority::named(&fresh, &id).expect("an authority");
    assert!(authority.judge(&foreign.device_token(json!({})), now).await.is_err(), "no is said only when it is known");
}
