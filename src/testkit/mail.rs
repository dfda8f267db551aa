//! A mail server of one's own: aiosmtpd, on a port that is free.
//!
//! Some recipients are treated as mail servers sometimes treat them: `unknown@` is refused for good, `greylisted@` the first time,
//! `slow@` gets no answer, and the first letter to `held@` is accepted without a word. After a letter to `enough@` the next one on the same
//! connection is put off with 421, after one to `hangs-up@` the connection is gone. The sender `stranger@` is refused.

use crate::process::{Process, command, poll_until};
use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;

/// The Python that Debian's packages belong to.
const PYTHON: &str = "/usr/bin/python3";
const PROGRAM: &str = include_str!("mail_server.py");

/// A certificate for TLS: the files of a chain and its key.
#[derive(Clone, Copy, Debug)]
pub struct TlsFiles<'a> {
    /// The chain, in PEM.
    pub certificate: &'a Path,
    /// The key, in PEM.
    pub key: &'a Path,
}

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailOptions<'a> {
    /// The port; 0 for a free one.
    pub port: u16,
    /// TLS after STARTTLS, which is demanded.
    pub starttls: Option<TlsFiles<'a>>,
    /// TLS from the first byte.
    pub tls: Option<TlsFiles<'a>>,
    /// Who may hand letters in, with which password.
    pub user: Option<(&'a str, &'a str)>,
}

/// A letter that the server accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The sender in the envelope.
    pub from: String,
    /// The recipients in the envelope.
    pub to: Vec<String>,
    /// Head and body as they came.
    pub data: String,
    /// Whether it came through TLS.
    pub encrypted: bool,
    /// Whether its sender had shown a password.
    pub authenticated: bool,
    /// The number of the connection that it came over.
    pub connection: u64,
}

impl Accepted {
    /// The value of a header in one line.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.data.lines().take_while(|line| !line.is_empty()).find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A running mail server.
#[derive(Debug)]
pub struct MailServer {
    address: SocketAddr,
    folder: TempDir,
    _process: Process,
}

impl MailServer {
    /// Starts a server. `None` when aiosmtpd is not installed; see [`missing`](crate::missing).
    ///
    /// # Errors
    /// It does not start, for example because its port is taken.
    pub fn start(options: &MailOptions<'_>) -> io::Result<Option<Self>> {
        let mut look = command(PYTHON);
        look.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        if !Path::new(PYTHON).exists() || !crate::process::run(look)?.status.success() {
            crate::missing("python3-aiosmtpd", "it is not installed");
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("mail").tempdir()?;
        let (security, files) = match (options.tls, options.starttls) {
            (Some(files), _) => ("tls", Some(files)),
            (None, Some(files)) => ("starttls", Some(files)),
            (None, None) => ("plain", None),
        };
        let settings = serde_json::json!({
            "port": options.port,
            "security": security,
            "certificate": files.map(|files| files.certificate),
            "key": files.map(|files| files.key),
            "user": options.user.map(|(user, _)| user),
            "password": options.user.map(|(_, password)| password),
        });
        let mut python = command(PYTHON);
        python.args(["-c", PROGRAM]).arg(folder.path()).arg(settings.to_string());
        python.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start("mail server", python)?;
        let mut line = String::new();
        if let Some(output) = process.child().stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let port: u16 = line.trim().parse().map_err(|_| io::Error::other("the mail server does not start"))?;
        Ok(Some(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), folder, _process: process }))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has accepted, in order.
    ///
    /// # Panics
    /// Its folder cannot be read.
    pub fn letters(&self) -> Vec<Accepted> {
        let mut files: Vec<_> =
            fs::read_dir(self.folder.path()).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        files.iter().map(|path| accepted(&fs::read(path).expect("a letter"))).collect()
    }

    /// Waits until it has accepted so many letters.
    ///
    /// # Panics
    /// They do not come.
    pub fn wait_for(&self, letters: usize, limit: Duration) -> Vec<Accepted> {
        let found = poll_until(limit, || Some(self.letters()).filter(|found| found.len() >= letters));
        found.unwrap_or_else(|| panic!("{letters} letters were awaited, and there are {:?}", self.letters()))
    }
}

fn accepted(json: &[u8]) -> Accepted {
    let letter: serde_json::Value = serde_json::from_slice(json).expect("JSON");
    Accepted {
        from: letter["from"].as_str().unwrap_or_default().to_owned(),
        to: letter["to"].as_array().into_iter().flatten().filter_map(|to| to.as_str().map(str::to_owned)).collect(),
        data: letter["data"].as_str().unwrap_or_default().to_owned(),
        encrypted: letter["encrypted"] == true,
        authenticated: letter["authenticated"] == true,
        connection: letter["connection"].as_u64().unwrap_or_default(),
    }
}
