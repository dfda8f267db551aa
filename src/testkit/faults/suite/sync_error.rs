//! One synchronisation fails with EIO, and the pages that it should have written are lost for good.

use super::{
    Bench, Outcome, SuiteError,
    children::{Case, Checker, start_writer},
    failed,
};
use crate::faults::{
    checker::{Depth, Finding, Wrong},
    disk::{Disk, Loss},
    log::Operation,
    marks::{Mark, Promises},
    recorder::Recorder,
};
use std::{collections::BTreeSet, time::Duration};

/// Which synchronisation fails: one of the first so many. Opening a store takes about ten.
const CALLS: u64 = 60;
/// Enough batches that the failing call is reached.
const BATCHES: u64 = 80;
const WRITE_LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(bench: &Bench<'_>, cases: u64, outcome: &mut Outcome, progress: &mut dyn FnMut(&Outcome, u64)) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    for case in 0..cases {
        let mut chance = bench.chance(case);
        let directory = bench.fresh("store")?;
        let files = bench.fresh(&format!("files-{case}"))?.canonicalize().map_err(failed("the case's directory"))?;
        let (log, marks, output) = (files.join("log"), files.join("marks"), files.join("output"));
        let call = 1 + chance.below(CALLS);
        let base = bench.fresh("empty")?;
        let recorder = Recorder::of(&directory).map_err(failed("the data directory"))?;
        let recorder = recorder.log(&log).marks(&marks).failing_sync(call);
        let task = bench.task(chance.number(), 1 + chance.below(16), BATCHES, 1);
        let mut writer = start_writer(&bench.plan.program, &directory, bench.engine, &marks, &output, &task, Some(&recorder))?;
        let status = writer.wait_at_most(WRITE_LIMIT).map_err(failed("waiting for the writer"))?;
        drop(writer);

        let operations = recorder.operations()?;
        let mut findings = after_the_error(&operations)?;
        if status.is_none() {
            findings.push(Finding::new(Wrong::Crashed, "the writer hangs after the error"));
        }
        let promises = Promises::read(&marks).map_err(failed("reading the marks"))?;
        outcome.acknowledged += promises.acknowledged;
        let injected = operations.iter().any(|operation| matches!(operation, Operation::Injected { .. }));
        outcome.count(match (promises.opened, promises.failed > 0, injected) {
            (false, ..) => "refused to open",
            (true, true, _) => "poisoned",
            (true, false, true) => "in upkeep only",
            (true, false, false) => "not reached",
        });
        if promises.failed > 0 && !promises.poisoned {
            findings.push(Finding::new(Wrong::Write, "a batch failed, but the store does not say that it is poisoned"));
        }
        let mut disk = Disk::holding(&base).map_err(failed("the base"))?;
        operations.iter().for_each(|operation| disk.apply(operation));
        for loss in [Loss::Everything, Loss::Nothing] {
            let target = bench.fresh(&format!("disk-{case}"))?;
            disk.cut(loss, &mut chance, &target).map_err(failed("writing a cut"))?;
            let (workload, promises, depth) = (task.workload, promises.clone(), Depth::WriteOn);
            findings.extend(checker.check(&Case { directory: target, engine: bench.engine, workload, promises, depth })?);
        }
        let good = findings.is_empty();
        let text = format!("synchronisation {call} failed, {} batches acknowledged", promises.acknowledged);
        let again = format!("store-faults --only sync-error --engine {} --seed {}", bench.engine.name(), bench.plan.seed);
        bench.done(text, again, findings, outcome, progress);
        if good {
            bench.fresh(&format!("files-{case}"))?;
            bench.fresh(&format!("disk-{case}"))?;
        }
    }
    Ok(())
}

/// Once a batch has failed, none that was begun later may be acknowledged: the store cannot know what is on the disk.
/// An error that only hits an engine's upkeep may pass, as long as nothing acknowledged is lost by it.
fn after_the_error(operations: &[Operation]) -> Result<Vec<Finding>, SuiteError> {
    let mut failed_already = false;
    let mut begun = BTreeSet::new();
    let mut findings = Vec::new();
    let marks = operations.iter().filter_map(|operation| if let Operation::Mark { data } = operation { Some(data) } else { None });
    for data in marks {
        for line in String::from_utf8_lossy(data).lines() {
            match line.parse::<Mark>().map_err(failed("a mark in the log"))? {
                Mark::Failed { .. } => failed_already = true,
                Mark::Began { writer, number } if failed_already => drop(begun.insert((writer, number))),
                Mark::Acknowledged { writer, number } if begun.contains(&(writer, number)) => {
                    let text = format!("writer {writer}: batch {number} was begun and acknowledged after another had failed");
                    findings.push(Finding::new(Wrong::Lost, text));
                }
                Mark::ProbeAcknowledged { writer } => {
                    findings
                        .push(Finding::new(Wrong::Lost, format!("a probe of writer {writer} was acknowledged after a batch had failed")));
                }
                _ => {}
            }
        }
    }
    Ok(findings)
}
