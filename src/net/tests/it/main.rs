//! Device ports against every chain of `certs/`, every engine, and stock clients.

mod datagrams;
mod devices;
mod records;
mod stock;
mod support;
mod verdicts;
