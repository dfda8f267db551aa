//! Telling systemd how we are (sd_notify(3)): a datagram to the socket that it names in the environment.

use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Every socket is bound, and peers are served.
    Ready,
    /// Draining has begun.
    Stopping,
    /// We still make progress.
    Alive,
}

impl State {
    fn text(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Stopping => "STOPPING=1",
            Self::Alive => "WATCHDOG=1",
        }
    }
}

/// The socket of the service manager, if one started us.
#[derive(Debug)]
pub(super) struct Notifier {
    target: Option<SocketAddr>,
    /// How often it wants to hear from us, at the latest.
    watchdog: Option<Duration>,
}

impl Notifier {
    pub(super) fn from_environment() -> Self {
        let target = env::var("NOTIFY_SOCKET").ok().and_then(|name| address(&name).ok());
        let for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let micros = env::var("WATCHDOG_USEC").ok().filter(|_| for_us).and_then(|text| text.parse().ok());
        Self { target, watchdog: micros.filter(|micros| *micros > 0).map(Duration::from_micros) }
    }

    /// Tells it. A manager that does not listen is its own problem.
    pub(super) fn tell(&self, state: State) {
        if let Some(target) = &self.target {
            let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(state.text().as_bytes(), target));
            if let Err(error) = sent {
                tracing::warn!(%error, ?state, "the service manager could not be told");
            }
        }
    }

    /// How often to say that we are alive: twice within the manager's patience.
    pub(super) fn heartbeat(&self) -> Option<Duration> {
        self.target.as_ref().and(self.watchdog).map(|patience| patience / 2)
    }
}

/// A path, or with a leading `@` a name in the abstract space.
fn address(name: &str) -> io::Result<SocketAddr> {
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_what_we_say() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("bound");
        let notifier = Notifier { target: Some(address(path.to_str().expect("text")).expect("address")), watchdog: None };
        notifier.tell(State::Ready);
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).expect("told");
        assert_eq!(&buffer[..length], b"READY=1");
    }

    #[test]
    fn without_a_manager_nothing_is_told_and_nothing_beats() {
        let notifier = Notifier { target: None, watchdog: Some(Duration::from_secs(2)) };
        notifier.tell(State::Stopping);
        assert_eq!(notifier.heartbeat(), None);
    }
}
