//! A copy of the whole store at one commit, made while it runs, for a new store of any engine.
//!
//! The format: the line `gatehouse export 1`, then rows (length of the key, length of the sealed value, both as
//! 32 bits, then the two), then a key length of all ones, the number of rows in 64 bits, and SHA-256 over
//! everything before. Rows keep their seals, and the last check of an import is that the sum over all rows is the
//! one that the exported store had: a copy that lacks a row, or has one from another time, is refused.

use crate::{CommitError, MAX_KEY_BYTES, MAX_VALUE_BYTES, RawRow, ReadError, Snapshot, Store};
use gatehouse_base::{Fault, Kind};
use ring::digest::{Context, SHA256};

const MAGIC: &[u8] = b"gatehouse export 1\n";
const END: u32 = u32::MAX;
/// Trailer: the end mark, the number of rows, SHA-256.
const TRAILER_BYTES: usize = 4 + 8 + 32;
/// How many rows are read at a time.
const ROWS: usize = 256;
/// Rows are handed to the new store when they are as large as this.
const IMPORT_BYTES: usize = 4 << 20;
/// What the store adds to a key and to a value.
const OVERHEAD_BYTES: usize = 300;

/// An export on its way: call [`Export::next`] until it answers nothing.
pub struct Export {
    snapshot: Snapshot,
    behind: Vec<u8>,
    hash: Context,
    rows: u64,
    part: Part,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Start,
    Rows,
    Done,
}

impl Snapshot {
    /// Exports everything that the store held at this commit.
    pub fn export(&self) -> Export {
        Export { snapshot: self.clone(), behind: Vec::new(), hash: Context::new(&SHA256), rows: 0, part: Part::Start }
    }
}

impl Export {
    /// How many rows were exported so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next piece, or nothing after the last one.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let mut piece = match self.part {
            Part::Start => MAGIC.to_vec(),
            Part::Rows => Vec::new(),
            Part::Done => return Ok(None),
        };
        self.part = Part::Rows;
        let rows = self.snapshot.view.walk(&self.behind, ROWS).await?;
        // A walk does not wait for anything, so it has to let others run by itself.
        tokio::task::yield_now().await;
        for (key, value) in &rows {
            piece.extend_from_slice(&length(key).to_be_bytes());
            piece.extend_from_slice(&length(value).to_be_bytes());
            piece.extend_from_slice(key);
            piece.extend_from_slice(value);
        }
        self.rows += rows.len() as u64;
        match rows.into_iter().next_back() {
            Some((last, _)) => self.behind = last,
            None => {
                piece.extend_from_slice(&END.to_be_bytes());
                piece.extend_from_slice(&self.rows.to_be_bytes());
                self.part = Part::Done;
            }
        }
        self.hash.update(&piece);
        if self.part == Part::Done {
            piece.extend_from_slice(self.hash.clone().finish().as_ref());
        }
        Ok(Some(piece))
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("keys and values are bounded")
}

/// Why an import was refused. The store that it went into is of no use then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// This is something else.
    #[error("this is not an export of a store, or one of a later program")]
    NotAnExport,
    /// The export is not what was written.
    #[error("the export is damaged: {0}")]
    Damaged(&'static str),
    /// The end is missing.
    #[error("the export ends too early")]
    Cut,
    /// The new store refused.
    #[error(transparent)]
    Store(#[from] CommitError),
}

impl Fault for ImportError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotAnExport | Self::Damaged(_) | Self::Cut => Kind::Invalid,
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotAnExport => "not-an-export",
            Self::Damaged(_) | Self::Cut => "export-damaged",
            Self::Store(error) => error.code(),
        }
    }
}

/// An import on its way: [`Import::feed`] it with the pieces, in order and cut anywhere, then [`Import::finish`] it.
pub struct Import {
    store: Store,
    hash: Context,
    /// Bytes that are not understood yet: less than one row and one piece.
    pending: Vec<u8>,
    started: bool,
    rows: Vec<RawRow>,
    rows_bytes: usize,
    count: u64,
}

impl Store {
    /// Imports an export into this store, which must be empty. Until the import is finished the store takes no
    /// batches, and if it is never finished the store does not open again.
    pub fn import(&self) -> Import {
        Import {
            store: self.clone(),
            hash: Context::new(&SHA256),
            pending: Vec::new(),
            started: false,
            rows: Vec::new(),
            rows_bytes: 0,
            count: 0,
        }
    }
}

impl Import {
    /// How many rows have come so far.
    pub fn rows(&self) -> u64 {
        self.count
    }

    /// Takes the next piece.
    pub async fn feed(&mut self, piece: &[u8]) -> Result<(), ImportError> {
        self.pending.extend_from_slice(piece);
        let mut used = 0;
        if !self.started {
            if !MAGIC.starts_with(&self.pending[..self.pending.len().min(MAGIC.len())]) {
                return Err(ImportError::NotAnExport);
            }
            if self.pending.len() < MAGIC.len() {
                return Ok(());
            }
            self.started = true;
            used = MAGIC.len();
        }
        while let Some((row, length)) = parse(&self.pending[used..])? {
            used += length;
            self.count += 1;
            self.rows_bytes += length;
            self.rows.push(row);
        }
        self.hash.update(&self.pending[..used]);
        self.pending.drain(..used);
        if self.rows_bytes > IMPORT_BYTES {
            self.hand_over(false).await?;
        }
        Ok(())
    }

    /// Checks the end of the export. After this the store is what the exported one was.
    pub async fn finish(mut self) -> Result<(), ImportError> {
        if self.pending.len() < TRAILER_BYTES || !self.started {
            return Err(ImportError::Cut);
        }
        let (counted, digest) = self.pending.split_at(TRAILER_BYTES - 32);
        self.hash.update(counted);
        if self.hash.clone().finish().as_ref() != digest {
            return Err(ImportError::Damaged("its checksum is wrong"));
        }
        if counted[4..] != self.count.to_be_bytes() {
            return Err(ImportError::Damaged("rows are missing"));
        }
        self.hand_over(true).await
    }

    async fn hand_over(&mut self, last: bool) -> Result<(), ImportError> {
        self.rows_bytes = 0;
        Ok(self.store.backend.import(std::mem::take(&mut self.rows), last).await?)
    }
}

/// The row at the front, if all of it is there.
fn parse(bytes: &[u8]) -> Result<Option<(RawRow, usize)>, ImportError> {
    let Some((key_length, rest)) = bytes.split_first_chunk().map(|(length, rest)| (u32::from_be_bytes(*length), rest)) else {
        return Ok(None);
    };
    if key_length == END {
        return if bytes.len() > TRAILER_BYTES { Err(ImportError::Damaged("it goes on behind its end")) } else { Ok(None) };
    }
    let Some((value_length, rest)) = rest.split_first_chunk().map(|(length, rest)| (u32::from_be_bytes(*length), rest)) else {
        return Ok(None);
    };
    let (key_length, value_length) = (key_length as usize, value_length as usize);
    if key_length > MAX_KEY_BYTES + OVERHEAD_BYTES || value_length > MAX_VALUE_BYTES + OVERHEAD_BYTES {
        return Err(ImportError::Damaged("a row is larger than rows are"));
    }
    let Some((row, _)) = rest.split_at_checked(key_length + value_length) else { return Ok(None) };
    let (key, value) = row.split_at(key_length);
    Ok(Some(((key.to_vec(), value.to_vec()), 8 + row.len())))
}
