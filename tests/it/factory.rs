//! The production line as a device maker types it, with stock tools beside it.

use crate::support::PROGRAM;
use gatehouse_testkit::process::command;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const SETTINGS: &str =
    "--manufacturer Example --provisioning coaps+tcp://dps.example.com:20030 --prefix GH- --until 2999-01-01T00:00:00Z --budget 100";

struct Maker {
    dir: TempDir,
}

impl Maker {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs `gatehouse factory …` with words separated by blanks.
    fn run(&self, arguments: &str) -> Output {
        let mut command = command(PROGRAM);
        command.arg("factory").args(arguments.split_whitespace()).current_dir(&self.dir);
        command.env("GATEHOUSE_FACTORY_KEY_FILE", "factory.key").env("SOFTHSM2_CONF", self.path("softhsm.conf"));
        command.output().expect("the program runs")
    }

    fn done(&self, arguments: &str) -> String {
        let run = self.run(arguments);
        assert!(run.status.success(), "factory {arguments}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).into_owned()
    }

    /// What the command says when it ends with this code.
    fn refused(&self, arguments: &str, code: i32) -> String {
        let run = self.run(arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert_eq!(run.status.code(), Some(code), "factory {arguments}: {said}");
        said
    }

    fn init(&self) {
        self.done(&format!("init {SETTINGS}"));
    }

    fn tool(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(&self.dir).env("SOFTHSM2_CONF", self.path("softhsm.conf"));
        let run = command.output().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8_lossy(&run.stdout).into_owned()
    }
}

fn modes(folder: &Path, found: &mut Vec<(PathBuf, u32)>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        found.push((path.clone(), fs::metadata(&path).expect("there").permissions().mode() & 0o777));
        if path.is_dir() {
            modes(&path, found);
        }
    }
}

#[test]
fn a_makers_day_from_the_first_key_to_the_customers_manifest() {
    let maker = Maker::new();
    maker.init();
    maker.tool("openssl ecparam -name prime256v1 -genkey -noout -out recipient.key");
    maker.tool("openssl req -x509 -new -key recipient.key -subj /CN=recipient -days 30 -out recipient.pem");
    maker.done("order open O-1 --customer ACME --planned 4");
    let made = maker.done("batch --count 3 --out bundles --recipient recipient.pem --order O-1 --json");
    let made: serde_json::Value = serde_json::from_str(&made).expect("json");
    assert_eq!((&made["devices"], &made["made"]), (&3.into(), &3.into()));
    let bundles = "bundles/GH-00000001_GH-00000003.tar";
    let verdict = maker.done(&format!("verify {bundles} --recipient-key recipient.key"));
    assert_eq!(verdict.matches("PASS GH-0000000").count(), 3, "{verdict}");
    assert!(maker.refused(&format!("verify {bundles}"), 4).contains("FAIL key: the key is sealed"));
    maker.tool("openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout device.key -subj /CN=x -out device.csr");
    maker.done("sign device.csr --out one.tar --order O-1");
    maker.done("scrap GH-00000002 --remark fell");
    maker.done("ship O-1 --out O-1.p7m");
    maker.done("order close O-1");
    let status: serde_json::Value = serde_json::from_str(&maker.done("status --json")).expect("json");
    let order = &status["orders"][0];
    assert_eq!((&order["shipped"], &order["scrapped"], &order["open"]), (&3.into(), &1.into(), &0.into()));
    fs::write(maker.path("root.pem"), maker.done("export-chain --root")).expect("write");
    maker.tool("openssl cms -verify -inform DER -in O-1.p7m -CAfile root.pem -out manifest.json");
    let receive = "manifest verify O-1.p7m --anchor root.pem --manufacturer Example --customer ACME --state received.json";
    maker.done(receive);
    assert!(maker.refused(receive, 4).contains("was received before"));
    maker.done(&format!("verify {bundles} --serial GH-00000001 --recipient-key recipient.key --manifest O-1.p7m --anchor root.pem"));
    maker.refused(&format!("verify {bundles} --serial GH-00000002 --recipient-key recipient.key --manifest O-1.p7m --anchor root.pem"), 4);
    maker.done("crl --out line-1.crl");
    assert!(maker.tool("openssl crl -inform DER -in line-1.crl -noout -text").contains("Cessation Of Operation"));
}

#[test]
fn everything_in_a_factory_belongs_to_its_owner_alone() {
    let maker = Maker::new();
    maker.init();
    maker.done("batch --count 2 --out bundles --danger-plain-keys");
    let mut found = vec![(maker.path("factory"), 0o700)];
    modes(&maker.path("factory"), &mut found);
    modes(&maker.path("bundles"), &mut found);
    for (path, mode) in found {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    fs::set_permissions(maker.path("factory"), fs::Permissions::from_mode(0o755)).expect("mode");
    assert!(maker.refused("revoke GH-00000001 --reason superseded", 1).contains("chmod go-rwx"));
}

#[test]
fn plain_keys_need_their_dangerous_name_and_nothing_is_overwritten() {
    let maker = Maker::new();
    maker.init();
    assert!(maker.refused("batch --count 2 --out bundles", 2).contains("--danger-plain-keys"));
    assert!(!maker.path("bundles").exists());
    maker.refused("init --manufacturer Other --provisioning coaps://a:1 --until 2999-01-01T00:00:00Z --budget 1", 7);
    maker.done("sign --out one.tar --danger-plain-keys");
    maker.refused("sign --out one.tar --danger-plain-keys", 7);
    assert!(maker.refused("sign --out two.tar --replaces GH-00000001 --danger-plain-keys", 2).contains("--reason"));
    maker.done("sign --out two.tar --replaces GH-00000001 --reason superseded --danger-plain-keys");
}

#[test]
fn a_misspelt_setting_is_told_with_its_place() {
    let maker = Maker::new();
    maker.init();
    let settings = maker.path("factory/factory.toml");
    let text = fs::read_to_string(&settings).expect("file").replace("budget", "budgit");
    fs::write(&settings, text).expect("write");
    let said = maker.refused("status", 4);
    assert!(said.contains("did you mean `budget`?") && said.contains("factory.toml:"), "{said}");
}

#[test]
fn where_there_is_no_factory_the_advice_can_be_typed() {
    let maker = Maker::new();
    let missing = maker.run("batch --factory away --count 1 --out bundles --danger-plain-keys");
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    let advice = said.split('`').find_map(|part| part.strip_prefix("gatehouse factory ")).unwrap_or_else(|| panic!("{said}"));
    maker.done(&format!("{advice} {SETTINGS}"));
    assert!(maker.path("away").is_dir());
}

#[test]
fn another_key_file_opens_nothing() {
    let maker = Maker::new();
    maker.init();
    fs::rename(maker.path("factory.key"), maker.path("kept")).expect("rename");
    Maker::new();
    let run = maker.run("init --factory second --manufacturer Example --provisioning coaps://a:1 --until 2999-01-01T00:00:00Z --budget 1");
    assert!(run.status.success());
    assert!(maker.refused("batch --count 1 --out bundles --danger-plain-keys", 5).contains("does not open"));
    fs::rename(maker.path("kept"), maker.path("factory.key")).expect("rename");
    maker.done("batch --count 1 --out bundles --danger-plain-keys");
}

#[test]
fn a_line_signs_with_a_key_that_stays_in_its_token() {
    const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
    if !Path::new(MODULE).exists() {
        assert!(std::env::var_os("CI").is_none(), "SoftHSM is missing: apt-get install softhsm2");
        eprintln!("skipped: SoftHSM is not installed");
        return;
    }
    let maker = Maker::new();
    fs::create_dir(maker.path("tokens")).expect("folder");
    let conf = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", maker.path("tokens").display());
    fs::write(maker.path("softhsm.conf"), conf).expect("write");
    maker.tool("softhsm2-util --init-token --free --label factory --pin 1234 --so-pin 5678");
    maker.tool("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out line.pem");
    maker.tool("softhsm2-util --import line.pem --token factory --label line-1 --id 01 --pin 1234");
    fs::remove_file(maker.path("line.pem")).expect("remove");
    fs::write(maker.path("pin"), "1234\n").expect("write");
    fs::set_permissions(maker.path("pin"), fs::Permissions::from_mode(0o600)).expect("mode");
    let settings = format!(
        "manufacturer = \"Example\"\nprovisioning = \"coaps+tcp://dps.example.com:20030\"\nnumbering = {{ prefix = \"GH-\" }}\n\
         [line.line-1]\nuntil = \"2999-01-01T00:00:00Z\"\nbudget = 40\n\
         pkcs11 = {{ module = \"{MODULE}\", token = \"factory\", key = \"line-1\", pin_file = \"{}\" }}\n",
        maker.path("pin").display()
    );
    fs::write(maker.path("settings.toml"), settings).expect("write");
    maker.done("init --settings settings.toml");
    assert!(!maker.path("factory/keys/line-line-1.key").exists(), "the line's key is in the token");
    maker.done("batch --count 40 --out bundles --danger-plain-keys");
    let files = fs::read_dir(maker.path("bundles")).expect("folder").map(|entry| entry.expect("entry").path());
    let passed: usize = files.map(|path| maker.done(&format!("verify {}", path.display())).matches("PASS").count()).sum();
    assert_eq!(passed, 40);
    assert!(maker.refused("batch --count 1 --out more --danger-plain-keys", 7).contains("budget"));
    maker.done("revoke GH-00000001 --reason key-compromise");
    maker.done("crl --out line-1.crl");
    fs::write(maker.path("pin"), "9999\n").expect("write");
    maker.refused("crl --out line-1.crl", 8);
}
