//! What the codecs promise, seen from outside: beside another implementation, and against themselves. And two endpoints with
//! a network between them, filed by the sections of the documents that they follow.

mod corpus;
mod differential;
mod generator;
mod hostile;
mod limits;
mod rfc7252;
mod rfc7641;
mod rfc7959;
mod rfc8323;
mod rfc9175;
mod round_trips;
mod simulated_day;
mod webauthn;
mod world;
