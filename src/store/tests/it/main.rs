//! The store, driven through its facade: the contract on every engine, and what a directory has to be.

mod directory;
mod engines;
mod old_data;
