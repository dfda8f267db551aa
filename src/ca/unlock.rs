//! Where the key-encryption key comes from.
//!
//! The key-encryption key opens the private keys at rest. It lives outside the data directory and outside every
//! backup: in a file that only its owner reads, in the environment, or in somebody's head as a passphrase.
//! Nothing here knows the keyring; [`crate::Keyring`] decides whether the key is the right one.

use base64::{Engine, engine::general_purpose::STANDARD};
use gatehouse_types::{Random, Secret};
use rustix::process::geteuid;
use std::{
    env, fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use zeroize::Zeroizing;

/// Length of a key-encryption key in bytes.
pub const KEY_LENGTH: usize = 32;

/// The shortest passphrase that a new keyring takes, in bytes. Argon2id makes a guess dear, not a short list long.
pub const PASSPHRASE_MIN: usize = 12;

/// A key file or passphrase file is at most this long; anything longer is the wrong file.
const FILE_MAX: u64 = 4096;

/// What a key's text begins with, so that a passphrase is never taken for a key or the other way round.
const KEY_PREFIX: &str = "gatehouse-key-1:";

/// Where to look for what opens the keyring.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with a key as [`Key::generate`] makes it. Regular, owned by this user or root, closed to everybody else.
    File(PathBuf),
    /// An environment variable that holds a key's text.
    Environment(String),
    /// A file with a passphrase on its first line; the same rules as for a key file.
    PassphraseFile(PathBuf),
    /// A passphrase that somebody typed.
    Passphrase(Secret),
}

/// What a source held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// A full-strength key, used as it is.
    Key(Key),
    /// A passphrase, to be stretched with the parameters that the keyring stores.
    Passphrase(Secret),
}

/// Thirty-two secret bytes from a random source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Secret);

/// The key-encryption key is not to be had. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The file is not there.
    #[error(
        "the key-encryption key is missing: {} does not exist. It opens the private keys in the data directory and is kept apart from \
         them and from backups. Put the file back from where you keep its copy; a new installation makes one with `gatehouse init`",
        path.display()
    )]
    FileMissing {
        /// The path that was tried.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("the key-encryption key cannot be read from {}", path.display())]
    FileUnreadable {
        /// The path that was tried.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is open to others, or is no regular file.
    #[error("{} {problem}. Run `chmod 600` on it and check its owner, and if others could read it, `gatehouse ca rotate-key`", path.display())]
    FileUnsafe {
        /// The path that was tried.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The environment variable is not set.
    #[error(
        "the key-encryption key is missing: the environment variable {name} is not set. Set it to the key's text before starting \
         (a systemd unit reads it with EnvironmentFile=)"
    )]
    EnvironmentMissing {
        /// The variable's name.
        name: String,
    },
    /// What was found is not a key's text.
    #[error("{place} holds no key-encryption key: a key is one line, `{KEY_PREFIX}` and 44 characters of base64")]
    NotAKey {
        /// Where it was found.
        place: String,
    },
    /// What was found is not a recipient key's text.
    #[error("{place} holds no recipient key; `gatehouse backup --new-recipient FILE` makes one")]
    NotARecipientKey {
        /// Where it was found.
        place: String,
    },
    /// A passphrase of no length.
    #[error("{place} holds no passphrase")]
    EmptyPassphrase {
        /// Where it was found.
        place: String,
    },
}

impl KeySource {
    /// Reads what opens the keyring.
    ///
    /// # Errors
    /// When it is missing, unsafe or not a key.
    pub fn load(&self) -> Result<Unlock, UnlockError> {
        match self {
            Self::File(path) => {
                let text = read_private_file(path)?;
                Key::from_text(&text).map(Unlock::Key).ok_or_else(|| UnlockError::NotAKey { place: path.display().to_string() })
            }
            Self::Environment(name) => {
                let text = env::var_os(name).ok_or_else(|| UnlockError::EnvironmentMissing { name: name.clone() })?;
                let text = Secret::new(text.into_encoded_bytes());
                Key::from_text(&text)
                    .map(Unlock::Key)
                    .ok_or_else(|| UnlockError::NotAKey { place: format!("the environment variable {name}") })
            }
            Self::PassphraseFile(path) => passphrase(&read_private_file(path)?, path.display().to_string()),
            Self::Passphrase(text) => passphrase(text, "the input".to_owned()),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "key file {}", path.display()),
            Self::Environment(name) => write!(out, "key in the environment variable {name}"),
            Self::PassphraseFile(path) => write!(out, "passphrase file {}", path.display()),
            Self::Passphrase(_) => out.write_str("passphrase"),
        }
    }
}

impl Key {
    /// Makes a new key.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = vec![0; KEY_LENGTH];
        random.fill(&mut bytes);
        Self(Secret::new(bytes))
    }

    /// The key of exactly this many bytes.
    pub(crate) fn from_bytes(bytes: Secret) -> Option<Self> {
        (bytes.len() == KEY_LENGTH).then_some(Self(bytes))
    }

    /// The bytes as a secret, for sealing the key itself.
    pub(crate) fn secret(&self) -> &Secret {
        &self.0
    }

    /// The bytes, for deriving other keys.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Writes the key into a new file that only this user can read. Never overwrites.
    ///
    /// # Errors
    /// When the file exists or cannot be written durably.
    pub fn write_new(&self, path: &Path) -> io::Result<()> {
        write_private_file(path, &self.to_text())
    }

    /// The key as one line of text, as files and environment variables hold it.
    pub fn to_text(&self) -> Secret {
        encode_line(KEY_PREFIX, &self.0)
    }

    fn from_text(text: &Secret) -> Option<Self> {
        decode_line(KEY_PREFIX, text).map(Self)
    }
}

/// Thirty-two secret bytes as one line of text.
pub(crate) fn encode_line(prefix: &str, bytes: &Secret) -> Secret {
    // Sized beforehand: a buffer that grows leaves copies behind.
    let mut text = String::with_capacity(prefix.len() + 48);
    text.push_str(prefix);
    STANDARD.encode_string(bytes.expose(), &mut text);
    text.push('\n');
    Secret::from(text)
}

/// The other way; none when it is anything else.
pub(crate) fn decode_line(prefix: &str, text: &Secret) -> Option<Secret> {
    let encoded = text.expose().trim_ascii().strip_prefix(prefix.as_bytes())?;
    // The decoder wants room for a whole last group, padding included.
    let mut bytes = Zeroizing::new(vec![0; KEY_LENGTH + 4]);
    let length = STANDARD.decode_slice(encoded, &mut bytes).ok()?;
    (length == KEY_LENGTH).then(|| Secret::new(bytes[..KEY_LENGTH].to_vec()))
}

fn passphrase(text: &Secret, place: String) -> Result<Unlock, UnlockError> {
    let line = text.expose().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() { Err(UnlockError::EmptyPassphrase { place }) } else { Ok(Unlock::Passphrase(Secret::new(line.to_vec()))) }
}

/// Writes a small file that nobody else may read; durable when this returns. Never overwrites.
pub(crate) fn write_private_file(path: &Path, text: &Secret) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.expose())?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Reads a small file that nobody else may read or have written.
pub(crate) fn read_private_file(path: &Path) -> Result<Secret, UnlockError> {
    let unreadable = |source| UnlockError::FileUnreadable { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(UnlockError::FileMissing { path: path.to_owned() }),
        file => file.map_err(unreadable)?,
    };
    // Asked of the open file, so that nobody swaps it between the look and the reading.
    let metadata = file.metadata().map_err(unreadable)?;
    let problem = if !metadata.is_file() {
        Some("is not a regular file")
    } else if metadata.mode() & 0o077 != 0 {
        Some("can be read or written by other users")
    } else if metadata.uid() != geteuid().as_raw() && metadata.uid() != 0 {
        Some("belongs to another user")
    } else if metadata.len() > FILE_MAX {
        Some("is too long to be a key or a passphrase")
    } else {
        None
    };
    if let Some(problem) = problem {
        return Err(UnlockError::FileUnsafe { path: path.to_owned(), problem });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(FILE_MAX).unwrap_or(0));
    let read = file.take(FILE_MAX).read_to_end(&mut bytes);
    let secret = Secret::new(bytes);
    read.map_err(unreadable)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::SystemRandom;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn a_key_written_to_a_file_is_read_back() {
        let folder = folder();
        let path = folder.path().join("key");
        let key = Key::generate(&SystemRandom);
        key.write_new(&path).expect("writes");
        assert_eq!(fs::metadata(&path).expect("metadata").mode() & 0o777, 0o600);
        assert_eq!(KeySource::File(path.clone()).load().expect("loads"), Unlock::Key(key.clone()));
        assert_eq!(key.write_new(&path).expect_err("never overwrites").kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let folder = folder();
        let path = folder.path().join("key");
        Key::generate(&SystemRandom).write_new(&path).expect("writes");
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            assert!(matches!(KeySource::File(path.clone()).load(), Err(UnlockError::FileUnsafe { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("chmod");
        assert!(KeySource::File(path).load().is_ok());
    }

    #[test]
    fn a_missing_key_file_says_what_to_do() {
        let error = KeySource::File("/nonexistent/key".into()).load().expect_err("missing");
        assert!(error.to_string().contains("Put the file back"), "{error}");
    }

    #[test]
    fn a_folder_or_a_long_file_is_no_key() {
        let folder = folder();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("chmod");
        assert!(matches!(KeySource::File(folder.path().into()).load(), Err(UnlockError::FileUnsafe { .. })));
        let long = folder.path().join("long");
        fs::write(&long, vec![b'a'; 5000]).expect("writes");
        fs::set_permissions(&long, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(matches!(KeySource::File(long).load(), Err(UnlockError::FileUnsafe { .. })));
    }

    #[test]
    fn text_that_is_no_key_is_refused_and_not_repeated() {
        let folder = folder();
        let path = folder.path().join("key");
        let short = format!("{KEY_PREFIX}c2hvcnQ=");
        for text in ["", "hunter2 is my passphrase", KEY_PREFIX, short.as_str()] {
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
            let error = KeySource::File(path.clone()).load().expect_err(text);
            assert!(matches!(error, UnlockError::NotAKey { .. }), "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn an_unset_environment_variable_is_named() {
        let error = KeySource::Environment("GATEHOUSE_TEST_UNSET".into()).load().expect_err("unset");
        assert!(error.to_string().contains("GATEHOUSE_TEST_UNSET is not set"), "{error}");
    }

    #[test]
    fn a_passphrase_is_the_first_line_of_its_file() {
        let folder = folder();
        let path = folder.path().join("passphrase");
        fs::write(&path, "correct horse battery\r\nsecond line").expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        let unlock = KeySource::PassphraseFile(path).load().expect("loads");
        assert_eq!(unlock, Unlock::Passphrase(Secret::from("correct horse battery".to_owned())));
        assert!(matches!(KeySource::Passphrase(Secret::new(vec![])).load(), Err(UnlockError::EmptyPassphrase { .. })));
    }
}
