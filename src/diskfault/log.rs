//! The log of operations: one record after another, little-endian, written with plain `write(2)`.
//!
//! A record is a kind byte and its fields; text and data are preceded by their length. The reader is the test
//! kit's `faults::log`.

use std::io;

/// One thing that happened to the watched directory.
pub(crate) enum Record<'a> {
    /// A descriptor was opened on a file or directory; `file` names the inode from here on.
    Open {
        file: u64,
        created: bool,
        path: &'a [u8],
    },
    Write {
        file: u64,
        offset: u64,
        data: &'a [u8],
    },
    Truncate {
        file: u64,
        length: u64,
    },
    /// `file` is a directory's number when a directory is synchronised.
    SyncBegin {
        call: u64,
        file: u64,
    },
    SyncEnd {
        call: u64,
        succeeded: bool,
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    Unlink {
        path: &'a [u8],
    },
    MakeDirectory {
        path: &'a [u8],
    },
    RemoveDirectory {
        path: &'a [u8],
    },
    Link {
        from: &'a [u8],
        to: &'a [u8],
    },
    Mark {
        data: &'a [u8],
    },
    /// `sync_file_range` and `msync`: noted, and worth nothing after a power loss.
    WeakSync {
        file: u64,
    },
    Unsupported {
        call: &'a [u8],
    },
    /// A call failed because the plan said so.
    Injected {
        call: &'a [u8],
    },
}

/// The open log file.
pub(crate) struct Log {
    descriptor: i32,
    buffer: Vec<u8>,
}

impl Log {
    pub(crate) fn create(path: &[u8]) -> io::Result<Self> {
        let mut name = path.to_vec();
        name.push(0);
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
        // SAFETY: `name` ends with a zero byte and outlives the call.
        let descriptor = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, name.as_ptr(), flags, 0o600) };
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(Self { descriptor: descriptor as i32, buffer: Vec::new() }) }
    }

    /// Writes the record. A log that cannot be written makes the experiment worthless, so the process ends.
    pub(crate) fn append(&mut self, record: &Record<'_>) {
        self.buffer.clear();
        encode(record, &mut self.buffer);
        let mut rest = self.buffer.as_slice();
        while !rest.is_empty() {
            // SAFETY: the pointer and length describe `rest`.
            let written = unsafe { libc::syscall(libc::SYS_write, self.descriptor, rest.as_ptr(), rest.len()) };
            if written <= 0 {
                // SAFETY: ends the process; no invariant of ours survives it.
                unsafe { libc::abort() }
            }
            rest = &rest[written as usize..];
        }
    }
}

fn encode(record: &Record<'_>, out: &mut Vec<u8>) {
    match *record {
        Record::Open { file, created, path } => {
            out.push(1);
            number(out, file);
            out.push(u8::from(created));
            bytes(out, path);
        }
        Record::Write { file, offset, data } => {
            out.push(2);
            number(out, file);
            number(out, offset);
            bytes(out, data);
        }
        Record::Truncate { file, length } => {
            out.push(3);
            number(out, file);
            number(out, length);
        }
        Record::SyncBegin { call, file } => {
            out.push(4);
            number(out, call);
            number(out, file);
        }
        Record::SyncEnd { call, succeeded } => {
            out.push(5);
            number(out, call);
            out.push(u8::from(succeeded));
        }
        Record::Rename { from, to } => {
            out.push(6);
            bytes(out, from);
            bytes(out, to);
        }
        Record::Unlink { path } => {
            out.push(7);
            bytes(out, path);
        }
        Record::MakeDirectory { path } => {
            out.push(8);
            bytes(out, path);
        }
        Record::RemoveDirectory { path } => {
            out.push(9);
            bytes(out, path);
        }
        Record::Link { from, to } => {
            out.push(10);
            bytes(out, from);
            bytes(out, to);
        }
        Record::Mark { data } => {
            out.push(11);
            bytes(out, data);
        }
        Record::WeakSync { file } => {
            out.push(12);
            number(out, file);
        }
        Record::Unsupported { call } => {
            out.push(13);
            bytes(out, call);
        }
        Record::Injected { call } => {
            out.push(14);
            bytes(out, call);
        }
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}
