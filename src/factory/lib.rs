//! The manufacturer's line: the first step of every device's life.
//!
//! A [`Factory`] is a folder. It holds two roots that have nothing to do with each other: the *device root*, below which
//! lines sign devices, and the *service root*, which signs provisioning servers and nothing else. A device carries the
//! latter and its spare, so that no device, whatever its certificate says, can pose as a provisioning service.
//!
//! [`Factory::batch`] makes devices: keys, certificates and [bundles](Bundle), every serial exactly once whenever the
//! process dies. [`Factory::ship`] signs the [`Manifest`] that a customer imports. Stations make devices offline from
//! signed [allotments](Allotment) of serials, and [`Factory::merge`] brings their journals home. The truth is the
//! [`Journal`]; what it adds up to is the ledger's business, and everything else is done by certificates of the `pki` crate.
//!
//! A device maker uses this crate alone, through `gatehouse factory …` or as a library; no server, no network and no store
//! is needed. It does not decide what certificates say (profiles do) and it imports no manifests: that is the
//! customer's side.

mod batch;
mod bench;
mod bundle;
mod cms;
mod custody;
mod drawn;
mod error;
mod files;
mod home;
mod input;
mod journal;
mod ledger;
mod live;
mod manifest;
mod name;
mod record;
mod report;
mod reseal;
mod revocation;
mod serial;
mod settings;
mod single;
mod station;
mod tar;
mod token;
mod verify;

pub use batch::{BatchOrder, BatchReport, Delivery, Progress, What};
pub use bundle::{About, Bundle, BundleError, BundleKey, Entry};
pub use cms::{
    sealed::{Recipient, RecipientPrivateKey, SealError, Session},
    signed::SignedError,
};
pub use custody::CustodyError;
pub use error::FactoryError;
pub use files::FileError;
pub use home::{Books, Factory, Surroundings};
pub use input::{InputError, MAX_DEVICES, Mistake, Mistakes};
pub use journal::{Head, Journal, JournalError};
pub use ledger::{Duplicate, OrderReport, Refusal};
pub use live::Reception;
pub use manifest::{MAX_SHIPMENT, Manifest, ManifestError, Received, Shipment, SignedManifest};
pub use name::{CustomerName, LineName, NameError, OrderName, StationName};
pub use record::{HashError, Made, Reason, ReasonError, Replaced, Sha256};
pub use report::{LineStatus, StationStatus, Status, UnfinishedBatch};
pub use reseal::Resealed;
pub use serial::{DeviceSerial, MAX_SERIAL, Numbering, RangeError, SerialError, SerialRange};
pub use settings::{DeviceProfile, LineSettings, ProvisioningAddress, Settings, TokenSettings};
pub use single::SingleOrder;
pub use station::{Allotment, AllotmentError, MergeReport, Share, awaits_allotment};
pub use tar::TarError;
pub use verify::{Against, Check, Verdict};
