//! `gatehouse store`: looking after the store itself.

use super::{Context, Exit, Failure, Output, Tint};
use crate::app::{
    Config,
    store_work::{Begin, Checkpoints, HowFar, Outcome, Work},
};
use clap::{Args, Subcommand};
use gatehouse_store::{Count, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Check, measure, copy and refill the store
#[derive(Debug, Args)]
pub(super) struct Store {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Verify(Verify),
    Stats(Stats),
    Export(Export),
    Import(Import),
}

/// Read everything and say what is damaged or was tampered with
///
/// Checks every value and record against its checksum, every stream's chain of hashes, and that the rows are exactly
/// those that were written; with keys, also that streams are what their signed checkpoints say. Works while the server
/// runs. Ends with 4 when something is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse store verify
  gatehouse store verify --checkpoint-key events.pub
  gatehouse --json store verify | jq .damaged")]
struct Verify {
    /// A public key (PEM) that signs checkpoints; may be given more than once, for keys of earlier times [default:
    /// `checkpoints.pub` in the data directory, which whoever can write there can change: better keep a copy elsewhere]
    #[arg(long, value_name = "FILE")]
    checkpoint_key: Vec<PathBuf>,
}

/// Show what is in the store: tables, streams, and how large they are
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse store stats
  gatehouse --json store stats")]
struct Stats {}

/// Copy everything into a file, for a store with another engine
///
/// The file holds all state as it was at one moment, and is not encrypted (private keys in it are sealed). To keep copies
/// use `gatehouse backup`. Works while the server runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse store export /var/tmp/gatehouse.export")]
struct Export {
    /// The new file
    file: PathBuf,
}

/// Fill a new, empty store from an exported file
///
/// The store is made where the configuration says, with the engine that it names. No server may run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse store import /var/tmp/gatehouse.export")]
struct Import {
    /// The exported file
    file: PathBuf,
}

impl Store {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.load()?.config;
        match self.command {
            Command::Verify(command) => command.run(context, &config),
            Command::Stats(command) => command.run(context, &config),
            Command::Export(command) => command.run(context, &config),
            Command::Import(command) => command.run(context, &config),
        }
    }
}

impl Verify {
    fn run(self, context: &Context, config: &Config) -> Result<(), Failure> {
        let beside = crate::app::public_key_file(config);
        let files = if self.checkpoint_key.is_empty() && beside.exists() { vec![beside] } else { self.checkpoint_key };
        let keys = files.iter().map(|path| read_key(path)).collect::<Result<_, _>>()?;
        let Outcome::Verified { report, checkpoints } = work(context, config, Work::Verify { keys })? else {
            return Err(unexpected());
        };
        let wrong = report.damaged + checkpoints.as_ref().map_or(0, |checkpoints| checkpoints.tampered);
        context.output.answer(&Verdict { wrong, report, checkpoints, output: context.output })?;
        match wrong {
            0 => Ok(()),
            _ => Err(Failure::new(Exit::Invalid, "the store is not as it was written").advise("`gatehouse restore` brings a backup back")),
        }
    }
}

impl Stats {
    fn run(self, context: &Context, config: &Config) -> Result<(), Failure> {
        let Outcome::Verified { report, .. } = work(context, config, Work::Verify { keys: Vec::new() })? else {
            return Err(unexpected());
        };
        let disk_bytes = disk_bytes(&config.store.path);
        let answer = Contents {
            engine: config.store.engine.name(),
            path: config.store.path.clone(),
            disk_bytes,
            commits: report.version,
            streams: report.streams,
            records: report.records,
            tables: report.tables,
        };
        context.output.answer(&answer)
    }
}

impl Export {
    fn run(self, context: &Context, config: &Config) -> Result<(), Failure> {
        // The server may have another working directory.
        let path = std::path::absolute(&self.file).map_err(|error| file_failed(&self.file, &error))?;
        let Outcome::Exported { version, rows, bytes } = work(context, config, Work::Export { path: path.clone() })? else {
            return Err(unexpected());
        };
        context.output.answer(&Exported { path, version, rows, bytes })
    }
}

impl Import {
    fn run(self, context: &Context, config: &Config) -> Result<(), Failure> {
        let mut file = fs::File::open(&self.file).map_err(|error| file_failed(&self.file, &error))?;
        context.block_on(async {
            let store = gatehouse_store::Store::open(&config.store).await?;
            let (bar, mut import) = (progress(context.output), store.import());
            let mut piece = vec![0; 1 << 20];
            loop {
                let length = file.read(&mut piece).map_err(|error| file_failed(&self.file, &error))?;
                if length == 0 {
                    break;
                }
                import.feed(&piece[..length]).await?;
                bar.set_position(import.rows());
            }
            let rows = import.rows();
            import.finish().await?;
            bar.finish_and_clear();
            context.output.answer(&Imported { rows, path: config.store.path.clone(), engine: config.store.engine.name() })
        })
    }
}

/// Lets the running server do it, or does it here when none runs.
fn work(context: &Context, config: &Config, work: Work) -> Result<Outcome, Failure> {
    let bar = progress(context.output);
    let begun = context.ask_if_running(config, &Begin { work: work.clone() })?;
    let outcome = match begun {
        Some(number) => loop {
            let progress = context.ask(config, &HowFar { number })?;
            bar.set_position(progress.rows);
            if let Some(outcome) = progress.outcome {
                break outcome;
            }
        },
        None => context.block_on(work_here(config, &work, &bar))?,
    };
    bar.finish_and_clear();
    Ok(outcome)
}

async fn work_here(config: &Config, work: &Work, bar: &ProgressBar) -> Result<Outcome, Failure> {
    if !config.store.path.exists() {
        let failure = Failure::new(Exit::NotFound, format!("there is no store at {}", config.store.path.display()));
        return Err(failure.advise("`gatehouse serve` makes it when it starts for the first time"));
    }
    let store = gatehouse_store::Store::open(&config.store).await?;
    let rows = AtomicU64::new(0);
    let running = work.run(&store, &rows);
    tokio::pin!(running);
    loop {
        match tokio::time::timeout(Duration::from_millis(200), &mut running).await {
            Ok(outcome) => return Ok(outcome?),
            Err(_) => bar.set_position(rows.load(Ordering::Relaxed)),
        }
    }
}

/// A count of rows on a terminal; nothing in a log.
fn progress(output: Output) -> ProgressBar {
    let target = if output.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template("{spinner} {human_pos} rows, {per_sec}, {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::with_draw_target(None, target).with_style(style)
}

fn read_key(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| file_failed(path, &error))
}

fn file_failed(path: &Path, error: &std::io::Error) -> Failure {
    let exit = if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Unavailable };
    Failure::new(exit, format!("{}: {error}", path.display()))
}

fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "the server did something else than it was asked; is it another version?")
}

/// What the files take, holes not counted.
fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(
            |entry| {
                if entry.path().is_dir() { disk_bytes(&entry.path()) } else { entry.metadata().map_or(0, |found| found.blocks() * 512) }
            },
        )
        .sum()
}

#[derive(Serialize)]
struct Verdict {
    wrong: u64,
    #[serde(flatten)]
    report: Report,
    checkpoints: Option<Checkpoints>,
    #[serde(skip)]
    output: Output,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, checkpoints, output, wrong } = self;
        let told = report.damage.iter().chain(checkpoints.iter().flat_map(|checkpoints| &checkpoints.tampering));
        for what in told {
            writeln!(out, "{} {what}", output.tint(Tint::Bad, "wrong:"))?;
        }
        match checkpoints {
            Some(found) => writeln!(out, "{} checkpoints fit; {} records are not covered by one yet", found.good, found.uncovered)?,
            None => writeln!(out, "checkpoints were not compared: no server has signed any yet")?,
        }
        let (tint, word) = if *wrong == 0 { (Tint::Good, "good:") } else { (Tint::Bad, "wrong:") };
        let values: u64 = report.tables.values().map(|count| count.number).sum();
        write!(out, "{} {values} values, {} records in {} streams", output.tint(tint, word), report.records.number, report.streams)?;
        write!(out, " at commit {}, {wrong} wrong", report.version)
    }
}

#[derive(Serialize)]
struct Contents {
    engine: &'static str,
    path: PathBuf,
    disk_bytes: u64,
    commits: u64,
    streams: u64,
    records: Count,
    tables: std::collections::BTreeMap<String, Count>,
}

impl fmt::Display for Contents {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} at {}, {} bytes on disk, commit {}", self.engine, self.path.display(), self.disk_bytes, self.commits)?;
        writeln!(out, "{:>12} {:>14}  what", "number", "bytes")?;
        for (name, count) in &self.tables {
            writeln!(out, "{:>12} {:>14}  {name}", count.number, count.bytes)?;
        }
        write!(out, "{:>12} {:>14}  records in {} streams", self.records.number, self.records.bytes, self.streams)
    }
}

#[derive(Serialize)]
struct Exported {
    path: PathBuf,
    version: u64,
    rows: u64,
    bytes: u64,
}

impl fmt::Display for Exported {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} rows at commit {}, {} bytes", self.path.display(), self.rows, self.version, self.bytes)
    }
}

#[derive(Serialize)]
struct Imported {
    rows: u64,
    path: PathBuf,
    engine: &'static str,
}

impl fmt::Display for Imported {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} rows into {} at {}", self.rows, self.engine, self.path.display())
    }
}
