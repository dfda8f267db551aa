//! libcoap's client, built on OpenSSL and on GnuTLS, over each scheme: methods, a mebibyte in both directions, observation,
//! and who comes in.

use crate::house::{House, WELCOME, files};
use gatehouse_certs::folder;
use gatehouse_testkit::{
    process::{Process, command, run},
    require_tool,
};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const BUILDS: [&str; 2] = ["coap-client-openssl", "coap-client-gnutls"];
const SCHEMES: [&str; 4] = ["coap", "coap+tcp", "coaps", "coaps+tcp"];
/// Who comes in where there is a choice.
const DEVICE: &str = "good/p256-long";

/// How long it may take in all, in seconds.
const PATIENCE: &str = "120";

/// A request with everything that is not said below: `options` of libcoap's, and what is presented.
fn asking(build: &str, house: &House, scheme: &str, path: &str, presented: &[&str], options: &[&str]) -> Option<Command> {
    let mut client = command(require_tool(build)?);
    client.args(["-B", PATIENCE]).args(presented).args(options).arg(format!("{scheme}://{}{path}", house.address));
    Some(client)
}

/// The whole chain, as each build is told to present it: that on OpenSSL takes only the leaf from the file of its certificate, and makes
/// up the rest of what it trusts. Nothing is asked of the door's own certificate.
fn chain(build: &str, name: &str, scratch: &TempDir) -> Vec<String> {
    let [chain, key] = files(name);
    let believed = scratch.path().join(name.replace('/', "-"));
    let anchors = fs::read_to_string(folder::home().join(name).join("anchors.pem")).expect("kept");
    fs::write(&believed, fs::read_to_string(&chain).expect("kept") + &anchors).expect("written");
    let mut words = presenting(chain, key);
    if build.ends_with("openssl") {
        words.extend(["-R".to_owned(), believed.display().to_string()]);
    }
    words
}

/// The leaf of a chain and nothing else.
fn leaf_only(name: &str, scratch: &TempDir) -> Vec<String> {
    let ([chain, key], leaf) = (files(name), scratch.path().join(name.replace('/', "-") + "-leaf"));
    let chain = fs::read_to_string(chain).expect("kept");
    let end = "-----END CERTIFICATE-----\n";
    fs::write(&leaf, chain.split_once(end).expect("PEM").0.to_owned() + end).expect("written");
    presenting(leaf, key)
}

fn presenting(chain: PathBuf, key: PathBuf) -> Vec<String> {
    vec!["-n".to_owned(), "-c".to_owned(), chain.display().to_string(), "-j".to_owned(), key.display().to_string()]
}

fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Goes through every build over every scheme, with a door for each scheme.
fn everywhere(mut ask: impl FnMut(&str, &str, &House, &[&str]) -> Option<()>) -> Option<()> {
    let scratch = tempfile::tempdir().expect("a folder");
    for scheme in SCHEMES {
        let house = House::behind(scheme, DEVICE);
        for build in BUILDS {
            let presented = if scheme.starts_with("coaps") { chain(build, DEVICE, &scratch) } else { Vec::new() };
            ask(build, scheme, &house, &words(&presented))?;
        }
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_reads_changes_and_is_told_what_there_is_not() {
    everywhere(|build, scheme, house, presented| {
        for (path, options, expected) in [
            ("/greeting", &[][..], WELCOME),
            ("/note", &["-m", "put", "-e", "warm"], ""),
            ("/note", &[], "warm"),
            ("/turn", &["-m", "post", "-e", "abc"], "cba"),
        ] {
            let output = run(asking(build, house, scheme, path, presented, options)?).expect("libcoap's client runs");
            assert_eq!(said(&output), expected, "{build} {scheme} {path}: {}", String::from_utf8_lossy(&output.stderr));
        }
        for (path, options, code) in [("/nothing", &[][..], "4.04"), ("/greeting", &["-m", "delete"], "4.05")] {
            let output = run(asking(build, house, scheme, path, presented, options)?).expect("libcoap's client runs");
            let all = said(&output) + &String::from_utf8_lossy(&output.stderr);
            assert!(all.contains(code), "{build} {scheme} {path}: {all}");
        }
        Some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_sends_a_mebibyte_and_gets_it_back_turned_around() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (there, back) = (scratch.path().join("there"), scratch.path().join("back"));
    let body: Vec<u8> = (0..1_u32 << 20).map(|at| (at / 1024 + at) as u8).collect();
    fs::write(&there, &body).expect("written");
    let (from, to) = (there.display().to_string(), back.display().to_string());
    everywhere(|build, scheme, house, presented| {
        // The file may be there from the last one.
        let _ = fs::remove_file(&back);
        let options = ["-m", "post", "-t", "42", "-b", "1024", "-f", &from, "-o", &to];
        let output = run(asking(build, house, scheme, "/turn", presented, &options)?).expect("libcoap's client runs");
        let got = fs::read(&back).unwrap_or_default();
        assert!(
            got.iter().rev().eq(&body),
            "{build} {scheme}: {} bytes came back: {}{}",
            got.len(),
            said(&output),
            String::from_utf8_lossy(&output.stderr)
        );
        Some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_observes_until_it_ends() {
    let long = "3".repeat(5000);
    let mut houses = Vec::new();
    let scratch = tempfile::tempdir().expect("a folder");
    for scheme in SCHEMES {
        let house = House::behind(scheme, DEVICE);
        for build in BUILDS {
            house.say("first");
            let presented = if scheme.starts_with("coaps") { chain(build, DEVICE, &scratch) } else { Vec::new() };
            let Some(mut client) = asking(build, &house, scheme, "/note", &words(&presented), &["-s", PATIENCE, "-w"]) else { return };
            client.stdout(Stdio::piped()).stderr(Stdio::null());
            let mut client = Process::start("observer", client).expect("libcoap's client runs");
            let mut lines = BufReader::new(client.child().stdout.take().expect("a pipe")).lines();
            for state in ["first", "second", &long, "last"] {
                // The first is its state before anybody looks.
                if state != "first" {
                    house.say(state);
                }
                let shown = lines.next().expect("it goes on").expect("text");
                assert_eq!(shown, state, "{build} {scheme}");
            }
            client.signal(rustix::process::Signal::INT).expect("told to end");
            assert!(client.wait().expect("ended").success(), "{build} {scheme}");
        }
        houses.push((scheme, house));
    }
    for (scheme, house) in houses {
        // Over UDP that somebody has gone is found out by a notification that is not acknowledged.
        if scheme != "coap" {
            tokio::time::timeout(Duration::from_secs(60), house.forgotten()).await.expect("nobody observes any more");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libcoap_comes_in_with_a_chain_or_a_leaf_whose_issuers_are_known_and_with_nothing_else() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (mut houses, mut asked) = (Vec::new(), Vec::new());
    for scheme in ["coaps", "coaps+tcp"] {
        let [long, direct, configured] =
            [DEVICE, "good/root-leaf", "good/intermediates-configured"].map(|known| House::behind(scheme, known));
        for build in BUILDS {
            for (house, presented, let_in) in [
                (&long, chain(build, DEVICE, &scratch), true),
                (&direct, leaf_only("good/root-leaf", &scratch), true),
                (&configured, leaf_only("good/intermediates-configured", &scratch), true),
                // A leaf whose issuer nobody knows, a chain of strangers, and nothing at all.
                (&long, leaf_only(DEVICE, &scratch), false),
                (&long, chain(build, "good/p384-long", &scratch), false),
                (&long, vec!["-n".to_owned()], false),
            ] {
                let patience = if let_in { PATIENCE } else { "5" };
                let Some(client) = asking(build, house, scheme, "/greeting", &words(&presented), &["-B", patience]) else { return };
                asked.push((format!("{build} {scheme} {presented:?}"), client, let_in));
            }
        }
        houses.extend([long, direct, configured]);
    }
    // Some who are refused wait for as long as they may: all ask at once.
    let threads = asked.into_iter().map(|(what, client, let_in)| std::thread::spawn(move || (what, run(client), let_in)));
    for thread in threads.collect::<Vec<_>>() {
        let (what, output, let_in) = thread.join().expect("libcoap's client is waited for");
        // It says on the same way why it was refused.
        let said = said(&output.expect("libcoap's client runs"));
        assert_eq!(said.contains(WELCOME), let_in, "{what}: {said}");
    }
}
