//! Child processes that cannot outlive a test, and waiting for them without sleeping.

use std::{
    ffi::OsStr,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{OnceLock, mpsc},
    time::{Duration, Instant},
};

/// A running child. Dropping it kills it by its own id; the kernel kills it when the test process dies.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `program`. The returned command builder of [`command`] ties the child's life to this process.
    pub fn start(name: &str, command: Command) -> io::Result<Self> {
        Ok(Self { child: spawn(command)?, name: name.to_owned() })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) -> io::Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(rustix::process::kill_process(id, signal)?)
    }

    /// Waits until the child ends.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Waits until the child ends, at most so long; `None` when it still runs.
    pub fn wait_at_most(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            pause();
        }
    }

    /// Whether the child has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() && self.child.kill().is_err() {
            eprintln!("{} ({}) could not be killed", self.name, self.id());
        }
        // A child that is not waited for stays a zombie until the test process ends.
        drop(self.child.wait());
    }
}

/// A command whose child gets SIGKILL when this process dies, however it dies. `setpriv` (util-linux) arranges
/// that between fork and exec, which safe code cannot, and then becomes the program: the child's id is its own.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

/// Runs a command to its end and returns what it wrote.
pub fn run(mut command: Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

/// Calls `ready` every few milliseconds until it answers. `None` when the deadline passes first.
pub fn poll_until<T>(limit: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ready() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        pause();
    }
}

/// A TCP port of the loopback address that nothing listened on a moment ago. Another process may take it first,
/// so whoever starts a service on it tries again with another one.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Whether something accepts connections there.
pub fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// The interval of polling, for what cannot be waited for: another process that gets ready.
fn pause() {
    std::thread::park_timeout(Duration::from_millis(10));
}

/// Starts the child from a thread that lives as long as the process. The kernel sends the signal of
/// `--pdeathsig` when the *thread* that started a child ends, and tests run on threads of their own.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (orders, queue) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in queue {
                drop(answer.send(command.spawn()));
            }
        });
        orders
    });
    let (answer, child) = mpsc::channel();
    let gone = |_| io::Error::other("the thread that starts children has ended");
    starter.send((command, answer)).map_err(|error| gone(error.to_string()))?;
    child.recv().map_err(|error| gone(error.to_string()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_process_is_gone() {
        let mut command = command("sleep");
        command.arg("1000");
        let process = Process::start("sleep", command).expect("sleep starts");
        let id = process.id();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let start = || {
            let mut command = command("sleep");
            command.arg("1000");
            Process::start("sleep", command).expect("sleep starts")
        };
        let mut process = std::thread::spawn(start).join().expect("thread");
        assert_eq!(process.wait_at_most(Duration::from_millis(100)).expect("wait"), None);
        process.signal(rustix::process::Signal::TERM).expect("signal");
        assert!(process.wait_at_most(Duration::from_secs(10)).expect("wait").is_some());
    }
}
