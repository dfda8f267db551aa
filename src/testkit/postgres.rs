//! A PostgreSQL server of one's own, made and thrown away by a test or bench.

use crate::{
    process::{Process, command, free_port, poll_until, run},
    tools::{find, is_root, missing},
};
use std::{
    ffi::OsStr,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);
const START_ATTEMPTS: usize = 3;

/// Whether the server waits for its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As in production: every commit is on disk before it is answered.
    On,
    /// Faster, for tests that do not lose power.
    Off,
}

/// A running server with the superuser `postgres`, who needs no password, on loopback and a Unix socket.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    directory: TempDir,
    programs: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes a new data directory below `parent` (the system's temporary directory if `None`) and starts a server
    /// on it. `None` when PostgreSQL is not installed; see [`crate::require_tool`].
    pub fn start(durability: Durability, parent: Option<&Path>) -> io::Result<Option<Self>> {
        let Some(programs) = programs() else {
            missing("PostgreSQL", "neither pg_config --bindir nor /usr/lib/postgresql names a folder with initdb");
            return Ok(None);
        };
        let directory = match parent {
            Some(parent) => tempfile::Builder::new().prefix("pg").tempdir_in(parent)?,
            None => tempfile::Builder::new().prefix("pg").tempdir()?,
        };
        if is_root() {
            // The server refuses to run as root.
            checked(run({
                let mut chown = Command::new("chown");
                chown.arg("postgres:").arg(directory.path());
                chown
            })?)?;
        }
        let data = directory.path().join("data");
        let mut initdb = as_server_user(programs.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        checked(run(initdb)?)?;
        let mut last = io::Error::other("no attempt was made");
        for _ in 0..START_ATTEMPTS {
            let port = free_port()?;
            match serve(&programs, directory.path(), port, durability) {
                Ok(process) => return Ok(Some(Self { process, directory, programs, port })),
                // Somebody else may have taken the port meanwhile.
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// A connection string for the database `postgres`.
    pub fn connection_string(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname=postgres", self.port)
    }

    /// Runs SQL through `psql` and returns what it printed, without headers.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(statements.as_bytes())?;
        }
        checked(child.wait_with_output()?)
    }

    /// One of PostgreSQL's client programs, told where this server is.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.programs.join(name));
        tool.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]).env("PGDATABASE", "postgres");
        tool
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Fast shutdown; the process kills what does not listen.
        if self.process.signal(rustix::process::Signal::INT).is_ok() {
            drop(self.process.wait_at_most(Duration::from_secs(10)));
        }
    }
}

fn serve(programs: &Path, directory: &Path, port: u16, durability: Durability) -> io::Result<Process> {
    let log = directory.join("log");
    let output = std::fs::File::create(&log)?;
    let mut server = as_server_user(programs.join("postgres"));
    server.arg("-D").arg(directory.join("data")).arg("-k").arg(directory).args(["-p", &port.to_string()]);
    let mut settings = vec!["listen_addresses=127.0.0.1", "shared_buffers=32MB", "max_connections=200"];
    match durability {
        Durability::On => settings.extend(["fsync=on", "synchronous_commit=on", "full_page_writes=on"]),
        Durability::Off => settings.extend(["fsync=off", "synchronous_commit=off", "full_page_writes=off"]),
    }
    for setting in settings {
        server.args(["-c", setting]);
    }
    server.stdout(output.try_clone()?).stderr(output);
    let mut process = Process::start("postgres", server)?;
    let ready = |process: &mut Process| {
        let mut probe = Command::new(programs.join("pg_isready"));
        probe.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        // Another server on the same port would answer too: ours must still be there.
        run(probe).is_ok_and(|output| output.status.success()) && process.is_running()
    };
    let answer = poll_until(START_LIMIT, || (ready(&mut process) || !process.is_running()).then(|| process.is_running()));
    if answer == Some(true) {
        return Ok(process);
    }
    let log = std::fs::read_to_string(&log).unwrap_or_default();
    let tail: Vec<&str> = log.lines().rev().take(20).collect();
    Err(io::Error::other(format!("postgres does not get ready: {}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"))))
}

/// The program as the user `postgres` when we are root, tied to our life.
fn as_server_user(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return command(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--pdeathsig", "KILL", "--"]).arg(program);
    command.stdin(Stdio::null()).current_dir("/");
    command
}

/// The folder of the server's programs, which is not in `PATH`.
fn programs() -> Option<PathBuf> {
    let said = find("pg_config").and_then(|program| {
        let mut command = Command::new(program);
        command.arg("--bindir");
        run(command).ok()
    });
    let said = said.and_then(|output| String::from_utf8(output.stdout).ok()).map(|path| PathBuf::from(path.trim()));
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    said.into_iter().chain(versions.map(|version| version.path().join("bin"))).find(|folder| folder.join("initdb").is_file())
}

fn checked(output: std::process::Output) -> io::Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr))))
}
