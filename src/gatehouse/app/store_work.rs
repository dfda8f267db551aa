//! Long work on the whole store: verifying and exporting it.
//!
//! The command line does it itself when no server runs. Otherwise the server, which has the store open, does it when
//! it is asked over the control socket: one work at a time is begun, and asked about until it is done.

use super::control::{Handlers, Refusal, Request};
use gatehouse_base::{Fault, Kind};
use gatehouse_events::verify;
use gatehouse_pki::PublicKey;
use gatehouse_store::{ReadError, Report, Snapshot, Store};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt, sync::watch, task::JoinSet};

/// How long an answer waits for the work to be done before it only tells how far it is.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// What can be done with the whole store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Check every value and record, every chain, and the checkpoints that one of these keys (PEM) has signed.
    Verify {
        /// Without keys, checkpoints are not looked at.
        keys: Vec<String>,
    },
    /// Copy everything into a new file.
    Export {
        /// The file. It must not exist.
        path: PathBuf,
    },
}

/// What came out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Of [`Work::Verify`].
    Verified {
        /// What is in the store, and what is damaged.
        report: Report,
        /// How the checkpoints compare; none when no keys were given.
        checkpoints: Option<Checkpoints>,
    },
    /// Of [`Work::Export`].
    Exported {
        /// The commit that was exported.
        version: u64,
        /// Values, records and heads.
        rows: u64,
        /// The size of the file.
        bytes: u64,
    },
}

/// How streams compare with their signed checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// Checkpoints that fit their streams.
    pub good: u64,
    /// Records that no checkpoint covers yet.
    pub uncovered: u64,
    /// How much does not fit.
    pub tampered: u64,
    /// What does not fit, up to a hundred.
    pub tampering: Vec<String>,
}

/// Why the work was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// A key is none.
    #[error("a checkpoint key cannot be read")]
    Key(#[from] gatehouse_pki::KeyError),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Fault for WorkError {
    fn kind(&self) -> Kind {
        match self {
            Self::Key(_) => Kind::Invalid,
            Self::Read(error) => error.kind(),
            Self::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => Kind::Conflict,
            Self::File { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Key(_) => "checkpoint-key",
            Self::Read(error) => error.code(),
            Self::File { .. } => "export-file",
        }
    }
}

impl Work {
    /// Does it, and counts the rows that it has seen.
    ///
    /// # Errors
    /// The store cannot be read, or the file cannot be written. Damage is an outcome.
    pub async fn run(&self, store: &Store, rows: &AtomicU64) -> Result<Outcome, WorkError> {
        let snapshot = store.snapshot().await?;
        match self {
            Self::Verify { keys } => {
                let keys = keys.iter().map(|pem| PublicKey::from_pem(pem.as_bytes())).collect::<Result<Vec<_>, _>>()?;
                let report = snapshot.verify(|report| rows.store(report.rows(), Ordering::Relaxed)).await?;
                let checkpoints = if keys.is_empty() { None } else { Some(compare(&snapshot, &keys).await?) };
                Ok(Outcome::Verified { report, checkpoints })
            }
            Self::Export { path } => {
                let failed = |source| WorkError::File { path: path.clone(), source };
                // A file that is there by this name is complete.
                let partial = PathBuf::from(format!("{}.partial", path.display()));
                if path.exists() {
                    return Err(failed(io::ErrorKind::AlreadyExists.into()));
                }
                let bytes = export(&snapshot, &partial, rows).await?;
                tokio::fs::hard_link(&partial, path).await.map_err(failed)?;
                tokio::fs::remove_file(&partial).await.map_err(failed)?;
                crate::files::sync_parent(path).map_err(failed)?;
                Ok(Outcome::Exported { version: snapshot.version().0, rows: rows.load(Ordering::Relaxed), bytes })
            }
        }
    }
}

async fn compare(snapshot: &Snapshot, keys: &[PublicKey]) -> Result<Checkpoints, ReadError> {
    let found = verify(snapshot, keys).await?;
    let tampering = found.tampering.iter().map(ToString::to_string).collect();
    Ok(Checkpoints { good: found.good, uncovered: found.uncovered, tampered: found.tampered, tampering })
}

async fn export(snapshot: &Snapshot, path: &Path, rows: &AtomicU64) -> Result<u64, WorkError> {
    let failed = |source| WorkError::File { path: path.to_owned(), source };
    let mut file = tokio::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).await.map_err(failed)?;
    let mut export = snapshot.export();
    let mut bytes = 0;
    while let Some(piece) = export.next().await? {
        file.write_all(&piece).await.map_err(failed)?;
        bytes += piece.len() as u64;
        rows.store(export.rows(), Ordering::Relaxed);
    }
    file.sync_all().await.map_err(failed)?;
    Ok(bytes)
}

/// Begin a work. Answers with its number, by which it is asked about.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin {
    /// The work.
    pub work: Work,
}

/// How far is the work?
#[derive(Debug, Serialize, Deserialize)]
pub struct HowFar {
    /// Its number.
    pub number: u64,
}

/// How far the work is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Rows that it has seen.
    pub rows: u64,
    /// What came out of it, when it is done.
    pub outcome: Option<Outcome>,
}

impl Request for Begin {
    const NAME: &'static str = "store-work-begin";
    type Answer = u64;
}

impl Request for HowFar {
    const NAME: &'static str = "store-work-progress";
    type Answer = Progress;
}

/// The server's side: does one work at a time.
pub(super) struct Worker {
    store: Store,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    number: u64,
    rows: Arc<AtomicU64>,
    outcome: Option<watch::Receiver<Option<Result<Outcome, Refusal>>>>,
    /// Dropped with the worker, which ends the task.
    _task: JoinSet<()>,
}

impl Worker {
    pub(super) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, current: Mutex::default() })
    }

    pub(super) fn answer(self: Arc<Self>, handlers: Handlers) -> Handlers {
        let other = Arc::clone(&self);
        handlers.on(move |Begin { work }| std::future::ready(self.begin(work))).on(move |HowFar { number }| {
            let worker = Arc::clone(&other);
            async move { worker.how_far(number).await }
        })
    }

    fn begin(&self, work: Work) -> Result<u64, Refusal> {
        let mut current = self.current();
        if current.outcome.as_ref().is_some_and(|outcome| outcome.borrow().is_none()) {
            return Err(Refusal::new(Kind::Conflict, "store-busy", "the server is verifying or exporting the store already"));
        }
        let (done, outcome) = watch::channel(None);
        let (store, rows) = (self.store.clone(), Arc::new(AtomicU64::new(0)));
        let mut task = JoinSet::new();
        let seen = Arc::clone(&rows);
        task.spawn(async move {
            let outcome = work.run(&store, &seen).await.map_err(Refusal::from);
            done.send_replace(Some(outcome));
        });
        *current = Current { number: current.number + 1, rows, outcome: Some(outcome), _task: task };
        Ok(current.number)
    }

    async fn how_far(&self, number: u64) -> Result<Progress, Refusal> {
        let (rows, outcome) = {
            let current = self.current();
            (Arc::clone(&current.rows), current.outcome.clone().filter(|_| current.number == number))
        };
        let unknown = || Refusal::new(Kind::NotFound, "unknown-work", "the server does no such work any more");
        let mut outcome = outcome.ok_or_else(unknown)?;
        // Running out of time only means that the work goes on.
        let done = tokio::time::timeout(ANSWER_WITHIN, outcome.wait_for(Option::is_some)).await;
        let outcome = match done {
            Ok(done) => done.map_err(|_| unknown())?.clone().transpose()?,
            Err(_) => None,
        };
        Ok(Progress { rows: rows.load(Ordering::Relaxed), outcome })
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
