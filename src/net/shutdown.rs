//! The two steps of stopping, and the end of one connection that may not go on.

use tokio_util::sync::CancellationToken;

/// Tells every task of the process when to begin to end, and when to end at once. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    stop: CancellationToken,
}

impl Shutdown {
    /// A signal that has not been given.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on nothing new is accepted, and what was accepted is finished.
    pub fn start_draining(&self) {
        self.drain.cancel();
    }

    /// Ends everything at once.
    pub fn stop(&self) {
        self.drain.cancel();
        self.stop.cancel();
    }

    /// Whether draining has begun.
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Returns when draining begins.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Returns when everything has to end at once.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}

/// Whether what let a peer in is still good. Clones are of the same connection.
#[derive(Clone, Debug, Default)]
pub struct Standing(CancellationToken);

impl Standing {
    pub(crate) fn lose(&self) {
        self.0.cancel();
    }

    /// Returns when what let the peer in is no longer good. From then on it is to get nothing any more but a word that it is
    /// the end, for which there is a quarter of a second.
    pub async fn lost(&self) {
        self.0.cancelled().await;
    }
}
