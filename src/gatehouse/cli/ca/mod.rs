//! `gatehouse ca`: the certificate authorities of this instance.
//!
//! Every subcommand becomes an [`Order`]. The running server carries it out, asked through the control socket; when none
//! runs, the command opens the store and carries it out itself. `ca verify` needs neither.

mod answer;
mod verify;

use super::{Context, Exit, Failure};
use crate::app::custody::{self, Algorithm, Answer, FactsGiven, KeyRotation, NewAuthority, Order, SeatName};
use clap::{Args, Subcommand};
use gatehouse_base::{Clock, SystemClock};
use gatehouse_ca::{CaId, Reason};
use gatehouse_types::OrganisationId;
use std::path::{Path, PathBuf, absolute};

/// Certificate authorities: make, issue, revoke, halt, roll over
#[derive(Debug, Args)]
pub(super) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the instance's root and service authority
    #[command(after_help = "Examples:
  gatehouse ca init --organisation Example
  gatehouse ca init --organisation Example --offline-root
  gatehouse ca init --organisation Example --token pkcs11:token=root;object=root")]
    Init {
        /// The organisation in the subjects
        #[arg(long, value_name = "NAME")]
        organisation: String,
        /// The kind of key
        #[arg(long, default_value = "p256")]
        algorithm: Algorithm,
        /// Keep the root elsewhere: the service authority awaits the certificate that it signs
        #[arg(long, conflicts_with = "token")]
        offline_root: bool,
        /// The token that holds the root's key, as a PKCS#11 URI without PIN
        #[arg(long, value_name = "URI")]
        token: Option<String>,
    },
    /// Make an organisation's device authority
    #[command(after_help = "Examples:
  gatehouse ca organisation --name Acme
  gatehouse ca organisation --name Acme --id 921e7b6e-5ff7-4559-60d9-bf03bc730cc4 --through")]
    Organisation {
        /// The organisation's name
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The organisation's id; drawn when none is given
        #[arg(long, value_name = "UUID")]
        id: Option<OrganisationId>,
        /// The kind of key
        #[arg(long, default_value = "p256")]
        algorithm: Algorithm,
        /// The token that holds the key, as a PKCS#11 URI without PIN
        #[arg(long, value_name = "URI")]
        token: Option<String>,
        /// Sign through short-lived intermediates, each of which ends together with what it signs
        #[arg(long)]
        through: bool,
    },
    /// Show authorities, revocation lists, and whether issuing is halted
    #[command(after_help = "Examples:
  gatehouse ca status
  gatehouse --json ca status")]
    Status,
    /// List the private keys of the keyring, without the keys
    #[command(after_help = "Examples:
  gatehouse ca keys")]
    Keys,
    /// List certificates
    #[command(after_help = "Examples:
  gatehouse ca list
  gatehouse ca list --subject CN=backup-agent
  gatehouse --json ca list --limit 1000")]
    List {
        /// Only those with this subject, written as the list shows it
        #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "after"])]
        subject: Option<String>,
        /// Only those over this public key: the SHA-256 of its SubjectPublicKeyInfo in hexadecimal
        #[arg(long, value_name = "SHA256", conflicts_with = "after")]
        key: Option<String>,
        /// Begin behind this certificate's id: the last one of the page before
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show one certificate and its chain
    #[command(after_help = "Examples:
  gatehouse ca show 4d1f0c7ab80c1e57d5f9a3c2b1e09f64")]
    Show {
        /// Its serial number in hexadecimal, or its id
        certificate: String,
    },
    /// Issue a certificate for a request
    #[command(after_help = "Examples:
  gatehouse ca issue --seat service --profile agent-client --common-name backup-agent agent.csr
  gatehouse ca issue --seat service --profile api-server --host api.example.com --days 30 api.csr")]
    Issue {
        /// Who signs: `service`, or `devices/` and the organisation's id
        #[arg(long)]
        seat: SeatName,
        /// A built-in profile, like `agent-client` or `ocf-identity`
        #[arg(long)]
        profile: String,
        /// The device that it identifies
        #[arg(long, value_name = "UUID")]
        device: Option<String>,
        /// The hub that it identifies
        #[arg(long, value_name = "UUID")]
        hub: Option<String>,
        /// The name of a program
        #[arg(long, value_name = "NAME")]
        common_name: Option<String>,
        /// The organisation's name
        #[arg(long, value_name = "NAME")]
        organisation: Option<String>,
        /// A host that it is good for; may be given several times
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// For how many days; at most what the profile gives
        #[arg(long)]
        days: Option<u32>,
        /// The request, in PEM
        csr: PathBuf,
    },
    /// Revoke a certificate for good
    #[command(after_help = "Examples:
  gatehouse ca revoke 4d1f0c7ab80c1e57d5f9a3c2b1e09f64 --reason key-compromise
  gatehouse ca revoke 4d1f0c7ab80c1e57d5f9a3c2b1e09f64 --reason cessation-of-operation")]
    Revoke {
        /// Its serial number in hexadecimal, or its id
        certificate: String,
        /// Why (RFC 5280 §5.3.1), like `key-compromise`, `superseded`, `cessation-of-operation`
        #[arg(long)]
        reason: Reason,
    },
    /// Print the revocation list of an authority, made anew if it is due
    #[command(after_help = "Examples:
  gatehouse ca crl service.1 > service.crl.pem
  gatehouse ca crl service.1 --out /srv/www/service.crl.pem")]
    Crl {
        /// Which authority, like `service.1`
        authority: CaId,
        /// Write it to this file, whole or not at all, in the place of one that is there
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Stop issuing at once; revocation goes on
    #[command(after_help = "Examples:
  gatehouse ca halt --note stolen-laptop")]
    Halt {
        /// What for; whoever is refused sees it
        #[arg(long, default_value = "by hand")]
        note: String,
    },
    /// Let issuing go on, and accept the clock as it is
    #[command(after_help = "Examples:
  gatehouse ca resume")]
    Resume,
    /// Change the key-encryption key; the old one opens nothing afterwards
    #[command(after_help = "Examples:
  gatehouse ca rotate-key --new-key-file /etc/gatehouse/key-2
  gatehouse ca rotate-key --new-passphrase-file /run/secrets/passphrase")]
    RotateKey {
        /// The file of the new key; it is made when it does not exist
        #[arg(long, value_name = "FILE", required_unless_present = "new_passphrase_file")]
        new_key_file: Option<PathBuf>,
        /// The file with the new passphrase
        #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Make the next generation of an authority and trust the old one beside it
    #[command(after_help = "Examples:
  gatehouse ca rollover service
  gatehouse ca rollover devices/921e7b6e-5ff7-4559-60d9-bf03bc730cc4")]
    Rollover {
        /// `root`, `service`, or `devices/` and the organisation's id
        seat: SeatName,
        /// The kind of the new key
        #[arg(long, default_value = "p256")]
        algorithm: Algorithm,
        /// The token that holds the new key, as a PKCS#11 URI without PIN
        #[arg(long, value_name = "URI")]
        token: Option<String>,
    },
    /// Withdraw an old generation: nothing that it signed is good any more
    #[command(after_help = "Examples:
  gatehouse ca withdraw service.1")]
    Withdraw {
        /// Which one, like `service.1`
        authority: CaId,
    },
    /// Print the request that an offline root is to sign
    #[command(after_help = "Examples:
  gatehouse ca request service.1 > service.csr")]
    Request {
        /// Which authority awaits its certificate
        authority: CaId,
    },
    /// Take in the certificate that an offline root signed
    #[command(after_help = "Examples:
  gatehouse ca import service.1 chain.pem")]
    Import {
        /// Which authority awaits it
        authority: CaId,
        /// The chain in PEM: the authority's own certificate first, the root's last
        chain: PathBuf,
    },
    /// Print the certificates of an authority, its own first and the root last
    #[command(after_help = "Examples:
  gatehouse ca export service.1 > chain.pem")]
    Export {
        /// Which authority
        authority: CaId,
    },
    /// Print all revocations, signed, to be kept beside backups
    #[command(after_help = "Examples:
  gatehouse ca journal > revocations.journal")]
    Journal,
    Verify(verify::Verify),
}

impl Ca {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let out = match &self.command {
            Command::Crl { out, .. } => out.clone(),
            _ => None,
        };
        let order = match self.command {
            Command::Verify(command) => return command.run(context),
            command => command.order()?,
        };
        let mut answer = carry_out(context, order)?;
        if let (Answer::Text(text), Some(path)) = (&answer, out) {
            let failed = |error| Failure::new(Exit::Unavailable, format!("{} cannot be written: {error}", path.display()));
            crate::files::replace(&path, text.as_bytes()).map_err(failed)?;
            answer = Answer::Done(format!("wrote {}", path.display()));
        }
        match &answer {
            // What is meant for a file goes out as it is.
            Answer::Text(text) if !context.output.is_json() => context.output.raw(text.as_bytes()),
            _ => context.output.answer(&answer::Shown { answer: &answer, output: context.output }),
        }
    }
}

impl Command {
    fn order(self) -> Result<Order, Failure> {
        Ok(match self {
            Self::Init { organisation, algorithm, offline_root, token } => {
                Order::Init(NewAuthority { organisation, algorithm, token, offline_root })
            }
            Self::Organisation { name, id, algorithm, token, through } => {
                let new = NewAuthority { organisation: name, algorithm, token, offline_root: false };
                Order::AddOrganisation { id, new, through }
            }
            Self::Status => Order::Status,
            Self::Keys => Order::Keys,
            Self::List { subject, key, after, limit } => Order::List { subject, key, after, limit },
            Self::Show { certificate } => Order::Show { certificate },
            Self::Issue { seat, profile, device, hub, common_name, organisation, hosts, days, csr } => {
                let facts = FactsGiven { device, hub, common_name, organisation, hosts, days };
                Order::Issue { seat, profile, csr: read_text(&csr)?, facts }
            }
            Self::Revoke { certificate, reason } => Order::Revoke { certificate, reason },
            Self::Crl { authority, .. } => Order::Crl { authority },
            Self::Halt { note } => Order::Halt { note },
            Self::Resume => Order::Resume { by: operator() },
            Self::RotateKey { new_key_file, new_passphrase_file } => Order::RotateKey(rotation(new_key_file, new_passphrase_file)?),
            Self::Rollover { seat, algorithm, token } => Order::RollOver { seat, algorithm, token },
            Self::Withdraw { authority } => Order::Withdraw { authority },
            Self::Request { authority } => Order::Request { authority },
            Self::Import { authority, chain } => Order::Adopt { authority, chain: read_text(&chain)? },
            Self::Export { authority } => Order::Export { authority },
            Self::Journal => Order::ExportJournal,
            Self::Verify(_) => return Err(Failure::new(Exit::Failed, "verification is no order")),
        })
    }
}

/// Asks the server, or does it when none runs.
pub(super) fn carry_out(context: &Context, order: Order) -> Result<Answer, Failure> {
    let config = context.load()?.config;
    if let Some(answer) = context.ask_if_running(&config, &order)? {
        return Ok(answer);
    }
    gatehouse_ca::process::harden().map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
    context.block_on(async {
        crate::app::prepare_data_dir(&config.data_dir)?;
        let store = crate::app::open_store(&config).await?;
        let authority = custody::open(&config, &store).await?;
        Ok(custody::perform(&authority, order, SystemClock.now()).await?)
    })
}

/// Who it was, for the log: the user that this process runs as.
fn operator() -> String {
    let uid = rustix::process::getuid().as_raw();
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    if name.is_empty() { format!("user {uid}") } else { format!("{name} (user {uid})") }
}

/// The server reads the file itself, so that no key goes through the socket; it may have another working folder.
fn rotation(key_file: Option<PathBuf>, passphrase_file: Option<PathBuf>) -> Result<KeyRotation, Failure> {
    let full = |path: &Path| absolute(path).map_err(|error| Failure::new(Exit::Invalid, format!("{}: {error}", path.display())));
    if let Some(path) = passphrase_file {
        return Ok(KeyRotation::PassphraseFile(full(&path)?));
    }
    let path = full(&key_file.unwrap_or_default())?;
    if !path.exists() {
        let made = gatehouse_ca::unlock::Key::generate(&gatehouse_base::SystemRandom).write_new(&path);
        made.map_err(|error| Failure::new(Exit::Unavailable, format!("{} cannot be written: {error}", path.display())))?;
    }
    Ok(KeyRotation::File(path))
}

/// Requests and chains are short.
const TEXT_MAX: u64 = 60 * 1024;

fn read_text(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Invalid, format!("{} cannot be read: {error}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
    file.take(TEXT_MAX + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > TEXT_MAX { Err(failed(&"it is too long")) } else { Ok(text) }
}
