//! What the experiments found, for people and for scripts.

use super::Experiment;
use crate::faults::checker::Finding;
use gatehouse_store::EngineName;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// All experiments of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The seed that gives the same choices again.
    pub seed: u64,
    /// One entry for each experiment on each engine.
    pub outcomes: Vec<Outcome>,
}

/// One experiment on one engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What was done.
    pub experiment: Experiment,
    /// To which engine.
    pub engine: EngineName,
    /// How often.
    pub cases: u64,
    /// How many batches were acknowledged and then looked for, over all cases.
    pub acknowledged: u64,
    /// What else was counted.
    pub counts: BTreeMap<String, u64>,
    /// The cases in which the store broke its promise.
    pub failures: Vec<Failure>,
}

/// A case in which the store broke its promise.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Which case.
    pub case: String,
    /// How to have it again.
    pub again: String,
    /// What was wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether every store kept its promise.
    pub fn is_good(&self) -> bool {
        self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }
}

impl Outcome {
    pub(super) fn new(experiment: Experiment, engine: EngineName) -> Self {
        Self { experiment, engine, cases: 0, acknowledged: 0, counts: BTreeMap::new(), failures: Vec::new() }
    }

    pub(super) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }
}

/// Findings shown of one failure, and failures shown of one outcome; the rest is in the JSON form.
const SHOWN: usize = 3;

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| experiment | engine | cases | failed | batches acknowledged | of the cases |")?;
        writeln!(out, "|---|---|---|---|---|---|")?;
        for outcome in &self.outcomes {
            let counts: Vec<String> = outcome.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
            let (experiment, engine) = (outcome.experiment, outcome.engine.name());
            let (cases, failed, acknowledged) = (outcome.cases, outcome.failures.len(), outcome.acknowledged);
            writeln!(out, "| {experiment} | {engine} | {cases} | {failed} | {acknowledged} | {} |", counts.join(", "))?;
        }
        for outcome in &self.outcomes {
            for failure in outcome.failures.iter().take(SHOWN) {
                writeln!(out, "\n{} on {}: {}", outcome.experiment, outcome.engine.name(), failure.case)?;
                for finding in failure.findings.iter().take(SHOWN) {
                    writeln!(out, "  {finding}")?;
                }
                if failure.findings.len() > SHOWN {
                    writeln!(out, "  and {} more", failure.findings.len() - SHOWN)?;
                }
                writeln!(out, "  again: {}", failure.again)?;
            }
            if outcome.failures.len() > SHOWN {
                writeln!(out, "\nand {} more failures of {}", outcome.failures.len() - SHOWN, outcome.experiment)?;
            }
        }
        write!(out, "\nseed {}", self.seed)
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::PowerLoss => "power loss",
            Self::Killed => "killed",
            Self::DiskFull => "disk full",
            Self::SpaceRefused => "space refused",
            Self::SyncError => "sync error",
            Self::BitFlips => "bit flips",
        })
    }
}
