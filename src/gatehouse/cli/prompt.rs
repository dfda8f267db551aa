//! Secrets that a person types.

use super::{Exit, Failure};
use gatehouse_types::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// Asks at the terminal without showing what is typed. `None` when there is no terminal to ask at.
pub(super) fn ask_hidden(question: &str) -> Option<Secret> {
    let input = io::stdin();
    if !input.is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let shown = tcgetattr(&input).ok()?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    let _ = write!(io::stderr(), "{question}: ");
    tcsetattr(&input, OptionalActions::Flush, &hidden).ok()?;
    let line = line(&mut input.lock());
    let restored = tcsetattr(&input, OptionalActions::Flush, &shown);
    let _ = writeln!(io::stderr());
    restored.ok().and(line.ok())
}

/// Asks at the terminal. `None` when there is no terminal to ask at.
pub(super) fn ask(question: &str) -> Option<String> {
    let input = io::stdin();
    if !input.is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let _ = write!(io::stderr(), "{question}: ");
    let line = line(&mut input.lock()).ok()?;
    Some(String::from_utf8_lossy(line.expose()).into_owned())
}

/// Reads a secret from a pipe: its first line.
///
/// # Errors
/// Standard input cannot be read.
pub(super) fn read_piped() -> Result<Secret, Failure> {
    line(&mut io::stdin().lock()).map_err(|error| Failure::new(Exit::Unavailable, format!("standard input cannot be read: {error}")))
}

fn line(input: &mut impl BufRead) -> io::Result<Secret> {
    // A growing text would leave copies of its beginning behind.
    let mut line = String::with_capacity(4096);
    input.take(4096).read_line(&mut line)?;
    let typed = Secret::from(line);
    Ok(Secret::new(typed.expose().strip_suffix(b"\n").unwrap_or(typed.expose()).to_vec()))
}
