//! Stopping: nothing that was accepted is lost, and whoever is in a hurry can be.

use crate::support::{HTTPS, PLAIN, UNHURRIED, block_on, connect_tls, connector, exchange, start, start_https};
use gatehouse_testkit::{process::poll_until, server::PATIENCE};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Barrier;

const CONNECTIONS: usize = 1000;

#[test]
fn a_thousand_busy_connections_lose_no_request_when_the_server_is_told_to_stop() {
    // However long a slow machine takes to bring all of them together and to ask once more, nobody is sent away for having waited: not in the
    // handshake, not between requests, not while the server drains.
    let (mut server, authority) = start_https(&format!(
        "grace = \"10m\"\n[net]\nhandshake_timeout = \"5m\"\nhandshakes = 1000\n[http]\nheader_timeout = \"5m\"\nidle_timeout = \"1h\"\n\
         request_timeout = \"10m\"\ndrain_idle = \"60s\"\n{UNHURRIED}{HTTPS}"
    ));
    let address = server.address("api");
    let connector = connector(&authority, b"http/1.1");
    let (answered, lost, polite) = block_on(async {
        let everybody_is_here = Arc::new(Barrier::new(CONNECTIONS + 1));
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (connector, here, answered) = (connector.clone(), Arc::clone(&everybody_is_here), Arc::clone(&answered));
            clients.spawn(async move {
                let mut stream = connect_tls(&connector, address).await.expect("connected");
                exchange(&mut stream, "/health").await.expect("answered");
                here.wait().await;
                // Until the server says that it closes; every request that was sent must have its answer.
                loop {
                    match exchange(&mut stream, "/health").await {
                        Ok(answer) if answer.status == 200 && answer.closes => return true,
                        Ok(answer) if answer.status == 200 => answered.fetch_add(1, Ordering::Relaxed),
                        _ => return false,
                    };
                }
            });
        }
        everybody_is_here.wait().await;
        // Under load: TERM comes when every connection has had time for several requests.
        while answered.load(Ordering::Relaxed) < 3 * CONNECTIONS {
            tokio::task::yield_now().await;
        }
        server.terminate().expect("signalled");
        let ends = clients.join_all().await;
        let polite = ends.iter().filter(|polite| **polite).count();
        (answered.load(Ordering::Relaxed), ends.len() - polite, polite)
    });
    println!("{answered} requests answered on {CONNECTIONS} connections, {polite} ended with their answer, {lost} requests lost");
    assert_eq!((lost, polite), (0, CONNECTIONS), "{}", server.log());
    let status = server.wait().expect("waited").expect("the server ends");
    assert!(status.success(), "{status}: {}", server.log());
    server.logged("drained");
}

#[test]
fn http2_connections_get_every_answer_that_was_made_when_the_server_is_told_to_stop() {
    const CONNECTIONS: usize = 50;
    const STREAMS: usize = 10;
    let (mut server, authority) = start_https(&format!("[http]\n{UNHURRIED}[log]\nlevel = \"info,gatehouse_http=debug\"\n{HTTPS}"));
    let address = server.address("api");
    let connector = connector(&authority, b"h2");
    let answered = block_on(async {
        let answered = Arc::new(AtomicUsize::new(0));
        let mut streams = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let tls = connect_tls(&connector, address).await.expect("connected");
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.expect("HTTP/2");
            tokio::spawn(connection);
            for _ in 0..STREAMS {
                streams.spawn(ask_until_told_to_go(sender.clone(), Arc::clone(&answered)));
            }
        }
        while answered.load(Ordering::Relaxed) < 5 * CONNECTIONS * STREAMS {
            tokio::task::yield_now().await;
        }
        server.terminate().expect("signalled");
        streams.join_all().await;
        answered.load(Ordering::Relaxed)
    });
    assert!(server.wait().expect("waited").expect("the server ends").success());
    server.logged("drained");
    // A client may have queued requests behind its answer to our GOAWAY. Those the server never took, and says so by the
    // last stream in its second GOAWAY (RFC 9113 §6.8). What it took has arrived: as many answers as the server made.
    let made = || server.log().lines().filter(|line| line.contains("answered")).count();
    poll_until(PATIENCE, || (made() >= answered).then_some(()));
    println!("{answered} requests answered on {CONNECTIONS} HTTP/2 connections, the server had taken {}", made());
    assert_eq!(made(), answered);
}

/// Requests one after the other until the connection takes no more.
async fn ask_until_told_to_go(mut sender: http2::SendRequest<Empty<Bytes>>, answered: Arc<AtomicUsize>) {
    while sender.ready().await.is_ok() {
        let request = hyper::Request::get("https://localhost/health").body(Empty::new()).expect("request");
        let Ok(response) = sender.send_request(request).await else { return };
        assert_eq!(response.status(), 200);
        if response.into_body().collect().await.is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_draining_server_is_not_ready_and_still_answers_who_is_connected() {
    let server = start(&format!("[http]\ndrain_idle = \"60s\"\n{PLAIN}"));
    // This one stays idle and keeps the server draining.
    let _idle = TcpStream::connect(server.address("public")).expect("connected");
    let mut connected = TcpStream::connect(server.address("metrics")).expect("connected");
    assert!(ask(&mut connected, "/ready").starts_with("HTTP/1.1 200"));
    server.terminate().expect("signalled");
    server.logged("draining");
    let answer = ask(&mut connected, "/ready");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    let status = server.installation().run(&["status", "--ready"]).expect("runs");
    assert_eq!(status.status.code(), Some(8));
    assert!(String::from_utf8_lossy(&status.stdout).contains("not ready: accepting: draining"));
    assert!(TcpStream::connect(server.address("metrics")).is_err(), "nobody new is accepted");
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut server = start(&format!("grace = \"1h\"\n[http]\ndrain_idle = \"60s\"\n{PLAIN}"));
    let mut idle = TcpStream::connect(server.address("public")).expect("connected");
    assert!(ask(&mut idle, "/health").starts_with("HTTP/1.1 200"));
    server.terminate().expect("signalled");
    let draining = poll_until(PATIENCE, || server.command(&["--json", "status"]).contains("\"draining\":true").then_some(()));
    assert!(draining.is_some() && server.process().is_running(), "the idle connection keeps it");
    server.terminate().expect("signalled");
    let status = server.wait().expect("waited").expect("the server ends");
    assert!(status.success(), "{status}");
    server.logged("stopped before these connections had finished");
    assert_eq!(idle.read(&mut [0; 1]).expect("closed"), 0);
}

#[test]
fn the_grace_period_ends_the_waiting() {
    let mut server = start(&format!("grace = \"100ms\"\n[http]\ndrain_idle = \"60s\"\n{PLAIN}"));
    let mut idle = TcpStream::connect(server.address("public")).expect("connected");
    assert!(ask(&mut idle, "/health").starts_with("HTTP/1.1 200"));
    server.terminate().expect("signalled");
    assert!(server.wait().expect("waited").expect("the server ends").success());
    server.logged("stopped before these connections had finished");
}

#[test]
fn the_control_socket_stops_the_server_and_waits_for_its_end() {
    let mut server = start(PLAIN);
    assert_eq!(server.command(&["stop"]), "stopped\n");
    assert!(!server.process().is_running());
    assert!(!server.installation().folder().join("data/control.sock").exists());
    let status = server.installation().run(&["status"]).expect("runs");
    assert_eq!(status.status.code(), Some(8), "{}", String::from_utf8_lossy(&status.stderr));
}

/// One request on a kept connection; the head and the body of the answer.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("answered");
        answer.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&answer).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("answered");
    head + &String::from_utf8_lossy(&body)
}
