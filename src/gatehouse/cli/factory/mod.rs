//! `gatehouse factory`: the manufacturer's line. Works offline, with nothing but the factory's folder.
//!
//! Each file holds the commands of one kind of work; all of them get the folder and what opens its keys from
//! [`Place`] and [`Opener`].

mod documents;
mod init;
mod line;
mod orders;
mod progress;
mod reseal;
mod station;
mod verify;

use super::{Context, Exit, Failure, prompt};
use clap::{Args, Subcommand};
use gatehouse_base::{SystemClock, SystemRandom};
use gatehouse_ca::unlock::{KeySource, Unlock, UnlockError};
use gatehouse_factory::{Books, Factory as Line, Surroundings};
use gatehouse_types::Secret;
use std::{io, path::PathBuf, sync::Arc};

/// The manufacturer's line: keys, certificates, bundles, manifests
///
/// A factory is a folder. `init` makes one; `batch` makes devices; `ship` signs the manifest that a customer imports.
/// No server and no network are needed. The guide is docs/factory.md.
#[derive(Debug, Args)]
pub(super) struct Factory {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    AddLine(init::AddLine),
    Sign(line::Sign),
    Batch(line::Batch),
    Verify(verify::Verify),
    Order(orders::Order),
    Ship(orders::Ship),
    Scrap(orders::Scrap),
    Status(orders::Status),
    Manifest(documents::Manifest),
    ExportChain(documents::ExportChain),
    Revoke(documents::Revoke),
    Crl(documents::Crl),
    Reseal(reseal::Reseal),
    SignServer(documents::SignServer),
    Allot(station::Allot),
    Merge(station::Merge),
    Station(station::Station),
}

impl Factory {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        // Keys are in memory from here on; a core dump would hold them.
        if let Err(error) = gatehouse_ca::process::harden() {
            context.output.remark(error);
        }
        match self.command {
            Command::Init(command) => command.run(context),
            Command::AddLine(command) => command.run(context),
            Command::Sign(command) => command.run(context),
            Command::Batch(command) => command.run(context),
            Command::Verify(command) => command.run(context),
            Command::Order(command) => command.run(context),
            Command::Ship(command) => command.run(context),
            Command::Scrap(command) => command.run(context),
            Command::Status(command) => command.run(context),
            Command::Manifest(command) => command.run(context),
            Command::ExportChain(command) => command.run(context),
            Command::Revoke(command) => command.run(context),
            Command::Crl(command) => command.run(context),
            Command::Reseal(command) => command.run(context),
            Command::SignServer(command) => command.run(context),
            Command::Allot(command) => command.run(context),
            Command::Merge(command) => command.run(context),
            Command::Station(command) => command.run(context),
        }
    }
}

/// Where the factory is.
#[derive(Debug, Args)]
struct Place {
    /// The factory's folder
    #[arg(long, value_name = "DIR", env = "GATEHOUSE_FACTORY", default_value = "factory")]
    factory: PathBuf,
}

impl Place {
    fn open(&self) -> Result<Line, Failure> {
        Ok(Line::open(&self.factory, around())?)
    }

    fn books(&self) -> Result<Books, Failure> {
        Ok(Books::read(&self.factory)?)
    }
}

/// What opens the factory's keys. Without an option the passphrase is asked for at the terminal.
#[derive(Debug, Args)]
struct Opener {
    /// The file with the key that opens the factory's keys
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_FACTORY_KEY_FILE", group = "opener")]
    key_file: Option<PathBuf>,

    /// The file with the passphrase that opens the factory's keys
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_FACTORY_PASSPHRASE_FILE", group = "opener")]
    passphrase_file: Option<PathBuf>,
}

impl Opener {
    fn unlock(&self) -> Result<Unlock, Failure> {
        let source = match (&self.key_file, &self.passphrase_file) {
            (Some(path), _) => KeySource::File(path.clone()),
            (None, Some(path)) => KeySource::PassphraseFile(path.clone()),
            (None, None) => KeySource::Passphrase(ask_passphrase("The factory's passphrase")?),
        };
        source.load().map_err(|error| unopened(&error))
    }
}

fn ask_passphrase(question: &str) -> Result<Secret, Failure> {
    prompt::ask_hidden(question).ok_or_else(|| {
        Failure::new(Exit::Usage, "nothing says what opens the factory's keys, and there is no terminal to ask at")
            .advise("give --key-file FILE or --passphrase-file FILE")
    })
}

fn unopened(error: &UnlockError) -> Failure {
    Failure::new(Exit::Denied, error.to_string()).advise("--key-file or --passphrase-file name what opens the factory's keys")
}

fn around() -> Surroundings {
    Surroundings { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
}

/// Writes a file that the command was asked for, in the place of none that is there.
fn write_new(path: &std::path::Path, content: &[u8]) -> Result<(), Failure> {
    crate::files::write_new(path, content).map_err(|error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::AlreadyExists { Exit::Conflict } else { Exit::Unavailable };
        Failure::new(exit, format!("{} cannot be written: {error}", path.display()))
    })
}

/// Reads a small file that the command was given.
fn read(path: &std::path::Path, most: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let failed = |error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Unavailable };
        Failure::new(exit, format!("{} cannot be read: {error}", path.display()))
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(Failure::new(Exit::Invalid, format!("{} is larger than {most} bytes", path.display())));
    }
    Ok(bytes)
}
