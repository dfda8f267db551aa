//! Programs without a browser, the people who let them in, and those who guess.

use super::{
    ISSUER, PASSWORD,
    authorization::{App, allow, members, text},
    browser::{Browser, Form},
    doors::{Answer, Door},
};
use crate::{
    COMMAND_LINE,
    oauth::{DEVICE_CODES, USER_CODES},
};
use axum::http::{StatusCode, header};
use gatehouse_store::Range;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

async fn begin(door: &Door) -> Answer {
    let scope = "openid%20account%20offline_access%20members:read";
    let answer = door.form("/oauth/device_authorization", &[], &format!("client_id={COMMAND_LINE}&scope={scope}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer
}

async fn poll(door: &Door, begun: &Answer) -> Answer {
    let code = text(begun, "device_code");
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    door.form("/oauth/token", &[], &format!("grant_type={grant}&device_code={code}&client_id={COMMAND_LINE}")).await
}

/// The page that asks whether Ann lets this code in.
async fn asked(browser: &mut Browser, door: &Door, user_code: &str) -> Answer {
    let page = browser.get(door, &format!("/device?user_code={user_code}")).await;
    let page = if page.text.contains("Password") { browser.sign_in(door, &page, PASSWORD).await } else { page };
    assert!(page.text.contains(user_code), "{}", page.text);
    browser.send(door, &Form::of(&page.text)).await
}

#[tokio::test]
async fn a_command_line_is_let_in_and_acts_for_the_person() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    assert_eq!(text(&begun, "verification_uri"), format!("{ISSUER}/device"));
    assert_eq!((&begun.body["expires_in"], &begun.body["interval"]), (&json!(600), &json!(5)));
    assert_eq!(text(&poll(&door, &begun).await, "error"), "authorization_pending");
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    for shown in [&text(&begun, "user_code"), "192.0.2.1", "Gatehouse command line", "ann@example.com"] {
        assert!(page.text.contains(shown), "{shown}: {}", page.text);
    }
    let done = allow(&mut browser, &door, &page).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    door.world.pass(SECOND * 5);
    let answer = poll(&door, &begun).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let shows = format!("Bearer {}", text(&answer, "access_token"));
    assert_eq!(door.get("/v1/me", &[("authorization", &shows)]).await.body["email"], "ann@example.com");
    assert_eq!(text(&poll(&door, &begun).await, "error"), "expired_token", "a code is good once");
    assert!(answer.body["refresh_token"].is_string());
    assert_eq!(members(&door, &text(&answer, "access_token")).await, StatusCode::OK);
}

#[tokio::test]
async fn somebody_says_no_and_the_code_is_over() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    let form = Form::of(&page.text);
    let organisation = form.options[0].clone();
    let said = browser.send(&door, &form.clone().with(&[("organisation", &organisation), ("answer", "no")])).await;
    assert_eq!(said.status, StatusCode::OK);
    let changed = browser.send(&door, &form.with(&[("organisation", &organisation), ("answer", "yes")])).await;
    assert_eq!(changed.status, StatusCode::BAD_REQUEST, "an answer stands");
    assert_eq!(text(&poll(&door, &begun).await, "error"), "access_denied");
    assert_eq!(text(&poll(&door, &begun).await, "error"), "expired_token");
}

#[tokio::test]
async fn whoever_asks_too_often_is_slowed_down_and_a_code_ends_after_ten_minutes() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let error = async |door: &Door| text(&poll(door, &begun).await, "error");
    assert_eq!(error(&door).await, "authorization_pending");
    door.world.pass(SECOND * 4);
    assert_eq!(error(&door).await, "slow_down");
    door.world.pass(SECOND * 9);
    assert_eq!(error(&door).await, "slow_down", "ten seconds by now");
    door.world.pass(SECOND * 15);
    assert_eq!(error(&door).await, "authorization_pending");
    door.world.pass(SECOND * 600);
    assert_eq!(error(&door).await, "expired_token");
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert_eq!(door.world.accounts.forget_ended_device_codes().await.expect("forgotten"), 1);
}

#[tokio::test]
async fn guesses_at_short_codes_wait_longer_and_longer() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, "/device").await;
    let page = browser.sign_in(&door, &page, PASSWORD).await;
    let form = Form::of(&page.text);
    for guess in ["BCDF-GHJK", "BCDF-GHJL", "BCDF-GHJM", "nonsense"] {
        let answer = browser.send(&door, &form.clone().with(&[("user_code", guess)])).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{guess}");
    }
    let right = form.with(&[("user_code", &text(&begun, "user_code"))]);
    assert_eq!(browser.send(&door, &right).await.status, StatusCode::TOO_MANY_REQUESTS);
    door.world.pass(SECOND);
    assert!(browser.send(&door, &right).await.text.contains("asks to act for you"));
    door.world.pass(SECOND * 2);
    let again = right.with(&[("user_code", "BCDF-GHJN")]);
    assert_eq!(browser.send(&door, &again).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.send(&door, &again).await.status, StatusCode::TOO_MANY_REQUESTS, "a code of one's own forgives no guesses");
}

#[tokio::test]
async fn an_answer_comes_from_the_page_in_the_session_that_it_was_shown_in() {
    let door = Door::new().await;
    let (begun, other) = (begin(&door).await, begin(&door).await);
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    let form = Form::of(&page.text);
    let organisation = form.options[0].clone();
    let yes = form.with(&[("organisation", &organisation), ("answer", "yes")]);
    let letters = text(&other, "user_code").replace('-', "");
    for forged in [yes.clone().with(&[("proof", "x")]), yes.clone().with(&[("user_code", &letters)])] {
        assert_eq!(browser.send(&door, &forged).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(browser.send_from("cross-site", &door, &yes).await.status, StatusCode::FORBIDDEN);
    assert_eq!(Browser::default().send(&door, &yes).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(page.headers[header::X_FRAME_OPTIONS], "DENY");
    for waiting in [&begun, &other] {
        assert_eq!(text(&poll(&door, waiting).await, "error"), "authorization_pending");
    }
}

#[tokio::test]
async fn only_clients_that_may_get_codes_and_only_so_many() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let form = format!("client_id={}&client_secret={}", app.id, app.secret);
    let refused = door.form("/oauth/device_authorization", &[], &form).await;
    assert_eq!(text(&refused, "error"), "unauthorized_client");
    let root = door.form("/oauth/device_authorization", &[], &format!("client_id={COMMAND_LINE}&scope=root")).await;
    assert_eq!(text(&root, "error"), "invalid_scope");
    for _ in 0..50 {
        begin(&door).await;
    }
    let full = door.form("/oauth/device_authorization", &[], &format!("client_id={COMMAND_LINE}")).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_command_line_needs_no_secret_and_gets_nothing_for_itself() {
    let door = Door::new().await;
    for form in [
        format!("grant_type=client_credentials&client_id={COMMAND_LINE}"),
        format!("grant_type=client_credentials&client_id={COMMAND_LINE}&client_secret=x"),
    ] {
        let answer = door.form("/oauth/token", &[], &form).await;
        assert!(["unauthorized_client", "invalid_client"].contains(&text(&answer, "error").as_str()));
    }
    let looks = door.form("/oauth/introspect", &[], &format!("token=x&client_id={COMMAND_LINE}")).await;
    assert_eq!(text(&looks, "error"), "invalid_client");
    let path = format!("/oauth/authorize?client_id={COMMAND_LINE}&response_type=code&redirect_uri=http://127.0.0.1/x");
    assert_eq!(door.get(&path, &[]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_consent_that_was_taken_back_before_the_program_asked_again_is_none() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    assert_eq!(allow(&mut browser, &door, &page).await.status, StatusCode::OK);
    let (accounts, from) = (&door.world.accounts, super::from("192.0.2.1"));
    accounts.withdraw_consent(door.world.ann.id, COMMAND_LINE, &from).await.expect("withdrawn");
    assert_eq!(text(&poll(&door, &begun).await, "error"), "access_denied");
}

#[tokio::test]
async fn nobody_answers_to_a_code_that_they_were_not_shown() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, "/device").await;
    browser.sign_in(&door, &page, PASSWORD).await;
    let home = door.world.ann_at_home().await.organisation.to_string();
    for user_code in [text(&begun, "user_code").replace('-', ""), "BCDFGHJK".to_owned()] {
        let proof = browser.unkeyed_tie(&door, "form in a session", &format!("/device/answer {user_code}")).await;
        let fields = [("proof", proof.as_str()), ("user_code", &user_code), ("organisation", &home), ("answer", "yes")];
        let forged = Form { action: "/device/answer".to_owned(), fields: BTreeMap::new(), options: Vec::new() }.with(&fields);
        let answer = browser.send(&door, &forged).await;
        assert!(answer.status == StatusCode::BAD_REQUEST && answer.text.contains("was not opened here"), "{}", answer.text);
    }
    assert_eq!(text(&poll(&door, &begun).await, "error"), "authorization_pending");
}

#[tokio::test]
async fn answers_to_codes_that_are_over_are_guesses_like_others() {
    let door = Door::new().await;
    let begun = begin(&door).await;
    let mut browser = Browser::default();
    let page = asked(&mut browser, &door, &text(&begun, "user_code")).await;
    assert_eq!(allow(&mut browser, &door, &page).await.status, StatusCode::OK);
    for _ in 0..4 {
        assert_eq!(allow(&mut browser, &door, &page).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(allow(&mut browser, &door, &page).await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn whoever_has_to_give_way_is_gone_from_the_store_as_well() {
    let door = Door::with(|config| config.device_codes = 10).await;
    let accounts = &door.world.accounts;
    let begin = async |address: &str| {
        let begun = accounts.begin_device_code(COMMAND_LINE, "openid".parse().expect("a scope"), &super::from(address)).await;
        begun.expect("kept").is_some()
    };
    for host in 0..10 {
        assert!(begin(&format!("198.51.100.{host}")).await);
    }
    assert!(!begin("198.51.100.77").await, "nobody has more than this network");
    assert!(begin("203.0.113.1").await);
    for table in [DEVICE_CODES, USER_CODES] {
        assert_eq!(accounts.events.store().scan(table, Range::all(), 100).await.expect("read").len(), 10);
    }
}
