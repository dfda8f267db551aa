//! A person's and a program's life with the real program at its most talkative, after which no secret may be anywhere.
//!
//! Links may stand in the letters that were captured, which is what capturing is for, and nowhere else.

use crate::{
    canary_flows::{grants, letters},
    secrets::Secrets,
    support::{PLAIN, UNHURRIED, curl, text},
    web::{OURS, PASSWORD, Reply, Web},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use gatehouse_testkit::{
    process::{command, run},
    require_tool,
};
use serde_json::{Value, json};

/// The one of the test's installation (`gatehouse-key-1:` and this).
const CUSTODY_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

/// What was said to clients, without the answers that are there to show a secret once.
#[derive(Default)]
pub(crate) struct Heard(String);

impl Heard {
    pub(crate) fn reply(&mut self, reply: &Reply) {
        self.0.push_str(&format!("{} {:?} {}\n", reply.status, reply.fields, reply.body));
    }
}

/// The code that a stock authenticator shows, so many periods from now.
fn code(secret: &str, periods: u32) -> Option<String> {
    let mut oathtool = command(require_tool("oathtool")?);
    oathtool.args(["--totp", "--base32", "--now", &format!("now + {} seconds", periods * 30), secret]);
    Some(text(&run(oathtool).expect("oathtool runs")).trim().to_owned())
}

#[test]
fn no_secret_is_in_a_log_a_metric_an_answer_a_record_or_a_file() {
    let trace = "\n[log]\nlevel = \"trace\"\n[accounts]\nissuer = \"https://localhost:8443\"\nregistration = true\n";
    let mut web = Web::start(&format!("{trace}[mail]\ncapture = \"letters\"\n[http]\n{UNHURRIED}{PLAIN}"));
    let (mut secrets, mut heard) = (Secrets::default(), Heard::default());
    secrets.plant("password", PASSWORD);
    secrets.plant("custody key", CUSTODY_KEY);
    secrets.plant("custody key's bytes", (0..32).collect::<Vec<u8>>());
    web.add("ann@example.com");
    people(&mut web, &mut secrets, &mut heard);
    programs(&mut web, &mut secrets, &mut heard);
    letters(&mut web, &mut secrets, &mut heard);
    grants(&mut web, &mut secrets, &mut heard);
    badly_put(&mut web, &mut heard);

    let metrics = curl(&[&format!("http://{}/metrics", web.server.address("metrics"))]).map(|output| text(&output)).unwrap_or_default();
    let status = web.server.command(&["--json", "status"]);
    let people = web.server.command(&["--json", "admin", "list"]);
    let log = web.server.log();
    assert!(log.contains("TRACE") || log.contains("\"trace\"") || log.to_lowercase().contains("trace"), "the log is talkative");
    let mut found = secrets.found_in("the log", log.as_bytes());
    found.extend(secrets.found_in("the metrics", metrics.as_bytes()));
    found.extend(secrets.found_in("an answer", heard.0.as_bytes()));
    found.extend(secrets.found_in("what the commands say", format!("{status}{people}").as_bytes()));
    found.extend(secrets.found_below(&web.server.installation().folder().join("data")));
    assert_eq!(found, Vec::<String>::new());
    // The search would have seen it.
    assert!(!secrets.found_in("the log", format!("{log}{PASSWORD}").as_bytes()).is_empty());
    assert!(!secrets.found_in("an answer", format!("{}{}", heard.0, STANDARD.encode(PASSWORD)).as_bytes()).is_empty());
}

fn people(web: &mut Web, secrets: &mut Secrets, heard: &mut Heard) {
    let credentials = json!({ "email": "ann@example.com", "password": PASSWORD });
    let signed_in = web.post("/v1/sign-in", &[], &credentials);
    let cookie = signed_in.field("set-cookie").expect("a cookie").split(';').next().expect("a pair").to_owned();
    secrets.plant("session", cookie.split_once('=').expect("a pair").1);
    let ours = [("cookie", cookie.as_str()), OURS];
    let shown = web.post("/v1/me/second-factor", &ours, &json!({})).text("secret");
    secrets.plant("authenticator's secret", &shown);
    if let Some(first) = code(&shown, 0) {
        let confirmed = web.post("/v1/me/second-factor/confirm", &ours, &json!({ "code": first })).json();
        let codes: Vec<_> =
            confirmed["recovery_codes"].as_array().expect("codes").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        codes.iter().for_each(|code| secrets.plant("recovery code", code));
        let asked = web.post("/v1/sign-in", &[], &credentials).json();
        let challenge = asked["second_factor"]["challenge"].as_str().expect("a challenge").to_owned();
        secrets.plant("challenge", &challenge);
        heard.reply(&web.post("/v1/sign-in/second-factor", &[], &json!({ "challenge": challenge, "code": "000000" })));
        let with_recovery = json!({ "challenge": challenge, "recovery_code": codes[0] });
        let second = web.post("/v1/sign-in/second-factor", &[], &with_recovery);
        assert_eq!(second.status, 200, "{second:?}");
        secrets.plant("second session", second.field("set-cookie").expect("a cookie").split(['=', ';']).nth(1).expect("a value"));
        heard.reply(&web.post("/v1/me/second-factor/disable", &ours, &json!({ "recovery_code": codes[1] })));
    }
    let made = web.post("/v1/tokens", &ours, &json!({ "name": "deploy", "scopes": ["members:read"], "sources": "192.0.2.1" }));
    secrets.plant("API token", made.text("token"));
    let bearer = format!("Bearer {}", made.text("token"));
    heard.reply(&web.get("/v1/members", &[("authorization", &bearer)]));
    heard.reply(&web.post("/v1/me/password", &ours, &json!({ "present": PASSWORD, "new": "password1" })));
    for path in ["/v1/me", "/v1/me/history", "/v1/me/sessions", "/v1/tokens", "/v1/members", "/v1/clients"] {
        heard.reply(&web.get(path, &ours));
    }
}

fn programs(web: &mut Web, secrets: &mut Secrets, heard: &mut Heard) {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    web.add("ben@example.com");
    let cookie = web.sign_in("ben@example.com");
    secrets.plant("Ben's session", cookie.split_once('=').expect("a pair").1);
    let ours = [("cookie", cookie.as_str()), OURS];
    let program = web.post("/v1/clients", &ours, &json!({ "name": "agent", "role": "viewer", "scopes": ["members:read"] }));
    let (id, secret) = (program.text("id"), program.text("secret"));
    secrets.plant("client's secret", &secret);
    let shows = format!("client_id={id}&client_secret={secret}");
    let token = web.send("POST", "/oauth/token", &form, &format!("grant_type=client_credentials&{shows}")).text("access_token");
    secrets.plant("access token", &token);
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
    for (path, body) in [
        ("/oauth/token", "grant_type=password".to_owned()),
        ("/oauth/token", format!("grant_type=client_credentials&{shows}")),
        ("/oauth/token", "grant_type=client_credentials&scope=nonsense".to_owned()),
        ("/oauth/introspect", format!("token={token}")),
        ("/oauth/revoke", format!("token={token}")),
    ] {
        let fields = [&form[..], &[("authorization", &basic)]].concat();
        heard.reply(&web.send("POST", path, &fields, &body));
    }
    heard.reply(&web.get("/v1/members", &[("authorization", &format!("Bearer {token}"))]));
    heard.reply(&web.get("/v1/clients", &ours));
    heard.reply(&web.get("/oauth/jwks.json", &[]));
}

/// Secrets where they do not belong: errors must not say them back.
fn badly_put(web: &mut Web, heard: &mut Heard) {
    for body in [
        json!({ "email": PASSWORD, "password": PASSWORD }),
        json!({ "email": [PASSWORD], "password": PASSWORD }),
        json!({ "email": "ann@example.com", "password": { "is": PASSWORD } }),
        json!({ "email": "ann@example.com", "password": PASSWORD, "other": PASSWORD }),
        json!(PASSWORD),
    ] {
        heard.reply(&web.post("/v1/sign-in", &[], &body));
    }
    let json_type = [("content-type", "application/json")];
    heard.reply(&web.send("POST", "/v1/sign-in", &json_type, &format!("{{\"email\": \"ann@example.com\", \"password\": \"{PASSWORD}")));
    heard.reply(&web.send("POST", "/v1/sign-in", &[("content-type", PASSWORD)], PASSWORD));
    for value in [PASSWORD.to_owned(), format!("Bearer {PASSWORD}"), format!("Basic {}", STANDARD.encode(PASSWORD))] {
        heard.reply(&web.get("/v1/me", &[("authorization", &value)]));
    }
    heard.reply(&web.get("/v1/me", &[("gatehouse-organisation", PASSWORD)]));
}
