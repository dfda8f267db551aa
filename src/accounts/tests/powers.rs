//! What programs and tokens must not gain: more than they were given, by what they make or by whom they act for.

use super::{
    add,
    authorization::{App, members, text},
    doors::{Answer, Door, OURS},
};
use crate::{
    Right, Role,
    oauth::{CLIENTS, Client},
    rows,
};
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

async fn api_token(door: &Door, scopes: &[&str]) -> String {
    let cookie = door.cookie().await;
    let body = json!({ "name": "deploy", "scopes": scopes, "sources": "*", "expires": null });
    let made = door.post("/v1/tokens", &[("cookie", &cookie), OURS], body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.body["token"].as_str().expect("a token").to_owned()
}

/// The access token of a program that acts for itself.
async fn own_token(door: &Door, role: &str, scopes: &[&str]) -> String {
    let app = App::with(door, json!({ "role": role, "scopes": scopes })).await;
    text(&app.token(door, "grant_type=client_credentials").await, "access_token")
}

async fn make(door: &Door, token: &str, role: &str, scopes: &[&str]) -> Answer {
    let body = json!({ "name": "other", "role": role, "scopes": scopes });
    door.post("/v1/clients", &[("authorization", &format!("Bearer {token}"))], body).await
}

async fn give(door: &Door, token: &str, person: &Value, role: &str) -> StatusCode {
    let path = format!("/v1/members/{}", person.as_str().expect("an id"));
    let shows = format!("Bearer {token}");
    door.ask(Method::PATCH, &path, &[("authorization", &shows)], Some(json!({ "role": role }))).await.status
}

#[tokio::test]
async fn an_api_token_makes_no_program_which_would_outlive_it() {
    let door = Door::new().await;
    let token = api_token(&door, &["clients:write", "members:read"]).await;
    for (role, scopes) in [("owner", &["members:write"][..]), ("viewer", &["members:read"])] {
        assert_eq!(make(&door, &token, role, scopes).await.status, StatusCode::FORBIDDEN, "{role}");
    }
    let app = App::new(&door).await;
    let shows = format!("Bearer {token}");
    let listed = door.get("/v1/clients", &[("authorization", &shows)]).await;
    assert_eq!(listed.body.as_array().map(Vec::len), Some(1), "{}", listed.body);
    let removed = door.ask(Method::DELETE, &format!("/v1/clients/{}", app.id), &[("authorization", &shows)], None).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT, "what ends something it may");
}

#[tokio::test]
async fn a_program_makes_others_within_its_own_role_and_scopes_only() {
    let door = Door::new().await;
    let token = own_token(&door, "admin", &["clients:write", "members:read"]).await;
    assert_eq!(make(&door, &token, "viewer", &["members:read"]).await.status, StatusCode::CREATED);
    for (role, scopes) in
        [("operator", &["devices:write"][..]), ("viewer", &["members:read", "devices:read"]), ("owner", &["members:read"])]
    {
        let answer = make(&door, &token, role, scopes).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{role} {scopes:?}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_program_makes_others_for_an_owner_within_what_the_owner_let_it() {
    let door = Door::new().await;
    let app = App::with(
        &door,
        json!({ "scopes": ["clients:write", "members:read", "members:write"], "redirect_uris": [super::authorization::CALLBACK] }),
    )
    .await;
    let code = app.code(&door, &[("scope", "clients:write members:read")]).await;
    let access = text(&app.exchange(&door, &code).await, "access_token");
    assert_eq!(make(&door, &access, "owner", &["members:write"]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(make(&door, &access, "viewer", &["members:read"]).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_program_is_at_most_what_its_role_says_whoever_it_acts_for() {
    let door = Door::new().await;
    let home = door.world.ann_at_home().await;
    let (ben, cleo) = (add(&door.world.accounts, "ben@example.com").await, add(&door.world.accounts, "cleo@example.com").await);
    door.world.accounts.enter(ben.id, home.organisation, Role::Viewer).await;
    door.world.accounts.enter(cleo.id, home.organisation, Role::Owner).await;
    let app = App::with(&door, json!({ "role": "admin", "redirect_uris": [super::authorization::CALLBACK] })).await;
    let code = app.code(&door, &[("scope", "members:read members:write")]).await;
    let access = text(&app.exchange(&door, &code).await, "access_token");
    assert_eq!(give(&door, &access, &json!(ben.id), "owner").await, StatusCode::FORBIDDEN);
    assert_eq!(give(&door, &access, &json!(cleo.id), "viewer").await, StatusCode::FORBIDDEN);
    assert_eq!(give(&door, &access, &json!(ben.id), "operator").await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_a_program_may_for_somebody_shrinks_with_their_role_and_with_its_own_scopes() {
    let door = Door::new().await;
    let accounts = &door.world.accounts;
    let home = door.world.ann_at_home().await;
    let ben = add(accounts, "ben@example.com").await;
    accounts.enter(ben.id, home.organisation, Role::Owner).await;
    let app = App::new(&door).await;
    let scope = "openid offline_access members:read members:write";
    let first = app.exchange(&door, &app.code(&door, &[("scope", scope)]).await).await;
    assert_eq!(text(&first, "scope"), scope);
    let look = async |token: &str| {
        let form = format!("token={token}&client_id={}&client_secret={}", app.id, app.secret);
        text(&door.form("/oauth/introspect", &[], &form).await, "scope")
    };
    accounts.enter(door.world.ann.id, home.organisation, Role::Viewer).await;
    assert_eq!(look(&text(&first, "access_token")).await, "openid offline_access members:read");
    assert_eq!(look(&text(&first, "refresh_token")).await, "openid offline_access members:read");
    let again = async |token: &str| app.token(&door, &format!("grant_type=refresh_token&refresh_token={token}")).await;
    let second = again(&text(&first, "refresh_token")).await;
    assert_eq!(text(&second, "scope"), "openid offline_access members:read");
    assert_eq!(super::authorization::claims(&text(&second, "access_token"))["scope"], "openid offline_access members:read");
    let events = &accounts.events;
    let mut row = rows::find::<Client>(events, CLIENTS, app.id.as_bytes()).await.expect("read").expect("there");
    row.value.rights = vec![Right::ManageMembers];
    events.commit(row.rewritten()).await.expect("written");
    let third = again(&text(&second, "refresh_token")).await;
    assert_eq!(text(&third, "scope"), "openid offline_access");
    accounts.enter(door.world.ann.id, home.organisation, Role::Owner).await;
    let fourth = again(&text(&third, "refresh_token")).await;
    assert_eq!(text(&fourth, "scope"), "openid offline_access members:write", "the grant keeps what it has");
    assert_eq!(members(&door, &text(&fourth, "access_token")).await, StatusCode::FORBIDDEN);
}
