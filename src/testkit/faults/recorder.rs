//! Runs a program under the disk recorder and fault injector (`src/diskfault`).

use super::log::{LogError, Operation, read};
use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The shared object, built by cargo beside the running program.
const OBJECT: &str = "libgatehouse_diskfault.so";

/// What the disk under one directory does to a process.
#[derive(Clone, Debug)]
pub struct Recorder {
    directory: PathBuf,
    log: Option<PathBuf>,
    marks: Option<PathBuf>,
    failing_sync: Option<u64>,
    space: Option<u64>,
}

impl Recorder {
    /// Watches this directory, which has to exist.
    pub fn of(directory: &Path) -> io::Result<Self> {
        Ok(Self { directory: directory.canonicalize()?, log: None, marks: None, failing_sync: None, space: None })
    }

    /// Records every operation into this file, which must not exist.
    #[must_use]
    pub fn log(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// What the process writes into this file becomes marks in the log. An absolute path.
    #[must_use]
    pub fn marks(mut self, path: &Path) -> Self {
        self.marks = Some(path.to_owned());
        self
    }

    /// Lets the n-th synchronisation fail with EIO.
    #[must_use]
    pub fn failing_sync(mut self, call: u64) -> Self {
        self.failing_sync = Some(call);
        self
    }

    /// Lets the disk be full after so many written bytes.
    #[must_use]
    pub fn space(mut self, bytes: u64) -> Self {
        self.space = Some(bytes);
        self
    }

    /// Puts the recorder into a command's environment.
    pub fn attach(&self, command: &mut Command) -> Result<(), RecorderError> {
        command.env("LD_PRELOAD", object()?).env("DISKFAULT_DIR", &self.directory);
        let paths = [("DISKFAULT_LOG", &self.log), ("DISKFAULT_MARKS", &self.marks)];
        for (name, path) in paths {
            if let Some(path) = path {
                command.env(name, path);
            }
        }
        for (name, number) in [("DISKFAULT_SYNC_ERROR", self.failing_sync), ("DISKFAULT_SPACE", self.space)] {
            if let Some(number) = number {
                command.env(name, number.to_string());
            }
        }
        Ok(())
    }

    /// The operations that were recorded.
    pub fn operations(&self) -> Result<Vec<Operation>, LogError> {
        self.log.as_deref().map_or_else(|| Ok(Vec::new()), read)
    }
}

/// Why there is no recorder.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the disk recorder is not there: {0}")]
pub struct RecorderError(String);

/// The shared object beside this program: cargo builds it on demand, so that it is never older than its source.
fn object() -> Result<PathBuf, RecorderError> {
    static OBJECT_PATH: OnceLock<Result<PathBuf, RecorderError>> = OnceLock::new();
    OBJECT_PATH.get_or_init(build).clone()
}

fn build() -> Result<PathBuf, RecorderError> {
    let program = env::current_exe().map_err(|error| RecorderError(error.to_string()))?;
    let folder = program.ancestors().skip(1).find(|folder| folder.file_name().is_some_and(|name| name != "deps"));
    let folder = folder.ok_or_else(|| RecorderError("this program has no folder".into()))?;
    let object = folder.join(OBJECT);
    let profile = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "gatehouse-diskfault", "--profile"]);
    cargo.arg(if profile == "debug" { "dev" } else { profile });
    cargo.arg("--target-dir").arg(folder.parent().unwrap_or(folder));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    match cargo.output() {
        Ok(output) if output.status.success() && object.is_file() => Ok(object),
        Ok(output) => Err(RecorderError(String::from_utf8_lossy(&output.stderr).into_owned())),
        // A packaged test may run where there is no cargo; then the object has to be there already.
        Err(_) if object.is_file() => Ok(object),
        Err(error) => Err(RecorderError(error.to_string())),
    }
}
