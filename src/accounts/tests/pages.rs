//! The pages that people sign in and answer on, and what other sites must not be able to do with them.

use super::{
    PASSWORD, add,
    authorization::{App, CALLBACK, allow, claims, text},
    browser::{Browser, Form, location, parameter},
    doors::Door,
    secret,
};
use crate::{Role, SignedIn};
use axum::http::{StatusCode, header};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn signing_in_again_is_asked_for_once_and_not_for_ever() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    allow(&mut browser, &door, &consent).await;
    door.world.pass(Duration::from_secs(100));
    for changes in [&[("prompt", "login")][..], &[("max_age", "0")], &[("max_age", "99")], &[("prompt", "select_account")]] {
        let page = browser.get(&door, &app.path(changes)).await;
        assert!(page.text.contains("Password"), "{changes:?}: {}", page.text);
        let answer = browser.sign_in(&door, &page, PASSWORD).await;
        assert!(location(&answer).is_some_and(|address| address.starts_with(CALLBACK)), "{changes:?}: {}", answer.text);
        door.world.pass(Duration::from_secs(100));
    }
    let silent = browser.get(&door, &app.path(&[("max_age", "200")])).await;
    assert!(location(&silent).is_some_and(|address| address.starts_with(CALLBACK)));
    let forged = format!("{}&gatehouse_signed_in={}", app.path(&[("prompt", "login")]), "A".repeat(43));
    assert!(browser.get(&door, &forged).await.text.contains("Password"));
}

#[tokio::test]
async fn nobody_is_signed_in_by_another_site_and_a_new_session_begins() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let filled = Form::of(&page.text).with(&[("email", "ann@example.com"), ("password", PASSWORD)]);
    // Login CSRF: the form of the attacker's browser, in another one with and without a cookie of its own.
    let mut victim = Browser::default();
    assert_eq!(victim.send(&door, &filled).await.status, StatusCode::FORBIDDEN);
    victim.get(&door, &app.path(&[])).await;
    assert_eq!(victim.send(&door, &filled).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.clone().send_from("cross-site", &door, &filled).await.status, StatusCode::FORBIDDEN);
    let elsewhere = filled.clone().with(&[("next", "/device")]);
    assert_eq!(browser.clone().send(&door, &elsewhere).await.status, StatusCode::FORBIDDEN, "another aim");
    for next in ["https://evil.example/", "//evil.example", "/v1/me"] {
        let answer = browser.clone().send(&door, &filled.clone().with(&[("next", next)])).await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::BAD_REQUEST, None), "{next}");
    }
    // Fixation: a session that was there before is not gone on with.
    let planted = match door.world.accounts.sign_in("ann@example.com", &secret(PASSWORD), &super::from("203.0.113.9")).await {
        Ok(SignedIn::Session(session)) => crate::secret::text(&session.secret),
        other => panic!("{other:?}"),
    };
    browser.cookies.insert("__Host-gatehouse-session".to_owned(), planted.clone());
    let answer = browser.send(&door, &filled).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_ne!(browser.cookies["__Host-gatehouse-session"], planted);
    let before = format!("__Host-gatehouse-session={planted}");
    assert_eq!(door.get("/v1/me", &[("cookie", &before)]).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_consent_comes_from_the_page_in_the_session_that_it_was_shown_in() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    let form = Form::of(&consent.text);
    let organisation = form.options[0].clone();
    let yes = form.with(&[("organisation", &organisation), ("answer", "yes")]);
    let more = yes.fields["next"].replace("members%3Aread", "members%3Awrite");
    for forged in [
        yes.clone().with(&[("proof", "")]),
        yes.clone().with(&[("proof", &"A".repeat(43))]),
        yes.clone().with(&[("next", &more)]),
        yes.clone().with(&[("organisation", "11111111-2222-4333-8444-555555555555")]),
    ] {
        let answer = browser.send(&door, &forged).await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::BAD_REQUEST, None));
    }
    assert_eq!(browser.send_from("cross-site", &door, &yes).await.status, StatusCode::FORBIDDEN);
    let mut other = Browser::default();
    let page = other.get(&door, &app.path(&[])).await;
    other.sign_in(&door, &page, PASSWORD).await;
    assert_eq!(other.send(&door, &yes).await.status, StatusCode::BAD_REQUEST, "another session");
    assert_eq!(Browser::default().send(&door, &yes).await.status, StatusCode::BAD_REQUEST, "no session");
    let no = browser.send(&door, &yes.clone().with(&[("answer", "no")])).await;
    assert_eq!(parameter(&location(&no).expect("an address"), "error").as_deref(), Some("access_denied"));
    assert!(location(&browser.send(&door, &yes).await).is_some_and(|address| address.starts_with(&format!("{CALLBACK}?code="))));
}

#[tokio::test]
async fn every_page_is_framed_nowhere_kept_nowhere_and_tells_nobody_where_it_was() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let sign_in = browser.get(&door, &app.path(&[])).await;
    let consent = browser.clone().sign_in(&door, &sign_in, PASSWORD).await;
    let wrong = browser.clone().sign_in(&door, &sign_in, "wrong password").await;
    let refused = door.get(&app.path(&[("client_id", "unknown")]), &[]).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    for page in [sign_in, consent, wrong, refused] {
        let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(
            (&page.headers[header::X_FRAME_OPTIONS], &page.headers[header::CACHE_CONTROL]),
            (&"DENY".parse().expect("value"), &"no-store".parse().expect("value"))
        );
        assert_eq!(page.headers[header::REFERRER_POLICY], "no-referrer");
        let rest = page.text.replace("<script src=\"/account/passkeys.js\" defer></script>", "");
        assert!(!rest.contains("<script") && !page.text.contains("<b>"), "{}", page.text);
    }
}

#[tokio::test]
async fn a_second_factor_is_asked_for_on_a_page_and_told_to_the_program() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let codes = door.world.with_second_factor().await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let second = browser.sign_in(&door, &page, PASSWORD).await;
    assert!(second.text.contains("authenticator"), "{}", second.text);
    let wrong = browser.send(&door, &Form::of(&second.text).with(&[("code", "000000")])).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let answer = browser.send(&door, &Form::of(&wrong.text).with(&[("recovery_code", &codes[0])])).await;
    let consent = browser.get(&door, &location(&answer).expect("an address")).await;
    let answer = allow(&mut browser, &door, &consent).await;
    let code = parameter(&location(&answer).expect("an address"), "code").expect("a code");
    let id = claims(&text(&app.exchange(&door, &code).await, "id_token"));
    assert_eq!(id["amr"], json!(["pwd", "mfa"]));
}

#[tokio::test]
async fn guesses_at_a_password_wait_on_the_page_as_everywhere() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    for _ in 0..4 {
        assert_eq!(browser.sign_in(&door, &page, "wrong password").await.status, StatusCode::UNAUTHORIZED);
    }
    let waits = browser.sign_in(&door, &page, PASSWORD).await;
    assert_eq!(waits.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(waits.headers.contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn a_program_acts_in_its_own_organisation_and_one_of_ours_where_it_is_let() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let ben = add(&door.world.accounts, "ben@example.com").await;
    let acme = door.world.accounts.add_organisation(ben.id, "Acme").await.expect("made");
    door.world.accounts.enter(door.world.ann.id, acme.id, Role::Viewer).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    assert_eq!(Form::of(&consent.text).options.len(), 1, "only where it belongs");
    let new = crate::NewClient {
        name: "Console".to_owned(),
        role: Role::Owner,
        rights: crate::Right::ALL.to_vec(),
        authentication: crate::Authentication::None,
        redirect_uris: vec![CALLBACK.to_owned().try_into().expect("an address")],
        keys: Vec::new(),
        device_code: false,
        certificate: None,
        bound: false,
    };
    let (info, none) = door.world.accounts.make_installation_client(new, true).await.expect("made");
    assert!(none.is_none());
    let ours = App { id: info.id.to_string(), secret: String::new() };
    let path = ours.path(&[("scope", "account members:read members:write")]);
    let consent = browser.get(&door, &path).await;
    let form = Form::of(&consent.text);
    assert_eq!(form.options.len(), 2);
    let yes = browser.send(&door, &form.with(&[("organisation", &acme.id.to_string()), ("answer", "yes")])).await;
    let answer = ours.exchange(&door, &parameter(&location(&yes).expect("an address"), "code").expect("a code")).await;
    assert_eq!(text(&answer, "scope"), "account members:read", "no more than a viewer has");
    let shows = format!("Bearer {}", text(&answer, "access_token"));
    assert_eq!(door.get("/v1/me", &[("authorization", &shows)]).await.status, StatusCode::OK);
    assert_eq!(door.get("/v1/members", &[("authorization", &shows)]).await.status, StatusCode::OK);
    assert_eq!(door.get("/v1/me/sessions", &[("authorization", &shows)]).await.status, StatusCode::FORBIDDEN);
    let again = browser.get(&door, &path).await;
    assert!(location(&again).is_some(), "one organisation was chosen before");
}

#[tokio::test]
async fn what_is_typed_as_a_password_is_hidden_and_managers_of_passwords_are_helped() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let sign_in = Browser::default().get(&door, &app.path(&[])).await;
    let field = |page: &str| {
        let (_, rest) = page.split_once("name=\"password\"").unwrap_or_else(|| panic!("no field: {page}"));
        rest.split_once('>').expect("a tag").0.to_owned()
    };
    let present = field(&sign_in.text);
    assert!(present.contains("type=\"password\"") && present.contains("autocomplete=\"current-password\""), "{present}");
    let new = field(&door.get("/account/reset?secret=x", &[]).await.text);
    assert!(new.contains("type=\"password\"") && new.contains("autocomplete=\"new-password\""), "{new}");
    let ours = "<script src=\"/account/passkeys.js\" defer></script>";
    assert!(!sign_in.text.replace(ours, "").contains("<script") && !sign_in.text.contains("onpaste"));
}
