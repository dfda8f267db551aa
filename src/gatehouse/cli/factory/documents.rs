//! What leaves the factory besides devices: manifests, chains, revocation lists, certificates of provisioning servers.

use super::{Opener, Place, read, write_new};
use crate::cli::{Context, Exit, Failure};
use clap::{Args, Subcommand};
use gatehouse_base::{Clock, SystemClock};
use gatehouse_factory::{CustomerName, DeviceSerial, FactoryError, LineName, Manifest as Signed, ManifestError, Reason, Received};
use gatehouse_pki::{Certificate, Host, OrganisationName, Serial};
use serde::Serialize;
use std::{fmt, fs, path::PathBuf};

/// No manifest is larger.
const MAX_MANIFEST: u64 = 64 * 1024 * 1024;

/// No file of certificates is larger.
const MAX_CERTIFICATES: u64 = 256 * 1024;

/// Check manifests as a customer does, or write one again
#[derive(Debug, Args)]
pub(super) struct Manifest {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    Verify(VerifyManifest),
    Export(ExportManifest),
}

/// Check a manifest: who signed it, for whom it is, and that it follows the last one
///
/// --state names a file that remembers the last manifest; it is made with the first one. A manifest that was altered,
/// that was received before, that is for somebody else or that leaves one out is refused, and the file stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory manifest verify O-2026-1.p7m --anchor device-root.pem --manufacturer Example --customer ACME --state received.json")]
struct VerifyManifest {
    /// The manifest
    manifest: PathBuf,

    /// The maker's device root, which you were given on another way
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,

    /// Who made the devices
    #[arg(long, value_name = "NAME")]
    manufacturer: OrganisationName,

    /// Who you are
    #[arg(long, value_name = "NAME")]
    customer: CustomerName,

    /// What remembers the last manifest
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
}

/// Write the last manifest of a customer again
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory manifest export --customer ACME --out again.p7m")]
struct ExportManifest {
    /// Whose manifest
    #[arg(long, value_name = "NAME")]
    customer: CustomerName,

    /// The manifest's file; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: Place,
}

impl Manifest {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            ManifestCommand::Verify(command) => command.run(context),
            ManifestCommand::Export(command) => {
                let message = command.place.books()?.last_manifest(&command.customer)?;
                write_new(&command.out, &message)?;
                context.output.answer(&Written { written: command.out })
            }
        }
    }
}

#[derive(Serialize)]
struct Accepted {
    manifest: Signed,
    sha256: String,
}

impl VerifyManifest {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let invalid = |error: serde_json::Error| Failure::new(Exit::Invalid, format!("{} cannot be read: {error}", self.state.display()));
        let before: Received = match fs::exists(&self.state) {
            Ok(false) => Received::new(self.manufacturer.clone(), self.customer.clone()),
            _ => serde_json::from_slice(&read(&self.state, MAX_CERTIFICATES)?).map_err(invalid)?,
        };
        if (before.manufacturer(), before.customer()) != (&self.manufacturer, &self.customer) {
            return Err(Failure::new(Exit::Conflict, format!("{} remembers manifests of somebody else", self.state.display())));
        }
        let anchor = certificate(&self.anchor)?;
        let refused = |error: ManifestError| Failure::from(FactoryError::from(error));
        let signed = Signed::verify(&read(&self.manifest, MAX_MANIFEST)?, &anchor, SystemClock.now()).map_err(refused)?;
        let after = before.accept(&signed).map_err(refused)?;
        after.write(&self.state)?;
        context.output.answer(&Accepted { sha256: signed.hash().to_string(), manifest: signed.manifest().clone() })
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signed { manufacturer, customer, order, sequence, devices, .. } = &self.manifest;
        write!(out, "manifest {sequence} of {} for {customer}, order {order}: {} devices", manufacturer.as_str(), devices.len())
    }
}

#[derive(Serialize)]
struct Written {
    written: PathBuf,
}

impl fmt::Display for Written {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "wrote {}", self.written.display())
    }
}

/// Print the certificates that others need: what a customer imports, or what devices trust
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory export-chain > manufacturer-chain.pem
  gatehouse factory export-chain --line line-1
  gatehouse factory export-chain --root > device-root.pem
  gatehouse factory export-chain --service > service-anchors.pem")]
pub(super) struct ExportChain {
    /// The line whose chain is wanted, when there are several
    #[arg(long, value_name = "NAME")]
    line: Option<LineName>,

    /// Only the device root
    #[arg(long, conflicts_with = "line")]
    root: bool,

    /// The service anchor and its spare
    #[arg(long, conflicts_with_all = ["line", "root"])]
    service: bool,

    #[command(flatten)]
    place: Place,
}

impl ExportChain {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let books = self.place.books()?;
        let chain = if self.service {
            books.service_anchors()?
        } else if self.root {
            vec![books.device_root()?]
        } else {
            books.line_chain(&books.line(self.line.as_ref())?)?
        };
        context.output.answer(&Chain { certificates: chain.iter().map(Certificate::pem).collect() })
    }
}

#[derive(Serialize)]
struct Chain {
    certificates: Vec<String>,
}

impl fmt::Display for Chain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.certificates.concat())
    }
}

/// Revoke a device's certificate; sign the next list with `crl`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory revoke GH-00000001 --reason key-compromise
  gatehouse factory revoke --certificate 4a0b --reason superseded")]
pub(super) struct Revoke {
    /// The device whose certificate is revoked
    #[arg(required_unless_present = "certificate", conflicts_with = "certificate")]
    device: Option<DeviceSerial>,

    /// The certificate's serial number, in hexadecimal
    #[arg(long, value_name = "NUMBER")]
    certificate: Option<Serial>,

    /// unspecified, key-compromise, superseded, cessation-of-operation or privilege-withdrawn
    #[arg(long, value_name = "WORD")]
    reason: Reason,

    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Revoked {
    certificate: Serial,
    reason: Reason,
}

impl Revoke {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut factory = self.place.open()?;
        let certificate = match (self.device, self.certificate) {
            (Some(device), _) => factory.revoke(&device, self.reason)?,
            (None, Some(certificate)) => {
                factory.revoke_certificate(&certificate, self.reason)?;
                certificate
            }
            (None, None) => return Err(Failure::new(Exit::Usage, "nothing says what to revoke")),
        };
        context.output.answer(&Revoked { certificate, reason: self.reason })
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "certificate {} is revoked ({}); `gatehouse factory crl` signs the list that says so", self.certificate, self.reason)
    }
}

/// Sign a line's next revocation list
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory crl --out line-1.crl
  gatehouse factory crl --line line-2 --out line-2.crl --key-file ./factory.key")]
pub(super) struct Crl {
    /// The line, when there are several
    #[arg(long, value_name = "NAME")]
    line: Option<LineName>,

    /// The list's file (DER, as it is published); one that is there is replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct List {
    line: LineName,
    number: String,
    entries: usize,
    next: String,
    written: PathBuf,
}

impl Crl {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let mut factory = self.place.open()?;
        let line = factory.books().line(self.line.as_ref())?;
        let list = factory.revocation_list(&line, &self.opener.unlock()?)?;
        let failed = |error| Failure::new(Exit::Unavailable, format!("{} cannot be written: {error}", self.out.display()));
        crate::files::replace(&self.out, list.der()).map_err(failed)?;
        let number = list.number().map(ToString::to_string).unwrap_or_default();
        let (entries, next) = (list.entries().len(), list.next_update().to_string());
        context.output.answer(&List { line, number, entries, next, written: self.out })
    }
}

impl fmt::Display for List {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, number, entries, next, written } = self;
        write!(out, "list {number} of {line}: {entries} certificates, the next one by {next}; wrote {}", written.display())
    }
}

/// Sign the certificate of a provisioning server: the only thing that the service root signs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory sign-server dps.csr --host dps.example.com --out dps-chain.pem
  gatehouse factory sign-server dps.csr --host dps.example.com --host 192.0.2.7 --out dps-chain.pem")]
pub(super) struct SignServer {
    /// The server's request (PKCS#10, PEM or DER)
    request: PathBuf,

    /// A host name or address of the server; may be given several times
    #[arg(long, value_name = "HOST", required = true)]
    host: Vec<Host>,

    /// The chain's file; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

impl SignServer {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let chain = self.place.open()?.sign_server(&self.request, &self.host, &self.opener.unlock()?)?;
        write_new(&self.out, chain.iter().map(Certificate::pem).collect::<String>().as_bytes())?;
        context.output.answer(&Written { written: self.out })
    }
}

/// The first certificate of a PEM file.
pub(super) fn certificate(path: &std::path::Path) -> Result<Certificate, Failure> {
    certificates(path).map(|mut chain| chain.swap_remove(0))
}

/// The certificates of a PEM file.
pub(super) fn certificates(path: &std::path::Path) -> Result<Vec<Certificate>, Failure> {
    let read = Certificate::chain_from_pem(&read(path, MAX_CERTIFICATES)?);
    read.map_err(|error| Failure::new(Exit::Invalid, format!("{} holds no certificate: {error}", path.display())))
}
