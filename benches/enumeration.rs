//! Can a stranger tell by the clock who has an account?
//!
//! Sign-in with a wrong password, a forgotten password and registering are asked for addresses that somebody has and for addresses that nobody
//! has, in random order, each from a network of its own and an hour after the one before, so that nothing is slowed down. Argon2id is as cheap as
//! it can be here, and the store is in memory: whatever else differs is not covered up. What is compared is Welch's t over the times,
//! without their slowest part, with several cuts, as in dudect (Reparaz, Balasch and Verbauwhede 2017).
//!
//! They are told apart when t says so and the means differ by more than [`SEEN`]. Each question is asked once more through a planted leak,
//! which skips the work for one in [`LEAK`] of the addresses that nobody has: it has to be found, or the comparison is blind.
//!
//! `cargo bench --bench enumeration -- --samples 5000`

#![expect(clippy::print_stdout, reason = "figures are what this program is for")]

use gatehouse_accounts::{Accounts, Config, NewPassword, NewPerson, PasswordConfig, Visitor};
use gatehouse_base::{SimulatedClock, SystemRandom, config::Size};
use gatehouse_ca::{
    Keyring, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_mail::Outbox;
use gatehouse_store::Store;
use gatehouse_types::{Random, Secret, UnixTime};
use std::{
    env,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

/// What somebody on the same network could see at best: less than the jitter of one hop, with as many questions as nobody gets to ask.
const SEEN: Duration = Duration::from_micros(50);
/// Beyond this t is no accident: once in a hundred thousand comparisons.
const TOO_FAR: f64 = 4.5;
/// How many addresses somebody has.
const PEOPLE: usize = 500;
/// The planted leak skips the work for one address in so many.
const LEAK: usize = 4;

const PASSWORD: &str = "tall ships sail";

struct World {
    accounts: Accounts,
    clock: Arc<SimulatedClock>,
    asked: u32,
}

#[derive(Clone, Copy)]
enum Question {
    SignIn,
    Forgot,
    Register,
}

impl World {
    async fn new() -> Self {
        let store = Store::memory().expect("a store");
        let schemas = [gatehouse_events::SCHEMA, gatehouse_ca::SCHEMA, gatehouse_mail::SCHEMA, gatehouse_accounts::SCHEMA];
        store.prepare(&schemas).await.expect("prepared");
        let clock = Arc::new(SimulatedClock::new(UnixTime::from_secs(1_800_000_000)));
        let unlock = Unlock::Key(Key::generate(&SystemRandom));
        let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, Arc::new(SystemRandom)).await.expect("a keyring");
        let events = Events::new(store, Arc::new(LocalBus::default()), Arc::new(keyring.clone()), Arc::new(SystemRandom));
        let password = PasswordConfig { memory: Size::kib(64), passes: 1, ..PasswordConfig::default() };
        let issuer = Some("https://gatehouse.example.com".to_owned());
        let config = Config { password, issuer, registration: true, ..Config::default() };
        let mail = gatehouse_mail::Config { outbox: 1_000_000, ..gatehouse_mail::Config::default() };
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let sealer = Arc::new(keyring.clone());
        let outbox = Outbox::new(events.clone(), sealer, clock.clone(), Arc::clone(&random), mail, "gatehouse.example.com");
        let accounts = Accounts::new(events, keyring, clock.clone(), random, config).with_mail(Some(outbox));
        for person in 0..PEOPLE {
            let email = known(person).parse().expect("an address");
            let password = NewPassword::new(Secret::from(PASSWORD.to_owned())).expect("a password");
            accounts.add_person(NewPerson { email, name: "Somebody".to_owned(), password, operator: false }).await.expect("added");
        }
        Self { accounts, clock, asked: 0 }
    }

    /// Asks, and tells how long the answer took.
    async fn ask(&mut self, question: Question, email: &str, skip: bool) -> Duration {
        self.clock.advance(Duration::from_secs(3600));
        self.asked += 1;
        let address = IpAddr::V4(Ipv4Addr::from_bits((self.asked << 8).wrapping_add(0x0100_0001)));
        let from = Visitor::new(address, "Mozilla/5.0");
        let password = NewPassword::new(Secret::from("small boats float".to_owned())).expect("a password");
        let wrong = Secret::from("small boats float".to_owned());
        let began = Instant::now();
        if !skip {
            match question {
                Question::SignIn => drop(self.accounts.sign_in(email, &wrong, &from).await.expect_err("nobody has this password")),
                Question::Forgot => self.accounts.forgot_password(email, &from).await.expect("answered"),
                Question::Register => self.accounts.register(email, "Somebody", &password, &from).await.expect("answered"),
            }
        }
        began.elapsed()
    }
}

fn known(person: usize) -> String {
    format!("person{person:06}@example.com")
}

/// As long as the others.
fn unknown(number: usize) -> String {
    format!("nobody{number:06}@example.com")
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip_while(|argument| argument != "--samples").skip(1);
    let samples = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(5000);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let good = runtime.block_on(async {
        let mut world = World::new().await;
        let mut good = true;
        for (name, question) in
            [("sign-in", Question::SignIn), ("forgotten password", Question::Forgot), ("registering", Question::Register)]
        {
            for leak in [None, Some(LEAK)] {
                let told_apart = compare(&mut world, name, question, leak, samples).await;
                good &= told_apart == leak.is_some();
            }
        }
        good
    });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the two kinds of addresses are told apart.
async fn compare(world: &mut World, name: &str, question: Question, leak: Option<usize>, samples: usize) -> bool {
    let (mut with, mut without) = (Vec::with_capacity(samples), Vec::with_capacity(samples));
    while with.len() < samples || without.len() < samples {
        let mut coin = [0];
        SystemRandom.fill(&mut coin);
        let somebody = if with.len() == samples || without.len() == samples { without.len() == samples } else { coin[0] & 1 == 0 };
        if somebody {
            let email = known(with.len() % PEOPLE);
            with.push(world.ask(question, &email, false).await.as_secs_f64() * 1e6);
        } else {
            let email = unknown(world.asked as usize);
            let skip = leak.is_some_and(|each| without.len() % each == 0);
            without.push(world.ask(question, &email, skip).await.as_secs_f64() * 1e6);
        }
    }
    let cuts = [1.0, 0.99, 0.95, 0.9, 0.75, 0.5].map(|part| cut(&with, &without, part));
    let apart = cuts.iter().any(|cut| t(cut).abs() > TOO_FAR && (mean(&cut.0) - mean(&cut.1)).abs() > SEEN.as_secs_f64() * 1e6);
    let (with, without) = &cuts[1];
    let (somebody, nobody, t) = (mean(with), mean(without), t(&cuts[1]));
    let verdict = if apart { "TOLD APART" } else { "not told apart" };
    let planted = if leak.is_some() { " with the planted leak" } else { "" };
    println!("{:44} {somebody:8.1} and {nobody:8.1} µs, t {t:6.1}: {verdict}", format!("{name}{planted}"));
    apart
}

/// Both without what is slower than this part of all.
fn cut(with: &[f64], without: &[f64], part: f64) -> (Vec<f64>, Vec<f64>) {
    let mut all: Vec<_> = with.iter().chain(without).copied().collect();
    all.sort_by(f64::total_cmp);
    let most = all[((all.len() - 1) as f64 * part) as usize];
    let below = |times: &[f64]| times.iter().copied().filter(|time| *time <= most).collect::<Vec<_>>();
    (below(with), below(without))
}

/// Welch's t.
fn t((with, without): &(Vec<f64>, Vec<f64>)) -> f64 {
    let spread = |times: &[f64]| {
        let (count, mean) = (times.len() as f64, mean(times));
        times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0) / count
    };
    (mean(with) - mean(without)) / (spread(with) + spread(without)).sqrt()
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}
