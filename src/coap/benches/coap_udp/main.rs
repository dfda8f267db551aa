//! How many requests over UDP does one core answer, and how fast does a body go out in blocks?
//!
//! Confirmable GETs of a few bytes, and of a body of 1 MiB in blocks of 1 KiB, from several peers at once. The figure is answers in a
//! second of the server's processor time. Beside the door, with the same datagrams: libcoap's `coap-server` (at least 0.8 of
//! it, 1.1 is the aim), and a server that sends back what it gets, which is the floor. Servers run on one core, the load on another.
//!
//! `cargo bench -p gatehouse-coap --bench coap_udp -- --seconds 10`

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

mod load;
mod servers;

use gatehouse_testkit::{
    cores::{self, processor_time},
    process::Process,
};
use load::Load;
use std::{env, net::SocketAddr, time::Duration};

/// What is asked for. libcoap's server has these, and ours has them here.
const SMALL: &str = "time";
const LARGE: &str = "example_data";

/// How large the body is.
const BODY: usize = 1 << 20;

/// A server under measurement.
struct Server {
    name: &'static str,
    process: Process,
    address: SocketAddr,
}

fn main() {
    if servers::serve_if_asked() {
        return;
    }
    let mut arguments = env::args().skip_while(|argument| argument != "--seconds").skip(1);
    let seconds = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(10);
    let time = Duration::from_secs(seconds);
    cores::keep_off_server_core();

    let all = [Some(servers::echo()), Some(servers::door()), servers::libcoap()];
    let mut small = Vec::new();
    for server in all.iter().flatten() {
        let mut load = Load::new(server.address, SMALL, server.name != servers::ECHO);
        let rate = measured(server, || load.requests(time));
        println!("{:16} {rate:10.0} answers in a second of the processor, {} lost", server.name, load.lost);
        small.push((server.name, rate));
    }
    compare(&small);
    let mut large = Vec::new();
    for server in all.iter().flatten().filter(|server| server.name != servers::ECHO) {
        if server.name == servers::LIBCOAP && !servers::upload(server.address) {
            println!("{:16} does not take a body of {BODY} bytes", server.name);
            continue;
        }
        let mut load = Load::new(server.address, LARGE, true);
        let rate = measured(server, || load.bodies(time));
        println!("{:16} {:10.1} MiB in a second of the processor, {} blocks lost", server.name, rate / 1024.0, load.lost);
        large.push((server.name, rate));
    }
    compare(&large);
}

/// So many in a second of the server's processor time.
fn measured(server: &Server, work: impl FnOnce() -> u64) -> f64 {
    let before = processor_time(server.process.id());
    let done = work();
    done as f64 / (processor_time(server.process.id()) - before).as_secs_f64()
}

fn compare(rates: &[(&str, f64)]) {
    let of = |wanted| rates.iter().find(|(name, _)| *name == wanted).map(|(_, rate)| *rate);
    for other in [servers::LIBCOAP, servers::ECHO] {
        if let Some((ours, theirs)) = of(servers::DOOR).zip(of(other)) {
            println!("{} / {other}: {:.2}", servers::DOOR, ours / theirs);
        }
    }
}
