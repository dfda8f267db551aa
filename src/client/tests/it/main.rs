//! The client against servers of other makers, and against a socket that misbehaves.

mod libcoap;
mod misbehaving;
mod support;
