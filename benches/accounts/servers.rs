//! What is measured: our server, the peer, and the two floors, which are this very program with another role.

use crate::load::{Client, Load};
use argon2::{Algorithm, Argon2, Params, Version};
use gatehouse_pki::{KeyAlgorithm, Signer, SoftwareKey};
use gatehouse_testkit::{
    cores::{on_server_core, processor_time},
    process::{Process, command, run},
    require_tool,
    server::{Installation, Server},
};
use rcgen::{CertificateParams, KeyPair};
use std::{
    env, fs,
    hint::black_box,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub(crate) const CREDENTIALS: &str = r#"{"email":"ann@example.com","password":"tall ships sail"}"#;

/// Nobody is slowed down who measures.
const CONFIGURATION: &str = "
[accounts]
issuer = \"https://localhost:8443\"
[http]
network_rate = 1000000
network_burst = 1000000
credential_rate = 1000000
credential_burst = 1000000
[log]
level = \"warn\"
[listener.api]
address = \"127.0.0.1:0\"
role = \"https\"
certificate = \"chain.pem\"
key = \"key.pem\"
";

/// Computes, if that is this process's role, and tells how many in a second of its processor time.
pub(crate) fn compute_if_asked() -> bool {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [role, what, millis] = arguments.as_slice() else { return false };
    if role != "compute" {
        return false;
    }
    let time = Duration::from_millis(millis.parse().expect("a number"));
    let rate = match what.as_str() {
        "signatures" => {
            let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
            // As long as the header and the claims of a token.
            rate(time, || drop(black_box(key.sign(black_box(&[b'e'; 400])).expect("a signature"))))
        }
        _ => rate(time, || {
            let parameters = Params::new(19 * 1024, 2, 1, Some(32)).expect("parameters");
            let mut digest = [0; 32];
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
            argon.hash_password_into(black_box(b"tall ships sail"), b"sixteen bytes of", &mut digest).expect("a digest");
            black_box(digest);
        }),
    };
    writeln!(std::io::stdout(), "{rate}").expect("told");
    true
}

fn rate(time: Duration, mut work: impl FnMut()) -> f64 {
    let own = std::process::id();
    let (before, until, mut done) = (processor_time(own), Instant::now() + time, 0_u64);
    while Instant::now() < until {
        work();
        done += 1;
    }
    done as f64 / (processor_time(own) - before).as_secs_f64()
}

/// What the server's core computes alone.
pub(crate) fn floor(what: &str, time: Duration) -> f64 {
    let mut computing = on_server_core(env::current_exe().expect("this program"));
    computing.args(["compute", what, &time.as_millis().to_string()]);
    let output = run(computing).expect("computed");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a rate")
}

/// Writes a certificate for `localhost`, which signs itself, and its key.
fn certificate(folder: &Path) -> String {
    let key = KeyPair::generate().expect("a key");
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    parameters.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
    let certificate = parameters.self_signed(&key).expect("a certificate").pem();
    fs::write(folder.join("chain.pem"), &certificate).expect("written");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("written");
    certificate
}

/// The program as it is shipped, with Ann in it.
pub(crate) struct Ours {
    server: Server,
    anchor: String,
}

impl Ours {
    pub(crate) fn start() -> Self {
        let installation = Installation::new(env!("CARGO_BIN_EXE_gatehouse"), CONFIGURATION).expect("an installation");
        let anchor = certificate(installation.folder());
        let server = installation.start_on_server_core().expect("the server starts");
        let mut program = command(env!("CARGO_BIN_EXE_gatehouse"));
        program.arg("--config").arg(server.installation().file()).args(["admin", "add", "ann@example.com", "--password-stdin"]);
        let mut adding = program.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started");
        adding.stdin.take().expect("piped").write_all(b"tall ships sail").expect("written");
        assert!(adding.wait().expect("ended").success());
        Self { server, anchor }
    }

    pub(crate) fn load(&self) -> Load {
        Load::new(self.server.address("api"), &self.anchor)
    }

    /// A program that Ann lets in.
    pub(crate) fn client(&self, load: &Load) -> Client {
        let json = "application/json";
        let signed_in = load.once("/v1/sign-in", "", json, CREDENTIALS);
        let cookie = signed_in.lines().find_map(|line| line.strip_prefix("set-cookie: ")?.split(';').next()).expect("a session");
        let fields = format!("cookie: {cookie}\r\nsec-fetch-site: same-origin\r\n");
        let made = load.once("/v1/clients", &fields, json, r#"{"name":"bench","role":"viewer","scopes":["members:read"]}"#);
        let (_, body) = made.split_once("\r\n\r\n").expect("a body");
        let made: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let text = |key: &str| made[key].as_str().unwrap_or_else(|| panic!("no {key} in {made}")).to_owned();
        Client { id: text("id"), secret: text("secret") }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.server.process()
    }
}

/// The npm package `oidc-provider`, in Node.js.
pub(crate) struct Peer {
    pub(crate) process: Process,
    anchor: String,
    port: u16,
    _folder: TempDir,
}

impl Peer {
    pub(crate) fn start() -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/tools/oidc-provider/node_modules");
        let node = require_tool("node")?;
        modules.join("oidc-provider").exists().then_some(())?;
        let folder = tempfile::tempdir().expect("a folder");
        let anchor = certificate(folder.path());
        // Packages are looked for beside the program.
        fs::copy(root.join("benches/accounts/peer.mjs"), folder.path().join("peer.mjs")).expect("copied");
        std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("linked");
        let mut program = on_server_core(node);
        program.arg(folder.path().join("peer.mjs")).current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start("oidc-provider", program).expect("started");
        let mut line = String::new();
        BufReader::new(process.child().stdout.take().expect("piped")).read_line(&mut line).expect("it tells its port");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("oidc-provider does not start"));
        Some(Self { process, anchor, port, _folder: folder })
    }

    pub(crate) fn load(&self) -> Load {
        Load::new(([127, 0, 0, 1], self.port).into(), &self.anchor)
    }

    /// The one that `peer.mjs` knows.
    pub(crate) fn client() -> Client {
        Client { id: "bench".to_owned(), secret: "x".repeat(43) }
    }
}
