//! The CoAP door: `coap`, `coap+tcp`, `coaps` and `coaps+tcp` with limits, routes that name a permission, and errors as codes.
//!
//! A part of the product hands over [`Routes`]; each handler is a plain async function whose first argument is a [`Granted`]
//! permission and whose second is the [`Request`]. The composition root gives the routes of a listener to a [`Server`],
//! which is a [`Service`](gatehouse_net::Service) behind the accept loop of `gatehouse-net`. For each peer one task drives
//! an [`Endpoint`](gatehouse_wire::coap::endpoint::Endpoint), which knows repetition, blocks, observation and signals; this
//! crate adds what needs a runtime: handlers that work side by side, bounds over all peers, idle limits, and draining,
//! which answers what was asked and then takes leave.
//!
//! Every connection goes both ways: [`Request::remote`] is a [`Remote`], with which the peer itself can be asked. And every
//! connection remembers: a handler sets a value of any type in its [`Connection`], as that a device has signed in, a
//! [`Permission`] demands it, and [`Routes::when_over`] gets it when the connection has ended. A [`Registry`] finds the
//! connection of a device, and whoever has a handle can end it.
//!
//! This crate knows no room and no core, and it does not look into bodies. What it serves by itself is public
//! ([`discovery`], [`time`], [`health`], [`publications`]), and it fetches that through traits and channels of the
//! composition root.

mod caller;
mod config;
mod connection;
mod counters;
mod doorstep;
mod ending;
mod life;
mod link;
mod observed;
mod permission;
mod public;
mod refusal;
mod registry;
mod remote;
mod request;
mod response;
mod routes;
mod server;
mod session;
mod state;
mod tag;
mod trace;
mod tree;
mod wire_error;

pub use caller::Transport;
pub use config::{Config, Framing};
pub use connection::Connection;
pub use counters::METRICS;
pub use ending::{Ending, Leave};
pub use permission::{Anyone, Granted, Permission, VerifiedPeer};
pub use public::{Health, discovery, health, publications, time};
pub use refusal::Refusal;
pub use registry::{Registry, Seat};
pub use remote::{Observation, Remote, RemoteError};
pub use request::Request;
pub use response::{IntoResponse, Response};
pub use routes::{Handler, Refusals, Refuse, Route, Routes};
pub use server::{Common, Server};
pub use state::Over;
pub use tag::ETag;
pub use trace::{LONGEST_TRACE, Lines, TraceError, TraceId, Traces, Whom};
pub use wire_error::WireError;
