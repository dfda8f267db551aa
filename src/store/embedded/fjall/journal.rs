//! Reads fjall's journals before fjall does.
//!
//! A batch in the journal is a start mark with a count and a sequence number, its items, and an end mark with a
//! checksum over the items. fjall leaves two things to the disk that this module does not:
//!
//! * A batch whose pages reached the disk in part ends in whatever was there before, which may look like a batch with
//!   a wrong checksum. fjall then refuses the whole store, although nobody was told of that batch. So a last batch
//!   that is not whole is cut off here. When whole batches follow a broken one, that is no crash but damage.
//! * The sequence number has no checksum, and decides which of two values of a key is the newer one. The numbers of a
//!   journal rise, so one that does not is damage.
//!
//! A journal is read through a window, so that opening a store takes no more memory for a large one. The layout is that of fjall 3; files that are something else are left to fjall's own judgement.

use super::FileError;
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// How much of a journal is in memory at a time, whatever its length and that of its batches.
const WINDOW: usize = 64 * 1024;
/// Where the first item of a batch begins.
const ITEMS_AT: usize = 13;

/// Checks all journals in a directory and cuts a batch off the last one that a crash left there in part.
pub(super) fn repair(directory: &Path) -> Result<(), FileError> {
    let mut journals: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::io(directory))?,
    };
    for entry in entries {
        let path = entry.map_err(FileError::io(directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = name.and_then(|name| name.parse().ok()) {
            journals.push((number, path));
        }
    }
    journals.sort();
    let mut newest = None;
    let last = journals.len().saturating_sub(1);
    for (index, (_, path)) in journals.into_iter().enumerate() {
        let damaged = |at| FileError::damaged(&path, at);
        let file = File::open(&path).map_err(FileError::io(&path))?;
        let (end, rises) = check(&file, &mut newest).map_err(FileError::io(&path))?;
        if !rises {
            return Err(damaged(end));
        }
        // What a file is preallocated with, and what follows a whole journal.
        if is_zero_from(&file, end).map_err(FileError::io(&path))? {
            continue;
        }
        if index < last || has_batch_after(&file, end).map_err(FileError::io(&path))? {
            return Err(damaged(end));
        }
        tracing::warn!(journal = %path.display(), at = end, "cut off a batch that a crash left in part; nobody was told of it");
        let file = File::options().write(true).open(&path).map_err(FileError::io(&path))?;
        file.set_len(end).and_then(|()| file.sync_all()).map_err(FileError::io(&path))?;
    }
    Ok(())
}

/// Where the whole batches end, or the first one whose sequence number does not rise; and whether all of them rise.
fn check(file: &File, newest: &mut Option<u64>) -> io::Result<(u64, bool)> {
    let mut reader = Reader::at(file, 0)?;
    loop {
        let at = reader.at;
        let Some(sequence) = reader.batch()? else { return Ok((at, true)) };
        if newest.is_some_and(|newest| sequence <= newest) {
            return Ok((at, false));
        }
        *newest = Some(sequence);
    }
}

/// Compared in blocks: most of a preallocated journal is zeros, and it is read at every start.
fn is_zero_from(mut file: &File, at: u64) -> io::Result<bool> {
    const ZEROS: [u8; 4096] = [0; 4096];
    file.seek(SeekFrom::Start(at))?;
    let mut rest = BufReader::with_capacity(WINDOW, file);
    loop {
        let block = rest.fill_buf()?;
        if block.is_empty() {
            return Ok(true);
        }
        if !block.chunks(ZEROS.len()).all(|block| *block == ZEROS[..block.len()]) {
            return Ok(false);
        }
        let len = block.len();
        rest.consume(len);
    }
}

/// Whether a whole batch begins anywhere behind this place.
fn has_batch_after(file: &File, at: u64) -> io::Result<bool> {
    let mut window = vec![0; WINDOW];
    let mut begins = at + 1;
    loop {
        let filled = fill(file, &mut window, begins)?;
        let candidates = window[..filled].windows(ITEMS_AT + 1).enumerate();
        for (offset, _) in candidates.filter(|(_, bytes)| bytes[0] == START && matches!(bytes[ITEMS_AT], ITEM | CLEAR | END)) {
            if Reader::at(file, begins + offset as u64)?.batch()?.is_some() {
                return Ok(true);
            }
        }
        if filled < window.len() {
            return Ok(false);
        }
        // The last bytes are too few to tell a candidate, and begin the next window.
        begins += (filled - ITEMS_AT) as u64;
    }
}

/// Reads from a place until the buffer is full or the file ends.
fn fill(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads batches, and hashes what it reads.
struct Reader<'a> {
    source: BufReader<&'a File>,
    at: u64,
    length: u64,
    hash: Xxh3,
}

impl<'a> Reader<'a> {
    fn at(mut file: &'a File, at: u64) -> io::Result<Self> {
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(at))?;
        Ok(Self { source: BufReader::with_capacity(WINDOW, file), at, length, hash: Xxh3::new() })
    }

    /// The sequence number of the next batch, if it is whole.
    fn batch(&mut self) -> io::Result<Option<u64>> {
        match self.whole_batch() {
            Ok(sequence) => Ok(Some(sequence)),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn whole_batch(&mut self) -> io::Result<u64> {
        self.demand([START])?;
        let count = u32::from_le_bytes(self.array()?);
        let sequence = u64::from_le_bytes(self.array()?);
        self.hash.reset();
        for _ in 0..count {
            self.item()?;
        }
        let checksum = self.hash.digest();
        self.demand([END])?;
        self.demand(checksum.to_le_bytes())?;
        self.demand(*TRAILER)?;
        Ok(sequence)
    }

    fn item(&mut self) -> io::Result<()> {
        match self.array()? {
            [ITEM] => {
                let [_value_type, _compression] = self.array()?;
                let _keyspace: [u8; 8] = self.array()?;
                let key = u16::from_le_bytes(self.array()?);
                let _value = u32::from_le_bytes(self.array()?);
                let stored = u32::from_le_bytes(self.array()?);
                self.pass(u64::from(key) + u64::from(stored))
            }
            [CLEAR] => self.pass(8),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    fn demand<const N: usize>(&mut self, expected: [u8; N]) -> io::Result<()> {
        if self.array()? == expected { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        self.at += N as u64;
        Ok(bytes)
    }

    /// Hashes so many bytes. A length that the file does not have is refused before anything is read for it.
    fn pass(&mut self, mut length: u64) -> io::Result<()> {
        if length > self.length.saturating_sub(self.at) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.at += length;
        while length > 0 {
            let block = self.source.fill_buf()?;
            let block = &block[..block.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
            if block.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.hash.update(block);
            let len = block.len();
            length -= len as u64;
            self.source.consume(len);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    /// A batch as fjall writes it, with one item.
    fn written(sequence: u64, key: &[u8], value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u32).to_le_bytes();
        let item = [&[ITEM, 0, 0][..], &1u64.to_le_bytes(), &(key.len() as u16).to_le_bytes(), &length, &length, key, value].concat();
        let start = [&[START][..], &1u32.to_le_bytes(), &sequence.to_le_bytes()].concat();
        [start, item.clone(), vec![END], xxh3_64(&item).to_le_bytes().to_vec(), TRAILER.to_vec()].concat()
    }

    fn repaired(journal: &[u8]) -> Result<Vec<u8>, FileError> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("0.jnl");
        fs::write(&path, journal).expect("journal");
        repair(directory.path())?;
        Ok(fs::read(&path).expect("journal"))
    }

    #[test]
    fn fjall_writes_what_this_module_reads() {
        let directory = tempfile::tempdir().expect("directory");
        let database = fjall::Database::builder(directory.path()).open().expect("open");
        let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("keyspace");
        for number in 0..3u8 {
            let mut batch = database.batch().durability(Some(fjall::PersistMode::SyncData));
            batch.insert(&rows, [number], vec![number; 9000]);
            batch.remove(&rows, "other");
            batch.commit().expect("commit");
        }
        let journal = File::open(directory.path().join("0.jnl")).expect("journal");
        let (end, rises) = check(&journal, &mut None).expect("read");
        assert!(rises && end > 27_000, "all batches are understood, up to {end}");
        assert!(is_zero_from(&journal, end).expect("read"), "nothing else is there");
    }

    #[test]
    fn a_last_batch_that_is_not_whole_is_cut_off() {
        let (first, second) = (written(1, b"a", &[1; 50]), written(2, b"b", &[2; 50]));
        for cut in 1..second.len() {
            let torn = [first.as_slice(), &second[..cut], &[0; 100]].concat();
            assert_eq!(repaired(&torn).expect("a crash"), first, "cut at {cut}");
            let mut hole = [first.as_slice(), &second, &[0; 100]].concat();
            hole[first.len() + cut] ^= 0x55;
            assert!(repaired(&hole).is_ok_and(|left| left == first || left == hole), "changed at {cut}");
        }
        let whole = [first.as_slice(), &second, &[0; 100]].concat();
        assert_eq!(repaired(&whole).expect("whole"), whole);
    }

    #[test]
    fn a_broken_batch_before_whole_ones_is_damage() {
        let mut journal = [written(1, b"a", &[1; 50]), written(2, b"b", &[2; 50])].concat();
        journal[40] ^= 1;
        assert!(matches!(repaired(&journal), Err(FileError::Damaged { at: 0, .. })));
    }

    #[test]
    fn a_sequence_number_that_does_not_rise_is_damage() {
        let journal = [written(5, b"a", b"1"), written(4, b"b", b"2")].concat();
        assert!(matches!(repaired(&journal), Err(FileError::Damaged { .. })));
    }

    #[test]
    fn batches_longer_than_the_window_are_judged_alike() {
        let (long, short) = (written(1, b"a", &vec![7; 3 * WINDOW]), written(2, b"b", b"2"));
        let whole = [long.as_slice(), &short, &vec![0; WINDOW]].concat();
        assert_eq!(repaired(&whole).expect("whole"), whole);
        assert_eq!(repaired(&long[..long.len() - 1]).expect("a crash"), b"");
    }

    #[test]
    fn a_whole_batch_is_found_wherever_it_lies_in_the_windows() {
        let whole = written(2, b"b", b"2");
        for at in [1, 2, 40, WINDOW - 30, WINDOW - ITEMS_AT - 1, WINDOW - ITEMS_AT, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW - 20] {
            // 0xff begins no batch.
            let journal = [&vec![0xff; at][..], &whole].concat();
            assert!(matches!(repaired(&journal), Err(FileError::Damaged { at: 0, .. })), "at {at}");
            assert_eq!(repaired(&journal[..journal.len() - 1]).expect("a crash"), b"", "at {at}");
        }
    }

    #[test]
    fn a_length_that_the_file_does_not_have_is_no_batch() {
        let mut journal = written(1, b"a", b"1");
        // The stored length of the value, behind the marks, the keyspace, and the lengths of key and value.
        journal[ITEMS_AT + 17..ITEMS_AT + 21].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(repaired(&journal).expect("a crash"), b"");
    }
}
