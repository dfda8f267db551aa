//! Asking again before what is dangerous.

use super::{
    PASSWORD, World, add,
    doors::{Door, OURS},
    from, secret,
    soft_authenticator::{PRESENT, Saying, Soft},
};
use crate::{
    Happening, InvitationError, MemberError, NewPasskey, Proof, Rejection, Role, SelfInSession, SignInError, StepUp, TokenError,
    caller::NotInOrganisation,
};
use axum::http::{Method, StatusCode};
use gatehouse_pki::KeyAlgorithm::P256;
use gatehouse_types::Secret;
use serde_json::{Value, json};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(300);

/// Everything that asks, with a body that is good enough to come as far as that.
fn dangerous(ann: &str) -> Vec<(Method, String, Value)> {
    let registration = json!({ "id": "AA", "response": { "clientDataJSON": "AA", "attestationObject": "AA" } });
    let token = json!({ "name": "x", "scopes": ["members:read"], "sources": "*" });
    vec![
        (Method::POST, "/v1/me/second-factor".to_owned(), json!({})),
        (Method::POST, "/v1/me/second-factor/confirm".to_owned(), json!({ "code": "000000" })),
        (Method::POST, "/v1/me/second-factor/disable".to_owned(), json!({ "code": "000000" })),
        (Method::POST, "/v1/me/passkeys/options".to_owned(), json!({})),
        (Method::POST, "/v1/me/passkeys".to_owned(), json!({ "name": "x", "credential": registration })),
        (Method::DELETE, "/v1/me/passkeys/none".to_owned(), json!({})),
        (Method::POST, "/v1/tokens".to_owned(), token),
        (Method::PATCH, "/v1/tokens/none".to_owned(), json!({ "name": "y" })),
        (Method::POST, "/v1/clients".to_owned(), json!({ "name": "x", "role": "viewer", "scopes": ["members:read"] })),
        (Method::PATCH, format!("/v1/members/{ann}"), json!({ "role": "viewer" })),
        (Method::DELETE, format!("/v1/members/{ann}"), json!({})),
        (Method::POST, "/v1/invitations".to_owned(), json!({ "email": "ben@example.com", "role": "owner" })),
        (Method::POST, "/v1/me/delete".to_owned(), json!({ "password": PASSWORD })),
    ]
}

#[tokio::test]
async fn what_is_dangerous_asks_again_after_five_minutes_and_not_before() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let session = [("cookie", cookie.as_str()), OURS];
    let all = dangerous(&door.world.ann.id.to_string());
    let asks = async |(method, path, body): &(Method, String, Value)| {
        door.ask(method.clone(), path, &session, Some(body.clone())).await.body["code"] == "step-up-needed"
    };
    door.world.pass(WINDOW - Duration::from_millis(1));
    // But the last, after which there is nobody.
    for request in &all[..all.len() - 1] {
        assert!(!asks(request).await, "{request:?}");
    }
    door.world.pass(Duration::from_millis(1));
    for request in &all {
        assert!(asks(request).await, "{request:?}");
    }
    for harmless in ["/v1/me", "/v1/me/passkeys", "/v1/tokens", "/v1/clients", "/v1/members"] {
        assert_eq!(door.get(harmless, &session).await.status, StatusCode::OK, "{harmless}");
    }
    let invited = json!({ "email": "ben@example.com", "role": "viewer" });
    assert_eq!(door.post("/v1/invitations", &session, invited).await.status, StatusCode::CREATED);

    let wrong = door.post("/v1/me/step-up", &session, json!({ "password": "small boats float" })).await;
    assert_eq!((wrong.status, &wrong.body["code"]), (StatusCode::UNAUTHORIZED, &json!("wrong-password")));
    assert!(asks(&all[0]).await);
    let proven = door.post("/v1/me/step-up", &session, json!({ "password": PASSWORD })).await;
    assert_eq!((proven.status, &proven.body["until"]), (StatusCode::OK, &json!((door.world.clock_secs() + 300) * 1000)), "{}", proven.body);
    assert_eq!(door.world.history().await[..2], [Happening::SteppedUp, Happening::SignInRefused { reason: "password".to_owned() }]);
    assert!(!asks(&all[0]).await);
    // In this session and in no other.
    let other = door.cookie().await;
    door.world.pass(WINDOW);
    door.post("/v1/me/step-up", &session, json!({ "password": PASSWORD })).await;
    let elsewhere = door.post("/v1/me/passkeys/options", &[("cookie", &other), OURS], json!({})).await;
    assert_eq!(elsewhere.body["code"], "step-up-needed");
    assert_eq!(door.post("/v1/me/delete", &session, json!({ "password": PASSWORD })).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn proofs_that_contradict_each_other_are_none() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let session = [("cookie", cookie.as_str()), OURS];
    for body in [json!({}), json!({ "code": "000000" }), json!({ "password": PASSWORD, "code": "1", "recovery_code": "2" })] {
        let answer = door.post("/v1/me/step-up", &session, body.clone()).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::BAD_REQUEST, &json!("proof-needed")), "{body}");
    }
}

#[tokio::test]
async fn tokens_and_programs_never_step_up() {
    let door = Door::new().await;
    let cookie = door.cookie().await;
    let session = [("cookie", cookie.as_str()), OURS];
    let body = json!({ "name": "deploy", "scopes": ["members:read", "members:write"], "sources": "*" });
    let token = door.post("/v1/tokens", &session, body).await.body["token"].as_str().expect("a token").to_owned();
    let client = json!({ "name": "agent", "role": "owner", "scopes": ["members:write"] });
    let client = door.post("/v1/clients", &session, client).await.body;
    let text = |key: &str| client[key].as_str().unwrap_or_else(|| panic!("{client}")).to_owned();
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", text("id"), text("secret"));
    let access = door.form("/oauth/token", &[], &form).await.body["access_token"].as_str().expect("a token").to_owned();
    for bearer in [token, access] {
        let shows = [("authorization", format!("Bearer {bearer}"))];
        let shows: Vec<_> = shows.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = door.post("/v1/me/step-up", &shows, json!({ "password": PASSWORD })).await;
        assert_eq!((answer.status, &answer.body["code"]), (StatusCode::FORBIDDEN, &json!("forbidden")));
        // Owners make owners, and whoever acts for one makes everybody else.
        for (role, status) in [("owner", "step-up-needed"), ("admin", "")] {
            let invited = json!({ "email": format!("{role}@example.com"), "role": role });
            let answer = door.post("/v1/invitations", &shows, invited).await;
            assert_eq!(answer.body["code"].as_str().unwrap_or_default(), status, "{}", answer.body);
        }
    }
}

#[tokio::test]
async fn what_is_about_owners_and_tokens_demands_it_of_the_member_too() {
    let world = World::new().await;
    let ben = add(&world.accounts, "ben@example.com").await;
    let owner = world.ann_at_home().await.lately(false);
    world.accounts.enter(ben.id, owner.organisation, Role::Viewer).await;
    let (accounts, here) = (&world.accounts, from("192.0.2.1"));
    assert!(matches!(accounts.give_role(&owner, ben.id, Role::Owner).await, Err(MemberError::StepUp(_))));
    accounts.give_role(&owner, ben.id, Role::Admin).await.expect("no owner");
    accounts.give_role(&owner.lately(true), ben.id, Role::Owner).await.expect("asked again");
    assert!(matches!(accounts.give_role(&owner, ben.id, Role::Viewer).await, Err(MemberError::StepUp(_))));
    assert!(matches!(accounts.remove_member(&owner, ben.id).await, Err(MemberError::StepUp(_))));
    let cleo = "cleo@example.com".parse().expect("an address");
    assert!(matches!(accounts.invite(&owner, &cleo, Role::Owner).await, Err(InvitationError::StepUp(_))));
    accounts.invite(&owner, &cleo, Role::Admin).await.expect("no owner");
    let new = crate::NewToken {
        name: "x".to_owned(),
        rights: vec![crate::Right::ReadMembers],
        sources: "*".parse().expect("sources"),
        expires: None,
    };
    assert!(matches!(accounts.make_token(&owner, new, &here).await, Err(TokenError::StepUp(_))));
    let change = crate::TokenChange::default();
    assert!(matches!(accounts.change_token(&owner, "none", change, &here).await, Err(TokenError::StepUp(_))));
}

/// Ann in a session from two hours ago.
async fn old_session(world: &World) -> (SelfInSession, Secret) {
    let session = world.sign_in(&from("192.0.2.1")).await;
    let (id, person) = world.accounts.session(&session.secret).await.expect("read").expect("goes on");
    world.pass(Duration::from_secs(7200));
    (SelfInSession { person, session: id, member: Err(NotInOrganisation::NoneNamed) }, session.secret)
}

async fn is_stepped_up(world: &World, secret: &Secret) -> bool {
    world.accounts.session_lately(secret).await.expect("read").expect("goes on").2
}

fn password(second: Option<Proof>) -> StepUp {
    StepUp::Password { password: secret(PASSWORD), second }
}

#[tokio::test]
async fn where_there_is_a_second_factor_the_password_alone_is_not_enough() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (by, session) = old_session(&world).await;
    let (authenticator, codes) = super::second_factor::enrolled(&world).await;
    let alone = world.accounts.step_up(&by, &password(None), &here).await;
    assert!(matches!(alone, Err(SignInError::SecondFactorNeeded)), "{alone:?}");
    let wrong = world.accounts.step_up(&by, &password(Some(Proof::Code("000000".to_owned()))), &here).await;
    assert!(matches!(wrong, Err(SignInError::Code)), "{wrong:?}");
    assert!(!is_stepped_up(&world, &session).await);
    let code = Proof::Code(authenticator.code(&world));
    world.accounts.step_up(&by, &password(Some(code.clone())), &here).await.expect("proven");
    assert!(is_stepped_up(&world, &session).await);
    let again = world.accounts.step_up(&by, &password(Some(code)), &here).await;
    assert!(matches!(again, Err(SignInError::Code)), "a code is good once");
    world.accounts.step_up(&by, &password(Some(Proof::Recovery(codes[0].clone()))), &here).await.expect("proven");
    assert_eq!(world.history().await[..2], [Happening::SteppedUp, Happening::RecoveryCodeUsed { left: 9 }]);
}

#[tokio::test]
async fn a_new_password_makes_no_session_that_has_proven_more_than_it() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let new = || crate::NewPassword::new(secret("small boats float")).expect("good");
    let all = world.accounts.change_password(world.ann.id, &secret(PASSWORD), &new(), &here).await.expect("changed");
    assert!(is_stepped_up(&world, &all.secret).await, "there is nothing else to show");
    super::second_factor::enrolled(&world).await;
    let less = world.accounts.change_password(world.ann.id, &secret("small boats float"), &new(), &here).await.expect("changed");
    assert!(!is_stepped_up(&world, &less.secret).await);
}

#[tokio::test]
async fn a_passkey_that_makes_sure_of_its_owner_is_enough() {
    let world = World::new().await;
    let here = from("192.0.2.1");
    let (by, session) = old_session(&world).await;
    let asking = crate::SteppedUp { person: by.person, session: by.session };
    let mut soft = Soft::new(P256).counting();
    let none = world.accounts.step_up_options(&by).await;
    assert!(matches!(none, Err(SignInError::NoPasskeys)), "{none:?}");
    let options = world.accounts.passkey_options(&asking).await.expect("options");
    let credential = serde_json::from_value(soft.create(&options, &Saying::honest())).expect("good");
    world.accounts.add_passkey(&asking, &NewPasskey { name: "key".to_owned(), credential }, &here).await.expect("added");

    let touched = Saying { flags: PRESENT, ..Saying::honest() };
    let options = world.accounts.step_up_options(&by).await.expect("options");
    let assertion = serde_json::from_value(soft.get(&options, &touched)).expect("good");
    let refused = world.accounts.step_up(&by, &StepUp::Passkey(assertion), &here).await;
    assert!(matches!(refused, Err(SignInError::Passkey(Rejection::UserVerification))), "{refused:?}");
    // For another session, and for signing in.
    let other = SelfInSession { session: crate::session::SessionId([1; 32]), ..by };
    for options in
        [world.accounts.step_up_options(&other).await.expect("options"), world.accounts.passkey_sign_in_options().expect("options")]
    {
        let assertion = serde_json::from_value(soft.get(&options, &Saying::honest())).expect("good");
        let refused = world.accounts.step_up(&by, &StepUp::Passkey(assertion), &here).await;
        assert!(matches!(refused, Err(SignInError::Passkey(Rejection::Challenge))), "{refused:?}");
    }
    assert!(!is_stepped_up(&world, &session).await);
    world.pass(Duration::from_secs(3600));
    let options = world.accounts.step_up_options(&by).await.expect("options");
    let assertion = serde_json::from_value(soft.get(&options, &Saying::honest())).expect("good");
    world.accounts.step_up(&by, &StepUp::Passkey(assertion), &here).await.expect("proven");
    assert!(is_stepped_up(&world, &session).await);
}

#[tokio::test]
async fn guessing_is_slowed_down_here_as_well() {
    let world = World::new().await;
    let (by, _) = old_session(&world).await;
    let wrong = StepUp::Password { password: secret("small boats float"), second: None };
    let mut waits = 0;
    for _ in 0..8 {
        waits += usize::from(matches!(world.accounts.step_up(&by, &wrong, &from("203.0.113.9")).await, Err(SignInError::Wait { .. })));
    }
    assert_eq!(waits, 4);
}
