//! `gatehouse man`: the manual, made from the same texts as the help.

use super::{Context, Exit, Failure};
use clap::Args;
use std::path::PathBuf;

/// Print the manual page, or write one page a command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse man | man -l -
  gatehouse man --dir target/man")]
pub(super) struct Man {
    /// Write every command's page into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("the manual could not be written: {error}"));
        if let Some(dir) = self.dir {
            std::fs::create_dir_all(&dir).map_err(failed)?;
            return clap_mangen::generate_to(super::tree(), &dir).map_err(failed);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(super::tree()).render(&mut page).map_err(failed)?;
        context.output.raw(&page)
    }
}
