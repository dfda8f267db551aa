//! What the system tells the process.

use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that means something to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: finish and end; the second time, end at once.
    Stop,
    /// SIGHUP: read certificates and the log level again.
    Reload,
}

/// The signals of this process. From the moment this exists, they no longer end it by themselves.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Stream,
    hang_up: Stream,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn take() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }
}
