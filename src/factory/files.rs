//! Files that only their owner reads, and that are there whole or not at all.

use gatehouse_types::Secret;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file or folder that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system says no.
    #[error("{path} cannot be read or written", path = path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// Larger than anything that belongs there.
    #[error("{path} is larger than {most} bytes", path = path.display())]
    Large {
        /// Which one.
        path: PathBuf,
        /// How much is read.
        most: u64,
    },
    /// Others may read it.
    #[error("others may read or change {path}; run `chmod go-rwx {path}`", path = path.display())]
    Open {
        /// Which one.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// Makes a folder that only its owner enters. It must not exist.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    DirBuilder::new().mode(0o700).create(path).map_err(FileError::at(path))
}

/// Demands that only its owner enters the folder: what is in it was put there by nobody else.
pub(crate) fn check_folder(path: &Path) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(FileError::at(path))?.permissions().mode();
    if mode & 0o077 == 0 { Ok(()) } else { Err(FileError::Open { path: path.to_owned() }) }
}

/// Reads a whole file of at most so many bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(FileError::at(path))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(FileError::at(path))?;
    if bytes.len() as u64 > most { Err(FileError::Large { path: path.to_owned(), most }) } else { Ok(bytes) }
}

/// Reads a secret that lies in a file of its own.
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<Secret, FileError> {
    let mode = fs::metadata(path).map_err(FileError::at(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned() });
    }
    read(path, most).map(Secret::new)
}

/// A new file that only its owner reads. It must not exist.
pub(crate) fn create_new(path: &Path) -> Result<File, FileError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(FileError::at(path))
}

/// Writes a new file that only its owner reads, durably. It must not exist.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut file = create_new(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FileError::at(path))?;
    sync_parent(path)
}

/// Writes a file whole or not at all, in the place of one that may be there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    write_new(&beside, bytes)?;
    rename(&beside, path)
}

/// Gives a file or folder another name, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(FileError::at(to))?;
    sync_parent(to)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::at(path))
}

/// Makes the name of a file or folder durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_files_and_folders_belong_to_their_owner_alone() {
        let dir = tempfile::tempdir().expect("dir");
        let folder = dir.path().join("keys");
        make_folder(&folder).expect("folder");
        write_new(&folder.join("a"), b"x").expect("file");
        replace(&folder.join("b"), b"x").expect("file");
        let mode = |path: &Path| fs::metadata(path).expect("file").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("a")), mode(&folder.join("b"))), (0o700, 0o600, 0o600));
        assert!(check_folder(&folder).is_ok());
    }

    #[test]
    fn a_folder_that_others_enter_is_refused() {
        let dir = tempfile::tempdir().expect("dir");
        let folder = dir.path().join("keys");
        make_folder(&folder).expect("folder");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).expect("mode");
        assert!(matches!(check_folder(&folder), Err(FileError::Open { .. })));
    }

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("a");
        write_new(&path, b"one").expect("file");
        assert!(write_new(&path, b"two").is_err());
        replace(&path, b"three").expect("file");
        assert_eq!(read(&path, 5).expect("file"), b"three");
        assert!(matches!(read(&path, 4), Err(FileError::Large { .. })));
    }
}
