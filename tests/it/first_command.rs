//! The first command that the README tells a newcomer to type.

use gatehouse_testkit::{
    process::{Process, command},
    server::PATIENCE,
};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::Stdio,
};

#[test]
fn the_first_command_makes_an_installation_and_serves_it() {
    let folder = tempfile::Builder::new().prefix("gatehouse-").tempdir().expect("folder");
    let mut make = command("make");
    make.arg("serve").current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).process_group(0).stdout(Stdio::piped());
    for (variable, name) in
        [("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"), ("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")]
    {
        make.env(variable, folder.path().join(name));
    }
    std::fs::create_dir(folder.path().join("run")).expect("created");
    // What the newcomer's machine has free, this one may have taken.
    for listener in ["API", "METRICS", "PUBLIC"] {
        make.env(format!("GATEHOUSE__LISTENER__{listener}__ADDRESS"), "127.0.0.1:0");
    }
    let mut process = Process::start("make serve", make).expect("make starts");
    let group = Group::of(&process);
    let output = BufReader::new(process.child().stdout.take().expect("piped"));
    let address = output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("public: http://").map(str::to_owned));
    let address = address.expect("the server names the address of the public listener");
    let Some(ready) = super::support::curl(&["--include", &format!("http://{address}/ready")]) else { return };
    assert!(super::support::text(&ready).starts_with("HTTP/1.1 200"), "{ready:?}");

    group.signal(Signal::TERM);
    assert!(process.wait_at_most(PATIENCE).expect("waited for").is_some(), "the server goes on after SIGTERM");
}

/// What `make` started: none of it outlives the test.
struct Group(Pid);

impl Group {
    fn of(process: &Process) -> Self {
        Self(i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process"))
    }

    fn signal(&self, signal: Signal) {
        // The group is gone when everything went well.
        let _ = kill_process_group(self.0, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
