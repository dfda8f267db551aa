//! SIGKILL at a random moment, while many writers write. What the kernel has taken survives; what the process kept
//! to itself does not.

use super::{
    Bench, Outcome, SuiteError,
    children::{Case, Checker, start_writer},
    failed,
};
use crate::{
    faults::{checker::Depth, marks::Promises},
    process::poll_until,
};
use std::{path::Path, time::Duration};

/// Kills in a row on one store, each after the store was opened again.
const KILLS_PER_STORE: u64 = 5;
/// More batches than a writer finishes before it is killed.
const ENDLESS: u64 = 1_000_000;
/// The longest that a child may take to open the store.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn run(bench: &Bench<'_>, cases: u64, outcome: &mut Outcome, progress: &mut dyn FnMut(&Outcome, u64)) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    for first in (0..cases).step_by(KILLS_PER_STORE as usize) {
        let mut chance = bench.chance(first);
        let directory = bench.fresh(&format!("store-{first}"))?;
        let files = bench.fresh(&format!("files-{first}"))?;
        let (marks, output) = (files.join("marks"), files.join("output"));
        let task = bench.task(chance.number(), 8 + chance.below(25), ENDLESS, 1);
        let mut good = true;
        for case in first..cases.min(first + KILLS_PER_STORE) {
            let lines = count_opened(&marks)?;
            let mut writer = start_writer(&bench.plan.program, &directory, bench.engine, &marks, &output, &task, None)?;
            // One in ten dies while it opens the store.
            if !chance.percent(10) {
                poll_until(OPEN_LIMIT, || count_opened(&marks).is_ok_and(|now| now > lines).then_some(()));
            }
            let moment = Duration::from_micros(chance.below(300_000));
            if let Some(status) = writer.wait_at_most(moment).map_err(failed("waiting for the moment"))? {
                let said = std::fs::read_to_string(&output).unwrap_or_default();
                return Err(SuiteError::Child(format!("the writer ended by itself with {status}: {said}")));
            }
            drop(writer);
            let promises = Promises::read(&marks).map_err(failed("reading the marks"))?;
            outcome.acknowledged += promises.acknowledged;
            let case_text = format!("kill {case}, {} batches acknowledged so far", promises.acknowledged);
            let workload = task.workload;
            let depth = Depth::Read;
            let findings = checker.check(&Case { directory: directory.clone(), engine: bench.engine, workload, promises, depth })?;
            good = findings.is_empty();
            let again = format!("the store is kept in {}", directory.display());
            bench.done(case_text, again, findings, outcome, progress);
            if !good {
                break;
            }
        }
        if good {
            std::fs::remove_dir_all(&directory).map_err(failed("removing a store"))?;
        }
    }
    Ok(())
}

fn count_opened(marks: &Path) -> Result<usize, SuiteError> {
    match std::fs::read_to_string(marks) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        text => Ok(text.map_err(failed("reading the marks"))?.lines().filter(|line| *line == "opened").count()),
    }
}
