//! `gatehouse backup` and `gatehouse restore`.

use super::{Context, Exit, Failure, Output, Tint};
use crate::app::{
    backup::{self, Begin, HowFar, Open, Plan, Progress, Report, Restored, Seal, Written},
    control::ask,
};
use clap::Args;
use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_ca::recipient::RecipientKey;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    fmt,
    fs::File,
    io::{IsTerminal, Read},
    path::{Path, PathBuf, absolute},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// Write a sealed backup of everything, while the server serves or not
///
/// The backup holds the private keys sealed as they lie in the store, and never the key-encryption key that opens them.
/// Keep `gatehouse ca journal` beside it: after a restore it revokes again what was revoked since.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse backup --new-recipient /media/safe/backup.key
  gatehouse backup --recipient gatehouse-recipient-1:q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s= /srv/backup/monday
  gatehouse backup --passphrase-file /run/secrets/backup /srv/backup/monday")]
pub(super) struct Backup {
    /// The new file; nothing is overwritten
    #[arg(required_unless_present = "new_recipient")]
    file: Option<PathBuf>,
    /// Seal it to this recipient: this machine cannot open it
    #[arg(long, value_name = "RECIPIENT", group = "seal")]
    recipient: Option<String>,
    /// Seal it under the passphrase in this file
    #[arg(long, value_name = "FILE", group = "seal")]
    passphrase_file: Option<PathBuf>,
    /// Seal it under the key in this file, which is not the key-encryption key
    #[arg(long, value_name = "FILE", group = "seal")]
    key_file: Option<PathBuf>,
    /// Make a recipient: write its private half to this file and print the public half
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seal", "file"])]
    new_recipient: Option<PathBuf>,
}

/// Restore a backup into an empty place; issuing stays halted until somebody confirms
///
/// The configuration names the place (`data_dir`) and the key-encryption key of the instance that the backup came from.
/// A new epoch begins: issuing is halted until `gatehouse ca resume`, and revocation lists get new numbers. Make sure
/// that the old instance does not run any more before you resume.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse restore --recipient-key /media/safe/backup.key --journal revocations.journal /srv/backup/monday
  gatehouse restore --passphrase-file /run/secrets/backup /srv/backup/monday")]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// Open it with the recipient's private half in this file
    #[arg(long, value_name = "FILE", group = "open", required_unless_present_any = ["passphrase_file", "key_file"])]
    recipient_key: Option<PathBuf>,
    /// Open it with the passphrase in this file
    #[arg(long, value_name = "FILE", group = "open")]
    passphrase_file: Option<PathBuf>,
    /// Open it with the key in this file
    #[arg(long, value_name = "FILE", group = "open")]
    key_file: Option<PathBuf>,
    /// Revoke again what this journal names: the newest one that there is
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

#[derive(Serialize)]
struct Shown<T> {
    #[serde(flatten)]
    what: T,
    #[serde(skip)]
    output: Output,
}

#[derive(Serialize)]
struct NewRecipient {
    recipient: String,
}

/// How often the server is asked how far it has come.
const LOOK: Duration = Duration::from_millis(200);

impl Backup {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let output = context.output;
        if let Some(path) = &self.new_recipient {
            let key = RecipientKey::generate(&SystemRandom);
            key.write_new(path).map_err(|error| Failure::new(Exit::Unavailable, format!("{}: {error}", path.display())))?;
            return output.answer(&Shown { what: NewRecipient { recipient: key.recipient().to_string() }, output });
        }
        let plan = self.plan()?;
        let config = context.load()?.config;
        let written = match context.ask_if_running(&config, &Begin(plan.clone()))? {
            Some(()) => context.block_on(follow(context, config.control_socket.clone()))?,
            None => {
                gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
                let bar = bar(context, "writing");
                let progress = Arc::<Progress>::default();
                context.block_on(async {
                    crate::app::prepare_data_dir(&config.data_dir)?;
                    let store = crate::app::open_store(&config).await?;
                    let work = backup::write(&store, &plan, &config.key_encryption.source, SystemClock.now(), &progress);
                    Ok(watched(work, &bar, &progress).await?)
                })?
            }
        };
        output.answer(&Shown { what: written, output })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        // The server may have another working folder.
        let full = |path: &Path| absolute(path).map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", path.display())));
        let seal = match (&self.recipient, &self.passphrase_file, &self.key_file) {
            (Some(recipient), ..) => Seal::Recipient(recipient.clone()),
            (_, Some(path), _) => Seal::PassphraseFile(full(path)?),
            (.., Some(path)) => Seal::KeyFile(full(path)?),
            (None, None, None) => {
                let failure = Failure::new(Exit::Usage, "a backup is always sealed, and nothing says for whom");
                return Err(failure.advise("`gatehouse backup --new-recipient FILE` makes a recipient; then give `--recipient`"));
            }
        };
        Ok(Plan { path: full(self.file.as_deref().unwrap_or(Path::new("")))?, seal })
    }
}

/// Asks the server until it has ended.
async fn follow(context: &Context, socket: PathBuf) -> Result<Written, Failure> {
    let bar = bar(context, "writing");
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let socket = socket.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&socket, &HowFar {})).await;
        let report: Report = asked.map_err(|panic| Failure::new(Exit::Failed, panic.to_string()))???;
        show(&bar, report.rows, report.bytes);
        if let Some(ended) = report.ended {
            bar.finish_and_clear();
            return Ok(ended?);
        }
    }
}

impl Restore {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        if context.ask_if_running(&config, &crate::app::Status {})?.is_some() {
            return Err(Failure::new(Exit::Conflict, "a server runs on this data directory").advise("`gatehouse stop` ends it"));
        }
        gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        let open = match (&self.recipient_key, &self.passphrase_file, &self.key_file) {
            (Some(path), ..) => Open::RecipientKey(path.clone()),
            (_, Some(path), _) => Open::PassphraseFile(path.clone()),
            (.., path) => Open::KeyFile(path.clone().unwrap_or_default()),
        };
        let journal = self.journal.as_deref().map(read_journal).transpose()?;
        let bar = bar(context, "restoring");
        let progress = Arc::<Progress>::default();
        let restored = context.block_on(async {
            crate::app::prepare_data_dir(&config.data_dir)?;
            let work = backup::restore(&config, &self.file, &open, journal.as_deref(), &progress);
            Ok(watched(work, &bar, &progress).await?)
        })?;
        context.output.answer(&Shown { what: restored, output: context.output })
    }
}

fn read_journal(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::new(Exit::Invalid, format!("{} cannot be read: {error}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(gatehouse_ca::JOURNAL_MAX as u64 + 1).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Shows how far the work has come until it ends.
async fn watched<T>(work: impl Future<Output = T>, bar: &ProgressBar, progress: &Progress) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            done = &mut work => {
                bar.finish_and_clear();
                return done;
            }
            _ = ticks.tick() => show(bar, progress.rows.load(Ordering::Relaxed), progress.bytes.load(Ordering::Relaxed)),
        }
    }
}

/// A moving line on a terminal; a script gets the answer only.
fn bar(context: &Context, doing: &'static str) -> ProgressBar {
    if context.output.is_json() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {prefix} {binary_bytes} ({binary_bytes_per_sec}) {msg} {elapsed}");
    let bar = ProgressBar::no_length().with_prefix(doing);
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn show(bar: &ProgressBar, rows: u64, bytes: u64) {
    bar.set_position(bytes);
    bar.set_message(format!("{rows} rows"));
    bar.tick();
}

impl fmt::Display for Shown<Written> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Written { path, version, rows, bytes, sha256 } = &self.what;
        writeln!(out, "{} {}", self.output.tint(Tint::Good, "written:"), path.display())?;
        writeln!(out, "{rows} rows as of commit {version}, {bytes} bytes, read back")?;
        writeln!(out, "SHA-256 {sha256}")
    }
}

impl fmt::Display for Shown<Restored> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Restored { made, version, rows, epoch, revoked_again } = &self.what;
        writeln!(out, "{} {rows} rows as of commit {version}, from {made}", self.output.tint(Tint::Good, "restored:"))?;
        writeln!(out, "epoch {epoch} has begun; {revoked_again} certificates were revoked again")?;
        writeln!(
            out,
            "{} issuing. When the old instance is gone for good: `gatehouse ca resume`",
            self.output.tint(Tint::Warning, "halted:")
        )
    }
}

impl fmt::Display for Shown<NewRecipient> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}", self.what.recipient)
    }
}
