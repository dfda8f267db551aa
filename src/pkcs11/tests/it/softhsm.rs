//! A SoftHSM token in a directory of its own.
//!
//! SoftHSM finds its tokens through an environment variable, which a test cannot set in its own process without
//! touching the others. So each test starts itself once more with the variable set, and judges by how that ends.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use gatehouse_pkcs11::{Token, TokenError, TokenLocation};
use gatehouse_types::Secret;
use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) const PIN: &str = "fedcba123456";

/// The token that this process was started with.
pub(crate) struct SoftHsm {
    pub(crate) module: PathBuf,
}

impl SoftHsm {
    /// Runs the test against a new token with the label `line`. The calling thread is named after its test.
    pub(crate) fn run(test: impl FnOnce(&Self)) {
        let Some(module) = MODULES.iter().map(PathBuf::from).find(|path| path.exists()) else {
            assert!(std::env::var_os("CI").is_none(), "SoftHSM is not installed (Debian: apt-get install softhsm2)");
            eprintln!("skipped: SoftHSM is not installed (Debian: apt-get install softhsm2)");
            return;
        };
        if std::env::var_os(OURS).is_some() {
            return test(&Self { module });
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let configuration = directory.path().join("softhsm2.conf");
        std::fs::create_dir(directory.path().join("tokens")).expect("a directory");
        let text = format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", directory.path().display());
        std::fs::write(&configuration, text).expect("a file");
        initialise("line", &configuration);

        let name = std::thread::current().name().expect("tests run in threads with their names").to_owned();
        let program = std::env::current_exe().expect("this program");
        let mut again = Command::new(program);
        again.args([name.as_str(), "--exact", "--nocapture"]).env("SOFTHSM2_CONF", &configuration).env(OURS, "1");
        let output = again.output().expect("this program starts");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn location(&self, label: &str) -> TokenLocation {
        TokenLocation { module: self.module.clone(), label: label.to_owned() }
    }

    pub(crate) fn open(&self, pin: &str, sessions: usize) -> Result<Token, TokenError> {
        let sessions = NonZeroUsize::new(sessions).expect("not zero");
        Token::open(self.location("line"), Secret::from(pin.to_owned()), sessions)
    }

    /// The module once more, as another user in the same process has it.
    pub(crate) fn other_user(&self) -> Pkcs11 {
        let module = Pkcs11::new(&self.module).expect("the module");
        // It is initialised already, which is what is meant.
        drop(module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)));
        module
    }

    /// Where the files of the tokens are.
    pub(crate) fn tokens(&self) -> PathBuf {
        let configuration = PathBuf::from(std::env::var_os("SOFTHSM2_CONF").expect("set by `run`"));
        configuration.with_file_name("tokens")
    }

    /// Makes one more token.
    pub(crate) fn initialise(&self, label: &str) {
        let configuration = std::env::var_os("SOFTHSM2_CONF").expect("set by `run`");
        initialise(label, Path::new(&configuration));
    }
}

fn initialise(label: &str, configuration: &Path) {
    let status = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "abcdef654321"])
        .env("SOFTHSM2_CONF", configuration)
        .output()
        .expect("softhsm2-util comes with SoftHSM")
        .status;
    assert!(status.success());
}

/// Set in the process that a test starts.
const OURS: &str = "GATEHOUSE_TEST_IN_SOFTHSM";

const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
