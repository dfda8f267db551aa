//! The provider as programs, browsers and command lines of other makers and our own meet it: over real ports, with authlib as referee.

use crate::support::{ForeignAuthority, PROGRAM, text};
use gatehouse_pki::Certificate;
use gatehouse_testkit::{
    missing,
    process::{command, run},
    server::{Installation, Server},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub(crate) const PASSWORD: &str = "tall ships sail";
pub(crate) const EMAIL: &str = "ann@example.com";

/// A server whose issuer is the address that it listens on, with Ann in it.
pub(crate) struct Provider {
    pub(crate) server: Server,
    pub(crate) issuer: String,
}

impl Provider {
    pub(crate) fn new() -> Self {
        // The system chooses the port, and the configuration has to name it: somebody else may take it in between.
        let started = (0..5).find_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
            let issuer = format!("https://localhost:{port}");
            let configuration = format!(
                "[listener.api]\naddress = \"127.0.0.1:{port}\"\nrole = \"https\"\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n\
                 [accounts]\nissuer = \"{issuer}\"\n"
            );
            let installation = Installation::new(PROGRAM, &configuration).expect("installation");
            ForeignAuthority::new("Foreign Root").deploy(installation.folder(), 1);
            Some(Self { server: installation.start().ok()?, issuer })
        });
        let provider = started.expect("the server starts");
        let mut admin = command(PROGRAM);
        admin.arg("--config").arg(provider.server.installation().file()).args(["admin", "add", EMAIL, "--password-stdin"]);
        let added = with_input(admin, PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        provider
    }

    pub(crate) fn folder(&self) -> &Path {
        self.server.installation().folder()
    }

    /// Runs the referee; nothing where it is not there.
    fn referee(&self, what: &str, url: &str) -> Option<Output> {
        // Debian's own: no other one finds its packages.
        let python = Path::new("/usr/bin/python3");
        let mut probe = command(python);
        probe.args(["-c", "import authlib, requests"]);
        if !run(probe).is_ok_and(|probed| probed.status.success()) {
            missing("python3-authlib", "it cannot be imported");
            return None;
        }
        let mut referee = command(python);
        referee.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oauth_referee.py"));
        referee.args([what, url]).arg(self.folder().join("ca.pem")).arg(EMAIL);
        Some(with_input(referee, PASSWORD))
    }

    /// Our own command line, with its contexts in the server's folder.
    fn command_line(&self, arguments: &[&str]) -> Command {
        let mut program = command(PROGRAM);
        program.env("XDG_CONFIG_HOME", self.folder().join("home")).env("SSL_CERT_FILE", self.folder().join("ca.pem"));
        program.arg("--json").args(arguments);
        program
    }

    fn run(&self, arguments: &[&str]) -> Output {
        run(self.command_line(arguments)).expect("it runs")
    }

    /// Logs in while Ann lets the code in with her browser; nothing where there is no browser.
    fn login(&self, arguments: &[&str]) -> Option<Value> {
        let mut program = self.command_line(arguments);
        let mut process = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
        let mut told = String::new();
        BufReader::new(process.stderr.take().expect("piped")).read_line(&mut told).expect("a line");
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|_| panic!("{told}"));
        let url = told["verification_uri_complete"].as_str().unwrap_or_else(|| panic!("{told}"));
        let Some(approved) = self.referee("approve", url) else {
            process.kill().expect("killed");
            process.wait().expect("ended");
            return None;
        };
        assert!(approved.status.success(), "{}", String::from_utf8_lossy(&approved.stderr));
        let output = process.wait_with_output().expect("ended");
        assert!(output.status.success(), "{output:?}");
        Some(serde_json::from_slice(&output.stdout).expect("JSON"))
    }
}

pub(crate) fn with_input(mut program: Command, input: &str) -> Output {
    let mut process = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    process.stdin.take().expect("piped").write_all(format!("{input}\n").as_bytes()).expect("written");
    process.wait_with_output().expect("ended")
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn authlib_gets_along_with_every_grant_and_notices_nothing_wrong() {
    let provider = Provider::new();
    let Some(output) = provider.referee("all", &provider.issuer) else { return };
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), provider.server.log());
    let proven: Value = serde_json::from_str(text(&output).trim()).expect("JSON");
    assert_eq!(proven.as_array().map(Vec::len), Some(5), "{proven}");
    assert!(!provider.server.log().contains(PASSWORD), "the password is in the log");
}

#[test]
fn somebody_logs_in_at_a_command_line_lets_a_program_in_and_logs_out() {
    let provider = Provider::new();
    let Some(who) = provider.login(&["login", "--server", &provider.issuer]) else { return };
    assert_eq!((&who["email"], &who["role"], &who["context"]), (&EMAIL.into(), &"owner".into(), &"default".into()), "{who}");
    assert_eq!(answer(&provider.run(&["whoami"])), who);

    let folder = provider.folder().join("home/gatehouse/contexts");
    let kept = folder.join("default.json");
    for (path, mode) in [(&folder, 0o700), (&kept, 0o600)] {
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, mode, "{}", path.display());
    }

    let add = ["client", "add", "agent", "--role", "viewer", "--scope", "members:read", "--redirect-uri", "https://app.example.com/"];
    let made = answer(&provider.run(&add));
    let id = made["id"].as_str().expect("an id");
    assert!(made["secret"].is_string());
    assert_eq!(answer(&provider.run(&["client", "list"]))[0]["id"], id);
    answer(&provider.run(&["client", "remove", id]));
    assert_eq!(answer(&provider.run(&["client", "list"])).as_array().map(Vec::len), Some(0));
    let again = provider.run(&["client", "remove", id]);
    assert_eq!(again.status.code(), Some(6), "{}", String::from_utf8_lossy(&again.stderr));

    // Two commands that find the token old renew it once: the second one takes what the first one got.
    age(&kept);
    let processes: Vec<_> = (0..4)
        .map(|_| provider.command_line(&["whoami"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started"))
        .collect();
    for process in processes {
        assert_eq!(answer(&process.wait_with_output().expect("ended")), who);
    }

    let before = fs::read_to_string(&kept).expect("readable");
    answer(&provider.run(&["logout"]));
    assert!(!kept.exists());
    let gone = provider.run(&["whoami"]);
    assert_eq!(gone.status.code(), Some(5), "{}", String::from_utf8_lossy(&gone.stderr));
    fs::write(&kept, before).expect("written");
    assert_eq!(provider.run(&["whoami"]).status.code(), Some(5), "the server has ended it as well");
}

#[test]
fn a_server_that_nobody_vouches_for_gets_nothing_until_it_is_recognised() {
    let provider = Provider::new();
    let unknown = run({
        let mut program = provider.command_line(&["login", "--server", &provider.issuer]);
        program.env("SSL_CERT_FILE", "/dev/null").stdin(Stdio::null());
        program
    })
    .expect("it runs");
    assert_eq!(unknown.status.code(), Some(5), "{}", String::from_utf8_lossy(&unknown.stderr));
    let chain = fs::read(provider.folder().join("chain.pem")).expect("readable");
    let leaf = Certificate::chain_from_pem(&chain).expect("a chain").remove(0).fingerprint().to_string();
    assert!(String::from_utf8_lossy(&unknown.stderr).contains(&leaf));
    let wrong = provider.run(&["login", "--server", &provider.issuer, "--fingerprint", &"0".repeat(64)]);
    assert_eq!(wrong.status.code(), Some(5), "{}", String::from_utf8_lossy(&wrong.stderr));
    let plain = provider.run(&["login", "--server", "http://localhost"]);
    assert_eq!(plain.status.code(), Some(2));

    let Some(who) = provider.login(&["login", "--server", &provider.issuer, "--fingerprint", &leaf, "--context", "pinned"]) else { return };
    assert_eq!(who["context"], "pinned");
    let kept: PathBuf = provider.folder().join("home/gatehouse/contexts/pinned.json");
    let whoami = |program: &Provider| {
        let mut program = program.command_line(&["whoami"]);
        program.env("SSL_CERT_FILE", "/dev/null");
        run(program).expect("it runs")
    };
    assert_eq!(answer(&whoami(&provider)), who, "the last login is the present context");
    // Somebody else at the same address: another certificate of the same name.
    let other = ForeignAuthority::new("Other Root").leaf(2, rcgen::ExtendedKeyUsagePurpose::ServerAuth).0;
    let mut saved: Value = serde_json::from_slice(&fs::read(&kept).expect("readable")).expect("JSON");
    saved["pinned"] = other.into();
    fs::write(&kept, saved.to_string()).expect("written");
    let refused = whoami(&provider);
    assert_eq!(refused.status.code(), Some(5), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn the_operator_lets_a_program_of_the_whole_installation_in() {
    let provider = Provider::new();
    let admin = |arguments: &[&str]| {
        let mut program = command(PROGRAM);
        program.arg("--config").arg(provider.server.installation().file()).args(["--json", "admin", "client"]).args(arguments);
        run(program).expect("it runs")
    };
    let add = ["add", "Console", "--first-party", "--public", "--scope", "members:read", "--redirect-uri"];
    let made = answer(&admin(&[&add[..], &["https://console.example.com/callback"]].concat()));
    assert_eq!((&made[0]["first_party"], &made[0]["authentication"]), (&true.into(), &"none".into()), "{made}");
    assert!(made[0].get("secret").is_none());
    let listed = answer(&admin(&["list"]));
    assert_eq!(listed[0]["id"], made[0]["id"]);
    assert_eq!(admin(&[&add[..], &["https://console.example.com/#x"]].concat()).status.code(), Some(2));
    answer(&admin(&["remove", made[0]["id"].as_str().expect("an id")]));
    assert_eq!(answer(&admin(&["list"])).as_array().map(Vec::len), Some(0));
}

/// Makes a login's access token look old.
fn age(kept: &Path) {
    let mut saved: Value = serde_json::from_slice(&fs::read(kept).expect("readable")).expect("JSON");
    saved["access_ends"] = 0.into();
    fs::write(kept, saved.to_string()).expect("written");
}
