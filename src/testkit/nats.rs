//! A NATS server with JetStream of one's own.

use crate::{
    process::{Process, accepts, command, free_port, poll_until},
    require_tool,
};
use std::{io, net::SocketAddr, time::Duration};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(10);
const START_ATTEMPTS: usize = 3;

/// A running server on loopback; its streams go with it.
#[derive(Debug)]
pub struct Nats {
    address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl Nats {
    /// Starts a server. `None` when `nats-server` is not installed; see [`require_tool`].
    pub fn start() -> io::Result<Option<Self>> {
        let Some(program) = require_tool("nats-server") else { return Ok(None) };
        for _ in 0..START_ATTEMPTS {
            let directory = tempfile::Builder::new().prefix("nats").tempdir()?;
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
            let mut server = command(&program);
            server.args(["-a", "127.0.0.1", "-p", &address.port().to_string(), "-js", "-sd"]).arg(directory.path());
            server.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut process = Process::start("nats-server", server)?;
            let answer = poll_until(START_LIMIT, || (accepts(address) || !process.is_running()).then(|| process.is_running()));
            if answer == Some(true) {
                return Ok(Some(Self { address, _process: process, _directory: directory }));
            }
        }
        Err(io::Error::other("nats-server does not get ready"))
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
