//! The program's device ports under fire: what comes in is who has ended a handshake, memory stays, and good clients notice little.
//!
//! ```text
//! make hostile
//! ```
//!
//! `gatehouse serve` runs on a core of its own and with the limits that it has by itself; attackers and good clients share the other.
//! Against it go, round after round and at the same time: hellos of invented senders; handshakes that stop half-way or creep; last
//! flights in every order with every record left out or repeated; records of wrong epochs, noise, and hellos with a valid cookie under the
//! address of a live association; connections over TCP that say nothing, too little, too slowly or the wrong thing; and devices whose
//! certificates are good and whose CoAP is not. Then a crowd of addresses with valid cookies takes all half-open places, and more; and
//! then devices hold them that have sent all of their handshake but its end.
//!
//! Good clients work all the while. They want a steady rate, because on one core a client that takes all there is keeps of it what others
//! leave; and attackers give way to them on their common core ([`cores::give_way`]), because it is the server that is looked at. Attackers
//! keep named rates: [`Amounts::hello_rate`] and [`Amounts::crowd_rate`].
//!
//! Without `--full`, which is how the test command runs it, the amounts are small and nothing is said of time or memory.

#![expect(clippy::print_stdout, reason = "a report is what this program is for")]

mod chance;
mod coap;
#[allow(dead_code, reason = "each of its users takes what it needs")]
#[path = "../../src/net/tests/device_port"]
mod device_port {
    pub(crate) mod chains;
    pub(crate) mod client;
}
mod floods;
mod good;
mod handshakes;
mod rogues;
mod server;
mod siege;
mod streams;

use device_port::chains::Chains;
use gatehouse_testkit::cores;
use good::{Good, Pace, Tally};
use siege::{Amounts, Siege};
use std::{process::ExitCode, thread, time::Duration};

/// Good clients keep so much of their rate.
const KEPT: f64 = 0.9;

/// How much more memory there may be after any round than after the first that is counted; the one before warms up. Every round ends with
/// half-open peers holding as much as they can, so that none reaches higher than another by chance, and what leaks comes on top.
const GROWTH: f64 = 1.02;

/// Two rogues observe, each as much as one may.
const OBSERVED: u64 = 2 * 64;

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
    let is_full = std::env::args().any(|argument| argument == "--full");
    let amounts = if is_full { Amounts::FULL } else { Amounts::SHORT };
    cores::keep_off_server_core();
    let chains = Chains::make();
    let mut siege = Siege::lay(&chains, amounts);
    let (dtls, tls) = siege.addresses();
    let mut report = Report::default();

    let good = |pace| Good::start(&chains, dtls, tls, pace);
    let mut all = Vec::new();
    let undisturbed = work(good(Pace::Steady), amounts.undisturbed, &mut all);

    let mut memory = Vec::new();
    let at_work = good(Pace::Steady);
    for round in 0..=amounts.rounds {
        siege.round(round);
        memory.push(siege.memory_when_quiet());
        println!("round {round}: {} kB, {:?}", memory[memory.len() - 1] / 1024, siege.port.inside());
    }
    let disturbed = at_work.stop();
    all.extend(disturbed.clone());
    if is_full {
        hurry(&mut siege, good, &mut all, &amounts);
    }

    who_came_in(&mut report, &mut siege, &all);
    what_was_held(&mut report, &siege, &amounts);
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

/// Lets good clients work for some time.
fn work(good: Good, time: Duration, all: &mut Vec<Tally>) -> Vec<Tally> {
    thread::park_timeout(time);
    let tallies = good.stop();
    all.extend(tallies.clone());
    tallies
}

/// What is left to somebody who takes as much as it gets; for whoever wants to know, since the server's core is then busy in any case.
fn hurry(siege: &mut Siege, good: impl Fn(Pace) -> Good, all: &mut Vec<Tally>, amounts: &Amounts) {
    let alone = work(good(Pace::Hurried), amounts.undisturbed / 3, all);
    let hurried = good(Pace::Hurried);
    siege.hellos.round(amounts);
    let flooded = hurried.stop();
    for (alone, flooded) in alone.iter().zip(&flooded) {
        let kept = flooded.rate() / alone.rate();
        println!("without a pause, {alone}\nwithout a pause, {flooded}, while only hellos come: {kept:.3}");
    }
    all.extend(flooded);
}

fn who_came_in(report: &mut Report, siege: &mut Siege, good: &[Tally]) {
    siege.handshakes.check_victim();
    let inside = siege.port.inside();
    for (over_tls, came, attackers) in
        [(false, inside.came, siege.handshakes.let_in + siege.rogues.let_in), (true, inside.came_over_tls, siege.rogues.let_in_over_tls)]
    {
        let good = good.iter().filter(|tally| tally.over_tls == over_tls);
        let (done, failed) = good.fold((0, 0), |(done, failed), tally| (done + tally.done, failed + tally.failed()));
        let least = attackers + done;
        // Who gave up may have been let in meanwhile.
        let most = least + failed + if over_tls { 0 } else { siege.handshakes.perhaps };
        let transport = if over_tls { "TLS" } else { "DTLS" };
        report.say((least..=most).contains(&came), &format!("{came} peers came in over {transport}, and {least} had ended a handshake"));
    }
}

fn what_was_held(report: &mut Report, siege: &Siege, amounts: &Amounts) {
    let Siege { hellos, handshakes, crowd, streams, rogues, .. } = siege;
    println!("{} first hellos were sent, and {} with a cookie that was used before", hellos.sent, crowd.again);
    report.say(hellos.largest_answer <= 0.3, &format!("a first hello is answered with {:.2} of its size at most", hellos.largest_answer));
    let reached = format!("{} handshakes went as far as the last flight, and {} were let lie", handshakes.half, handshakes.unanswered);
    report.say(handshakes.unanswered == 0, &reached);
    report.say(handshakes.victims_lost == 0, "an association whose address was abused lives");
    let most = siege.most_half_open;
    let crowded =
        format!("of {} who came with a cookie {} were let begin, and {most} were half open at once", crowd.challenged, crowd.begun);
    report.say(most <= amounts.half_open as u64 && crowd.begun > 0, &crowded);
    let stopped = format!("{} connections over TCP came to nothing, {} of them after the server's words", streams.opened, streams.answered);
    report.say(streams.answered > 0, &stopped);
    let inside = siege.port.inside();
    let observed = format!("{} observations at once, and {} wishes beyond a limit were refused", siege.most_observations, inside.refused);
    report.say(siege.most_observations <= OBSERVED && inside.refused > 0, &observed);
    let said = format!("after {} words of rogues {} of them were answered a good one", rogues.said, rogues.served);
    report.say(rogues.served == 2 * (amounts.rounds as u64 + 1), &said);
}

/// Waits without anything to wait for: time has to pass.
fn pause(time: Duration) {
    thread::park_timeout(time);
}
