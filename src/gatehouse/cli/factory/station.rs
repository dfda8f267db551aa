//! Stations: the factory's side (`allot`, `merge`) and their own (`station init`, `station accept`).

use super::{Opener, Place, around, documents::certificate, read, write_new};
use crate::cli::{Context, Exit, Failure};
use clap::{Args, Subcommand};
use gatehouse_ca::StretchCost;
use gatehouse_factory::{DeviceSerial, Factory as Line, FactoryError, MergeReport, SerialRange, Share, StationName};
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// No allotment is larger.
const MAX_ALLOTMENT: u64 = 256 * 1024;

/// Give a station serials that nobody else has, in a signed file
///
/// The first time the station's request is needed, and the device root's key: the station's line is signed as well.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory allot --station east --request station.csr --count 5000 --until 2027-06-01T00:00:00Z --out east-1.allotment
  gatehouse factory allot --station east --first MX-0001 --last MX-0500 --until 2027-06-01T00:00:00Z --out east-2.allotment")]
pub(super) struct Allot {
    /// The station
    #[arg(long, value_name = "NAME")]
    station: StationName,

    /// The next so many serials of the numbering
    #[arg(long, value_name = "N", required_unless_present = "first", conflicts_with = "first")]
    count: Option<u64>,

    /// The first of serials outside of the numbering
    #[arg(long, value_name = "SERIAL", requires = "last")]
    first: Option<DeviceSerial>,

    /// The last of them
    #[arg(long, value_name = "SERIAL", requires = "first")]
    last: Option<DeviceSerial>,

    /// The station's line signs nothing from this time on
    #[arg(long, value_name = "TIME")]
    until: UnixTime,

    /// The request that `station init` wrote
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,

    /// The allotment's file; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct Allotted {
    station: StationName,
    sequence: u64,
    range: SerialRange,
    allotment: PathBuf,
}

impl Allot {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let share = match (self.count, &self.first, &self.last) {
            (Some(count), ..) => Share::Count(count),
            (None, Some(first), Some(last)) => {
                Share::Range(SerialRange::new(first, last).map_err(|error| Failure::new(Exit::Invalid, error.to_string()))?)
            }
            _ => return Err(Failure::new(Exit::Usage, "nothing says which serials")),
        };
        if self.out.exists() {
            return Err(Failure::new(Exit::Conflict, format!("{} exists, and nothing is overwritten", self.out.display())));
        }
        let mut factory = self.place.open()?;
        let (allotment, message) = factory.allot(&self.station, share, self.until, self.request.as_deref(), &self.opener.unlock()?)?;
        write_new(&self.out, &message)?;
        let (sequence, range) = (allotment.sequence, allotment.range);
        context.output.answer(&Allotted { station: self.station, sequence, range, allotment: self.out })
    }
}

impl fmt::Display for Allotted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { station, sequence, range, allotment } = self;
        write!(out, "station {station} may make {range}; allotment {sequence} is {}", allotment.display())
    }
}

/// Take in what a station made, from its journal
///
/// Every serial and key that is used twice is reported, and nothing is taken in while there is one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory merge east/journal
  gatehouse factory merge east/journal --leave-out-duplicates")]
pub(super) struct Merge {
    /// The station's journal, or a copy of it
    journal: PathBuf,

    /// Take in the rest when serials or keys are used twice
    #[arg(long)]
    leave_out_duplicates: bool,

    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Merged {
    #[serde(flatten)]
    report: MergeReport,
}

impl Merge {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let report = self.place.open()?.merge(&self.journal, self.leave_out_duplicates).map_err(|error| {
            let advise = matches!(error, FactoryError::Duplicates(_));
            let failure = Failure::from(error);
            if advise { failure.advise("nothing was taken in; --leave-out-duplicates takes in the rest") } else { failure }
        })?;
        context.output.answer(&Merged { report })
    }
}

impl fmt::Display for Merged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MergeReport { station, taken, left_out } = &self.report;
        write!(out, "{taken} devices of station {station} taken in")?;
        left_out.iter().try_for_each(|duplicate| write!(out, "\nleft out: {duplicate}"))
    }
}

/// Set up a station: a machine that makes devices away from the factory
#[derive(Debug, Args)]
pub(super) struct Station {
    #[command(subcommand)]
    command: StationCommand,
}

#[derive(Debug, Subcommand)]
enum StationCommand {
    Init(Init),
    Accept(Accept),
}

/// Make a station: its line's key, and the request that the factory signs with the first allotment
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory station init --factory ./east --station east --root device-root.pem --passphrase-file ./passphrase")]
struct Init {
    /// The station's name
    #[arg(long, value_name = "NAME")]
    station: StationName,

    /// The factory's device root, from `export-chain --root`
    #[arg(long, value_name = "FILE")]
    root: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

/// Take an allotment: from now on the station makes its serials
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse factory station accept east-1.allotment --factory ./east --passphrase-file ./passphrase")]
struct Accept {
    /// The allotment
    allotment: PathBuf,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    opener: Opener,
}

#[derive(Serialize)]
struct StationMade {
    station: StationName,
    request: PathBuf,
}

impl Station {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.command {
            StationCommand::Init(command) => {
                let folder = &command.place.factory;
                let root = certificate(&command.root)?;
                Line::init_station(folder, &command.station, &root, &command.opener.unlock()?, StretchCost::DEFAULT, &around())?;
                context.output.answer(&StationMade { station: command.station, request: folder.join("station.csr") })
            }
            StationCommand::Accept(command) => {
                let message = read(&command.allotment, MAX_ALLOTMENT)?;
                let allotment = Line::accept(&command.place.factory, &message, &command.opener.unlock()?, around())?;
                let (station, sequence, range) = (allotment.station, allotment.sequence, allotment.range);
                context.output.answer(&Allotted { station, sequence, range, allotment: command.allotment })
            }
        }
    }
}

impl fmt::Display for StationMade {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "station {} waits for its first allotment; take {} to the factory", self.station, self.request.display())
    }
}
