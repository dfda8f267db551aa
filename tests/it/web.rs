//! A client of the API over HTTPS that says exactly what it is told to: any method, any field, any body.

use crate::support::{ForeignAuthority, HTTPS, PROGRAM, connect_tls, connector, start_https};
use gatehouse_testkit::{process::command, server::Server};
use serde_json::{Value, json};
use std::{io::Write, net::SocketAddr, process::Stdio};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) const PASSWORD: &str = "tall ships sail";

/// A request that changes something comes from one of our pages.
pub(crate) const OURS: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A server with an HTTPS listener, and a kept connection to it.
pub(crate) struct Web {
    pub(crate) server: Server,
    connector: TlsConnector,
    address: SocketAddr,
    runtime: Runtime,
    stream: Option<TlsStream<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {self:?}")).to_owned()
    }
}

impl Web {
    /// A server with this configuration besides its HTTPS listener.
    pub(crate) fn start(configuration: &str) -> Self {
        let (server, authority) = start_https(&format!("{configuration}{HTTPS}"));
        Self::of(server, &authority)
    }

    pub(crate) fn of(server: Server, authority: &ForeignAuthority) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = server.address("api");
        Self { connector: connector(authority, b"http/1.1"), address, runtime, stream: None, server }
    }

    /// Asks with a body of this type. Fields may repeat.
    pub(crate) fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        fields.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
        request.push_str("\r\n");
        request.push_str(body);
        let (runtime, stream) = (&self.runtime, &mut self.stream);
        let reply = runtime.block_on(async {
            if stream.is_none() {
                *stream = Some(connect_tls(&self.connector, self.address).await.expect("connected"));
            }
            exchange(stream.as_mut().expect("just made"), method, &request).await
        });
        if reply.field("connection") == Some("close") {
            self.stream = None;
        }
        reply
    }

    pub(crate) fn get(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("GET", path, fields, "")
    }

    pub(crate) fn post(&mut self, path: &str, fields: &[(&str, &str)], body: &Value) -> Reply {
        self.send("POST", path, &[fields, &[("content-type", "application/json")]].concat(), &body.to_string())
    }

    /// Asks on a connection of its own, and holds the body back until something else has happened.
    pub(crate) fn post_late(&mut self, path: &str, fields: &[(&str, &str)], body: &Value, meanwhile: impl FnOnce(&mut Self)) -> Reply {
        let body = body.to_string();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        let fields = [fields, &[("content-type", "application/json"), ("expect", "100-continue")]].concat();
        fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        // RFC 9110 §10.1.1: who is told to go on has been let in by the head.
        let mut stream = self.runtime.block_on(async {
            let mut stream = connect_tls(&self.connector, self.address).await.expect("connected");
            stream.write_all(head.as_bytes()).await.expect("sent");
            stream.flush().await.expect("sent");
            assert_eq!(reply_head(&mut stream).await, "HTTP/1.1 100 Continue\r\n\r\n");
            stream
        });
        meanwhile(self);
        self.runtime.block_on(exchange(&mut stream, "POST", &body))
    }

    /// Gives somebody an account, at the console.
    pub(crate) fn add(&self, email: &str) {
        let mut program = command(PROGRAM);
        program.arg("--config").arg(self.server.installation().file()).args(["admin", "add", email, "--password-stdin"]);
        let mut process = program.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started");
        process.stdin.take().expect("piped").write_all(PASSWORD.as_bytes()).expect("written");
        assert!(process.wait().expect("ended").success());
    }

    /// Signs somebody in; the cookie as a browser would send it back.
    pub(crate) fn sign_in(&mut self, email: &str) -> String {
        let reply = self.post("/v1/sign-in", &[], &json!({ "email": email, "password": PASSWORD }));
        let cookie = reply.field("set-cookie").unwrap_or_else(|| panic!("{email} is not let in: {reply:?}"));
        cookie.split(';').next().expect("a pair").to_owned()
    }
}

async fn exchange(stream: &mut TlsStream<TcpStream>, method: &str, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.flush().await.expect("sent");
    let head = reply_head(stream).await;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let fields: Vec<_> =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let length = fields.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
    stream.read_exact(&mut body).await.expect("a body");
    Reply { status, fields, body: String::from_utf8_lossy(&body).into_owned() }
}

async fn reply_head(stream: &mut TlsStream<TcpStream>) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("answered"));
    }
    String::from_utf8(head).expect("text")
}
