//! Stands between a process and its disk: records what it writes, and breaks the disk on demand.
//!
//! The test kit loads this shared object into a child with `LD_PRELOAD`. It then sees every call that changes
//! a file below one directory, in the order in which the kernel saw it, and can make a call fail. The test
//! kit's `disk` module rebuilds from the log what a disk could hold after the power went away.
//!
//! The environment says what happens:
//!
//! | variable | meaning |
//! |---|---|
//! | `DISKFAULT_DIR` | absolute path of the directory that is watched; without it nothing happens at all |
//! | `DISKFAULT_LOG` | where the log of operations goes; without it nothing is recorded |
//! | `DISKFAULT_MARKS` | a file whose writes enter the log as marks: what the child promised, and when |
//! | `DISKFAULT_SYNC_ERROR` | the n-th fsync or fdatasync fails with EIO; later ones succeed, as on Linux |
//! | `DISKFAULT_SPACE` | after so many bytes a write is cut short, then fails with ENOSPC |
//!
//! Calls are recognised by the inode behind the descriptor, so a duplicated or inherited descriptor is seen
//! too. What cannot be followed (a shared writable mapping, a copy inside the kernel, `O_TMPFILE`) enters the
//! log as unsupported, and the reader refuses such a log. Calls that bypass the C library are not seen; the
//! reader finds out by comparing the replayed log with the real directory.
//!
//! `unsafe` is allowed in this crate because to replace functions of the C library is to speak C. The real
//! calls are made with `syscall(2)`, so nothing here can call itself.

mod calls;
mod log;
mod path;
mod watch;
