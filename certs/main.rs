//! Regenerates the chains of `certs/`.

use gatehouse_certs::{Error, folder};
use std::{error::Error as _, process::ExitCode};

#[expect(clippy::print_stdout, reason = "this is a command for people")]
fn main() -> ExitCode {
    match folder::regenerate(&folder::home()) {
        Ok(count) => {
            println!("{count} chains and the list of mutations are in {}", folder::home().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

fn explain(error: &Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
