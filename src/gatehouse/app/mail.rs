//! Mail in the running program: the outbox over the authority's log, what carries letters, and what `gatehouse mail` asks.
//!
//! As with accounts, the same [`Order`]s are carried out by the server, over the control socket, and by a command that opened the
//! store itself because no server runs. Only the server delivers; letters that a command writes wait for it.

use super::{
    Config,
    control::{Refusal, Request},
};
use gatehouse_base::{SystemClock, SystemRandom, with_causes};
use gatehouse_ca::Authority;
use gatehouse_mail::{Carrier, LetterInfo, Outbox, SmtpSetupError};
use gatehouse_net::Shutdown;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// How often what is old is forgotten.
const UPKEEP: Duration = Duration::from_secs(600);

/// Something that the machine's own operator wants of the outbox. Each is answered with the letters that it was about.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Every letter that waits or was given up.
    List,
    /// Try these now.
    Retry {
        /// Which; all that were given up when none is named.
        letters: Vec<String>,
    },
    /// Throw these away.
    Drop {
        /// Which; all that were given up when none is named.
        letters: Vec<String>,
    },
}

impl Request for Order {
    const NAME: &'static str = "mail";
    type Answer = Vec<LetterInfo>;
}

/// Opens the outbox in the authority's store, if letters are carried at all. Letters are sealed by the authority's keyring.
pub fn open(config: &Config, authority: &Authority) -> Option<Outbox> {
    config.mail.delivery.as_ref()?;
    let (events, keyring) = (authority.events().clone(), authority.keyring().clone());
    let installation = config.external_address.to_string();
    Some(Outbox::new(events, Arc::new(keyring), Arc::new(SystemClock), Arc::new(SystemRandom), config.mail.clone(), &installation))
}

/// What carries letters, if anything does.
///
/// # Errors
/// A mail server cannot be used.
pub fn carrier(config: &Config) -> Result<Option<Arc<dyn Carrier>>, SmtpSetupError> {
    gatehouse_mail::carrier(&config.mail, Arc::new(SystemClock), &config.external_address.to_string())
}

/// Forgets what is old, until the server stops.
pub(super) async fn upkeep(outbox: Outbox, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.stopped() => return,
        }
        if let Err(error) = outbox.forget_old().await {
            tracing::error!(cause = with_causes(&error), "old letters were not forgotten; this is tried again");
        }
    }
}

/// Carries an order out.
///
/// # Errors
/// There is no such letter, or the store fails.
pub async fn perform(outbox: &Outbox, order: Order) -> Result<Vec<LetterInfo>, Refusal> {
    let mut done = Vec::new();
    match order {
        Order::List => return Ok(outbox.letters().await?),
        Order::Retry { letters } => {
            for letter in named(outbox, letters).await? {
                done.push(outbox.retry(&letter).await?);
            }
        }
        Order::Drop { letters } => {
            for letter in named(outbox, letters).await? {
                done.push(outbox.discard(&letter).await?);
            }
        }
    }
    Ok(done)
}

async fn named(outbox: &Outbox, letters: Vec<String>) -> Result<Vec<String>, Refusal> {
    if !letters.is_empty() {
        return Ok(letters);
    }
    let all = outbox.letters().await?.into_iter().filter(|letter| letter.due.is_none());
    Ok(all.map(|letter| letter.id).collect())
}
