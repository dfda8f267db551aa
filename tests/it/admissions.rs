//! Devices that are let in by a process that is killed at any moment, over a store on disk and with real certificates.
//!
//! No door speaks with devices yet. So a part of this program, in a process of its own, does what such a door will do.

use crate::{
    secrets::Secrets,
    support::{ForeignAuthority, PROGRAM, block_on},
};
use gatehouse::app::{Config, custody, people};
use gatehouse_accounts::{AdmissionFact, Admissions, NewCode, Presenter, Tokens, VerifiedDevice};
use gatehouse_base::{Clock, SystemClock};
use gatehouse_events::Events;
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose};
use gatehouse_store::{Position, Store};
use gatehouse_testkit::{
    process::{Process, command},
    server::Installation,
};
use gatehouse_types::{DeviceId, HubId, OrganisationId, Secret};
use serde_json::{Value, json};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

/// Names the configuration of the process that is killed.
const CONFIGURATION: &str = "GATEHOUSE_TEST_ADMISSIONS";
const DEVICE: &str = "921e7b6e-5ff7-4559-60d9-bf03bc730cc4";
const HUB: &str = "6c6a1f5e-3c8b-4f0e-9d0e-2f3f4e5a6b7c";

/// Kills in the short form; `GATEHOUSE_KILLS=1000 cargo test --test it -- --nocapture admissions` is the long one.
const KILLS: usize = 8;

/// Admissions over the store of an installation, and a device of its only organisation.
struct Service {
    admissions: Admissions,
    events: Events,
    organisation: OrganisationId,
    at: Presenter,
}

impl Service {
    async fn open(file: &Path) -> Self {
        let config = Config::load(file).unwrap_or_else(|mistakes| panic!("{mistakes}")).config;
        let store = Store::open(&config.store).await.expect("a store");
        let authority = custody::open(&config, &store).await.expect("a keyring");
        let accounts = people::open(&config, &authority, None, None);
        accounts.signing_keys().upkeep().await.expect("keys");
        let ann = accounts.people(None, 1).await.expect("people")[0].id;
        let organisation = accounts.organisations_of(ann).await.expect("organisations")[0].id;
        let folder = file.parent().expect("a folder");
        let at = presenter(folder, organisation);
        Self { admissions: accounts.admissions(), events: authority.events().clone(), organisation, at }
    }

    async fn issue(&self) -> Secret {
        let new = NewCode { device: self.at.device(), hub: self.at.hub(), group: None };
        self.admissions.issue(self.organisation, new, SystemClock.now()).await.expect("issued").1
    }

    /// What a device shows and gets: a code, or a refresh token.
    async fn show(&self, shown: &str) -> Tokens {
        let (secret, now) = (Secret::from(shown.to_owned()), SystemClock.now());
        let answer = match shown.starts_with("gto_") {
            true => self.admissions.exchange(None, &secret, &self.at, now).await,
            false => self.admissions.refresh(&secret, &self.at, now).await,
        };
        answer.unwrap_or_else(|error| panic!("{shown} is refused: {error}"))
    }

    async fn sign_in(&self, access: &str) -> VerifiedDevice {
        self.admissions.verify(&Secret::from(access.to_owned()), &self.at, SystemClock.now()).await.expect("signed in")
    }

    async fn thefts(&self) -> usize {
        let events = self.events.read(&Admissions::stream(self.organisation), Position(1), 10_000).await.expect("read");
        let theft = |fact: AdmissionFact| matches!(fact, AdmissionFact::TokenStolen { .. });
        events.iter().filter(|event| event.decode().is_ok_and(theft)).count()
    }
}

/// The device over the certificate in the folder.
fn presenter(folder: &Path, organisation: OrganisationId) -> Presenter {
    let read = |name: &str| Certificate::chain_from_pem(&fs::read(folder.join(name)).expect("a file")).expect("PEM").remove(0);
    let anchors = Anchors::builder().anchor(read("device-ca.pem")).build().expect("an anchor");
    let chain = anchors.verify(&[read("device.pem").der()], &Policy::new(Purpose::Client), SystemClock.now()).expect("a good chain");
    let (device, hub): (DeviceId, HubId) = (DEVICE.parse().expect("an id"), HUB.parse().expect("an id"));
    let at = Presenter::new(&chain, organisation, hub).expect("a device");
    assert_eq!(at.device(), device);
    at
}

fn installation() -> Installation {
    let installation = Installation::new(PROGRAM, "[accounts]\nissuer = \"https://localhost:8443\"\n").expect("installation");
    let authority = ForeignAuthority::new("Device Root");
    let (certificate, _) = authority.client(7, &format!("uuid:{DEVICE}"));
    fs::write(installation.folder().join("device.pem"), certificate).expect("written");
    fs::write(installation.folder().join("device-ca.pem"), &authority.pem).expect("written");
    let mut admin = command(PROGRAM);
    admin.arg("--config").arg(installation.file()).args(["admin", "add", "ann@example.com", "--password-stdin"]);
    let mut process = admin.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started");
    process.stdin.take().expect("piped").write_all(b"tall ships sail").expect("written");
    assert!(process.wait().expect("ended").success());
    installation
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

/// Not a test of its own: the process that the test below kills.
#[test]
#[ignore = "the test below runs it in a process of its own"]
fn a_service_until_it_is_killed() {
    let Some(file) = env::var_os(CONFIGURATION).map(PathBuf::from) else { return };
    let say = |line: Value| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{line}").and_then(|()| out.flush()).expect("somebody listens");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let service = Service::open(&file).await;
        loop {
            let mut shown = text(&service.issue().await);
            for _ in 0..4 {
                say(json!({ "shown": shown }));
                let tokens = service.show(&shown).await;
                say(json!({ "access": text(&tokens.access), "refresh": text(&tokens.refresh) }));
                service.sign_in(&text(&tokens.access)).await;
                shown = text(&tokens.refresh);
            }
        }
    });
}

#[test]
fn a_device_gets_its_answer_though_the_service_is_killed_at_any_moment_and_no_file_has_it() {
    let kills = env::var("GATEHOUSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let installation = installation();
    let mut secrets = Secrets::default();
    for kill in 0..kills {
        let told = killed_after(&installation.file(), 1 + kill % 9, Duration::from_micros(700 * (kill as u64 % 11)));
        let last = told.iter().rposition(|line| line["shown"].is_string()).expect("something was shown");
        let shown = told[last]["shown"].as_str().expect("text").to_owned();
        let answer = told.get(last + 1);
        let again = block_on(async {
            let service = Service::open(&installation.file()).await;
            // After an answer its token may have been used, and then the question is worth nothing any more.
            let again = match answer {
                None => Some(service.show(&shown).await),
                Some(_) => None,
            };
            if let Some(tokens) = &again {
                let repeated = service.show(&shown).await;
                assert_eq!((&repeated.access, &repeated.refresh), (&tokens.access, &tokens.refresh));
            }
            let (access, refresh) = match (&again, answer) {
                (Some(tokens), _) => (text(&tokens.access), text(&tokens.refresh)),
                (None, answer) => {
                    let part = |name: &str| answer.and_then(|answer| answer[name].as_str()).expect("text").to_owned();
                    (part("access"), part("refresh"))
                }
            };
            service.sign_in(&access).await;
            let next = service.show(&refresh).await;
            assert_eq!(service.thefts().await, 0);
            [access, refresh, text(&next.access), text(&next.refresh)]
        });
        secrets.plant("what was shown", &shown);
        again.iter().for_each(|secret| secrets.plant("what was answered", secret));
        for line in &told {
            ["access", "refresh", "shown"].iter().filter_map(|name| line[name].as_str()).for_each(|secret| secrets.plant("token", secret));
        }
    }
    assert_eq!(secrets.found_below(&installation.folder().join("data")), Vec::<String>::new());
}

/// What a service said until it was killed, some moment after so many lines.
fn killed_after(file: &Path, lines: usize, and: Duration) -> Vec<Value> {
    let mut program = command(env::current_exe().expect("this program"));
    program.args(["--exact", "admissions::a_service_until_it_is_killed", "--ignored", "--nocapture"]).env(CONFIGURATION, file);
    program.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = Process::start("service", program).expect("started");
    let mut told = BufReader::new(process.child().stdout.take().expect("piped")).lines();
    let mut read = Vec::new();
    while read.len() < lines {
        let line = told.next().expect("it goes on").expect("text");
        read.extend(serde_json::from_str::<Value>(&line).ok().filter(Value::is_object));
    }
    std::thread::park_timeout(and);
    process.signal(rustix::process::Signal::KILL).expect("killed");
    process.wait().expect("ended");
    read.extend(told.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok()).filter(Value::is_object));
    read
}
