//! PASS or FAIL for a finished device.

use super::{
    Place,
    documents::{certificate, certificates},
    read,
};
use crate::cli::{Context, Exit, Failure};
use clap::Args;
use gatehouse_base::{Clock, SystemClock, SystemRandom};
use gatehouse_factory::{
    Against, Bundle, DeviceSerial, FactoryError, Manifest, ManifestError, Reception, RecipientPrivateKey, SignedManifest, Verdict,
};
use gatehouse_net::Credentials;
use gatehouse_types::Secret;
use serde::Serialize;
use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

/// No file of bundles is larger.
const MAX_BUNDLES: u64 = 64 * 1024 * 1024;

/// No key is larger.
const MAX_KEY: u64 = 64 * 1024;

/// Check a finished device, by its bundle or by its own TLS handshake: PASS or FAIL
///
/// Compared are the chain, the serial, the key and the certificate with the factory's journal, or with a manifest. The
/// key answers a challenge: a sealed one needs the recipient's key. With --listen we stand in for the provisioning service: the device
/// connects, and its handshake proves the key.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory verify bundles/GH-00000001_GH-00000500.tar --serial GH-00000007 --recipient-key recipient.key
  gatehouse factory verify device.tar --manifest O-2026-1.p7m --anchor device-root.pem
  gatehouse factory verify --listen 0.0.0.0:20030 --server-chain dps-chain.pem --server-key dps.key")]
pub(super) struct Verify {
    /// A file of bundles
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    bundles: Option<PathBuf>,

    /// Only this device of the file
    #[arg(long, value_name = "SERIAL", requires = "bundles")]
    serial: Option<DeviceSerial>,

    /// The recipient's private key (PEM, not encrypted), to challenge sealed keys
    #[arg(long, value_name = "FILE")]
    recipient_key: Option<PathBuf>,

    /// Compare with this manifest instead of the factory's journal
    #[arg(long, value_name = "FILE", requires = "anchor")]
    manifest: Option<PathBuf>,

    /// The device root, when there is no factory here
    #[arg(long, value_name = "FILE", requires = "manifest")]
    anchor: Option<PathBuf>,

    /// The service anchors that bundles must have, when there is no factory here
    #[arg(long, value_name = "FILE", requires = "manifest")]
    service_anchors: Option<PathBuf>,

    /// Wait for devices at this address
    #[arg(long, value_name = "ADDRESS", requires_all = ["server_chain", "server_key"])]
    listen: Option<SocketAddr>,

    /// With --listen: how many devices
    #[arg(long, value_name = "N", default_value_t = 1)]
    devices: u64,

    /// With --listen: our chain, from `sign-server`
    #[arg(long, value_name = "FILE")]
    server_chain: Option<PathBuf>,

    /// With --listen: its key (PEM, not encrypted)
    #[arg(long, value_name = "FILE")]
    server_key: Option<PathBuf>,

    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Verdicts {
    passed: bool,
    verdicts: Vec<Verdict>,
}

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let manifest = self.manifest()?;
        let books;
        let against = match (&manifest, &self.anchor) {
            (Some(manifest), Some(anchor)) => {
                let service_anchors = self.service_anchors.as_deref().map(certificates).transpose()?;
                Against::Manifest { manifest, device_root: Box::new(certificate(anchor)?), service_anchors }
            }
            _ => {
                books = self.place.books()?;
                Against::Books(&books)
            }
        };
        let verdicts = match self.listen {
            Some(address) => self.receive(address, &against, context)?,
            None => self.bundles(&against)?,
        };
        let passed = verdicts.iter().all(Verdict::passed);
        let count = verdicts.iter().filter(|verdict| !verdict.passed()).count();
        context.output.answer(&Verdicts { passed, verdicts })?;
        if passed { Ok(()) } else { Err(Failure::new(Exit::Invalid, format!("{count} devices failed"))) }
    }

    fn manifest(&self) -> Result<Option<SignedManifest>, Failure> {
        let (Some(path), Some(anchor)) = (&self.manifest, &self.anchor) else { return Ok(None) };
        let verified = Manifest::verify(&read(path, MAX_BUNDLES)?, &certificate(anchor)?, SystemClock.now());
        Ok(Some(verified.map_err(|error: ManifestError| FactoryError::from(error))?))
    }

    fn bundles(&self, against: &Against<'_>) -> Result<Vec<Verdict>, Failure> {
        let path = self.bundles.as_deref().unwrap_or(std::path::Path::new(""));
        let bundles = Bundle::read(&read(path, MAX_BUNDLES)?).map_err(FactoryError::from)?;
        let recipient = match &self.recipient_key {
            Some(path) => Some(RecipientPrivateKey::from_pem(&Secret::new(read(path, MAX_KEY)?)).map_err(FactoryError::from)?),
            None => None,
        };
        let wanted = |bundle: &&Bundle| self.serial.as_ref().is_none_or(|serial| bundle.about.device == *serial);
        let judged =
            bundles.iter().filter(wanted).map(|bundle| bundle.verify(against, recipient.as_ref(), &SystemRandom, SystemClock.now()));
        let verdicts = judged.collect::<Result<Vec<_>, _>>()?;
        if verdicts.is_empty() {
            return Err(Failure::new(Exit::NotFound, "the file has no bundle of that device"));
        }
        Ok(verdicts)
    }

    fn receive(&self, address: SocketAddr, against: &Against<'_>, context: &Context) -> Result<Vec<Verdict>, Failure> {
        let (Some(chain), Some(key)) = (&self.server_chain, &self.server_key) else {
            return Err(Failure::new(Exit::Usage, "--listen needs --server-chain and --server-key"));
        };
        let identity = Credentials::from_pem(&read(chain, MAX_KEY)?, &Secret::new(read(key, MAX_KEY)?))?;
        context.block_on(async {
            let mut reception = Reception::open(address, identity, against, Arc::new(SystemClock))?;
            context.output.remark(format_args!("waiting for devices at {}", reception.address()));
            let mut verdicts = Vec::new();
            for _ in 0..self.devices {
                let verdict = reception.next(against).await?;
                if self.devices > 1 {
                    context.output.remark(&verdict);
                }
                verdicts.push(verdict);
            }
            reception.close().await;
            Ok(verdicts)
        })
    }
}

impl fmt::Display for Verdicts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verdicts.iter().try_for_each(|verdict| writeln!(out, "{verdict}"))
    }
}
