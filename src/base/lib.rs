//! What every part above the rules needs: the clock, randomness, configuration, logs and metrics, and one way to talk about errors.
//!
//! Rooms and cores take these as arguments; only the composition root makes the real ones.

mod clock;
pub mod config;
mod fault;
mod random;
pub mod telemetry;

pub use clock::{Clock, SimulatedClock, SystemClock};
pub use fault::{Denied, Fault, Kind, with_causes};
pub use random::SystemRandom;
