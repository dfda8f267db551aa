//! A full disk: a real one (a small tmpfs in a mount namespace of its own), and one that the injector plays.

use super::{
    Bench, Outcome, SuiteError,
    children::{Case, Checker, start_writer},
    failed,
    power_loss::copy,
};
use crate::{
    faults::{checker::Depth, checker::Finding, checker::Wrong, marks::Promises, recorder::Recorder, writer::Task},
    process::run as run_command,
};
use std::{path::Path, process::Command, time::Duration};

/// Says to a process that it runs in a mount namespace of its own. Without it nothing is mounted.
pub const NAMESPACE: &str = "STORE_FAULTS_NAMESPACE";
/// More batches than fit.
const ENDLESS: u64 = 1_000_000;
/// The longest until the disk must be full and the writers gone.
const FILL_LIMIT: Duration = Duration::from_secs(30);

/// On a small tmpfs, when this process may mount one.
pub(super) fn run_on_tmpfs(
    bench: &Bench<'_>,
    cases: u64,
    outcome: &mut Outcome,
    progress: &mut dyn FnMut(&Outcome, u64),
) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    for case in 0..cases {
        let mut chance = bench.chance(case);
        let directory = bench.fresh(&format!("mount-{case}"))?;
        let kib = 1_500 + chance.below(4_000);
        if std::env::var_os(NAMESPACE).is_none() || !mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"], &directory)? {
            outcome.count("left out: mounting is not permitted here");
            return Ok(());
        }
        let mounted = Mounted(&directory);
        let task = bench.task(chance.number(), 1 + chance.below(16), ENDLESS, 1);
        let result = fill(bench, case, &directory, &task, None)?;
        mount(&["-o", "remount,size=512m"], &directory)?;
        // The mount ends with the suite; what a failure leaves has to lie elsewhere, as it was before anybody looked.
        let kept = bench.fresh(&format!("kept-{case}"))?;
        copy(&directory, &kept)?;
        judge(bench, case, &directory, &task, result, &mut checker, outcome, progress)?;
        drop(mounted);
    }
    Ok(())
}

/// With the injector, which says no after a number of bytes.
pub(super) fn run_injected(
    bench: &Bench<'_>,
    cases: u64,
    outcome: &mut Outcome,
    progress: &mut dyn FnMut(&Outcome, u64),
) -> Result<(), SuiteError> {
    let mut checker = Checker::new(&bench.plan.program, bench.work);
    for case in 0..cases {
        let mut chance = bench.chance(case);
        let directory = bench.fresh(&format!("store-{case}"))?;
        let recorder = Recorder::of(&directory).map_err(failed("the data directory"))?.space(chance.below(4_000_000));
        let task = bench.task(chance.number(), 1 + chance.below(16), ENDLESS, 1);
        let result = fill(bench, case, &directory, &task, Some(&recorder))?;
        judge(bench, case, &directory, &task, result, &mut checker, outcome, progress)?;
    }
    Ok(())
}

/// Lets writers write until nothing fits any more.
fn fill(
    bench: &Bench<'_>,
    case: u64,
    directory: &Path,
    task: &Task,
    recorder: Option<&Recorder>,
) -> Result<(Promises, Vec<Finding>), SuiteError> {
    let files = bench.fresh(&format!("files-{case}"))?;
    let (marks, output) = (files.join("marks"), files.join("output"));
    let mut writer = start_writer(&bench.plan.program, directory, bench.engine, &marks, &output, task, recorder)?;
    let status = writer.wait_at_most(FILL_LIMIT).map_err(failed("waiting for the writer"))?;
    drop(writer);
    let mut findings = Vec::new();
    if status.is_none() {
        findings.push(Finding::new(Wrong::Crashed, "the writer hangs on the full disk"));
    }
    Ok((Promises::read(&marks).map_err(failed("reading the marks"))?, findings))
}

#[expect(clippy::too_many_arguments, reason = "both kinds of full disk end here, with all that they know")]
fn judge(
    bench: &Bench<'_>,
    case: u64,
    directory: &Path,
    task: &Task,
    (promises, mut findings): (Promises, Vec<Finding>),
    checker: &mut Checker,
    outcome: &mut Outcome,
    progress: &mut dyn FnMut(&Outcome, u64),
) -> Result<(), SuiteError> {
    outcome.acknowledged += promises.acknowledged;
    outcome.count(match (promises.opened, promises.failed) {
        (false, _) => "full before the store was open",
        (true, 0) => "full elsewhere than in a batch",
        (true, _) => "full in a batch",
    });
    let text = format!("case {case}, {} batches acknowledged", promises.acknowledged);
    let workload = task.workload;
    let depth = Depth::WriteOn;
    findings.extend(checker.check(&Case { directory: directory.to_owned(), engine: bench.engine, workload, promises, depth })?);
    let good = findings.is_empty();
    let again = format!("store-faults --only {} --engine {} --seed {}", name(bench), bench.engine.name(), bench.plan.seed);
    bench.done(text, again, findings, outcome, progress);
    if good {
        bench.fresh(&format!("files-{case}"))?;
        bench.fresh(&format!("kept-{case}"))?;
    }
    Ok(())
}

fn name(bench: &Bench<'_>) -> String {
    clap::ValueEnum::to_possible_value(&bench.experiment).map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Whether the mount was made.
fn mount(options: &[&str], target: &Path) -> Result<bool, SuiteError> {
    let mut mount = Command::new("mount");
    mount.args(options).arg(target);
    Ok(run_command(mount).map_err(failed("running mount"))?.status.success())
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let mut umount = Command::new("umount");
        umount.args(["--lazy"]).arg(self.0);
        // In a namespace of its own the mount ends with the process at the latest.
        drop(run_command(umount));
    }
}

/// Runs `program` in a mount namespace of its own, so that nothing it mounts is seen or left outside. `None` when this
/// process may not make one.
pub fn in_own_namespace(program: &Path) -> Option<Command> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        command
    };
    let mut probe = unshare();
    probe.arg("true");
    let permitted = run_command(probe).is_ok_and(|output| output.status.success());
    permitted.then(|| {
        let mut command = unshare();
        command.arg(program).env(NAMESPACE, "own");
        command
    })
}
