//! Custody in the running program: the switch, the lists, our own listener certificates, and what a kill leaves.

use crate::support::{PROGRAM, curl, text};
use gatehouse::app::{
    control::ask,
    custody::{Answer, FactsGiven, Order, RecordInfo},
};
use gatehouse_ca::{Reason, Standing};
use gatehouse_testkit::{
    process::poll_until,
    server::{Installation, PATIENCE, Server},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const LISTENERS: &str = "
[listener.public]
address = \"127.0.0.1:0\"
role = \"http\"
[listener.api]
address = \"127.0.0.1:0\"
role = \"https\"
";

/// A server with a root and a service authority, whose HTTPS listener has its certificate from that.
fn start() -> Server {
    start_with(LISTENERS)
}

fn start_with(listeners: &str) -> Server {
    let installation = Installation::new(PROGRAM, listeners).expect("installation");
    let made = installation.run(&["ca", "init", "--organisation", "Example"]).expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    installation.start().expect("the server starts")
}

fn socket(server: &Server) -> PathBuf {
    server.installation().folder().join("data/control.sock")
}

/// A request by another tool than ours.
fn request(folder: &Path) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let request = rcgen::CertificateParams::default().serialize_request(&key).expect("a request").pem().expect("PEM");
    fs::write(folder.join("agent.csr"), &request).expect("written");
    request
}

fn issue(socket: &Path, name: &str, csr: &str) -> Option<RecordInfo> {
    let facts = FactsGiven { common_name: Some(name.to_owned()), ..FactsGiven::default() };
    let seat = "service".parse().expect("a seat");
    let order = Order::Issue { seat, profile: "agent-client".to_owned(), csr: csr.to_owned(), facts };
    match ask(socket, &order) {
        Ok(Ok(Answer::Certificate(issued))) => Some(issued.record),
        _ => None,
    }
}

#[test]
fn after_a_halt_is_answered_no_certificate_is_issued_until_somebody_resumes() {
    let server = start();
    let (socket, csr) = (socket(&server), request(server.installation().folder()));
    let stop = Arc::new(AtomicBool::new(false));
    let (issued, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (socket, csr, stop) = (socket.clone(), csr.clone(), Arc::clone(&stop));
            let (issued, refused) = (Arc::clone(&issued), Arc::clone(&refused));
            std::thread::spawn(move || {
                let mut begun = Vec::new();
                for round in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let at = Instant::now();
                    if issue(&socket, &format!("agent {client} {round}"), &csr).is_some() {
                        begun.push(at);
                        issued.fetch_add(1, Ordering::SeqCst);
                    } else {
                        refused.fetch_add(1, Ordering::SeqCst);
                    }
                }
                begun
            })
        })
        .collect();
    while issued.load(Ordering::SeqCst) < 40 {
        std::thread::yield_now();
    }
    let asked = Instant::now();
    server.command(&["ca", "halt", "--note", "stolen laptop"]);
    let halted = Instant::now();
    let tried = refused.load(Ordering::SeqCst);
    while refused.load(Ordering::SeqCst) < tried + 20 {
        std::thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    let begun: Vec<Instant> = clients.into_iter().flat_map(|client| client.join().expect("ends")).collect();
    assert!(begun.iter().all(|at| *at <= halted), "nothing that began after the halt was answered got a certificate");
    println!("issuing stood still {:?} after the command began, {} were issued before", halted - asked, begun.len());
    assert!(halted - asked < Duration::from_secs(1));
    assert!(issue(&socket, "late", &csr).is_none());
    assert!(server.command(&["ca", "status"]).contains("stolen laptop"));
    server.command(&["ca", "resume"]);
    assert!(issue(&socket, "later", &csr).is_some());
}

#[test]
fn metrics_tell_what_was_issued_refused_and_revoked_and_how_long_lists_and_authorities_last() {
    let listeners = format!("{LISTENERS}[listener.metrics]\naddress = \"127.0.0.1:0\"\nrole = \"metrics\"\n");
    let server = start_with(&listeners);
    let (socket, csr) = (socket(&server), request(server.installation().folder()));
    let agent = issue(&socket, "agent", &csr).expect("a certificate");
    server.command(&["ca", "revoke", &agent.id, "--reason", "key-compromise"]);
    assert!(issue(&socket, "thief", &csr).is_none(), "the key is known to be compromised");
    server.command(&["ca", "halt"]);
    assert!(issue(&socket, "late", &csr).is_none());

    let url = format!("http://{}/metrics", server.address("metrics"));
    if curl(&[&url]).is_none() {
        return;
    }
    let shown = || text(&curl(&[&url]).expect("curl is there"));
    let value = |name: &str| shown().lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let becomes = |name: &str, expected: &dyn Fn(f64) -> bool| {
        let found = poll_until(PATIENCE, || value(name).filter(|value| expected(*value)));
        found.unwrap_or_else(|| panic!("{name} is {:?} in\n{}", value(name), shown()))
    };
    becomes("gatehouse_ca_issuance_halted", &|halted| halted == 1.0);
    becomes("gatehouse_ca_issued_total{profile=\"agent-client\"}", &|issued| issued == 1.0);
    becomes("gatehouse_ca_issued_total{profile=\"api-server\"}", &|issued| issued == 1.0);
    for reason in ["compromised-key", "issuance-halted"] {
        becomes(&format!("gatehouse_ca_refused_total{{profile=\"agent-client\",reason=\"{reason}\"}}"), &|refused| refused == 1.0);
    }
    becomes("gatehouse_ca_revoked_total{profile=\"agent-client\",reason=\"key-compromise\"}", &|revoked| revoked == 1.0);
    becomes("gatehouse_ca_crl_entries{authority=\"service.1\"}", &|entries| entries == 1.0);
    for authority in ["root.1", "service.1"] {
        let time = |name: &str| becomes(&format!("gatehouse_ca_{name}_seconds{{authority=\"{authority}\"}}"), &|time| time > 0.0);
        let (made, next, end) = (time("crl_this_update"), time("crl_next_update"), time("authority_not_after"));
        assert_eq!(next - made, 86400.0);
        assert!(next < end, "{next} {end}");
    }
    let certificate = becomes("gatehouse_certificate_not_after_seconds{listener=\"api\"}", &|end| end > 0.0);
    assert!(certificate < value("gatehouse_ca_authority_not_after_seconds{authority=\"service.1\"}").expect("shown"));
    server.command(&["ca", "resume"]);
    becomes("gatehouse_ca_issuance_halted", &|halted| halted == 0.0);
}

/// Kills in the short form; `GATEHOUSE_KILLS=1000 cargo test --test it -- --nocapture custody` is the long one.
const KILLS: usize = 10;

/// What was answered, which no kill may take back.
#[derive(Default)]
struct Answered {
    issued: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

#[test]
fn what_was_answered_stays_issued_or_revoked_through_a_kill_at_any_moment() {
    let kills = std::env::var("GATEHOUSE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut server = start();
    let mut before = Answered::default();
    for kill in 1..=kills {
        let (socket, csr) = (socket(&server), request(server.installation().folder()));
        let (answers, wanted) = (Arc::new(AtomicUsize::new(0)), usize::from(draw()) % 30);
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (socket, csr, answers) = (socket.clone(), csr.clone(), Arc::clone(&answers));
                std::thread::spawn(move || work_until_it_dies(&socket, &csr, &format!("agent {kill} {client}"), &answers))
            })
            .collect();
        // So many answers, and then some part of the next one: between two answers lie a few milliseconds.
        let waited = poll_until(PATIENCE, || (answers.load(Ordering::SeqCst) >= wanted).then_some(()));
        waited.expect("it answers");
        std::thread::park_timeout(Duration::from_micros(u64::from(draw()) * 40));
        server.process().signal(rustix::process::Signal::KILL).expect("killed");
        server.wait().expect("waits").expect("ended");
        for client in clients {
            let Answered { issued, revoked } = client.join().expect("ends");
            before.issued.extend(issued);
            before.revoked.extend(revoked);
        }
        // No server runs: the command opens the store itself. The next one finds what the server left, too.
        if kill % 2 == 0 {
            server.command(&["store", "verify"]);
        }
        server = server.restart().expect("the server starts again");
        let records = all_records(&self::socket(&server));
        assert!(before.issued.iter().all(|id| records.contains_key(id)), "an answered certificate is not recorded");
        let revoked = |id: &String| matches!(records.get(id), Some(Standing::Revoked { .. }));
        assert!(before.revoked.iter().all(revoked), "an answered revocation is forgotten");
        let list = server.command(&["ca", "crl", "service.1"]);
        let list = openssl::x509::X509Crl::from_pem(list.as_bytes()).expect("OpenSSL reads it");
        let listed = list.get_revoked().map_or(0, |all| all.len());
        let expected = records.values().filter(|standing| matches!(standing, Standing::Revoked { .. })).count();
        assert_eq!(listed, expected, "the list and the records differ");
        println!("{kill} of {kills} kills, {} certificates, {} revocations", before.issued.len(), before.revoked.len());
    }
}

/// Has certificates issued, and revokes every third, until nobody answers any more.
fn work_until_it_dies(socket: &Path, csr: &str, name: &str, answers: &AtomicUsize) -> Answered {
    let mut answered = Answered::default();
    for round in 0.. {
        let Some(record) = issue(socket, &format!("{name} {round}"), csr) else { break };
        answered.issued.insert(record.id.clone());
        answers.fetch_add(1, Ordering::SeqCst);
        if round % 3 == 0 {
            let order = Order::Revoke { certificate: record.id.clone(), reason: Reason::Superseded };
            if !matches!(ask(socket, &order), Ok(Ok(_))) {
                break;
            }
            answered.revoked.insert(record.id);
        }
    }
    answered
}

/// Where every certificate stands.
fn all_records(socket: &Path) -> BTreeMap<String, Standing> {
    let mut all = BTreeMap::new();
    let mut after = None;
    loop {
        let order = Order::List { subject: None, key: None, after: after.clone(), limit: 100 };
        let Ok(Ok(Answer::Certificates(page))) = ask(socket, &order) else { panic!("no list") };
        let Some(last) = page.last() else { return all };
        after = Some(last.id.clone());
        all.extend(page.into_iter().map(|record| (record.id, record.standing)));
    }
}

fn draw() -> u8 {
    let mut drawn = [0];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut drawn).expect("random");
    drawn[0]
}

#[test]
fn a_listener_without_files_presents_our_certificate_and_renews_it_while_it_serves() {
    let server = start();
    let root = server.installation().folder().join("root.pem");
    fs::write(&root, server.command(&["ca", "export", "root.1"])).expect("written");
    let address = format!("https://localhost:{}/health", server.address("api").port());
    let Some(answer) = curl(&["--cacert", &root.display().to_string(), &address]) else { return };
    assert_eq!(text(&answer), "{\"status\":\"alive\"}", "{}", String::from_utf8_lossy(&answer.stderr));
    server.command(&["ca", "rollover", "service"]);
    server.logged("the certificate was renewed");
    let answer = curl(&["--cacert", &root.display().to_string(), &address]).expect("curl was there");
    assert_eq!(text(&answer), "{\"status\":\"alive\"}");
}

#[test]
fn a_revocation_is_in_the_published_list_within_a_second() {
    let server = start();
    let (socket, csr) = (socket(&server), request(server.installation().folder()));
    let record = issue(&socket, "agent", &csr).expect("issues");
    let status: serde_json::Value = serde_json::from_str(&server.command(&["--json", "ca", "status"])).expect("JSON");
    let authorities = status["authorities"].as_array().expect("a list");
    let service = authorities.iter().find(|ca| ca["id"] == "service.1").expect("is there");
    let key_id = service["key_id"].as_str().expect("text");
    let address = format!("http://{}/crl/{key_id}.crl", server.address("public"));
    let begun = Instant::now();
    server.command(&["ca", "revoke", &record.serial, "--reason", "key-compromise"]);
    let Some(list) = curl(&[&address]) else { return };
    let took = begun.elapsed();
    let list = openssl::x509::X509Crl::from_der(&list.stdout).expect("OpenSSL reads it");
    let revoked: Vec<String> = list
        .get_revoked()
        .expect("somebody is revoked")
        .iter()
        .map(|one| one.serial_number().to_bn().expect("a number").to_hex_str().expect("text").to_string().to_lowercase())
        .collect();
    assert_eq!(revoked, [record.serial]);
    println!("revoked and fetched in {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_revocation_list_takes_the_place_of_the_file_that_was_there() {
    let server = start();
    let folder = server.installation().folder().join("published");
    fs::create_dir(&folder).expect("folder");
    let file = folder.join("service.pem");
    let (socket, csr) = (socket(&server), request(server.installation().folder()));
    let mut entries = Vec::new();
    for agent in ["one", "two"] {
        let record = issue(&socket, agent, &csr).expect("issues");
        server.command(&["ca", "revoke", &record.id, "--reason", "superseded"]);
        let said = server.command(&["ca", "crl", "service.1", "--out", &file.display().to_string()]);
        assert!(said.starts_with("wrote "), "{said}");
        let list = openssl::x509::X509Crl::from_pem(&fs::read(&file).expect("file")).expect("OpenSSL reads it");
        entries.push(list.get_revoked().expect("somebody is revoked").len());
        assert_eq!(fs::read_dir(&folder).expect("folder").count(), 1, "nothing else is left there");
    }
    assert_eq!(entries, [1, 2]);
}

#[test]
fn nothing_starts_without_the_key_encryption_key_or_with_another_one() {
    let installation = Installation::new(PROGRAM, LISTENERS).expect("installation");
    assert!(installation.run(&["ca", "init", "--organisation", "Example"]).expect("runs").status.success());
    let key = installation.folder().join("key");
    let right = fs::read(&key).expect("reads");
    fs::write(&key, String::from_utf8_lossy(&right).replace("AAEC", "BBEC")).expect("written");
    let wrong = installation.run(&["ca", "status"]).expect("runs");
    assert_eq!(wrong.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("does not open the keyring"));
    fs::remove_file(&key).expect("removed");
    let missing = installation.run(&["serve"]).expect("runs");
    assert_eq!(missing.status.code(), Some(5));
    let message = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(message.contains("Put the file back"), "{message}");
}

#[test]
fn after_a_rotation_only_the_new_key_starts_the_server_and_no_text_shows_either() {
    let mut server = start();
    let folder = server.installation().folder().to_owned();
    let old = fs::read_to_string(folder.join("key")).expect("reads");
    server.command(&["ca", "rotate-key", "--new-key-file", &folder.join("key-2").display().to_string()]);
    let log = server.log();
    server.terminate().expect("told");
    server.wait().expect("waits").expect("ended");
    let refused = server.installation().run(&["ca", "status"]).expect("runs");
    assert_eq!(refused.status.code(), Some(5), "the old key opens nothing");
    fs::rename(folder.join("key-2"), folder.join("key")).expect("renamed");
    server.command(&["ca", "status"]);
    let new = fs::read_to_string(folder.join("key")).expect("reads");
    for secret in [old.trim(), new.trim()] {
        let secret = secret.trim_start_matches("gatehouse-key-1:");
        assert!(!log.contains(secret) && !String::from_utf8_lossy(&refused.stderr).contains(secret));
    }
}

#[test]
fn verify_judges_a_chain_without_a_server_and_its_exit_code_says_how() {
    let server = start();
    let folder = server.installation().folder().to_owned();
    let csr = request(&folder);
    issue(&socket(&server), "agent", &csr).expect("issues");
    let issued = server.command(&["--json", "ca", "list"]);
    let list: Vec<RecordInfo> = serde_json::from_str(&issued).expect("JSON");
    let agent = list.iter().find(|record| record.profile == "agent-client").expect("is there");
    let shown: serde_json::Value = serde_json::from_str(&server.command(&["--json", "ca", "show", &agent.serial])).expect("JSON");
    let (chain, root) = (folder.join("chain.pem"), folder.join("root.pem"));
    fs::write(&chain, shown["chain"].as_str().expect("text")).expect("written");
    fs::write(&root, server.command(&["ca", "export", "root.1"])).expect("written");
    let (chain, root) = (chain.display().to_string(), root.display().to_string());
    // Without configuration: the command is for any chain of anybody.
    let verify = |more: &[&str]| {
        let mut command = gatehouse_testkit::process::command(PROGRAM);
        command.env_clear().args(["--json", "ca", "verify", "--anchors", &root, "--chain", &chain]).args(more);
        let output = gatehouse_testkit::process::run(command).expect("runs");
        (output.status.code(), serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_or_default())
    };
    let (code, verdict) = verify(&[]);
    assert_eq!((code, verdict["verdict"].as_str()), (Some(0), Some("good")));
    for (more, rule) in [(&["--purpose", "server"][..], "extended-key-usage"), (&["--at", "2020-01-01T00:00:00Z"], "not-yet-valid")] {
        let (code, verdict) = verify(more);
        assert_eq!((code, verdict["rule"].as_str()), (Some(1), Some(rule)), "{verdict}");
    }
    assert_eq!(verify(&["--crl", "/nonexistent"]).0, Some(2));
    assert_eq!(verify(&["--at", "yesterday"]).0, Some(2));
}

/// The program with a SoftHSM configuration, or with none: then the token is away.
fn with_token(installation: &Installation, softhsm: Option<&Path>, arguments: &[&str]) -> std::process::Output {
    let mut command = gatehouse_testkit::process::command(PROGRAM);
    command.env_clear().arg("--config").arg(installation.file()).args(arguments);
    if let Some(softhsm) = softhsm {
        command.env("SOFTHSM2_CONF", softhsm);
    }
    gatehouse_testkit::process::run(command).expect("runs")
}

#[test]
fn a_root_in_a_token_signs_and_while_the_token_is_away_the_rest_goes_on() {
    const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let Some(tool) = gatehouse_testkit::require_tool("softhsm2-util") else { return };
    let module = MODULES.into_iter().find(|path| Path::new(path).exists()).expect("the module comes with the tool");
    let installation = Installation::new(PROGRAM, &format!("[tokens]\nmodule = \"{module}\"\npin_file = \"pin\"\n")).expect("installation");
    let folder = installation.folder().to_owned();
    let conf = folder.join("softhsm2.conf");
    fs::create_dir(folder.join("tokens")).expect("a folder");
    fs::write(&conf, format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\n", folder.display())).expect("written");
    let key = rcgen::KeyPair::generate().expect("a key");
    fs::write(folder.join("root.p8"), key.serialize_pem()).expect("written");
    let softhsm = |arguments: &[&str]| {
        let mut command = gatehouse_testkit::process::command(&tool);
        command.env("SOFTHSM2_CONF", &conf).args(arguments);
        let output = gatehouse_testkit::process::run(command).expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    softhsm(&["--init-token", "--free", "--label", "safe", "--so-pin", "12345678", "--pin", "fedcba123456"]);
    let file = folder.join("root.p8").display().to_string();
    softhsm(&["--import", &file, "--token", "safe", "--label", "root", "--id", "A1", "--pin", "fedcba123456"]);
    fs::write(folder.join("pin"), "fedcba123456\n").expect("written");
    fs::set_permissions(folder.join("pin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");

    let made =
        with_token(&installation, Some(&conf), &["ca", "init", "--organisation", "Example", "--token", "pkcs11:token=safe;object=root"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let keys = with_token(&installation, Some(&conf), &["ca", "keys"]);
    assert!(text(&keys).contains("pkcs11:token=safe;object=root"), "{}", text(&keys));
    let root = openssl::x509::X509::from_pem(&with_token(&installation, Some(&conf), &["ca", "export", "root.1"]).stdout).expect("a root");
    let public = root.public_key().expect("a key").public_key_to_der().expect("DER");
    assert_eq!(public, rcgen::PublicKeyData::subject_public_key_info(&key), "the token's key is the root's");

    let away = text(&with_token(&installation, None, &["ca", "status"]));
    assert!(away.contains("cannot sign"), "{away}");
    request(&folder);
    let csr = folder.join("agent.csr").display().to_string();
    let order = ["ca", "issue", "--seat", "service", "--profile", "agent-client", "--common-name", "agent", &csr];
    let issued = with_token(&installation, None, &order);
    assert!(issued.status.success(), "the service authority's key is here: {}", String::from_utf8_lossy(&issued.stderr));
    let refused = with_token(&installation, None, &["ca", "rollover", "service"]);
    assert_eq!(refused.status.code(), Some(8), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(with_token(&installation, Some(&conf), &["ca", "rollover", "service"]).status.success());
}
