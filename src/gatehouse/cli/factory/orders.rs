//! Orders: planned = shipped + scrapped + open.

use super::{Opener, Place, write_new};
use crate::cli::{Context, Exit, Failure};
use clap::{Args, Subcommand};
use gatehouse_factory::{CustomerName, DeviceSerial, OrderName, OrderReport};
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Open, change and close orders
#[derive(Debug, Args)]
pub(super) struct Order {
    #[command(subcommand)]
    command: OrderCommand,
}

#[derive(Debug, Subcommand)]
enum OrderCommand {
    Open(Open),
    Close(Close),
}

/// Open an order, or change how many devices it plans
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory order open O-2026-1 --customer ACME --planned 1000")]
struct Open {
    /// The order
    order: OrderName,

    /// Who receives the devices
    #[arg(long, value_name = "NAME")]
    customer: CustomerName,

    /// How many devices are planned
    #[arg(long, value_name = "N")]
    planned: u64,

    #[command(flatten)]
    place: Place,
}

/// Close an order of which nothing is open
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory order close O-2026-1")]
struct Close {
    /// The order
    order: OrderName,

    #[command(flatten)]
    place: Place,
}

impl Order {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let report: OrderReport = match self.command {
            OrderCommand::Open(Open { order, customer, planned, place }) => place.open()?.order(order, customer, planned)?,
            OrderCommand::Close(Close { order, place }) => place.open()?.close_order(&order)?,
        };
        context.output.answer(&report)
    }
}

/// Note that devices leave for a customer, and sign the manifest that goes with them
///
/// Without --serial everything that was made for the order and is in hand leaves. The manifest (CMS SignedData;
/// `openssl cms -verify` reads it) counts the customer's manifests and names the hash of the one before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory ship O-2026-1 --out O-2026-1.p7m
  gatehouse factory ship O-2026-1 --serial GH-00000001 --serial GH-00000002 --out first.p7m")]
pub(super) struct Ship {
    /// The order
    order: OrderName,

    /// The manifest's file; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// A device that leaves; may be given several times
    #[arg(long, value_name = "SERIAL")]
    serial: Vec<DeviceSerial>,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct Shipped {
    order: OrderName,
    customer: CustomerName,
    sequence: u64,
    devices: usize,
    manifest: PathBuf,
    sha256: String,
}

impl Ship {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        if self.out.exists() {
            return Err(Failure::new(Exit::Conflict, format!("{} exists, and nothing is overwritten", self.out.display())));
        }
        let named = if self.serial.is_empty() { None } else { Some(self.serial.as_slice()) };
        let shipment = self.place.open()?.ship(&self.order, named, &self.opener.unlock()?)?;
        let customer = shipment.manifest.customer;
        write_new(&self.out, &shipment.message).map_err(|failure| {
            failure.advise(format!(
                "the shipment is noted; `gatehouse factory manifest export --customer {:?} --out FILE` writes it again",
                customer.as_str()
            ))
        })?;
        let (sequence, devices, sha256) = (shipment.manifest.sequence, shipment.manifest.devices.len(), shipment.hash.to_string());
        context.output.answer(&Shipped { order: self.order, customer, sequence, devices, manifest: self.out, sha256 })
    }
}

impl fmt::Display for Shipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, customer, sequence, devices, manifest, .. } = self;
        write!(out, "{devices} devices of order {order} left for {customer}; manifest {sequence} is {}", manifest.display())
    }
}

/// Note that devices were thrown away; their certificates are revoked
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory scrap GH-00000007 --remark failed-burn-in")]
pub(super) struct Scrap {
    /// The devices
    #[arg(required = true, value_name = "SERIAL")]
    devices: Vec<DeviceSerial>,

    /// Why, in your own words
    #[arg(long, value_name = "TEXT")]
    remark: String,

    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Scrapped {
    scrapped: Vec<DeviceSerial>,
}

impl Scrap {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        self.place.open()?.scrap(self.devices.clone(), &self.remark)?;
        context.output.answer(&Scrapped { scrapped: self.devices })
    }
}

impl fmt::Display for Scrapped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} devices scrapped", self.scrapped.len())
    }
}

/// Show how lines, orders, batches and stations stand; works while a batch runs
///
/// Fails when an order does not add up: planned = shipped + scrapped + open.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory status
  gatehouse factory status --json")]
pub(super) struct Status {
    #[command(flatten)]
    place: Place,
}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let status = self.place.books()?.status();
        context.output.answer(&status)?;
        if status.balanced { Ok(()) } else { Err(Failure::new(Exit::Invalid, "an order does not add up")) }
    }
}
