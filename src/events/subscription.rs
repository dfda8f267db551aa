//! Following a stream.

use crate::{EventError, Events, Listener, Recorded};
use gatehouse_store::{Batch, Commit, CommitError, Entry, Key, Position, Stream, Table};
use std::{fmt, time::Duration};

pub(crate) const CURSORS: Table = Table::new("event-cursors");

/// How many events come at once.
const PAGE: usize = 256;
/// How long a lost wake-up delays an event, unless [`Events::look_every`] says otherwise.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// A consumer that follows a stream from where it was.
///
/// [`Subscription::next`] gives events; [`Subscription::commit`] notes in the store how far the consumer came, in
/// the same batch as what it did about them. What was not noted comes again after a restart.
pub struct Subscription {
    events: Events,
    consumer: String,
    stream: Stream,
    listener: Box<dyn Listener>,
    /// The cursor's row as it was when it was last read or written.
    noted: Option<Entry>,
    /// The last event that was given out.
    given: Position,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The next events, at least one, in order.
    Events(Vec<Recorded>),
    /// The consumer was away or slow for so long that events it has not seen were dropped. It goes on behind them,
    /// and has to find out by other means what it missed.
    FellBehind {
        /// The first event that is gone.
        from: Position,
        /// The last event that is gone.
        through: Position,
    },
}

impl Events {
    /// Follows a stream from where this consumer was; a new consumer begins at the first event that is left.
    pub async fn subscribe(&self, consumer: &str, stream: &Stream) -> Result<Subscription, EventError> {
        let listener = self.bus.listen(stream)?;
        let noted = self.store.get(CURSORS, cursor_key(consumer, stream)).await?;
        let given = match &noted {
            Some(entry) => parse(entry).ok_or_else(|| EventError::DamagedRow { what: format!("the cursor of {consumer} in {stream}") })?,
            None => self.store.head(stream).await?.truncated,
        };
        Ok(Subscription { events: self.clone(), consumer: consumer.to_owned(), stream: stream.clone(), listener, noted, given })
    }
}

impl Subscription {
    /// The next events; waits until there are some.
    pub async fn next(&mut self) -> Result<Delivery, EventError> {
        loop {
            let delivery = match self.look().await? {
                Some(delivery) => delivery,
                None => {
                    // Woken or not, the log knows.
                    let _ = tokio::time::timeout(self.events.look, self.listener.wait()).await;
                    continue;
                }
            };
            self.given = match &delivery {
                Delivery::Events(events) => events.last().map_or(self.given, |event| event.position),
                Delivery::FellBehind { through, .. } => *through,
            };
            return Ok(delivery);
        }
    }

    /// Commits what the consumer did about the events up to and with this position, and that it did it. A conflict
    /// in the cursor's table means that another subscriber goes by the same name: stop, and subscribe again.
    pub async fn commit(&mut self, batch: Batch, through: Position) -> Result<Commit, CommitError> {
        let key = cursor_key(&self.consumer, &self.stream);
        let value = through.0.to_be_bytes();
        let batch = batch.require_unchanged(CURSORS, key.clone(), self.noted.as_ref()).put(CURSORS, key, value);
        let commit = self.events.commit(batch).await?;
        self.noted = Some(Entry { value: value.to_vec(), version: commit.version });
        Ok(commit)
    }

    /// How many events the consumer has not noted as done.
    pub async fn lag(&self) -> Result<u64, EventError> {
        let noted = self.noted.as_ref().and_then(parse).unwrap_or_default();
        Ok(self.events.store.head(&self.stream).await?.position.0.saturating_sub(noted.0))
    }

    async fn look(&self) -> Result<Option<Delivery>, EventError> {
        let from = self.given.next();
        let events = self.events.read(&self.stream, from, PAGE).await?;
        let first = match events.first() {
            Some(event) => event.position,
            None => self.events.store.head(&self.stream).await?.truncated.next(),
        };
        if first > from {
            return Ok(Some(Delivery::FellBehind { from, through: Position(first.0 - 1) }));
        }
        Ok((!events.is_empty()).then_some(Delivery::Events(events)))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Subscription({} in {} at {})", self.consumer, self.stream, self.given)
    }
}

fn cursor_key(consumer: &str, stream: &Stream) -> Key {
    Key::new().text(consumer).text(stream.name())
}

fn parse(entry: &Entry) -> Option<Position> {
    entry.value.as_slice().try_into().ok().map(|bytes| Position(u64::from_be_bytes(bytes)))
}
