//! libcoap's server over every scheme.

use crate::{
    security::{believing, presenting, settings},
    support::{Authority, BUILDS, PATIENCE, SCHEMES, Server, connect, mebibyte, request, text},
};
use gatehouse_base::{Fault, Kind};
use gatehouse_client::{Client, ConnectError, Expected, Security, Settings, Trust, Update};
use gatehouse_net::{self as net, PresharedKey};
use gatehouse_pki::{Certificate, Fingerprint, Rule};
use gatehouse_types::Secret;
use gatehouse_wire::coap::{BlockSize, Code, ContentFormat, Uri, link_format};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, Other, ServerAuth};
use std::fs;
use tokio::{task::JoinSet, time::timeout};

#[tokio::test]
async fn resources_are_listed_made_read_and_removed_over_every_scheme() {
    let (authority, key) = (Authority::new("Root"), PresharedKey::new(b"me", Secret::from("secret".to_owned())).expect("a key"));
    let [cert, cert_key] = authority.sign("server", &["127.0.0.1"], ServerAuth);
    let Some(server) = Server::start(BUILDS[0], &["-c", text(&cert), "-j", text(&cert_key), "-n", "-k", "secret"]) else { return };
    for scheme in SCHEMES {
        let trusts: &[Trust] = if scheme.starts_with("coaps") {
            &[believing(&authority.ca(), Expected::Host).trust, Trust::Shared(key.clone())]
        } else {
            &[Trust::Nobody]
        };
        for trust in trusts {
            let security = Security { trust: trust.clone(), credentials: None };
            let core = server.uri(scheme, "/.well-known/core");
            let client = Client::connect(&core, settings(security)).await.unwrap_or_else(|error| panic!("{scheme} {trust:?}: {error}"));
            let listed = client.request(request(Code::GET, &core)).await.expect("answered");
            assert_eq!(listed.options.content_format(), Some(ContentFormat::LINK_FORMAT));
            let links = link_format::parse(std::str::from_utf8(&listed.payload).expect("text")).expect("links");
            assert!(links.iter().any(|link| link.href == "/time" && link.has("obs")), "{links:?}");

            let thing = server.uri(scheme, "/thing");
            for (code, payload, expected, body) in [
                (Code::GET, "", Code::NOT_FOUND, "Not Found"),
                (Code::PUT, "warm", Code::CREATED, ""),
                (Code::GET, "", Code::CONTENT, "warm"),
                (Code::PUT, "cold", Code::CHANGED, ""),
                (Code::GET, "", Code::CONTENT, "cold"),
                (Code::DELETE, "", Code::DELETED, ""),
                (Code::GET, "", Code::NOT_FOUND, "Not Found"),
            ] {
                let answer = client.request(request(code, &thing).payload(payload)).await.expect("answered");
                assert_eq!((answer.code, &answer.payload[..]), (expected, body.as_bytes()), "{scheme} {code:?}");
            }
            client.ping(PATIENCE).await.expect("alive");
            client.close().await;
        }
    }
}

#[tokio::test]
async fn a_body_of_a_mebibyte_goes_there_and_comes_back_over_every_scheme() {
    let authority = Authority::new("Root");
    let [cert, key] = authority.sign("server", &["127.0.0.1"], ServerAuth);
    for build in BUILDS {
        let Some(server) = Server::start(build, &["-e", "-c", text(&cert), "-j", text(&key), "-n"]) else { return };
        for scheme in SCHEMES {
            let uri = server.uri(scheme, "/example_data");
            let security = believing(&authority.ca(), Expected::Host);
            let client = Client::connect(&uri, settings(security)).await.unwrap_or_else(|error| panic!("{build} {scheme}: {error}"));
            let body = mebibyte();
            let put = client.request(request(Code::PUT, &uri).payload(body.clone())).await;
            let put = put.unwrap_or_else(|error| panic!("{build} {scheme}: {error}"));
            assert!(put.code.is_success(), "{build} {scheme}: {:?}", put.code);
            let got = client.request(request(Code::GET, &uri)).await.unwrap_or_else(|error| panic!("{build} {scheme}: {error}"));
            assert!(got.payload == body, "{build} {scheme}: {} bytes of {:?}", got.payload.len(), got.code);
            client.close().await;
        }
    }
}

#[tokio::test]
async fn a_body_travels_in_blocks_of_the_size_that_is_wanted() {
    let Some(server) = Server::start(BUILDS[0], &["-e"]) else { return };
    let uri = server.uri("coap", "/example_data");
    let mut small = Settings::default();
    small.endpoint.block_size = BlockSize::from_bytes(64).expect("a size");
    let client = Client::connect(&uri, small).await.expect("connected");
    let put = client.request(request(Code::PUT, &uri).payload(vec![b'a'; 3000])).await.expect("answered");
    assert!(put.code.is_success(), "{:?}", put.code);
    assert_eq!(client.request(request(Code::GET, &uri)).await.expect("answered").payload.len(), 3000);
}

#[tokio::test]
async fn what_is_observed_comes_until_nobody_looks_any_more() {
    let authority = Authority::new("Root");
    let [cert, key] = authority.sign("server", &["127.0.0.1"], ServerAuth);
    // Everybody looks at the clocks at the same time.
    let (mut servers, mut looking) = (Vec::new(), JoinSet::new());
    for build in BUILDS {
        let Some(server) = Server::start(build, &["-c", text(&cert), "-j", text(&key), "-n"]) else { return };
        for scheme in SCHEMES {
            let (uri, security) = (server.uri(scheme, "/time"), believing(&authority.ca(), Expected::Host));
            looking.spawn(async move { look_at_the_clock(&uri, settings(security)).await });
        }
        servers.push(server);
    }
    while let Some(seen) = looking.join_next().await {
        seen.expect("it ticks");
    }
}

/// Sees three times of day, and then asks for something else.
async fn look_at_the_clock(uri: &Uri, settings: Settings) {
    let client = Client::connect(uri, settings).await.unwrap_or_else(|error| panic!("{uri}: {error}"));
    let mut observation = client.observe(request(Code::GET, uri)).expect("begun");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let next = timeout(PATIENCE, observation.next()).await.expect("the clock ticks").unwrap_or_else(|error| panic!("{uri}: {error}"));
        // Two notifications may tell of the same second.
        if let Some(Update::State(state)) = next
            && seen.last() != Some(&state.payload)
        {
            seen.push(state.payload);
        }
    }
    drop(observation);
    // The connection is still good for other things.
    assert_eq!(client.request(request(Code::GET, uri)).await.expect("answered").code, Code::CONTENT);
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_observed_has_one_state() {
    let Some(server) = Server::start(BUILDS[0], &[]) else { return };
    let uri = server.uri("coap", "/nothing");
    let client = connect(&uri).await;
    let mut observation = client.observe(request(Code::GET, &uri)).expect("begun");
    let first = observation.next().await.expect("an answer");
    assert!(matches!(first, Some(Update::State(state)) if state.code == Code::NOT_FOUND));
    assert!(matches!(observation.next().await, Ok(None)));
}

#[tokio::test]
async fn a_server_is_believed_for_its_chain_with_its_name_or_its_fingerprint_and_refused_without() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    let [cert, key] = authority.sign("server", &["device.example"], ServerAuth);
    let Some(server) = Server::start(BUILDS[0], &["-c", text(&cert), "-j", text(&key), "-n"]) else { return };
    let own = Certificate::chain_from_pem(&fs::read(&cert).expect("read")).expect("certificate");
    let pinned = |fingerprint| Security { trust: Trust::Fingerprint(fingerprint), credentials: None };
    let named = || Expected::Name("device.example".to_owned());
    for scheme in ["coaps", "coaps+tcp"] {
        let uri = server.uri(scheme, "/time");
        for security in [
            believing(&authority.ca(), named()),
            believing(&authority.ca(), Expected::DangerAny),
            pinned(own[0].fingerprint()),
            Security { trust: Trust::DangerAnybody, credentials: None },
        ] {
            let client = Client::connect(&uri, settings(security.clone())).await.unwrap_or_else(|error| panic!("{scheme}: {error}"));
            assert_eq!(client.request(request(Code::GET, &uri)).await.expect("answered").code, Code::CONTENT);
            client.close().await;
        }
        let refused = |security| {
            let uri = uri.clone();
            async move { Client::connect(&uri, settings(security)).await.expect_err("refused") }
        };
        let unknown = refused(believing(&stranger.ca(), named())).await;
        assert!(matches!(&unknown, ConnectError::Handshake(net::ConnectError::Refused(_))), "{unknown}");
        assert_eq!(unknown.kind(), Kind::Unauthenticated);
        let other = refused(pinned(Fingerprint::of(b"another"))).await;
        assert!(matches!(&other, ConnectError::Handshake(net::ConnectError::Refused(net::Refusal::NotPinned))), "{other}");
        let nameless = refused(believing(&authority.ca(), Expected::Host)).await;
        assert!(matches!(&nameless, ConnectError::WrongName { found, .. } if found == "device.example"), "{nameless}");
        let nobody = refused(Security::default()).await;
        assert!(matches!(nobody, ConnectError::NoTrust(_)), "{nobody}");
    }
}

#[tokio::test]
async fn a_server_that_wants_certificates_lets_in_who_has_one_of_its_authority() {
    let (authority, stranger) = (Authority::new("Root"), Authority::new("Stranger"));
    let [cert, key] = authority.sign("server", &["127.0.0.1"], ServerAuth);
    let ca = authority.ca();
    let security = || believing(&ca, Expected::Host);
    let (ours, theirs) = (authority.sign("client", &["client"], ClientAuth), stranger.sign("client", &["client"], ClientAuth));
    for build in BUILDS {
        let Some(server) = Server::start(build, &["-c", text(&cert), "-j", text(&key), "-C", text(&ca)]) else { return };
        for scheme in ["coaps", "coaps+tcp"] {
            let uri = server.uri(scheme, "/time");
            let answered = |security| {
                let uri = uri.clone();
                async move {
                    // TLS 1.3 tells a client that it is refused after its handshake is done.
                    let client = Client::connect(&uri, settings(security)).await.ok()?;
                    client.request(request(Code::GET, &uri)).await.ok()
                }
            };
            assert_eq!(answered(presenting(security(), &ours)).await.map(|answer| answer.code), Some(Code::CONTENT), "{build} {scheme}");
            assert!(answered(presenting(security(), &theirs)).await.is_none(), "{build} {scheme}: a stranger");
            assert!(answered(security()).await.is_none(), "{build} {scheme}: nobody");
        }
    }
}

#[tokio::test]
async fn a_server_with_nothing_but_the_purpose_of_ocf_is_no_server_to_us_as_it_is_none_to_devices() {
    let (authority, ocf) = (Authority::new("Root"), Other(vec![1, 3, 6, 1, 4, 1, 44924, 1, 6]));
    for (usages, believed) in
        [(vec![ocf.clone()], false), (vec![ocf.clone(), ClientAuth], false), (vec![ocf, ClientAuth, ServerAuth], true)]
    {
        let [cert, key] = authority.sign_for("server", &["127.0.0.1"], usages);
        let Some(server) = Server::start(BUILDS[0], &["-c", text(&cert), "-j", text(&key), "-n"]) else { return };
        for scheme in ["coaps", "coaps+tcp"] {
            match Client::connect(&server.uri(scheme, "/time"), settings(believing(&authority.ca(), Expected::Host))).await {
                Ok(client) => {
                    assert!(believed, "{scheme}");
                    client.close().await;
                }
                Err(ConnectError::Handshake(net::ConnectError::Refused(net::Refusal::Chain(rejection)))) => {
                    assert!(!believed && rejection.rule() == Rule::ExtendedKeyUsage, "{scheme}: {rejection}");
                }
                Err(error) => panic!("{scheme}: {error}"),
            }
        }
    }
}
