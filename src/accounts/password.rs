//! Passwords: what is accepted, and how one is kept and compared.
//!
//! Argon2id with a cost from the configuration. Only so many are computed at once as there are turns, and only so many
//! wait for a turn: a flood of sign-ins costs a bounded amount of memory and leaves the other work its processors.

use crate::breached;
use argon2::{Algorithm, Argon2, Params, Version};
use gatehouse_base::{
    Fault, Kind,
    config::{Configure, Section, Size},
};
use gatehouse_store::codec::Bytes;
use gatehouse_types::{Random, Secret};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const SALT: usize = 16;
const DIGEST: usize = 32;
const LEAST_CHARACTERS: usize = 8;
const MOST_CHARACTERS: usize = 256;

/// How dear it is to try a password: Argon2id's parameters, and how many are computed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Memory for one password. Default 19 MiB, at least that.
    pub memory: Size,
    /// Passes over the memory. Default 2, at least that.
    pub passes: u32,
    /// Lanes that are computed one after the other. Default 1.
    pub lanes: u32,
    /// Passwords that are computed at once. Default 2.
    pub at_once: usize,
    /// Passwords that wait for their turn. More are answered with 429. Default 64.
    pub waiting: usize,
    /// A file of the SHA-1 digests of passwords that were found in the loot of others, sorted, one a line: those may not be set.
    /// Default: none.
    pub breached: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        // The second choice of OWASP's table of equally strong parameters.
        Self { memory: Size::mib(19), passes: 2, lanes: 1, at_once: 2, waiting: 64, breached: None }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let breached = from.path("breached");
        if let Some(path) = &breached
            && let Err(error) = breached::lists(path, &Secret::new(Vec::new()))
        {
            from.refuse("breached", format!("names {}: {error}", path.display()));
        }
        Some(Self {
            memory: from.within("memory", defaults.memory, Size::mib(19)..=Size::mib(1024)),
            passes: from.within("passes", defaults.passes, 2..=64),
            lanes: from.within("lanes", defaults.lanes, 1..=16),
            at_once: from.within("at_once", defaults.at_once, 1..=256),
            waiting: from.within("waiting", defaults.waiting, 1..=10_000),
            breached,
        })
    }
}

/// A password that may be set. It says nothing about whether anybody has it.
#[derive(Clone, Debug)]
pub struct NewPassword(Secret);

/// A password that may not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    /// Too short, or too long.
    #[error("a password has {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters; every character is allowed, and none is demanded")]
    Length,
    /// It is among those that everybody tries first.
    #[error("this password is among those that are tried first; choose another one")]
    WellKnown,
    /// It is in the list of those that were found.
    #[error("this password was found among those that thieves have taken elsewhere; choose another one")]
    Breached,
}

/// A password was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotKept {
    Refused(PasswordRefused),
    Busy(Busy),
}

impl From<Busy> for NotKept {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}

impl Fault for PasswordRefused {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Length => "password-length",
            Self::WellKnown => "password-well-known",
            Self::Breached => "password-breached",
        }
    }

    fn field(&self) -> Option<&str> {
        Some("password")
    }
}

impl NewPassword {
    /// Checks the length and the list of what is tried first. There are no rules of composition: they make passwords
    /// worse.
    ///
    /// # Errors
    /// Which of the two it fails.
    pub fn new(password: Secret) -> Result<Self, PasswordRefused> {
        let text = std::str::from_utf8(password.expose()).map_err(|_| PasswordRefused::Length)?;
        if !(LEAST_CHARACTERS..=MOST_CHARACTERS).contains(&text.chars().count()) {
            return Err(PasswordRefused::Length);
        }
        if is_well_known(text) {
            return Err(PasswordRefused::WellKnown);
        }
        Ok(Self(password))
    }
}

/// Lower case, one a line, sorted, each of at least [`LEAST_CHARACTERS`]; shorter ones are refused for their length.
const WELL_KNOWN: &str = include_str!("well_known_passwords.txt");

fn is_well_known(password: &str) -> bool {
    let folded = password.to_lowercase();
    // "Password1!" is "password" to whoever guesses.
    let bare = folded.trim_matches(|c: char| !c.is_alphabetic());
    let one_character = folded.chars().all(|c| folded.starts_with(c));
    one_character || WELL_KNOWN.lines().any(|known| known == folded || (known.len() >= LEAST_CHARACTERS && known == bare))
}

/// A password as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Bytes,
    digest: Bytes,
}

/// Too many passwords wait to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many people sign in at this moment; try again in a few seconds")]
pub struct Busy;

impl Fault for Busy {
    fn kind(&self) -> Kind {
        Kind::Exhausted
    }

    fn code(&self) -> &'static str {
        "sign-in-busy"
    }

    fn retry_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(5))
    }
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Right, and kept at another cost than the configured one: to be kept anew.
    RightButOutdated,
    Wrong,
}

/// Keeps and compares passwords.
pub(crate) struct Passwords {
    config: Config,
    turns: Arc<Semaphore>,
    /// Everybody who has a turn or waits for one.
    present: Arc<Semaphore>,
    /// What is compared with when nobody has the address: that takes as long and finds nothing.
    decoy: Kept,
    random: Arc<dyn Random>,
    /// How many were computed.
    #[cfg(test)]
    pub(crate) computed: std::sync::atomic::AtomicUsize,
}

impl Passwords {
    pub(crate) fn new(config: Config, random: Arc<dyn Random>) -> Self {
        let bytes = |length: usize| {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            Bytes::from(bytes)
        };
        let decoy = Kept::at(&config, bytes(SALT), bytes(DIGEST));
        let present = Arc::new(Semaphore::new(config.at_once + config.waiting));
        let turns = Arc::new(Semaphore::new(config.at_once));
        Self {
            config,
            turns,
            present,
            decoy,
            random,
            #[cfg(test)]
            computed: Default::default(),
        }
    }

    /// What is kept of a new password, unless it is in the list of those that were found.
    pub(crate) async fn keep(&self, password: &NewPassword) -> Result<Kept, NotKept> {
        if let Some(file) = self.config.breached.clone() {
            let password = password.0.clone();
            let found = tokio::task::spawn_blocking(move || breached::lists(&file, &password)).await.map_err(|_| Busy)?;
            match found {
                Ok(false) => {}
                Ok(true) => return Err(NotKept::Refused(PasswordRefused::Breached)),
                // Nobody is kept out by a list that went away; whoever runs this hears of it.
                Err(error) => tracing::error!(%error, "the list in [accounts.password] breached cannot be read"),
            }
        }
        Ok(self.keep_anyway(password).await?)
    }

    /// The same for a password that was set before.
    pub(crate) async fn keep_anyway(&self, password: &NewPassword) -> Result<Kept, Busy> {
        let kept = self.none();
        let digest = self.compute(kept.clone(), password.0.clone()).await?;
        Ok(Kept { digest: digest.expose().to_vec().into(), ..kept })
    }

    /// What no password equals.
    pub(crate) fn none(&self) -> Kept {
        let mut salt = vec![0; SALT];
        self.random.fill(&mut salt);
        Kept::at(&self.config, salt.into(), Bytes::default())
    }

    /// Compares with what is kept. Without it the same work is done, and the answer is that it is wrong.
    pub(crate) async fn compare(&self, password: &Secret, kept: Option<&Kept>) -> Result<Verdict, Busy> {
        // What cannot have been set costs no more than what can.
        let password = if password.len() > MOST_CHARACTERS * 4 { Secret::new(Vec::new()) } else { password.clone() };
        let against = kept.unwrap_or(&self.decoy);
        let digest = self.compute(against.clone(), password).await?;
        let equal = digest == Secret::new(against.digest.to_vec());
        Ok(match (equal && kept.is_some(), against.is_at(&self.config)) {
            (false, _) => Verdict::Wrong,
            (true, true) => Verdict::Right,
            (true, false) => Verdict::RightButOutdated,
        })
    }

    async fn compute(&self, kept: Kept, password: Secret) -> Result<Secret, Busy> {
        #[cfg(test)]
        self.computed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let present = Arc::clone(&self.present).try_acquire_owned().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Busy)?;
        let computing = tokio::task::spawn_blocking(move || {
            let digest = kept.digest_of(&password);
            // They go with the work and not with whoever waits for it: a request that is given up stops no computation.
            drop((present, turn));
            digest
        });
        computing.await.unwrap_or(Err(Busy))
    }
}

impl std::fmt::Debug for Passwords {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Passwords").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Kept {
    fn at(config: &Config, salt: Bytes, digest: Bytes) -> Self {
        let memory_kib = u32::try_from(config.memory.get() / 1024).unwrap_or(u32::MAX);
        Self { memory_kib, passes: config.passes, lanes: config.lanes, salt, digest }
    }

    fn is_at(&self, config: &Config) -> bool {
        let now = Self::at(config, self.salt.clone(), self.digest.clone());
        (self.memory_kib, self.passes, self.lanes) == (now.memory_kib, now.passes, now.lanes)
    }

    fn digest_of(&self, password: &Secret) -> Result<Secret, Busy> {
        let mut digest = vec![0; DIGEST];
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(DIGEST)).map_err(|_| Busy)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon.hash_password_into(password.expose(), &self.salt, &mut digest).map_err(|_| Busy)?;
        Ok(Secret::new(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    fn passwords(config: Config) -> Passwords {
        Passwords::new(config, Arc::new(SystemRandom))
    }

    #[tokio::test]
    async fn the_right_password_is_found_right_and_no_other() {
        let passwords = passwords(Config::default());
        let kept = passwords.keep(&NewPassword::new(secret("tall ships sail")).expect("good")).await.expect("kept");
        assert_eq!(passwords.compare(&secret("tall ships sail"), Some(&kept)).await, Ok(Verdict::Right));
        for other in ["tall ships sai", "tall ships sail ", "Tall ships sail", "tall  ships sail"] {
            assert_eq!(passwords.compare(&secret(other), Some(&kept)).await, Ok(Verdict::Wrong), "{other:?}");
        }
        assert_eq!(passwords.compare(&secret("tall ships sail"), None).await, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn a_password_kept_at_another_cost_is_right_and_outdated() {
        let old = passwords(Config::default()).keep(&NewPassword::new(secret("tall ships sail")).expect("good")).await.expect("kept");
        let dearer = passwords(Config { passes: 3, ..Config::default() });
        assert_eq!(dearer.compare(&secret("tall ships sail"), Some(&old)).await, Ok(Verdict::RightButOutdated));
        assert_eq!(dearer.compare(&secret("tall ships sink"), Some(&old)).await, Ok(Verdict::Wrong));
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_told_to_come_back() {
        let passwords = passwords(Config { at_once: 1, waiting: 1, ..Config::default() });
        let wrong = secret("tall ships sail");
        let three = tokio::join!(passwords.compare(&wrong, None), passwords.compare(&wrong, None), passwords.compare(&wrong, None));
        assert_eq!(three, (Ok(Verdict::Wrong), Ok(Verdict::Wrong), Err(Busy)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_goes_away_keeps_the_place_until_the_work_is_done() {
        let passwords = passwords(Config { at_once: 1, waiting: 0, memory: Size::mib(64), passes: 8, ..Config::default() });
        let wrong = secret("tall ships sail");
        {
            let mut going = std::pin::pin!(passwords.compare(&wrong, None));
            assert!(std::future::poll_fn(|context| std::task::Poll::Ready(going.as_mut().poll(context))).await.is_pending());
        }
        assert_eq!(passwords.compare(&wrong, None).await, Err(Busy));
        drop(passwords.turns.acquire().await.expect("the work is done"));
        assert_eq!(passwords.compare(&wrong, None).await, Ok(Verdict::Wrong));
    }

    #[test]
    fn length_counts_in_characters_and_no_composition_is_demanded() {
        let refused = |text: &str| NewPassword::new(secret(text)).err();
        assert_eq!(refused("zxqvjkw"), Some(PasswordRefused::Length));
        assert_eq!(refused("ßßøøååææ"), None);
        assert_eq!(refused(&"xy".repeat(128)), None);
        assert_eq!(refused(&"xyz".repeat(86)), Some(PasswordRefused::Length));
        assert_eq!(NewPassword::new(Secret::new(vec![0xff; 12])).err(), Some(PasswordRefused::Length));
    }

    #[test]
    fn what_everybody_tries_first_is_refused_in_its_disguises() {
        for text in ["password", "Password1!", "Gatehouse!", "12345678", "QWERTYUIOP", "iloveyou2", "aaaaaaaaaaaa"] {
            assert_eq!(NewPassword::new(secret(text)).err(), Some(PasswordRefused::WellKnown), "{text}");
        }
        assert!(NewPassword::new(secret("password of the seven seas")).is_ok());
    }

    #[test]
    fn the_list_is_sorted_lower_case_and_long_enough() {
        let lines: Vec<_> = WELL_KNOWN.lines().collect();
        assert!(lines.len() >= 100 && lines.is_sorted());
        assert!(lines.iter().all(|line| line.chars().count() >= LEAST_CHARACTERS && *line == line.to_lowercase()));
    }
}
