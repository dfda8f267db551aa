use super::{
    ISSUER, World, add,
    doors::{Answer, Door, OURS},
};
use crate::{
    Authentication, ClientError, Member, NewClient, Right, Role,
    oauth::{CLIENTS, Client},
    rows,
};
use axum::http::{Method, StatusCode};
use data_encoding::BASE64;
use gatehouse_types::Secret;
use serde_json::{Value, json};
use std::time::Duration;

/// A client of Ann's organisation, made over the door.
pub(super) struct Program {
    pub(super) id: String,
    secret: String,
}

impl Program {
    pub(super) async fn new(door: &Door, role: &str, scopes: &[&str]) -> Self {
        let cookie = door.cookie().await;
        let body = json!({ "name": "agent", "role": role, "scopes": scopes });
        let made = door.post("/v1/clients", &[("cookie", &cookie), OURS], body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let text = |key: &str| made.body[key].as_str().expect(key).to_owned();
        Self { id: text("id"), secret: text("secret") }
    }

    fn basic(&self) -> String {
        format!("Basic {}", BASE64.encode(format!("{}:{}", self.id, self.secret).as_bytes()))
    }

    pub(super) async fn ask(&self, door: &Door, path: &str, form: &str) -> Answer {
        door.form(path, &[("authorization", &self.basic())], form).await
    }

    pub(super) async fn token(&self, door: &Door) -> String {
        let answer = self.ask(door, "/oauth/token", "grant_type=client_credentials").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body["access_token"].as_str().expect("a token").to_owned()
    }
}

/// A client that acts for itself.
fn for_itself(role: Role, rights: &[Right]) -> NewClient {
    NewClient {
        name: "agent".to_owned(),
        role,
        rights: rights.to_vec(),
        authentication: Authentication::Secret,
        redirect_uris: Vec::new(),
        keys: Vec::new(),
        device_code: false,
        certificate: None,
        bound: false,
    }
}

async fn members(door: &Door, token: &str) -> StatusCode {
    door.get("/v1/members", &[("authorization", &format!("Bearer {token}"))]).await.status
}

#[tokio::test]
async fn a_program_gets_a_token_for_its_secret_and_acts_with_it() {
    let door = Door::new().await;
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    let token = program.token(&door).await;
    assert_eq!(members(&door, &token).await, StatusCode::OK);
    let shows = format!("Bearer {token}");
    for (method, path) in [(Method::GET, "/v1/me"), (Method::GET, "/v1/clients"), (Method::GET, "/v1/tokens")] {
        assert_eq!(door.ask(method, path, &[("authorization", &shows)], None).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let foreign = add(&door.world.accounts, "ben@example.com").await;
    let foreign = door.world.accounts.organisations_of(foreign.id).await.expect("organisations")[0].id.to_string();
    let headers = [("authorization", shows.as_str()), ("gatehouse-organisation", foreign.as_str())];
    assert_eq!(door.get("/v1/members", &headers).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_discovery_documents_lead_to_the_keys_that_sign() {
    let door = Door::new().await;
    let openid = door.get("/.well-known/openid-configuration", &[]).await.body;
    assert_eq!(openid, door.get("/.well-known/oauth-authorization-server", &[]).await.body);
    assert_eq!((&openid["issuer"], &openid["token_endpoint"]), (&json!(ISSUER), &json!(format!("{ISSUER}/oauth/token"))));
    let keys = door.get("/oauth/jwks.json", &[]).await.body;
    let key = &keys["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"], &key["use"]), (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig")));
    assert!(key.get("d").is_none());
    let token = Program::new(&door, "viewer", &["members:read"]).await.token(&door).await;
    let header = token.split('.').next().expect("a header");
    let header: Value = serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(header.as_bytes()).expect("base 64")).expect("JSON");
    assert_eq!(header, json!({ "typ": "at+jwt", "alg": "ES256", "kid": key["kid"] }));
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_client_and_two_ways_at_once_are_refused() {
    let door = Door::new().await;
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    let other = Program::new(&door, "viewer", &["members:read"]).await;
    let grant = "grant_type=client_credentials";
    for (id, secret) in [(&program.id, &other.secret), (&"0".repeat(32), &program.secret), (&String::new(), &program.secret)] {
        let wrong = Program { id: id.clone(), secret: secret.clone() }.ask(&door, "/oauth/token", grant).await;
        assert_eq!((wrong.status, &wrong.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_client")), "{id}");
    }
    let in_form = format!("{grant}&client_id={}&client_secret={}", program.id, program.secret);
    assert_eq!(door.form("/oauth/token", &[], &in_form).await.status, StatusCode::OK);
    let both = program.ask(&door, "/oauth/token", &in_form).await;
    assert_eq!((both.status, &both.body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    let twice = program.ask(&door, "/oauth/token", &format!("{grant}&{grant}")).await;
    assert_eq!((twice.status, &twice.body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_request")));
    let none = door.form("/oauth/token", &[], grant).await;
    assert_eq!(none.body["error"], "invalid_client");
}

#[tokio::test]
async fn other_grants_and_scopes_that_the_client_has_not_are_refused() {
    let door = Door::new().await;
    let program = Program::new(&door, "admin", &["members:read", "members:write"]).await;
    for grant in ["password", "implicit", "authorization-code", ""] {
        let answer = program.ask(&door, "/oauth/token", &format!("grant_type={grant}")).await;
        assert_eq!(answer.body["error"], "unsupported_grant_type", "{grant}");
    }
    for scope in ["clients:write", "members:read+clients:write", "nonsense"] {
        let answer = program.ask(&door, "/oauth/token", &format!("grant_type=client_credentials&scope={scope}")).await;
        assert_eq!((answer.status, &answer.body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_scope")), "{scope}");
    }
    let less = program.ask(&door, "/oauth/token", "grant_type=client_credentials&scope=members:read").await;
    assert_eq!(less.body["scope"], "members:read");
    let token = less.body["access_token"].as_str().expect("a token").to_owned();
    let member = format!("/v1/members/{}", door.world.ann.id);
    let shows = format!("Bearer {token}");
    assert_eq!(door.ask(Method::DELETE, &member, &[("authorization", &shows)], None).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_ends_by_its_time_by_revocation_and_with_its_client() {
    let door = Door::new().await;
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    let other = Program::new(&door, "viewer", &["members:read"]).await;
    let (revoked, ending, removed) = (program.token(&door).await, program.token(&door).await, other.token(&door).await);
    other.ask(&door, "/oauth/revoke", &format!("token={revoked}")).await;
    assert_eq!(members(&door, &revoked).await, StatusCode::OK, "another client's token is left alone");
    assert_eq!(program.ask(&door, "/oauth/revoke", &format!("token={revoked}")).await.status, StatusCode::OK);
    assert_eq!(members(&door, &revoked).await, StatusCode::UNAUTHORIZED);
    let cookie = door.cookie().await;
    let path = format!("/v1/clients/{}", other.id);
    assert_eq!(door.ask(Method::DELETE, &path, &[("cookie", &cookie), OURS], None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(members(&door, &removed).await, StatusCode::UNAUTHORIZED);
    door.world.pass(Duration::from_secs(599));
    assert_eq!(members(&door, &ending).await, StatusCode::OK);
    door.world.pass(Duration::from_secs(1));
    assert_eq!(members(&door, &ending).await, StatusCode::UNAUTHORIZED);
    assert_eq!(door.world.accounts.forget_ended_tokens().await.expect("forgotten"), 0, "the clock may be ahead, and be set right");
    door.world.pass(Duration::from_secs(24 * 3600));
    assert_eq!(door.world.accounts.forget_ended_tokens().await.expect("forgotten"), 1);
}

#[tokio::test]
async fn a_client_looks_into_its_own_organisations_tokens_only() {
    let door = Door::new().await;
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    let token = program.token(&door).await;
    let own = program.ask(&door, "/oauth/introspect", &format!("token={token}")).await.body;
    assert_eq!((&own["active"], &own["scope"], &own["client_id"]), (&json!(true), &json!("members:read"), &json!(program.id)));
    let ben = add(&door.world.accounts, "ben@example.com").await;
    let home = door.world.accounts.organisations_of(ben.id).await.expect("organisations")[0].clone();
    let owner = Member::of(ben.id, home.id, Role::Owner);
    let (info, secret) = door.world.accounts.make_client(&owner, for_itself(Role::Viewer, &[Right::ReadMembers])).await.expect("made");
    let spy = Program { id: info.id.to_string(), secret: crate::secret::text(&secret.expect("a secret")) };
    for other in [token.as_str(), "nonsense", ""] {
        assert_eq!(spy.ask(&door, "/oauth/introspect", &format!("token={other}")).await.body, json!({ "active": false }));
    }
    assert_eq!(door.form("/oauth/introspect", &[], &format!("token={token}")).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn keys_overlap_so_that_no_token_loses_its_key() {
    let world = World::new().await;
    let keys = world.accounts.signing_keys();
    let kids = || {
        let keys = keys.published();
        keys["keys"].as_array().expect("keys").iter().map(|key| key["kid"].as_str().expect("kid").to_owned()).collect::<Vec<_>>()
    };
    let day = Duration::from_secs(86_400);
    let first = kids();
    world.pass(day * 89);
    keys.upkeep().await.expect("upkeep");
    assert_eq!(kids().len(), 2, "the next key is known a day before it signs");
    let late = keys.sign("at+jwt", &json!({ "late": true })).expect("signed");
    world.pass(day);
    let early = keys.sign("at+jwt", &json!({ "early": true })).expect("signed by the next key");
    keys.upkeep().await.expect("upkeep");
    assert!(keys.claims::<Value>("at+jwt", &late).is_some() && keys.claims::<Value>("at+jwt", &early).is_some());
    assert!(keys.claims::<Value>("JWT", &early).is_none(), "another type");
    world.pass(day * 2);
    keys.upkeep().await.expect("upkeep");
    assert!(keys.claims::<Value>("at+jwt", &late).is_none() && keys.claims::<Value>("at+jwt", &early).is_some());
    assert!(!kids().contains(&first[0]));
}

#[tokio::test]
async fn tokens_are_signed_with_rsa_where_services_read_nothing_else() {
    let world = World::with(|config| config.token_keys = crate::TokenKeys::Rs256).await;
    let keys = world.accounts.signing_keys();
    let key = keys.published()["keys"][0].clone();
    assert_eq!((&key["kty"], &key["alg"], &key["e"]), (&json!("RSA"), &json!("RS256"), &json!("AQAB")));
    let token = keys.sign("at+jwt", &json!({ "rsa": true })).expect("signed");
    assert_eq!(keys.claims::<Value>("at+jwt", &token), Some(json!({ "rsa": true })));
    // As somebody else reads it, who knows the published key alone.
    let decoded = |text: &str| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).expect("base 64");
    let part = |name: &str| decoded(key[name].as_str().expect("text"));
    let (signed, signature) = token.rsplit_once('.').expect("parts");
    let public = ring::signature::RsaPublicKeyComponents { n: part("n"), e: part("e") };
    let verify = |text: &str| public.verify(&ring::signature::RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &decoded(signature)).is_ok();
    assert!(verify(signed) && !verify(&format!("{signed}x")));
    world.pass(Duration::from_secs(89 * 86_400));
    keys.upkeep().await.expect("upkeep");
    assert_eq!(keys.published()["keys"].as_array().map(Vec::len), Some(2), "they change like all others");
}

#[tokio::test]
async fn a_client_is_never_mightier_than_its_maker_and_its_role() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let admin = Member { role: Role::Admin, ..home };
    let new = for_itself;
    let owner = world.accounts.make_client(&admin, new(Role::Owner, &[Right::ReadMembers])).await;
    assert!(matches!(owner, Err(ClientError::NotAppointed { .. })));
    for (role, rights) in [(Role::Viewer, &[Right::ManageMembers][..]), (Role::Factory, &[Right::ReadMembers]), (Role::Viewer, &[])] {
        assert!(matches!(world.accounts.make_client(&home, new(role, rights)).await, Err(ClientError::Refused(_))), "{role}");
    }
    let (info, secret) = world.accounts.make_client(&home, new(Role::Admin, &[Right::ManageMembers])).await.expect("made");
    let secret = secret.expect("a secret");
    let removed = world.accounts.remove_client(&admin, &info.id.to_string()).await;
    assert!(matches!(removed, Err(ClientError::NotAppointed { .. })));
    assert!(world.accounts.authenticated(&info.id.to_string(), &Secret::from("nonsense".to_owned())).await.expect("read").is_none());
    assert!(world.accounts.authenticated(&info.id.to_string(), &secret).await.expect("read").is_some());
}

#[tokio::test]
async fn what_a_client_may_not_have_any_more_its_tokens_have_not_either() {
    let door = Door::new().await;
    let program = Program::new(&door, "admin", &["members:read", "members:write"]).await;
    let token = program.token(&door).await;
    assert_eq!(members(&door, &token).await, StatusCode::OK);
    let events = &door.world.accounts.events;
    let mut row = rows::find::<Client>(events, CLIENTS, program.id.as_bytes()).await.expect("read").expect("there");
    row.value.rights = vec![Right::ManageMembers];
    events.commit(row.rewritten()).await.expect("written");
    assert_eq!(members(&door, &token).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_client_is_removed_by_nobody_in_another_organisation() {
    let door = Door::new().await;
    let program = Program::new(&door, "viewer", &["members:read"]).await;
    let ben = add(&door.world.accounts, "ben@example.com").await;
    let elsewhere = door.world.accounts.organisations_of(ben.id).await.expect("organisations")[0].id;
    let owner = Member::of(ben.id, elsewhere, Role::Owner);
    let removed = door.world.accounts.remove_client(&owner, &program.id).await;
    assert!(matches!(removed, Err(ClientError::Unknown)), "{removed:?}");
    assert_eq!(members(&door, &program.token(&door).await).await, StatusCode::OK);
    door.world.accounts.remove_client(&door.world.ann_at_home().await, &program.id).await.expect("by its own");
}

#[tokio::test]
async fn two_clients_that_are_made_at_the_same_moment_do_not_pass_the_bound() {
    let world = World::new().await;
    let home = world.ann_at_home().await;
    let new = || for_itself(Role::Viewer, &[Right::ReadMembers]);
    for _ in 0..499 {
        world.accounts.make_client(&home, new()).await.expect("made");
        world.accounts.make_installation_client(new(), false).await.expect("made");
    }
    world.meeting.of_two();
    let (one, two) = tokio::join!(world.accounts.make_client(&home, new()), world.accounts.make_client(&home, new()));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert!([one.err(), two.err()].iter().flatten().all(|error| matches!(error, ClientError::TooMany)));
    assert_eq!(world.accounts.clients(&home).await.expect("clients").len(), 500);
    world.meeting.of_two();
    let accounts = &world.accounts;
    let (one, two) = tokio::join!(accounts.make_installation_client(new(), false), accounts.make_installation_client(new(), true));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(accounts.installation_clients().await.expect("clients").len(), 500);
}
