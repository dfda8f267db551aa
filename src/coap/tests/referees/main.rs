//! Clients of other makers against the door, on real sockets: they referee what our own endpoint could get wrong on both sides.
//!
//! The clients in Python are small programs beside this file. `packaging/need test` makes the environment that they run in.
#![allow(missing_docs, reason = "tests say what they are by their names")]

mod aiocoap;
mod device;
mod house;
mod libcoap;
mod raw;
#[allow(dead_code, reason = "each of its users takes what it needs")]
#[path = "../it/secure.rs"]
mod secure;

/// As the clients take and print bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
