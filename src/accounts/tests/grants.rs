//! Refresh tokens, and everything that ends what somebody let a program do.

use super::{
    PASSWORD,
    authorization::{App, members, text},
    browser::Browser,
    doors::{Answer, Door},
    from, secret,
};
use crate::{
    Happening, Member, NewPassword, NewToken, Right, Role, Sources,
    oauth::{CONSENTS, GRANTS},
};
use axum::http::StatusCode;
use serde_json::json;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

async fn first(door: &Door, app: &App) -> Answer {
    let answer = app.exchange(door, &app.code(door, &[]).await).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer
}

async fn refresh(door: &Door, app: &App, token: &str) -> Answer {
    app.token(door, &format!("grant_type=refresh_token&refresh_token={token}")).await
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_an_old_one_ends_the_grant() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let one = text(&first(&door, &app).await, "refresh_token");
    let second = refresh(&door, &app, &one).await;
    assert_eq!((second.status, text(&second, "scope")), (StatusCode::OK, "openid offline_access members:read".to_owned()));
    let third = refresh(&door, &app, &text(&second, "refresh_token")).await;
    let access = text(&third, "access_token");
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    assert_eq!(text(&refresh(&door, &app, &one).await, "error"), "invalid_grant");
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(text(&refresh(&door, &app, &text(&third, "refresh_token")).await, "error"), "invalid_grant");
    assert_eq!(door.world.history().await[0], Happening::ProgramTokenReplayed { client: app.id.clone() });
}

#[tokio::test]
async fn two_uses_at_the_same_moment_are_one_and_a_theft() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let token = text(&first(&door, &app).await, "refresh_token");
    let (one, two) = tokio::join!(refresh(&door, &app, &token), refresh(&door, &app, &token));
    assert!([one, two].iter().filter(|answer| answer.status == StatusCode::OK).count() <= 1);
}

#[tokio::test]
async fn what_is_granted_at_the_moment_of_a_changed_password_ends_with_it() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let code = app.code(&door, &[]).await;
    let (ann, here) = (door.world.ann.id, from("192.0.2.1"));
    let (present, new) = (secret(PASSWORD), NewPassword::new(secret("small boats float")).expect("good"));
    door.world.meeting.of_two();
    let exchange = async {
        door.world.meeting.first().await;
        app.exchange(&door, &code).await
    };
    let (granted, changed) = tokio::join!(exchange, door.world.accounts.change_password(ann, &present, &new, &here));
    changed.expect("changed");
    assert_eq!(granted.status, StatusCode::OK, "it came first");
    assert_eq!(text(&refresh(&door, &app, &text(&granted, "refresh_token")).await, "error"), "invalid_grant");
}

#[tokio::test]
async fn a_suspended_organisation_gets_no_tokens_for_codes_or_refresh_tokens() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let token = text(&first(&door, &app).await, "refresh_token");
    let code = app.code(&door, &[]).await;
    let home = door.world.ann_at_home().await.organisation;
    door.world.accounts.suspend(home).await.expect("suspended");
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant");
    assert_eq!(text(&refresh(&door, &app, &token).await, "error"), "invalid_grant");
    door.world.accounts.resume(home).await.expect("resumed");
    assert_eq!(text(&refresh(&door, &app, &token).await, "error"), "invalid_grant", "people let programs in again");
    first(&door, &app).await;
}

#[tokio::test]
async fn a_text_that_is_no_token_ends_nothing() {
    let door = Door::new().await;
    let (app, other) = (App::new(&door).await, App::new(&door).await);
    let token = text(&first(&door, &app).await, "refresh_token");
    for wrong in ["", "gtr_", "gtr_x", &token[..token.len() - 1], &format!("{token}x"), &token.to_uppercase()] {
        assert_eq!(refresh(&door, &app, wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(text(&refresh(&door, &other, &token).await, "error"), "invalid_grant", "another client");
    assert_eq!(refresh(&door, &app, &token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn less_can_be_asked_for_and_more_cannot() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let token = text(&first(&door, &app).await, "refresh_token");
    let ask = |scope: &str, token: &str| format!("grant_type=refresh_token&scope={scope}&refresh_token={token}");
    let more = app.token(&door, &ask("members:write", &token)).await;
    assert_eq!(text(&more, "error"), "invalid_scope");
    let less = app.token(&door, &ask("openid", &token)).await;
    assert_eq!(text(&less, "scope"), "openid");
    assert_eq!(members(&door, &text(&less, "access_token")).await, StatusCode::FORBIDDEN);
    let whole = refresh(&door, &app, &text(&less, "refresh_token")).await;
    assert_eq!(text(&whole, "scope"), "openid offline_access members:read", "the grant keeps what it has");
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_refresh_token() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let code = app.code(&door, &[("scope", "openid members:read")]).await;
    let answer = app.exchange(&door, &code).await;
    assert!(answer.body.get("refresh_token").is_none());
    let access = text(&answer, "access_token");
    door.world.pass(Duration::from_secs(599));
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    door.world.pass(Duration::from_secs(1));
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_grant_ends_when_it_is_not_used_and_at_last_in_any_case() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let (mut token, idle) = (text(&first(&door, &app).await, "refresh_token"), text(&first(&door, &app).await, "refresh_token"));
    for _ in 0..6 {
        door.world.pass(DAY * 13);
        token = text(&refresh(&door, &app, &token).await, "refresh_token");
    }
    assert_eq!(text(&refresh(&door, &app, &idle).await, "error"), "invalid_grant");
    door.world.pass(DAY * 12);
    assert_eq!(text(&refresh(&door, &app, &token).await, "error"), "invalid_grant");
    door.world.accounts.forget_ended().await.expect("forgotten");
    assert_eq!(door.world.accounts.forget_ended_grants().await.expect("forgotten"), 0);
}

#[tokio::test]
async fn a_password_that_changes_or_is_reset_ends_every_grant() {
    for reset in [false, true] {
        let door = Door::new().await;
        let app = App::new(&door).await;
        let answer = first(&door, &app).await;
        let new = NewPassword::new(secret("small boats float")).expect("a good password");
        if reset {
            let email = "ann@example.com".parse().expect("an address");
            door.world.accounts.reset(&email, &new).await.expect("reset");
        } else {
            door.world.accounts.change_password(door.world.ann.id, &secret(PASSWORD), &new, &from("192.0.2.1")).await.expect("changed");
        }
        assert_eq!(members(&door, &text(&answer, "access_token")).await, StatusCode::UNAUTHORIZED);
        assert_eq!(text(&refresh(&door, &app, &text(&answer, "refresh_token")).await, "error"), "invalid_grant");
    }
}

#[tokio::test]
async fn a_grant_has_no_more_than_the_role_and_ends_with_the_membership() {
    let door = Door::new().await;
    let accounts = &door.world.accounts;
    let ben = super::add(accounts, "ben@example.com").await;
    let home = door.world.ann_at_home().await;
    accounts.enter(ben.id, home.organisation, Role::Owner).await;
    let app = App::new(&door).await;
    let answer = first(&door, &app).await;
    let access = text(&answer, "access_token");
    accounts.enter(door.world.ann.id, home.organisation, Role::Factory).await;
    assert_eq!(members(&door, &access).await, StatusCode::FORBIDDEN);
    let owner = Member { person: Some(ben.id), ..home };
    accounts.remove_member(&owner, door.world.ann.id).await.expect("removed");
    accounts.enter(door.world.ann.id, home.organisation, Role::Owner).await;
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED, "it does not come back with the person");
    assert_eq!(text(&refresh(&door, &app, &text(&answer, "refresh_token")).await, "error"), "invalid_grant");
}

#[tokio::test]
async fn a_client_looks_at_its_tokens_and_revokes_them() {
    let door = Door::new().await;
    let (app, other) = (App::new(&door).await, App::new(&door).await);
    let answer = first(&door, &app).await;
    let (access, token) = (text(&answer, "access_token"), text(&answer, "refresh_token"));
    let ask = async |app: &App, path: &str, token: &str| {
        door.form(path, &[], &format!("token={token}&client_id={}&client_secret={}", app.id, app.secret)).await
    };
    for shown in [&access, &token] {
        let told = ask(&app, "/oauth/introspect", shown).await.body;
        assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!(door.world.ann.id)), "{told}");
    }
    assert_eq!(ask(&other, "/oauth/introspect", &token).await.body, json!({ "active": false }));
    ask(&other, "/oauth/revoke", &token).await;
    assert_eq!(members(&door, &access).await, StatusCode::OK, "another client's token is left alone");
    assert_eq!(ask(&app, "/oauth/revoke", &token).await.status, StatusCode::OK);
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&app, "/oauth/introspect", &token).await.body, json!({ "active": false }));
}

#[tokio::test]
async fn a_removed_client_loses_what_people_let_it_do() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let answer = first(&door, &app).await;
    let home = door.world.ann_at_home().await;
    door.world.accounts.remove_client(&home, &app.id).await.expect("removed");
    assert_eq!(members(&door, &text(&answer, "access_token")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(text(&refresh(&door, &app, &text(&answer, "refresh_token")).await, "error"), "invalid_client");
    let page = Browser::default().get(&door, &app.path(&[])).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_a_member_made_and_allowed_in_an_organisation_does_not_come_back_with_them() {
    let door = Door::new().await;
    let accounts = &door.world.accounts;
    let home = door.world.ann_at_home().await;
    let ben = super::add(accounts, "ben@example.com").await;
    accounts.enter(ben.id, home.organisation, Role::Owner).await;
    let app = App::new(&door).await;
    first(&door, &app).await;
    let elsewhere = accounts.add_organisation(door.world.ann.id, "Acme").await.expect("made").id;
    let new = || NewToken { name: "deploy".to_owned(), rights: vec![Right::ReadMembers], sources: Sources::Any, expires: None };
    let here = from("192.0.2.1");
    let (_, token) = accounts.make_token(&home, new(), &here).await.expect("made");
    let there = Member::of(door.world.ann.id, elsewhere, Role::Owner).lately(true);
    let (_, other) = accounts.make_token(&there, new(), &here).await.expect("made");
    accounts.remove_member(&Member::of(ben.id, home.organisation, Role::Owner).lately(true), door.world.ann.id).await.expect("removed");
    accounts.enter(door.world.ann.id, home.organisation, Role::Owner).await;
    assert!(accounts.token(&token, &here).await.is_err());
    assert!(accounts.token(&other, &here).await.is_ok(), "what is elsewhere stays");
    assert!(accounts.consents(door.world.ann.id).await.expect("consents").is_empty());
}

#[tokio::test]
async fn nothing_of_what_somebody_let_programs_do_is_left_when_their_account_goes() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    first(&door, &app).await;
    let store = door.world.accounts.events.store();
    let left = async || {
        let [consents, grants] = [CONSENTS, GRANTS].map(|table| store.scan(table, gatehouse_store::Range::all(), 10));
        (consents.await.expect("read").len(), grants.await.expect("read").len())
    };
    assert_eq!(left().await, (1, 1));
    door.world.accounts.remove_account(&door.world.ann_lately(), &secret(PASSWORD), &from("192.0.2.1")).await.expect("removed");
    assert_eq!(left().await, (0, 0));
}
