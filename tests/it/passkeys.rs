//! Passkeys as people meet them: Chromium, with an authenticator of its own, on the real pages of a real server.

use crate::{
    oauth::{EMAIL, PASSWORD, Provider, with_input},
    support::text,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use gatehouse_pki::Certificate;
use gatehouse_testkit::{missing, process::command};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// What Debian calls the browser without windows.
const CHROMIUM: &str = "/usr/bin/chromium-headless-shell";

#[test]
fn chromium_adds_a_passkey_and_lets_in_with_it() {
    if !Path::new(CHROMIUM).exists() {
        missing("chromium-headless-shell", "it is not installed");
        return;
    }
    let provider = Provider::new();
    let chain = fs::read(provider.folder().join("chain.pem")).expect("readable");
    // The browser believes this one key, and makes no exception for anything else.
    let leaf = Certificate::chain_from_pem(&chain).expect("a chain").remove(0);
    let key = BASE64_STANDARD.encode(digest(&SHA256, leaf.public_key().spki_der()).as_ref());
    let mut browser = command("/usr/bin/python3");
    browser.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/passkey_browser.py"));
    browser.args([CHROMIUM, &provider.issuer, &key, EMAIL]);
    let output = with_input(browser, PASSWORD);
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), provider.server.log());
    let proven: Value = serde_json::from_str(text(&output).trim()).expect("JSON");
    let expected = ["added", "without a password", "behind a password", "not twice", "not without a finger", "without a script"];
    assert_eq!(proven, json!(expected));
}
