//! Reads the log that the disk recorder (`src/diskfault`) writes.

use std::{io, path::PathBuf};

/// One thing that happened to the watched directory, in the order in which the kernel saw it. Paths are relative
/// to that directory; a file's number stands for its inode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the arguments of the call that the variant names")]
pub enum Operation {
    Open { file: u64, created: bool, path: PathBuf },
    Write { file: u64, offset: u64, data: Vec<u8> },
    Truncate { file: u64, length: u64 },
    SyncBegin { call: u64, file: u64 },
    SyncEnd { call: u64, succeeded: bool },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    MakeDirectory { path: PathBuf },
    RemoveDirectory { path: PathBuf },
    Link { from: PathBuf, to: PathBuf },
    Mark { data: Vec<u8> },
    WeakSync { file: u64 },
    Unsupported { call: String },
    Injected { call: String },
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read.
    #[error("the disk log cannot be read")]
    Read(#[from] io::Error),
    /// A record has an unknown kind or text that is not UTF-8.
    #[error("the disk log is damaged at byte {0}")]
    Damaged(usize),
    /// The recorded process did what the recorder cannot follow, so that a replay would prove nothing.
    #[error("the recorder cannot follow: {0}")]
    Unsupported(String),
}

/// Reads a whole log. A last record that a killed process left unfinished is dropped.
pub fn read(path: &std::path::Path) -> Result<Vec<Operation>, LogError> {
    let bytes = std::fs::read(path)?;
    let mut reader = Reader { bytes: &bytes, at: 0 };
    let mut operations = Vec::new();
    while reader.at < bytes.len() {
        let start = reader.at;
        match reader.operation() {
            Ok(Operation::Unsupported { call }) => return Err(LogError::Unsupported(call)),
            Ok(operation) => operations.push(operation),
            Err(Ended::Early) => break,
            Err(Ended::Wrong) => return Err(LogError::Damaged(start)),
        }
    }
    Ok(operations)
}

enum Ended {
    Early,
    Wrong,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn operation(&mut self) -> Result<Operation, Ended> {
        Ok(match self.take(1)?[0] {
            1 => Operation::Open { file: self.number()?, created: self.flag()?, path: self.path()? },
            2 => Operation::Write { file: self.number()?, offset: self.number()?, data: self.bytes()?.to_vec() },
            3 => Operation::Truncate { file: self.number()?, length: self.number()? },
            4 => Operation::SyncBegin { call: self.number()?, file: self.number()? },
            5 => Operation::SyncEnd { call: self.number()?, succeeded: self.flag()? },
            6 => Operation::Rename { from: self.path()?, to: self.path()? },
            7 => Operation::Unlink { path: self.path()? },
            8 => Operation::MakeDirectory { path: self.path()? },
            9 => Operation::RemoveDirectory { path: self.path()? },
            10 => Operation::Link { from: self.path()?, to: self.path()? },
            11 => Operation::Mark { data: self.bytes()?.to_vec() },
            12 => Operation::WeakSync { file: self.number()? },
            13 => Operation::Unsupported { call: self.text()? },
            14 => Operation::Injected { call: self.text()? },
            _ => return Err(Ended::Wrong),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Ended> {
        let end = self.at.checked_add(length).ok_or(Ended::Wrong)?;
        let part = self.bytes.get(self.at..end).ok_or(Ended::Early)?;
        self.at = end;
        Ok(part)
    }

    fn number(&mut self) -> Result<u64, Ended> {
        self.take(8)?.try_into().map(u64::from_le_bytes).map_err(|_| Ended::Wrong)
    }

    fn flag(&mut self) -> Result<bool, Ended> {
        Ok(self.take(1)?[0] != 0)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Ended> {
        let length = usize::try_from(self.number()?).map_err(|_| Ended::Wrong)?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Ended> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Ended::Wrong)
    }

    fn path(&mut self) -> Result<PathBuf, Ended> {
        Ok(self.text()?.into())
    }
}
