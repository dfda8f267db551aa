//! What the codecs promise, seen from outside: beside another implementation, and against themselves.

mod differential;
mod generator;
mod round_trips;
