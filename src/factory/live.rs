//! Challenging a running device: we stand in for its provisioning service, and its TLS handshake proves its key.
//!
//! The device must trust our certificate, so it is one that the service root signed. Chains are judged inside the
//! handshake by the `pki` crate, as every provisioning service does it. One device is received at a time.

use crate::{
    error::FactoryError,
    verify::{Against, Verdict},
};
use gatehouse_base::Clock;
use gatehouse_net::{CertificateSource, ClientJudge, Config, Connection, Credentials, Gate, Listener, Service, Shutdown, Tls};
use gatehouse_pki::{Anchors, Certificate, Policy, Purpose, Rejection, VerifiedChain};
use gatehouse_types::UnixTime;
use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{
        mpsc::{Receiver, Sender, channel},
        watch,
    },
    task::JoinHandle,
    time::timeout,
};

/// A device that has shown its chain proves its key within this time, or never.
const PROOF: Duration = Duration::from_secs(1);

/// What CoAP devices offer as application protocol, if any (RFC 8323 §8.2).
const ALPN: &[&[u8]] = &[b"coap"];

/// How many events wait until somebody asks for the next verdict.
const WAITING: usize = 16;

/// A bound socket that receives devices.
pub struct Reception {
    address: SocketAddr,
    seen: Receiver<Seen>,
    shutdown: Shutdown,
    listening: JoinHandle<()>,
}

/// What a device did.
enum Seen {
    /// It showed a chain that is refused.
    Refused(Rejection),
    /// It showed a good chain; whether it has the key is open.
    Shown(Box<Certificate>),
    /// Its handshake is complete: it has the key.
    Proven(Box<Certificate>),
}

impl Reception {
    /// Binds the socket and begins to listen. `identity` is a chain below the service root, with its key.
    ///
    /// # Errors
    /// The address cannot be bound, or the roots cannot be read.
    pub fn open(address: SocketAddr, identity: Credentials, against: &Against<'_>, clock: Arc<dyn Clock>) -> Result<Self, FactoryError> {
        let anchors = Anchors::builder().anchor(against.device_root()?).build().map_err(|error| FactoryError::Names(error.to_string()))?;
        let (sender, seen) = channel(WAITING);
        let judge = Arc::new(Judge { anchors, sender: sender.clone() });
        let tls = Tls::with_clients(Arc::new(Identity(Arc::new(identity))), ALPN, judge, clock);
        let listener = Listener::bind("verify", address, Some(tls))?;
        let address = listener.address();
        let gate = Gate::new(Config { connections: 1, connections_per_peer: 1, handshake_timeout: PROOF, ..Config::default() });
        let shutdown = Shutdown::new();
        let listening = tokio::spawn(listener.run(Arc::new(Desk { sender }), gate, shutdown.clone()));
        Ok(Self { address, seen, shutdown, listening })
    }

    /// Where devices are received.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next device, and says what is to be said about it within a second.
    ///
    /// # Errors
    /// The books cannot be read, or nobody listens any more.
    pub async fn next(&mut self, against: &Against<'_>) -> Result<Verdict, FactoryError> {
        loop {
            match self.seen.recv().await.ok_or(FactoryError::Worker)? {
                // The end of a handshake that was judged before.
                Seen::Proven(_) => {}
                Seen::Refused(rejection) => {
                    let mut verdict = Verdict::new(None);
                    verdict.check("chain", Err(rejection.to_string()));
                    return Ok(verdict);
                }
                Seen::Shown(leaf) => {
                    let mut verdict = Verdict::new(leaf.subject().serial_number().map(|text| text.into_owned()));
                    verdict.check("chain", Ok("leads to the device root".into()));
                    against.compare(&mut verdict, &leaf);
                    let proven = match timeout(PROOF, self.seen.recv()).await {
                        Ok(Some(Seen::Proven(proven))) => proven.fingerprint() == leaf.fingerprint(),
                        _ => false,
                    };
                    let problem = "the device did not prove that it has the key, or does not trust the service anchor";
                    verdict.check("key", if proven { Ok("signed the handshake".into()) } else { Err(problem.into()) });
                    return Ok(verdict);
                }
            }
        }
    }

    /// Stops listening.
    pub async fn close(self) {
        self.shutdown.stop();
        // The loop was told to end; that it panicked would have been seen in `next`.
        let _ = self.listening.await;
    }
}

#[derive(Debug)]
struct Identity(Arc<Credentials>);

impl CertificateSource for Identity {
    fn current(&self) -> Option<Arc<Credentials>> {
        Some(Arc::clone(&self.0))
    }
}

struct Judge {
    anchors: Anchors,
    sender: Sender<Seen>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Judge")
    }
}

impl ClientJudge for Judge {
    fn judge(&self, presented: &[&[u8]], now: UnixTime) -> Result<VerifiedChain, Rejection> {
        let judged = self.anchors.verify(presented, &Policy::new(Purpose::Client), now);
        let seen = match &judged {
            Ok(chain) => Seen::Shown(Box::new(chain.leaf().clone())),
            Err(rejection) => Seen::Refused(rejection.clone()),
        };
        // When nobody has asked for so many verdicts, one more is not missed.
        let _ = self.sender.try_send(seen);
        judged
    }

    /// A device is received for a second.
    fn still_good(&self, chain: &VerifiedChain, now: UnixTime) -> Result<(), Rejection> {
        self.anchors.recheck(chain, &Policy::new(Purpose::Client), now)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

struct Desk {
    sender: Sender<Seen>,
}

impl Service for Desk {
    async fn serve(self: Arc<Self>, connection: Connection) {
        if let Some(chain) = connection.peer.chain() {
            let _ = self.sender.try_send(Seen::Proven(Box::new(chain.leaf().clone())));
        }
    }
}
