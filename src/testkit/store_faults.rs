//! Holds the store to its promise under power loss, killing, full and failing disks and flipped bits.

use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
}

/// What the suite starts this program as.
#[derive(Subcommand)]
enum Role {
    /// Writes files in every way the disk recorder has to understand.
    #[command(hide = true)]
    Scribble {
        #[arg(long)]
        directory: PathBuf,
        #[arg(long)]
        seed: u64,
        #[arg(long)]
        threads: u64,
        #[arg(long)]
        steps: u64,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().role {
        Some(Role::Scribble { directory, seed, threads, steps }) => {
            gatehouse_testkit::faults::scribble::scribble(&directory, seed, threads, steps)
        }
        None => Ok(()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store-faults: {error}");
            ExitCode::FAILURE
        }
    }
}
