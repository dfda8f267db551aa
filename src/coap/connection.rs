//! A handle on one connection: who is at the other end, what is remembered of it, and how to end it.

use crate::{Leave, Over, Remote, Transport, caller::Caller};
use gatehouse_net::Peer;
use std::{any::Any, fmt, sync::Arc};

/// One connection of a peer. Clones are the same connection, and outlive it.
///
/// Handlers keep here what the connection has shown, as that a device has signed in; a
/// [`Permission`](crate::Permission) finds it, and [`Routes::when_over`](crate::Routes::when_over) gets it in the end.
#[derive(Clone)]
pub struct Connection(Arc<Caller>);

impl Connection {
    pub(crate) fn new(caller: Arc<Caller>) -> Self {
        Self(caller)
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// The way to ask the peer something.
    pub fn remote(&self) -> &Remote {
        &self.0.remote
    }

    /// The value of this type that is remembered, if one is.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.state.get()
    }

    /// Remembers a value from now on, and gives back the one of the same type before it.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn set<T: Any + Send + Sync>(&self, value: T) -> Result<Option<Arc<T>>, Over> {
        self.0.state.change(|kept| kept.replace(Arc::new(value)))
    }

    /// Looks at the value of this type and changes it, while no other handler of the connection can. The change must not
    /// ask the connection for anything itself.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn change<T: Any + Send + Sync, R>(&self, change: impl FnOnce(&mut Option<Arc<T>>) -> R) -> Result<R, Over> {
        self.0.state.change(change)
    }

    /// Forgets the value of this type, and gives it back.
    pub fn forget<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.0.state.change(Option::take).ok().flatten()
    }

    /// Ends the connection, from wherever. Of several wishes the strongest counts. It returns at once: [`Remote::closed`]
    /// waits for the end.
    pub fn leave(&self, how: Leave) {
        self.0.wishes.add(how);
    }
}

impl PartialEq for Connection {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Connection {}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Connection({} {})", self.0.transport, self.0.peer.address())
    }
}
