//! What every part above the rules needs: the clock, randomness, configuration, logs and metrics, one way to talk about errors, and
//! what doors ask of those who are above them.
//!
//! Rooms and cores take these as arguments; only the composition root makes the real ones.

mod clock;
pub mod config;
mod fault;
mod publications;
mod random;
pub mod telemetry;

pub use clock::{Clock, SimulatedClock, SystemClock};
pub use fault::{Denied, Fault, Kind, with_causes};
pub use publications::{Fetch, NotPublished, Publications};
pub use random::SystemRandom;
