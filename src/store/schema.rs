//! Schema versions: each part that keeps something says which tables are its own and how old forms become new.
//!
//! Values are versioned by whoever writes them, and old forms still load. A migration is for what reading cannot
//! mend: a table that splits, an index that is new. The version of a part is a row of the store, and a migration
//! changes it in the batch that does its work, so it happens once, whenever the process dies.

use crate::{Answer, Batch, CommitError, OpenError, Range, ReadError, Snapshot, Store, Table};
use std::collections::BTreeSet;

const VERSIONS: Table = Table::new("store-schemas");

/// What one part of the program keeps in the store.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The part.
    pub name: &'static str,
    /// Its tables. No other part may name them.
    pub tables: &'static [Table],
    /// The steps from version 1 on, in order.
    pub migrations: &'static [Migration],
}

/// A step from the version before to this one.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version that it leads to: 2, 3 and so on.
    pub to: u32,
    /// What it does, for the log.
    pub name: &'static str,
    /// Reads the store as it is and answers what to write. All of it is one batch.
    pub run: fn(&Snapshot) -> Answer<'_, Result<Batch, ReadError>>,
}

impl Schema {
    /// The version that this program writes.
    pub fn version(&self) -> u32 {
        self.migrations.last().map_or(1, |migration| migration.to)
    }
}

impl Store {
    /// Brings the tables of all parts up to the versions that this program writes. Called once, after opening
    /// and before anything else uses the store.
    pub async fn prepare(&self, schemas: &[Schema]) -> Result<(), OpenError> {
        let mut seen = BTreeSet::from([VERSIONS, crate::lock::LOCKS]);
        for table in schemas.iter().flat_map(|schema| schema.tables) {
            if !seen.insert(*table) {
                return Err(OpenError::TableTwice { table: *table });
            }
        }
        for schema in schemas {
            self.prepare_one(schema).await?;
        }
        Ok(())
    }

    async fn prepare_one(&self, schema: &Schema) -> Result<(), OpenError> {
        let known = schema.version();
        let mut found = match self.get(VERSIONS, schema.name).await.map_err(unreadable)? {
            Some(entry) => {
                parse(&entry.value).ok_or_else(|| OpenError::Damaged { what: format!("the schema version of {}", schema.name) })?
            }
            None if self.holds_nothing(schema).await.map_err(unreadable)? => {
                let batch = Batch::new().require_absent(VERSIONS, schema.name).put(VERSIONS, schema.name, known.to_string());
                self.commit(batch).await.map_err(|error| failed(known, "first start", &error))?;
                known
            }
            // Parts had no version before they had a migration.
            None => 1,
        };
        if found > known {
            return Err(OpenError::TooNew { what: schema.name, found, known });
        }
        for migration in schema.migrations.iter().filter(|migration| migration.to > found).collect::<Vec<_>>() {
            let stamp = self.get(VERSIONS, schema.name).await.map_err(unreadable)?;
            let snapshot = self.snapshot().await.map_err(unreadable)?;
            let work = (migration.run)(&snapshot).await.map_err(|error| failed(migration.to, migration.name, &error.into()))?;
            let batch = work.require_unchanged(VERSIONS, schema.name, stamp.as_ref()).put(VERSIONS, schema.name, migration.to.to_string());
            self.commit(batch).await.map_err(|error| failed(migration.to, migration.name, &error))?;
            tracing::info!(part = schema.name, from = found, to = migration.to, step = migration.name, "schema migrated");
            found = migration.to;
        }
        Ok(())
    }

    async fn holds_nothing(&self, schema: &Schema) -> Result<bool, ReadError> {
        for table in schema.tables {
            if !self.scan(*table, Range::all(), 1).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn parse(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn unreadable(error: ReadError) -> OpenError {
    OpenError::Engine { reason: error.to_string() }
}

fn failed(to: u32, name: &'static str, error: &CommitError) -> OpenError {
    OpenError::Migration { to, name, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THINGS: Table = Table::new("things");
    const INDEX: Table = Table::new("things-by-colour");

    fn schema(migrations: &'static [Migration]) -> Schema {
        Schema { name: "things", tables: &[THINGS, INDEX], migrations }
    }

    const BY_COLOUR: Migration = Migration { to: 2, name: "index by colour", run: |snapshot| Box::pin(index(snapshot)) };
    const UPPER_CASE: Migration = Migration { to: 3, name: "upper case", run: |snapshot| Box::pin(shout(snapshot)) };

    async fn index(snapshot: &Snapshot) -> Result<Batch, ReadError> {
        let things = snapshot.scan(THINGS, Range::all(), 100).await?;
        Ok(things.into_iter().fold(Batch::new(), |batch, (key, entry)| batch.put(INDEX, entry.value, key)))
    }

    async fn shout(snapshot: &Snapshot) -> Result<Batch, ReadError> {
        let rows = snapshot.scan(INDEX, Range::all(), 100).await?;
        Ok(rows.into_iter().fold(Batch::new(), |batch, (key, entry)| batch.put(INDEX, key, entry.value.to_ascii_uppercase())))
    }

    #[tokio::test]
    async fn steps_run_once_and_in_order() {
        let store = Store::memory().expect("memory");
        store.prepare(&[schema(&[])]).await.expect("first start");
        store.commit(Batch::new().put(THINGS, "ball", "red")).await.expect("commit");
        store.prepare(&[schema(&[BY_COLOUR, UPPER_CASE])]).await.expect("two steps");
        assert_eq!(store.get(INDEX, "red").await.expect("read").expect("indexed").value, b"BALL");

        store.commit(Batch::new().put(INDEX, "red", "by hand")).await.expect("commit");
        store.prepare(&[schema(&[BY_COLOUR, UPPER_CASE])]).await.expect("nothing to do");
        assert_eq!(store.get(INDEX, "red").await.expect("read").expect("there").value, b"by hand");
    }

    #[tokio::test]
    async fn a_new_store_begins_with_the_newest_version() {
        let store = Store::memory().expect("memory");
        store.prepare(&[schema(&[BY_COLOUR])]).await.expect("first start");
        assert_eq!(store.get(VERSIONS, "things").await.expect("read").expect("stamped").value, b"2");
    }

    #[tokio::test]
    async fn a_store_of_a_newer_program_is_refused() {
        let store = Store::memory().expect("memory");
        store.prepare(&[schema(&[BY_COLOUR])]).await.expect("the newer program");
        let error = store.prepare(&[schema(&[])]).await.expect_err("the older program");
        assert_eq!(error.to_string(), "the store has things 2, and this program knows 1 at most; use the newer program");
    }

    #[tokio::test]
    async fn a_table_that_two_parts_name_is_refused() {
        let store = Store::memory().expect("memory");
        let other = Schema { name: "other", tables: &[THINGS], migrations: &[] };
        let error = store.prepare(&[schema(&[]), other]).await.expect_err("twice");
        assert!(matches!(error, OpenError::TableTwice { table: THINGS }), "{error}");
    }
}
