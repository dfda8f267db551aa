//! Signs how far every stream of events has come, so that a stream that is cut or rewritten later shows.
//!
//! The signing key lies in the keyring and signs nothing else. Its public half is written beside the store, where
//! `gatehouse store verify` finds it; who wants to know about somebody who can write to this disk keeps a copy elsewhere.

use super::Config;
use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_ca::{Keyring, KeyringError};
use gatehouse_events::{EventError, Events, LocalBus};
use gatehouse_net::Shutdown;
use gatehouse_pki::{KeyAlgorithm, Signer};
use gatehouse_store::{CommitError, LockError, ReadError, Store, Stream};
use gatehouse_types::{Random, UnixTime};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Records are without a signed checkpoint for this long at most.
const INTERVAL: Duration = Duration::from_secs(600);
/// How long a node that went away keeps others from signing.
const LOCKED_FOR: Duration = Duration::from_secs(900);
/// One node signs at a time.
const LOCK: &str = "checkpoints";
const PURPOSE: &str = "checkpoints of events";
/// How many streams are looked at a time.
const PAGE: usize = 256;

/// Where the public half of the key is.
pub(crate) fn public_key_file(config: &Config) -> PathBuf {
    config.data_dir.join("checkpoints.pub")
}

/// Signs now and then until the server stops.
pub(super) struct Checkpoints {
    store: Store,
    keyring: Keyring,
    public_key_file: PathBuf,
    /// Tells this process from others that want the lock.
    holder: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckpointError {
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the public key cannot be written to {}: {source}", path.display())]
    PublicKey { path: PathBuf, source: io::Error },
}

impl Checkpoints {
    pub(super) fn new(config: &Config, store: Store, keyring: Keyring) -> Self {
        Self::at(public_key_file(config), store, keyring)
    }

    pub(super) fn at(public_key_file: PathBuf, store: Store, keyring: Keyring) -> Self {
        let mut id = [0; 8];
        SystemRandom.fill(&mut id);
        Self { store, keyring, public_key_file, holder: format!("{:016x}", u64::from_be_bytes(id)) }
    }

    pub(super) async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.stopped() => return,
            }
            match self.sign(SystemClock.now()).await {
                Ok(0) => {}
                Ok(signed) => tracing::info!(signed, "checkpoints signed"),
                Err(CheckpointError::Lock(LockError::Held { holder, .. })) => tracing::debug!(holder, "another node signs checkpoints"),
                Err(error) => tracing::error!(%error, "checkpoints were not signed; this is tried again"),
            }
        }
    }

    /// Signs for every stream that has grown since the last time.
    async fn sign(&self, now: UnixTime) -> Result<usize, CheckpointError> {
        let (signer, events) = self.begin(now).await?;
        let snapshot = self.store.snapshot().await?;
        let (mut behind, mut signed): (Option<Stream>, usize) = (None, 0);
        loop {
            let page = snapshot.streams(behind.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(signed) };
            behind = Some(last.clone());
            for (stream, _) in &page {
                signed += usize::from(events.checkpoint(stream, signer.as_ref(), now).await?.is_some());
            }
        }
    }

    /// Drops what happened before this time, and seals the places. Answers how many events went.
    pub(super) async fn drop_before(&self, oldest: UnixTime, now: UnixTime) -> Result<u64, CheckpointError> {
        let (signer, events) = self.begin(now).await?;
        let snapshot = self.store.snapshot().await?;
        let (mut behind, mut dropped): (Option<Stream>, u64) = (None, 0);
        loop {
            let page = snapshot.streams(behind.as_ref(), PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(dropped) };
            behind = Some(last.clone());
            for (stream, before) in &page {
                if let Some(seal) = events.retain_since(stream, oldest, signer.as_ref(), now).await? {
                    dropped += seal.position.0.saturating_sub(before.truncated.0);
                }
            }
        }
    }

    /// Takes the lock; one node signs at a time.
    async fn begin(&self, now: UnixTime) -> Result<(Arc<dyn Signer>, Events), CheckpointError> {
        self.store.lock(LOCK, &self.holder, LOCKED_FOR, now).await?;
        let signer = self.signer(now).await?;
        write_public_key(&self.public_key_file, signer.as_ref())?;
        let (bus, keyring) = (Arc::new(LocalBus::default()), Arc::new(self.keyring.clone()));
        Ok((signer, Events::new(self.store.clone(), bus, keyring, Arc::new(SystemRandom))))
    }

    /// The key, made when it is needed for the first time.
    async fn signer(&self, now: UnixTime) -> Result<Arc<dyn Signer>, CheckpointError> {
        if let Some(signer) = self.keyring.signer_for(PURPOSE).await? {
            return Ok(signer);
        }
        let new = self.keyring.generate(PURPOSE, KeyAlgorithm::P256, now)?;
        self.store.commit(new.batch).await?;
        Ok(new.signer)
    }
}

fn write_public_key(path: &Path, signer: &dyn Signer) -> Result<(), CheckpointError> {
    let pem = signer.public_key().to_pem();
    if std::fs::read_to_string(path).is_ok_and(|found| found == pem) {
        return Ok(());
    }
    crate::files::replace(path, pem.as_bytes()).map_err(|source| CheckpointError::PublicKey { path: path.to_owned(), source })
}
