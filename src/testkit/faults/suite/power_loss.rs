//! Power loss: a writing child is recorded, its log is cut at many places, and what a disk could then hold is opened.
//!
//! Some cuts are written on and cut again, so that recovery itself loses power too.

use super::{
    Bench, Outcome, SuiteError,
    children::{Case, Checker, start_writer},
    failed,
};
use crate::faults::{
    checker::{Depth, Finding},
    disk::{Disk, Loss},
    log::{self, Operation},
    marks::Promises,
    recorder::Recorder,
    seed::Chance,
    workload::Workload,
    writer::Task,
};
use clap::ValueEnum;
use gatehouse_store::EngineName;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Cuts made of one recording.
const CUTS_PER_RECORDING: u64 = 40;
/// The longest that a recorded child may take.
const RECORDING_LIMIT: Duration = Duration::from_secs(120);

/// A writing child's trace on the disk, in a directory of its own: what the disk held before (`base`), the log of
/// operations (`log`), and what belongs to it (`about`).
struct Recording {
    directory: PathBuf,
    about: About,
    operations: Vec<Operation>,
}

#[derive(Serialize, Deserialize)]
struct About {
    engine: EngineName,
    workload: Workload,
    /// What had been promised before the recording began.
    before: Promises,
}

pub(super) fn run(bench: &Bench<'_>, cases: u64, outcome: &mut Outcome, progress: &mut dyn FnMut(&Outcome, u64)) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    let mut done = 0;
    let mut number = 0;
    while done < cases {
        let mut chance = bench.chance(number);
        let cuts = CUTS_PER_RECORDING.min(cases - done);
        let task = bench.task(chance.number(), 1 + chance.below(16), 6 + chance.below(40), 1 + chance.below(3));
        let recording = Recording::make(bench, number, None, task)?;
        // Some cuts are left for a second recording, which begins where one of these left off.
        let again = cuts / 5;
        let survivor = recording.cut(bench, &mut checker, cuts - again, &mut chance, outcome, progress)?;
        if let Some((base, promises)) = survivor.filter(|_| again > 0) {
            number += 1;
            let began = promises.writers.values().map(|progress| progress.began).max().unwrap_or_default();
            let task = Task { workload: recording.about.workload, batches: began + 10, sittings: 1, planted: bench.plan.planted };
            let second = Recording::make(bench, number, Some((&base, promises)), task)?;
            second.cut(bench, &mut checker, again, &mut chance, outcome, progress)?;
        }
        done = outcome.cases;
        number += 1;
    }
    Ok(())
}

impl Recording {
    /// Lets a child write, on a new store or on what a cut left.
    fn make(bench: &Bench<'_>, number: u64, base: Option<(&Path, Promises)>, task: Task) -> Result<Self, SuiteError> {
        let directory = bench.fresh(&format!("recording-{number}"))?.canonicalize().map_err(failed("the recording's directory"))?;
        let (data, log) = (directory.join("data"), directory.join("log"));
        for path in [&data, &directory.join("base")] {
            fs::create_dir(path).map_err(failed(path.display().to_string()))?;
        }
        let mut before = Promises::default();
        if let Some((base, promises)) = base {
            before = promises;
            copy(base, &data)?;
            copy(base, &directory.join("base"))?;
        }
        let about = About { engine: bench.engine, workload: task.workload, before };
        let text = serde_json::to_vec(&about).map_err(|error| SuiteError::Child(error.to_string()))?;
        fs::write(directory.join("about"), text).map_err(failed("writing about the recording"))?;

        let (marks, output) = (directory.join("marks"), directory.join("output"));
        let recorder = Recorder::of(&data).map_err(failed("the data directory"))?.log(&log).marks(&marks);
        let mut writer = start_writer(&bench.plan.program, &data, bench.engine, &marks, &output, &task, Some(&recorder))?;
        let status = writer.wait_at_most(RECORDING_LIMIT).map_err(failed("waiting for the writer"))?;
        if !status.is_some_and(|status| status.success()) {
            let said = fs::read_to_string(&output).unwrap_or_default();
            return Err(SuiteError::Child(format!("the recorded writer ended with {status:?}: {said}")));
        }
        let recording = Self::load(&directory)?;
        let mut disk = recording.disk()?;
        recording.operations.iter().for_each(|operation| disk.apply(operation));
        disk.matches(&data).map_err(SuiteError::Incomplete)?;
        fs::remove_dir_all(&data).map_err(failed("removing the data directory"))?;
        Ok(recording)
    }

    fn load(directory: &Path) -> Result<Self, SuiteError> {
        let about = fs::read(directory.join("about")).map_err(failed(format!("no recording: {}", directory.display())))?;
        let about = serde_json::from_slice(&about).map_err(|error| SuiteError::Child(error.to_string()))?;
        Ok(Self { directory: directory.to_owned(), about, operations: log::read(&directory.join("log"))? })
    }

    /// The disk as it was before the recording began.
    fn disk(&self) -> Result<Disk, SuiteError> {
        Disk::holding(&self.directory.join("base")).map_err(failed("the base of a recording"))
    }

    /// Cuts at `count` places. Returns a directory that survived a cut in good order, with what was promised then.
    fn cut(
        &self,
        bench: &Bench<'_>,
        checker: &mut Checker,
        count: u64,
        chance: &mut Chance,
        outcome: &mut Outcome,
        progress: &mut dyn FnMut(&Outcome, u64),
    ) -> Result<Option<(PathBuf, Promises)>, SuiteError> {
        let mut cuts: Vec<(usize, Loss, u64)> =
            (0..count).map(|_| (self.position(chance), Loss::ALL[chance.index(Loss::ALL.len())], chance.number())).collect();
        cuts.sort_by_key(|(position, ..)| *position);
        let mut disk = self.disk()?;
        let mut promises = self.about.before.clone();
        let mut at = 0;
        let mut survivor = None;
        for (index, (position, loss, cut_seed)) in cuts.into_iter().enumerate() {
            for operation in &self.operations[at..position] {
                disk.apply(operation);
                note(operation, &mut promises)?;
            }
            at = position;
            let target = bench.fresh(if survivor.is_none() { "cut" } else { "cut-later" })?;
            disk.cut(loss, &mut Chance::new(cut_seed), &target).map_err(failed("writing a cut"))?;
            let depth = if index % 4 == 0 { Depth::WriteOn } else { Depth::Read };
            let case =
                Case { directory: target.clone(), engine: bench.engine, workload: self.about.workload, promises: promises.clone(), depth };
            let findings = checker.check(&case)?;
            outcome.acknowledged += promises.acknowledged;
            outcome.count(match loss {
                Loss::Everything => "all unsynced lost",
                Loss::Nothing => "nothing lost",
                Loss::Tail => "torn tail",
                Loss::Pages => "pages reordered",
                Loss::Sectors => "sectors torn",
            });
            if findings.is_empty() && depth == Depth::Read && survivor.is_none() && chance.percent(20) {
                survivor = Some((target, promises.clone()));
            }
            let recording = self.directory.display();
            let loss_name = loss.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let again =
                format!("store-faults replay --recording {recording} --position {position} --loss {loss_name} --cut-seed {cut_seed}");
            bench.done(
                format!("cut at operation {position} of {}, {loss:?} lost", self.operations.len()),
                again,
                findings,
                outcome,
                progress,
            );
        }
        Ok(survivor)
    }

    /// Where to cut: often right after an acknowledgement, where nothing may be missing, or around a
    /// synchronisation or a change of names, where files depend on one another; else anywhere.
    fn position(&self, chance: &mut Chance) -> usize {
        let start = chance.index(self.operations.len());
        let wanted: fn(&Operation) -> bool = match chance.below(10) {
            0..=3 => |operation| matches!(operation, Operation::Mark { data } if data.starts_with(b"acknowledged")),
            4 | 5 => |operation| matches!(operation, Operation::SyncBegin { .. } | Operation::SyncEnd { .. }),
            6 => {
                |operation| matches!(operation, Operation::Rename { .. } | Operation::Unlink { .. } | Operation::Open { created: true, .. })
            }
            _ => |_| true,
        };
        let found = self.operations[start..].iter().position(wanted).map_or(start, |offset| start + offset);
        found + 1
    }
}

fn note(operation: &Operation, promises: &mut Promises) -> Result<(), SuiteError> {
    if let Operation::Mark { data } = operation {
        promises.lines(&String::from_utf8_lossy(data)).map_err(failed("a mark in the log"))?;
    }
    Ok(())
}

/// Makes one cut of a kept recording again, into an empty or missing directory.
pub fn replay(program: &Path, recording: &Path, cut: (usize, Loss, u64), target: &Path) -> Result<Vec<Finding>, SuiteError> {
    let (position, loss, cut_seed) = cut;
    let recording = Recording::load(recording)?;
    let mut disk = recording.disk()?;
    let mut promises = recording.about.before;
    for operation in recording.operations.iter().take(position) {
        disk.apply(operation);
        note(operation, &mut promises)?;
    }
    fs::create_dir_all(target).map_err(failed("the target"))?;
    disk.cut(loss, &mut Chance::new(cut_seed), target).map_err(failed("writing the cut"))?;
    let About { engine, workload, .. } = recording.about;
    Checker::new(program, target.parent().unwrap_or(target)).check(&Case {
        directory: target.to_owned(),
        engine,
        workload,
        promises,
        depth: Depth::WriteOn,
    })
}

/// Copies a directory, holes included.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), SuiteError> {
    let disk = Disk::holding(from).map_err(failed(from.display().to_string()))?;
    disk.cut(Loss::Nothing, &mut Chance::new(0), to).map_err(failed(to.display().to_string()))
}
