//! The two children of the suite: one writes, the other opens what is left and looks.
//!
//! Both are processes of their own, because the first is killed and the second opens damaged files: an engine that
//! aborts, hangs or eats memory on them must not take the suite along.

use super::{SuiteError, failed};
use crate::{
    faults::{
        checker::{self, Depth, Finding, Wrong},
        marks::Promises,
        recorder::Recorder,
        workload::Workload,
        writer::Task,
    },
    process::{Process, command},
};
use gatehouse_store::{Config, EngineName};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
    sync::mpsc,
    time::Duration,
};

/// The longest that a check may take; a healthy one takes well below a second.
const CHECK_LIMIT: Duration = Duration::from_secs(120);
/// After so many checks the child is replaced, so that what an engine leaks does not add up.
const CHECKS_PER_CHILD: usize = 100;

/// Little memory, so that the engines work with their files: they flush, merge and read them all the time.
const CACHE_BYTES: u64 = 1 << 20;

/// The store's directory below a watched one: so its own name is part of the experiment.
pub fn store_config(directory: &Path, engine: EngineName) -> Config {
    // No reserve: here the disk is to run full under the engine.
    Config { cache_bytes: CACHE_BYTES, reserve_bytes: 0, ..Config::new(directory.join("store")).engine(engine) }
}

/// Starts the writing child on `directory/store`. Its standard error goes to `output`.
pub(super) fn start_writer(
    program: &Path,
    directory: &Path,
    engine: EngineName,
    marks: &Path,
    output: &Path,
    task: &Task,
    recorder: Option<&Recorder>,
) -> Result<Process, SuiteError> {
    let mut writer = command(program);
    writer.arg("write").arg("--directory").arg(directory).arg("--marks").arg(marks).args(["--engine", engine.name()]);
    for (name, number) in
        [("--seed", task.workload.seed), ("--writers", task.workload.writers), ("--batches", task.batches), ("--sittings", task.sittings)]
    {
        writer.arg(name).arg(number.to_string());
    }
    if let Some(planted) = task.planted.as_ref().and_then(clap::ValueEnum::to_possible_value) {
        writer.arg("--planted").arg(planted.get_name());
    }
    if let Some(recorder) = recorder {
        recorder.attach(&mut writer)?;
    }
    let output = File::create(output).map_err(failed(output.display().to_string()))?;
    writer.stdout(Stdio::null()).stderr(output);
    Process::start("store-faults write", writer).map_err(failed("starting the writer"))
}

/// What the checking child is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// The directory above the store's.
    pub directory: PathBuf,
    /// The engine.
    pub engine: EngineName,
    /// What was written.
    pub workload: Workload,
    /// What was promised.
    pub promises: Promises,
    /// How much to do.
    pub depth: Depth,
}

/// The checking child's side: answers cases, one line of JSON each, until its input ends.
pub async fn answer_checks(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    for line in input.lines() {
        let case: Case = serde_json::from_str(&line?)?;
        let config = store_config(&case.directory, case.engine);
        // A task of its own, so that a panic is an answer and not the end.
        let check = tokio::spawn(async move { checker::check(&config, &case.workload, &case.promises, case.depth).await });
        let findings = check.await.unwrap_or_else(|panic| vec![Finding::new(Wrong::Crashed, panic.to_string())]);
        serde_json::to_writer(&mut output, &findings)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// The suite's side.
pub(super) struct Checker {
    program: PathBuf,
    /// Where the child's panics go.
    output: PathBuf,
    child: Option<Child>,
}

struct Child {
    _process: Process,
    input: ChildStdin,
    answers: mpsc::Receiver<String>,
    checks: usize,
}

impl Checker {
    pub(super) fn new(program: &Path, work: &Path) -> Self {
        Self { program: program.to_owned(), output: work.join("checker-output"), child: None }
    }

    pub(super) fn check(&mut self, case: &Case) -> Result<Vec<Finding>, SuiteError> {
        let mut child = match self.child.take() {
            Some(child) if child.checks < CHECKS_PER_CHILD => child,
            _ => self.start()?,
        };
        let mut line = serde_json::to_vec(case).map_err(|error| SuiteError::Child(error.to_string()))?;
        line.push(b'\n');
        child.input.write_all(&line).map_err(failed("asking the checker"))?;
        child.checks += 1;
        match child.answers.recv_timeout(CHECK_LIMIT) {
            Ok(answer) => {
                self.child = Some(child);
                serde_json::from_str(&answer).map_err(|error| SuiteError::Child(format!("the checker answers {answer}: {error}")))
            }
            // Dropping the child kills it.
            Err(mpsc::RecvTimeoutError::Timeout) => Ok(vec![Finding::new(Wrong::Crashed, "the store hangs")]),
            Err(mpsc::RecvTimeoutError::Disconnected) => Ok(vec![Finding::new(Wrong::Crashed, "the process that opened the store died")]),
        }
    }

    fn start(&self) -> Result<Child, SuiteError> {
        let mut checker = command(&self.program);
        let output = File::options().append(true).create(true).open(&self.output);
        let output = output.map_err(failed(self.output.display().to_string()))?;
        checker.arg("check").env("RUST_BACKTRACE", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(output);
        let mut process = Process::start("store-faults check", checker).map_err(failed("starting the checker"))?;
        let pipes = (process.child().stdin.take(), process.child().stdout.take());
        let (Some(input), Some(output)) = pipes else { return Err(SuiteError::Child("the checker has no pipes".into())) };
        let (sender, answers) = mpsc::channel();
        std::thread::spawn(move || {
            // Ends with the child, or when nobody waits for an answer any more.
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Child { _process: process, input, answers, checks: 0 })
    }
}
