//! What the parts of the product remember of one connection: a value of each type that they choose.
//!
//! A value is there from a handler that sets it to the end of the connection, and is gone with it. Every look and every
//! change happens at one moment for all handlers of the connection, which work side by side. When the connection is over,
//! nothing can be set any more, so that who declares a device present at the same moment at which it goes learns of it.

use gatehouse_base::{Fault, Kind};
use std::{
    any::{Any, TypeId},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The values of one connection.
#[derive(Debug, Default)]
pub(crate) struct State(Mutex<Values>);

/// Values by their types: as many as the product has types for them. `None` when the connection is over.
#[derive(Debug)]
struct Values(Option<Vec<(TypeId, Value)>>);

type Value = Arc<dyn Any + Send + Sync>;

/// The connection has ended, and remembers nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection is over")]
pub struct Over;

impl Fault for Over {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn code(&self) -> &'static str {
        "connection-over"
    }
}

impl State {
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.values().get()
    }

    /// What was there before is dropped when nobody is kept waiting by it.
    pub(crate) fn change<T: Any + Send + Sync, R>(&self, change: impl FnOnce(&mut Option<Arc<T>>) -> R) -> Result<R, Over> {
        let mut values = self.values();
        let before = values.get::<T>();
        let mut value = before.clone();
        let kept = values.0.as_mut().ok_or(Over)?;
        let answer = change(&mut value);
        kept.retain(|(known, _)| *known != TypeId::of::<T>());
        if let Some(value) = value {
            kept.push((TypeId::of::<T>(), value));
        }
        drop(values);
        drop(before);
        Ok(answer)
    }

    /// Ends the state, and gives back what it was.
    pub(crate) fn seal(&self) -> Last {
        Last(self.values().0.take().unwrap_or_default())
    }

    fn values(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Values {
    fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        find(self.0.as_deref()?)
    }
}

impl Default for Values {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

/// The values of a connection that is over.
pub(crate) struct Last(Vec<(TypeId, Value)>);

impl Last {
    pub(crate) fn get<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        find(&self.0)
    }
}

fn find<T: Any + Send + Sync>(values: &[(TypeId, Value)]) -> Option<Arc<T>> {
    let (_, value) = values.iter().find(|(known, _)| *known == TypeId::of::<T>())?;
    Arc::clone(value).downcast().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value_and_a_change_sees_the_one_before() {
        let state = State::default();
        assert_eq!(state.get::<u8>(), None);
        assert_eq!(state.change(|value: &mut Option<Arc<u8>>| value.replace(Arc::new(1))), Ok(None));
        state.change(|value| *value = Some(Arc::new("one"))).expect("open");
        let counted = state.change(|value: &mut Option<Arc<u8>>| {
            *value = value.as_ref().map(|before| Arc::new(**before + 1));
            value.as_deref().copied()
        });
        assert_eq!((counted, state.get::<u8>(), state.get::<&str>()), (Ok(Some(2)), Some(Arc::new(2)), Some(Arc::new("one"))));
        state.change(|value: &mut Option<Arc<u8>>| value.take()).expect("open");
        assert_eq!((state.get::<u8>(), state.get::<&str>()), (None, Some(Arc::new("one"))));
    }

    #[test]
    fn what_is_over_is_given_back_once_and_takes_nothing_any_more() {
        let state = State::default();
        state.change(|value| *value = Some(Arc::new(7_u8))).expect("open");
        assert_eq!(state.seal().get::<u8>(), Some(Arc::new(7)));
        assert_eq!(state.change(|value| *value = Some(Arc::new(8_u8))), Err(Over));
        assert_eq!((state.get::<u8>(), state.seal().get::<u8>()), (None, None));
    }

    #[test]
    fn a_value_whose_end_looks_at_the_connection_holds_nobody_up() {
        struct Looks(Arc<State>);
        impl Drop for Looks {
            fn drop(&mut self) {
                self.0.get::<u8>();
            }
        }
        let state = Arc::new(State::default());
        let looks = |value: &mut Option<Arc<Looks>>| *value = Some(Arc::new(Looks(Arc::clone(&state))));
        state.change(looks).expect("open");
        state.change(looks).expect("open");
        drop(state.seal());
    }
}
