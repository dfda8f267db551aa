//! Providers as they are configured, by whom and for whom.

use super::{
    doors::{Door, OURS},
    foreign_world::{Foreign, as_role, devices},
};
use crate::{ProviderError, Role, Trust};
use axum::http::{Method, StatusCode};
use gatehouse_base::Fault;
use serde_json::json;

fn code<T>(result: Result<T, ProviderError>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "good")
}

#[tokio::test]
async fn what_a_provider_publishes_is_looked_at_before_it_is_kept() {
    let foreign = Foreign::new().await;
    foreign.provider.publish(|document| document["issuer"] = "https://other.example.com".into());
    assert_eq!(code(foreign.world.accounts.make_provider(&foreign.ann, foreign.new_provider()).await), "provider-not-usable");
    foreign.provider.publish(|document| document["jwks_uri"] = "https://169.254.169.254/keys".into());
    assert_eq!(code(foreign.world.accounts.make_provider(&foreign.ann, foreign.new_provider()).await), "provider-not-usable");
    assert!(foreign.world.accounts.providers(&foreign.ann).await.expect("a list").is_empty());
    foreign.provider.publish(|_| {});
    let info = foreign.of_ann().await;
    assert_eq!(foreign.world.accounts.providers(&foreign.ann).await.expect("a list"), [info]);
    let deaf = foreign.world.accounts.clone().with_directory(None);
    assert_eq!(code(deaf.make_provider(&foreign.ann, foreign.new_provider()).await), "no-outgoing");
}

#[tokio::test]
async fn an_organisation_sees_and_changes_its_own_providers_only() {
    let foreign = Foreign::new().await;
    let accounts = &foreign.world.accounts;
    let (info, id) = {
        let info = foreign.of_ann().await;
        (info.clone(), info.id.to_string())
    };
    assert_eq!(info.organisation, Some(foreign.ann.organisation()));
    assert!(accounts.providers(&foreign.ben).await.expect("a list").is_empty());
    assert!(accounts.providers_for(None).await.expect("a list").is_empty());
    assert_eq!(code(accounts.remove_provider(&foreign.ben, &id).await), "no-such-provider");
    assert_eq!(code(accounts.map_owner(&foreign.ben, &id, "acme").await), "no-such-provider");
    assert_eq!(code(accounts.unmap_owner(Some(&foreign.ben), &id, "acme").await), "no-such-provider");
    assert_eq!(code(accounts.test_provider(Some(&foreign.ben), &id).await), "no-such-provider");
    assert_eq!(code(accounts.test_provider(Some(&foreign.ann), &id).await), "good");
    for unknown in ["", "x", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(code(accounts.remove_provider(&foreign.ann, unknown).await), "no-such-provider");
    }
    assert_eq!(code(accounts.remove_provider(&foreign.ann, &id).await), "good");
    assert!(accounts.providers(&foreign.ann).await.expect("a list").is_empty());
}

#[tokio::test]
async fn nobody_has_people_made_mightier_than_they_could_make_them() {
    let foreign = Foreign::new().await;
    let bringing = |role| crate::NewProvider { new_accounts: true, role: Some(role), ..foreign.new_provider() };
    let admin = as_role(&foreign.ann, Role::Admin);
    let accounts = &foreign.world.accounts;
    assert_eq!(code(accounts.make_provider(&admin, bringing(Role::Owner)).await), "role-not-yours-to-give");
    assert_eq!(code(accounts.make_provider(&admin, bringing(Role::Admin)).await), "role-not-yours-to-give");
    assert_eq!(code(accounts.make_provider(&admin, bringing(Role::Viewer)).await), "good");
}

#[tokio::test]
async fn there_are_only_so_many_and_what_goes_takes_its_owners_along() {
    let foreign = Foreign::new().await;
    let accounts = &foreign.world.accounts;
    let first = foreign.of_ann().await.id.to_string();
    accounts.map_owner(&foreign.ann, &first, "acme").await.expect("mapped");
    for _ in 1..10 {
        foreign.of_ann().await;
    }
    assert_eq!(code(accounts.make_provider(&foreign.ann, foreign.new_provider()).await), "too-many-providers");
    accounts.remove_provider(&foreign.ann, &first).await.expect("removed");
    let next = foreign.of_ann().await.id.to_string();
    assert_eq!(code(accounts.map_owner(&foreign.ann, &next, "acme").await), "good", "nobody has it any more");
}

#[tokio::test]
async fn an_issuer_and_an_owner_are_one_organisations_and_an_id_that_the_provider_chose_is_nobodys() {
    let foreign = Foreign::new().await;
    let accounts = &foreign.world.accounts;
    let anns = foreign.of_ann().await.id.to_string();
    let bens = accounts.make_provider(&foreign.ben, foreign.new_provider()).await.expect("the same issuer").id.to_string();
    assert_eq!(code(accounts.map_owner(&foreign.ann, &anns, "acme").await), "good");
    assert_eq!(code(accounts.map_owner(&foreign.ben, &bens, "acme").await), "owner-taken");
    assert_eq!(code(accounts.unmap_owner(Some(&foreign.ben), &bens, "acme").await), "no-such-owner");
    assert_eq!(code(accounts.map_owner_for(&anns, "other", foreign.ben.organisation()).await), "no-such-organisation", "whoever says so");
    for wrong in [String::new(), "a".repeat(256)] {
        assert_eq!(code(accounts.map_owner(&foreign.ann, &anns, &wrong).await), "owner");
    }
    let signing_in = crate::NewProvider { devices: None, ..foreign.new_provider() };
    let without = accounts.make_provider(&foreign.ann, signing_in).await.expect("a provider").id.to_string();
    assert_eq!(code(accounts.map_owner(&foreign.ann, &without, "beta").await), "provider-without-devices");
    accounts.unmap_owner(Some(&foreign.ann), &anns, "acme").await.expect("unmapped");
    assert_eq!(code(accounts.map_owner(&foreign.ben, &bens, "acme").await), "good");
}

#[tokio::test]
async fn where_the_operator_maps_an_issuers_devices_nobody_else_does() {
    let foreign = Foreign::new().await;
    let accounts = &foreign.world.accounts;
    let whole = foreign.of_installation().await.id.to_string();
    assert_eq!(code(accounts.make_provider(&foreign.ann, foreign.new_provider()).await), "issuer-taken");
    let signing_in = crate::NewProvider { devices: None, ..foreign.new_provider() };
    assert_eq!(code(accounts.make_provider(&foreign.ann, signing_in).await), "good");
    assert_eq!(code(accounts.map_owner_for(&whole, "acme", foreign.ann.organisation()).await), "good");
    assert_eq!(code(accounts.map_owner_for(&whole, "beta", foreign.ben.organisation()).await), "good");
    let nobody = gatehouse_types::OrganisationId::from_random([7; 16]);
    assert_eq!(code(accounts.map_owner_for(&whole, "gamma", nobody).await), "no-such-organisation");
    assert_eq!(accounts.providers_for(None).await.expect("a list")[0].owners.len(), 2);
}

#[tokio::test]
async fn a_providers_secret_is_sealed_and_shown_nowhere() {
    let foreign = Foreign::new().await;
    let info = foreign.of_ann().await;
    assert!(info.confidential && !format!("{info:?}").contains("provider's secret"));
    let store = foreign.world.accounts.events.store().clone();
    let row = store.get(crate::foreign::PROVIDERS, info.id.to_string().as_bytes()).await.expect("readable").expect("kept");
    let kept = String::from_utf8_lossy(&row.value);
    assert!(kept.contains("gatehouse") && !kept.contains("provider's secret"), "{kept}");
}

#[tokio::test]
async fn administrators_configure_providers_in_a_session_and_only_operators_trust_them() {
    let foreign = Foreign::new().await;
    let issuer = foreign.provider.issuer();
    foreign.operator().await;
    let door = Door::of(foreign.world);
    let cookie = door.cookie().await;
    let ann = [("cookie", cookie.as_str()), OURS];
    let body = json!({ "name": "Example", "issuer": issuer, "client_id": "gatehouse", "client_secret": "s", "sign_in": true, "devices": devices() });
    let made = door.post("/v1/providers", &ann, body.clone()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let id = made.body["id"].as_str().expect("an id").to_owned();
    let redirect = format!("https://gatehouse.example.com:8443/account/provider/{id}/callback");
    assert_eq!(made.body["redirect_uri"], redirect.as_str());
    let token = door.post("/v1/tokens", &ann, json!({ "name": "t", "scopes": ["members:write"], "sources": "*" })).await;
    let bearer = format!("Bearer {}", token.body["token"].as_str().expect("a token"));
    assert_eq!(
        door.get("/v1/providers", &[("authorization", &bearer)]).await.status,
        StatusCode::FORBIDDEN,
        "no token configures who gets in"
    );
    let trust = json!({ "domains": ["example.com"], "second_factor": true });
    let path = format!("/v1/instance/providers/{id}/trust");
    assert_eq!(door.ask(Method::PUT, &path, &ann, Some(trust.clone())).await.status, StatusCode::FORBIDDEN);
    let root = door.cookie_of("root@example.com").await;
    let root = [("cookie", root.as_str()), OURS];
    let trusted = door.ask(Method::PUT, &path, &root, Some(trust)).await;
    assert_eq!((trusted.status, &trusted.body["trust"]["domains"]), (StatusCode::OK, &json!(["example.com"])), "{}", trusted.body);
    let owners = format!("/v1/providers/{id}/owners");
    assert_eq!(door.post(&owners, &ann, json!({ "owner": "acme" })).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.get("/v1/providers", &ann).await.body[0]["owners"][0]["owner"], "acme");
    assert_eq!(door.ask(Method::DELETE, &format!("{owners}?owner=acme"), &ann, None).await.status, StatusCode::NO_CONTENT);
    let tested = door.post(&format!("/v1/providers/{id}/test"), &ann, json!({ "token": "a.b.c" })).await;
    assert_eq!(tested.body["token"]["refused"]["code"], "token-malformed", "{}", tested.body);
    assert_eq!(door.ask(Method::DELETE, &format!("/v1/providers/{id}"), &ann, None).await.status, StatusCode::NO_CONTENT);
    door.world.pass(std::time::Duration::from_secs(3600));
    let late = door.post("/v1/providers", &ann, body).await;
    assert_eq!((late.status, &late.body["code"]), (StatusCode::FORBIDDEN, &json!("step-up-needed")), "a session that was left open");
    assert_eq!(door.get("/v1/providers", &ann).await.status, StatusCode::OK);
}

#[tokio::test]
async fn trust_is_the_operators_word_about_whole_domains() {
    let foreign = Foreign::new().await;
    let id = foreign.of_ann().await.id.to_string();
    let accounts = &foreign.world.accounts;
    let trust = |domain: &str| Trust { domains: vec![domain.to_owned()], second_factor: false };
    assert_eq!(code(accounts.trust_provider(&id, trust("com")).await), "domains");
    assert_eq!(code(accounts.trust_provider("x", trust("example.com")).await), "no-such-provider");
    assert_eq!(accounts.trust_provider(&id, trust("Example.COM")).await.expect("trusted").trust.domains, ["example.com"]);
    assert!(accounts.trust_provider(&id, Trust::default()).await.expect("trusted").trust.domains.is_empty());
}
