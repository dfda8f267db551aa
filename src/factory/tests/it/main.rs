//! The factory against real files, real processes and stock OpenSSL.

mod line;
mod support;
