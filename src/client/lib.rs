//! A CoAP client: asks a server over UDP, TCP, DTLS or TLS, and observes what it has.
//!
//! ```no_run
//! # async fn ask() -> Result<(), Box<dyn std::error::Error>> {
//! use gatehouse_client::{Client, Request, Settings};
//! use gatehouse_wire::coap::{Code, Uri};
//!
//! let uri: Uri = "coap://[::1]/sensors/temperature".parse()?;
//! let client = Client::connect(&uri, Settings::default()).await?;
//! let request = Request::new(Code::GET).options(uri.to_options(uri.port()).build());
//! let response = client.request(request).await?;
//! assert_eq!(response.code, Code::CONTENT);
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Client::connect`] finds the host, does the handshake of the URI's scheme and starts one task that drives an
//! [`Endpoint`](gatehouse_wire::coap::endpoint::Endpoint), which knows the protocol. Requests may be made side by side from
//! clones of the [`Client`]; bodies arrive whole, whatever blocks they travelled in. [`Security`] says what is presented and
//! what is believed; the chain of a server is judged by `gatehouse-pki`, and its names are compared here. A [`Tap`] sees
//! every message that comes and goes.
//!
//! Beside it is [`https`], by which the command line asks our own HTTP API.
//!
//! The command `gatehouse coap` is made of this. It serves nothing: what a server asks of it is answered 4.04. It knows no
//! proxies and no multicast, and it does not connect again by itself.

mod client;
mod connect;
mod driver;
mod error;
pub mod https;
mod link;
mod names;
mod observation;
mod settings;
mod tap;

pub use client::{Client, Response};
pub use error::{ConnectError, Ending, RequestError};
pub use gatehouse_wire::coap::endpoint::Request;
pub use observation::{Observation, Update};
pub use settings::{Expected, Family, Security, Settings, Trust};
pub use tap::{Direction, Seen, Tap};
