//! Runs the `openssl` program in a directory of its own. Without it nothing here can be judged, so that it is not optional.

use std::{
    path::PathBuf,
    process::{Command, Output},
};
use tempfile::TempDir;

pub(crate) struct OpenSsl {
    directory: TempDir,
}

impl OpenSsl {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).expect("a file in the temporary directory");
        name.to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("a file that OpenSSL wrote")
    }

    /// Runs a command line, words apart by blanks.
    pub(crate) fn try_run(&self, command: &str) -> Result<String, String> {
        let Output { status, stdout, stderr } = Command::new("openssl")
            .args(command.split(' ').filter(|word| !word.is_empty()))
            .current_dir(self.directory.path())
            .env("OPENSSL_CONF", "/dev/null")
            .output()
            .expect("the openssl program is installed (Debian: apt-get install openssl)");
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if status.success() { Ok(text) } else { Err(text) }
    }

    pub(crate) fn run(&self, command: &str) -> String {
        self.try_run(command).unwrap_or_else(|error| panic!("openssl {command}: {error}"))
    }
}
