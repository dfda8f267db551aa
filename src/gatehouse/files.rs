//! Files that the program writes where it was told to: there whole or not at all, however the process or the machine ends.
//!
//! Content goes into a file of another name in the same folder, is synchronised, and gets its own name last. The factory
//! has its own, for what lies in its folder; backups and exports are too large to be held and follow the same steps.

use gatehouse_base::SystemRandom;
use gatehouse_types::Random;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Writes a file that only its owner reads, in the place of none that is there.
///
/// # Errors
/// The file exists, or cannot be written; then nothing of it is there.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // A link does not overwrite what somebody put there meanwhile, as a rename would.
    place(path, content, 0o600, |beside| {
        fs::hard_link(beside, path)?;
        fs::remove_file(beside)
    })
}

/// Writes a file that only its owner reads, in the place of one that may be there.
///
/// # Errors
/// It cannot be written; then the old one is still there.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    place(path, content, 0o600, |beside| fs::rename(beside, path))
}

/// Writes a file in the place of one that may be there, with that one's mode: who reads the old one reads the new one.
/// What is no file, like a terminal or a pipe, is written to as it is.
///
/// # Errors
/// It cannot be written; then the old one is still there.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(found) if !found.is_file() => return OpenOptions::new().write(true).open(path)?.write_all(content),
        Ok(found) => Some(found.permissions()),
        Err(_) => None,
    };
    // Through a link to the file that it names.
    let path = if mode.is_some() { path.canonicalize()? } else { path.to_owned() };
    place(&path, content, 0o666, |beside| {
        if let Some(mode) = mode {
            fs::set_permissions(beside, mode)?;
        }
        fs::rename(beside, &path)
    })
}

/// Makes the name of a file durable.
///
/// # Errors
/// The folder cannot be synchronised.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn place(path: &Path, content: &[u8], mode: u32, give_name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let beside = beside(path);
    let placed = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        give_name(&beside)
    })();
    if placed.is_err() {
        // What is left is a file that nobody names; that it cannot be removed is not the news.
        let _ = fs::remove_file(&beside);
    }
    placed.and_then(|()| sync_parent(path))
}

/// A name in the same folder that nobody else has.
fn beside(path: &Path) -> PathBuf {
    let mut own = [0; 8];
    SystemRandom.fill(&mut own);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{:016x}", u64::from_be_bytes(own)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        names.into_iter().map(|name| name.into_string().expect("text")).collect()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("file").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_takes_no_other_file_s_place() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a");
        write_new(&path, b"one").expect("written");
        let again = write_new(&path, b"two").expect_err("it is there");
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).expect("file"), mode(&path)), (b"one".to_vec(), 0o600));
        assert_eq!(names(dir.path()), ["a"]);
    }

    /// Who has the old file open, as a web server may, reads the old one to its end, and never half of the new one.
    #[test]
    fn a_file_is_replaced_by_another_one_with_its_mode_and_not_written_over() {
        use std::io::Read;
        let dir = tempfile::tempdir().expect("folder");
        let (path, link) = (dir.path().join("list"), dir.path().join("link"));
        fs::write(&path, b"old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode");
        std::os::unix::fs::symlink("list", &link).expect("link");
        let mut reader = File::open(&path).expect("file");
        replace(&link, b"new").expect("replaced");
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("read");
        assert_eq!(read, b"old");
        assert_eq!((fs::read(&path).expect("file"), mode(&path)), (b"new".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).expect("link").is_symlink());
        assert_eq!(names(dir.path()), ["link", "list"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir(dir.path().join("a")).expect("folder");
        assert!(replace(&dir.path().join("a"), b"x").is_err());
        assert!(write_new(&dir.path().join("a"), b"x").is_err());
        assert!(write_new(&dir.path().join("no/such/folder"), b"x").is_err());
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn what_is_no_file_is_written_to() {
        replace(Path::new("/dev/null"), b"x").expect("written");
        assert!(!fs::metadata("/dev/null").expect("it is still there").is_file());
    }
}
