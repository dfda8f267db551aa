//! The experiments: what is done to a store, how often, and what was found.

mod bit_flips;
mod children;
mod disk_full;
mod killed;
mod power_loss;
mod report;
mod sync_error;

pub use children::{Case, answer_checks, store_config};
pub use disk_full::{NAMESPACE, in_own_namespace};
pub use power_loss::replay;
pub use report::{Failure, Outcome, Report};

use super::{
    checker::Finding,
    log::LogError,
    recorder::RecorderError,
    seed::Chance,
    workload::Workload,
    writer::{Planted, Task},
};
use gatehouse_store::EngineName;
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What is done to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Experiment {
    /// The power goes away: the recorded writes are cut, and what was not synchronised is lost, torn or reordered.
    PowerLoss,
    /// The process is killed with SIGKILL while many writers write.
    Killed,
    /// A small file system runs full; afterwards it has space again.
    DiskFull,
    /// As `DiskFull`, but the injector refuses the writes.
    SpaceRefused,
    /// One fsync or fdatasync fails with EIO, and what it should have written is lost.
    SyncError,
    /// One bit of a closed store flips.
    BitFlips,
}

impl Experiment {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::PowerLoss, Self::Killed, Self::DiskFull, Self::SpaceRefused, Self::SyncError, Self::BitFlips];
}

/// How often each experiment is made on each engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Cuts of recorded writes.
    pub cuts: u64,
    /// Kills.
    pub kills: u64,
    /// Full disks, real ones and injected ones each.
    pub full: u64,
    /// Failing synchronisations.
    pub sync_errors: u64,
    /// Flipped bits.
    pub flips: u64,
}

impl Amount {
    /// What proves something: minutes to an hour.
    pub const FULL: Self = Self { cuts: 1000, kills: 200, full: 50, sync_errors: 100, flips: 500 };
    /// What shows that nothing is grossly broken: seconds, in every test run.
    pub const SHORT: Self = Self { cuts: 40, kills: 5, full: 3, sync_errors: 6, flips: 20 };

    fn of(&self, experiment: Experiment) -> u64 {
        match experiment {
            Experiment::PowerLoss => self.cuts,
            Experiment::Killed => self.kills,
            Experiment::DiskFull | Experiment::SpaceRefused => self.full,
            Experiment::SyncError => self.sync_errors,
            Experiment::BitFlips => self.flips,
        }
    }
}

/// What to do, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed of every choice.
    pub seed: u64,
    /// How often.
    pub amount: Amount,
    /// On which engines.
    pub engines: Vec<EngineName>,
    /// Which experiments.
    pub experiments: Vec<Experiment>,
    /// The program that knows the roles of `store-faults`.
    pub program: PathBuf,
    /// A directory for everything that is made on the way.
    pub work: PathBuf,
    /// A store that breaks its promise on purpose.
    pub planted: Option<Planted>,
}

/// Why an experiment could not be made. That a store fails it is not an error but a [`Failure`].
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file system or a child refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk log is of no use.
    #[error(transparent)]
    Log(#[from] LogError),
    /// There is no recorder.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The recorder did not see everything, so a replay would prove nothing.
    #[error("the recorder missed something: {0}")]
    Incomplete(String),
    /// A child did what it must not do.
    #[error("{0}")]
    Child(String),
}

pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> SuiteError {
    |source| SuiteError::Io { what: what.into(), source }
}

/// Makes all experiments of a plan. `progress` hears of each case that is done.
pub fn run(plan: &Plan, progress: &mut dyn FnMut(&Outcome, u64)) -> Result<Report, SuiteError> {
    let mut outcomes = Vec::new();
    for engine in &plan.engines {
        for experiment in &plan.experiments {
            let cases = plan.amount.of(*experiment);
            let mut outcome = Outcome::new(*experiment, *engine);
            let work = plan.work.join(format!("{experiment:?}-{}", engine.name()));
            std::fs::create_dir_all(&work).map_err(failed(work.display().to_string()))?;
            let bench = Bench { plan, engine: *engine, experiment: *experiment, work: &work };
            match experiment {
                Experiment::PowerLoss => power_loss::run(&bench, cases, &mut outcome, progress)?,
                Experiment::Killed => killed::run(&bench, cases, &mut outcome, progress)?,
                Experiment::DiskFull => disk_full::run_on_tmpfs(&bench, cases, &mut outcome, progress)?,
                Experiment::SpaceRefused => disk_full::run_injected(&bench, cases, &mut outcome, progress)?,
                Experiment::SyncError => sync_error::run(&bench, cases, &mut outcome, progress)?,
                Experiment::BitFlips => bit_flips::run(&bench, cases, &mut outcome, progress)?,
            }
            if outcome.failures.is_empty() {
                std::fs::remove_dir_all(&work).map_err(failed(work.display().to_string()))?;
            }
            outcomes.push(outcome);
        }
    }
    Ok(Report { seed: plan.seed, outcomes })
}

/// One experiment on one engine.
pub(crate) struct Bench<'a> {
    plan: &'a Plan,
    engine: EngineName,
    experiment: Experiment,
    work: &'a Path,
}

impl Bench<'_> {
    /// The choices of one case.
    fn chance(&self, case: u64) -> Chance {
        Chance::of(self.plan.seed, &[self.experiment as u64, self.engine as u64, case])
    }

    /// An empty directory for one case.
    fn fresh(&self, name: &str) -> Result<PathBuf, SuiteError> {
        let path = self.work.join(name);
        let cleared = if path.exists() { std::fs::remove_dir_all(&path) } else { Ok(()) };
        cleared.and_then(|()| std::fs::create_dir_all(&path)).map_err(failed(path.display().to_string()))?;
        Ok(path)
    }

    fn task(&self, seed: u64, writers: u64, batches: u64, sittings: u64) -> Task {
        let workload = Workload { seed, writers, large_values: true };
        Task { workload, batches, sittings, planted: self.plan.planted }
    }

    /// Notes one case, with what was found wrong.
    fn done(&self, case: String, again: String, findings: Vec<Finding>, outcome: &mut Outcome, progress: &mut dyn FnMut(&Outcome, u64)) {
        outcome.cases += 1;
        if !findings.is_empty() {
            outcome.failures.push(Failure { case, again, findings });
        }
        progress(outcome, self.plan.amount.of(self.experiment));
    }
}
