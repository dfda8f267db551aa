//! Programs of other people that tests need: found, or skipped with a printed reason.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The program, looked for in `PATH` and where Debian keeps daemons. When it is missing the reason is printed and
/// the answer is `None`, so that a test can return early on a developer's machine; in continuous integration
/// (environment variable `CI`) a missing program fails the test.
///
/// # Panics
/// When the program is missing and `CI` is set.
pub fn require_tool(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        missing(name, "it is not installed");
    }
    found
}

/// The Python that has the CoAP clients of other makers. `packaging/need test` installs them in the work tree.
///
/// # Panics
/// When it is missing and `CI` is set.
pub fn require_python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/referees/bin/python");
    if is_program(&python) {
        return Some(python);
    }
    missing("target/tools/referees", "`packaging/need test` has not been run");
    None
}

/// Says why a test does not run; fails it where nothing may be left out.
///
/// # Panics
/// When `CI` is set.
pub fn missing(what: &str, why: &str) {
    assert!(env::var_os("CI").is_none(), "{what} is needed here: {why}");
    eprintln!("skipped: {what} is needed: {why}");
}

/// Whether the tests run as root, which some programs refuse and others demand.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let also = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(also).map(|directory| directory.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}
