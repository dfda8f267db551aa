//! The directory, tokens and ourselves as a client, against a provider on real sockets that does what a test wants.

mod client;
mod directory;
mod hostile;
mod judging;

use crate::{Access, AccessExpected, Config, Directory, Issuer, Signed, TokenRefused};
use gatehouse_base::{Clock, SimulatedClock};
use gatehouse_outgoing::{Outgoing, Resolve, Resolved};
use gatehouse_testkit::provider::Provider;
use gatehouse_types::{Secret, UnixTime};
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc, time::Duration};

const START: UnixTime = UnixTime::from_secs(1_800_000_000);
const AUDIENCE: &str = "https://gatehouse.example.com/devices";

/// Every name is this machine's.
#[derive(Debug)]
struct Here;

impl Resolve for Here {
    fn resolve<'a>(&'a self, _name: &'a str) -> Resolved<'a> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

/// A directory and one provider.
struct World {
    provider: Provider,
    directory: Directory,
    clock: Arc<SimulatedClock>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut gatehouse_outgoing::Config)) -> Self {
        let provider = Provider::start().await;
        let mut outgoing = gatehouse_outgoing::Config {
            allow: vec!["127.0.0.1".parse().expect("network")],
            anchors: Some(provider.anchors()),
            timeout: Duration::from_secs(5),
            ..gatehouse_outgoing::Config::default()
        };
        change(&mut outgoing);
        let outgoing = Outgoing::with_resolver(outgoing, Arc::new(Here)).expect("a client");
        let clock = Arc::new(SimulatedClock::new(START));
        let directory = Directory::new(outgoing, clock.clone(), Config::default());
        Self { provider, directory, clock }
    }

    fn issuer(&self) -> Issuer {
        self.provider.issuer().parse().expect("an issuer")
    }

    fn clock_secs(&self) -> i64 {
        self.clock.now().secs()
    }

    fn pass(&self, span: Duration) {
        self.clock.advance(span);
    }

    async fn signed(&self, token: &str) -> Result<Signed, TokenRefused> {
        self.directory.signed(&self.issuer(), &secret(token)).await
    }

    /// Judges a token as an access token for us.
    async fn access(&self, token: &str) -> Result<Access, TokenRefused> {
        let types = ["at+jwt".to_owned()];
        let expected = AccessExpected { audience: AUDIENCE, types: &types };
        self.signed(token).await?.access(expected, self.clock.now(), self.directory.skew())
    }

    /// Claims of a good access token, with some changed.
    fn claims(&self, change: Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer().as_str(), "sub": "device-7", "aud": AUDIENCE, "owner": "acme",
            "iat": self.clock.now().secs(), "exp": self.clock.now().secs() + 600,
        });
        for (name, value) in change.as_object().expect("an object") {
            match value {
                Value::Null => claims.as_object_mut().expect("an object").remove(name),
                value => claims.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
            };
        }
        claims
    }
}

fn secret(text: &str) -> Secret {
    Secret::from(text.to_owned())
}

/// The word for why a token was refused.
fn code<T>(result: Result<T, TokenRefused>) -> &'static str {
    result.map_or_else(|error| gatehouse_base::Fault::code(&error), |_| "good")
}
