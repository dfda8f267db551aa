//! Onboarding codes, admissions and alarms over HTTP, JWT in place of codes, and tokens of devices at doors that are not theirs.

use super::{
    doors::{Door, OURS},
    oauth::Program,
};
use crate::{AdmissionError, Presenter, Role, Theft, Tokens};
use axum::http::{Method, StatusCode};
use gatehouse_base::Clock;
use gatehouse_types::{DeviceId, HubId, Secret};
use serde_json::{Value, json};
use std::time::Duration;

const DEVICE: &str = "921e7b6e-5ff7-4559-60d9-bf03bc730cc4";
const HUB: &str = "6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c";

async fn over(door: &Door, key: u8) -> Presenter {
    let device: DeviceId = DEVICE.parse().expect("an id");
    let hub: HubId = HUB.parse().expect("an id");
    Presenter::of_key(door.world.ann_at_home().await.organisation, device, hub, key)
}

async fn exchange(door: &Door, code: &str, key: u8) -> Result<Tokens, AdmissionError> {
    let (at, now) = (over(door, key).await, door.world.clock.now());
    door.world.accounts.admissions().exchange(None, &Secret::from(code.to_owned()), &at, now).await
}

async fn make(door: &Door, cookie: &str) -> Value {
    let made = door.post("/v1/onboarding-codes", &[("cookie", cookie), OURS], json!({ "device": DEVICE, "hub": HUB })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    made.body
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {body}")).to_owned()
}

#[tokio::test]
async fn an_operator_lets_a_device_in_sees_it_and_ends_what_it_has() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let shows = [("cookie", cookie.as_str()), OURS];
    let made = make(&door, &cookie).await;
    let listed = door.get("/v1/onboarding-codes", &shows).await;
    assert_eq!((&listed.body[0]["id"], &listed.body[0]["device"]), (&made["id"], &json!(DEVICE)));
    assert!(!listed.text.contains(&text(&made, "code")), "it is shown once");
    let tokens = exchange(&door, &text(&made, "code"), 1).await.expect("admitted");
    assert_eq!(door.get("/v1/onboarding-codes", &shows).await.body, json!([]));
    let admitted = door.get("/v1/admissions", &shows).await.body;
    assert_eq!((&admitted[0]["device"], &admitted[0]["key"]), (&json!(DEVICE), &json!("01".repeat(32))));
    assert_eq!(door.get(&format!("/v1/admissions?device={DEVICE}"), &shows).await.body, admitted);
    assert_eq!(door.get(&format!("/v1/admissions?device={HUB}"), &shows).await.body, json!([]));
    let path = format!("/v1/admissions/{}", text(&admitted[0], "id"));
    assert_eq!(door.ask(Method::DELETE, &path, &shows, None).await.status, StatusCode::NO_CONTENT);
    let (at, now) = (over(&door, 1).await, door.world.clock.now());
    assert!(door.world.accounts.admissions().verify(&tokens.access, &at, now).await.is_err());
    assert_eq!(door.ask(Method::DELETE, &path, &shows, None).await.body["code"], "no-such-admission");
}

#[tokio::test]
async fn a_code_is_withdrawn_and_lists_go_on_where_they_stopped() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let shows = [("cookie", cookie.as_str()), OURS];
    let first = make(&door, &cookie).await;
    for _ in 0..4 {
        make(&door, &cookie).await;
    }
    let path = format!("/v1/onboarding-codes/{}", text(&first, "id"));
    assert_eq!(door.ask(Method::DELETE, &path, &shows, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(door.ask(Method::DELETE, &path, &shows, None).await.body["code"], "no-such-onboarding-code");
    assert!(matches!(exchange(&door, &text(&first, "code"), 1).await, Err(AdmissionError::NotGood)));
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let part = door.get(&format!("/v1/onboarding-codes?limit=3{after}"), &shows).await.body;
        let ids: Vec<_> = part.as_array().expect("a list").iter().map(|code| text(code, "id")).collect();
        let Some(last) = ids.last() else { break };
        after = format!("&after={last}");
        seen.extend(ids);
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.is_sorted() && !seen.contains(&text(&first, "id")));
}

#[tokio::test]
async fn an_alarm_says_what_was_shown_by_whom() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let shows = [("cookie", cookie.as_str()), OURS];
    let code = text(&make(&door, &cookie).await, "code");
    exchange(&door, &code, 1).await.expect("admitted");
    assert!(matches!(exchange(&door, &code, 2).await, Err(AdmissionError::Stolen(Theft::OtherKey))));
    let alarms = door.get("/v1/admission-alarms", &shows).await.body;
    let alarm = &alarms[0];
    assert_eq!((&alarm["why"], &alarm["device"], &alarm["by"]), (&json!("other-key"), &json!(DEVICE), &json!(DEVICE)));
    let before = door.get(&format!("/v1/admission-alarms?before={}", alarm["at"]), &shows).await.body;
    assert_eq!(before, json!([]));
}

#[tokio::test]
async fn who_may_see_devices_and_who_may_let_them_in_is_as_roles_say() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let home = door.world.ann_at_home().await.organisation;
    let owner = super::add(&door.world.accounts, "ben@example.com").await;
    door.world.accounts.enter(owner.id, home, Role::Owner).await;
    let shows = [("cookie", cookie.as_str()), OURS];
    for (role, sees, makes) in [
        (Role::Factory, StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
        (Role::Viewer, StatusCode::OK, StatusCode::FORBIDDEN),
        (Role::Operator, StatusCode::OK, StatusCode::CREATED),
        (Role::Admin, StatusCode::OK, StatusCode::CREATED),
    ] {
        door.world.accounts.enter(door.world.ann.id, home, role).await;
        for path in ["/v1/onboarding-codes", "/v1/admissions", "/v1/admission-alarms"] {
            assert_eq!(door.get(path, &shows).await.status, sees, "{role} {path}");
        }
        let body = json!({ "device": DEVICE, "hub": HUB });
        assert_eq!(door.post("/v1/onboarding-codes", &shows, body).await.status, makes, "{role}");
    }
}

#[tokio::test]
async fn a_devices_token_opens_nothing_over_http() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let tokens = exchange(&door, &text(&make(&door, &cookie).await, "code"), 1).await.expect("admitted");
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    for token in [&tokens.access, &tokens.refresh] {
        let token = crate::secret::text(token);
        let shows = format!("Bearer {token}");
        for path in ["/v1/me", "/v1/members", "/v1/admissions", "/oauth/userinfo", "/ready"] {
            assert_eq!(door.get(path, &[("authorization", &shows)]).await.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        let told = program.ask(&door, "/oauth/introspect", &format!("token={token}")).await.body;
        assert_eq!(told, json!({ "active": false }));
        let grant = format!("grant_type=refresh_token&refresh_token={token}");
        assert_eq!(program.ask(&door, "/oauth/token", &grant).await.body["error"], "invalid_grant");
    }
}

#[tokio::test]
async fn a_person_or_program_is_no_device_at_a_gateway() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let program = Program::new(&door, "operator", &["devices:write", "members:read"]).await;
    let body = json!({ "name": "deploy", "scopes": ["devices:write"], "sources": "*" });
    let token = door.post("/v1/tokens", &[("cookie", &cookie), OURS], body).await.body;
    let (at, now) = (over(&door, 1).await, door.world.clock.now());
    for token in [program.token(&door).await, text(&token, "token")] {
        let token = Secret::from(token);
        assert!(door.world.accounts.admissions().verify(&token, &at, now).await.is_err());
        assert!(door.world.accounts.admissions().exchange(None, &token, &at, now).await.is_err());
    }
}

/// Asks for a token for a device, as a provisioning service elsewhere does.
async fn token_for(door: &Door, program: &Program, more: &str) -> Value {
    program.ask(door, "/oauth/token", &format!("grant_type=client_credentials&device_id={DEVICE}{more}")).await.body
}

#[tokio::test]
async fn a_jwt_in_place_of_a_code_lets_its_device_in_once() {
    let door = Door::new().await;
    let program = Program::new(&door, "operator", &["devices:write"]).await;
    let home = door.world.ann_at_home().await.organisation;
    let body = token_for(&door, &program, &format!("&owner={home}&hub={HUB}&audience=anything")).await;
    let token = text(&body, "access_token");
    let claims = token.split('.').nth(1).expect("claims");
    let claims: Value = serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(claims.as_bytes()).expect("base 64")).expect("JSON");
    assert_eq!((&claims["owner"], &claims["device_id"]), (&json!(home), &json!(DEVICE)), "what services elsewhere look for");
    assert_eq!(door.get("/v1/members", &[("authorization", &format!("Bearer {token}"))]).await.status, StatusCode::UNAUTHORIZED);
    let first = exchange(&door, &token, 1).await.expect("admitted");
    let again = exchange(&door, &token, 1).await.expect("the same answer");
    assert_eq!(first.refresh, again.refresh);
    let (at, now) = (over(&door, 1).await, door.world.clock.now());
    door.world.accounts.admissions().verify(&first.access, &at, now).await.expect("signed in");
    assert!(matches!(exchange(&door, &token, 1).await, Err(AdmissionError::Stolen(Theft::Replayed))));
    let late = text(&token_for(&door, &program, "").await, "access_token");
    door.world.pass(Duration::from_secs(3600));
    assert!(matches!(exchange(&door, &late, 1).await, Err(AdmissionError::NotGood)));
}

#[tokio::test]
async fn a_jwt_is_for_its_device_hub_and_organisation_and_ends_with_its_client() {
    let door = Door::new().await;
    let program = Program::new(&door, "operator", &["devices:write"]).await;
    let elsewhere = text(&token_for(&door, &program, "&hub=11111111-2222-4333-8444-555555555555").await, "access_token");
    assert!(matches!(exchange(&door, &elsewhere, 1).await, Err(AdmissionError::NotGood)));
    let other = format!("grant_type=client_credentials&device_id={HUB}");
    let other = text(&program.ask(&door, "/oauth/token", &other).await.body, "access_token");
    assert!(matches!(exchange(&door, &other, 1).await, Err(AdmissionError::NotGood)));
    let token = text(&token_for(&door, &program, "").await, "access_token");
    let home = door.world.ann_at_home().await;
    door.world.accounts.remove_client(&home, &program.id).await.expect("removed");
    assert!(matches!(exchange(&door, &token, 1).await, Err(AdmissionError::NotGood)));
}

#[tokio::test]
async fn a_client_gets_tokens_for_devices_of_its_own_organisation_and_with_the_right_only() {
    let door = Door::new().await;
    let program = Program::new(&door, "operator", &["devices:write"]).await;
    let foreign = super::add(&door.world.accounts, "ben@example.com").await;
    let foreign = door.world.accounts.organisations_of(foreign.id).await.expect("read")[0].id;
    assert_eq!(token_for(&door, &program, &format!("&owner={foreign}")).await["error"], "invalid_request");
    assert_eq!(token_for(&door, &program, "&hub=nonsense").await["error"], "invalid_request");
    assert_eq!(token_for(&door, &program, "&scope=members:read").await["error"], "invalid_scope");
    assert_eq!(token_for(&door, &program, "&scope=devices:write").await["scope"], "devices:write");
    let without = Program::new(&door, "operator", &["devices:read"]).await;
    assert_eq!(token_for(&door, &without, "").await["error"], "invalid_scope");
}
