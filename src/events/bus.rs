//! The bus: says that a stream has grown, and nothing else.

use gatehouse_store::Stream;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// How many listeners a [`LocalBus`] has at most, unless it is told otherwise.
const LISTENERS: usize = 100_000;

/// A wait for the next wake-up.
pub type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Wakes those who follow a stream. Wake-ups carry nothing, so any number of them is one; a bus may lose some, and
/// who follows a stream looks into the log now and then regardless.
pub trait Bus: Send + Sync {
    /// Wakes everybody who listens for this stream. Does not wait for anybody.
    fn wake(&self, stream: &Stream);

    /// Listens for a stream: every wake-up after this call is noticed, unless it is lost.
    fn listen(&self, stream: &Stream) -> Result<Box<dyn Listener>, BusError>;
}

/// Somebody who listens for a stream.
pub trait Listener: Send + Sync {
    /// Returns when there was a wake-up since the last return, which may be at once.
    fn wait(&mut self) -> Waiting<'_>;
}

/// The bus has as many listeners as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bus takes no more than {most} listeners")]
pub struct BusError {
    /// How many it takes.
    pub most: usize,
}

/// The bus within this process. It loses nothing.
#[derive(Clone)]
pub struct LocalBus {
    streams: Arc<Mutex<HashMap<Stream, watch::Sender<()>>>>,
    most: usize,
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::with_listeners(LISTENERS)
    }
}

impl LocalBus {
    /// A bus with room for so many listeners.
    pub fn with_listeners(most: usize) -> Self {
        Self { streams: Arc::default(), most }
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<Stream, watch::Sender<()>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for LocalBus {
    fn wake(&self, stream: &Stream) {
        if let Some(sender) = self.streams().get(stream) {
            sender.send_replace(());
        }
    }

    fn listen(&self, stream: &Stream) -> Result<Box<dyn Listener>, BusError> {
        let mut streams = self.streams();
        if streams.values().map(watch::Sender::receiver_count).sum::<usize>() >= self.most {
            return Err(BusError { most: self.most });
        }
        let wakes = streams.entry(stream.clone()).or_default().subscribe();
        Ok(Box::new(LocalListener { bus: self.clone(), stream: stream.clone(), wakes: Some(wakes) }))
    }
}

struct LocalListener {
    bus: LocalBus,
    stream: Stream,
    /// There until it is dropped.
    wakes: Option<watch::Receiver<()>>,
}

impl Listener for LocalListener {
    fn wait(&mut self) -> Waiting<'_> {
        Box::pin(async {
            if let Some(wakes) = &mut self.wakes {
                // The sender stays in the map as long as this listener is there.
                let _ = wakes.changed().await;
            }
        })
    }
}

impl Drop for LocalListener {
    /// The last one who listens for a stream takes its entry away.
    fn drop(&mut self) {
        let mut streams = self.bus.streams();
        self.wakes = None;
        if streams.get(&self.stream).is_some_and(|sender| sender.receiver_count() == 0) {
            streams.remove(&self.stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_went_away_leave_nothing_and_make_room() {
        let bus = LocalBus::with_listeners(2);
        let (a, b): (Stream, Stream) = ("a".parse().expect("name"), "b".parse().expect("name"));
        let (first, second) = (bus.listen(&a).expect("room"), bus.listen(&b).expect("room"));
        assert_eq!(bus.listen(&b).err(), Some(BusError { most: 2 }));
        drop(first);
        let third = bus.listen(&b).expect("room again");
        assert_eq!(bus.streams().len(), 1);
        drop((second, third));
        assert!(bus.streams().is_empty());
    }
}
