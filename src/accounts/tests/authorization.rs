//! Authorization codes as a program and a browser see them, and what both must not be able to do with them.

use super::{
    ISSUER, PASSWORD,
    browser::{Browser, Form, location, parameter},
    doors::{Answer, Door, OURS},
    secret,
};
use crate::oauth::encoded;
use axum::http::{Method, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) const CALLBACK: &str = "https://app.example.com/callback";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A client that sends people to us.
pub(super) struct App {
    pub(super) id: String,
    pub(super) secret: String,
}

impl App {
    pub(super) async fn new(door: &Door) -> Self {
        Self::with(door, json!({ "redirect_uris": [CALLBACK, "http://127.0.0.1/callback"] })).await
    }

    pub(super) async fn with(door: &Door, more: Value) -> Self {
        let cookie = door.cookie().await;
        let mut body = json!({ "name": "App <b>", "role": "owner", "scopes": ["members:read", "members:write"] });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let made = door.post("/v1/clients", &[("cookie", &cookie), OURS], body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        let text = |key: &str| made.body[key].as_str().unwrap_or_default().to_owned();
        Self { id: text("id"), secret: text("secret") }
    }

    /// The path that a browser is sent to, with changes to what is usually asked.
    pub(super) fn path(&self, changes: &[(&str, &str)]) -> String {
        let usual = [
            ("client_id", self.id.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid members:read offline_access"),
            ("state", "s/1"),
            ("nonce", "n-1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let changed = |name: &str| changes.iter().any(|(other, _)| *other == name);
        let kept = usual.into_iter().filter(|(name, _)| !changed(name)).chain(changes.iter().copied());
        let pairs: Vec<_> = kept.filter(|(_, value)| *value != "-").map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        format!("/oauth/authorize?{}", pairs.join("&"))
    }

    pub(super) async fn token(&self, door: &Door, form: &str) -> Answer {
        let shown = if self.secret.is_empty() { String::new() } else { format!("&client_secret={}", self.secret) };
        door.form("/oauth/token", &[], &format!("{form}&client_id={}{shown}", self.id)).await
    }

    pub(super) async fn exchange(&self, door: &Door, code: &str) -> Answer {
        self.token(door, &exchange(code, CALLBACK, VERIFIER)).await
    }

    /// A code that Ann said yes to.
    pub(super) async fn code(&self, door: &Door, changes: &[(&str, &str)]) -> String {
        let mut browser = Browser::default();
        let page = browser.get(door, &self.path(changes)).await;
        let consent = browser.sign_in(door, &page, PASSWORD).await;
        // Who said yes before is not asked again.
        let address = match location(&consent) {
            Some(address) => address,
            None => location(&allow(&mut browser, door, &consent).await).expect("an address"),
        };
        parameter(&address, "code").expect("a code")
    }
}

fn exchange(code: &str, redirect: &str, verifier: &str) -> String {
    format!("grant_type=authorization_code&code={code}&redirect_uri={}&code_verifier={verifier}", encoded(redirect))
}

pub(super) async fn allow(browser: &mut Browser, door: &Door, page: &Answer) -> Answer {
    let form = Form::of(&page.text);
    let organisation = form.options.first().expect("an organisation").clone();
    browser.send(door, &form.with(&[("organisation", &organisation), ("answer", "yes")])).await
}

pub(super) fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).expect("a body");
    serde_json::from_slice(&BASE64URL_NOPAD.decode(body.as_bytes()).expect("base 64")).expect("JSON")
}

pub(super) fn text(answer: &Answer, key: &str) -> String {
    answer.body[key].as_str().unwrap_or_else(|| panic!("no {key}: {}", answer.body)).to_owned()
}

pub(super) async fn members(door: &Door, token: &str) -> StatusCode {
    door.get("/v1/members", &[("authorization", &format!("Bearer {token}"))]).await.status
}

#[tokio::test]
async fn somebody_signs_in_says_yes_and_the_program_acts_for_them() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    assert_eq!(page.status, StatusCode::OK);
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    assert!(consent.text.contains("App &lt;b&gt; asks to act for you") && consent.text.contains("ann@example.com"), "{}", consent.text);
    let answer = allow(&mut browser, &door, &consent).await;
    let address = location(&answer).expect("an address");
    assert!(answer.status == StatusCode::SEE_OTHER && address.starts_with(&format!("{CALLBACK}?code=")), "{address}");
    assert_eq!((parameter(&address, "state").as_deref(), parameter(&address, "iss").as_deref()), (Some("s/1"), Some(ISSUER)));
    let answer = app.exchange(&door, &parameter(&address, "code").expect("a code")).await;
    assert_eq!((answer.status, text(&answer, "scope")), (StatusCode::OK, "openid offline_access members:read".to_owned()));
    let access = text(&answer, "access_token");
    assert_eq!(members(&door, &access).await, StatusCode::OK);
    let id = claims(&text(&answer, "id_token"));
    let expected = [("iss", ISSUER), ("aud", &app.id), ("azp", &app.id), ("nonce", "n-1"), ("sub", &door.world.ann.id.to_string())]
        .map(|(name, value)| (name, json!(value)));
    expected.into_iter().for_each(|(name, value)| assert_eq!(id[name], value, "{name}"));
    assert_eq!((&id["amr"], &id["auth_time"]), (&json!(["pwd"]), &json!(door.world.clock_secs())));
    let digest = ring::digest::digest(&ring::digest::SHA256, access.as_bytes());
    assert_eq!(id["at_hash"], BASE64URL_NOPAD.encode(&digest.as_ref()[..16]));
    let shows = format!("Bearer {access}");
    let info = door.get("/oauth/userinfo", &[("authorization", &shows)]).await;
    assert_eq!((info.status, info.body), (StatusCode::OK, json!({ "sub": door.world.ann.id })));
    for path in ["/v1/me", "/v1/me/sessions", "/v1/clients"] {
        assert_eq!(door.get(path, &[("authorization", &shows)]).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let id_token = text(&answer, "id_token");
    assert_eq!(members(&door, &id_token).await, StatusCode::UNAUTHORIZED, "an ID token is no access token");
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_before_client_and_address_are_known() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let other = App::with(&door, json!({ "redirect_uris": ["https://other.example.com/"] })).await;
    for changes in [
        &[("client_id", "-")][..],
        &[("client_id", "unknown")],
        &[("client_id", "00000000000000000000000000000000")],
        &[("client_id", &other.id)],
        &[("redirect_uri", "-")],
        &[("redirect_uri", "https://evil.example/callback")],
        &[("redirect_uri", "https://app.example.com/callback/x")],
        &[("redirect_uri", "https://app.example.com@evil.example/callback")],
        &[("redirect_uri", "https://app.example.com\\@evil.example/callback")],
        &[("redirect_uri", "https://app.example.com/callback#x")],
        &[("redirect_uri", "https://app.example.com:444/callback")],
        &[("redirect_uri", "//evil.example")],
        &[("redirect_uri", "javascript:alert(1)")],
        &[("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/")],
        &[("state", &"x".repeat(5000))],
    ] {
        let answer = door.get(&app.path(changes), &[]).await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::BAD_REQUEST, None), "{changes:?}");
        assert!(answer.text.contains("This does not go") && !answer.text.contains("evil.example"), "{}", answer.text);
    }
    let loopback = app.path(&[("redirect_uri", "http://127.0.0.1:49152/callback")]);
    assert_eq!(door.get(&loopback, &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_else_is_wrong_is_told_to_the_client_with_state_and_issuer() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    allow(&mut browser, &door, &consent).await;
    door.world.pass(Duration::from_secs(60));
    for (changes, error) in [
        (&[("response_type", "-")][..], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("code_challenge", "-")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("code_challenge_method", "-")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("scope", "openid root")], "invalid_scope"),
        (&[("scope", "clients:write")], "invalid_scope"),
        (&[("scope", "account")], "invalid_scope"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "dance")], "invalid_request"),
        (&[("prompt", "none"), ("max_age", "10")], "login_required"),
        (&[("prompt", "none"), ("scope", "members:write")], "consent_required"),
        (&[("max_age", "old")], "invalid_request"),
        (&[("request", "x")], "request_not_supported"),
        (&[("request_uri", "https://evil.example")], "request_uri_not_supported"),
        (&[("nonce", "a"), ("nonce", "b")], "invalid_request"),
    ] {
        let answer = browser.get(&door, &app.path(changes)).await;
        let address = location(&answer).unwrap_or_else(|| panic!("{changes:?}: {}", answer.text));
        assert!(
            answer.status == StatusCode::SEE_OTHER && address.starts_with(&format!("{CALLBACK}?error={error}&")),
            "{changes:?}: {address}"
        );
        assert_eq!((parameter(&address, "state").as_deref(), parameter(&address, "iss").as_deref()), (Some("s/1"), Some(ISSUER)));
    }
}

#[tokio::test]
async fn a_code_is_good_for_its_client_its_address_and_its_verifier_only() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let other = App::new(&door).await;
    let code = app.code(&door, &[]).await;
    assert_eq!(text(&other.exchange(&door, &code).await, "error"), "invalid_grant");
    assert_eq!(app.exchange(&door, &code).await.status, StatusCode::OK, "another client has not used it up");
    let wrong = format!("{VERIFIER}x");
    for (redirect, verifier) in
        [("https://app.example.com/", VERIFIER), ("http://127.0.0.1/callback", VERIFIER), (CALLBACK, wrong.as_str()), (CALLBACK, CHALLENGE)]
    {
        let code = app.code(&door, &[]).await;
        let answer = app.token(&door, &exchange(&code, redirect, verifier)).await;
        assert_eq!((answer.status, text(&answer, "error")), (StatusCode::BAD_REQUEST, "invalid_grant".to_owned()), "{redirect} {verifier}");
        assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant", "a wrong try uses it up");
    }
    let code = app.code(&door, &[]).await;
    let without = app.token(&door, &format!("grant_type=authorization_code&code={code}&redirect_uri={}", encoded(CALLBACK))).await;
    assert_eq!(text(&without, "error"), "invalid_request", "no verifier");
    door.world.pass(Duration::from_secs(60));
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant", "a minute has passed");
}

#[tokio::test]
async fn a_code_that_is_shown_twice_ends_what_the_first_one_gave() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let code = app.code(&door, &[]).await;
    let first = app.exchange(&door, &code).await;
    assert_eq!(members(&door, &text(&first, "access_token")).await, StatusCode::OK);
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant");
    assert_eq!(members(&door, &text(&first, "access_token")).await, StatusCode::UNAUTHORIZED);
    let refresh = format!("grant_type=refresh_token&refresh_token={}", text(&first, "refresh_token"));
    assert_eq!(text(&app.token(&door, &refresh).await, "error"), "invalid_grant");
}

#[tokio::test]
async fn many_uses_of_a_code_at_the_same_moment_give_one_grant_at_most() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let code = app.code(&door, &[]).await;
    let (one, two) = tokio::join!(app.exchange(&door, &code), app.exchange(&door, &code));
    assert!([one.status, two.status].iter().filter(|status| **status == StatusCode::OK).count() <= 1);
}

#[tokio::test]
async fn a_code_does_not_outlive_the_session_that_it_came_from() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let code = app.code(&door, &[]).await;
    let new = crate::NewPassword::new(secret("small boats float")).expect("a good password");
    let from = super::from("192.0.2.1");
    door.world.accounts.change_password(door.world.ann.id, &secret(PASSWORD), &new, &from).await.expect("changed");
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant");
}

#[tokio::test]
async fn a_consent_is_remembered_listed_and_taken_back() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let consent = browser.sign_in(&door, &page, PASSWORD).await;
    allow(&mut browser, &door, &consent).await;
    let silent = browser.get(&door, &app.path(&[("prompt", "none")])).await;
    let code = parameter(&location(&silent).expect("an address"), "code").expect("a code");
    let access = text(&app.exchange(&door, &code).await, "access_token");
    let asked = [
        app.path(&[("prompt", "consent")]),
        app.path(&[("scope", "openid members:read members:write")]),
        // Anybody's program on the same machine could listen there.
        app.path(&[("redirect_uri", "http://127.0.0.1:5555/callback")]),
    ];
    for path in asked {
        assert!(browser.get(&door, &path).await.text.contains("asks to act for you"), "{path}");
    }
    let cookies = browser.cookies();
    let listed = door.get("/v1/me/programs", &[("cookie", &cookies)]).await.body;
    assert_eq!((&listed[0]["client"], &listed[0]["scope"]), (&json!(app.id), &json!("openid offline_access members:read")));
    let path = format!("/v1/me/programs/{}", app.id);
    let withdrawn = door.ask(Method::DELETE, &path, &[("cookie", &cookies), OURS], None).await;
    assert_eq!(withdrawn.status, StatusCode::NO_CONTENT);
    assert_eq!(members(&door, &access).await, StatusCode::UNAUTHORIZED);
    let fields = [("cookie", cookies.as_str()), ("sec-fetch-dest", "iframe")];
    let silent = door.get(&app.path(&[("prompt", "none")]), &fields).await;
    assert_eq!(parameter(&location(&silent).expect("an address"), "error").as_deref(), Some("consent_required"));
    let again = door.ask(Method::DELETE, &path, &[("cookie", &cookies), OURS], None).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_consent_that_was_taken_back_leaves_no_code_behind() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let (accounts, from) = (&door.world.accounts, super::from("192.0.2.1"));
    let code = app.code(&door, &[]).await;
    accounts.withdraw_consent(door.world.ann.id, &app.id, &from).await.expect("withdrawn");
    assert_eq!(text(&app.exchange(&door, &code).await, "error"), "invalid_grant");
    let before = app.code(&door, &[]).await;
    door.world.pass(Duration::from_secs(1));
    accounts.withdraw_consent(door.world.ann.id, &app.id, &from).await.expect("withdrawn");
    let after = app.code(&door, &[]).await;
    assert_eq!(text(&app.exchange(&door, &before).await, "error"), "invalid_grant", "another yes is not this one");
    assert_eq!(app.exchange(&door, &after).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_that_is_shown_while_its_consent_is_taken_back_gives_nothing_that_lasts() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let (accounts, from) = (&door.world.accounts, super::from("192.0.2.1"));
    let code = app.code(&door, &[]).await;
    door.world.meeting.of_two();
    let withdrawing = accounts.withdraw_consent(door.world.ann.id, &app.id, &from);
    let (answer, withdrawn) = tokio::join!(app.exchange(&door, &code), withdrawing);
    withdrawn.expect("withdrawn");
    if answer.status == StatusCode::OK {
        assert_eq!(members(&door, &text(&answer, "access_token")).await, StatusCode::UNAUTHORIZED);
    }
    assert!(accounts.consents(door.world.ann.id).await.expect("consents").is_empty());
}

#[tokio::test]
async fn nobody_is_sent_on_to_a_program_that_they_have_not_let_in_before_they_have_seen_a_page_of_ours() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let (silent, wrong) = (app.path(&[("prompt", "none")]), app.path(&[("scope", "root")]));
    let mut ann = Browser::default();
    let page = ann.get(&door, "/device").await;
    ann.sign_in(&door, &page, PASSWORD).await;
    for browser in [&mut Browser::default(), &mut ann] {
        for (path, error) in [(&silent, "_required"), (&wrong, "invalid_scope")] {
            let answer = browser.get(&door, path).await;
            assert_eq!((answer.status, location(&answer)), (StatusCode::BAD_REQUEST, None), "{path}");
            // The way on is a link, for who wants to go there.
            assert!(
                answer.text.contains("href=\"https://app.example.com/callback?error=") && answer.text.contains(error),
                "{}",
                answer.text
            );
            assert!(answer.text.contains("App &lt;b&gt;") && answer.text.contains("It is at"), "{}", answer.text);
            let unseen = [("cookie", browser.cookies()), ("sec-fetch-dest", "iframe".to_owned())];
            let unseen = door.get(path, &unseen.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
            assert_eq!(unseen.status, StatusCode::SEE_OTHER, "pages ask in a part of them that nobody sees");
        }
    }
}

#[tokio::test]
async fn a_program_that_the_operator_vouches_for_is_told_at_once() {
    let door = Door::new().await;
    let new = crate::NewClient {
        name: "Portal".to_owned(),
        role: crate::Role::Viewer,
        rights: Vec::new(),
        authentication: crate::Authentication::None,
        redirect_uris: vec![CALLBACK.to_owned().try_into().expect("an address")],
        keys: Vec::new(),
        certificate: None,
        bound: false,
        device_code: false,
    };
    let (info, _) = door.world.accounts.make_installation_client(new, false).await.expect("made");
    let app = App { id: info.id.to_string(), secret: String::new() };
    let silent = door.get(&app.path(&[("prompt", "none"), ("scope", "openid")]), &[]).await;
    assert_eq!(parameter(&location(&silent).expect("an address"), "error").as_deref(), Some("login_required"));
}

#[tokio::test]
async fn nobody_makes_the_mark_of_a_sign_in_themselves() {
    let door = Door::new().await;
    let app = App::new(&door).await;
    let mut browser = Browser::default();
    let page = browser.get(&door, "/device").await;
    browser.sign_in(&door, &page, PASSWORD).await;
    let path = app.path(&[("prompt", "login")]);
    let query = path.split_once('?').expect("a query").1;
    let forged = browser.unkeyed_tie(&door, "session for a request", query).await;
    let answer = browser.get(&door, &format!("{path}&gatehouse_signed_in={forged}")).await;
    assert!(answer.text.contains("Password"), "{}", answer.text);
}
