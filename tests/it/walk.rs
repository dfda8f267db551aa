//! Every route, asked by everybody who might ask, against what is written in `walk.txt`.
//!
//! The list of routes is the router's own, so that nobody can add one without saying who may do what with it.

use crate::{
    support::{UNHURRIED, block_on},
    web::{OURS, Web},
};
use gatehouse::app::{Role, api::routes_of_nothing};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/walk.txt");

/// Everything that HTTP names, and what nobody knows.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

/// A JWT with good words in it, by a key of nobody's: what a device or another provider might show.
const GARBAGE: &str = "Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6IjEifQ.\
                       eyJpc3MiOiJodHRwczovL2xvY2FsaG9zdDo4NDQzIiwic3ViIjoib3duZXIiLCJleHAiOjQxMDI0NDQ4MDB9.\
                       c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl";

const NOBODYS_ID: &str = "11111111-2222-4333-8444-555555555555";

/// With an issuer, because the port is the system's choice.
fn web() -> Web {
    Web::start(&format!("\n[accounts]\nissuer = \"https://localhost:8443\"\n[http]\n{UNHURRIED}"))
}

/// A line of the table: a route, the body to send, and a status for each of [`CALLERS`].
struct Row {
    body: String,
    statuses: String,
}

/// Who asks, in the order of the columns.
const CALLERS: [&str; 8] = ["nobody", "foreigner", "viewer", "reader", "maker", "garbage", "page", "owner"];

struct Caller {
    name: &'static str,
    fields: Vec<(&'static str, String)>,
    /// What the braces of a path stand for; everything that is not here is nobody's.
    ids: BTreeMap<&'static str, String>,
}

impl Caller {
    /// The path with this caller's ids: those of Ann's things for who must not reach them, and nobody's for Ann and what acts for her.
    fn path(&self, pattern: &str) -> String {
        let kind = pattern.trim_start_matches("/v1/").trim_start_matches("me/").split('/').next().unwrap_or_default();
        let id = self.ids.get(kind).map_or(NOBODYS_ID, String::as_str);
        let part = |part: &str| if part.starts_with('{') { id.to_owned() } else { part.to_owned() };
        pattern.split('/').map(part).collect::<Vec<_>>().join("/")
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// Ann owns an organisation with a program and tokens in it; Ben has one of his own.
fn callers(web: &mut Web) -> Vec<Caller> {
    web.add("ann@example.com");
    web.add("ben@example.com");
    let (ann, ben) = (web.sign_in("ann@example.com"), web.sign_in("ben@example.com"));
    let session = [("cookie", ann.as_str()), OURS];
    let me = web.get("/v1/me", &session).json();
    let organisation = me["organisations"][0]["id"].as_str().expect("an organisation").to_owned();
    let sessions = web.get("/v1/me/sessions", &session).json();
    let mut token = |scope: &str| web.post("/v1/tokens", &session, &json!({ "name": scope, "scopes": [scope], "sources": "*" }));
    let (reads, makes) = (token("members:read"), token("clients:write"));
    let program = web.post("/v1/clients", &session, &json!({ "name": "agent", "role": "viewer", "scopes": ["members:read"] }));
    let form = format!("grant_type=client_credentials&client_id={}&client_secret={}", program.text("id"), program.text("secret"));
    let access = web.send("POST", "/oauth/token", &[("content-type", "application/x-www-form-urlencoded")], &form).text("access_token");
    let anns = BTreeMap::from([
        ("tokens", reads.text("id")),
        ("clients", program.text("id")),
        ("sessions", sessions[0]["id"].as_str().expect("a session").to_owned()),
        ("members", me["id"].as_str().expect("an id").to_owned()),
    ]);
    let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
    let ours = || (OURS.0, OURS.1.to_owned());
    let fields = |name: &str| match name {
        "nobody" => Vec::new(),
        "foreigner" => vec![("cookie", ben.clone()), ours(), ("gatehouse-organisation", organisation.clone())],
        "viewer" => bearer(&access),
        "reader" => bearer(&reads.text("token")),
        "maker" => bearer(&makes.text("token")),
        "garbage" => vec![("authorization", GARBAGE.to_owned())],
        "page" => vec![("cookie", ann.clone()), ("sec-fetch-site", "cross-site".to_owned()), ("origin", "https://evil.example".to_owned())],
        _ => vec![("cookie", ann.clone()), ours()],
    };
    let ids = |name: &str| if matches!(name, "owner" | "maker") { BTreeMap::new() } else { anns.clone() };
    CALLERS.map(|name| Caller { name, fields: fields(name), ids: ids(name) }).into()
}

fn written() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(WRITTEN).expect("tests/it/walk.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let mut columns = line.split(" | ").map(str::trim);
        let mut next = || columns.next().unwrap_or_else(|| panic!("tests/it/walk.txt: `{line}` is no row"));
        (next().to_owned(), Row { body: next().to_owned(), statuses: next().split_whitespace().collect::<Vec<_>>().join(" ") })
    };
    lines.map(row).collect()
}

/// The methods of every path that the program serves over HTTPS.
fn routes() -> BTreeMap<&'static str, BTreeSet<String>> {
    let routes = block_on(routes_of_nothing(Role::Https)).expect("routes").expect("a role of HTTP");
    let mut all: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for route in routes.table() {
        all.entry(route.path).or_default().insert(route.method.to_string());
    }
    all
}

#[test]
fn everybody_gets_from_every_route_what_is_written_for_them() {
    let mut web = web();
    let callers = callers(&mut web);
    let (mut written, mut wrong) = (written(), Vec::new());
    let routes = routes();
    let mut all: Vec<_> = routes.iter().flat_map(|(path, methods)| methods.iter().map(move |method| (method, *path))).collect();
    all.sort_by_key(|(_, path)| *path == "/v1/sign-out");
    for (method, path) in all {
        let row = written.remove(format!("{method} {path}").as_str());
        let body = row.as_ref().map_or("{}", |row| &row.body);
        let ask = |web: &mut Web, caller: &Caller, method: &str, body: &str| {
            let fields = [caller.fields(), vec![("content-type", "application/json")]].concat();
            web.send(method, &caller.path(path), &fields, body)
        };
        let statuses: Vec<_> = callers.iter().map(|caller| ask(&mut web, caller, method, body).status.to_string()).collect();
        let found = statuses.join(" ");
        match row {
            None => wrong.push(format!(
                "nothing is written for this route; if every status is what it should be, add\n{method} {path} | {body} | {found}"
            )),
            Some(row) if row.statuses != found => {
                wrong.push(format!("{method} {path}: {} is written, and found was {found}", row.statuses));
            }
            Some(_) => {}
        }
        if method == "GET" {
            let heads: Vec<_> = callers.iter().map(|caller| ask(&mut web, caller, "HEAD", "").status.to_string()).collect();
            if heads != statuses {
                wrong.push(format!("HEAD {path}: {} and GET {found}", heads.join(" ")));
            }
        }
    }
    wrong.extend(written.keys().map(|route| format!("{route} is written and there is no such route: take the line out")));
    assert!(wrong.is_empty(), "tests/it/walk.txt, for {}:\n{}", CALLERS.join(" "), wrong.join("\n"));
}

#[test]
fn a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let mut web = web();
    let callers = callers(&mut web);
    for (path, methods) in routes() {
        let mut expected = methods.clone();
        if methods.contains("GET") {
            expected.insert("HEAD".to_owned());
        }
        for method in METHODS.into_iter().filter(|method| !expected.contains(*method)) {
            for caller in &callers {
                let reply = web.send(method, &caller.path(path), &caller.fields(), "");
                let safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
                let status = match caller.name {
                    "garbage" => 401,
                    "page" if !safe => 403,
                    _ => 405,
                };
                assert_eq!(reply.status, status, "{method} {path} by {}: {reply:?}", caller.name);
                if status == 405 {
                    let allowed: BTreeSet<_> =
                        reply.field("allow").unwrap_or_default().split(',').map(|word| word.trim().to_owned()).collect();
                    assert_eq!(allowed, expected, "{method} {path}");
                }
            }
        }
    }
}

#[test]
fn what_the_document_of_the_running_program_tells_is_what_it_serves() {
    let mut web = web();
    let served = web.get("/v1/openapi.json", &[]);
    assert_eq!((served.status, served.field("content-type")), (200, Some("application/json")));
    let printed = web.server.command(&["openapi"]);
    assert_eq!(served.json(), serde_json::from_str::<serde_json::Value>(&printed).expect("JSON"));
    let told: BTreeMap<_, BTreeSet<_>> = served.json()["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .map(|(path, operations)| {
            (path.clone(), operations.as_object().expect("operations").keys().map(|method| method.to_uppercase()).collect())
        })
        .collect();
    let routes = routes().into_iter().map(|(path, methods)| (path.to_owned(), methods)).collect();
    assert_eq!(told, routes);
}
