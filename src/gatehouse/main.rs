//! The program `gatehouse`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatehouse::cli::main()
}
