//! What every engine has to do. Written once; an engine's crate runs it with [`contract!`](crate::contract!).
//!
//! The cases only use the facade, so they say what any store does, here or on the network. Crashes, full disks
//! and flipped bits need a process to kill and a disk to break; those live with the fault tests.

use crate::{Answer, Batch, CommitError, Key, Position, Range, Store, Stream, Table};

/// A place for one store: empty at first.
pub trait Place {
    /// Opens the store that is there. It may be opened again after the one before was dropped.
    fn open(&self) -> Answer<'_, Store>;

    /// Whether what was committed is there when it is opened again.
    fn keeps(&self) -> bool;
}

/// Runs every case as a test of its own, in a module of this name. The expression is a function that makes a
/// fresh [`Place`]; it is called once for each case.
#[macro_export]
macro_rules! contract {
    ($name:ident, $fresh:expr) => {
        $crate::contract_cases! { $name, $fresh,
            a_value_is_read_back_with_its_version
            a_condition_that_does_not_hold_is_a_conflict_that_names_the_key
            a_batch_happens_as_a_whole_or_not_at_all
            the_last_write_to_a_key_counts
            one_of_many_writers_with_the_same_condition_wins
            positions_are_given_out_without_gaps
            a_scan_is_ordered_and_bounded
            tables_do_not_see_each_other
            a_snapshot_does_not_move
            what_was_acknowledged_is_there_after_reopening
        }
    };
}

/// The part of [`contract!`](crate::contract!) that knows how a case becomes a test.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($name:ident, $fresh:expr, $($case:ident)*) => {
        mod $name {
            $(
                #[test]
                fn $case() {
                    let fresh = $fresh;
                    $crate::contract::run($crate::contract::$case(&fresh()));
                }
            )*
        }
    };
}

const A: Table = Table::new("contract-a");
const B: Table = Table::new("contract-b");

/// Runs a case to its end.
///
/// # Panics
/// When the case fails.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(case);
}

fn stream(name: &str) -> Stream {
    name.parse().expect("the name of a stream")
}

async fn value(store: &Store, table: Table, key: &str) -> Option<Vec<u8>> {
    store.get(table, key).await.expect("read").map(|entry| entry.value)
}

async fn keys(store: &Store, range: Range, limit: usize) -> Vec<String> {
    let found = store.scan(A, range, limit).await.expect("scan");
    found.into_iter().map(|(key, _)| String::from_utf8(key).expect("text")).collect()
}

/// What was put is read; what was never put or was deleted is not there.
pub async fn a_value_is_read_back_with_its_version(place: &impl Place) {
    let store = place.open().await;
    assert_eq!(store.get(A, "k").await, Ok(None));
    let first = store.commit(Batch::new().put(A, "k", "1")).await.expect("commit");
    let second = store.commit(Batch::new().put(A, "k", "2").put(A, "empty", "")).await.expect("commit");
    assert!(second.version > first.version);
    let entry = store.get(A, "k").await.expect("read").expect("there");
    assert_eq!((entry.value.as_slice(), entry.version), (b"2".as_slice(), second.version));
    assert_eq!(value(&store, A, "empty").await, Some(Vec::new()), "an empty value is a value");
    store.commit(Batch::new().delete(A, "k").delete(A, "never there")).await.expect("commit");
    assert_eq!(value(&store, A, "k").await, None);
}

/// Both kinds of condition, each refused and accepted.
pub async fn a_condition_that_does_not_hold_is_a_conflict_that_names_the_key(place: &impl Place) {
    let store = place.open().await;
    let conflict = || CommitError::Conflict { table: A, key: b"k".to_vec() };
    let made = store.commit(Batch::new().require_absent(A, "k").put(A, "k", "1")).await.expect("absent");
    assert_eq!(store.commit(Batch::new().require_absent(A, "k").put(A, "k", "2")).await, Err(conflict()));

    let changed = store.commit(Batch::new().require_version(A, "k", made.version).put(A, "k", "3")).await.expect("at version");
    assert_eq!(store.commit(Batch::new().require_version(A, "k", made.version).put(A, "k", "4")).await, Err(conflict()));
    assert_eq!(value(&store, A, "k").await, Some(b"3".to_vec()));

    store.commit(Batch::new().delete(A, "k")).await.expect("delete");
    assert_eq!(store.commit(Batch::new().require_version(A, "k", changed.version).put(A, "k", "5")).await, Err(conflict()));
    assert_eq!(value(&store, A, "k").await, None);
}

/// A refused batch leaves nothing behind in any table or stream, and takes no position.
pub async fn a_batch_happens_as_a_whole_or_not_at_all(place: &impl Place) {
    let (store, log) = (place.open().await, stream("log"));
    let whole = Batch::new().put(A, "k", "1").put(B, "k", "1").append(&log, "1");
    store.commit(whole).await.expect("commit");
    let refused = Batch::new().put(A, "k", "2").put(B, "k", "2").append(&log, "2").require_absent(B, "k");
    assert_eq!(store.commit(refused).await, Err(CommitError::Conflict { table: B, key: b"k".to_vec() }));
    let behind = Batch::new().put(A, "k", "3").truncate(&log, Position(9));
    assert!(matches!(store.commit(behind).await, Err(CommitError::BehindTheEnd { end: Position(1), .. })));
    assert_eq!(value(&store, A, "k").await, Some(b"1".to_vec()));
    assert_eq!(value(&store, B, "k").await, Some(b"1".to_vec()));
    assert_eq!(store.head(&log).await.expect("head").position, Position(1));
}

/// Within one batch too.
pub async fn the_last_write_to_a_key_counts(place: &impl Place) {
    let store = place.open().await;
    store.commit(Batch::new().put(A, "k", "1").delete(A, "k").put(A, "k", "2").put(A, "l", "1").delete(A, "l")).await.expect("commit");
    assert_eq!(value(&store, A, "k").await, Some(b"2".to_vec()));
    assert_eq!(value(&store, A, "l").await, None);
}

/// Concurrent callers that all read the same state: one may change it.
pub async fn one_of_many_writers_with_the_same_condition_wins(place: &impl Place) {
    let store = place.open().await;
    for round in 0..10 {
        let read = store.get(A, "k").await.expect("read");
        let writers = (0..32).map(|writer| {
            let batch = Batch::new().require_unchanged(A, "k", read.as_ref()).put(A, "k", format!("{round}/{writer}"));
            let store = store.clone();
            tokio::spawn(async move { store.commit(batch).await })
        });
        let mut won = 0;
        for writer in writers.collect::<Vec<_>>() {
            match writer.await.expect("a writer") {
                Ok(_) => won += 1,
                Err(error) => assert!(matches!(error, CommitError::Conflict { .. }), "{error}"),
            }
        }
        assert_eq!(won, 1);
    }
}

/// Concurrent callers on one stream get 1, 2, 3 …, and the chain holds.
pub async fn positions_are_given_out_without_gaps(place: &impl Place) {
    let (store, log) = (place.open().await, stream("log"));
    let writers = (0..50u8).map(|writer| {
        let (store, log) = (store.clone(), log.clone());
        tokio::spawn(async move { store.commit(Batch::new().append(&log, [writer]).append(&log, [writer])).await })
    });
    let mut given = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        given.extend(writer.await.expect("a writer").expect("commit").appended);
    }
    given.sort();
    assert_eq!(given, (1..=100).map(Position).collect::<Vec<_>>());

    let records = store.read(&log, Position::START, 1000).await.expect("read");
    assert_eq!(records.iter().map(|record| record.position).collect::<Vec<_>>(), given);
    let mut hash = crate::ChainHash::START;
    for record in &records {
        hash = hash.next(&log, record.position, &record.payload);
        assert_eq!(record.hash, hash);
    }
    assert_eq!(store.head(&log).await.expect("head").hash, hash);
    assert_eq!(store.read(&log, Position(99), 1).await.expect("read"), records[98..99]);
    assert_eq!(store.read(&log, Position(101), 10).await, Ok(Vec::new()));
}

/// In the order of the keys, from either end, in pages.
pub async fn a_scan_is_ordered_and_bounded(place: &impl Place) {
    let store = place.open().await;
    let written = (0..3000).rev().map(|n| format!("k{n:04}")).collect::<Vec<_>>();
    for page in written.chunks(1000) {
        store.commit(page.iter().fold(Batch::new(), |batch, key| batch.put(A, key.as_str(), "v"))).await.expect("commit");
    }
    let mut sorted = written.clone();
    sorted.sort();
    assert_eq!(keys(&store, Range::all(), 10_000).await, sorted);
    assert_eq!(keys(&store, Range::all().reversed(), 10_000).await, written);
    assert_eq!(keys(&store, Range::all(), 5).await, sorted[..5]);
    assert_eq!(keys(&store, Range::all().after(sorted[4].as_bytes()), 5).await, sorted[5..10]);
    assert_eq!(keys(&store, Range::all().reversed().after(b"k0005"), 2).await, ["k0004", "k0003"]);
    assert_eq!(keys(&store, Range::between("k0010", "k0013"), 100).await, ["k0010", "k0011", "k0012"]);
    assert_eq!(keys(&store, Range::prefix("k299"), 100).await, sorted[2990..]);
    assert_eq!(keys(&store, Range::between("k9", "k0"), 100).await, [""; 0], "an empty range");
    assert_eq!(keys(&store, Range::all(), 0).await, [""; 0]);
}

/// Neither do their keys, even when one table's name begins with another's.
pub async fn tables_do_not_see_each_other(place: &impl Place) {
    const SHORT: Table = Table::new("contract");
    let store = place.open().await;
    let key = Key::new().text("a").number(7);
    store.commit(Batch::new().put(A, key.clone(), "a").put(SHORT, "-a", "short").append(&stream("contract-a"), "s")).await.expect("commit");
    assert_eq!(store.get(B, &key).await, Ok(None));
    assert_eq!(store.scan(SHORT, Range::all(), 10).await.expect("scan").len(), 1);
    assert_eq!(store.scan(A, Range::all(), 10).await.expect("scan").len(), 1);
}

/// Whatever is overwritten, deleted and added while it is read.
pub async fn a_snapshot_does_not_move(place: &impl Place) {
    let (store, log) = (place.open().await, stream("log"));
    let fill = (0..2000).fold(Batch::new().append(&log, "1"), |batch, n| batch.put(A, format!("k{n:04}"), "before"));
    store.commit(fill).await.expect("commit");
    let snapshot = store.snapshot().await.expect("snapshot");
    for n in (0..2000).step_by(100) {
        let batch = Batch::new().put(A, format!("k{n:04}"), "after").delete(A, format!("k{:04}", n + 1)).put(A, format!("k{n:04}x"), "new");
        store.commit(batch.append(&log, "2")).await.expect("commit");
    }
    for range in [Range::all(), Range::all().reversed()] {
        let seen = snapshot.scan(A, range, 10_000).await.expect("scan");
        assert_eq!(seen.len(), 2000);
        assert!(seen.iter().all(|(_, entry)| entry.value == b"before"));
    }
    assert_eq!(snapshot.get(A, "k0001").await.expect("read").expect("there").value, b"before");
    assert_eq!(snapshot.head(&log).await.expect("head").position, Position(1));
    assert_eq!(snapshot.read(&log, Position::START, 10).await.expect("read").len(), 1);
    assert_eq!(keys(&store, Range::all(), 10_000).await.len(), 2000, "twenty deleted, twenty added");
    assert_eq!(value(&store, A, "k0100").await, Some(b"after".to_vec()));
}

/// The store of a place that keeps nothing is empty then.
pub async fn what_was_acknowledged_is_there_after_reopening(place: &impl Place) {
    let (store, log) = (place.open().await, stream("log"));
    let large = vec![7; 600_000];
    for n in 0..100 {
        store.commit(Batch::new().put(A, format!("k{n}"), "v").append(&log, format!("{n}"))).await.expect("commit");
    }
    let last = store.commit(Batch::new().put(A, "large", large.clone()).delete(A, "k0")).await.expect("commit");
    let head = store.head(&log).await.expect("head");
    drop(store);
    let store = place.open().await;
    if !place.keeps() {
        assert_eq!(store.scan(A, Range::all(), 1).await, Ok(Vec::new()));
        return;
    }
    assert_eq!(value(&store, A, "large").await, Some(large));
    assert_eq!(keys(&store, Range::all(), 1000).await.len(), 100);
    assert_eq!(store.head(&log).await, Ok(head));
    let next = store.commit(Batch::new().append(&log, "next")).await.expect("commit");
    assert!(next.version > last.version);
    assert_eq!(next.appended, [Position(101)]);
}
