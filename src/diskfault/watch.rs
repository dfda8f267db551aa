//! What is watched, what is known about it, and what shall fail.
//!
//! One lock covers an operation and its record, so the log has the kernel's order. Synchronisation is the
//! exception: it is slow, and writes of other threads go on meanwhile, so it has a record at its start and one
//! at its end, and only what stood in the log before the start is durable after the end.

use crate::{
    log::{Log, Record},
    path,
};
use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStringExt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// The inode behind a descriptor: device and number.
type Inode = (u64, u64);

pub(crate) struct Watch {
    pub(crate) prefix: Vec<u8>,
    log: Option<Log>,
    marks: Option<Vec<u8>>,
    files: BTreeMap<Inode, u64>,
    next_file: u64,
    syncs: u64,
    failing_sync: Option<u64>,
    space: Option<u64>,
}

/// What a descriptor leads to.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Target {
    Elsewhere,
    Marks,
    File(u64),
}

/// The number that `Target::Marks` has among the files.
const MARKS: u64 = 0;

/// The watch, locked; nothing when the environment names no directory.
pub(crate) fn watch() -> Option<MutexGuard<'static, Watch>> {
    static WATCH: OnceLock<Option<Mutex<Watch>>> = OnceLock::new();
    let watch = WATCH.get_or_init(|| Watch::from_environment().map(Mutex::new)).as_ref()?;
    Some(watch.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Watch {
    fn from_environment() -> Option<Self> {
        let bytes = |name: &str| std::env::var_os(name).map(OsStringExt::into_vec);
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let prefix = path::normal(&bytes("DISKFAULT_DIR")?);
        let log = bytes("DISKFAULT_LOG").map(|path| match Log::create(&path) {
            Ok(log) => log,
            // SAFETY: ends the process: an experiment without its log proves nothing.
            Err(_) => unsafe { libc::abort() },
        });
        Some(Self {
            prefix,
            log,
            marks: bytes("DISKFAULT_MARKS").map(|path| path::normal(&path)),
            files: BTreeMap::new(),
            next_file: MARKS + 1,
            syncs: 0,
            failing_sync: number("DISKFAULT_SYNC_ERROR"),
            space: number("DISKFAULT_SPACE"),
        })
    }

    pub(crate) fn record(&mut self, record: &Record<'_>) {
        if let Some(log) = &mut self.log {
            log.append(record);
        }
    }

    /// The path relative to the watched directory, when it lies below.
    pub(crate) fn inside(&self, absolute: &[u8]) -> Option<Vec<u8>> {
        path::below(&self.prefix, absolute).map(<[u8]>::to_vec)
    }

    pub(crate) fn is_marks(&self, absolute: &[u8]) -> bool {
        self.marks.as_deref() == Some(absolute)
    }

    /// Learns a descriptor that was just opened. Inode numbers are used again after a file is gone, so a
    /// created file always gets a new number, and a file elsewhere takes the meaning off its inode.
    pub(crate) fn opened(&mut self, descriptor: i32, absolute: &[u8], created: bool) {
        let Some(inode) = inode(descriptor) else { return };
        if self.is_marks(absolute) {
            self.files.insert(inode, MARKS);
        } else if let Some(relative) = self.inside(absolute) {
            let known = self.files.get(&inode).copied().filter(|_| !created);
            let file = known.unwrap_or_else(|| {
                self.next_file += 1;
                self.next_file - 1
            });
            self.files.insert(inode, file);
            self.record(&Record::Open { file, created, path: &relative });
        } else {
            self.files.remove(&inode);
        }
    }

    /// A directory was just made, perhaps with the inode number of a file that is gone.
    pub(crate) fn forget(&mut self, directory: i32, name: *const libc::c_char) {
        let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: `name` is the caller's C string; `status` is filled when the call returns 0.
        if unsafe { libc::fstatat(directory, name, status.as_mut_ptr(), 0) } == 0 {
            let status = unsafe { status.assume_init() };
            self.files.remove(&(status.st_dev, status.st_ino));
        }
    }

    pub(crate) fn target(&self, descriptor: i32) -> Target {
        match inode(descriptor).and_then(|inode| self.files.get(&inode)) {
            None => Target::Elsewhere,
            Some(&MARKS) => Target::Marks,
            Some(&file) => Target::File(file),
        }
    }

    /// How many of `wanted` bytes the disk still takes; `None` when it is full.
    pub(crate) fn take_space(&mut self, wanted: usize) -> Option<usize> {
        let Some(space) = &mut self.space else { return Some(wanted) };
        let granted = wanted.min(usize::try_from(*space).unwrap_or(usize::MAX));
        if granted == 0 && wanted > 0 {
            return None;
        }
        *space -= granted as u64;
        Some(granted)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.space == Some(0)
    }

    /// Counts a synchronisation; says which call it is and whether it shall fail.
    pub(crate) fn begin_sync(&mut self, file: u64) -> (u64, bool) {
        self.syncs += 1;
        let call = self.syncs;
        self.record(&Record::SyncBegin { call, file });
        (call, self.failing_sync == Some(call))
    }
}

fn inode(descriptor: i32) -> Option<Inode> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `status` is a `stat` buffer, filled when the call returns 0.
    let status = unsafe {
        if libc::syscall(libc::SYS_fstat, descriptor, status.as_mut_ptr()) != 0 {
            return None;
        }
        status.assume_init()
    };
    Some((status.st_dev, status.st_ino))
}
