//! Who runs on which core, and what a process has taken.

use gatehouse_testkit::process::command;
use std::{ffi::OsStr, fs, process::Command, time::Duration};

/// The server's core, and that of everything else.
const SERVER: &str = "0";
const LOAD: &str = "1";

/// A command whose child runs on the server's core.
pub(crate) fn on_server_core(program: impl AsRef<OsStr>) -> Command {
    let mut command = command("taskset");
    command.args(["-c", SERVER]).arg(program);
    command
}

/// Keeps this process on the other core. Called before it has other threads, which are then kept there, too.
pub(crate) fn keep_off_server_core() {
    let moved = Command::new("taskset").args(["-cp", LOAD, &std::process::id().to_string()]).output();
    let moved = moved.is_ok_and(|output| output.status.success());
    if !moved {
        eprintln!("this machine has one core only: server and load share it, and the figures say little");
    }
}

/// The processor time that a process has taken.
pub(crate) fn processor_time(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
    // Behind the name, which may hold anything, `utime` and `stime` are the 12th and 13th; ticks are hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_ascii_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// What a process has in memory, in bytes.
pub(crate) fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has some");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
