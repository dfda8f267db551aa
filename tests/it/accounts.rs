//! A person's first hour: an account from the command line, a session, an authenticator, a token for a program.

use crate::{
    support::{HTTPS, curl, start_https, text},
    web::{OURS, Web},
};
use gatehouse_testkit::{
    process::{command, run},
    require_tool,
    server::Server,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{Output, Stdio},
};

const PASSWORD: &str = "tall ships sail";

/// Somebody who asks the server with curl.
struct Client<'a> {
    server: &'a Server,
}

/// An answer of the server: its status, the cookie that it sets, its body.
struct Answer {
    status: u16,
    cookie: Option<String>,
    body: Value,
}

impl Client<'_> {
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<Value>) -> Option<Answer> {
        self.ask_from("127.0.0.1", method, path, headers, body)
    }

    fn ask_from(&self, source: &str, method: &str, path: &str, headers: &[&str], body: Option<Value>) -> Option<Answer> {
        let port = self.server.address("api").port();
        let ca = self.server.installation().folder().join("ca.pem");
        let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}{path}"));
        let mut arguments = vec!["-i", "-X", method, "--interface", source, "--cacert", ca.to_str()?, "--resolve", &resolve, &url];
        headers.iter().for_each(|header| arguments.extend(["-H", header]));
        let body = body.map(|body| body.to_string());
        if let Some(body) = &body {
            arguments.extend(["-H", "content-type: application/json", "--data-binary", body]);
        }
        let output = curl(&arguments)?;
        let answer = text(&output);
        let (head, body) =
            answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&output.stderr)));
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next());
        Some(Answer {
            status: head.split(' ').nth(1)?.parse().expect("a status"),
            cookie: cookie.map(str::to_owned),
            body: serde_json::from_str(body).unwrap_or(Value::Null),
        })
    }
}

/// Runs `gatehouse admin` with this on its standard input.
pub(crate) fn admin(server: &Server, arguments: &[&str], input: &str) -> Output {
    let mut program = command(crate::support::PROGRAM);
    program.arg("--config").arg(server.installation().file()).args(["--json", "admin"]).args(arguments);
    let mut process = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    // A command that refuses its arguments does not read.
    let _ = process.stdin.take().expect("piped").write_all(input.as_bytes());
    process.wait_with_output().expect("ended")
}

/// The code that a stock authenticator shows at this moment, or a period later.
fn code(secret: &str, later: bool) -> Option<String> {
    let mut oathtool = command(require_tool("oathtool")?);
    oathtool.args(["--totp", "--base32", "--now", if later { "now + 30 seconds" } else { "now" }, secret]);
    let output = run(oathtool).expect("oathtool runs");
    assert!(output.status.success(), "{output:?}");
    Some(text(&output).trim().to_owned())
}

#[test]
fn an_organisation_is_stopped_and_let_go_on_at_the_console_with_and_without_a_server() {
    let mut server = crate::support::start(crate::support::PLAIN);
    assert!(admin(&server, &["add", "ann@example.com", "--password-stdin"], "tall ships sail").status.success());
    let told = |server: &Server, arguments: &[&str]| {
        let output = admin(server, &[&["organisation"], arguments].concat(), "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")[0].clone()
    };
    let home = told(&server, &["list"]);
    let id = home["id"].as_str().expect("an id");
    assert!(home["suspended"].is_null(), "{home}");
    assert!(!told(&server, &["suspend", id])["suspended"].is_null());
    let unknown = admin(&server, &["organisation", "suspend", "11111111-2222-4333-8444-555555555555"], "");
    assert_eq!(unknown.status.code(), Some(6), "{}", String::from_utf8_lossy(&unknown.stderr));
    server.terminate().expect("signalled");
    assert!(server.wait().expect("waited").expect("the server ends").success());
    assert!(!told(&server, &["list"])["suspended"].is_null(), "nobody serves, and it is still so");
    assert!(told(&server, &["resume", id])["suspended"].is_null());
}

#[test]
fn a_new_installation_has_nobody_in_it() {
    let server = crate::support::start(crate::support::PLAIN);
    let listed = admin(&server, &["list"], "");
    assert_eq!(serde_json::from_slice::<Value>(&listed.stdout).expect("JSON"), json!([]), "{listed:?}");
}

#[test]
fn somebody_signs_in_turns_codes_on_and_gives_a_program_a_token_for_one_address() {
    let (server, _authority) = start_https(HTTPS);
    let added = admin(&server, &["add", "ann@example.com", "--name", "Ann", "--operator", "--password-stdin"], PASSWORD);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let client = Client { server: &server };

    let credentials = json!({ "email": "ann@example.com", "password": PASSWORD });
    let Some(signed_in) = client.ask("POST", "/v1/sign-in", &[], Some(credentials.clone())) else { return };
    assert_eq!(signed_in.status, 200, "{}", signed_in.body);
    let cookie = format!("cookie: {}", signed_in.cookie.expect("a cookie"));
    let ours = [cookie.as_str(), "sec-fetch-site: same-origin"];

    let shown = client.ask("POST", "/v1/me/second-factor", &ours, None).expect("curl is there").body;
    let secret = shown["secret"].as_str().expect("a secret").to_owned();
    let Some(first) = code(&secret, false) else { return };
    let confirmed = client.ask("POST", "/v1/me/second-factor/confirm", &ours, Some(json!({ "code": first }))).expect("curl is there");
    assert_eq!((confirmed.status, confirmed.body["recovery_codes"].as_array().map(Vec::len)), (200, Some(10)), "{}", confirmed.body);

    let challenged = client.ask("POST", "/v1/sign-in", &[], Some(credentials)).expect("curl is there");
    assert!(challenged.cookie.is_none());
    let challenge = &challenged.body["second_factor"]["challenge"];
    let answer = |code: &str| json!({ "challenge": challenge, "code": code });
    let replayed = client.ask("POST", "/v1/sign-in/second-factor", &[], Some(answer(&first))).expect("curl is there");
    assert_eq!((replayed.status, &replayed.body["code"]), (401, &json!("wrong-code")));
    let next = code(&secret, true).expect("oathtool is there");
    let second = client.ask("POST", "/v1/sign-in/second-factor", &[], Some(answer(&next))).expect("curl is there");
    assert_eq!(second.status, 200, "{}", second.body);

    let wanted = json!({ "name": "deploy", "scopes": ["members:read"], "sources": "127.0.0.1" });
    let made = client.ask("POST", "/v1/tokens", &ours, Some(wanted)).expect("curl is there");
    assert_eq!(made.status, 201, "{}", made.body);
    let bearer = format!("authorization: Bearer {}", made.body["token"].as_str().expect("a token"));
    let members = client.ask("GET", "/v1/members", &[&bearer], None).expect("curl is there");
    assert_eq!((members.status, &members.body[0]["email"]), (200, &json!("ann@example.com")));
    let elsewhere = client.ask_from("127.0.0.2", "GET", "/v1/members", &[&bearer], None).expect("curl is there");
    assert_eq!((elsewhere.status, &elsewhere.body["code"]), (403, &json!("token-source")));

    let history = client.ask("GET", "/v1/me/history", &ours, None).expect("curl is there").body;
    let told: Vec<_> = history.as_array().expect("entries").iter().rev().map(|entry| entry["what"].as_str().expect("what")).collect();
    let expected = [
        "signed-in",
        "second-factor-enabled",
        "second-factor-asked",
        "sign-in-refused",
        "signed-in",
        "token-made",
        "token-used-from-new-network",
        "token-refused",
    ];
    assert_eq!(told, expected);
    let log = server.log();
    for secret in
        [PASSWORD, secret.as_str(), made.body["token"].as_str().expect("a token"), &cookie["cookie: __Host-gatehouse-session=".len()..]]
    {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[test]
fn a_program_gets_a_token_from_the_address_that_discovery_names() {
    let issuer = "https://gatehouse.example.com:8443";
    let (server, _authority) = start_https(&format!("{HTTPS}[accounts]\nissuer = \"{issuer}\"\n"));
    assert!(admin(&server, &["add", "ann@example.com", "--password-stdin"], PASSWORD).status.success());
    let client = Client { server: &server };
    let credentials = json!({ "email": "ann@example.com", "password": PASSWORD });
    let Some(signed_in) = client.ask("POST", "/v1/sign-in", &[], Some(credentials)) else { return };
    let cookie = format!("cookie: {}", signed_in.cookie.expect("a cookie"));
    let wanted = json!({ "name": "agent", "role": "viewer", "scopes": ["members:read"] });
    let made = client.ask("POST", "/v1/clients", &[&cookie, "sec-fetch-site: same-origin"], Some(wanted)).expect("curl is there");
    assert_eq!(made.status, 201, "{}", made.body);

    let discovery = client.ask("GET", "/.well-known/openid-configuration", &[], None).expect("curl is there").body;
    let path = discovery["token_endpoint"].as_str().and_then(|url| url.strip_prefix(issuer)).expect("an address of ours");
    let text = |key: &str| made.body[key].as_str().expect(key).to_owned();
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", text("id"), text("secret"));
    let port = server.address("api").port();
    let ca = server.installation().folder().join("ca.pem");
    let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}{path}"));
    let answer = curl(&["--cacert", ca.to_str().expect("path"), "--resolve", &resolve, "--data", &form, &url]).expect("curl is there");
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let bearer = format!("authorization: Bearer {}", answer["access_token"].as_str().expect("a token"));
    assert_eq!(client.ask("GET", "/v1/members", &[&bearer], None).expect("curl is there").status, 200);
    assert_eq!(client.ask("GET", "/v1/me", &[&bearer], None).expect("curl is there").status, 403);
    let key = client.ask("GET", "/oauth/jwks.json", &[], None).expect("curl is there").body["keys"][0]["kid"].clone();
    let server = server.restart().expect("the server starts again");
    let again = Client { server: &server };
    assert_eq!(again.ask("GET", "/oauth/jwks.json", &[], None).expect("curl is there").body["keys"][0]["kid"], key);
    assert_eq!(again.ask("GET", "/v1/members", &[&bearer], None).expect("curl is there").status, 200);
}

#[test]
fn accounts_outlive_the_server_and_the_console_lets_somebody_in_again() {
    let (server, _authority) = start_https(HTTPS);
    assert!(admin(&server, &["add", "ann@example.com", "--password-stdin"], PASSWORD).status.success());
    let taken = admin(&server, &["add", "ANN@example.com", "--password-stdin"], PASSWORD);
    assert_eq!(taken.status.code(), Some(7), "{}", String::from_utf8_lossy(&taken.stderr));
    let weak = admin(&server, &["add", "ben@example.com", "--password-stdin"], "password1");
    assert_eq!(weak.status.code(), Some(4), "{}", String::from_utf8_lossy(&weak.stderr));
    let reset = admin(&server, &["reset", "ann@example.com", "--password-stdin"], "small boats float\n");
    assert!(reset.status.success(), "{}", String::from_utf8_lossy(&reset.stderr));
    let server = server.restart().expect("the server starts again");
    let client = Client { server: &server };
    for (password, status) in [(PASSWORD, 401), ("small boats float", 200)] {
        let credentials = json!({ "email": "ann@example.com", "password": password });
        let Some(answer) = client.ask("POST", "/v1/sign-in", &[], Some(credentials)) else { return };
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let listed: Value = serde_json::from_slice(&admin(&server, &["list"], "").stdout).expect("JSON");
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["email"]), (Some(1), &json!("ann@example.com")));
}

#[test]
fn a_request_whose_body_comes_after_its_session_has_ended_does_nothing() {
    let mut web = Web::start("");
    web.add("ann@example.com");
    let (thief, ann) = (web.sign_in("ann@example.com"), web.sign_in("ann@example.com"));
    let session = [("cookie", thief.as_str()), OURS];
    let token = json!({ "name": "mine", "scopes": ["members:read"], "sources": "*" });
    let made = web.post_late("/v1/tokens", &session, &token, |_| {});
    assert_eq!(made.status, 201, "{made:?}");
    let late = web.post_late("/v1/tokens", &session, &token, |web| {
        let changed =
            web.post("/v1/me/password", &[("cookie", ann.as_str()), OURS], &json!({ "present": PASSWORD, "new": "small boats float" }));
        assert_eq!(changed.status, 200, "{changed:?}");
    });
    assert_eq!(late.status, 401, "{late:?}");
}
