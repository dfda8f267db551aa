//! `gatehouse completions`: scripts that let a shell complete our commands.

use super::{Context, Failure};
use clap::Args;
use clap_complete::Shell;

/// Print the completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse completions bash > ~/.local/share/bash-completion/completions/gatehouse
  gatehouse completions zsh > ~/.zfunc/_gatehouse
  gatehouse completions fish > ~/.config/fish/completions/gatehouse.fish")]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::tree(), "gatehouse", &mut script);
        context.output.raw(&script)
    }
}
