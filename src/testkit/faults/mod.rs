//! Holds a store to its promise when the disk, the power or the process fails.
//!
//! [`recorder`] runs a program under the disk recorder and fault injector, [`log`] reads what it recorded, and
//! [`disk`] says what the platter could hold if the power went away at any moment of it. Every random choice comes
//! from a [`seed`] that is printed and can be given again.

pub mod disk;
pub mod log;
pub mod recorder;
pub mod scribble;
pub mod seed;
