//! The crate from outside, with OpenSSL as the referee.

mod documents;
mod issuing;
mod keys;
mod openssl;
mod properties;
mod requests;
