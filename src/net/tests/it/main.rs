//! Device ports against every chain of `certs/`, every engine, and stock clients.

mod connect;
mod datagrams;
mod devices;
mod live;
mod proxy;
mod records;
mod stock;
mod support;
mod verdicts;
