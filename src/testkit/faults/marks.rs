//! What the writing child told its parent: which batches it began, and which the store acknowledged.
//!
//! A mark is a line, appended with one `write(2)`. That survives the death of the child, and the disk recorder puts
//! marks in line with what happened to the disk.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    str::FromStr,
};

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the writer and the number of its batch, from 1")]
pub enum Mark {
    /// The store is open and the writers begin.
    Opened,
    /// A writer hands over its n-th batch.
    Began { writer: u64, number: u64 },
    /// The store acknowledged it.
    Acknowledged { writer: u64, number: u64 },
    /// The store did not write it, or does not know.
    Failed { writer: u64, number: u64 },
    /// After a failure the store acknowledged a probe of this writer.
    ProbeAcknowledged { writer: u64 },
    /// The store said that it is poisoned.
    Poisoned,
    /// The store is closed.
    Closed,
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => out.write_str("opened"),
            Self::Began { writer, number } => write!(out, "began {writer} {number}"),
            Self::Acknowledged { writer, number } => write!(out, "acknowledged {writer} {number}"),
            Self::Failed { writer, number } => write!(out, "failed {writer} {number}"),
            Self::ProbeAcknowledged { writer } => write!(out, "probe-acknowledged {writer}"),
            Self::Poisoned => out.write_str("poisoned"),
            Self::Closed => out.write_str("closed"),
        }
    }
}

impl FromStr for Mark {
    type Err = io::Error;

    fn from_str(line: &str) -> Result<Self, io::Error> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, format!("no mark: {line}"));
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown);
        Ok(match word {
            "opened" => Self::Opened,
            "began" => Self::Began { writer: number()?, number: number()? },
            "acknowledged" => Self::Acknowledged { writer: number()?, number: number()? },
            "failed" => Self::Failed { writer: number()?, number: number()? },
            "probe-acknowledged" => Self::ProbeAcknowledged { writer: number()? },
            "poisoned" => Self::Poisoned,
            "closed" => Self::Closed,
            _ => return Err(unknown()),
        })
    }
}

/// The child's end.
#[derive(Debug)]
pub struct Marks(File);

impl Marks {
    /// Appends to this file.
    pub fn append_to(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().append(true).create(true).open(path)?))
    }

    /// Leaves a mark.
    pub fn leave(&self, mark: Mark) -> io::Result<()> {
        let line = format!("{mark}\n");
        (&self.0).write_all(line.as_bytes())
    }
}

/// The parent's end: what the marks up to some moment say.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Promises {
    /// By writer: the last batch that was acknowledged and the last that was begun.
    pub writers: BTreeMap<u64, Progress>,
    /// The writers whose probe was acknowledged after a failure.
    pub probes: Vec<u64>,
    /// How many batches were acknowledged in all.
    pub acknowledged: u64,
    /// How many failed.
    pub failed: u64,
    /// The store was opened by the child.
    pub opened: bool,
    /// The store said that it is poisoned.
    pub poisoned: bool,
    /// The store was closed by the child.
    pub closed: bool,
}

/// How far a writer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its last acknowledged batch.
    pub acknowledged: u64,
    /// Its last batch that was handed over.
    pub began: u64,
}

impl Promises {
    /// Reads a marks file. A line that the child's death cut short says nothing.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut promises = Self::default();
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        promises.lines(&text)?;
        Ok(promises)
    }

    /// Takes in one or more lines.
    pub fn lines(&mut self, text: &str) -> io::Result<()> {
        for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
            self.mark(line.parse()?);
        }
        Ok(())
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::Opened => self.opened = true,
            Mark::Began { writer, number } => self.writers.entry(writer).or_default().began = number,
            Mark::Acknowledged { writer, number } => {
                self.writers.entry(writer).or_default().acknowledged = number;
                self.acknowledged += 1;
            }
            Mark::Failed { .. } => self.failed += 1,
            Mark::ProbeAcknowledged { writer } => self.probes.push(writer),
            Mark::Poisoned => self.poisoned = true,
            Mark::Closed => self.closed = true,
        }
    }
}
