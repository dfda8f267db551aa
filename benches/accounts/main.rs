//! How far are access tokens and sign-ins from what their cryptography costs?
//!
//! A program gets tokens for itself (RFC 6749 §4.4) and a person signs in, over HTTPS on kept connections, from the server as it is shipped.
//! Figures are answers in a second of the server's processor time. Beside tokens, in the same run: P-256 signatures of the library that
//! signs them (at least 0.25 of those, 0.5 is the aim), and the npm package `oidc-provider` with the same kind of key and token (at
//! least 5 times as many). Beside sign-ins: bare Argon2id with the same parameters (at least 0.9). Servers and floors run on one core,
//! the load on another.
//!
//! `packaging/need bench` installs the peer. `cargo bench --bench accounts -- --seconds 10`

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod load;
mod servers;

use gatehouse_testkit::{
    cores::{keep_off_server_core, processor_time},
    process::Process,
};
use load::{Asked, Client, Load};
use std::{env, time::Duration};

/// Connections that ask at once.
const CONNECTIONS: usize = 8;

fn main() {
    if servers::compute_if_asked() {
        return;
    }
    let mut arguments = env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let time = Duration::from_secs(arguments.next().and_then(|number| number.parse().ok()).unwrap_or(10));
    keep_off_server_core();

    let signatures = servers::floor("signatures", time);
    println!("{:38} {signatures:10.0} in a second of the processor", "floor: P-256 signatures");
    let mut ours = servers::Ours::start();
    let load = ours.load();
    let client = ours.client(&load);
    let tokens = measured(ours.process(), time, |time| tokens(&load, &client, "/oauth/token", time));
    println!("{:38} {tokens:10.0} in a second of the processor", "access tokens");
    let digests = servers::floor("digests", time);
    println!("{:38} {digests:10.1} in a second of the processor", "floor: Argon2id");
    let sign_in = Asked {
        path: "/v1/sign-in",
        media_type: "application/json",
        client: None,
        body: servers::CREDENTIALS,
        expected: "set-cookie: __Host-gatehouse-session=",
    };
    let sign_ins = measured(ours.process(), time, |time| load.ask(CONNECTIONS, &sign_in, time));
    println!("{:38} {sign_ins:10.1} in a second of the processor", "sign-ins with a password");
    println!("{:38} {:10.2} (0.25 at least, 0.5 is the aim)", "access tokens / signatures", tokens / signatures);
    println!("{:38} {:10.2} (0.9 at least)", "sign-ins / Argon2id", sign_ins / digests);
    drop(ours);

    let Some(mut peer) = servers::Peer::start() else {
        return println!("oidc-provider is not there: packaging/need bench installs it where Node.js is");
    };
    let load = peer.load();
    let theirs = measured(&mut peer.process, time, |time| self::tokens(&load, &servers::Peer::client(), "/token", time));
    println!("{:38} {theirs:10.0} in a second of the processor", "access tokens of oidc-provider");
    println!("{:38} {:10.1} (5 at least)", "access tokens / oidc-provider's", tokens / theirs);
}

fn tokens(load: &Load, client: &Client, path: &str, time: Duration) -> u64 {
    let asked = Asked {
        path,
        media_type: "application/x-www-form-urlencoded",
        client: Some(client),
        body: "grant_type=client_credentials&scope=members%3Aread",
        expected: "\"access_token\":\"ey",
    };
    load.ask(CONNECTIONS, &asked, time)
}

/// So many in a second of this process's processor time, once it is warm.
fn measured(process: &mut Process, time: Duration, mut work: impl FnMut(Duration) -> u64) -> f64 {
    work(time / 5);
    let before = processor_time(process.id());
    let done = work(time);
    done as f64 / (processor_time(process.id()) - before).as_secs_f64()
}
