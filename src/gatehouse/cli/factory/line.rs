//! Making devices: one, or many.

use super::{Opener, Place, progress::Meter, read};
use crate::cli::{Context, Exit, Failure};
use clap::Args;
use gatehouse_factory::{
    BatchOrder, BatchReport, Delivery, DeviceSerial, Entry, LineName, OrderName, Reason, Recipient, SingleOrder, What,
};
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// A recipient's certificate is much smaller.
const MAX_CERTIFICATE: u64 = 64 * 1024;

/// How keys that are made here leave.
#[derive(Debug, Args)]
struct Keys {
    /// Seal keys that are made here to the holder of this certificate (PEM; `openssl cms -decrypt` opens them)
    #[arg(long, value_name = "FILE", env = "GATEHOUSE_FACTORY_RECIPIENT", group = "delivery")]
    recipient: Option<PathBuf>,

    /// Write keys that are made here as they are: whoever reads a bundle has the device's identity
    #[arg(long, group = "delivery")]
    danger_plain_keys: bool,
}

impl Keys {
    /// What to do with keys; `made` says whether any are made here.
    fn delivery(&self, made: bool) -> Result<Delivery, Failure> {
        match (&self.recipient, self.danger_plain_keys) {
            (Some(path), _) => {
                Ok(Delivery::Sealed(Recipient::from_pem(&read(path, MAX_CERTIFICATE)?).map_err(gatehouse_factory::FactoryError::from)?))
            }
            (None, true) => Ok(Delivery::DangerPlain),
            // Nothing leaves, so that it does not matter how.
            (None, false) if !made => Ok(Delivery::DangerPlain),
            (None, false) => Err(Failure::new(Exit::Usage, "nothing says how the devices' keys leave")
                .advise("give --recipient FILE to seal them, or --danger-plain-keys")),
        }
    }
}

/// What every command says that makes devices.
#[derive(Debug, Args)]
struct Making {
    /// The order that it is made for
    #[arg(long, value_name = "NAME")]
    order: Option<OrderName>,

    /// The line that signs
    #[arg(long, value_name = "NAME")]
    line: Option<LineName>,

    #[command(flatten)]
    keys: Keys,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

/// Sign one device, or give one another certificate
///
/// The serial is the next one of the numbering unless --serial names it. A device that was made before gets another
/// certificate only with --replaces and a --reason; the old certificate is revoked. Without a request the key is made here.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory sign device.csr --out GH-00000001.tar
  gatehouse factory sign device.csr --serial MX-7 --out MX-7.tar --order O-2026-1
  gatehouse factory sign --out spare.tar --recipient recipient.pem
  gatehouse factory sign new.csr --replaces GH-00000001 --reason key-compromise --out GH-00000001-b.tar")]
pub(super) struct Sign {
    /// The device's request (PKCS#10, PEM or DER)
    request: Option<PathBuf>,

    /// The bundle's file; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// The device's serial
    #[arg(long, value_name = "SERIAL", conflicts_with = "replaces")]
    serial: Option<DeviceSerial>,

    /// The device that gets another certificate
    #[arg(long, value_name = "SERIAL", requires = "reason")]
    replaces: Option<DeviceSerial>,

    /// Why the certificate that the device has is no longer good: unspecified, key-compromise, superseded,
    /// cessation-of-operation or privilege-withdrawn
    #[arg(long, value_name = "WORD", requires = "replaces")]
    reason: Option<Reason>,

    #[command(flatten)]
    making: Making,
}

#[derive(Serialize)]
struct Signed {
    #[serde(flatten)]
    entry: Entry,
    bundle: PathBuf,
}

impl Sign {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let making = self.making;
        let order = SingleOrder {
            serial: self.replaces.or(self.serial),
            delivery: making.keys.delivery(self.request.is_none())?,
            request: self.request,
            line: making.line,
            order: making.order,
            replaces: self.reason,
            out: self.out,
        };
        let entry = making.place.open()?.single(&order, &making.opener.unlock()?)?;
        context.output.answer(&Signed { entry, bundle: order.out })
    }
}

impl fmt::Display for Signed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { device, certificate, .. } = &self.entry;
        write!(out, "{device}: certificate {certificate}, bundle {}", self.bundle.display())
    }
}

/// Make many devices; the same command goes on with a batch that was cut short
///
/// Bundles come in files of up to `part` devices (factory.toml), named by their first and last serial; `tar xf` unpacks
/// them. However the command ends, every serial is made exactly once: run it again to go on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory batch --count 10000 --out bundles --recipient recipient.pem
  gatehouse factory batch --csv serials.csv --out bundles --recipient recipient.pem --order O-2026-1
  gatehouse factory batch --csr-dir requests --out bundles
  gatehouse factory batch --count 3 --out bundles --danger-plain-keys")]
pub(super) struct Batch {
    #[command(flatten)]
    what: WhatArguments,

    /// The folder for the bundles; it is made when it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    making: Making,
}

/// Which devices.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct WhatArguments {
    /// So many devices with the next serials
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// The devices of a CSV file with the one column `serial`
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// The devices whose requests are in a folder, as files called <serial>.csr
    #[arg(long, value_name = "DIR")]
    csr_dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Done {
    batch: u32,
    devices: u64,
    made: u64,
    before: u64,
    seconds: f64,
    devices_per_second: f64,
    workers: usize,
    out: PathBuf,
}

impl Batch {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let making = self.making;
        let what = match (self.what.count, self.what.csv, self.what.csr_dir) {
            (Some(count), ..) => What::Count(count),
            (_, Some(path), _) => What::Csv(path),
            (.., Some(folder)) => What::Requests(folder),
            (None, None, None) => return Err(Failure::new(Exit::Usage, "nothing says which devices to make")),
        };
        let delivery = making.keys.delivery(!matches!(what, What::Requests(_)))?;
        let order = BatchOrder { what, line: making.line, order: making.order, out: self.out, delivery };
        let mut factory = making.place.open()?;
        let unlock = making.opener.unlock()?;
        let mut meter = Meter::new(context);
        let report = factory.batch(&order, &unlock, &mut |progress| meter.tell(progress));
        meter.finish();
        let BatchReport { batch, total, made, before, took, workers } = report?;
        let seconds = took.as_secs_f64();
        let devices_per_second = made as f64 / seconds.max(0.001);
        context.output.answer(&Done { batch, devices: total, made, before, seconds, devices_per_second, workers, out: order.out })
    }
}

impl fmt::Display for Done {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, devices, made, before, seconds, devices_per_second, workers, out: folder } = self;
        write!(out, "batch {batch}: {made} devices in {seconds:.1} s, {devices_per_second:.0} a second with {workers} workers")?;
        if *before > 0 {
            write!(out, "; with the {before} from before {devices} are complete")?;
        }
        write!(out, "; bundles in {}", folder.display())
    }
}
