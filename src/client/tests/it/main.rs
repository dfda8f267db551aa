//! The client against servers of other makers, and against a socket that misbehaves.

mod aiocoap;
mod libcoap;
mod misbehaving;
mod security;
mod support;
