//! Holds the store to its promise under power loss, killing, full and failing disks and flipped bits.
//!
//! ```text
//! cargo run --release -p gatehouse-testkit --bin store-faults -- --full
//! ```

use clap::{Parser, Subcommand};
use gatehouse_store::EngineName;
use gatehouse_testkit::faults::{
    disk::Loss,
    scribble::scribble,
    seed::Chance,
    suite::{self, Amount, Experiment, Outcome, Plan, Report},
    workload::Workload,
    writer::{self, Planted, Task},
};
use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

type Failure = Box<dyn Error + Send + Sync>;

/// Holds the store to its promise under power loss, killing, full and failing disks and flipped bits.
#[derive(Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The full amount (1,000 cuts, 200 kills, 50 full disks, 500 flipped bits for each engine) instead of the short one.
    #[arg(long)]
    full: bool,
    /// So many cases of every experiment.
    #[arg(long, conflicts_with = "full")]
    cases: Option<u64>,
    /// Only this engine; may be given more than once.
    #[arg(long)]
    engine: Vec<EngineName>,
    /// Only this experiment; may be given more than once.
    #[arg(long, value_enum)]
    only: Vec<Experiment>,
    /// The seed of all random choices, as an earlier run printed it.
    #[arg(long)]
    seed: Option<u64>,
    /// Where everything is made on the way. What a failure leaves stays there.
    #[arg(long)]
    work: Option<PathBuf>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// Plants a fault in the store, which the suite has to find.
    #[arg(long, value_enum, hide = true)]
    planted: Option<Planted>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// Parts of the suite that run as processes of their own, and what a failure asks for.
#[derive(Subcommand)]
enum Role {
    /// Makes one cut of a kept recording again and checks it.
    Replay {
        /// The kept recording.
        #[arg(long)]
        recording: PathBuf,
        /// After which operation the power goes away.
        #[arg(long)]
        position: usize,
        /// What is lost.
        #[arg(long, value_enum)]
        loss: Loss,
        /// The seed of the choices within the cut.
        #[arg(long)]
        cut_seed: u64,
        /// Where the disk's content is written; must not exist.
        #[arg(long)]
        target: PathBuf,
    },
    /// Writes to a store and leaves marks.
    #[command(hide = true)]
    Write {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        engine: EngineName,
        #[arg(long)]
        marks: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        writers: u64,
        #[arg(long)]
        batches: u64,
        #[arg(long)]
        sittings: u64,
        #[arg(long, value_enum)]
        planted: Option<Planted>,
    },
    /// Checks the stores that it is asked about on standard input.
    #[command(hide = true)]
    Check,
    /// Writes files in every way the disk recorder has to understand.
    #[command(hide = true)]
    Scribble {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        threads: u64,
        #[arg(long)]
        steps: u64,
    },
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    let result = match arguments.role.take() {
        Some(role) => play(role),
        None => run_in_namespace(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("store-faults: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::from(2)
        }
    }
}

fn play(role: Role) -> Result<bool, Failure> {
    match role {
        Role::Replay { recording, position, loss, cut_seed, target } => {
            let program = std::env::current_exe()?;
            let findings = suite::replay(&program, &recording, (position, loss, cut_seed), &target)?;
            let mut out = io::stdout().lock();
            for finding in &findings {
                writeln!(out, "{finding}")?;
            }
            Ok(findings.is_empty())
        }
        Role::Write { directory, engine, marks, seed, writers, batches, sittings, planted } => {
            let workload = Workload { seed, writers, large_values: true };
            let config = suite::store_config(&directory, engine);
            runtime()?.block_on(writer::write(&config, &marks, Task { workload, batches, sittings, planted }))?;
            Ok(true)
        }
        Role::Check => {
            runtime()?.block_on(suite::answer_checks(io::stdin().lock(), io::stdout().lock()))?;
            Ok(true)
        }
        Role::Scribble { directory, seed, threads, steps } => {
            scribble(&directory, seed, threads, steps)?;
            Ok(true)
        }
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()
}

/// The real full disk is a small file system, which has to be mounted out of everybody's sight.
fn run_in_namespace(arguments: &Arguments) -> Result<bool, Failure> {
    let wanted = arguments.only.is_empty() || arguments.only.contains(&Experiment::DiskFull);
    let inside = std::env::var_os(suite::NAMESPACE).is_some();
    match suite::in_own_namespace(&std::env::current_exe()?) {
        Some(mut command) if wanted && !inside => Ok(command.args(std::env::args_os().skip(1)).status()?.success()),
        _ => run_suite(arguments),
    }
}

fn run_suite(arguments: &Arguments) -> Result<bool, Failure> {
    let seed = arguments.seed.unwrap_or_else(|| Chance::new(u64::from(std::process::id())).number() >> 32);
    let all = |cases| Amount { cuts: cases, kills: cases, full: cases, sync_errors: cases, flips: cases };
    let temporary;
    let work = match &arguments.work {
        Some(work) => work.clone(),
        None => {
            temporary = tempfile::Builder::new().prefix("store-faults-").disable_cleanup(true).tempdir()?;
            temporary.path().to_owned()
        }
    };
    let or_all = |chosen: &[EngineName]| if chosen.is_empty() { vec![EngineName::Sled, EngineName::Fjall] } else { chosen.to_vec() };
    let plan = Plan {
        seed,
        amount: arguments.cases.map_or(if arguments.full { Amount::FULL } else { Amount::SHORT }, all),
        engines: or_all(&arguments.engine),
        experiments: if arguments.only.is_empty() { Experiment::ALL.to_vec() } else { arguments.only.clone() },
        program: std::env::current_exe()?,
        work,
        planted: arguments.planted,
    };
    eprintln!("seed {seed}, everything in {}", plan.work.display());
    let mut progress = Progress::new();
    let report = suite::run(&plan, &mut |outcome, of| progress.show(outcome, of))?;
    progress.end();
    print(&report, arguments.json)?;
    if report.is_good() && arguments.work.is_none() {
        std::fs::remove_dir_all(&plan.work)?;
    }
    Ok(report.is_good())
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{report}")?;
    }
    Ok(())
}

/// A line that is rewritten on a terminal; now and then a line of its own in a log.
struct Progress {
    started: Instant,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { started: Instant::now(), terminal: io::stderr().is_terminal() }
    }

    fn show(&self, outcome: &Outcome, of: u64) {
        let done = outcome.cases;
        if !self.terminal && !done.is_multiple_of((of / 10).max(1)) && done != of {
            return;
        }
        let (start, end) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let (experiment, engine, failed) = (outcome.experiment, outcome.engine.name(), outcome.failures.len());
        let seconds = self.started.elapsed().as_secs();
        eprint!("{start}{seconds:>5} s  {experiment} on {engine}: {done} of {of}, {failed} failed{end}");
    }

    fn end(&mut self) {
        if self.terminal {
            eprintln!();
        }
    }
}
