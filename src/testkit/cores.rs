//! Which core a process runs on, and what it has taken: for benchmarks and attacks, whose server must have a core for itself.

use crate::process::command;
use std::{ffi::OsStr, fs, process::Command, sync::OnceLock, time::Duration};

/// A command whose child runs on the server's core, which is the first of ours.
pub fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = command("taskset");
    command.args(["-c", &cores().0.to_string()]).arg(program);
    command
}

/// Keeps this process on the last of its cores. Called before it has other threads, which are then kept there, too.
///
/// # Panics
/// When util-linux is not installed.
pub fn keep_off_server_core() {
    let (first, last) = cores();
    if first == last {
        return eprintln!("there is one core only: server and load share it, and figures say little");
    }
    let moved = Command::new("taskset").args(["-cp", &last.to_string(), &std::process::id().to_string()]).output();
    assert!(moved.expect("util-linux").status.success(), "the core is ours");
}

/// Has this thread, and those that it starts, give way to all others of its core: load that must not take time from who is measured.
///
/// # Panics
/// When the system does not let us.
pub fn give_way() {
    let now = rustix::process::getpriority_process(None).expect("we run");
    rustix::process::setpriority_process(None, (now + 10).min(19)).expect("less is always granted");
}

/// The first and the last core that this machine lets us use; as they were when the process began.
fn cores() -> (usize, usize) {
    static CORES: OnceLock<(usize, usize)> = OnceLock::new();
    *CORES.get_or_init(|| {
        let status = fs::read_to_string("/proc/self/status").expect("we run");
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("there are some");
        let mut numbers = list.split([',', '-']).map(|number| number.trim().parse().expect("a number"));
        let first = numbers.next().expect("one at least");
        (first, numbers.next_back().unwrap_or(first))
    })
}

/// The processor time that a process has taken.
///
/// # Panics
/// When there is no such process.
pub fn processor_time(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    // Behind the name, which may hold anything, `utime` and `stime` are the 12th and 13th; ticks are hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_ascii_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// What a process has in memory, in bytes.
///
/// # Panics
/// When there is no such process.
pub fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has some");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
