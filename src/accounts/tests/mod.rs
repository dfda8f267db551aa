//! The accounts from outside: over a store in memory, with a clock that is moved by hand.

mod addresses;
mod assertions;
mod authorization;
mod browser;
mod device_codes;
mod discovery;
mod doors;
mod foreign_devices;
mod foreign_sign_in;
mod foreign_world;
mod grants;
mod invitations;
mod leaving;
mod link_pages;
mod mutual_tls;
mod notices;
mod oauth;
mod onboarding;
mod organisations;
mod pages;
mod passkey_pages;
mod passkeys;
mod post;
mod powers;
mod providers;
mod registration;
mod reset;
mod second_factor;
mod second_person;
mod sessions;
mod sign_in;
mod soft_authenticator;
mod step_up;
mod suspension;
mod together;
mod tokens;

use crate::{
    Accounts, Config, Fact, Happening, Member, NewPassword, NewPerson, NewSession, PasswordConfig, PersonInfo, Role, SCHEMA, SignInError,
    SignedIn, SteppedUp, Visitor,
};
use gatehouse_base::{Clock, SimulatedClock, SystemRandom, config::Size};
use gatehouse_ca::{
    Authority, Keyring, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_mail::Outbox;
use gatehouse_types::{Secret, UnixTime};
use std::{sync::Arc, time::Duration};
use together::{Meeting, Together};

const ISSUER: &str = "https://gatehouse.example.com:8443";
const PASSWORD: &str = "tall ships sail";
pub(crate) const START: UnixTime = UnixTime::from_secs(1_800_000_000);

/// Accounts with Ann in them.
pub(crate) struct World {
    pub(crate) accounts: Accounts,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) ann: PersonInfo,
    pub(crate) outbox: Outbox,
    pub(crate) meeting: Meeting,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let meeting = Meeting::default();
        let store = Together::store(&meeting);
        store.prepare(&[gatehouse_events::SCHEMA, gatehouse_ca::SCHEMA, gatehouse_mail::SCHEMA, SCHEMA]).await.expect("prepared");
        let clock = Arc::new(SimulatedClock::new(START));
        let unlock = Unlock::Key(Key::generate(&SystemRandom));
        let keyring = Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, Arc::new(SystemRandom)).await.expect("a keyring");
        let events = Events::new(store, Arc::new(LocalBus::default()), Arc::new(keyring.clone()), Arc::new(SystemRandom));
        // The cheapest there is: these tests are not about its price.
        let password = PasswordConfig { memory: Size::kib(64), passes: 1, ..PasswordConfig::default() };
        let mut config = Config { password, issuer: Some(ISSUER.to_owned()), registration: true, ..Config::default() };
        change(&mut config);
        let mail = gatehouse_mail::Config::default();
        let outbox =
            Outbox::new(events.clone(), Arc::new(keyring.clone()), clock.clone(), Arc::new(SystemRandom), mail, "gatehouse.example.com");
        let settings = gatehouse_ca::Settings::default();
        let authority = Authority::open(events.clone(), keyring.clone(), clock.clone(), Arc::new(SystemRandom), settings);
        let authority = authority.await.expect("an authority");
        let accounts = Accounts::new(events, keyring, clock.clone(), Arc::new(SystemRandom), config)
            .with_mail(Some(outbox.clone()))
            .with_authority(authority);
        accounts.signing_keys().upkeep().await.expect("keys");
        let ann = add(&accounts, "ann@example.com").await;
        Self { accounts, clock, ann, outbox, meeting }
    }

    /// Turns Ann's second factor on; the answer is her recovery codes.
    pub(crate) async fn with_second_factor(&self) -> Vec<String> {
        let enrolment = self.accounts.enrol_second_factor(&self.ann_lately()).await.expect("enrolling");
        let secret = Secret::new(data_encoding::BASE32_NOPAD.decode(enrolment.secret.expose()).expect("base 32"));
        let code = crate::totp::code_at(&secret, crate::totp::Step::at(self.clock.now()));
        let codes = self.accounts.confirm_second_factor(&self.ann_lately(), &code, &from("192.0.2.1")).await.expect("confirmed");
        codes.iter().map(crate::secret::text).collect()
    }

    pub(crate) fn clock_secs(&self) -> i64 {
        self.clock.now().secs()
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub(crate) async fn sign_in(&self, from: &Visitor) -> NewSession {
        match self.accounts.sign_in("ann@example.com", &secret(PASSWORD), from).await.expect("signed in") {
            SignedIn::Session(session) => session,
            SignedIn::SecondFactor(_) => panic!("a second factor is asked for"),
        }
    }

    pub(crate) async fn refused(&self, email: &str, password: &str, from: &Visitor) -> SignInError {
        self.accounts.sign_in(email, &secret(password), from).await.expect_err("refused")
    }

    /// Ann, who has proven lately who she is.
    pub(crate) fn ann_lately(&self) -> SteppedUp {
        SteppedUp::pretended(self.ann.id)
    }

    /// Ann in her own organisation.
    pub(crate) async fn ann_at_home(&self) -> Member {
        let home = self.accounts.organisations_of(self.ann.id).await.expect("organisations")[0].clone();
        assert_eq!((home.personal, home.role), (true, Role::Owner));
        Member::of(self.ann.id, home.id, home.role).lately(true)
    }

    /// What the stream of all accounts tells.
    pub(crate) async fn facts(&self) -> Vec<Fact> {
        let stream = crate::STREAM.parse().expect("a stream");
        let log = self.accounts.events.read(&stream, gatehouse_store::Position::START.next(), 1000).await.expect("read");
        log.iter().filter_map(|event| event.decode().ok()).collect()
    }

    pub(crate) async fn history(&self) -> Vec<Happening> {
        let history = self.accounts.history(self.ann.id, None, 100).await.expect("history");
        history.into_iter().map(|entry| entry.happening).collect()
    }
}

pub(crate) async fn add(accounts: &Accounts, email: &str) -> PersonInfo {
    let password = NewPassword::new(secret(PASSWORD)).expect("a good password");
    let new = NewPerson { email: email.parse().expect("address"), name: email.to_owned(), password, operator: false };
    accounts.add_person(new).await.expect("added")
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

pub(crate) fn from(address: &str) -> Visitor {
    Visitor::new(address.parse().expect("address"), "browser")
}
