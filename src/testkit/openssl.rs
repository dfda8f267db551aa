//! The `openssl` command line, the referee of everything about certificates.

use crate::require_tool;
use std::{
    io::{self, Write},
    process::{Command, Output, Stdio},
};

/// Runs `openssl` with these arguments and this input. `None` when it is not installed; see [`require_tool`].
/// The exit status is part of the answer: many tests want a refusal.
pub fn openssl(arguments: &[&str], input: &[u8]) -> io::Result<Option<Output>> {
    let Some(program) = require_tool("openssl") else { return Ok(None) };
    let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pipe = child.stdin.take();
    // Written from a thread of its own: with a large input both sides could wait for each other otherwise.
    std::thread::scope(|scope| {
        if let Some(mut pipe) = pipe {
            // A command that needs no input closes its end early, which is no error.
            scope.spawn(move || drop(pipe.write_all(input)));
        }
        child.wait_with_output().map(Some)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_and_the_refusal_of_openssl_arrive() {
        let Some(output) = openssl(&["dgst", "-sha256", "-hex"], b"").expect("openssl runs") else { return };
        assert!(String::from_utf8_lossy(&output.stdout).contains("e3b0c44298fc1c149afbf4c8996fb924"));
        let refused = openssl(&["x509", "-noout"], b"not a certificate").expect("openssl runs").expect("installed");
        assert!(!refused.status.success());
    }
}
