//! The corpus and its mutations, judged by `pki`, OpenSSL and `webpki`, and read by `x509-parser`.

mod corpus;
mod differences;
mod fields;
mod fuzz;
mod judge;
mod mutations;
mod rfc5280;
mod webpki;
