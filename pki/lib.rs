//! The rules about certificates: who may get one, what it says, and whether one that is shown is good.
//!
//! The crate has two halves. The *issuing* half reads a request and checks that the requester holds the key,
//! lets a profile decide what the certificate says, examines the finished bytes once more, and only then asks a
//! signer for a signature. The *judging* half reads foreign certificates and revocation lists strictly and decides whether
//! a presented chain leads to an anchor. Both use one table of what keys and signatures may be ([`Role`]).
//!
//! The device, factory and custody parts of the workspace call it; the doors hand it the chains that peers show.
//! It does no I/O, reads no clock and knows no runtime: times and randomness are arguments (the one exception is
//! `ring`, which draws the nonces of its signatures and new keys from the operating system itself). It keeps no
//! records and no private key at rest; that is custody's task.
//!
//! Every byte that a peer supplies is bounded before it is read, and a refusal names the rule that failed.

mod key;
mod name;
mod serial;

pub use key::{
    AlgorithmError, BadSignature, Fingerprint, KeyAlgorithm, KeyError, KeyId, MAX_SPKI, PrivateKeyError, PublicKey, Role,
    SignatureAlgorithm, Signer, SignerError, SoftwareKey, Use,
};
pub use name::{CommonName, CrlAddress, DeviceName, Host, HostName, NameError, OrganisationName, SerialNumber};
pub use serial::{Serial, SerialError};
