//! The engine that forgets: for tests and for trying things out.

use super::{Engine, EngineError};
use crate::RawRow;
use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{PoisonError, RwLock},
};

#[derive(Default)]
pub(super) struct Memory {
    rows: RwLock<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Engine for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.rows.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], reversed: bool, limit: usize) -> Result<Vec<RawRow>, EngineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let range = rows.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to))).map(|(key, value)| (key.clone(), value.clone()));
        Ok(if reversed { range.rev().take(limit).collect() } else { range.take(limit).collect() })
    }

    fn write(&self, rows: &[(&[u8], Option<&[u8]>)]) -> Result<(), EngineError> {
        let mut map = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in rows {
            match value {
                Some(value) => map.insert(key.to_vec(), value.to_vec()),
                None => map.remove(*key),
            };
        }
        Ok(())
    }
}
