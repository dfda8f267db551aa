//! The recorder against a program that writes in every way it has to understand.

use gatehouse_testkit::faults::{
    disk::{Disk, Loss},
    log::Operation,
    recorder::Recorder,
    seed::Chance,
};
use std::{fs, path::Path, process::Command};
use tempfile::TempDir;

fn scribble(recorder: &Recorder, directory: &Path, seed: u64, threads: u64) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_store-faults"));
    command.arg("scribble").arg("--directory").arg(directory);
    command.args(["--seed", &seed.to_string(), "--threads", &threads.to_string(), "--steps", "150"]);
    recorder.attach(&mut command).expect("recorder");
    command.output().expect("scribble runs")
}

#[test]
fn the_replayed_log_is_the_directory() {
    for seed in 0..4 {
        let work = TempDir::new().expect("directory");
        let directory = work.path().join("data");
        fs::create_dir(&directory).expect("directory");
        let mut disk = Disk::holding(&directory).expect("empty");
        let recorder = Recorder::of(&directory).expect("directory").log(&work.path().join("log"));
        let output = scribble(&recorder, &directory, seed, 3);
        assert!(output.status.success(), "{output:?}");
        let operations = recorder.operations().expect("log");
        assert!(operations.iter().any(|operation| matches!(operation, Operation::SyncEnd { .. })));
        operations.iter().for_each(|operation| disk.apply(operation));
        disk.matches(&directory).expect("nothing was missed");

        // What survives a loss of nothing is the same directory, and the model finds a missed write.
        let whole = work.path().join("whole");
        fs::create_dir(&whole).expect("directory");
        disk.cut(Loss::Nothing, &mut Chance::new(seed), &whole).expect("cut");
        disk.matches(&whole).expect("nothing is lost");
        let file = operations.iter().rev().find_map(|operation| match operation {
            Operation::Write { file, .. } => Some(*file),
            _ => None,
        });
        let file = file.expect("something was written");
        disk.apply(&Operation::Open { file, created: true, path: "unseen".into() });
        assert!(disk.matches(&directory).is_err());
    }
}

#[test]
fn a_failing_sync_and_a_full_disk_reach_the_program() {
    let work = TempDir::new().expect("directory");
    for (name, recorder) in
        [("sync", |r: Recorder| r.failing_sync(5)), ("space", |r: Recorder| r.space(100_000))] as [(&str, fn(Recorder) -> Recorder); 2]
    {
        let directory = work.path().join(name);
        fs::create_dir(&directory).expect("directory");
        let log = work.path().join(format!("{name}.log"));
        let recorder = recorder(Recorder::of(&directory).expect("directory").log(&log));
        let output = scribble(&recorder, &directory, 1, 1);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = if name == "sync" { "Input/output error" } else { "No space left" };
        assert!(said.contains(expected), "{said}");
        let operations = recorder.operations().expect("log");
        assert!(operations.iter().any(|operation| matches!(operation, Operation::Injected { .. })));
        let written: usize =
            operations.iter().map(|operation| if let Operation::Write { data, .. } = operation { data.len() } else { 0 }).sum();
        assert!(name == "sync" || written == 100_000, "{written}");
    }
}

#[test]
fn a_copy_inside_the_kernel_is_reported_and_not_overlooked() {
    let work = TempDir::new().expect("directory");
    let directory = work.path().join("data");
    fs::create_dir(&directory).expect("directory");
    fs::write(work.path().join("source"), "content").expect("source");
    let recorder = Recorder::of(&directory).expect("directory").log(&work.path().join("log"));
    let mut command = Command::new("cp");
    command.arg("--reflink=never").arg(work.path().join("source")).arg(directory.join("copy"));
    recorder.attach(&mut command).expect("recorder");
    assert!(command.status().expect("cp runs").success());
    // Either the copy is seen as writes, or the log is refused; silence would be wrong.
    if let Ok(operations) = recorder.operations() {
        let empty = TempDir::new().expect("directory");
        let mut disk = Disk::holding(empty.path()).expect("empty");
        operations.iter().for_each(|operation| disk.apply(operation));
        disk.matches(&directory).expect("nothing was missed");
    }
}
