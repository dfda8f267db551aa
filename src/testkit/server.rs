//! The product itself as a child process: the real program, its real configuration, real sockets on free ports.

use crate::{
    cores::on_server_core,
    process::{Process, command, poll_until},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tempfile::TempDir;

/// How long anything that a test waits for may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A key-encryption key that protects nothing but tests.
const KEY: &str = "gatehouse-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

/// A folder with a configuration, and the program to run on it.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
    program: PathBuf,
}

impl Installation {
    /// Writes a configuration that has a data directory and a key, and the given text after that. Listeners belong on
    /// `127.0.0.1:0`.
    pub fn new(program: impl Into<PathBuf>, configuration: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("gatehouse-").tempdir()?;
        fs::DirBuilder::new().mode(0o700).create(folder.path().join("data"))?;
        let key = folder.path().join("key");
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?.write_all(KEY.as_bytes())?;
        let installation = Self { folder, program: program.into() };
        installation.configure(configuration)?;
        Ok(installation)
    }

    /// Replaces the configuration's own part.
    pub fn configure(&self, configuration: &str) -> io::Result<()> {
        let (top, sections) = configuration.split_at(configuration.find("\n[").map_or(0, |at| at + 1));
        let whole = format!("external_address = \"localhost\"\ndata_dir = \"data\"\n{top}\n[key_encryption]\nfile = \"key\"\n{sections}\n");
        fs::write(self.file(), whole)
    }

    /// The folder; files that the configuration names without a folder lie here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gatehouse.toml")
    }

    /// Runs a command of the program to its end.
    pub fn run(&self, arguments: &[&str]) -> io::Result<Output> {
        let mut command = command(&self.program);
        command.env_clear().arg("--config").arg(self.file()).args(arguments);
        crate::process::run(command)
    }

    /// Starts the server, and waits until it says where it listens.
    pub fn start(self) -> io::Result<Server> {
        let command = command(&self.program);
        self.start_as(command)
    }

    /// The same on the server's core, for whoever measures.
    pub fn start_on_server_core(self) -> io::Result<Server> {
        let command = on_server_core(&self.program);
        self.start_as(command)
    }

    fn start_as(self, mut command: Command) -> io::Result<Server> {
        command.env_clear().arg("--config").arg(self.file()).args(["--json", "serve"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start("gatehouse", command)?;
        let log = Log::collect(process.child().stderr.take());
        let mut line = String::new();
        if let Some(output) = process.child().stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        match addresses(&line) {
            Some(addresses) => Ok(Server { process, addresses, log, installation: self }),
            None => Err(io::Error::other(format!("the server did not start:\n{}", log.finish()))),
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    process: Process,
    addresses: BTreeMap<String, SocketAddr>,
    log: Log,
    installation: Installation,
}

impl Server {
    /// The address of a listener.
    ///
    /// # Panics
    /// The configuration has no listener of this name.
    pub fn address(&self, listener: &str) -> SocketAddr {
        *self.addresses.get(listener).unwrap_or_else(|| panic!("no listener `{listener}` in {:?}", self.addresses))
    }

    /// Where it lives.
    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Runs a command of the program beside the server, which must succeed, and returns its standard output.
    ///
    /// # Panics
    /// It failed.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.installation.run(arguments).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> io::Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// Waits for the end. `None` when the server still runs after [`PATIENCE`].
    pub fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.wait_at_most(PATIENCE)
    }

    /// Kills the server, if it still runs, and starts it again over what it left.
    pub fn restart(self) -> io::Result<Self> {
        let Self { process, installation, .. } = self;
        drop(process);
        installation.start()
    }

    /// Waits until a line of the log has this text, and returns the line.
    ///
    /// # Panics
    /// It does not come.
    pub fn logged(&self, text: &str) -> String {
        let found = poll_until(PATIENCE, || self.log.lines().into_iter().find(|line| line.contains(text)));
        found.unwrap_or_else(|| panic!("`{text}` is not in the log:\n{}", self.log.lines().join("\n")))
    }

    /// Everything that was logged up to now.
    pub fn log(&self) -> String {
        self.log.lines().join("\n")
    }
}

/// A child's standard error, line by line.
#[derive(Debug)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Log {
    fn collect(pipe: Option<impl Read + Send + 'static>) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
                into.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { lines, reader }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Everything, once the child has closed its end.
    fn finish(self) -> String {
        drop(self.reader.join());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }
}

fn addresses(line: &str) -> Option<BTreeMap<String, SocketAddr>> {
    let answer: serde_json::Value = serde_json::from_str(line).ok()?;
    let listeners = answer.get("listeners")?.as_object()?;
    listeners.iter().map(|(name, listener)| Some((name.clone(), listener.get("address")?.as_str()?.parse().ok()?))).collect()
}
