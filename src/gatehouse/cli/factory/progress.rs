//! How far a batch is: a bar with rate and time left on a terminal, plain lines elsewhere, nothing with `--json`.

use crate::cli::Context;
use gatehouse_factory::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};

/// A log gets a line for each of so many parts of the batch.
const LINES: u64 = 10;

pub(super) enum Meter<'a> {
    Bar(ProgressBar),
    Lines { context: &'a Context, told: u64 },
}

impl<'a> Meter<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        if context.output.is_json() || !io::stderr().is_terminal() {
            return Self::Lines { context, told: 0 };
        }
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} devices  {per_sec}  {eta} left").expect("the template is sound");
        Self::Bar(ProgressBar::no_length().with_style(style))
    }

    pub(super) fn tell(&mut self, progress: Progress) {
        let Progress { done, total, before } = progress;
        match self {
            Self::Bar(bar) => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    // The rate is this run's.
                    bar.set_position(before);
                    bar.reset_eta();
                }
                bar.set_position(done);
            }
            Self::Lines { context, told } => {
                let reached = (done * LINES).checked_div(total).unwrap_or(LINES);
                if reached > *told {
                    *told = reached;
                    context.output.remark(format_args!("{done} of {total} devices"));
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
