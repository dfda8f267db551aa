//! The crate from outside, with OpenSSL as the referee.

mod issuing;
mod keys;
mod openssl;
mod requests;
