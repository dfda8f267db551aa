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
//! The layout is that of fjall 3; files that are something else are left to fjall's own judgement.

use super::FileError;
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};
use xxhash_rust::xxh3::xxh3_64;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";

/// Checks all journals in a directory and cuts a batch off the last one that a crash left there in part.
pub(super) fn repair(directory: &Path) -> Result<(), FileError> {
    let mut journals: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
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
        let bytes = fs::read(&path).map_err(FileError::io(&path))?;
        let damaged = |at| FileError::damaged(&path, at);
        let end = check(&bytes, &mut newest).map_err(damaged)?;
        // What a file is preallocated with, and what follows a whole journal.
        if is_zero(&bytes[end..]) {
            continue;
        }
        if index < last || (end + 1..bytes.len()).any(|at| batch(&bytes[at..]).is_some()) {
            return Err(damaged(end));
        }
        tracing::warn!(journal = %path.display(), at = end, "cut off a batch that a crash left in part; nobody was told of it");
        let file = File::options().write(true).open(&path).map_err(FileError::io(&path))?;
        file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(FileError::io(&path))?;
    }
    Ok(())
}

/// Compared in blocks: most of a preallocated journal is zeros, and it is read at every start.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|block| *block == ZEROS[..block.len()])
}

/// Where the whole batches end. An error is the place where the sequence numbers do not rise.
fn check(bytes: &[u8], newest: &mut Option<u64>) -> Result<usize, usize> {
    let mut at = 0;
    while let Some((sequence, length)) = batch(&bytes[at..]) {
        if newest.is_some_and(|newest| sequence <= newest) {
            return Err(at);
        }
        *newest = Some(sequence);
        at += length;
    }
    Ok(at)
}

/// The sequence number and the length of the batch at the front, if it is whole.
fn batch(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.byte()? != START {
        return None;
    }
    let count = u32::from_le_bytes(reader.array()?);
    let sequence = u64::from_le_bytes(reader.array()?);
    let items = reader.at;
    for _ in 0..count {
        reader.item()?;
    }
    let checksum = xxh3_64(&bytes[items..reader.at]);
    let whole = reader.byte()? == END && u64::from_le_bytes(reader.array()?) == checksum && reader.take(TRAILER.len())? == TRAILER;
    whole.then_some((sequence, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self) -> Option<()> {
        match self.byte()? {
            ITEM => {
                let _value_type = self.byte()?;
                let _compression = self.byte()?;
                let _keyspace: [u8; 8] = self.array()?;
                let key = u16::from_le_bytes(self.array()?);
                let _value = u32::from_le_bytes(self.array()?);
                let stored = u32::from_le_bytes(self.array()?);
                self.take(usize::from(key))?;
                self.take(usize::try_from(stored).ok()?).map(drop)
            }
            CLEAR => self.take(8).map(drop),
            _ => None,
        }
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let part = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let journal = fs::read(directory.path().join("0.jnl")).expect("journal");
        let end = check(&journal, &mut None).expect("rising numbers");
        assert!(end > 27_000, "all batches are understood, up to {end}");
        assert!(journal[end..].iter().all(|byte| *byte == 0), "nothing else is there");
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
}
