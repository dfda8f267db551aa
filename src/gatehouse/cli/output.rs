//! Where commands write: answers to standard output, remarks and errors to standard error.

use super::Failure;
use serde::Serialize;
use std::{
    fmt::Display,
    io::{IsTerminal, Write},
};

/// Writes answers as text or as JSON, with colour on a terminal only.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

/// The few colours that are used; each is a word in the text as well, so that nothing is lost without them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tint {
    /// All is well.
    Good,
    /// Worth a look.
    Warning,
    /// Something has to be done.
    Bad,
    /// A heading or a name.
    Strong,
}

impl Output {
    pub(super) fn new(json: bool) -> Self {
        // https://no-color.org: any value but the empty one turns colour off.
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, colour: wanted && !json && std::io::stdout().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// Whether the caller wants JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes the command's answer: its text, or with `--json` its JSON form on one line.
    ///
    /// # Errors
    /// Standard output cannot be written, for another reason than that the reader has seen enough.
    pub fn answer<T: Serialize + Display>(&self, answer: &T) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(answer).map_err(|error| Failure::new(super::Exit::Failed, error.to_string()))?
        } else {
            answer.to_string()
        };
        self.raw(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
    }

    /// Writes bytes to standard output as they are: a certificate, a script, a page.
    ///
    /// # Errors
    /// As for [`Output::answer`].
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Failure::new(super::Exit::Failed, format!("standard output could not be written: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// A remark for a person; goes to standard error and is left out with `--json`.
    pub fn remark(&self, text: impl Display) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// A line that whoever started the command needs before there is an answer; goes to standard error, with `--json` as well.
    pub fn notice(&self, line: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// The text in this colour, or as it is where colour is not wanted.
    pub fn tint(&self, tint: Tint, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match tint {
            Tint::Good => "32",
            Tint::Warning => "33",
            Tint::Bad => "31",
            Tint::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    pub(super) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let text = if self.json {
            serde_json::json!({ "error": { "code": failure.code, "message": failure.message, "advice": failure.advice } }).to_string()
        } else {
            let advice = failure.advice.as_ref().map(|advice| format!("\n{advice}")).unwrap_or_default();
            format!("{} {}{advice}", self.tint(Tint::Bad, "error:"), failure.message)
        };
        // When standard error is gone there is nobody left to tell; the exit code remains.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}
