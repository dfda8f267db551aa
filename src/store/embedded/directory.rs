//! The directory of an embedded store.
//!
//! | file | what it is |
//! |---|---|
//! | `lock` | locked while the store is open; names the process that has it open |
//! | `acknowledged` | the witness: the last commit that anybody was told about |
//! | `format` | the layout's version and the engine, as text; written last, so where it is all is there |
//! | `sled/` or `fjall/` | the engine's files |
//!
//! An engine that finds a damaged end of its log takes it for a batch that was cut off by a crash, and drops it.
//! The witness tells the two apart: it is written after a batch is durable and before anybody hears of it, so a
//! store that ends before its witness has lost something. It is not synced: after a crash it may be behind, never
//! ahead.

use crate::{EngineName, OpenError, row};
use ring::digest::{SHA256, digest};
use rustix::fs::{FlockOperation, flock, statvfs};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const LAYOUT: u32 = 1;
const LOCK: &str = "lock";
const WITNESS: &str = "acknowledged";
const FORMAT: &str = "format";
const NEW_FORMAT: &str = "format.new";
const SLOT_BYTES: usize = 16;

pub(super) struct Directory {
    path: PathBuf,
    engine: EngineName,
    witness: File,
    /// The lock lasts as long as this file is open.
    _lock: File,
}

impl Directory {
    /// Locks the directory, and makes what is missing when there is no store in it yet.
    pub(super) fn open(path: &Path, engine: EngineName) -> Result<Self, OpenError> {
        let io = |name: &str| {
            let path = path.join(name);
            move |source| OpenError::Io { path, source }
        };
        fs::create_dir_all(path).map_err(io(""))?;
        if !path.join(FORMAT).exists() && holds_other_files(path).map_err(io(""))? {
            return Err(OpenError::NotAStore { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let mut files = OpenOptions::new();
        files.read(true).write(true);
        if path.join(FORMAT).exists() {
            check_format(path, engine)?;
        } else {
            // A crash while the store was made may have left half of an engine's files, which none can open.
            for engine in EngineName::ALL {
                remove_directory(&path.join(engine.name())).map_err(io(engine.name()))?;
            }
            let new = files.clone().create(true).truncate(true).open(path.join(WITNESS)).map_err(io(WITNESS))?;
            new.write_all_at(&[slot(0), slot(0)].concat(), 0).and_then(|()| new.sync_all()).map_err(io(WITNESS))?;
        }
        let witness = files.open(path.join(WITNESS)).map_err(io(WITNESS))?;
        Ok(Self { path: path.to_owned(), engine, witness, _lock: lock })
    }

    /// Where the engine keeps its files.
    pub(super) fn engine_path(&self) -> PathBuf {
        self.path.join(self.engine.name())
    }

    /// Makes the names in the directory durable, and its own name; then says that there is a store. The engine's own
    /// files have to be durable by now.
    pub(super) fn complete(&self) -> Result<(), OpenError> {
        let absolute = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        for path in [Some(absolute.as_path()), absolute.parent()].into_iter().flatten() {
            File::open(path)
                .and_then(|directory| directory.sync_all())
                .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        }
        let format = self.path.join(FORMAT);
        if format.exists() {
            Ok(())
        } else {
            write_format(&self.path, self.engine).map_err(|source| OpenError::Io { path: format, source })
        }
    }

    /// How many bytes may still be written to this disk by this user.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let found = statvfs(&self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Notes that callers are about to hear of this commit.
    pub(super) fn witness(&self, sequence: u64) -> io::Result<()> {
        // Two places in turn: a write that is cut off leaves the other one good.
        self.witness.write_all_at(&slot(sequence), sequence % 2 * SLOT_BYTES as u64)
    }

    /// Refuses a store that ends before what was acknowledged.
    pub(super) fn check_witness(&self, found: u64) -> Result<(), OpenError> {
        let damaged = || OpenError::Damaged { what: self.path.join(WITNESS).display().to_string() };
        let mut slots = [0; 2 * SLOT_BYTES];
        self.witness.read_exact_at(&mut slots, 0).map_err(|_| damaged())?;
        let acknowledged = slots.chunks(SLOT_BYTES).filter_map(read_slot).max().ok_or_else(damaged)?;
        if found < acknowledged { Err(OpenError::Lost { found, acknowledged }) } else { Ok(()) }
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let lock_path = path.join(LOCK);
    let io = |source| OpenError::Io { path: lock_path.clone(), source };
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
            Ok(file)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.take(20).read_to_string(&mut pid).map_err(io)?;
            Err(OpenError::InUse { path: path.to_owned(), pid: pid.trim().to_owned() })
        }
        Err(errno) => Err(io(errno.into())),
    }
}

/// Whether there is anything that no store puts there. Without a witness an engine's folder is somebody else's.
fn holds_other_files(path: &Path) -> io::Result<bool> {
    let engines = if path.join(WITNESS).exists() { EngineName::ALL.as_slice() } else { &[] };
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if ![LOCK, WITNESS, NEW_FORMAT].into_iter().chain(engines.iter().map(|engine| engine.name())).any(|ours| name == *ours) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn write_format(path: &Path, engine: EngineName) -> io::Result<()> {
    let mut file = File::create(path.join(NEW_FORMAT))?;
    writeln!(file, "gatehouse store\nlayout {LAYOUT}\nengine {}", engine.name())?;
    file.sync_all()?;
    fs::rename(path.join(NEW_FORMAT), path.join(FORMAT))?;
    File::open(path)?.sync_all()
}

fn check_format(path: &Path, engine: EngineName) -> Result<(), OpenError> {
    let file = path.join(FORMAT);
    let text = fs::read_to_string(&file).map_err(|source| OpenError::Io { path: file.clone(), source })?;
    let damaged = || OpenError::Damaged { what: file.display().to_string() };
    let mut lines = text.lines();
    let (Some("gatehouse store"), Some(layout)) = (lines.next(), lines.next()) else { return Err(damaged()) };
    let found = layout.strip_prefix("layout ").and_then(|number| number.parse().ok()).ok_or_else(damaged)?;
    if found > LAYOUT {
        return Err(OpenError::TooNew { what: "the layout", found, known: LAYOUT });
    }
    let found = lines.next().and_then(|line| line.strip_prefix("engine ")).ok_or_else(damaged)?;
    if found != engine.name() {
        return Err(OpenError::OtherEngine { path: path.to_owned(), found: found.to_owned(), asked: engine.name() });
    }
    Ok(())
}

fn slot(sequence: u64) -> [u8; SLOT_BYTES] {
    let sequence = sequence.to_be_bytes();
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&sequence);
    slot[8..].copy_from_slice(&row::first_eight(&digest(&SHA256, &sequence)));
    slot
}

fn read_slot(bytes: &[u8]) -> Option<u64> {
    let sequence = u64::from_be_bytes(bytes.first_chunk().copied()?);
    (slot(sequence) == bytes).then_some(sequence)
}
