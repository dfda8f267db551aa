//! Another key or passphrase for the factory's private keys.

use super::{Opener, Place, ask_passphrase, unopened};
use crate::cli::{Context, Exit, Failure};
use clap::Args;
use gatehouse_base::SystemRandom;
use gatehouse_ca::{
    StretchCost,
    unlock::{Key, KeySource, Unlock},
};
use gatehouse_factory::Resealed;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Seal the factory's private keys anew, for another key file or passphrase
///
/// --key-file or --passphrase-file name the old one, as for every command. Keys that were taken away, like the device
/// root's, still open with the old one: bring them back and run this again. A command that was cut short is run again, too.
/// Copies of the folder from before open with the old key for ever.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory reseal --key-file ./factory.key --new-key-file ./factory-2.key
  gatehouse factory reseal --passphrase-file ./old --new-passphrase-file ./new")]
pub(super) struct Reseal {
    /// The file with the new key; it is made when it does not exist
    #[arg(long, value_name = "FILE", group = "new")]
    new_key_file: Option<PathBuf>,

    /// The file with the new passphrase; without both it is asked for at the terminal
    #[arg(long, value_name = "FILE", group = "new")]
    new_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    report: Resealed,
    new_key: Option<PathBuf>,
}

impl Reseal {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut factory = self.place.open()?;
        let old = self.opener.unlock()?;
        let new_key = self.new_key_file.clone().filter(|path| !path.exists());
        if let Some(path) = &new_key {
            let written = Key::generate(&SystemRandom).write_new(path);
            written.map_err(|error| Failure::new(Exit::Unavailable, format!("{} cannot be written: {error}", path.display())))?;
        }
        let report = factory.reseal(&old, &self.next_unlock()?, StretchCost::DEFAULT)?;
        context.output.answer(&Done { report, new_key })
    }

    fn next_unlock(&self) -> Result<Unlock, Failure> {
        let source = match (&self.new_key_file, &self.new_passphrase_file) {
            (Some(path), _) => KeySource::File(path.clone()),
            (None, Some(path)) => KeySource::PassphraseFile(path.clone()),
            (None, None) => {
                let typed = ask_passphrase("The factory's new passphrase")?;
                if ask_passphrase("Once more")?.expose() != typed.expose() {
                    return Err(Failure::new(Exit::Usage, "the two passphrases differ, and nothing was changed"));
                }
                KeySource::Passphrase(typed)
            }
        };
        source.load().map_err(|error| unopened(&error))
    }
}

impl fmt::Display for Done {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resealed { resealed, before, away } = &self.report;
        write!(out, "{} keys sealed anew", resealed.len())?;
        if !before.is_empty() {
            write!(out, ", {} were before", before.len())?;
        }
        for path in away {
            write!(out, "\n{} is not here, and the old key still opens it: bring it back and run this again", path.display())?;
        }
        if let Some(path) = &self.new_key {
            write!(out, "\nKeep a copy of {} apart from the folder: without it the factory's private keys are lost.", path.display())?;
        }
        Ok(())
    }
}
