//! Backups: the whole store at one commit, sealed, written while the server serves; and the way back.
//!
//! A backup is a sealed stream ([`gatehouse_ca::sealed_stream`]) of one line that describes it and the store's own
//! export. It holds the private keys as they lie in the store, sealed, and never the key-encryption key that opens them.
//! After it was written, the file is read again and compared.

use super::{
    Config,
    control::{Refusal, Request},
    custody::{self, CustodyError},
};
use gatehouse_base::{Fault, Kind, SystemRandom};
use gatehouse_ca::{
    JournalError, StateError, StretchCost,
    recipient::{Recipient, RecipientError, RecipientKey},
    sealed_stream::{OpenWith, SealFor, SealedReader, SealedWriter, StreamError},
    unlock::{KeySource, UnlockError},
};
use gatehouse_store::{ImportError, ReadError, Store};
use gatehouse_types::UnixTime;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::mpsc, task::spawn_blocking};

/// What is to be written, and who shall be able to open it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The new file; an existing one is not overwritten.
    pub path: PathBuf,
    /// Who can open it.
    pub seal: Seal,
}

/// Who can open a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seal {
    /// Whoever has this key file.
    KeyFile(PathBuf),
    /// Whoever knows the passphrase in this file.
    PassphraseFile(PathBuf),
    /// Whoever has the private half of this recipient.
    Recipient(String),
}

/// What opens a backup.
#[derive(Clone, Debug)]
pub enum Open {
    /// A key file.
    KeyFile(PathBuf),
    /// A passphrase in a file.
    PassphraseFile(PathBuf),
    /// A recipient's private half in a file.
    RecipientKey(PathBuf),
}

/// A backup that was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// The commit of the store that it holds.
    pub version: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A store that was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// When the backup was made.
    pub made: UnixTime,
    /// The commit of the store that it holds.
    pub version: u64,
    /// How many rows came back.
    pub rows: u64,
    /// The epoch that began.
    pub epoch: u32,
    /// How many certificates the journal revoked again.
    pub revoked_again: u64,
}

/// How far a backup or a restore has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows of the store.
    pub rows: AtomicU64,
    /// Bytes before sealing.
    pub bytes: AtomicU64,
}

/// The first line of a backup.
#[derive(Serialize, Deserialize)]
struct Description {
    format: String,
    made: UnixTime,
    program: String,
    version: u64,
}

const FORMAT: &str = "gatehouse-backup-1";

/// No description is longer.
const DESCRIPTION_MAX: usize = 4096;

/// Pieces that may wait for the disk; a piece has some hundred rows.
const PIECES: usize = 8;

/// A backup was not made or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What seals or opens it is not to be had.
    #[error(transparent)]
    Unlock(#[from] UnlockError),
    /// The recipient is none.
    #[error(transparent)]
    Recipient(#[from] RecipientError),
    /// A backup under the key that it has to be kept apart from.
    #[error(
        "a backup is not sealed under the key-encryption key itself: who found both would have everything. Use another key or a recipient"
    )]
    SameKey,
    /// The file cannot be written or read.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The sealed stream is damaged or another key's.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// What was read back is not what was written.
    #[error("{} was not written as it should be: the disk gave other bytes back", path.display())]
    ReadBack {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else.
    #[error("the file is sealed by Gatehouse and is not a backup that this version reads")]
    NotABackup,
    /// There is something where the restored store is to go.
    #[error("{} is not empty; a restore goes into an empty place and overwrites nothing", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Read(#[from] ReadError),
    /// The new store cannot be made.
    #[error("the new store cannot be made")]
    Store(#[from] gatehouse_store::OpenError),
    /// The new store does not take the rows.
    #[error("the backup's content was refused")]
    Import(#[from] ImportError),
    /// The restored keyring does not open.
    #[error(
        "the backup was read, and its private keys do not open: {0}. The key-encryption key is not in the backup; configure the one of the instance it came from"
    )]
    Custody(#[source] CustodyError),
    /// What devices were given could not be voided.
    #[error("what devices were given could not be voided")]
    Accounts(#[source] gatehouse_accounts::StateError),
    /// The new epoch could not begin.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal was refused.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Another backup is being written.
    #[error("another backup is being written")]
    Busy,
}

/// Writes a backup of a running store.
///
/// # Errors
/// When the file exists, cannot be written, or what seals it is not to be had. No file is left then.
pub async fn write(store: &Store, plan: &Plan, key: &KeySource, now: UnixTime, progress: &Arc<Progress>) -> Result<Written, BackupError> {
    let seal_for = plan.seal.load(key)?;
    let snapshot = store.snapshot().await?;
    let version = snapshot.version().0;
    let description = Description { format: FORMAT.to_owned(), made: now, program: env!("CARGO_PKG_VERSION").to_owned(), version };
    let (pieces, incoming) = mpsc::channel(PIECES);
    let path = plan.path.clone();
    let writer = spawn_blocking(move || write_file(&path, &seal_for, &description, incoming));
    let mut export = snapshot.export();
    let fed = async {
        while let Some(piece) = export.next().await? {
            progress.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            progress.rows.store(export.rows(), Ordering::Relaxed);
            // A writer that failed has hung up; its own error tells why.
            if pieces.send(Some(piece)).await.is_err() {
                break;
            }
        }
        // The mark of the end: a channel that merely closed means that the export failed.
        let _ = pieces.send(None).await;
        Ok::<(), ReadError>(())
    };
    let fed = fed.await;
    drop(pieces);
    let written = writer.await.map_err(|panic| plan.failed(io::Error::other(panic.to_string())))?;
    fed?;
    let (sha256, bytes) = written?;
    Ok(Written { path: plan.path.clone(), version, rows: export.rows(), bytes, sha256 })
}

/// Restores a backup into the place that the configuration names, which has to be empty, and begins a new epoch.
///
/// # Errors
/// When the place is not empty, the backup is damaged, or the configured key-encryption key is another one. Nothing is
/// left in the place then.
pub async fn restore(
    config: &Config,
    file: &Path,
    open: &Open,
    journal: Option<&str>,
    progress: &Arc<Progress>,
) -> Result<Restored, BackupError> {
    let place = &config.store.path;
    if fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(BackupError::NotEmpty { path: place.clone() });
    }
    // Built beside its place and moved there at the end: an interrupted restore is never taken for a store.
    let building = place.with_extension("restoring");
    let failed = |source| BackupError::File { path: building.clone(), source };
    if building.exists() {
        fs::remove_dir_all(&building).map_err(failed)?;
    }
    let beside = Config { store: gatehouse_store::Config { path: building.clone(), ..config.store.clone() }, ..config.clone() };
    match fill(&beside, file, open, journal, progress).await {
        Ok(restored) => {
            if place.exists() {
                fs::remove_dir(place).map_err(failed)?;
            }
            fs::rename(&building, place).map_err(failed)?;
            let above = place.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(above).and_then(|folder| folder.sync_all()).map_err(failed)?;
            Ok(restored)
        }
        Err(error) => {
            let _ = fs::remove_dir_all(&building);
            Err(error)
        }
    }
}

async fn fill(config: &Config, file: &Path, open: &Open, journal: Option<&str>, progress: &Arc<Progress>) -> Result<Restored, BackupError> {
    let open_with = open.load()?;
    let opened = File::open(file).map_err(|source| BackupError::File { path: file.to_owned(), source })?;
    let (pieces, mut incoming) = mpsc::channel::<Result<Vec<u8>, StreamError>>(PIECES);
    let reader = spawn_blocking(move || {
        if let Err(error) = read_pieces(opened, &open_with, &pieces) {
            // Whoever no longer listens has failed already.
            let _ = pieces.blocking_send(Err(error));
        }
    });
    let first = incoming.recv().await.ok_or(BackupError::NotABackup)??;
    let end = first.iter().take(DESCRIPTION_MAX).position(|byte| *byte == b'\n').ok_or(BackupError::NotABackup)?;
    let description: Description = serde_json::from_slice(&first[..end]).map_err(|_| BackupError::NotABackup)?;
    if description.format != FORMAT {
        return Err(BackupError::NotABackup);
    }
    let store = Store::open(&config.store).await?;
    let mut import = store.import();
    progress.bytes.fetch_add(first.len() as u64, Ordering::Relaxed);
    import.feed(&first[end + 1..]).await?;
    while let Some(chunk) = incoming.recv().await {
        let chunk = chunk?;
        progress.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        import.feed(&chunk).await?;
        progress.rows.store(import.rows(), Ordering::Relaxed);
    }
    let rows = import.rows();
    progress.rows.store(rows, Ordering::Relaxed);
    import.finish().await?;
    // The reader's last word: without it a cut stream would look like its end.
    reader.await.map_err(|panic| BackupError::File { path: file.to_owned(), source: io::Error::other(panic.to_string()) })?;
    // A backup of an earlier version is brought up to this one.
    store.prepare(super::SCHEMAS).await?;
    let authority = custody::open(config, &store).await.map_err(BackupError::Custody)?;
    // What devices were given since the backup is not known here: whoever shows it must not look like a thief.
    super::people::open(config, &authority, None, None).admissions().void().await.map_err(BackupError::Accounts)?;
    let epoch = authority.begin_epoch().await?;
    let revoked_again = match journal {
        Some(journal) => authority.import_journal(journal).await?,
        None => 0,
    };
    // The lists of the new epoch. What cannot be signed now, because a token is away, is made when the server starts.
    let _ = authority.upkeep().await;
    Ok(Restored { made: description.made, version: description.version, rows, epoch, revoked_again })
}

fn read_pieces(file: File, open_with: &OpenWith, pieces: &mpsc::Sender<Result<Vec<u8>, StreamError>>) -> Result<(), StreamError> {
    let mut reader = SealedReader::new(file, open_with)?;
    while let Some(chunk) = reader.next_chunk()? {
        if pieces.blocking_send(Ok(chunk)).is_err() {
            break;
        }
    }
    Ok(())
}

impl Plan {
    fn failed(&self, source: io::Error) -> BackupError {
        BackupError::File { path: self.path.clone(), source }
    }
}

impl Seal {
    fn load(&self, key_encryption: &KeySource) -> Result<SealFor, BackupError> {
        let source = match self {
            Self::Recipient(text) => return Ok(SealFor::Recipient(text.parse::<Recipient>()?)),
            Self::KeyFile(path) => KeySource::File(path.clone()),
            Self::PassphraseFile(path) => KeySource::PassphraseFile(path.clone()),
        };
        let unlock = source.load()?;
        if key_encryption.load().is_ok_and(|key| key == unlock) {
            return Err(BackupError::SameKey);
        }
        Ok(SealFor::Holder(unlock))
    }
}

impl Open {
    fn load(&self) -> Result<OpenWith, UnlockError> {
        Ok(match self {
            Self::KeyFile(path) => OpenWith::Holder(KeySource::File(path.clone()).load()?),
            Self::PassphraseFile(path) => OpenWith::Holder(KeySource::PassphraseFile(path.clone()).load()?),
            Self::RecipientKey(path) => OpenWith::Recipient(RecipientKey::load(path)?),
        })
    }
}

/// Writes beside the place, reads back, and moves the file there: a backup is whole or not there.
fn write_file(
    path: &Path,
    seal_for: &SealFor,
    description: &Description,
    mut pieces: mpsc::Receiver<Option<Vec<u8>>>,
) -> Result<(String, u64), BackupError> {
    let failed = |source| BackupError::File { path: path.to_owned(), source };
    if path.exists() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = (|| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(failed)?;
        let hashing = Hashing { inner: BufWriter::new(file), hash: ring::digest::Context::new(&ring::digest::SHA256), bytes: 0 };
        let mut sealed = SealedWriter::new(hashing, seal_for, StretchCost::DEFAULT, &SystemRandom)?;
        let mut line = serde_json::to_vec(description).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        sealed.write_all(&line).map_err(failed)?;
        loop {
            match pieces.blocking_recv() {
                Some(Some(piece)) => sealed.write_all(&piece).map_err(failed)?,
                Some(None) => break,
                None => return Err(failed(io::Error::other("the store could not be read to its end"))),
            }
        }
        let Hashing { inner, hash, bytes } = sealed.finish().map_err(failed)?;
        let file = inner.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        let sha256 = hash.finish();
        if digest_of(&part).map_err(failed)?.as_ref() != sha256.as_ref() {
            return Err(BackupError::ReadBack { path: path.to_owned() });
        }
        // A link does not overwrite what somebody put there meanwhile, as a rename would.
        fs::hard_link(&part, path).map_err(failed)?;
        let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above).and_then(|folder| folder.sync_all()).map_err(failed)?;
        Ok((sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
    })();
    let _ = fs::remove_file(&part);
    written
}

fn digest_of(path: &Path) -> io::Result<ring::digest::Digest> {
    let mut file = File::open(path)?;
    // What the disk has, not what memory remembers of it.
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finish()),
            read => hash.update(&buffer[..read]),
        }
    }
}

struct Hashing<W> {
    inner: W,
    hash: ring::digest::Context,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Begin a backup.
#[derive(Debug, Serialize, Deserialize)]
pub struct Begin(pub Plan);

impl Request for Begin {
    const NAME: &'static str = "backup";
    type Answer = ();
}

/// How far is the backup?
#[derive(Debug, Serialize, Deserialize)]
pub struct HowFar {}

impl Request for HowFar {
    const NAME: &'static str = "backup-progress";
    type Answer = Report;
}

/// How far a backup has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// Rows of the store that were written.
    pub rows: u64,
    /// Bytes before sealing.
    pub bytes: u64,
    /// How it ended, if it has.
    pub ended: Option<Result<Written, Refusal>>,
}

/// The server's one backup at a time.
#[derive(Debug)]
pub(super) struct Backups {
    store: Store,
    key: KeySource,
    job: Mutex<Option<Job>>,
}

#[derive(Clone, Debug)]
struct Job {
    progress: Arc<Progress>,
    ended: Arc<Mutex<Option<Result<Written, Refusal>>>>,
}

impl Backups {
    pub(super) fn new(store: Store, key: KeySource) -> Self {
        Self { store, key, job: Mutex::default() }
    }

    pub(super) fn begin(&self, plan: Plan, now: UnixTime) -> Result<(), Refusal> {
        let mut slot = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_some_and(|job| lock(&job.ended).is_none()) {
            return Err(BackupError::Busy.into());
        }
        let job = Job { progress: Arc::default(), ended: Arc::default() };
        *slot = Some(job.clone());
        let (store, key) = (self.store.clone(), self.key.clone());
        tokio::spawn(async move {
            let written = write(&store, &plan, &key, now, &job.progress).await;
            match &written {
                Ok(written) => tracing::info!(path = %written.path.display(), rows = written.rows, bytes = written.bytes, "backup written"),
                Err(error) => tracing::error!(path = %plan.path.display(), %error, "no backup was written"),
            }
            *lock(&job.ended) = Some(written.map_err(Refusal::from));
        });
        Ok(())
    }

    pub(super) fn report(&self) -> Result<Report, Refusal> {
        let slot = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        let job = slot.as_ref().ok_or_else(|| Refusal::new(Kind::NotFound, "no-backup", "no backup was begun"))?;
        let Progress { rows, bytes } = &*job.progress;
        Ok(Report { rows: rows.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed), ended: lock(&job.ended).clone() })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fault for BackupError {
    fn kind(&self) -> Kind {
        match self {
            Self::Unlock(_) => Kind::Forbidden,
            Self::Recipient(_) | Self::SameKey | Self::NotABackup | Self::Import(_) => Kind::Invalid,
            Self::Stream(StreamError::Io(_)) | Self::File { .. } | Self::ReadBack { .. } | Self::Store(_) => Kind::Unavailable,
            Self::Stream(_) => Kind::Invalid,
            Self::NotEmpty { .. } | Self::Busy => Kind::Conflict,
            Self::Read(error) => error.kind(),
            Self::Custody(error) => error.kind(),
            Self::State(error) => error.kind(),
            Self::Accounts(error) => error.kind(),
            Self::Journal(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unlock(_) => "backup-key",
            Self::Recipient(_) => "recipient",
            Self::SameKey => "same-key",
            Self::File { .. } => "backup-file",
            Self::Stream(_) => "backup-sealed",
            Self::ReadBack { .. } => "backup-read-back",
            Self::NotABackup | Self::Import(_) => "not-a-backup",
            Self::NotEmpty { .. } => "not-empty",
            Self::Read(error) => error.code(),
            Self::Store(_) => "store",
            Self::Custody(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Accounts(error) => error.code(),
            Self::Journal(error) => error.code(),
            Self::Busy => "backup-running",
        }
    }
}
