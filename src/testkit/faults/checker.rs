//! Opens a store after a fault and compares everything in it with what was promised.

use super::{
    marks::Promises,
    workload::{HEADS, PROBES, ROWS, Workload, head_key, own_stream, shared_record, shared_stream, truncated},
};
use gatehouse_store::{Batch, ChainHash, Config, Key, Position, Range, ReadError, Store, Stream, Table};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Rows or records that one read asks for.
const PAGE: usize = 500;

/// What is wrong with a store. The order is that of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wrong {
    /// A value is not the one that was written, and no error said so.
    OtherValue,
    /// An acknowledged batch is not there, and no error said so.
    Lost,
    /// A batch is there in part.
    Half,
    /// Something is there that was never written.
    Invented,
    /// A stream has a gap, or its chain does not hold.
    Stream,
    /// The store cannot be opened.
    Open,
    /// Something cannot be read.
    Read,
    /// Nothing can be written any more.
    Write,
    /// The process that looked died or got no answer.
    Crashed,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind it is.
    pub wrong: Wrong,
    /// Where, and what was expected.
    pub text: String,
}

impl Finding {
    /// A finding of this kind.
    pub fn new(wrong: Wrong, text: impl Into<String>) -> Self {
        Self { wrong, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {}", self.wrong, self.text)
    }
}

/// How much a check asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Only look.
    Read,
    /// Look, write on, close, open again and look once more.
    WriteOn,
}

/// Everything that is wrong with the store at this configuration. Errors that the store itself reports are findings
/// too; whether they are allowed is the caller's business.
pub async fn check(config: &Config, workload: &Workload, promises: &Promises, depth: Depth) -> Vec<Finding> {
    let mut findings = Vec::new();
    let store = match Store::open(config).await {
        Ok(store) => store,
        Err(error) => return vec![Finding::new(Wrong::Open, chain(&error))],
    };
    let mut check = Check { store, workload, promises, findings: &mut findings, heads: BTreeMap::new() };
    check.everything().await;
    if depth == Depth::WriteOn && check.findings.is_empty() {
        check.write_on().await;
        drop(check);
        match Store::open(config).await {
            Ok(store) => {
                let mut check = Check { store, workload, promises, findings: &mut findings, heads: BTreeMap::new() };
                check.everything().await;
                check.probe_is_there().await;
            }
            Err(error) => findings.push(Finding::new(Wrong::Open, format!("after writing on: {}", chain(&error)))),
        }
    }
    findings
}

struct Check<'a> {
    store: Store,
    workload: &'a Workload,
    promises: &'a Promises,
    findings: &'a mut Vec<Finding>,
    /// By writer: how many of its batches are there.
    heads: BTreeMap<u64, u64>,
}

impl Check<'_> {
    async fn everything(&mut self) {
        self.heads().await;
        self.rows().await;
        for writer in 0..self.workload.writers {
            self.own_stream(writer).await;
        }
        self.shared_stream().await;
        self.verify().await;
        for writer in &self.promises.probes {
            match self.store.get(PROBES, Key::new().number(*writer)).await {
                Ok(Some(_)) => {}
                Ok(None) => self.findings.push(Finding::new(Wrong::Lost, format!("probe of writer {writer}"))),
                Err(error) => self.findings.push(Finding::new(Wrong::Read, chain(&error))),
            }
        }
    }

    fn found(&mut self, wrong: Wrong, text: impl Into<String>) {
        self.findings.push(Finding::new(wrong, text));
    }

    /// The value, or nothing when that was reported as an error.
    fn read<T>(&mut self, what: &str, result: Result<T, ReadError>) -> Option<T> {
        result.map_err(|error| self.found(Wrong::Read, format!("{what}: {}", chain(&error)))).ok()
    }

    /// How far every writer came, by its own head row.
    async fn heads(&mut self) {
        for writer in 0..self.workload.writers {
            let progress = self.promises.writers.get(&writer).copied().unwrap_or_default();
            let head = self.store.get(HEADS, head_key(writer)).await;
            let Some(head) = self.read("a head row", head) else { continue };
            let number = match head.map(|entry| entry.value.try_into()) {
                None => 0,
                Some(Ok(bytes)) => u64::from_be_bytes(bytes),
                Some(Err(_)) => {
                    self.found(Wrong::OtherValue, format!("the head row of writer {writer}"));
                    continue;
                }
            };
            if number < progress.acknowledged {
                let text = format!("writer {writer}: batch {} was acknowledged, the store ends at {number}", progress.acknowledged);
                self.found(Wrong::Lost, text);
            } else if number > progress.began {
                self.found(Wrong::Invented, format!("writer {writer}: batch {number}, but only {} were begun", progress.began));
            }
            self.heads.insert(writer, number);
        }
    }

    /// All rows, one by one and as one scan, against what the heads say.
    async fn rows(&mut self) {
        let heads = self.heads.clone();
        let mut expected = BTreeMap::new();
        for (writer, batches) in &heads {
            expected.extend(self.workload.rows(*writer, *batches));
        }
        for (key, value) in &expected {
            let entry = self.store.get(ROWS, key).await;
            match self.read("a row", entry) {
                Some(Some(entry)) if entry.value != *value => self.found(Wrong::OtherValue, format!("row {}", hex(key))),
                Some(None) => self.found(Wrong::Half, format!("row {} is missing", hex(key))),
                Some(Some(_)) | None => {}
            }
        }
        let complete = heads.len() as u64 == self.workload.writers;
        if let Some(scanned) = self.scan(ROWS).await {
            for (key, value) in &scanned {
                match expected.get(key) {
                    Some(expected) if expected == value => {}
                    Some(_) => self.found(Wrong::OtherValue, format!("scanned row {}", hex(key))),
                    None if complete => self.found(Wrong::Half, format!("scanned row {} should not be there", hex(key))),
                    None => {}
                }
            }
            for key in expected.keys().filter(|key| !scanned.contains_key(*key)) {
                self.found(Wrong::Half, format!("row {} is missing from the scan", hex(key)));
            }
        }
    }

    async fn scan(&mut self, table: Table) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut rows = BTreeMap::new();
        let mut range = Range::all();
        loop {
            let page = self.store.scan(table, range.clone(), PAGE).await;
            let page = self.read("a scan", page)?;
            let Some((last, _)) = page.last() else { return Some(rows) };
            range = range.after(last);
            rows.extend(page.into_iter().map(|(key, entry)| (key, entry.value)));
        }
    }

    async fn own_stream(&mut self, writer: u64) {
        let Some(batches) = self.heads.get(&writer).copied() else { return };
        let stream = own_stream(writer);
        let head = self.store.head(&stream).await;
        let Some(head) = self.read("a stream's head", head) else { return };
        if (head.position, head.truncated) != (Position(batches), truncated(batches)) {
            self.found(Wrong::Half, format!("stream {stream} is {} to {}, its writer at {batches}", head.truncated, head.position));
            return;
        }
        let workload = self.workload;
        let walked = self.walk(&stream, head.truncated.next(), head.truncated_hash, |at, payload| payload == workload.record(writer, at.0));
        let Some((next, link)) = walked.await else { return };
        if next.0 != batches + 1 || link != head.hash {
            self.found(Wrong::Stream, format!("stream {stream} ends before {next}, not at {batches}"));
        }
    }

    /// Every batch of every writer is in the shared stream once, each writer's in its order.
    async fn shared_stream(&mut self) {
        let stream = shared_stream();
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        let walked = self.walk(&stream, Position::START.next(), ChainHash::START, |_, payload| {
            let writer = payload.first_chunk().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
            let number = seen.entry(writer).or_default();
            *number += 1;
            payload == shared_record(writer, *number)
        });
        if walked.await.is_none() {
            return;
        }
        let heads = self.heads.clone();
        for (writer, batches) in heads {
            let in_stream = seen.get(&writer).copied().unwrap_or_default();
            if in_stream != batches {
                self.found(Wrong::Half, format!("writer {writer} is at {batches}, but the shared stream has {in_stream} of it"));
            }
        }
    }

    /// Follows a stream's positions and hashes to its end; `belongs` says whether a payload is the one that was written there.
    /// Nothing when it does not hold, which is then a finding.
    async fn walk(
        &mut self,
        stream: &Stream,
        mut next: Position,
        mut link: ChainHash,
        mut belongs: impl FnMut(Position, &[u8]) -> bool,
    ) -> Option<(Position, ChainHash)> {
        loop {
            let page = self.store.read(stream, next, PAGE).await;
            let page = self.read("a stream", page)?;
            if page.is_empty() {
                return Some((next, link));
            }
            for record in page {
                link = link.next(stream, next, &record.payload);
                if record.position != next || record.hash != link {
                    self.found(Wrong::Stream, format!("stream {stream} breaks at {next}"));
                    return None;
                }
                if !belongs(next, &record.payload) {
                    self.found(Wrong::OtherValue, format!("stream {stream} at {next}"));
                    return None;
                }
                next = next.next();
            }
        }
    }

    /// The store's own opinion: every seal, every chain, and the sum over all rows.
    async fn verify(&mut self) {
        let snapshot = self.store.snapshot().await;
        let Some(snapshot) = self.read("a snapshot", snapshot) else { return };
        let report = snapshot.verify(|_| ()).await;
        if let Some(report) = self.read("verification", report)
            && report.damaged > 0
        {
            self.found(Wrong::Read, format!("verification finds {} damaged: {:?}", report.damaged, report.damage));
        }
    }

    async fn write_on(&mut self) {
        let batch = Batch::new().put(PROBES, Key::new().text("after"), "after");
        if let Err(error) = self.store.commit(batch).await {
            self.found(Wrong::Write, chain(&error));
        }
    }

    async fn probe_is_there(&mut self) {
        let probe = self.store.get(PROBES, Key::new().text("after")).await;
        match self.read("the probe", probe) {
            Some(Some(entry)) if entry.value == b"after" => {}
            Some(_) => self.found(Wrong::Lost, "a batch that was acknowledged after the fault"),
            None => {}
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn hex(key: &[u8]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
