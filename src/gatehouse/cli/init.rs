//! `gatehouse init`: the configuration, the data directory, the key-encryption key and the authorities of a new
//! installation.

use super::{Context, Exit, Failure, Output, Tint, ca};
use crate::app::{
    Config,
    custody::{Algorithm, NewAuthority, Order, crl_base},
};
use clap::Args;
use gatehouse_base::SystemRandom;
use gatehouse_ca::unlock::{Key, KeySource};
use gatehouse_pki::Host;
use serde::Serialize;
use std::{
    fmt, fs,
    io::{self, BufRead, IsTerminal, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf, absolute},
};

/// Make a new installation: configuration, data directory, key-encryption key, authorities
///
/// Asks for what is not given by options, if standard input is a terminal. Nothing that exists is overwritten. The
/// key-encryption key opens the private keys in the data directory: keep a copy of it apart from that directory and
/// from backups, because without it both are lost. Of authorities it makes a root and one for the certificates of our own
/// listeners; `--no-authority` leaves that to `gatehouse ca init`, which can keep the root offline or in a token.
#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:
  gatehouse init
  gatehouse init --external-address gatehouse.example.com
  gatehouse init --external-address 192.0.2.7 --data-dir /srv/gatehouse --organisation Example
  gatehouse init --external-address gatehouse.example.com --key-environment GATEHOUSE_KEY --no-authority
  gatehouse --config ./gatehouse.toml init --external-address localhost --data-dir ./data --key-file ./key")]
pub(super) struct Init {
    /// The host name or address under which devices and people reach this installation; it goes into certificates
    #[arg(long, value_name = "HOST")]
    external_address: Option<Host>,

    /// Where the listeners listen, other than that for metrics, which stays on loopback [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    listen: Option<IpAddr>,

    /// The folder for all state [default: $XDG_DATA_HOME/gatehouse, or /var/lib/gatehouse for root]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Keep the key-encryption key in this file; it is made when it does not exist [default: beside the configuration]
    #[arg(long, value_name = "FILE", group = "key")]
    key_file: Option<PathBuf>,

    /// Take the key-encryption key from this environment variable of the server
    #[arg(long, value_name = "NAME", group = "key")]
    key_environment: Option<String>,

    /// Take a passphrase from this file, in the place of a key
    #[arg(long, value_name = "FILE", group = "key")]
    passphrase_file: Option<PathBuf>,

    /// The organisation in the names of the authorities [default: the external address]
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,

    /// Make no authorities, and no listener that needs a certificate of theirs
    #[arg(long, conflicts_with = "organisation")]
    no_authority: bool,
}

/// Where a new installation serves revocation lists.
const PUBLIC_PORT: u16 = 8080;

/// Where the key-encryption key lives.
enum KeyPlace {
    File(PathBuf),
    Environment(String),
    PassphraseFile(PathBuf),
}

#[derive(Serialize)]
struct Answer {
    config: PathBuf,
    data_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_key: Option<PathBuf>,
    authority: bool,
    #[serde(skip)]
    output: Output,
}

impl Init {
    /// What `serve --init` does: no questions, everything else at its default.
    pub(super) fn unasked(external_address: Option<Host>, listen: Option<IpAddr>) -> Self {
        Self { external_address: external_address.or_else(|| "localhost".parse().ok()), listen, ..Self::default() }
    }

    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let config = context.config_path();
        if config.exists() {
            let failure = Failure::new(Exit::Conflict, format!("{} exists, and nothing is overwritten", config.display()));
            return Err(failure.advise("`gatehouse check` explains it; `--config FILE` makes another installation"));
        }
        let external_address = self.external_address()?;
        let data_dir = full(&self.data_dir.clone().unwrap_or_else(Config::default_data_dir))?;
        let place = self.key_place(&config)?;
        let new_key = match &place {
            KeyPlace::File(path) if !path.exists() => Some(path.clone()),
            _ => None,
        };
        if !self.no_authority {
            place.check()?;
        }
        make_folder(&data_dir)?;
        make_folder(config.parent().unwrap_or(Path::new(".")))?;
        if let Some(path) = &new_key {
            make_folder(path.parent().unwrap_or(Path::new(".")))?;
            Key::generate(&SystemRandom).write_new(path).map_err(|error| unwritable(path, &error))?;
        }
        let text = text(&external_address, &data_dir, &place, self.listen, !self.no_authority);
        crate::files::write_new(&config, text.as_bytes()).map_err(|error| unwritable(&config, &error))?;
        // What was written is read as the server will: a mistake in it is ours, and shows here.
        Config::load(&config).map_err(|mistakes| Failure::new(Exit::Failed, mistakes.to_string()))?;
        if !self.no_authority {
            let organisation = self.organisation.clone().unwrap_or_else(|| external_address.to_string());
            let new = NewAuthority { organisation, algorithm: Algorithm::default(), token: None, offline_root: false };
            let made = ca::carry_out(context, Order::Init(new));
            made.map_err(|failure| {
                failure.during("the configuration is made, the authorities are not").advise("`gatehouse ca init` makes them")
            })?;
        }
        context.output.answer(&Answer { config, data_dir, new_key, authority: !self.no_authority, output: context.output })
    }

    fn external_address(&self) -> Result<Host, Failure> {
        if let Some(address) = &self.external_address {
            return Ok(address.clone());
        }
        let answer =
            ask("The host name or address under which devices and people reach this installation (it goes into certificates)", None);
        let answer = answer.ok_or_else(|| {
            Failure::new(Exit::Usage, "the external address is missing, and there is no terminal to ask at")
                .advise("give `--external-address HOST`")
        })?;
        answer.parse().map_err(|error| Failure::new(Exit::Usage, format!("{error}")))
    }

    fn key_place(&self, config: &Path) -> Result<KeyPlace, Failure> {
        if let Some(name) = &self.key_environment {
            return Ok(KeyPlace::Environment(name.clone()));
        }
        if let Some(path) = &self.passphrase_file {
            return Ok(KeyPlace::PassphraseFile(full(path)?));
        }
        if let Some(path) = &self.key_file {
            return Ok(KeyPlace::File(full(path)?));
        }
        let beside = config.with_file_name("key-encryption.key");
        let question = "The file for the key-encryption key; keep a copy of it apart from the data";
        // Who gave the address by option wants no questions.
        let asked = if self.external_address.is_none() { ask(question, Some(&beside.display().to_string())) } else { None };
        Ok(KeyPlace::File(full(&asked.map_or(beside, PathBuf::from))?))
    }
}

impl KeyPlace {
    /// Whether the key can be had now, unless it is made here: the authorities' keys are sealed with it.
    fn check(&self) -> Result<(), Failure> {
        let source = match self {
            Self::File(path) if !path.exists() => return Ok(()),
            Self::File(path) => KeySource::File(path.clone()),
            Self::Environment(name) => KeySource::Environment(name.clone()),
            Self::PassphraseFile(path) => KeySource::PassphraseFile(path.clone()),
        };
        let failure = |error: gatehouse_ca::unlock::UnlockError| Failure::new(Exit::Invalid, error.to_string());
        source.load().map(drop).map_err(|error| failure(error).advise("`--no-authority` needs no key yet"))
    }
}

/// The configuration of a new installation. What is not written here has its default, which `check --effective` lists.
fn text(external_address: &Host, data_dir: &Path, place: &KeyPlace, listen: Option<IpAddr>, with_authority: bool) -> String {
    let ip = listen.unwrap_or(Ipv4Addr::LOCALHOST.into());
    let address = |port| SocketAddr::from((ip, port));
    let quoted = |path: &Path| toml_string(&path.display().to_string());
    let key = match place {
        KeyPlace::File(path) => format!("file = {}", quoted(path)),
        KeyPlace::Environment(name) => format!("environment = {}", toml_string(name)),
        KeyPlace::PassphraseFile(path) => format!("passphrase_file = {}", quoted(path)),
    };
    // Whoever opens an installation to others decides how letters reach them.
    let mail = if ip.is_loopback() {
        format!(
            "
# Letters become files in this folder, which is enough to try things out; docs/mail.md tells how to send them.
[mail]
capture = {}
",
            quoted(&data_dir.join("mail"))
        )
    } else {
        String::new()
    };
    let api = if with_authority {
        format!(
            "
# Encrypted, with a certificate of our own authority that renews itself; `certificate` and `key` name another one.
# On loopback no other machine reaches it.
[listener.api]
address = \"{}\"
role = \"https\"
",
            address(8443)
        )
    } else {
        String::new()
    };
    format!(
        "# Gatehouse. `gatehouse check --effective` lists every setting with its value.

# Where devices and people reach this installation. It goes into certificates.
external_address = {}
data_dir = {}

# Opens the private keys in the data directory. Keep a copy apart from it and from backups.
[key_encryption]
{key}

# Where certificates say that their revocation list is. It stays in each of them, so name an address that lasts; a listener
# below answers there, or a server that passes requests on to it.
[authority]
crl_base = {}
{mail}{api}
# Health, certificates and revocation lists in the clear.
[listener.public]
address = \"{}\"
role = \"http\"

# Metrics for your own monitoring.
[listener.metrics]
address = \"127.0.0.1:9464\"
role = \"metrics\"
",
        toml_string(&external_address.to_string()),
        quoted(data_dir),
        toml_string(&crl_base::at(external_address, PUBLIC_PORT)),
        address(PUBLIC_PORT),
    )
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

/// Asks at the terminal. `None` when there is none.
fn ask(question: &str, default: Option<&str>) -> Option<String> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    write!(io::stderr(), "{question}{shown}: ").ok()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).ok()?;
    let answer = answer.trim();
    if answer.is_empty() { default.map(str::to_owned) } else { Some(answer.to_owned()) }
}

/// The server is started from other folders than this command.
fn full(path: &Path) -> Result<PathBuf, Failure> {
    absolute(path).map_err(|error| unwritable(path, &error))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::Denied } else { Exit::Unavailable };
    Failure::new(exit, format!("{} cannot be written: {error}", path.display()))
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} configuration  {}", self.output.tint(Tint::Good, "made"), self.config.display())?;
        writeln!(out, "{} data directory {}", self.output.tint(Tint::Good, "made"), self.data_dir.display())?;
        if let Some(key) = &self.new_key {
            writeln!(out, "{} key            {}", self.output.tint(Tint::Good, "made"), key.display())?;
            writeln!(out, "Keep a copy of the key apart from the data directory and from backups: without it both are lost.")?;
        }
        if self.authority {
            writeln!(
                out,
                "{} authorities    a root, and one for our own listeners; `gatehouse ca status` shows them",
                self.output.tint(Tint::Good, "made")
            )?;
            return writeln!(out, "Next: `gatehouse serve`");
        }
        writeln!(out, "Next: `gatehouse ca init` for authorities of your own, and `gatehouse serve`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::config::{Sources, load};

    #[test]
    fn only_who_asks_for_it_is_open_to_other_machines() {
        let host: Host = "gatehouse.example.com".parse().expect("host");
        let place = KeyPlace::File("/etc/gatehouse/key".into());
        let text = text(&host, Path::new("/var/lib/gatehouse"), &place, Some(Ipv4Addr::UNSPECIFIED.into()), true);
        let loaded = load::<Config>(&Sources::text("gatehouse.toml", &text)).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
        let open: Vec<_> = loaded.remarks.iter().map(|remark| remark.key.as_str()).collect();
        assert_eq!(open, ["listener.api.address", "listener.public.address"]);
    }

    #[test]
    fn every_kind_of_key_place_makes_a_configuration_without_mistakes() {
        let host: Host = "gatehouse.example.com".parse().expect("host");
        for place in [
            KeyPlace::File("/etc/gatehouse/\"odd\" \\name".into()),
            KeyPlace::Environment("GATEHOUSE_KEY".into()),
            KeyPlace::PassphraseFile("/run/secrets/passphrase".into()),
        ] {
            let text = text(&host, Path::new("/var/lib/gatehouse"), &place, None, true);
            let loaded = load::<Config>(&Sources::text("gatehouse.toml", &text)).unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
            assert!(loaded.remarks.is_empty(), "a new installation opens nothing: {:?}", loaded.remarks);
        }
    }
}
