//! The HTTP door: HTTP/1.1 and HTTP/2 with limits, routes that name a permission, and errors as problem details.
//!
//! A part of the product hands over [`Routes`]; each handler's first argument is a [`Granted`] permission, and what it takes and
//! answers can be told by its types, or the route cannot be added. [`document()`] tells all of it as OpenAPI. The composition root gives all routes of a listener to a [`Server`], which is a
//! [`Service`](gatehouse_net::Service) behind the accept loop of `gatehouse-net`. The server bounds what a peer can
//! make it hold (heads, bodies, streams, requests at once and in a second, time), gives every request an id, turns every [`Fault`](gatehouse_base::Fault)
//! into problem details (RFC 9457) by one table, and drains: what was accepted is answered before the connection ends.
//!
//! This crate knows no room and no core. What it serves by itself is public ([`health()`], [`metrics()`],
//! [`publications()`]), and it fetches that through traits which the composition root implements.

mod activity;
mod body;
mod client_address;
mod config;
mod cors;
mod counters;
mod doc;
mod document;
mod endpoint;
mod lent;
mod limits;
mod operation;
mod permission;
mod problem;
mod public;
mod rate;
mod refusal;
mod routes;
mod server;

pub use body::Body;
pub use client_address::{ClientAddress, ProxyHeader};
pub use config::Config;
pub use cors::Origin;
pub use counters::METRICS;
pub use doc::{Doc, doc};
pub use document::{About, Document, document, serve_document};
pub use endpoint::{Answers, Argument, Created, Endpoint};
pub use limits::{Limits, RateKey};
pub use operation::Operation;
pub use permission::{Authenticate, Credential, Granted, Permission, ReadAuthorities, ReadDocument, ReadHealth, ReadMetrics, SignIn};
pub use problem::Problem;
pub use public::{Readiness, health, metrics, publications};
pub use refusal::Refusal;
pub use routes::{Route, Routes};
pub use server::{RequestId, Server};
