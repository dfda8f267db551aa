//! What `gatehouse login` remembers: for every context a server, how it is recognised, and the tokens of a login.
//!
//! A context is a file that only its owner reads, in `$XDG_CONFIG_HOME/gatehouse/contexts`; `current` names the one that commands use
//! that name none. Files change whole. Who changes tokens holds the context's lock: a refresh token is good once, and two commands that
//! used the same one would look like a thief to the server.

use super::{Exit, Failure};
use crate::files;
use gatehouse_client::https::{Belief, Server};
use gatehouse_pki::Certificate;
use gatehouse_types::UnixTime;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The context when nobody names one.
const USUAL: &str = "default";
const CURRENT: &str = "current";
const MOST_BYTES: u64 = 256 * 1024;

/// A login as it is kept. A stored type: its old forms must still load.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    /// The server, which is its issuer's name as well.
    pub(super) server: String,
    /// The certificate by which it is recognised, in PEM, where the system does not trust it.
    pub(super) pinned: Option<String>,
    /// The path that gives tokens.
    pub(super) token_path: String,
    /// The path that ends them.
    pub(super) revocation_path: String,
    pub(super) access_token: String,
    pub(super) access_ends: UnixTime,
    pub(super) refresh_token: String,
}

/// Which context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

/// Nobody else changes the context meanwhile. The lock ends with the value.
pub(super) struct Locked {
    name: Name,
    folder: PathBuf,
    _lock: File,
}

impl Name {
    /// A name as it is written on a command line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let good = (1..=64).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('.') && text != CURRENT;
        good.then(|| Self(text.to_owned())).ok_or_else(|| "a context has 1 to 64 letters, digits, hyphens, dots and underscores".to_owned())
    }

    /// The one that is named, or the present one, or the usual one.
    pub(super) fn or_present(named: Option<Self>) -> Self {
        let present = || fs::read_to_string(folder().ok()?.join(CURRENT)).ok().and_then(|text| Self::parse(text.trim()).ok());
        named.or_else(present).unwrap_or_else(|| Self(USUAL.to_owned()))
    }

    /// What is kept of it.
    pub(super) fn load(&self) -> Result<Option<Saved>, Failure> {
        let path = file(&folder()?, self);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path, &error)),
            Ok(_) => serde_json::from_str(&text).map(Some).map_err(|error| unusable(&path, &error)),
        }
    }

    /// Waits until nobody else changes it.
    pub(super) fn lock(&self) -> Result<Locked, Failure> {
        let folder = folder()?;
        let path = folder.join(format!("{self}.lock"));
        let locked = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            flock(&lock, FlockOperation::LockExclusive)?;
            Ok::<_, io::Error>(lock)
        };
        let lock = locked().map_err(|error| unusable(&path, &error))?;
        Ok(Locked { name: self.clone(), folder, _lock: lock })
    }
}

impl Locked {
    /// Keeps a login.
    pub(super) fn save(&self, saved: &Saved) -> Result<(), Failure> {
        let path = file(&self.folder, &self.name);
        let text = serde_json::to_vec_pretty(saved).map_err(|error| unusable(&path, &error))?;
        files::replace_private(&path, &text).map_err(|error| unusable(&path, &error))
    }

    /// Makes it the one that is used when none is named.
    pub(super) fn make_present(&self) -> Result<(), Failure> {
        let path = self.folder.join(CURRENT);
        files::replace_private(&path, self.name.to_string().as_bytes()).map_err(|error| unusable(&path, &error))
    }

    /// Forgets the login.
    pub(super) fn forget(&self) -> Result<(), Failure> {
        let path = file(&self.folder, &self.name);
        fs::remove_file(&path).map_err(|error| unusable(&path, &error))
    }
}

impl Saved {
    /// The server with how it is recognised.
    pub(super) fn server(&self) -> Result<(Server, Belief), Failure> {
        let server = self.server.parse().map_err(|error| Failure::new(Exit::Invalid, format!("the context is damaged: {error}")))?;
        let Some(pinned) = &self.pinned else { return Ok((server, Belief::System)) };
        let certificate = Certificate::chain_from_pem(pinned.as_bytes()).ok().and_then(|chain| chain.into_iter().next());
        let certificate = certificate.ok_or_else(|| Failure::new(Exit::Invalid, "the context's certificate is damaged; log in again"))?;
        Ok((server, Belief::Pinned(Box::new(certificate))))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

fn folder() -> Result<PathBuf, Failure> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
    let none = || Failure::new(Exit::Config, "neither XDG_CONFIG_HOME nor HOME says where contexts are kept");
    Ok(home.ok_or_else(none)?.join("gatehouse/contexts"))
}

fn file(folder: &Path, name: &Name) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{} cannot be used: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leaves_its_folder() {
        for good in ["default", "acme-1", "a.b_c"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for wrong in ["", ".", "..", ".x", "a/b", "../x", "a b", CURRENT, &"a".repeat(65)] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
    }
}
