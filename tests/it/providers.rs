//! Foreign providers as they are: a stock one, over real ports, with a browser that goes between it and us.

use crate::support::{ForeignAuthority, PROGRAM};
use gatehouse_testkit::{
    missing,
    process::{command, run},
    require_tool,
    server::{Installation, Server},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
};

const PASSWORD: &str = "tall ships sail";
const EMAIL: &str = "ann@example.com";
const SECRET: &str = "what-the-provider-knows-us-by";
const AUDIENCE: &str = "https://gatehouse.example.com/devices";

/// The stock provider's folder, if `packaging/need test` has put it there.
fn referee() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/tools/provider");
    if folder.join("node_modules/oidc-provider").exists() {
        // What it needs is found beside it only.
        for script in ["provider.mjs", "browser.mjs"] {
            fs::copy(root.join("tests/it/provider").join(script), folder.join(script)).expect("copied");
        }
        return Some(folder);
    }
    missing("oidc-provider", "packaging/need test installs it");
    None
}

/// The stock provider while it runs; it ends with its input.
struct Provider {
    process: Child,
    input: ChildStdin,
    /// It says more now and then, and dies when nobody listens.
    _output: BufReader<ChildStdout>,
    issuer: String,
}

impl Provider {
    fn start(node: &Path, folder: &Path, certificate: &Path) -> Self {
        let mut program = command(node);
        program.arg(folder.join("provider.mjs")).arg(certificate.join("key.pem")).arg(certificate.join("chain.pem")).arg(SECRET);
        let mut process = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let mut issuer = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        output.read_line(&mut issuer).expect("a line");
        Self { input: process.stdin.take().expect("piped"), _output: output, process, issuer: issuer.trim().to_owned() }
    }

    /// Lets people be sent back to this address.
    fn register(&mut self, redirect_uri: &str) {
        writeln!(self.input, "{redirect_uri}").expect("written");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A server with Ann in it, which may ask this machine and believes the authority of both servers.
struct Scene {
    server: Server,
    provider: Provider,
    url: String,
    node: PathBuf,
    folder: PathBuf,
}

impl Scene {
    fn new() -> Option<Self> {
        let (node, folder) = (require_tool("node")?, referee()?);
        let started = (0..5).find_map(|_| {
            let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
            let url = format!("https://localhost:{port}");
            let configuration = format!(
                "[listener.api]\naddress = \"127.0.0.1:{port}\"\nrole = \"https\"\ncertificate = \"chain.pem\"\nkey = \"key.pem\"\n\
                 [accounts]\nissuer = \"{url}\"\n[outgoing]\nallow = [\"127.0.0.0/8\", \"::1\"]\nanchors = \"ca.pem\"\n"
            );
            let installation = Installation::new(PROGRAM, &configuration).expect("installation");
            ForeignAuthority::new("Foreign Root").deploy(installation.folder(), 1);
            Some((installation.start().ok()?, url))
        });
        let (server, url) = started.expect("the server starts");
        let provider = Provider::start(&node, &folder, server.installation().folder());
        let scene = Self { server, provider, url, node, folder };
        let added = scene.admin(&["add", EMAIL, "--password-stdin"], PASSWORD);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        Some(scene)
    }

    fn admin(&self, arguments: &[&str], input: &str) -> Output {
        let mut program = command(PROGRAM);
        program.arg("--config").arg(self.server.installation().file()).args(["--json", "admin"]).args(arguments);
        with_input(program, input)
    }

    fn browser(&self, what: &str) -> Value {
        let mut program = command(&self.node);
        program.env("NODE_EXTRA_CA_CERTS", self.server.installation().folder().join("ca.pem"));
        program.arg(self.folder.join("browser.mjs")).args([what, &self.url, EMAIL]);
        let output = with_input(program, PASSWORD);
        assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stderr), self.server.log());
        answer(&output)
    }
}

fn with_input(mut program: Command, input: &str) -> Output {
    let mut process = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    process.stdin.take().expect("piped").write_all(format!("{input}\n").as_bytes()).expect("written");
    process.wait_with_output().expect("ended")
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_stock_provider_signs_people_in_who_linked_it_and_vouches_for_devices() {
    let Some(mut scene) = Scene::new() else { return };
    let issuer = scene.provider.issuer.clone();
    let add =
        ["provider", "add", "Example", "--issuer", &issuer, "--client-id", "gatehouse", "--secret-stdin", "--sign-in", "--scope", "email"];
    let devices = ["--device-audience", AUDIENCE, "--owner-claim", "owner"];
    let made = answer(&scene.admin(&[&add[..], &devices].concat(), SECRET));
    let made = &made["providers"][0];
    let id = made["id"].as_str().expect("an id").to_owned();
    scene.provider.register(made["redirect_uri"].as_str().expect("an address"));

    let linked = scene.browser("link");
    assert_eq!((&linked["status"], &linked["links"][0]["subject"]), (&200.into(), &EMAIL.into()), "{linked}");
    let entered = scene.browser("enter");
    assert_eq!((&entered["me"]["email"], &entered["links"][0]["by"]), (&EMAIL.into(), &"owner".into()), "{entered}");

    let ca = scene.server.installation().folder().join("ca.pem");
    let Some(curl) = require_tool("curl") else { return };
    let mut asking = command(curl);
    asking.args(["--silent", "--cacert"]).arg(&ca).args(["-u", &format!("gatehouse:{SECRET}")]);
    asking.args(["-d", "grant_type=client_credentials", "--data-urlencode", &format!("resource={AUDIENCE}"), &format!("{issuer}/token")]);
    let token = answer(&run(asking).expect("curl runs"))["access_token"].as_str().expect("a token").to_owned();
    let test = ["provider", "test", &id, "--token-stdin"];
    let refused = scene.admin(&test, &token);
    assert_eq!(refused.status.code(), Some(4));
    let refused: Value = serde_json::from_slice(&refused.stdout).expect("JSON");
    assert_eq!(refused["refused"]["code"], "token-owner-unknown", "{refused}");
    let organisation = entered["me"]["organisations"][0]["id"].as_str().expect("an id").to_owned();
    answer(&scene.admin(&["provider", "own", &id, "acme", &organisation], ""));
    let good = answer(&scene.admin(&test, &token));
    assert_eq!((&good["token"]["organisation"], &good["token"]["owner"]), (&Value::from(organisation), &"acme".into()), "{good}");
    let unsigned = format!("{}.", token.rsplit_once('.').expect("parts").0);
    let refused = scene.admin(&test, &unsigned);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    for kept in [scene.server.log(), fs::read_to_string(scene.server.installation().file()).expect("readable")] {
        assert!(!kept.contains(SECRET) && !kept.contains(&token), "a secret is in the log");
    }
}
