//! The CoAP door: `coap`, `coap+tcp`, `coaps` and `coaps+tcp` with limits, routes that name a permission, and errors as codes.
//!
//! A part of the product hands over [`Routes`]; each handler is a plain async function whose first argument is a [`Granted`]
//! permission and whose second is the [`Request`]. The composition root gives the routes of a listener to a [`Server`],
//! which is a [`Service`](gatehouse_net::Service) behind the accept loop of `gatehouse-net`. For each peer one task drives
//! an [`Endpoint`](gatehouse_wire::coap::endpoint::Endpoint), which knows repetition, blocks, observation and signals; this
//! crate adds what needs a runtime: handlers that work side by side, bounds over all peers, idle limits, and draining,
//! which answers what was asked and then takes leave.
//!
//! Every connection goes both ways: [`Request::remote`] is a [`Remote`], with which the peer itself can be asked.
//!
//! This crate knows no room and no core, and it does not look into bodies. What it serves by itself is public
//! ([`discovery`], [`time`], [`health`], [`publications`]), and it fetches that through traits and channels of the
//! composition root.

mod caller;
mod config;
mod counters;
mod doorstep;
mod link;
mod observed;
mod permission;
mod public;
mod refusal;
mod remote;
mod request;
mod response;
mod routes;
mod server;
mod session;
mod trace;
mod tree;

pub use caller::Transport;
pub use config::{Config, Framing};
pub use counters::METRICS;
pub use permission::{Anyone, Granted, Permission, VerifiedPeer};
pub use public::{Fetch, Health, Publications, discovery, health, publications, time};
pub use refusal::Refusal;
pub use remote::{Observation, Remote, RemoteError};
pub use request::Request;
pub use response::{IntoResponse, Response};
pub use routes::{Handler, Refusals, Refuse, Route, Routes};
pub use server::{Common, Server};
pub use trace::{LONGEST_TRACE, Lines, TraceError, TraceId, Traces, Whom};
