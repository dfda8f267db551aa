//! Passkeys on pages, by a browser that does what the script of those pages does.

use super::{
    PASSWORD,
    authorization::{App, allow, claims, text},
    browser::{Browser, Form, location, parameter},
    doors::{Answer, Door, OURS},
    passkeys::try_adding,
    soft_authenticator::{Saying, Soft},
};
use axum::http::StatusCode;
use gatehouse_pki::KeyAlgorithm::P256;
use serde_json::json;

/// Sends the form of this page that asks for a passkey, as the script does.
async fn with_passkey(browser: &mut Browser, door: &Door, page: &Answer, soft: &mut Soft, fields: &[(&str, &str)]) -> Answer {
    let (_, html) = page.text.split_once("data-passkey").unwrap_or_else(|| panic!("{}", page.text));
    let (before, _) = page.text.split_at(page.text.len() - html.len() - "data-passkey".len());
    let form = Form::of(&page.text[before.rfind("<form").expect("a form")..]);
    let path = html.split_once("data-options=\"").and_then(|(_, rest)| rest.split_once('"')).expect("options").0;
    let cookies = browser.cookies();
    let body = form.fields.get("challenge").map_or(json!({}), |challenge| json!({ "challenge": challenge }));
    let options = door.post(path, &[("cookie", &cookies), OURS], body).await;
    assert_eq!(options.status, StatusCode::OK, "{}", options.body);
    let credential = match html.starts_with("=\"create\"") {
        true => soft.create(&options.body, &Saying::honest()),
        false => soft.get(&options.body, &Saying::honest()),
    };
    browser.send(door, &form.with(&[("credential", &credential.to_string())]).with(fields)).await
}

#[tokio::test]
async fn pages_add_a_passkey_and_let_in_with_it() {
    let door = Door::new().await;
    let (mut browser, mut soft) = (Browser::default(), Soft::new(P256).counting());
    let page = browser.get(&door, "/account/passkeys").await;
    assert!(page.headers["content-security-policy"].to_str().expect("text").contains("script-src 'self'; connect-src 'self'"));
    let mine = browser.sign_in(&door, &page, PASSWORD).await;
    assert!(mine.text.contains("You are signed in as ann@example.com."), "{}", mine.text);
    let added = with_passkey(&mut browser, &door, &mine, &mut soft, &[("name", "telephone")]).await;
    assert_eq!((added.status, added.text.matches("<li>").count()), (StatusCode::OK, 10), "{}", added.text);

    // Without a password.
    let mut browser = Browser::default();
    let page = browser.get(&door, "/account/passkeys").await;
    let answer = with_passkey(&mut browser, &door, &page, &mut soft, &[]).await;
    assert_eq!(location(&answer).as_deref(), Some("/account/passkeys"), "{}", answer.text);
    let mine = browser.get(&door, "/account/passkeys").await;
    assert!(mine.text.contains("telephone") && mine.text.contains("Remove, and sign in with the password alone"), "{}", mine.text);

    // Behind one.
    let mut other = Browser::default();
    let page = other.get(&door, "/account/passkeys").await;
    let second = other.sign_in(&door, &page, PASSWORD).await;
    let answer = with_passkey(&mut other, &door, &second, &mut soft, &[]).await;
    assert_eq!(location(&answer).as_deref(), Some("/account/passkeys"), "{}", answer.text);

    let removed = browser.send(&door, &Form::of(&mine.text)).await;
    assert!(removed.status == StatusCode::OK && !removed.text.contains("telephone"), "{}", removed.text);
    let answer = browser.get(&door, "/account/passkeys.js").await;
    assert_eq!(answer.headers["content-type"], "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn programs_are_told_that_somebody_came_with_a_passkey() {
    let door = Door::new().await;
    let (app, mut soft) = (App::new(&door).await, Soft::new(P256));
    try_adding(&door.world, &door.world.ann_lately(), &mut soft, &Saying::honest()).await.expect("added");
    let mut browser = Browser::default();
    let page = browser.get(&door, &app.path(&[])).await;
    let answer = with_passkey(&mut browser, &door, &page, &mut soft, &[]).await;
    let consent = browser.get(&door, &location(&answer).expect("an address")).await;
    let address = location(&allow(&mut browser, &door, &consent).await).expect("an address");
    let tokens = app.exchange(&door, &parameter(&address, "code").expect("a code")).await;
    assert_eq!(claims(&text(&tokens, "id_token"))["amr"], json!(["pop", "mfa"]), "{}", tokens.body);
}

#[tokio::test]
async fn another_site_adds_removes_and_lets_in_nobody() {
    let door = Door::new().await;
    let (mut browser, mut soft) = (Browser::default(), Soft::new(P256).counting());
    let page = browser.get(&door, "/account/passkeys").await;
    let mine = browser.sign_in(&door, &page, PASSWORD).await;
    with_passkey(&mut browser, &door, &mine, &mut soft, &[("name", "telephone")]).await;
    let mine = browser.get(&door, "/account/passkeys").await;
    let remove = Form::of(&mine.text);
    assert_eq!(browser.send_from("cross-site", &door, &remove).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.send(&door, &remove.clone().with(&[("proof", "guessed")])).await.status, StatusCode::BAD_REQUEST);
    let guessed =
        with_passkey(&mut browser, &door, &mine, &mut Soft::with_id(P256, vec![1]), &[("name", "two"), ("proof", "guessed")]).await;
    assert_eq!(guessed.status, StatusCode::BAD_REQUEST);
    assert_eq!(door.world.accounts.passkeys(door.world.ann.id).await.expect("read").len(), 1);
    // Login CSRF: the attacker's answer in the victim's browser.
    let mut attacker = Browser::default();
    let page = attacker.get(&door, "/account/passkeys").await;
    let mut victim = Browser::default();
    victim.get(&door, "/account/passkeys").await;
    let answer = with_passkey(&mut attacker, &door, &page, &mut soft, &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = attacker.get(&door, "/account/passkeys").await;
    assert_eq!(page.status, StatusCode::OK);
    let stolen = Browser::default().get(&door, "/account/passkeys").await;
    assert_eq!(with_passkey(&mut victim, &door, &stolen, &mut soft, &[]).await.status, StatusCode::BAD_REQUEST);
}
