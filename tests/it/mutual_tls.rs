//! The listener that asks clients for certificates, and what programs get there, with curl as referee.

use crate::{
    support::{ForeignAuthority, HTTPS, PROGRAM, curl, text},
    web::{OURS, Web},
};
use gatehouse_testkit::server::Installation;
use serde_json::{Value, json};
use std::{fs, path::Path};

const CERTIFIED: &str = "
[listener.certified]
address = \"127.0.0.1:0\"
role = \"https\"
certificate = \"chain.pem\"
key = \"key.pem\"
client_anchors = \"clients.pem\"
[accounts]
issuer = \"https://localhost:8443\"
certified_address = \"https://localhost:8445\"
";

/// A server with both kinds of listeners, and three certificates of clients in its folder: one that is registered, another one of the same
/// authority, and one of nobody's.
fn start() -> Web {
    let (server, clients, nobody) =
        (ForeignAuthority::new("Server Root"), ForeignAuthority::new("Client Root"), ForeignAuthority::new("Nobody"));
    let installation = Installation::new(PROGRAM, &format!("{HTTPS}{CERTIFIED}")).expect("installation");
    server.deploy(installation.folder(), 1);
    fs::write(installation.folder().join("clients.pem"), &clients.pem).expect("written");
    for (file, (certificate, key)) in
        [("agent", clients.client(1, "agent")), ("other", clients.client(2, "other")), ("nobody", nobody.client(3, "agent"))]
    {
        fs::write(installation.folder().join(format!("{file}.pem")), format!("{certificate}{key}")).expect("written");
    }
    Web::of(installation.start().expect("the server starts"), &server)
}

/// An answer to curl, with this client's certificate where one is given: its status, and its body where it is JSON.
fn ask(web: &Web, listener: &str, path: &str, client: Option<&str>, more: &[&str]) -> Option<(u16, Value)> {
    let folder = web.server.installation().folder();
    let url = format!("https://localhost:{}{path}", web.server.address(listener).port());
    let (ca, certificate) = (file(folder, "ca"), client.map(|client| file(folder, client)));
    let mut arguments = vec!["--cacert", &ca, "--write-out", "\n%{http_code}"];
    arguments.extend(certificate.iter().flat_map(|certificate| ["--cert", certificate]));
    arguments.extend(more);
    arguments.push(&url);
    let told = text(&curl(&arguments)?);
    let (body, status) = told.rsplit_once('\n').expect("a status");
    Some((status.parse().expect("a number"), serde_json::from_str(body).unwrap_or_default()))
}

fn file(folder: &Path, name: &str) -> String {
    folder.join(format!("{name}.pem")).display().to_string()
}

#[test]
fn a_token_that_was_got_over_a_certificate_is_good_over_that_and_nowhere_else() {
    let mut web = start();
    web.add("ann@example.com");
    let cookie = web.sign_in("ann@example.com");
    let body = json!({
        "name": "agent", "role": "viewer", "scopes": ["members:read"], "authentication": "certificate",
        "certificate": { "subject_dn": "CN=agent" },
    });
    let id = web.post("/v1/clients", &[("cookie", &cookie), OURS], &body).text("id");
    let form = format!("grant_type=client_credentials&client_id={id}");
    let wants = ["--data", form.as_str()];
    let Some((status, given)) = ask(&web, "certified", "/oauth/token", Some("agent"), &wants) else { return };
    assert_eq!(status, 200, "{given}");
    let bearer = format!("authorization: Bearer {}", given["access_token"].as_str().expect("a token"));
    let shows = ["--header", bearer.as_str()];
    let refused = |listener: &str, client: Option<&str>, more: &[&str], path: &str| {
        ask(&web, listener, path, client, more).map(|(status, _)| status).expect("curl is there")
    };
    assert_eq!(refused("certified", Some("agent"), &shows, "/v1/members"), 200);
    assert_eq!(refused("certified", Some("other"), &shows, "/v1/members"), 401, "over another certificate");
    assert_eq!(refused("api", Some("agent"), &shows, "/v1/members"), 401, "where nobody is asked for one");
    assert_eq!(refused("api", None, &shows, "/v1/members"), 401);
    // curl calls a connection that did not come about 000.
    assert_eq!(refused("certified", None, &shows, "/v1/members"), 0, "nobody comes in without one");
    assert_eq!(refused("certified", Some("nobody"), &wants, "/oauth/token"), 0, "or with one of nobody's");
    assert_eq!(refused("certified", Some("other"), &wants, "/oauth/token"), 401, "another name is another client");
    assert_eq!(refused("api", Some("agent"), &wants, "/oauth/token"), 401);
    let look = format!("client_id={id}&token={}", given["access_token"].as_str().expect("a token"));
    let (_, told) = ask(&web, "certified", "/oauth/introspect", Some("agent"), &["--data", &look]).expect("curl is there");
    assert!(told["active"] == true && told["cnf"]["x5t#S256"].is_string(), "{told}");
    let (_, document) = ask(&web, "api", "/.well-known/openid-configuration", None, &[]).expect("curl is there");
    assert_eq!(document["mtls_endpoint_aliases"]["token_endpoint"], "https://localhost:8445/oauth/token");
}
