use super::doors::{Door, OURS};
use crate::{Fact, Named, NamedError};
use axum::http::StatusCode;
use gatehouse_types::OrganisationId;
use serde_json::json;

#[tokio::test]
async fn nothing_is_done_in_the_name_of_a_suspended_organisation_by_anybody() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let ours = [("cookie", cookie.as_str()), OURS];
    let token = json!({ "name": "x", "scopes": ["members:read"], "sources": "*" });
    let token = door.post("/v1/tokens", &ours, token).await.body["token"].as_str().expect("a token").to_owned();
    let client = json!({ "name": "agent", "role": "viewer", "scopes": ["members:read"] });
    let client = door.post("/v1/clients", &ours, client).await.body;
    let text = |key: &str| client[key].as_str().expect(key).to_owned();
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", text("id"), text("secret"));
    let access = door.form("/oauth/token", &[], &form).await.body["access_token"].as_str().expect("a token").to_owned();
    let home = door.world.ann_at_home().await.organisation;
    let bearer = |token: &str| format!("Bearer {token}");
    let members = async || {
        let session = door.get("/v1/members", &[("cookie", &cookie)]).await.status;
        let token = door.get("/v1/members", &[("authorization", &bearer(&token))]).await.status;
        [session, token, door.get("/v1/members", &[("authorization", &bearer(&access))]).await.status]
    };
    assert_eq!(members().await, [StatusCode::OK; 3]);
    door.world.accounts.suspend(home).await.expect("suspended");
    assert_eq!(members().await, [StatusCode::FORBIDDEN; 3]);
    let refused = door.form("/oauth/token", &[], &form).await;
    assert_eq!((refused.status, &refused.body["error"]), (StatusCode::BAD_REQUEST, &json!("unauthorized_client")));
    let asking = format!("token={access}&client_id={}&client_secret={}", text("id"), text("secret"));
    assert_eq!(door.form("/oauth/introspect", &[], &asking).await.body, json!({ "active": false }));
    let refused = door.get("/v1/members", &[("cookie", &cookie)]).await;
    assert_eq!(refused.body["code"], "organisation-suspended");
    let me = door.get("/v1/me", &[("cookie", &cookie)]).await;
    assert_eq!((me.status, &me.body["organisations"][0]["suspended"]), (StatusCode::OK, &json!(true)));
    door.world.accounts.suspend(home).await.expect("it stays so");
    door.world.accounts.resume(home).await.expect("resumed");
    assert_eq!(members().await, [StatusCode::OK; 3]);
    assert_eq!(door.form("/oauth/introspect", &[], &asking).await.body["active"], json!(true));
    assert_eq!(door.form("/oauth/token", &[], &form).await.status, StatusCode::OK);
    let unknown = door.world.accounts.suspend(OrganisationId::from_random([7; 16])).await;
    assert!(matches!(unknown, Err(NamedError::Unknown(Named::Organisation))));
    let stream = crate::STREAM.parse().expect("a stream");
    let log = door.world.accounts.events.read(&stream, gatehouse_store::Position::START.next(), 100).await.expect("read");
    let told: Vec<Fact> = log.iter().filter_map(|event| event.decode().ok()).collect();
    let stops = told.iter().filter(|fact| matches!(fact, Fact::OrganisationSuspended { .. } | Fact::OrganisationResumed { .. })).count();
    assert_eq!(stops, 2, "what holds connections open follows these");
}
