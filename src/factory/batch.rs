//! Making many devices: keys, certificates and bundles on all processors, every serial exactly once.
//!
//! Workers take serials from one list and make *parts*: files with up to a few hundred bundles, under a name that
//! begins with a dot. One writer (the calling thread) collects finished parts, makes them durable, appends one
//! record a part to the journal with one flush for all of them, and only then gives the files their final
//! names. So whatever moment the process dies at, the next run knows: a part whose record is in the journal is made
//! visible, any other is thrown away unseen and its serials are made again.
//!
//! A flush takes as long as making hundreds of devices. Those that need not wait for each other go to the disk at once, and
//! workers may be some parts ahead of the writer.

use crate::{
    bench::{Bench, made},
    bundle::BundleFile,
    cms::sealed::Recipient,
    drawn::Drawn,
    error::FactoryError,
    files::{self, FileError},
    home::Factory,
    input,
    ledger::{Batch, Refusal},
    name::{LineName, OrderName},
    record::{Made, Maker, Plan, Record, Sha256},
    serial::{DeviceSerial, SerialRange},
    settings::Settings,
};
use gatehouse_ca::unlock::Unlock;
use gatehouse_pki::SignedCsr;
use std::{
    fs::{self, File},
    io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Fewer bundles than this are not spread over several files, so long as the settings allow so many in one.
const CRUMBS: u64 = 32;

/// Finished parts that may wait for the writer, for each worker: more than are made during a slow flush.
const AHEAD: usize = 4;

/// While some workers wait for the disk, which takes the bundles from them itself, others have the processor.
const TO_A_PROCESSOR: usize = 3;

/// The most bundles of a part when a token signs: it is slow, and a power cut takes what no record names.
const TOKEN_PART: u32 = 20;

/// Which devices a batch makes.
#[derive(Clone, Debug)]
pub enum What {
    /// So many, with the next serials.
    Count(u64),
    /// Those in a CSV file.
    Csv(PathBuf),
    /// Those whose requests are in a folder.
    Requests(PathBuf),
}

/// How private keys that are made here leave.
pub enum Delivery {
    /// Sealed, so that only the recipient opens them.
    Sealed(Recipient),
    /// As they are. Whoever reads the bundle has the device's identity.
    DangerPlain,
}

/// What a batch is asked for.
pub struct BatchOrder {
    /// Which devices.
    pub what: What,
    /// By which line; needed when there are several.
    pub line: Option<LineName>,
    /// For which order.
    pub order: Option<OrderName>,
    /// Where bundles go: a folder, which is made if it is not there.
    pub out: PathBuf,
    /// How keys leave.
    pub delivery: Delivery,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Devices that are on the disk, those of earlier runs included.
    pub done: u64,
    /// Devices of the whole batch.
    pub total: u64,
    /// Devices that earlier runs made.
    pub before: u64,
}

/// What a batch did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchReport {
    /// Its number.
    pub batch: u32,
    /// Devices of the whole batch.
    pub total: u64,
    /// Devices that this run made.
    pub made: u64,
    /// Devices that earlier runs made.
    pub before: u64,
    /// How long this run took, from the first key to the last flush.
    pub took: Duration,
    /// How many threads made devices.
    pub workers: usize,
}

/// One device to be made.
struct Job {
    serial: DeviceSerial,
    request: Option<SignedCsr>,
}

/// A finished part.
struct Part {
    number: u32,
    file: File,
    devices: Vec<Made>,
}

impl Factory {
    /// Makes the devices of a batch. A folder holds one batch: the same order for the same folder goes on where an earlier
    /// run was cut short, and does nothing once all devices are made. `tell` hears how far it is.
    ///
    /// # Errors
    /// The input has mistakes, the books do not allow it (then nothing was signed), or something failed on the way (then
    /// the same call goes on where it stopped).
    pub fn batch(&mut self, order: &BatchOrder, unlock: &Unlock, tell: &mut dyn FnMut(Progress)) -> Result<BatchReport, FactoryError> {
        let out = folder(&order.out)?;
        let line = self.books.line(order.line.as_ref())?;
        let (number, jobs) = match self.books.ledger.batch_in(&out) {
            Some((number, batch)) => (number, self.remaining(number, batch, &out, order, &line)?),
            None => self.begin(&out, order, &line)?,
        };
        let bench = Bench::new(self, &line, &order.delivery, unlock)?;
        self.tidy(number, &out)?;
        self.run(number, &out, order.order.clone(), jobs, &bench, tell)
    }

    /// Plans a batch and writes it down.
    fn begin(&mut self, out: &Path, order: &BatchOrder, line: &LineName) -> Result<(u32, Vec<Job>), FactoryError> {
        let ledger = &self.books.ledger;
        let numbering = self.books.settings.numbering.as_ref();
        let (plan, jobs) = match &order.what {
            What::Count(count) => {
                if *count > input::MAX_DEVICES {
                    return Err(Refusal::NumberingUsedUp { wanted: *count }.into());
                }
                let ranges = ledger.count_off(*count, numbering)?;
                let jobs = ranges.iter().flat_map(SerialRange::iter).map(|serial| Job { serial, request: None }).collect();
                (Plan::Count { ranges }, jobs)
            }
            What::Csv(path) => {
                let free = |serial: &DeviceSerial| ledger.may_name(serial, numbering).map_err(|refusal| refusal.to_string());
                let jobs: Vec<Job> = input::csv(path, free)?.into_iter().map(|serial| Job { serial, request: None }).collect();
                (Plan::List { devices: jobs.len() as u64, serials: digest(&jobs) }, jobs)
            }
            What::Requests(folder) => {
                let jobs = requests(folder, |serial, request| {
                    ledger.may_name(serial, numbering)?;
                    ledger.may_have_key(serial, &request.key().fingerprint().into())
                })?;
                (Plan::Requests { devices: jobs.len() as u64, serials: digest(&jobs) }, jobs)
            }
        };
        let wanted = jobs.len() as u64;
        if let Some(order) = &order.order {
            ledger.may_make(order, wanted)?;
        }
        self.may_sign(line, wanted)?;
        let batch = ledger.next_batch();
        let (out, order) = (out.to_owned(), order.order.clone());
        self.write(vec![Record::Batch { batch, line: line.clone(), order, out, plan, at: self.now() }])?;
        Ok((batch, jobs))
    }

    /// What a batch that was cut short still has to make, if it is the one that is asked for.
    fn remaining(&self, number: u32, batch: &Batch, out: &Path, order: &BatchOrder, line: &LineName) -> Result<Vec<Job>, FactoryError> {
        let ledger = &self.books.ledger;
        let ours = |serial: &DeviceSerial| ledger.device(serial).is_some_and(|device| device.batch == Some(number));
        let other = || FactoryError::from(Refusal::OtherBatch { out: out.to_owned() });
        if batch.line != *line || batch.order != order.order {
            return Err(other());
        }
        let taken = |serial: &DeviceSerial| match ledger.device(serial) {
            Some(_) if !ours(serial) => Err(Refusal::Made { device: serial.clone() }),
            _ => Ok(()),
        };
        let jobs: Vec<Job> = match (&order.what, &batch.plan) {
            (What::Count(count), Plan::Count { ranges }) if *count == ranges.iter().map(SerialRange::count).sum::<u64>() => {
                ranges.iter().flat_map(SerialRange::iter).map(|serial| Job { serial, request: None }).collect()
            }
            (What::Csv(path), Plan::List { serials, .. }) => {
                let all = input::csv(path, |serial| taken(serial).map_err(|refusal| refusal.to_string()))?;
                let jobs: Vec<Job> = all.into_iter().map(|serial| Job { serial, request: None }).collect();
                if digest(&jobs) != *serials { return Err(other()) } else { jobs }
            }
            (What::Requests(folder), Plan::Requests { serials, .. }) => {
                let jobs = requests(folder, |serial, request| {
                    taken(serial)?;
                    if ours(serial) { Ok(()) } else { ledger.may_have_key(serial, &request.key().fingerprint().into()) }
                })?;
                if digest(&jobs) != *serials { return Err(other()) } else { jobs }
            }
            _ => return Err(other()),
        };
        let jobs: Vec<Job> = jobs.into_iter().filter(|job| !ours(&job.serial)).collect();
        self.may_sign(line, jobs.len() as u64)?;
        Ok(jobs)
    }

    /// Brings the folder to what the journal says: recorded parts become visible, others go.
    fn tidy(&self, number: u32, out: &Path) -> Result<(), FactoryError> {
        let recorded = self.books.ledger.parts(number);
        for entry in fs::read_dir(out).map_err(FileError::at(out))? {
            let entry = entry.map_err(FileError::at(out))?;
            let name = entry.file_name();
            let Some(part) = name.to_str().and_then(|name| unfinished_part(name, number)) else { continue };
            let path = entry.path();
            match recorded.get(&part) {
                Some(name) => fs::rename(&path, out.join(name)),
                None => fs::remove_file(&path),
            }
            .map_err(FileError::at(&path))?;
        }
        Ok(files::sync_folder(out)?)
    }

    fn run(
        &mut self,
        number: u32,
        out: &Path,
        order: Option<OrderName>,
        jobs: Vec<Job>,
        bench: &Bench<'_>,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<BatchReport, FactoryError> {
        let wanted = jobs.len() as u64;
        let before = self.books.ledger.done(number);
        let workers = workers(&self.books.settings);
        let line = bench.line.clone();
        let token = self.books.line_settings(&line)?.token.is_some();
        let part = if token { self.books.settings.part.min(TOKEN_PART) } else { self.books.settings.part };
        let clock = self.surroundings.clock.clone();
        let start = clock.elapsed();
        let mut progress = Progress { done: before, total: before + wanted, before };
        tell(progress);
        let first_part = self.books.ledger.parts(number).keys().next_back().map_or(1, |last| u64::from(*last) + 1);
        let queue = Queue {
            jobs: Mutex::new(jobs.into_iter()),
            // A small batch is shared among the workers, but not cut into crumbs.
            part: usize::try_from(u64::from(part).min(wanted.div_ceil(workers as u64).max(CRUMBS))).unwrap_or(1),
            next_part: AtomicU64::new(first_part),
            stop: AtomicBool::new(false),
        };
        let made = thread::scope(|scope| {
            let (sender, receiver) = sync_channel(AHEAD * workers);
            for _ in 0..workers {
                let (sender, queue) = (sender.clone(), &queue);
                scope.spawn(move || work(number, out, queue, bench, &sender));
            }
            drop(sender);
            let written = self.collect(number, out, &line, order.as_ref(), &receiver, &mut progress, tell);
            queue.stop.store(true, Ordering::Relaxed);
            // A worker that waits for room in the channel goes on when nobody listens any more.
            drop(receiver);
            written
        });
        made?;
        if progress.done != progress.total {
            return Err(FactoryError::Worker);
        }
        // An earlier run may have ended after its last part and before this.
        if !self.books.ledger.is_finished(number) {
            self.write(vec![Record::Finished { batch: number, at: self.now() }])?;
        }
        let took = clock.elapsed().saturating_sub(start);
        Ok(BatchReport { batch: number, total: progress.total, made: wanted, before, took, workers })
    }

    /// The writer: every part that is waiting goes to the disk with one flush.
    #[expect(clippy::too_many_arguments, reason = "the writer stands between everything that a batch has")]
    fn collect(
        &mut self,
        number: u32,
        out: &Path,
        line: &LineName,
        order: Option<&OrderName>,
        receiver: &Receiver<Result<Part, FactoryError>>,
        progress: &mut Progress,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(), FactoryError> {
        let folder = File::open(out).map_err(FileError::at(out))?;
        while let Ok(first) = receiver.recv() {
            let parts = std::iter::once(first).chain(receiver.try_iter()).collect::<Result<Vec<_>, _>>()?;
            // The line's time may end while a batch runs.
            let limits = self.books.limits(line)?;
            let at = self.now();
            self.books.ledger.may_sign(line, limits, parts.iter().map(|part| part.devices.len() as u64).sum(), at)?;
            for device in parts.iter().flat_map(|part| &part.devices) {
                self.books.ledger.may_have_key(&device.device, &device.key)?;
            }
            // Bundles first: a record must never name a bundle that a power cut can take.
            flush(&parts, &folder).map_err(FileError::at(out))?;
            let names: Vec<_> = parts.iter().map(|part| (unfinished_name(number, part.number), part_name(&part.devices))).collect();
            let made: u64 = parts.iter().map(|part| part.devices.len() as u64).sum();
            let record = |part: Part| {
                let (line, order, by) = (line.clone(), order.cloned(), Maker::Batch { batch: number, part: part.number });
                Record::Made { by, line, order, devices: part.devices, at }
            };
            let mut records: Vec<_> = parts.into_iter().map(record).collect();
            if progress.done + made == progress.total {
                // The last parts are what the batch lacked, so that one flush does for both.
                records.push(Record::Finished { batch: number, at });
            }
            self.write(records)?;
            for (unfinished, name) in names {
                fs::rename(out.join(&unfinished), out.join(name)).map_err(FileError::at(&out.join(unfinished)))?;
            }
            progress.done += made;
            tell(*progress);
        }
        Ok(files::sync_folder(out)?)
    }
}

/// Brings the parts to the disk, and with the folder the names that they have so far. They are flushed side by side: each
/// mostly waits for a turn of the disk, and one turn does for all.
fn flush(parts: &[Part], folder: &File) -> io::Result<()> {
    thread::scope(|scope| {
        let files: Vec<_> = parts.iter().map(|part| scope.spawn(|| part.file.sync_data())).collect();
        let named = folder.sync_all();
        files.into_iter().try_for_each(|file| file.join().unwrap_or_else(|panic| resume_unwind(panic))).and(named)
    })
}

/// The jobs that nobody took yet.
struct Queue {
    jobs: Mutex<std::vec::IntoIter<Job>>,
    part: usize,
    next_part: AtomicU64,
    stop: AtomicBool,
}

impl Queue {
    fn take(&self) -> Option<(u32, Vec<Job>)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let taken: Vec<Job> = jobs.by_ref().take(self.part).collect();
        let part = u32::try_from(self.next_part.fetch_add(1, Ordering::Relaxed)).ok()?;
        (!taken.is_empty()).then_some((part, taken))
    }
}

/// A worker: makes parts until there are no jobs, and hands each to the writer.
fn work(batch: u32, out: &Path, queue: &Queue, bench: &Bench<'_>, sender: &SyncSender<Result<Part, FactoryError>>) {
    while let Some((number, jobs)) = queue.take() {
        let made = bench.part(&out.join(unfinished_name(batch, number)), jobs).map(|(file, devices)| Part { number, file, devices });
        let failed = made.is_err();
        if sender.send(made).is_err() || failed {
            return;
        }
    }
}

impl Bench<'_> {
    fn part(&self, path: &Path, jobs: Vec<Job>) -> Result<(File, Vec<Made>), FactoryError> {
        let mut file = BundleFile::create(path)?;
        let mut session = self.session()?;
        let random = Drawn::new(&*self.around.random);
        let now = self.around.clock.now();
        let mut devices = Vec::with_capacity(jobs.len());
        for Job { serial, request } in jobs {
            devices.push(made(self.make(&mut file, serial, request, session.as_mut(), &random, now)?, None));
        }
        Ok((file.finish()?, devices))
    }
}

/// The folder for bundles, made if need be, by its one absolute name.
fn folder(out: &Path) -> Result<PathBuf, FactoryError> {
    if !out.is_dir() {
        files::make_folder(out)?;
    }
    let out = fs::canonicalize(out).map_err(FileError::at(out))?;
    // Also when it was there: an earlier run may have ended between the two. What is in it is no safer than its name.
    files::sync_parent(&out)?;
    Ok(out)
}

fn requests(folder: &Path, free: impl Fn(&DeviceSerial, &SignedCsr) -> Result<(), Refusal>) -> Result<Vec<Job>, FactoryError> {
    let all = input::requests(folder, |serial, request| free(serial, request).map_err(|refusal| refusal.to_string()))?;
    Ok(all.into_iter().map(|(serial, request)| Job { serial, request: Some(request) }).collect())
}

/// What tells one list of serials from another.
fn digest(jobs: &[Job]) -> Sha256 {
    let text: String = jobs.iter().flat_map(|job| [job.serial.as_str(), "\n"]).collect();
    Sha256::of(text.as_bytes())
}

fn workers(settings: &Settings) -> usize {
    match settings.workers {
        0 => thread::available_parallelism().map_or(1, usize::from) * TO_A_PROCESSOR,
        workers => usize::try_from(workers).unwrap_or(1),
    }
}

/// A part is called by its first and last device: no serial has an underscore in it.
pub(crate) fn part_name(devices: &[Made]) -> String {
    match devices {
        [only] => format!("{}.tar", only.device),
        [first, .., last] => format!("{}_{}.tar", first.device, last.device),
        [] => "nothing.tar".to_owned(),
    }
}

fn unfinished_name(batch: u32, part: u32) -> String {
    format!(".making-{batch}-{part}")
}

fn unfinished_part(name: &str, batch: u32) -> Option<u32> {
    let part = name.strip_prefix(".making-")?.strip_prefix(&format!("{batch}-"))?.parse().ok()?;
    (unfinished_name(batch, part) == name).then_some(part)
}
