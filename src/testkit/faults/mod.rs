//! Holds a store to its promise when the disk, the power or the process fails.
//!
//! [`recorder`] runs a program under the disk recorder and fault injector, [`log`] reads what it recorded, and
//! [`disk`] says what the platter could hold if the power went away at any moment of it. [`workload`] says what is
//! written, [`writer`] is the child that writes it and leaves [`marks`], and [`checker`] compares what is left with
//! what was promised. [`suite`] makes the experiments of all this; the program `store-faults` runs it. Every random
//! choice comes from a [`seed`] that is printed and can be given again.

pub mod checker;
pub mod disk;
pub mod log;
pub mod marks;
pub mod recorder;
pub mod scribble;
pub mod seed;
pub mod suite;
pub mod workload;
pub mod writer;
