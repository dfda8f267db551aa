//! `gatehouse check`: every mistake in the configuration at once, and what it leads to.

use super::{Context, Exit, Failure, Output, Tint};
use crate::app::Config;
use clap::Args;
use gatehouse_base::config::{Mistakes, Remark, Setting};
use serde::Serialize;
use std::fmt;

/// Check the configuration and report every mistake at once
///
/// Mistakes come with file, line, column and key; what is allowed but worth a thought, like listening on an address
/// that other machines reach, is remarked on. Nothing is opened, bound or changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse check
  gatehouse check --effective
  gatehouse --config /etc/gatehouse/gatehouse.toml --json check")]
pub(super) struct Check {
    /// Also list every setting that is in force, and where it comes from
    #[arg(long)]
    effective: bool,
}

#[derive(Serialize)]
struct Answer {
    file: String,
    mistakes: Option<Mistakes>,
    remarks: Vec<Remark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Vec<Setting>>,
    #[serde(skip)]
    output: Output,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = context.config_path();
        let file = path.display().to_string();
        let output = context.output;
        match Config::load(&path) {
            Ok(loaded) => {
                let settings = self.effective.then_some(loaded.settings);
                output.answer(&Answer { file, mistakes: None, remarks: loaded.remarks, settings, output })
            }
            Err(mistakes) => {
                let count = mistakes.iter().count();
                output.answer(&Answer { file, mistakes: Some(mistakes), remarks: Vec::new(), settings: None, output })?;
                let number = if count == 1 { "one mistake".to_owned() } else { format!("{count} mistakes") };
                Err(Failure::new(Exit::Config, format!("the configuration has {number}")).advise("a server does not start with it"))
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in self.mistakes.iter().flat_map(Mistakes::iter) {
            writeln!(out, "{} {mistake}", self.output.tint(Tint::Bad, "mistake:"))?;
        }
        for Remark { origin, key, text } in &self.remarks {
            writeln!(out, "{} {origin}: `{key}` {text}", self.output.tint(Tint::Warning, "remark:"))?;
        }
        for Setting { key, value, origin } in self.settings.iter().flatten() {
            writeln!(out, "{key} = {value}  # {origin}")?;
        }
        if self.mistakes.is_none() {
            writeln!(out, "{} {} can be used", self.output.tint(Tint::Good, "good:"), self.file)?;
        }
        Ok(())
    }
}
