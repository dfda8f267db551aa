//! Throw-away certificate chains for development and tests, good ones and bad ones.
//!
//! `cargo run -p gatehouse-certs` writes them into `certs/good` and `certs/bad`, a folder for each chain, and the list
//! of mutations into `certs/mutations.tsv`. Everybody can read the private keys in `certs/keys`: nothing trusts these
//! certificates but tests and the demonstration.
//!
//! The chains are put together byte by byte and signed by OpenSSL. This crate does not know `pki`, which refuses to make
//! most of them and which is judged by them: `verdicts.toml` says of every chain, and `mutations.tsv` of 2,000 good chains
//! with one thing changed, what must be said about it. The tests compare `pki`, OpenSSL and `webpki` with that.

mod bad;
pub mod chain;
pub mod der;
pub mod draft;
pub mod folder;
pub mod good;
pub mod key;
pub mod mutation;
pub mod referee;
pub mod verdict;

use std::{io, path::PathBuf};

/// Something that went wrong while making chains.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{} cannot be used", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// OpenSSL refuses.
    #[error("OpenSSL refuses")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// A key of the wrong kind.
    #[error("the key is of another kind than is needed here")]
    Kind,
    /// A line of a table that names nothing that exists.
    #[error("a line of the table names nothing that exists")]
    Row,
    /// A table that cannot be read.
    #[error("the table of verdicts is malformed")]
    Table(#[from] toml::de::Error),
    /// A file that is not PEM.
    #[error("{} is not PEM", .0.display())]
    Pem(PathBuf),
}

/// Every chain of the corpus with its folder's name: `good/…` and `bad/…`.
pub fn corpus(keys: &chain::Keys) -> Result<Vec<(String, chain::Bundle)>, Error> {
    let named = |kind: &str, chains: Vec<(&str, chain::Bundle)>| -> Vec<(String, chain::Bundle)> {
        chains.into_iter().map(|(name, bundle)| (format!("{kind}/{name}"), bundle)).collect()
    };
    Ok([named("good", good::all(keys)?), named("bad", bad::all(keys)?)].concat())
}
