//! The program `gatehouse`.

use clap::Parser;

/// Device identity, provisioning and cloud in one process.
#[derive(Parser)]
#[command(version)]
struct Arguments {}

fn main() {
    Arguments::parse();
}
