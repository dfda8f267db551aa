//! The command line's end of the control socket.

use super::protocol::{Envelope, MAX_ANSWER, Refusal, Reply, Request};
use gatehouse_base::{Fault, Kind};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a command waits for an answer. Backups and the like answer when they have begun.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why there is no answer, neither good nor bad.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// No server runs.
    #[error("no server runs: nobody answers on {}", path.display())]
    NoServer {
        /// The socket.
        path: PathBuf,
    },
    /// A server runs, and this user may not talk to it.
    #[error("the control socket {} belongs to another user; run this as that user or as root", path.display())]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// It went away, or speaks another version of the protocol.
    #[error("the server on {} did not answer", path.display())]
    Lost {
        /// The socket.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

impl Fault for Unreachable {
    fn kind(&self) -> Kind {
        match self {
            Self::NoServer { .. } | Self::Lost { .. } => Kind::Unavailable,
            Self::NotPermitted { .. } => Kind::Forbidden,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoServer { .. } => "no-server",
            Self::NotPermitted { .. } => "control-socket",
            Self::Lost { .. } => "server-lost",
        }
    }
}

/// Asks the server behind this socket.
///
/// # Errors
/// There is no server, or it was lost. What it refuses is the inner error.
pub fn ask<R: Request>(path: &Path, request: &R) -> Result<Result<R::Answer, Refusal>, Unreachable> {
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Unreachable::NotPermitted { path: path.to_owned() },
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Unreachable::NoServer { path: path.to_owned() },
        _ => Unreachable::Lost { path: path.to_owned(), source: error },
    })?;
    match converse(&stream, request) {
        Ok(Reply::Answer(answer)) => Ok(Ok(answer)),
        Ok(Reply::Refusal(refusal)) => Ok(Err(refusal)),
        Err(source) => Err(Unreachable::Lost { path: path.to_owned(), source }),
    }
}

fn converse<R: Request>(mut stream: &UnixStream, request: &R) -> io::Result<Reply<R::Answer>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(&Envelope { request: R::NAME.to_owned(), arguments: request })?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}
