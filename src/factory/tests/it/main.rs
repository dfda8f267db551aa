//! The factory against real files, real processes and stock OpenSSL.

mod line;
mod manifests;
mod orders;
mod reseal;
mod stations;
mod support;
mod verdicts;
