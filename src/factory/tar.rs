//! The one archive shape that bundles use: a POSIX ustar file with one folder a device, and a few small regular files
//! in each.
//!
//! `tar xf` unpacks it. Nothing here touches the disk, and reading accepts exactly what writing makes: no links, no
//! devices, no deeper paths, nothing after the end.

use std::collections::BTreeMap;

const BLOCK: usize = 512;

/// The most files of a folder.
const MAX_FILES: usize = 16;

/// The most folders of an archive.
pub(crate) const MAX_FOLDERS: usize = 1000;

/// The largest file.
const MAX_FILE: usize = 64 * 1024;

/// The largest archive that is read.
pub(crate) const MAX_ARCHIVE: usize = 64 * 1024 * 1024;

/// Why bytes are not such an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// It is larger than any bundle.
    #[error("the archive is larger than {MAX_ARCHIVE} bytes")]
    Large,
    /// It ends in the middle of something.
    #[error("the archive is cut short")]
    Short,
    /// A header has a wrong sum or field.
    #[error("a header of the archive is damaged")]
    Header,
    /// A member is not a regular file in the archive's one folder.
    #[error("the archive holds something else than plain files in one folder")]
    Member,
    /// Something follows the end.
    #[error("something follows the end of the archive")]
    Trailing,
}

/// Appends files to an archive that is being made in a buffer.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    folder: &'a str,
    modified: u64,
}

impl<'a> Writer<'a> {
    /// Appends to the buffer files in this folder that were modified at this second.
    pub(crate) fn new(out: &'a mut Vec<u8>, folder: &'a str, modified: u64) -> Self {
        Self { out, folder, modified }
    }

    /// Appends a file of these pieces.
    pub(crate) fn file(&mut self, name: &str, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut header = [0; BLOCK];
        header[..self.folder.len()].copy_from_slice(self.folder.as_bytes());
        header[self.folder.len()] = b'/';
        header[self.folder.len() + 1..][..name.len()].copy_from_slice(name.as_bytes());
        header[100..124].copy_from_slice(b"0000600\x000000000\x000000000\x00");
        put_octal(&mut header[124..135], length as u64);
        put_octal(&mut header[136..147], self.modified);
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        put_octal(&mut header[148..154], u64::from(sum));
        header[154] = 0;
        self.out.extend_from_slice(&header);
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece));
        // By its length and not by where the buffer ends: the archive need not begin where the buffer does.
        let padding = length.next_multiple_of(BLOCK) - length;
        self.out.resize(self.out.len() + padding, 0);
    }
}

/// What ends an archive.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

fn put_octal(field: &mut [u8], mut number: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (number & 7) as u8;
        number >>= 3;
    }
}

/// A folder's files by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Reads an archive: its folders in order, and the files of each.
pub(crate) fn read(archive: &[u8]) -> Result<Vec<(String, Files)>, TarError> {
    if archive.len() > MAX_ARCHIVE {
        return Err(TarError::Large);
    }
    let mut folders: Vec<(String, Files)> = Vec::new();
    let mut rest = archive;
    loop {
        let (header, after) = rest.split_first_chunk::<BLOCK>().ok_or(TarError::Short)?;
        if header.iter().all(|b| *b == 0) {
            // Stock tools pad the end to a record; only zeros may stand there.
            let sound = after.len() >= BLOCK && after.iter().all(|b| *b == 0) && !folders.is_empty();
            return if sound { Ok(folders) } else { Err(TarError::Trailing) };
        }
        let (path, length) = member(header)?;
        let (folder, name) = path.split_once('/').ok_or(TarError::Member)?;
        if name.contains('/') || name.is_empty() || folder.is_empty() {
            return Err(TarError::Member);
        }
        let content = after.get(..length).ok_or(TarError::Short)?;
        if folders.last().is_none_or(|(last, _)| last != folder) {
            folders.push((folder.to_owned(), Files::new()));
        }
        let (_, files) = folders.last_mut().ok_or(TarError::Member)?;
        if files.insert(name.to_owned(), content.to_vec()).is_some() || files.len() > MAX_FILES {
            return Err(TarError::Member);
        }
        if folders.len() > MAX_FOLDERS {
            return Err(TarError::Large);
        }
        rest = after.get(length.next_multiple_of(BLOCK)..).ok_or(TarError::Short)?;
    }
}

/// A header's path and length, once its sum and its type are right.
fn member(header: &[u8; BLOCK]) -> Result<(&str, usize), TarError> {
    let sum: u32 = header.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) }).sum();
    if octal(&header[148..156])? != u64::from(sum) || &header[257..262] != b"ustar" {
        return Err(TarError::Header);
    }
    if header[156] != b'0' || header[345] != 0 {
        return Err(TarError::Member);
    }
    let length = octal(&header[124..136])?;
    if length > MAX_FILE as u64 {
        return Err(TarError::Large);
    }
    let path = header[..100].split(|b| *b == 0).next().unwrap_or_default();
    let path = std::str::from_utf8(path).map_err(|_| TarError::Member)?;
    Ok((path, usize::try_from(length).map_err(|_| TarError::Large)?))
}

fn octal(field: &[u8]) -> Result<u64, TarError> {
    let text = std::str::from_utf8(field).map_err(|_| TarError::Header)?.trim_matches([' ', '\0']);
    u64::from_str_radix(text, 8).map_err(|_| TarError::Header)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn archive() -> Vec<u8> {
        let mut out = Vec::new();
        for folder in ["GH-1", "GH-2"] {
            let mut writer = Writer::new(&mut out, folder, 1_700_000_000);
            writer.file("chain.pem", &[b"ch", b"ain"]);
            writer.file("empty", &[]);
            writer.file("block", &[&[7; BLOCK]]);
        }
        out.extend_from_slice(&END);
        out
    }

    fn one(folder: &str, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Writer::new(&mut out, folder, 0).file(name, &[]);
        out.extend_from_slice(&END);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let folders = read(&archive()).expect("archive");
        assert_eq!(folders.iter().map(|(folder, _)| folder.as_str()).collect::<Vec<_>>(), ["GH-1", "GH-2"]);
        for (_, files) in folders {
            assert_eq!(files.keys().collect::<Vec<_>>(), ["block", "chain.pem", "empty"]);
            assert_eq!(files["chain.pem"], b"chain");
        }
    }

    #[test]
    fn stock_tar_lists_and_unpacks_it() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("b.tar"), archive()).expect("write");
        let run = std::process::Command::new("tar").args(["xvf", "b.tar", "GH-2"]).current_dir(&dir).output().expect("tar runs");
        assert!(run.status.success());
        assert_eq!(String::from_utf8_lossy(&run.stdout), "GH-2/chain.pem\nGH-2/empty\nGH-2/block\n");
        assert_eq!(std::fs::read(dir.path().join("GH-2/chain.pem")).expect("file"), b"chain");
    }

    #[test]
    fn links_damage_and_trailing_bytes_are_refused() {
        let good = archive();
        let mut flipped = good.clone();
        flipped[3] ^= 1;
        assert_eq!(read(&flipped), Err(TarError::Header));
        assert_eq!(read(&good[..good.len() - BLOCK]), Err(TarError::Trailing));
        assert_eq!(read(&good[..BLOCK + 3]), Err(TarError::Short));
        assert_eq!(read(&[good.as_slice(), b"x"].concat()), Err(TarError::Trailing));
        assert_eq!(read(&END), Err(TarError::Trailing));
        let mut link = one("GH-1", "x");
        link[156] = b'2';
        link[148..156].fill(b' ');
        let sum: u32 = link[..BLOCK].iter().map(|b| u32::from(*b)).sum();
        link[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(read(&link), Err(TarError::Member));
    }

    #[test]
    fn a_path_out_of_the_folder_is_refused() {
        for (folder, name) in [("GH-1", "../x"), ("", "x"), ("a", ""), ("a/b", "c")] {
            assert_eq!(read(&one(folder, name)), Err(TarError::Member), "{folder}/{name}");
        }
        assert!(read(&one("GH-1", "x")).is_ok());
    }

    proptest! {
        #[test]
        fn damaged_archives_never_panic(at in 0usize..8192, to: u8, cut in 0usize..8192) {
            let mut bytes = archive();
            let at = at % bytes.len();
            bytes[at] = to;
            bytes.truncate(bytes.len() - cut % bytes.len());
            let _ = read(&bytes);
        }
    }
}
