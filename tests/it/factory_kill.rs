//! A production line whose program is killed at any moment: every serial once, and no key anywhere but in its sealed
//! bundle.
//!
//! `GATEHOUSE_KILLS=1000 cargo test --test it -- --nocapture factory_kill` is the long form.

use crate::factory_line::{DEVICES, Line, keys, search};
use std::{
    collections::BTreeSet,
    fs,
    process::Child,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Kills in the short form.
const KILLS: u64 = 25;

/// Lets the child run for so long at most; whether it ended by itself.
fn run_for(mut child: Child, most: Duration) -> bool {
    let id = child.id();
    let (ended, wait) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let status = child.wait().expect("a child");
        // Nobody listens any more when the time was up.
        let _ = ended.send(());
        status
    });
    if wait.recv_timeout(most).is_err() {
        let id = rustix::process::Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id");
        // It may end at this very moment; then there is nobody to kill.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
    }
    waiter.join().expect("the waiter").success()
}

#[test]
fn killed_at_any_moment_a_batch_goes_on_and_gives_every_serial_once() {
    let kills = std::env::var("GATEHOUSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut done = 0;
    while done < kills {
        let round = KILLS.min(kills - done);
        killed(round);
        done += round;
        println!("{done} of {kills} kills");
    }
}

/// One factory whose batches are killed so often.
fn killed(kills: u64) {
    let line = Line::new();
    let recipient = line.recipient();
    // How long a whole batch takes here, so that kills meet all of it.
    let begun = Instant::now();
    assert!(run_for(line.batch(1), Duration::from_secs(600)), "{}", line.said());
    let whole = begun.elapsed();

    // Keys that were made and thrown away by a kill: they must not be anywhere either.
    let mut lost = Vec::new();
    let (mut done, mut batches) = (0, 1);
    while done < kills {
        batches += 1;
        while !run_for(line.batch(batches), if done < kills { moment(whole) } else { Duration::from_secs(600) }) {
            assert!(done < kills, "the batch does not end: {}", line.said());
            done += 1;
            lost.extend(keys(&line.unfinished(batches), &recipient));
        }
    }
    let bundles = line.bundles(batches);
    let mut serials: Vec<_> = bundles.iter().map(|bundle| bundle.about.device.to_string()).collect();
    serials.sort();
    let expected: Vec<_> = (1..=batches * DEVICES).map(|number| format!("GH-{number:08}")).collect();
    let differs = serials.iter().zip(&expected).find(|(made, expected)| made != expected);
    assert_eq!((serials.len(), differs), (expected.len(), None));
    let mut keys = keys(&bundles, &recipient);
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key belongs to one device");
    keys.extend(lost);
    search(&line, &keys);
    let status = line.command(&["status"]).status().expect("the program runs");
    assert!(status.success() && line.said().contains(&format!("{} devices made", batches * DEVICES)), "{}", line.said());
}

fn moment(whole: Duration) -> Duration {
    let mut draw = [0; 2];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut draw).expect("random");
    whole.mul_f64(f64::from(u16::from_le_bytes(draw)) / f64::from(u16::MAX))
}

#[test]
fn the_search_finds_a_key_where_there_is_one() {
    let line = Line::new();
    let key: Vec<u8> = (0..32).map(|byte| byte * 7 + 3).collect();
    search(&line, std::slice::from_ref(&key));
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    use base64::{Engine, engine::general_purpose::STANDARD};
    let encoded = |before: &[u8]| STANDARD.encode([before, &key].concat()).into_bytes();
    for form in [key.clone(), hex.clone().into_bytes(), hex.to_uppercase().into_bytes(), encoded(b""), encoded(b"a"), encoded(b"ab")] {
        let path = line.dir.path().join("leak");
        fs::write(&path, form).expect("write");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| search(&line, std::slice::from_ref(&key))));
        assert!(found.is_err());
        fs::remove_file(path).expect("remove");
    }
}
