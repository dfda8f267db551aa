//! Which connection is whose: at most one for each name.
//!
//! A room keeps one of these for what its peers sign in as, and the [`Seat`] in the connection's own state: it is given up
//! when the connection ends, however that comes about. A device that connects again takes the place of its old connection,
//! which may be dead without anybody knowing; what becomes of that one is the room's to say, usually
//! [`Leave::Abort`](crate::Leave::Abort).

use crate::Connection;
use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections by name. It holds as many as there are seats.
pub struct Registry<K>(Mutex<Places<K>>);

struct Places<K> {
    seats: HashMap<K, (u64, Connection)>,
    last: u64,
}

/// A name that is taken by a connection for as long as this is kept.
pub struct Seat<K: Eq + Hash> {
    registry: Arc<Registry<K>>,
    name: K,
    number: u64,
}

impl<K: Eq + Hash + Clone> Registry<K> {
    /// A registry with nobody in it.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Places { seats: HashMap::new(), last: 0 })))
    }

    /// Takes a name for a connection, and gives back the connection that had it, which may be the same.
    pub fn seat(self: &Arc<Self>, name: K, connection: &Connection) -> (Seat<K>, Option<Connection>) {
        let mut places = self.places();
        places.last += 1;
        let number = places.last;
        let before = places.seats.insert(name.clone(), (number, connection.clone()));
        (Seat { registry: Arc::clone(self), name, number }, before.map(|(_, connection)| connection))
    }

    /// The connection that has the name.
    pub fn get(&self, name: &K) -> Option<Connection> {
        self.places().seats.get(name).map(|(_, connection)| connection.clone())
    }
}

impl<K: Eq + Hash> Registry<K> {
    /// How many names are taken.
    pub fn len(&self) -> usize {
        self.places().seats.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn places(&self) -> MutexGuard<'_, Places<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Seat<K> {
    /// The name.
    pub fn name(&self) -> &K {
        &self.name
    }

    /// Whether nobody has taken the name since.
    pub fn is_held(&self) -> bool {
        self.registry.places().seats.get(&self.name).is_some_and(|(number, _)| *number == self.number)
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut places = self.registry.places();
        let own = places.seats.get(&self.name).is_some_and(|(number, _)| *number == self.number);
        let gone = if own { places.seats.remove(&self.name) } else { None };
        // A connection's last handle drops its state, in which other seats may be.
        drop(places);
        drop(gone);
    }
}

impl<K> fmt::Debug for Registry<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Registry")
    }
}

impl<K: Eq + Hash + fmt::Debug> fmt::Debug for Seat<K> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Seat({:?})", self.name)
    }
}
