//! Checks the files that say which tables fjall has, and the directory at the end of every table.
//!
//! fjall writes checksums of both and does not look at them, or looks too late: a list with a flipped bit may lose a
//! table, whose rows then vanish without an error, and a length with a flipped bit asks for more memory than there
//! is, which ends the process. What is inside a table has checksums that fjall checks when it reads.
//!
//! The layout is that of fjall 3. Each keyspace has a folder with a file `current` (number and checksum of the list),
//! the list `v<number>`, and a folder `tables`. A table that the list does not name is what a crash left of one that
//! was never finished, and is not looked at.

use super::FileError;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
};
use xxhash_rust::xxh3::xxh3_128;

/// `SFA!`, a version, the checksum's type, the checksum, and the position and length of the directory.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;
/// A directory names a handful of sections.
const MAX_DIRECTORY_BYTES: usize = 64 << 10;
/// Ten thousands of tables fit; a longer list is none.
const MAX_LIST_BYTES: u64 = 64 << 20;

/// Checks the lists of all keyspaces, and the tables in them.
pub(super) fn check(directory: &Path) -> Result<(), FileError> {
    let keyspaces = directory.join("keyspaces");
    let entries = match fs::read_dir(&keyspaces) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(FileError::io(&keyspaces))?,
    };
    for entry in entries {
        let keyspace = entry.map_err(FileError::io(&keyspaces))?.path();
        // Without this file the keyspace was never finished.
        if keyspace.join("current").exists() {
            check_keyspace(&keyspace)?;
        }
    }
    Ok(())
}

fn check_keyspace(keyspace: &Path) -> Result<(), FileError> {
    let current = keyspace.join("current");
    let pointer = fs::read(&current).map_err(FileError::io(&current))?;
    let Some((number, checksum)) = parse_pointer(&pointer) else { return Err(FileError::damaged(&current, 0)) };
    let list_path = keyspace.join(format!("v{number}"));
    let file = File::open(&list_path).map_err(FileError::io(&list_path))?;
    let length = file.metadata().map_err(FileError::io(&list_path))?.len();
    if length > MAX_LIST_BYTES {
        return Err(FileError::damaged(&list_path, 0));
    }
    let list = fs::read(&list_path).map_err(FileError::io(&list_path))?;
    if xxh3_128(&list) != checksum {
        return Err(FileError::damaged(&list_path, 0));
    }
    let directory = directory(&file).map_err(FileError::io(&list_path))?;
    let tables = directory.as_deref().and_then(|directory| section(directory, b"tables"));
    let tables = tables.and_then(|(start, length)| list.get(start..start.checked_add(length)?)).and_then(parse_tables);
    for table in tables.ok_or_else(|| FileError::damaged(&list_path, 0))? {
        let path = keyspace.join("tables").join(table.to_string());
        let file = File::open(&path).map_err(FileError::io(&path))?;
        if directory_of(&file, &path)?.is_none() {
            return Err(FileError::damaged(&path, file.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    Ok(())
}

fn directory_of(file: &File, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    directory(file).map_err(FileError::io(path))
}

/// The directory at the end of an archive; `None` when its checksum does not hold.
fn directory(file: &File) -> io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    let Some(trailer_at) = length.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER_BYTES];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let mut reader = Reader(&trailer);
    let parsed = (|| {
        let known = reader.take(6)? == b"SFA!\x01\x00";
        known.then_some((u128::from_le_bytes(reader.array()?), reader.number()?, usize::try_from(reader.number()?).ok()?))
    })();
    let Some((checksum, start, bytes)) = parsed else { return Ok(None) };
    if bytes > MAX_DIRECTORY_BYTES || start.checked_add(bytes as u64) != Some(trailer_at) {
        return Ok(None);
    }
    let mut directory = vec![0; bytes];
    file.read_exact_at(&mut directory, start)?;
    Ok((xxh3_128(&directory) == checksum).then_some(directory))
}

/// Start and length of a section.
fn section(directory: &[u8], wanted: &[u8]) -> Option<(usize, usize)> {
    let mut reader = Reader(directory.strip_prefix(b"TOC!")?);
    let count = u32::from_le_bytes(reader.array()?);
    for _ in 0..count {
        let (start, length) = (reader.number()?, reader.number()?);
        let name = u16::from_le_bytes(reader.array()?);
        if reader.take(usize::from(name))? == wanted {
            return Some((usize::try_from(start).ok()?, usize::try_from(length).ok()?));
        }
    }
    None
}

fn parse_pointer(bytes: &[u8]) -> Option<(u64, u128)> {
    let mut reader = Reader(bytes);
    let pointer = (reader.number()?, u128::from_le_bytes(reader.array()?));
    // The type of the checksum: 0 is XXH3.
    (reader.0 == [0]).then_some(pointer)
}

/// The numbers of all tables: levels of runs of tables.
fn parse_tables(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut reader = Reader(bytes);
    let mut tables = Vec::new();
    let [levels] = reader.array()?;
    for _ in 0..levels {
        let [runs] = reader.array()?;
        for _ in 0..runs {
            for _ in 0..u32::from_le_bytes(reader.array()?) {
                tables.push(reader.number()?);
                // The checksum over the whole table with its type, and a sequence number.
                reader.take(1 + 16 + 8)?;
            }
        }
    }
    reader.0.is_empty().then_some(tables)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A database with at least one table on disk, closed.
    fn database() -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("directory");
        let database = fjall::Database::builder(directory.path()).open().expect("open");
        let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("keyspace");
        for number in 0..200u8 {
            rows.insert([number], vec![number; 100]).expect("insert");
        }
        rows.rotate_memtable_and_wait().expect("a table");
        directory
    }

    fn files(directory: &Path, wanted: fn(&str) -> bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for keyspace in fs::read_dir(directory.join("keyspaces")).expect("keyspaces") {
            let keyspace = keyspace.expect("entry").path();
            for folder in [keyspace.clone(), keyspace.join("tables")] {
                for entry in fs::read_dir(folder).expect("folder") {
                    let path = entry.expect("entry").path();
                    if path.is_file() && wanted(path.file_name().and_then(|name| name.to_str()).unwrap_or_default()) {
                        found.push(path);
                    }
                }
            }
        }
        found
    }

    #[test]
    fn every_flipped_bit_of_a_list_or_a_tables_directory_is_noticed() {
        let directory = database();
        check(directory.path()).expect("what fjall wrote is good");
        let pointers = files(directory.path(), |name| name == "current");
        let list = |pointer: &PathBuf| {
            let (number, _) = parse_pointer(&fs::read(pointer).expect("pointer")).expect("a pointer");
            pointer.with_file_name(format!("v{number}"))
        };
        let lists: Vec<PathBuf> = pointers.iter().map(list).chain(pointers.clone()).collect();
        let tables = files(directory.path(), |name| name.parse::<u64>().is_ok());
        assert!(lists.len() >= 4 && !tables.is_empty(), "{lists:?} {tables:?}");
        for (path, tail) in lists.iter().map(|path| (path, usize::MAX)).chain(tables.iter().map(|path| (path, 100))) {
            let good = fs::read(path).expect("file");
            for byte in good.len().saturating_sub(tail)..good.len() {
                let mut bad = good.clone();
                bad[byte] ^= 1 << (byte % 8);
                fs::write(path, &bad).expect("file");
                assert!(check(directory.path()).is_err(), "{} at {byte}", path.display());
            }
            fs::write(path, &good).expect("file");
        }
        check(directory.path()).expect("all is as it was");
    }

    #[test]
    fn a_table_that_is_in_no_list_is_left_alone() {
        let directory = database();
        let table = files(directory.path(), |name| name.parse::<u64>().is_ok()).remove(0);
        fs::write(table.with_file_name("999999"), "half a table").expect("file");
        check(directory.path()).expect("fjall removes it");
    }
}
