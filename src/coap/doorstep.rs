//! Strangers over plain UDP: nobody knows that they are where they say until they bring a value back that was sent there.

use crate::{counters::Strangers, session::now};
use bytes::Bytes;
use gatehouse_net::DatagramConnection;
use gatehouse_types::Random;
use gatehouse_wire::coap::{
    Limits,
    doorstep::{Doorstep, EchoKey, Knock},
};
use ring::hmac;
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};
use tracing::debug;

/// For how long a value is good at least.
const LIFETIME: Duration = Duration::from_secs(60);

/// Lets strangers in, and remembers none of them.
pub(crate) struct Guard(Doorstep);

impl Guard {
    /// A guard with a key of its own.
    pub(crate) fn new(random: &dyn Random) -> Self {
        let mut key = [0; 32];
        random.fill(&mut key);
        Self(Doorstep::new(Arc::new(Key(hmac::Key::new(hmac::HMAC_SHA256, &key))), now(), LIFETIME))
    }

    /// Waits until the peer has shown where it is, and gives back the datagram that did. `None` when it is gone, or we are
    /// about to be. What it is answered until then is no longer than what it sends.
    pub(crate) async fn let_in(&self, connection: &mut DatagramConnection, limits: &Limits, count: &Strangers) -> Option<Bytes> {
        let address = connection.peer.address();
        let mut name = match address.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        name.extend(address.port().to_be_bytes());
        let shutdown = connection.shutdown.clone();
        loop {
            let datagram = tokio::select! {
                datagram = connection.receive() => datagram?,
                () = shutdown.draining() => return None,
            };
            let (counter, answer) = match self.0.knock(now(), &name, &datagram, limits) {
                Knock::Enter => {
                    count.let_in.increment(1);
                    connection.sender().address_is_proven().await;
                    return Some(datagram);
                }
                Knock::Challenge(answer) => (&count.challenged, Some(answer)),
                Knock::TooShort(answer) => {
                    debug!(%address, length = datagram.len(), "a request is too short for an answer with an Echo value");
                    (&count.too_short, Some(answer))
                }
                Knock::Reject(answer) => (&count.rejected, Some(answer)),
                Knock::Ignore => (&count.ignored, None),
            };
            counter.increment(1);
            if let Some(answer) = answer {
                // One that cannot be sent now is lost like any datagram.
                let _ = connection.sender().try_send(answer);
            }
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Guard")
    }
}

struct Key(hmac::Key);

impl EchoKey for Key {
    fn code(&self, peer: &[u8], number: u64) -> [u8; 8] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&number.to_be_bytes());
        context.update(peer);
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}
