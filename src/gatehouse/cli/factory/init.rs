//! Making a factory, and further lines of it.

use super::{Opener, Place, around};
use crate::cli::{Context, Exit, Failure, Output, Tint};
use clap::Args;
use gatehouse_base::{SystemRandom, config::Mistakes};
use gatehouse_ca::{StretchCost, unlock::Key};
use gatehouse_factory::{Factory as Line, LineName, Settings};
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Make a factory: the roots, the lines, the settings
///
/// The folder must not exist. Two roots are made that have nothing to do with each other: one for devices, one for
/// provisioning servers; of the latter also a spare, whose key belongs into a safe. All private keys are sealed.
/// Everything else is decided in the folder's factory.toml afterwards.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory init --manufacturer Example --provisioning coaps+tcp://dps.example.com:20030 --prefix GH- --until 2031-01-01T00:00:00Z --budget 100000 --key-file ./factory.key
  gatehouse factory init --settings ./factory.toml --passphrase-file ./passphrase
  gatehouse factory init --factory /srv/line --settings ./factory.toml")]
pub(super) struct Init {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,

    /// Begin with these settings instead of those that the options below make
    #[arg(long, value_name = "FILE", conflicts_with_all = ["manufacturer", "provisioning", "prefix", "digits", "line", "until", "budget"])]
    settings: Option<PathBuf>,

    /// Who makes the devices; stands in every certificate
    #[arg(long, value_name = "NAME", required_unless_present = "settings")]
    manufacturer: Option<String>,

    /// Where devices find their provisioning service
    #[arg(long, value_name = "ADDRESS", required_unless_present = "settings")]
    provisioning: Option<String>,

    /// What serials begin with when they are counted; without it every serial is named
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// How many digits counted serials have
    #[arg(long, value_name = "N", default_value_t = 8)]
    digits: u8,

    /// The name of the line
    #[arg(long, value_name = "NAME", default_value = "line-1")]
    line: LineName,

    /// The line signs nothing from this time on
    #[arg(long, value_name = "TIME", required_unless_present = "settings")]
    until: Option<UnixTime>,

    /// The line signs so many certificates in all
    #[arg(long, value_name = "N", required_unless_present = "settings")]
    budget: Option<u64>,
}

#[derive(Serialize)]
struct Made {
    factory: PathBuf,
    device_root: String,
    service_root: String,
    new_key: Option<PathBuf>,
    #[serde(skip)]
    output: Output,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let refused = |mistakes: Mistakes| Failure::new(Exit::Config, mistakes.to_string());
        let settings = match &self.settings {
            Some(path) => Settings::load(path).map_err(refused)?,
            None => Settings::from_toml(&self.text()).map_err(refused)?,
        };
        let new_key = self.opener.key_file.clone().filter(|path| !path.exists());
        if let Some(path) = &new_key {
            let written = Key::generate(&SystemRandom).write_new(path);
            written.map_err(|error| Failure::new(Exit::Unavailable, format!("{} cannot be written: {error}", path.display())))?;
        }
        let factory = Line::init(&self.place.factory, settings, &self.opener.unlock()?, StretchCost::DEFAULT, around())?;
        let books = factory.books();
        let device_root = books.device_root()?.fingerprint().to_string();
        let service_root = books.service_anchors()?[0].fingerprint().to_string();
        context.output.answer(&Made { factory: self.place.factory, device_root, service_root, new_key, output: context.output })
    }

    /// The settings that the options say. What is wrong in them is told when they are read.
    fn text(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let option = |text: &Option<String>| quoted(text.as_deref().unwrap_or_default());
        let mut text = format!("manufacturer = {}\nprovisioning = {}\n", option(&self.manufacturer), option(&self.provisioning));
        if let Some(prefix) = &self.prefix {
            text += &format!("numbering = {{ prefix = {}, digits = {} }}\n", quoted(prefix), self.digits);
        }
        let until = self.until.map(|time| time.to_string()).unwrap_or_default();
        text + &format!("[line.{}]\nuntil = {}\nbudget = {}\n", self.line, quoted(&until), self.budget.unwrap_or_default())
    }
}

impl fmt::Display for Made {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let made = self.output.tint(Tint::Good, "made");
        writeln!(out, "{made} factory      {}", self.factory.display())?;
        writeln!(out, "     device root  {}", self.device_root)?;
        writeln!(out, "     service root {}", self.service_root)?;
        if let Some(path) = &self.new_key {
            writeln!(out, "{made} key          {}", path.display())?;
            writeln!(out, "Keep a copy of the key apart from the folder: without it the factory's private keys are lost.")?;
        }
        let safe = |name: &str| self.factory.join(Path::new(name)).display().to_string();
        writeln!(
            out,
            "Move {} into a safe, and {} too once all lines exist.",
            safe("offline/service-spare.key"),
            safe("keys/device-root.key")
        )?;
        write!(out, "Next: `gatehouse factory batch --count 10 --out bundles --recipient recipient.pem`")
    }
}

/// Make a further line, whose table is in factory.toml already
///
/// The device root signs it: its key must be in the folder for as long as this takes. A line whose key is in a PKCS#11
/// token has a table [line.NAME.pkcs11] with module, token, key and pin_file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory add-line line-2 --key-file ./factory.key")]
pub(super) struct AddLine {
    /// The line's name in factory.toml
    line: LineName,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct LineMade {
    line: LineName,
    subject: String,
    fingerprint: String,
}

impl AddLine {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let certificate = self.place.open()?.add_line(&self.line, &self.opener.unlock()?, StretchCost::DEFAULT)?;
        let (subject, fingerprint) = (certificate.subject().to_string(), certificate.fingerprint().to_string());
        context.output.answer(&LineMade { line: self.line, subject, fingerprint })
    }
}

impl fmt::Display for LineMade {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}, certificate {}", self.line, self.subject, self.fingerprint)
    }
}
