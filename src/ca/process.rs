//! A process that holds private keys keeps its memory to itself.
//!
//! `main` calls [`harden`] before anything secret is read. It does not protect against somebody who already is
//! this user or root: those read the key where it is kept.

use rustix::{
    io::Errno,
    mm::{MlockAllFlags, mlockall},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};
use std::fmt;

/// What the process could do for its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// No page of this process is ever written to swap.
    Locked,
    /// The limit on locked memory is too low, so pages may reach swap. Holds the limit in bytes.
    Swappable(u64),
}

/// Core dumps could not be switched off. A core file would hold every private key in use.
#[derive(Debug, thiserror::Error)]
#[error("core dumps cannot be switched off, and a core file would hold private keys")]
pub struct HardeningError(#[source] Errno);

/// Switches core dumps and tracing by other processes off, and keeps memory out of swap where the limits allow it.
///
/// Memory is locked as a whole or not at all: under a limit, locking "now and later" turns the first allocation
/// beyond the limit into a crash.
///
/// # Errors
/// When the kernel does not switch core dumps off. A failure to lock memory is an answer, not an error.
pub fn harden() -> Result<Memory, HardeningError> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(HardeningError)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardeningError)?;
    Ok(lock_memory())
}

fn lock_memory() -> Memory {
    let limit = getrlimit(Resource::Memlock);
    // A hard limit is as far as an ordinary process may raise its soft one.
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.maximum.is_none() && setrlimit(Resource::Memlock, raised).is_ok() {
        // On fault: pages that were never touched, like the reserved part of a thread's stack, stay unallocated.
        let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if mlockall(flags).is_ok() {
            return Memory::Locked;
        }
    }
    Memory::Swappable(limit.maximum.unwrap_or(0))
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => out.write_str("memory is locked: private keys cannot reach swap"),
            Self::Swappable(limit) => write!(
                out,
                "memory is not locked (limit {limit} bytes): set LimitMEMLOCK=infinity for the service, or encrypt or switch off swap"
            ),
        }
    }
}
