//! What every engine has to do. Written once; an engine's crate runs it with [`contract!`](crate::contract!).
//!
//! The cases only use the facade, so they say what any store does, here or on the network. Crashes, full disks
//! and flipped bits need a process to kill and a disk to break; those live with the fault tests.

use crate::{
    Answer, Batch, ChainHash, CommitError, ImportError, Key, Lock, LockError, MAX_BATCH_OPERATIONS, MAX_KEY_BYTES, MAX_VALUE_BYTES,
    Position, Range, Store, Stream, Table, Version,
};
use gatehouse_types::UnixTime;
use std::time::Duration;

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
            streams_are_listed_in_order
            a_truncated_stream_still_holds_together
            what_is_too_large_is_refused
            a_lock_is_held_by_one_until_it_ends
            a_fenced_batch_conflicts_once_the_lock_is_taken_over
            an_export_becomes_the_same_store
            an_export_that_is_cut_or_changed_is_refused
            an_import_goes_into_an_empty_store_only
            a_sound_store_verifies
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
    let mut hash = ChainHash::START;
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

/// In pages, with their heads, and nothing else among them.
pub async fn streams_are_listed_in_order(place: &impl Place) {
    let store = place.open().await;
    let names = ["a", "a/1", "b", "z:9"];
    for name in names {
        store.commit(Batch::new().append(&stream(name), name).put(A, name, "v")).await.expect("commit");
    }
    let snapshot = store.snapshot().await.expect("snapshot");
    let first = snapshot.streams(None, 3).await.expect("read");
    assert_eq!(first.iter().map(|(stream, _)| stream.name()).collect::<Vec<_>>(), names[..3]);
    assert_eq!(first[0].1, store.head(&stream("a")).await.expect("head"));
    let rest = snapshot.streams(Some(&stream("b")), 3).await.expect("read");
    assert_eq!(rest.iter().map(|(stream, _)| stream.name()).collect::<Vec<_>>(), names[3..]);
    assert_eq!(snapshot.streams(Some(&stream("z:9")), 3).await, Ok(Vec::new()));
}

/// Positions go on, the chain is anchored where the stream was cut, and cutting again changes nothing.
pub async fn a_truncated_stream_still_holds_together(place: &impl Place) {
    let (store, log) = (place.open().await, stream("log"));
    let fill = (1..=10).fold(Batch::new(), |batch, n| batch.append(&log, format!("{n}")));
    store.commit(fill).await.expect("commit");
    let records = store.read(&log, Position::START, 100).await.expect("read");
    store.commit(Batch::new().truncate(&log, Position(4))).await.expect("truncate");
    store.commit(Batch::new().truncate(&log, Position(2))).await.expect("nothing left to do");

    let head = store.head(&log).await.expect("head");
    assert_eq!((head.position, head.truncated, head.truncated_hash), (Position(10), Position(4), records[3].hash));
    assert_eq!(store.read(&log, Position::START, 100).await.expect("read"), records[4..]);
    assert_eq!(head.truncated_hash.next(&log, Position(5), b"5"), records[4].hash);

    store.commit(Batch::new().append(&log, "11").truncate(&log, Position(11))).await.expect("everything");
    assert_eq!(store.read(&log, Position::START, 100).await, Ok(Vec::new()));
    assert_eq!(store.commit(Batch::new().append(&log, "12")).await.expect("commit").appended, [Position(12)]);
    let report = store.snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify");
    assert_eq!((report.damaged, report.records.number), (0, 1), "{report:?}");
}

/// The largest that is allowed is taken; one more is refused before anything is written.
pub async fn what_is_too_large_is_refused(place: &impl Place) {
    let store = place.open().await;
    store.commit(Batch::new().put(A, vec![1; MAX_KEY_BYTES], vec![2; MAX_VALUE_BYTES])).await.expect("the largest");
    let many = |count| (0..count).fold(Batch::new(), |batch, n: usize| batch.delete(A, n.to_be_bytes()));
    store.commit(many(MAX_BATCH_OPERATIONS)).await.expect("the most");
    for (batch, what) in [
        (Batch::new().put(A, vec![1; MAX_KEY_BYTES + 1], "v"), "a key"),
        (Batch::new().require_absent(A, vec![1; MAX_KEY_BYTES + 1]), "a key"),
        (Batch::new().put(A, "k", vec![2; MAX_VALUE_BYTES + 1]), "a value"),
        (Batch::new().append(&stream("log"), vec![2; MAX_VALUE_BYTES + 1]), "a value"),
        ((0..5).fold(Batch::new(), |batch, n| batch.put(A, [n], vec![2; MAX_VALUE_BYTES])), "a batch"),
    ] {
        let refused = store.commit(batch).await;
        assert!(matches!(refused, Err(CommitError::TooLarge { what: found, .. }) if found == what), "{what}: {refused:?}");
    }
    assert!(matches!(store.commit(many(MAX_BATCH_OPERATIONS + 1)).await, Err(CommitError::TooMany { .. })));
    assert_eq!(value(&store, A, "k").await, None);
    assert_eq!(store.head(&stream("log")).await.expect("head").position, Position::START);
}

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(seconds)
}

/// Taking, keeping, giving back, and what others hear meanwhile.
pub async fn a_lock_is_held_by_one_until_it_ends(place: &impl Place) {
    let store = place.open().await;
    let held = |until| LockError::Held { name: "crl".to_owned(), holder: "node 1".to_owned(), until };
    let mut lock = store.lock("crl", "node 1", MINUTE, at(0)).await.expect("free");
    assert_eq!(store.lock("crl", "node 2", MINUTE, at(59)).await, Err(held(at(60))));
    store.lock("mail", "node 2", MINUTE, at(59)).await.expect("another lock");

    store.keep_lock(&mut lock, MINUTE, at(50)).await.expect("ours");
    assert_eq!(store.lock("crl", "node 2", MINUTE, at(60)).await, Err(held(at(110))));
    store.unlock(lock.clone()).await.expect("ours");
    let second = store.lock("crl", "node 2", MINUTE, at(61)).await.expect("given back");
    assert!(second.fence() > lock.fence());

    let lost = LockError::Lost { name: "crl".to_owned() };
    assert_eq!(store.keep_lock(&mut lock, MINUTE, at(62)).await, Err(lost.clone()));
    assert_eq!(store.unlock(lock).await, Err(lost));
    let third = store.lock("crl", "node 3", MINUTE, second.ends()).await.expect("ended");
    assert!(third.fence() > second.fence());
}

/// Also when the old holder does not know that its time is over.
pub async fn a_fenced_batch_conflicts_once_the_lock_is_taken_over(place: &impl Place) {
    let store = place.open().await;
    let mut first = store.lock("crl", "node 1", MINUTE, at(0)).await.expect("free");
    fn write(lock: &Lock, text: &str) -> Batch {
        Batch::new().require_lock(lock).put(A, "crl", text)
    }
    store.commit(write(&first, "1")).await.expect("held");
    store.keep_lock(&mut first, MINUTE, at(30)).await.expect("held");
    store.commit(write(&first, "2")).await.expect("kept");
    let second = store.lock("crl", "node 2", MINUTE, at(90)).await.expect("ended");
    assert!(matches!(store.commit(write(&first, "late")).await, Err(CommitError::Conflict { .. })));
    store.commit(write(&second, "3")).await.expect("held");
    assert_eq!(value(&store, A, "crl").await, Some(b"3".to_vec()));
}

/// Values, deletions, streams that were cut: something of everything.
async fn fill(store: &Store) {
    for n in 0..300u32 {
        let log = stream(&format!("log/{}", n % 7));
        let batch =
            Batch::new().put(A, format!("k{n}"), vec![b'v'; n as usize * 7]).put(B, n.to_be_bytes(), "").append(&log, format!("{n}"));
        store.commit(batch).await.expect("commit");
    }
    store
        .commit(Batch::new().delete(A, "k7").truncate(&stream("log/3"), Position(20)).append(&stream("log/3"), "x"))
        .await
        .expect("commit");
}

async fn export(store: &Store) -> Vec<u8> {
    let mut export = store.snapshot().await.expect("snapshot").export();
    let mut bytes = Vec::new();
    while let Some(piece) = export.next().await.expect("read") {
        // What is written meanwhile is not in the export.
        store
            .commit(Batch::new().put(A, "k1", "later").delete(A, "k9").put(A, "z", "z").append(&stream("log/1"), "later"))
            .await
            .expect("commit");
        bytes.extend_from_slice(&piece);
    }
    bytes
}

async fn import(store: &Store, bytes: &[u8]) -> Result<(), ImportError> {
    let mut import = store.import();
    for piece in bytes.chunks(10_007) {
        import.feed(piece).await?;
    }
    import.finish().await
}

/// At the commit of the snapshot, with its versions and positions; and it goes on from there.
pub async fn an_export_becomes_the_same_store(place: &impl Place) {
    let source = Store::memory().expect("memory");
    fill(&source).await;
    let snapshot = source.snapshot().await.expect("snapshot");
    let bytes = export(&source).await;
    let store = place.open().await;
    import(&store, &bytes).await.expect("import");

    assert_eq!(store.scan(A, Range::all(), 1000).await, snapshot.scan(A, Range::all(), 1000).await);
    assert_eq!(store.scan(B, Range::all(), 1000).await, snapshot.scan(B, Range::all(), 1000).await);
    for n in 0..7 {
        let log = stream(&format!("log/{n}"));
        assert_eq!(store.head(&log).await, snapshot.head(&log).await);
        assert_eq!(store.read(&log, Position::START, 1000).await, snapshot.read(&log, Position::START, 1000).await);
    }
    let commit = store.commit(Batch::new().put(A, "next", "")).await.expect("commit");
    assert_eq!(commit.version, Version(snapshot.version().0 + 1));
    let again = export(&store).await;
    import(&Store::memory().expect("memory"), &again).await.expect("the export of an import");
}

/// Wherever it is cut, and whatever bit is changed.
pub async fn an_export_that_is_cut_or_changed_is_refused(place: &impl Place) {
    let source = Store::memory().expect("memory");
    source.commit(Batch::new().put(A, "k", "v").append(&stream("log"), "1")).await.expect("commit");
    let bytes = export(&source).await;
    for end in 0..bytes.len() {
        assert!(import(&Store::memory().expect("memory"), &bytes[..end]).await.is_err(), "cut at {end}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(import(&Store::memory().expect("memory"), &changed).await.is_err(), "bit {bit}");
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(import(&Store::memory().expect("memory"), &longer).await.is_err(), "longer");
    import(&place.open().await, &bytes).await.expect("as it was");
}

/// And while it goes on, no batch does.
pub async fn an_import_goes_into_an_empty_store_only(place: &impl Place) {
    let source = Store::memory().expect("memory");
    fill(&source).await;
    let bytes = export(&source).await;
    let store = place.open().await;
    store.commit(Batch::new().put(A, "mine", "v")).await.expect("commit");
    assert_eq!(import(&store, &bytes).await, Err(ImportError::Store(CommitError::NotEmpty)));
    assert_eq!(value(&store, A, "mine").await, Some(b"v".to_vec()));
    assert_eq!(import(&store, b"something else").await, Err(ImportError::NotAnExport));
}

/// And counts what is there.
pub async fn a_sound_store_verifies(place: &impl Place) {
    let store = place.open().await;
    fill(&store).await;
    let report = store.snapshot().await.expect("snapshot").verify(|_| ()).await.expect("verify");
    assert_eq!((report.damaged, report.streams, report.records.number), (0, 7, 281), "{report:?}");
    assert_eq!(report.tables["contract-a"].number, 299);
    assert_eq!(report.tables["contract-b"].number, 300);
}
