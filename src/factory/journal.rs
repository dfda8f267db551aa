//! The factory's memory: a file that is only ever appended to.
//!
//! A line is `<sha-256 in hex> <json>`, and each line's hash covers the line before it, so that a record cannot be
//! changed, taken out or put elsewhere without a trace. [`Journal::append`] returns after the records are on the
//! disk, all of one call with one flush; nothing that depends on a record may be seen outside before that.
//!
//! A process that dies while it appends leaves a line without an end, which nobody was told about: the next
//! [`Journal::open`] cuts it off. Any other line that does not fit is damage and is reported with its number.
//! What records mean is not known here.

use ring::digest::{Context, SHA256};
use rustix::fs::FlockOperation;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The longest line that is read or written.
const MAX_LINE: usize = 1 << 20;

/// A page that was never written reads as zeros after a power failure. Text has none of them in a row.
const HOLE: [u8; 64] = [0; 64];

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

const HEX: usize = 64;

/// Why a journal cannot be read or continued.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system says no.
    #[error("the journal {path} cannot be read or written", path = path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Another process appends to it.
    #[error("the journal {path} is in use by another process", path = path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
    },
    /// A line was changed, or lines were taken out or put in.
    #[error("line {line} of the journal {path} was damaged or changed; restore the file from a copy", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Counted from one.
        line: u64,
    },
    /// A line's hash is right, but this program does not know the record or refuses it.
    #[error("line {line} of the journal {path} does not fit what came before it: {reason}", path = path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Counted from one.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A record is longer than a line may be.
    #[error("a record is too long for the journal")]
    Long,
    /// An earlier append failed, so that the end of the file is not known.
    #[error("an earlier write to the journal {path} failed; start again", path = path.display())]
    Poisoned {
        /// Which file.
        path: PathBuf,
    },
}

/// Where a journal stands: how many lines, and the hash of the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many lines there are.
    pub lines: u64,
    hash: [u8; 32],
}

impl Head {
    fn next(self, json: &[u8]) -> Self {
        Self { lines: self.lines + 1, hash: link(&self.hash, json) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hash.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

fn link(previous: &[u8; 32], json: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    context.update(json);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// A journal that is open for appending; no other process has it open so.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    head: Head,
    length: u64,
    poisoned: bool,
}

impl Journal {
    /// Starts a journal in a file that must not exist yet; only its owner may read it.
    ///
    /// # Errors
    /// The file exists, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).map_err(|e| failed(path, e))?;
        let journal = Self { file, path: path.to_owned(), head: Head::default(), length: 0, poisoned: false };
        journal.lock()?;
        Ok(journal)
    }

    /// Opens a journal and hands each of its records to `apply`, oldest first.
    ///
    /// # Errors
    /// Another process has it open, it is damaged, or `apply` refuses a record.
    pub fn open<R: DeserializeOwned>(path: &Path, mut apply: impl FnMut(R) -> Result<(), String>) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(|e| failed(path, e))?;
        let mut journal = Self { file, path: path.to_owned(), head: Head::default(), length: 0, poisoned: false };
        journal.lock()?;
        (journal.head, journal.length) = replay(&journal.file, path, |_, record| apply(record))?;
        let size = journal.file.metadata().map_err(|e| failed(path, e))?.len();
        if size > journal.length {
            journal.file.set_len(journal.length).and_then(|()| journal.file.sync_all()).map_err(|e| failed(path, e))?;
        }
        Ok(journal)
    }

    /// Reads a journal that another process may be appending to, as far as it is written.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or `apply` refuses a record.
    pub fn read<R: DeserializeOwned>(path: &Path, mut apply: impl FnMut(R) -> Result<(), String>) -> Result<Head, JournalError> {
        Self::scan(path, |_, record| apply(record))
    }

    /// Like [`Journal::read`], and says with each record where the journal stands after it.
    ///
    /// # Errors
    /// As for [`Journal::read`].
    pub fn scan<R: DeserializeOwned>(path: &Path, apply: impl FnMut(Head, R) -> Result<(), String>) -> Result<Head, JournalError> {
        let file = File::open(path).map_err(|e| failed(path, e))?;
        replay(&file, path, apply).map(|(head, _)| head)
    }

    /// Appends the records and returns when they are on the disk. When it fails nothing more can be appended until
    /// the journal is opened again, because nobody knows what the disk kept.
    ///
    /// # Errors
    /// The disk failed, or a record is too long.
    pub fn append<R: Serialize>(&mut self, records: &[R]) -> Result<(), JournalError> {
        if self.poisoned {
            return Err(JournalError::Poisoned { path: self.path.clone() });
        }
        let mut head = self.head;
        let mut text = Vec::new();
        for record in records {
            let json = serde_json::to_vec(record).map_err(|e| failed(&self.path, e.into()))?;
            if json.len() > MAX_LINE - HEX - 2 {
                return Err(JournalError::Long);
            }
            head = head.next(&json);
            text.extend_from_slice(head.to_string().as_bytes());
            text.push(b' ');
            text.extend_from_slice(&json);
            text.push(b'\n');
        }
        self.poisoned = true;
        self.file.write_all_at(&text, self.length).and_then(|()| self.file.sync_data()).map_err(|e| failed(&self.path, e))?;
        self.poisoned = false;
        (self.head, self.length) = (head, self.length + text.len() as u64);
        Ok(())
    }

    /// Where it stands.
    pub fn head(&self) -> Head {
        self.head
    }

    fn lock(&self) -> Result<(), JournalError> {
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => JournalError::Locked { path: self.path.clone() },
            error => failed(&self.path, error.into()),
        })
    }
}

impl Drop for Journal {
    /// Closing the file would not do when another thread is just starting a process: until that process runs its
    /// program it has the file open as well, and the lock with it.
    fn drop(&mut self) {
        // An error leaves the lock to the end of the process.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::Io { path: path.to_owned(), source }
}

/// Reads every complete line; returns where the last of them ends.
fn replay<R: DeserializeOwned>(
    file: &File,
    path: &Path,
    mut apply: impl FnMut(Head, R) -> Result<(), String>,
) -> Result<(Head, u64), JournalError> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    reader.seek(SeekFrom::Start(0)).map_err(|e| failed(path, e))?;
    let (mut head, mut length) = (Head::default(), 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line).map_err(|e| failed(path, e))?;
        let number = head.lines + 1;
        let Some(text) = line.strip_suffix(b"\n") else {
            // The end of the file, or of what a dying process could still write of a line. A whole line whose end was
            // changed into something else is not that.
            let whole = line.split_last().is_some_and(|(_, text)| check(head, text).is_some());
            let damaged = whole || (line.len() == MAX_LINE && !has_hole(&line, length));
            return if damaged { Err(JournalError::Damaged { path: path.to_owned(), line: number }) } else { Ok((head, length)) };
        };
        let next = check(head, text);
        let Some((next, json)) = next else {
            return if is_hole(&line, length, &mut reader) {
                Ok((head, length))
            } else {
                Err(JournalError::Damaged { path: path.to_owned(), line: number })
            };
        };
        let refused = |reason| JournalError::Record { path: path.to_owned(), line: number, reason };
        let record = serde_json::from_slice(json).map_err(|error| refused(error.to_string()))?;
        apply(next, record).map_err(refused)?;
        head = next;
        length += line.len() as u64;
    }
}

fn check(head: Head, line: &[u8]) -> Option<(Head, &[u8])> {
    let (hash, json) = (line.get(..HEX)?, line.get(HEX + 1..)?);
    let next = head.next(json);
    (line[HEX] == b' ' && hash == next.to_string().as_bytes()).then_some((next, json))
}

/// Whether this line or what follows it has a hole where pages were never written: an append that was under way
/// when the power failed, so that nobody was told about it.
fn is_hole(line: &[u8], start: u64, reader: &mut impl BufRead) -> bool {
    let mut tail = line.to_vec();
    let rest = reader.take(MAX_LINE as u64).read_to_end(&mut tail);
    rest.is_ok() && has_hole(&tail, start)
}

/// Whether what begins at this place of the file was not written in whole. The sector in which an append begins may be
/// the one that is missing, and then there are only so many zeros as it had room.
fn has_hole(tail: &[u8], start: u64) -> bool {
    let room = SECTOR - (start % SECTOR as u64) as usize;
    let begins = tail.get(..room).is_some_and(|first| first.iter().all(|byte| *byte == 0));
    begins || tail.windows(HOLE.len()).any(|window| window == HOLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{cell::RefCell, fs};

    fn collect(path: &Path) -> Result<(Journal, Vec<String>), JournalError> {
        let seen = RefCell::new(Vec::new());
        let journal = Journal::open(path, |record: String| {
            seen.borrow_mut().push(record);
            Ok(())
        })?;
        Ok((journal, seen.into_inner()))
    }

    fn three(dir: &Path) -> PathBuf {
        let path = dir.join("journal");
        let mut journal = Journal::create(&path).expect("create");
        journal.append(&["one", "two"]).expect("append");
        journal.append(&["three"]).expect("append");
        path
    }

    #[test]
    fn what_was_appended_is_read_in_order() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let (mut journal, seen) = collect(&path).expect("open");
        assert_eq!(seen, ["one", "two", "three"]);
        journal.append(&["four"]).expect("append");
        let head = journal.head();
        drop(journal);
        let (journal, seen) = collect(&path).expect("open");
        assert_eq!((journal.head(), seen.len()), (head, 4));
    }

    #[test]
    fn only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let mode = fs::metadata(three(dir.path())).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_second_writer_is_refused_and_a_reader_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let (journal, _) = collect(&path).expect("open");
        assert!(matches!(collect(&path), Err(JournalError::Locked { .. })));
        let head = Journal::read(&path, |_: String| Ok(())).expect("read");
        assert_eq!(head, journal.head());
    }

    #[test]
    fn a_line_cut_short_anywhere_is_taken_off_and_the_rest_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let whole = fs::read(&path).expect("file");
        let second_end = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).expect("two lines").0 + 1;
        for cut in second_end..whole.len() {
            fs::write(&path, &whole[..cut]).expect("write");
            let (mut journal, seen) = collect(&path).expect("open");
            assert_eq!(seen, ["one", "two"], "cut at {cut}");
            journal.append(&["three"]).expect("append");
            drop(journal);
            assert_eq!(fs::read(&path).expect("file"), whole);
        }
    }

    #[test]
    fn pages_that_were_never_written_are_taken_off() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let whole = fs::read(&path).expect("file");
        fs::write(&path, [whole.as_slice(), &[0; 4096], b"rest of a record\"}\n"].concat()).expect("write");
        assert_eq!(collect(&path).expect("open").1.len(), 3);
        assert_eq!(fs::read(&path).expect("file"), whole);
    }

    #[test]
    fn an_append_whose_first_sector_or_whose_pages_were_never_written_is_taken_off() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let whole = fs::read(&path).expect("file");
        let mut journal = collect(&path).expect("open").0;
        // Long enough to leave the sector in which it begins, of which less than a hole's length is left.
        let room = SECTOR - whole.len() % SECTOR;
        let filler = "x".repeat(room.checked_sub(HEX + 4 + 10).expect("room for a line"));
        journal.append(&[filler]).expect("append");
        let before = fs::read(&path).expect("file");
        journal.append(&["y".repeat(2000)]).expect("append");
        drop(journal);
        let mut torn = fs::read(&path).expect("file");
        let end = before.len().next_multiple_of(SECTOR);
        assert!((1..HOLE.len()).contains(&(end - before.len())), "{}", end - before.len());
        torn[before.len()..end].fill(0);
        fs::write(&path, &torn).expect("write");
        assert_eq!(collect(&path).expect("open").1.len(), 4);
        assert_eq!(fs::read(&path).expect("file"), before);
        // More than the longest line, and nothing of it was written but the file's length.
        fs::write(&path, [before.as_slice(), &vec![0; 3 * MAX_LINE]].concat()).expect("write");
        assert_eq!(collect(&path).expect("open").1.len(), 4);
        assert_eq!(fs::read(&path).expect("file"), before);
    }

    #[test]
    fn lines_changed_taken_out_or_exchanged_are_damage() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let text = fs::read_to_string(&path).expect("file");
        let lines: Vec<_> = text.lines().collect();
        let damaged = |content: String| {
            fs::write(&path, content).expect("write");
            match collect(&path) {
                Err(JournalError::Damaged { line, .. }) => line,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(damaged(text.replace("two", "TWO")), 2);
        assert_eq!(damaged(format!("{}\n{}\n", lines[0], lines[2])), 2);
        assert_eq!(damaged(format!("{}\n{}\n{}\n", lines[1], lines[0], lines[2])), 1);
    }

    #[test]
    fn a_record_that_does_not_fit_is_told_with_its_line() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let refused = Journal::open(&path, |record: String| if record == "two" { Err("no two".into()) } else { Ok(()) });
        assert!(matches!(refused, Err(JournalError::Record { line: 2, reason, .. }) if reason == "no two"));
    }

    #[test]
    fn nothing_is_appended_after_a_failed_write() {
        let dir = tempfile::tempdir().expect("dir");
        let path = three(dir.path());
        let (mut journal, _) = collect(&path).expect("open");
        journal.file = File::open(&path).expect("read only");
        assert!(matches!(journal.append(&["four"]), Err(JournalError::Io { .. })));
        assert!(matches!(journal.append(&["four"]), Err(JournalError::Poisoned { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_flipped_bit_is_always_damage(at: usize, bit in 0u8..8) {
            let dir = tempfile::tempdir().expect("dir");
            let path = three(dir.path());
            let mut bytes = fs::read(&path).expect("file");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            fs::write(&path, bytes).expect("write");
            let damaged = matches!(collect(&path), Err(JournalError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }
}
