//! aiocoap's server, which has `coap`, `coap+tcp` and `coaps+tcp`.

use crate::{
    security::{believing, presenting, settings},
    support::{Authority, PATIENCE, Server, mebibyte, request, text},
};
use gatehouse_client::{Client, Expected, Settings, Update};
use gatehouse_wire::coap::Code;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use tokio::time::timeout;

const SCHEMES: [&str; 3] = ["coap", "coap+tcp", "coaps+tcp"];

/// Asks for everything once.
async fn ask_everything(server: &Server, scheme: &str, settings: Settings) {
    let [greeting, note, turn, nothing] = ["/greeting", "/note", "/turn", "/nothing"].map(|path| server.uri(scheme, path));
    let client = Client::connect(&greeting, settings).await.unwrap_or_else(|error| panic!("{scheme}: {error}"));
    let ask = async |code, uri, payload: &[u8]| {
        let answer = client.request(request(code, uri).payload(payload.to_vec())).await;
        answer.map(|answer| (answer.code, answer.payload)).unwrap_or_else(|error| panic!("{uri}: {error}"))
    };
    assert_eq!(ask(Code::GET, &greeting, b"").await, (Code::CONTENT, "welcome to aiocoap".into()));
    assert_eq!(ask(Code::GET, &nothing, b"").await.0, Code::NOT_FOUND);
    assert_eq!(ask(Code::DELETE, &greeting, b"").await.0, Code::METHOD_NOT_ALLOWED);
    let body = mebibyte();
    let (code, turned) = ask(Code::POST, &turn, &body).await;
    assert!(code == Code::CHANGED && turned.iter().rev().eq(&body), "{scheme}: {} bytes of {code}", turned.len());

    assert_eq!(ask(Code::PUT, &note, b"first").await.0, Code::CHANGED);
    let mut observation = client.observe(request(Code::GET, &note)).expect("begun");
    let long = "3".repeat(5000);
    for state in ["first", "second", &long] {
        if state != "first" {
            assert_eq!(ask(Code::PUT, &note, state.as_bytes()).await.0, Code::CHANGED);
        }
        let next = timeout(PATIENCE, observation.next()).await.expect("it is told").unwrap_or_else(|error| panic!("{note}: {error}"));
        assert!(matches!(&next, Some(Update::State(now)) if now.payload == state), "{note}: {next:?}");
    }
    drop(observation);
    client.ping(PATIENCE).await.expect("alive");
    client.close().await;
}

#[tokio::test]
async fn everything_is_asked_over_every_scheme_that_it_has() {
    let authority = Authority::new("Root");
    let [cert, key] = authority.sign("server", &["127.0.0.1"], ServerAuth);
    let Some(server) = Server::start_aiocoap(&[text(&cert), text(&key)]) else { return };
    for scheme in SCHEMES {
        ask_everything(&server, scheme, settings(believing(&authority.ca(), Expected::Host))).await;
    }
}

#[tokio::test]
async fn who_has_a_certificate_of_its_authority_comes_in_and_nobody_else() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    let ([cert, key], ca) = (authority.sign("server", &["127.0.0.1"], ServerAuth), authority.ca());
    let Some(server) = Server::start_aiocoap(&[text(&cert), text(&key), text(&ca)]) else { return };
    let uri = server.uri("coaps+tcp", "/greeting");
    let believing = || believing(&ca, Expected::Host);
    let [ours, theirs] = [&authority, &stranger].map(|authority| authority.sign("client", &["client"], ClientAuth));
    for (security, let_in) in [(presenting(believing(), &ours), true), (presenting(believing(), &theirs), false), (believing(), false)] {
        // TLS 1.3 tells a client that it is refused after its handshake is done.
        let answered = match Client::connect(&uri, settings(security)).await {
            Ok(client) => client.request(request(Code::GET, &uri)).await.is_ok_and(|answer| answer.code == Code::CONTENT),
            Err(_) => false,
        };
        assert_eq!(answered, let_in);
    }
}
