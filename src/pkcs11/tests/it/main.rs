//! Keys in SoftHSM, a token in software, each test with a token of its own.

mod signing;
mod softhsm;
