//! Clients of other makers against the door, on real sockets: they referee what our own endpoint could get wrong on both sides.
//!
//! The clients in Python are small programs beside this file. `packaging/need test` makes the environment that they run in.
#![allow(missing_docs, reason = "tests say what they are by their names")]

mod aiocoap;
mod device;
mod house;

/// As the clients take and print bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
