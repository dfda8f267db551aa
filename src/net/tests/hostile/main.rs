//! A device port under fire: what comes in is who has ended a handshake, memory stays, and good clients notice little.
//!
//! ```text
//! cargo test --release -p gatehouse-net --test hostile -- --full
//! ```
//!
//! The server is a process of its own on a core of its own. Against it go, round after round: hellos of invented senders, handshakes
//! that stop half-way or creep, last flights in every order with every record left out or repeated, records of wrong epochs, noise, and
//! hellos with a valid cookie under the address of a live association. Two good clients work all the while, one within its
//! association and one that comes anew each time.
//!
//! Without `--full`, which is how the test command runs it, the amounts are small and nothing is said of time or memory.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

#[allow(dead_code, reason = "each of its users takes what it needs")]
#[path = "../device_port/mod.rs"]
mod device_port;
mod good;
mod siege;

use device_port::{chains::Chains, client, port};
use gatehouse_testkit::cores;
use good::{Good, Tally};
use siege::{Amounts, Siege};
use std::{process::ExitCode, thread, time::Duration};

/// Good clients keep so much of their rate.
const KEPT: f64 = 0.9;

/// How much more memory there may be after the last round than after the first, which warms up.
const GROWTH: f64 = 1.02;

/// What was held, and what was not.
#[derive(Default)]
struct Report {
    broken: usize,
}

impl Report {
    fn say(&mut self, holds: bool, sentence: &str) {
        println!("{} {sentence}", if holds { "holds " } else { "BROKEN" });
        self.broken += usize::from(!holds);
    }
}

fn main() -> ExitCode {
    if port::serve_if_asked() {
        return ExitCode::SUCCESS;
    }
    let is_full = std::env::args().any(|argument| argument == "--full");
    let amounts = if is_full { Amounts::FULL } else { Amounts::SHORT };
    cores::keep_off_server_core();
    let chains = Chains::make();
    let mut siege = Siege::lay(&chains, amounts);
    let mut report = Report::default();

    let good = Good::start(&chains, siege.address());
    thread::park_timeout(amounts.undisturbed);
    let undisturbed = good.stop();

    let mut memory = Vec::new();
    let good = Good::start(&chains, siege.address());
    for round in 0..=amounts.rounds {
        siege.round(round);
        memory.push(siege.memory_when_quiet());
        println!("round {round}: {} kB, {:?}", memory[memory.len() - 1] / 1024, siege.inside());
    }
    let disturbed = good.stop();

    let [before, during] = [&undisturbed, &disturbed].map(|tallies| tallies.iter().map(|tally| tally.done).sum::<u64>());
    let least = siege.let_in + before + during;
    // A good client that gave up may have been let in meanwhile.
    let most = least + undisturbed.iter().chain(&disturbed).map(Tally::failed).sum::<u64>();
    let inside = siege.inside();
    report.say(
        (least..=most).contains(&siege.came()),
        &format!("{} peers came in over DTLS, and {least} had ended a handshake", inside.came),
    );
    report.say(inside.came_over_tls == 0, "nobody came in over TLS, where nobody ended a handshake");
    let reached = format!("{} handshakes went as far as the last flight, and {} were let lie", siege.half, siege.unanswered);
    report.say(siege.unanswered == 0, &reached);
    report.say(siege.victims_lost == 0, "an association whose address was abused lives");
    report.say(siege.largest_answer <= 0.3, &format!("a first hello is answered with {:.2} of its size at most", siege.largest_answer));
    for (before, during) in undisturbed.iter().zip(&disturbed) {
        println!("{before}\n{during}, under fire");
        report.say(during.done > 0, &format!("{} go on under fire", during.name));
        if is_full {
            let kept = during.rate() / before.rate();
            report.say(kept >= KEPT, &format!("{} keep {kept:.3} of their rate", during.name));
        }
    }
    if is_full && let [_, first, .., last] = memory[..] {
        let largest = memory.iter().skip(1).copied().max().unwrap_or(last);
        let growth = largest as f64 / first as f64;
        report.say(growth <= GROWTH, &format!("memory is {growth:.3} at most of what it was after the first round"));
    }
    if report.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Waits without anything to wait for: time has to pass.
fn pause(time: Duration) {
    thread::park_timeout(time);
}
