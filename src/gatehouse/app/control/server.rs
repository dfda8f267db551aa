//! The server's end of the control socket.

use super::protocol::{Envelope, MAX_REQUEST, Refusal, Reply, Request};
use gatehouse_base::{Fault, Kind};
use gatehouse_net::Shutdown;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, info, warn};

/// Requests that are worked on at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 16;

/// How long the other end may take to write its line.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

type Handler = Box<dyn Fn(Value) -> Pin<Box<dyn Future<Output = Result<Value, Refusal>> + Send>> + Send + Sync>;

/// What the server can be asked, each with what answers it.
#[derive(Default)]
pub struct Handlers(BTreeMap<&'static str, Handler>);

impl Handlers {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers this request.
    ///
    /// # Panics
    /// Two parts answer a request of the same name.
    #[must_use]
    pub fn on<R, F>(mut self, handler: impl Fn(R) -> F + Send + Sync + 'static) -> Self
    where
        R: Request,
        F: Future<Output = Result<R::Answer, Refusal>> + Send + 'static,
    {
        let wrapped = move |arguments| -> Pin<Box<dyn Future<Output = Result<Value, Refusal>> + Send>> {
            match serde_json::from_value(arguments) {
                Ok(request) => {
                    let answer = handler(request);
                    Box::pin(async move { serde_json::to_value(answer.await?).map_err(|error| unwritable(&error)) })
                }
                Err(error) => Box::pin(std::future::ready(Err(Refusal::new(Kind::Invalid, "arguments", error.to_string())))),
            }
        };
        let previous = self.0.insert(R::NAME, Box::new(wrapped));
        assert!(previous.is_none(), "two handlers for `{}`", R::NAME);
        self
    }

    async fn answer(&self, line: &[u8]) -> Reply<Value> {
        let envelope: Envelope<Value> = match serde_json::from_slice(line) {
            Ok(envelope) => envelope,
            Err(error) => return Reply::Refusal(Refusal::new(Kind::Invalid, "request", error.to_string())),
        };
        info!(request = envelope.request, "control request");
        let Some(handler) = self.0.get(envelope.request.as_str()) else {
            let message = format!("this server does not know the request `{}`; is it an older version?", envelope.request);
            return Reply::Refusal(Refusal::new(Kind::NotFound, "unknown-request", message));
        };
        match handler(envelope.arguments).await {
            Ok(answer) => Reply::Answer(answer),
            Err(refusal) => Reply::Refusal(refusal),
        }
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Somebody answers on it.
    #[error("another server runs already: it answers on {}", path.display())]
    Running {
        /// The socket.
        path: PathBuf,
    },
    /// It could not be made.
    #[error("the control socket {} cannot be made", path.display())]
    Bind {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Fault for ControlError {
    fn kind(&self) -> Kind {
        match self {
            Self::Running { .. } => Kind::Conflict,
            Self::Bind { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Running { .. } => "already-running",
            Self::Bind { .. } => "control-socket",
        }
    }
}

/// The bound socket. Its file goes when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket. One that a killed server left behind is replaced; one that answers is not.
    ///
    /// # Errors
    /// Another server runs, or the file cannot be made.
    pub fn bind(path: &Path) -> Result<Self, ControlError> {
        let failed = |source| ControlError::Bind { path: path.to_owned(), source };
        match StdStream::connect(path) {
            Ok(_) => return Err(ControlError::Running { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed)?,
            // No file, or one that is not ours to judge: binding says what is wrong.
            Err(_) => {}
        }
        let listener = StdListener::bind(path).map_err(failed)?;
        // Between these lines the folder's mode protects the socket, and after them its own.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener: UnixListener::from_std(listener).map_err(failed)?, path: path.to_owned() })
    }

    /// Answers until everything has to end. It goes on while the server drains, so that somebody can hurry it.
    pub(crate) async fn serve(self, handlers: Arc<Handlers>, shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                () = shutdown.stopped() => break,
            };
            let stream = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        warn!(%error, "the control socket cannot accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = shutdown.stopped() => break,
            };
            while connections.try_join_next().is_some() {}
            let handlers = Arc::clone(&handlers);
            connections.spawn(async move {
                if let Err(error) = converse(stream, &handlers).await {
                    debug!(%error, "a control connection was lost");
                }
                drop(place);
            });
        }
        // Who asked for the end still gets the answer to that.
        let _ = timeout(Duration::from_secs(1), async { while connections.join_next().await.is_some() {} }).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A file that is gone already is what we want.
        let _ = fs::remove_file(&self.path);
    }
}

async fn converse(mut stream: UnixStream, handlers: &Handlers) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let reply = if may_ask(caller, rustix::process::geteuid().as_raw()) {
        let (reader, _) = stream.split();
        let mut line = Vec::new();
        let mut reader = BufReader::new(reader.take(MAX_REQUEST));
        let read = timeout(REQUEST_TIMEOUT, reader.read_until(b'\n', &mut line)).await;
        match read {
            Ok(read) => {
                read?;
                if line.last() == Some(&b'\n') {
                    handlers.answer(&line).await
                } else {
                    Reply::Refusal(Refusal::new(Kind::Invalid, "request", format!("a request is one line of at most {MAX_REQUEST} bytes")))
                }
            }
            Err(_) => Reply::Refusal(Refusal::new(Kind::Invalid, "timeout", "the request took too long")),
        }
    } else {
        warn!(uid = caller, "another user tried the control socket");
        Reply::Refusal(Refusal::new(Kind::Forbidden, "other-user", "only the server's own user and root may ask"))
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    stream.shutdown().await
}

/// Whether the process at the other end is the server's own user or root. The kernel vouches for the number.
fn may_ask(caller: u32, own: u32) -> bool {
    caller == own || caller == 0
}

fn unwritable(error: &serde_json::Error) -> Refusal {
    Refusal::new(Kind::Internal, "answer", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::control::ask;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Double(u64);

    impl Request for Double {
        const NAME: &'static str = "double";
        type Answer = u64;
    }

    #[derive(Serialize, Deserialize)]
    struct Unheard;

    impl Request for Unheard {
        const NAME: &'static str = "unheard";
        type Answer = ();
    }

    #[test]
    fn the_own_user_and_root_may_ask_and_nobody_else() {
        assert!(may_ask(1000, 1000));
        assert!(may_ask(0, 1000));
        assert!(!may_ask(1001, 1000));
        assert!(!may_ask(1000, 0));
    }

    #[tokio::test]
    async fn a_request_is_answered_and_a_refusal_keeps_its_kind() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.sock");
        let socket = ControlSocket::bind(&path).expect("bound");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert!(matches!(ControlSocket::bind(&path), Err(ControlError::Running { .. })));
        let shutdown = Shutdown::new();
        let handlers = Handlers::new().on(|Double(number)| async move {
            number.checked_mul(2).ok_or_else(|| Refusal::new(Kind::Invalid, "too-large", "the number is too large"))
        });
        let served = tokio::spawn(socket.serve(Arc::new(handlers), shutdown.clone()));

        let from = path.clone();
        let asked = move || (ask(&from, &Double(21)), ask(&from, &Double(u64::MAX)), ask(&from, &Unheard));
        let (answer, refusal, unknown) = tokio::task::spawn_blocking(asked).await.expect("asked");
        assert_eq!(answer.expect("reachable").expect("answered"), 42);
        let refusal = refusal.expect("reachable").expect_err("too large");
        assert_eq!((refusal.kind(), refusal.code()), (Kind::Invalid, "too-large"));
        assert_eq!(unknown.expect("reachable").expect_err("unknown").kind(), Kind::NotFound);

        shutdown.stop();
        served.await.expect("ended");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_refused_at_its_limit() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.sock");
        let socket = ControlSocket::bind(&path).expect("bound");
        let shutdown = Shutdown::new();
        let served = tokio::spawn(socket.serve(Arc::new(Handlers::new()), shutdown.clone()));
        let mut stream = UnixStream::connect(&path).await.expect("connected");
        // The server may close before everything is written; only its answer counts.
        let _ = stream.write_all(&vec![b'x'; usize::try_from(MAX_REQUEST).expect("small")]).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.contains("at most 65536 bytes"), "{answer}");
        shutdown.stop();
        served.await.expect("ended");
    }

    #[tokio::test]
    async fn a_socket_that_a_killed_server_left_behind_is_replaced() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("control.sock");
        drop(StdListener::bind(&path).expect("bound"));
        assert!(path.exists());
        assert!(ControlSocket::bind(&path).is_ok());
    }
}
