//! From a name to addresses: the system's resolver, and the door for another one.

use std::{
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    pin::Pin,
    sync::Arc,
};
use tokio::sync::Semaphore;

/// More are not looked at.
pub(crate) const MOST_ADDRESSES: usize = 16;

/// The addresses of a name, when they are there.
pub type Resolved<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;

/// Finds the addresses of names. It is asked once for every request.
pub trait Resolve: Send + Sync + fmt::Debug {
    /// The addresses of a name.
    fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a>;
}

/// The system's own.
#[derive(Clone, Debug)]
pub struct SystemResolver {
    places: Arc<Semaphore>,
}

impl SystemResolver {
    /// A resolver that looks so many names up at once. A look-up that nobody waits for any more keeps its place until the system is
    /// done with it: it cannot be ended.
    pub fn new(at_once: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(at_once)) }
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolved<'a> {
        Box::pin(async move {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let looked = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs()?;
                let addresses = found.take(MOST_ADDRESSES).map(|address| address.ip()).collect();
                drop(place);
                Ok(addresses)
            });
            looked.await.map_err(io::Error::other)?
        })
    }
}
