//! What a client observes, as it comes.
//!
//! The server decides how much it sends, and so only the newest states wait for an application that is slow: what they
//! replaced is left out, as RFC 7641 §1.3 has it.

use crate::{RequestError, Response, client::Ticket};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// An observation. Dropping it tells the server that nobody looks any more; [`Client::close`](crate::Client::close) waits a
/// moment until the server has heard of it.
#[derive(Debug)]
pub struct Observation {
    pub(crate) shared: Arc<Shared>,
    /// Cancels when it is dropped.
    pub(crate) _ticket: Ticket,
}

/// What an observation has to say.
#[derive(Clone, Debug)]
pub enum Update {
    /// The state of the resource, the first one included.
    State(Response),
    /// The last state is older than the server said that it would be good for, and no new one has come.
    Stale,
}

/// Between the task of the connection and the application.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    updates: VecDeque<Update>,
    left_out: u64,
    end: Option<Option<RequestError>>,
}

impl Observation {
    /// The next update. `Ok(None)` when the server has said that the last one was the last; nothing follows after that or
    /// an error.
    ///
    /// # Errors
    /// The observation ended because of this.
    pub async fn next(&mut self) -> Result<Option<Update>, RequestError> {
        loop {
            let changed = self.shared.changed.notified();
            if let Some(next) = self.shared.take() {
                return next;
            }
            changed.await;
        }
    }

    /// How many states were left out because newer ones came before anybody looked.
    pub fn left_out(&self) -> u64 {
        self.shared.lock().left_out
    }
}

impl Shared {
    pub(crate) fn push(&self, update: Update) {
        let mut waiting = self.lock();
        if waiting.updates.len() >= MOST_WAITING {
            waiting.updates.pop_front();
            waiting.left_out += 1;
        }
        waiting.updates.push_back(update);
        drop(waiting);
        self.changed.notify_one();
    }

    pub(crate) fn end(&self, why: Option<RequestError>) {
        self.lock().end.get_or_insert(why);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Result<Option<Update>, RequestError>> {
        let mut waiting = self.lock();
        match waiting.updates.pop_front() {
            Some(update) => Some(Ok(Some(update))),
            None => waiting.end.clone().map(|why| why.map_or(Ok(None), Err)),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many updates wait for the application.
const MOST_WAITING: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_wire::coap::{Code, Message, Token};

    fn state(number: usize) -> Update {
        Update::State(Response::from(Message::new(Code::CONTENT, Token::EMPTY).with_payload(number.to_string())))
    }

    #[test]
    fn the_newest_states_wait_for_a_slow_application_and_the_end_comes_last() {
        let shared = Shared::default();
        (0..MOST_WAITING + 5).for_each(|number| shared.push(state(number)));
        shared.end(None);
        let mut found = Vec::new();
        while let Some(Ok(Some(Update::State(response)))) = shared.take() {
            found.push(String::from_utf8_lossy(&response.payload).into_owned());
        }
        assert_eq!(found.first().map(String::as_str), Some("5"));
        assert_eq!(found.len(), MOST_WAITING);
        assert_eq!(shared.lock().left_out, 5);
        assert!(matches!(shared.take(), Some(Ok(None))) && matches!(shared.take(), Some(Ok(None))));
    }
}
