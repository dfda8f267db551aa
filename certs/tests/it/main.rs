//! The corpus and its mutations, judged by `pki`, OpenSSL and `webpki`.

mod corpus;
mod differences;
mod judge;
mod mutations;
mod webpki;
