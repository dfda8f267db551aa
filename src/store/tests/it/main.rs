//! The store, driven through its facade: the contract on every engine of this crate.

mod engines;
