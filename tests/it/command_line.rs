//! The command line as an operator and a script meet it.

use crate::support::{PLAIN, PROGRAM, curl, start};
use gatehouse_testkit::{
    process::{command, run},
    server::Installation,
};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Output,
};

fn gatehouse(home: &Path, arguments: &[&str]) -> Output {
    let mut command = command(PROGRAM);
    command.env_clear().env("XDG_CONFIG_HOME", home.join("config")).env("XDG_DATA_HOME", home.join("share")).args(arguments);
    run(command).expect("the program runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o777
}

#[test]
fn init_makes_an_installation_that_only_its_owner_can_enter_and_never_overwrites() {
    let home = tempfile::tempdir().expect("folder");
    let init = gatehouse(home.path(), &["init", "--external-address", "gatehouse.example.com"]);
    assert!(init.status.success(), "{}", stderr(&init));
    let (config, data) = (home.path().join("config/gatehouse"), home.path().join("share/gatehouse"));
    for (path, expected) in
        [(config.clone(), 0o700), (config.join("gatehouse.toml"), 0o600), (config.join("key-encryption.key"), 0o600), (data, 0o700)]
    {
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    let before = fs::read(config.join("gatehouse.toml")).expect("readable");
    let again = gatehouse(home.path(), &["init", "--external-address", "other.example.com"]);
    assert_eq!(again.status.code(), Some(7), "{}", stderr(&again));
    assert_eq!(fs::read(config.join("gatehouse.toml")).expect("readable"), before);
    let check = gatehouse(home.path(), &["check"]);
    assert!(check.status.success() && stdout(&check).starts_with("good: "), "{}", stdout(&check));
}

#[test]
fn init_without_an_address_and_without_a_terminal_says_what_is_missing() {
    let home = tempfile::tempdir().expect("folder");
    let init = gatehouse(home.path(), &["init"]);
    assert_eq!(init.status.code(), Some(2));
    assert!(stderr(&init).contains("give `--external-address HOST`"), "{}", stderr(&init));
    assert!(!home.path().join("config").exists());
}

#[test]
fn check_reports_every_mistake_with_its_place() {
    let text = "graze = \"1s\"\n[net]\nconnections = \"many\"\n[listener.api]\naddress = \"0.0.0.0:8443\"\nrole = \"htps\"\n";
    let installation = Installation::new(PROGRAM, text).expect("installation");
    let check = installation.run(&["check"]).expect("runs");
    assert_eq!(check.status.code(), Some(3));
    let said = stdout(&check);
    for expected in [
        "gatehouse.toml:3:1: `graze` is not a key here; did you mean `grace`?",
        "`net.connections` expected a whole number",
        "`listener.api.role` expected \"https\", \"http\", \"metrics\", \"coap\", ",
        "found \"htps\"; did you mean `https`?",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    let json: serde_json::Value = serde_json::from_slice(&installation.run(&["--json", "check"]).expect("runs").stdout).expect("json");
    assert_eq!(json["mistakes"].as_array().map(Vec::len), Some(3), "{json}");
    assert_eq!(json["mistakes"][0]["origin"]["file"]["line"], 3);
}

#[test]
fn check_comments_on_what_other_machines_reach() {
    let text = "[listener.public]\naddress = \"0.0.0.0:8080\"\nrole = \"http\"\n[listener.metrics]\naddress = \"127.0.0.1:9464\"\nrole = \"metrics\"\n";
    let installation = Installation::new(PROGRAM, text).expect("installation");
    let check = installation.run(&["check"]).expect("runs");
    assert!(check.status.success());
    let said = stdout(&check);
    assert!(said.contains("`listener.public.address` is open to every network this machine is in"), "{said}");
    assert!(!said.contains("listener.metrics"), "{said}");
}

#[test]
fn a_missing_configuration_says_how_to_make_one() {
    let home = tempfile::tempdir().expect("folder");
    for arguments in [&["serve"][..], &["status"], &["doctor"]] {
        let output = gatehouse(home.path(), arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(stderr(&output).contains("`gatehouse init` makes one"), "{}", stderr(&output));
    }
    let json = gatehouse(home.path(), &["--json", "status"]);
    let error: serde_json::Value = serde_json::from_slice(&json.stderr).expect("an error as JSON");
    assert_eq!(error["error"]["code"], "configuration");
}

#[test]
fn doctor_is_content_with_a_good_machine_and_names_what_is_wrong_with_a_bad_one() {
    let installation = Installation::new(PROGRAM, PLAIN).expect("installation");
    let good = installation.run(&["doctor"]).expect("runs");
    assert!(good.status.success(), "{}", stdout(&good));
    fs::set_permissions(installation.folder().join("data"), fs::Permissions::from_mode(0o755)).expect("chmod");
    fs::set_permissions(installation.folder().join("key"), fs::Permissions::from_mode(0o644)).expect("chmod");
    let bad = installation.run(&["--json", "doctor"]).expect("runs");
    assert_eq!(bad.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&bad.stdout).expect("json");
    let wrong: Vec<_> = report["findings"].as_array().expect("findings").iter().filter(|f| f["verdict"] == "bad").collect();
    let checks: Vec<_> = wrong.iter().map(|finding| finding["check"].as_str().expect("name")).collect();
    assert_eq!(checks, ["data directory", "key-encryption key"]);
    assert!(wrong[0]["advice"].as_str().expect("advice").contains("chmod 700"));
    // The server does not even start on a data directory that others may enter.
    let serve = installation.run(&["serve"]).expect("runs");
    assert_eq!(serve.status.code(), Some(7), "{}", stderr(&serve));
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = start(PLAIN);
    let second = server.installation().run(&["serve"]).expect("runs");
    assert_eq!(second.status.code(), Some(7));
    assert!(stderr(&second).contains("another server runs already"), "{}", stderr(&second));
    assert!(server.command(&["status"]).contains("serving for"));
}

#[test]
fn the_log_level_changes_while_the_server_runs() {
    let server = start(PLAIN);
    assert_eq!(server.command(&["log-level"]), "info\n");
    assert_eq!(server.command(&["log-level", "info,gatehouse_http=debug"]), "info,gatehouse_http=debug\n");
    let refused = server.installation().run(&["log-level", "loud"]).expect("runs");
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    let health = format!("http://{}/health", server.address("public"));
    if curl(&[&health]).is_some() {
        assert!(server.logged("answered").contains("route=\"/health\""));
    }
}

#[test]
fn another_user_is_kept_out_of_the_control_socket() {
    let server = start(PLAIN);
    let socket = server.installation().folder().join("data/control.sock");
    assert_eq!(mode(&socket), 0o600);
    if !gatehouse_testkit::is_root() {
        return gatehouse_testkit::missing("root", "only root can become another user");
    }
    // The folders are opened for everybody, so that only the socket's own mode is in the way.
    for folder in [server.installation().folder().to_owned(), server.installation().folder().join("data")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    fs::set_permissions(server.installation().file(), fs::Permissions::from_mode(0o644)).expect("chmod");
    let program = server.installation().folder().join("gatehouse");
    fs::copy(PROGRAM, &program).expect("copied");
    let mut command = command("setpriv");
    command.args(["--reuid", "65534", "--clear-groups", "--"]).arg(program).arg("--config").arg(server.installation().file()).arg("status");
    let output = run(command).expect("setpriv runs");
    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
    assert!(stderr(&output).contains("belongs to another user"), "{}", stderr(&output));
}

#[test]
fn one_command_makes_an_installation_and_serves_https_with_a_certificate_of_its_own() {
    let home = tempfile::tempdir().expect("folder");
    let free = ["API", "PUBLIC", "METRICS"].map(|name| (format!("GATEHOUSE__LISTENER__{name}__ADDRESS"), "127.0.0.1:0"));
    let mut serve = command(PROGRAM);
    serve.env_clear().env("XDG_CONFIG_HOME", home.path().join("config")).env("XDG_DATA_HOME", home.path().join("share"));
    serve.envs(free).args(["--json", "serve", "--init"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut process = gatehouse_testkit::process::Process::start("gatehouse", serve).expect("starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.child().stdout.take().expect("piped")));
    let made: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("json");
    assert!(Path::new(made["new_key"].as_str().expect("a key was made")).exists());
    let serving: serde_json::Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("json");
    let address = |listener: &str| serving["listeners"][listener]["address"].as_str().expect("address").to_owned();

    // A newcomer's next steps: look at what is published, and trust it.
    let public = format!("http://{}", address("public"));
    let Some(output) = curl(&[&format!("{public}/ca")]) else { return };
    let published: serde_json::Value = serde_json::from_slice(&output.stdout).expect("json");
    let chains = published.as_array().expect("a list").iter().map(|authority| authority["chain"].as_str().expect("a path"));
    let trusted: String = chains.map(|path| stdout(&curl(&[&format!("{public}{path}")]).expect("curl is there"))).collect();
    let file = home.path().join("trusted.pem");
    fs::write(&file, trusted).expect("written");
    let port = address("api").rsplit_once(':').expect("port").1.to_owned();
    let (resolve, url) = (format!("localhost:{port}:127.0.0.1"), format!("https://localhost:{port}/health"));
    let health = curl(&["--cacert", file.to_str().expect("path"), "--resolve", &resolve, &url]).expect("curl is there");
    assert_eq!(stdout(&health), "{\"status\":\"alive\"}", "{}", stderr(&health));

    process.signal(rustix::process::Signal::TERM).expect("signalled");
    assert!(process.wait_at_most(gatehouse_testkit::server::PATIENCE).expect("waited").expect("it ends").success());
}

#[test]
fn the_revocation_list_is_where_the_certificates_of_a_new_installation_say() {
    let home = tempfile::tempdir().expect("folder");
    // The ports are those of `init`; an address of loopback that nobody else uses makes them ours.
    let drawn = std::process::id() % 0xffff + 1;
    let own = format!("127.77.{}.{}", drawn >> 8, drawn & 0xff);
    let mut serve = command(PROGRAM);
    serve.env_clear().env("XDG_CONFIG_HOME", home.path().join("config")).env("XDG_DATA_HOME", home.path().join("share"));
    serve.env("GATEHOUSE__LISTENER__METRICS__ADDRESS", "127.0.0.1:0");
    serve.args(["--json", "serve", "--init", "--external-address", &own, "--listen", &own]);
    serve.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut process = gatehouse_testkit::process::Process::start("gatehouse", serve).expect("starts");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.child().stdout.take().expect("piped")));
    let _made = lines.next().expect("what was made").expect("text");
    let _serving = lines.next().expect("it serves").expect("text");
    let listed = gatehouse(home.path(), &["--json", "ca", "list"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("json");
    let own_certificate = listed.as_array().expect("a list").iter().find(|record| record["profile"] == "api-server").expect("is there");
    let shown = gatehouse(home.path(), &["ca", "show", own_certificate["serial"].as_str().expect("text")]);
    let pem = stdout(&shown);
    let pem = &pem[pem.find("-----BEGIN").expect("a certificate")..];
    let certificate = openssl::x509::X509::stack_from_pem(pem.as_bytes()).expect("OpenSSL reads it").swap_remove(0);
    let points = certificate.crl_distribution_points().expect("a distribution point");
    let names = points[0].distpoint().and_then(|point| point.fullname()).expect("a name");
    let url = names[0].uri().expect("an address").to_owned();
    let Some(fetched) = curl(&["--fail", &url]) else { return };
    assert!(fetched.status.success(), "{url}: {}", stderr(&fetched));
    let list = openssl::x509::X509Crl::from_der(&fetched.stdout).expect("OpenSSL reads it");
    let same = list.issuer_name().try_cmp(certificate.issuer_name()).expect("compared");
    assert_eq!(same, std::cmp::Ordering::Equal, "the list is that of the certificate's issuer");
    let doctor = stdout(&gatehouse(home.path(), &["doctor"]));
    assert!(doctor.contains(&format!("revocation lists: certificates name http://{own}:8080/crl")), "{doctor}");
}

#[test]
fn check_and_doctor_say_when_nobody_answers_where_certificates_name_the_revocation_list() {
    let text = "[authority]\ncrl_base = \"http://localhost/crl\"\n[listener.public]\naddress = \"127.0.0.1:8080\"\nrole = \"http\"\n";
    let installation = Installation::new(PROGRAM, text).expect("installation");
    let check = stdout(&installation.run(&["check"]).expect("runs"));
    assert!(check.contains("`authority.crl_base` makes certificates name http://localhost/crl"), "{check}");
    let doctor = stdout(&installation.run(&["doctor"]).expect("runs"));
    assert!(doctor.contains("warning revocation lists: `authority.crl_base` makes"), "{doctor}");
    installation.configure(&text.replace("localhost/crl", "localhost:8080/crl")).expect("written");
    let check = stdout(&installation.run(&["check"]).expect("runs"));
    assert!(!check.contains("crl_base"), "{check}");
}

#[test]
fn init_with_a_key_that_is_not_there_yet_makes_no_half_installation() {
    let home = tempfile::tempdir().expect("folder");
    let arguments = ["init", "--external-address", "localhost", "--key-environment", "NOT_SET_ANYWHERE"];
    let refused = gatehouse(home.path(), &arguments);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    assert!(!home.path().join("config").exists() && !home.path().join("share").exists());
    let without = gatehouse(home.path(), &[&arguments[..], &["--no-authority"]].concat());
    assert!(without.status.success() && stdout(&without).contains("`gatehouse ca init`"), "{}", stderr(&without));
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let folder = tempfile::tempdir().expect("folder");
    let home = folder.path();
    let man = gatehouse(home, &["man", "--dir", home.join("man").to_str().expect("path")]);
    assert!(man.status.success(), "{}", stderr(&man));
    for page in ["gatehouse.1", "gatehouse-serve.1", "gatehouse-init.1"] {
        let text = fs::read_to_string(home.join("man").join(page)).expect("written");
        assert!(text.contains(".TH") && text.contains("NAME"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(stdout(&gatehouse(home, &["completions", shell])).contains("log-level"), "{shell}");
    }
}
