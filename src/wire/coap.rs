//! CoAP messages: one vocabulary for both transports.
//!
//! A [`Message`] is what a request or an answer says, whatever carried it. [`udp`] puts it into a datagram with a message
//! id and a kind (RFC 7252 §3), [`tcp`] into a frame (RFC 8323 §3.2). Both read options with the same parser, which checks
//! all of them once; [`Options`] then walks over the bytes that arrived without copying or allocating.
//!
//! Parsing judges form alone. What an option means, whether it is known ([`Options::refuse_critical`]), and what to answer
//! are for the [`endpoint`], which keeps everything that goes on with one peer; the errors carry what it needs to answer.

mod block;
mod code;
mod conditions;
mod content_format;
pub mod doorstep;
pub mod endpoint;
pub mod link_format;
mod message;
mod number;
mod option_format;
mod options;
mod options_builder;
pub mod signal;
pub mod tcp;
mod token;
pub mod udp;
pub mod uri;

pub use block::{Block, BlockError, BlockSize};
pub use code::Code;
pub use conditions::NoResponse;
pub use content_format::ContentFormat;
pub use message::{Limits, Message};
pub use number::{Format, OptionNumber};
pub use option_format::OptionRule;
pub use options::{Options, OptionsIter, Segments, Unrecognised, WhyUnrecognised};
pub use options_builder::{OptionsBuilder, ValueLength};
pub use signal::Signal;
pub use token::{Token, TokenLength};
pub use udp::{Datagram, Kind, MessageId};
pub use uri::Uri;
