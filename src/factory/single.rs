//! One device by name: made for the first time, or given another certificate.

use crate::{
    batch::Delivery,
    bench::{Bench, made},
    bundle::{Bundle, BundleFile, Entry},
    error::FactoryError,
    files::{self, FileError},
    home::Factory,
    input,
    name::{LineName, OrderName},
    record::{Maker, Reason, Record},
    serial::DeviceSerial,
};
use gatehouse_ca::unlock::Unlock;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One bundle is much smaller.
const MAX_SINGLE: u64 = 1024 * 1024;

/// One device that is asked for by name.
pub struct SingleOrder {
    /// Its serial; the next one when it is left out.
    pub serial: Option<DeviceSerial>,
    /// Its request; a key is made here when it is left out.
    pub request: Option<PathBuf>,
    /// By which line; needed when there are several.
    pub line: Option<LineName>,
    /// For which order.
    pub order: Option<OrderName>,
    /// Why the certificate that the device has is replaced by this one.
    pub replaces: Option<Reason>,
    /// Where the bundle goes: a file that is not there.
    pub out: PathBuf,
    /// How a key that is made here leaves.
    pub delivery: Delivery,
}

impl Factory {
    /// Makes one device, or gives one another certificate. The same order for the same file goes on where an earlier run was
    /// cut short.
    ///
    /// # Errors
    /// The request or the books do not allow it; then nothing was signed.
    pub fn single(&mut self, order: &SingleOrder, unlock: &Unlock) -> Result<Entry, FactoryError> {
        let line = self.books.line(order.line.as_ref())?;
        if fs::symlink_metadata(&order.out).is_ok() {
            return Err(FactoryError::Exists { folder: order.out.clone() });
        }
        // Under another name until the record is on the disk.
        let name = order.out.file_name().unwrap_or_default().to_string_lossy();
        let beside = order.out.with_file_name(format!(".making-{name}"));
        if let Some(entry) = self.cut_short(&beside)? {
            files::rename(&beside, &order.out)?;
            return Ok(entry);
        }
        let ledger = &self.books.ledger;
        let numbering = self.books.settings.numbering.as_ref();
        let (serial, replaces) = match (&order.serial, order.replaces) {
            (Some(serial), Some(reason)) => (serial.clone(), Some(ledger.replace(serial, reason)?)),
            (Some(serial), None) => {
                ledger.may_name(serial, numbering)?;
                (serial.clone(), None)
            }
            (None, _) => (ledger.count_off(1, numbering)?[0].first(), None),
        };
        let request = match &order.request {
            Some(path) => Some(input::request(path)?),
            None => None,
        };
        if let Some(request) = &request {
            ledger.may_have_key(&serial, &request.key().fingerprint().into())?;
        }
        if let (Some(order), None) = (&order.order, &replaces) {
            ledger.may_make(order, 1)?;
        }
        self.may_sign(&line, 1)?;
        let bench = Bench::new(self, &line, &order.delivery, unlock)?;
        let mut session = bench.session()?;
        let at = self.now();
        let mut file = BundleFile::create(&beside)?;
        let entry = bench.make(&mut file, serial, request, session.as_mut(), &*self.surroundings.random, at)?;
        file.finish()?.sync_all().map_err(FileError::at(&beside))?;
        files::sync_parent(&beside)?;
        let devices = vec![made(entry.clone(), replaces)];
        self.write(vec![Record::Made { by: Maker::Single, line, order: order.order.clone(), devices, at }])?;
        files::rename(&beside, &order.out)?;
        Ok(entry)
    }

    /// What an earlier run for the same file left: a device that is in the journal and only has to be made visible.
    /// Anything else goes, and is made again.
    fn cut_short(&self, beside: &Path) -> Result<Option<Entry>, FactoryError> {
        if fs::symlink_metadata(beside).is_err() {
            return Ok(None);
        }
        let bundle = Bundle::read(&files::read(beside, MAX_SINGLE)?).ok().and_then(|mut bundles| bundles.pop());
        let entry = bundle.map(|bundle| bundle.about.entry()).filter(|entry| self.books.entry(&entry.device).as_ref() == Some(entry));
        if entry.is_none() {
            fs::remove_file(beside).map_err(FileError::at(beside))?;
        }
        Ok(entry)
    }
}
