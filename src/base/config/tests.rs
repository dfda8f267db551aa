//! A configuration with everything in it, and everything that can be wrong with one.

use super::*;
use gatehouse_types::Secret;
use std::{collections::BTreeMap, fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

#[derive(Debug, PartialEq)]
struct Config {
    name: String,
    grace: Duration,
    limits: Limits,
    listeners: BTreeMap<String, Listener>,
    password: Option<Secret>,
}

#[derive(Debug, PartialEq)]
struct Limits {
    connections: usize,
    body: Size,
}

#[derive(Debug, PartialEq)]
struct Listener {
    address: SocketAddr,
    role: Role,
    certificate: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Public,
    Devices,
}

impl Choice for Role {
    const ALL: &'static [(&'static str, Self)] = &[("public", Self::Public), ("devices", Self::Devices)];
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let name = from.required("name");
        let grace = from.within("grace", Duration::from_secs(30), Duration::ZERO..=Duration::from_secs(3600));
        let limits = from.section("limits");
        let listeners = from.named("listener");
        let password = from.secret("password");
        Some(Self { name: name?, grace, limits: limits?, listeners: listeners?, password })
    }
}

impl Configure for Limits {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        Some(Self { connections: from.within("connections", 1000, 1..=100_000), body: from.or("body", Size::kib(64)) })
    }
}

impl Configure for Listener {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let address: Option<SocketAddr> = from.required("address");
        let role = from.or("role", Role::Public);
        let certificate = from.path("certificate");
        if address.is_some_and(|address| !address.ip().is_loopback()) {
            from.remark("address", "is open to other machines");
        }
        Some(Self { address: address?, role, certificate })
    }
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = load::<Config>(&Sources::text("g.toml", text)).expect_err("mistakes");
    mistakes.iter().map(ToString::to_string).collect()
}

fn environment(text: &str, variables: &[(&str, &str)]) -> Result<Loaded<Config>, Mistakes> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    load(&Sources::text("g.toml", text).with_environment(variables))
}

#[test]
fn a_whole_configuration_becomes_finished_types() {
    let text = "
        name = 'house'
        grace = '1m'
        limits = { connections = 0x10, body = '16 KiB' }
        [listener.api]
        address = '[::1]:8443'
        role = 'devices'
        certificate = '/etc/chain.pem'
    ";
    let loaded = load::<Config>(&Sources::text("g.toml", text)).expect("no mistakes");
    let api = Listener { address: "[::1]:8443".parse().unwrap(), role: Role::Devices, certificate: Some("/etc/chain.pem".into()) };
    let expected = Config {
        name: "house".into(),
        grace: Duration::from_secs(60),
        limits: Limits { connections: 16, body: Size::kib(16) },
        listeners: [("api".to_owned(), api)].into(),
        password: None,
    };
    assert_eq!(loaded.config, expected);
    assert!(loaded.remarks.is_empty());
}

#[test]
fn defaults_fill_what_is_left_out_and_every_setting_says_where_it_comes_from() {
    let loaded = environment("name = 'house'", &[("GATEHOUSE__GRACE", "5s"), ("HOME", "/root")]).expect("no mistakes");
    assert_eq!(loaded.config.limits, Limits { connections: 1000, body: Size::kib(64) });
    let settings: Vec<_> = loaded.settings.iter().map(|s| format!("{} = {} ({})", s.key, s.value, s.origin)).collect();
    let expected = [
        "name = house (g.toml:1:1)",
        "grace = 5s ($GATEHOUSE__GRACE)",
        "limits.connections = 1000 (default)",
        "limits.body = 64 KiB (default)",
    ];
    assert_eq!(settings, expected);
}

#[test]
fn all_mistakes_are_reported_at_once_each_at_its_place() {
    let found = mistakes(
        "nmae = 'house'
grace = 'soon'
[limits]
connections = -4
body = 16
[listener.api]
address = '127.0.0.1'
role = 'device'
[listener.UPPER]
address = '127.0.0.1:1'
[colour]
",
    );
    let expected = [
        "g.toml:1:1: `name` is missing; expected a text that is not empty",
        "g.toml:1:1: `nmae` is not a key here; did you mean `name`?",
        "g.toml:2:1: `grace` expected a length of time like \"30s\", \"5m\" or \"12h\", found \"soon\"",
        "g.toml:4:1: `limits.connections` expected a whole number from 0 to 18446744073709551615, found the number -4",
        "g.toml:5:1: `limits.body` expected a size like \"16 KiB\" or \"1 MiB\", found the number 16",
        "g.toml:7:1: `listener.api.address` expected an IP address with a port, like \"127.0.0.1:8443\" or \"[::1]:8443\", found \"127.0.0.1\"",
        "g.toml:8:1: `listener.api.role` expected \"public\" or \"devices\", found \"device\"; did you mean `devices`?",
        "g.toml:9:11: `listener.UPPER` is not a name: use lower-case letters, digits and hyphens",
        "g.toml:11:2: `colour` is not a key here",
    ];
    assert_eq!(found, expected);
}

#[test]
fn several_syntax_errors_are_reported_at_once() {
    let found = mistakes("name = \n[limits\nbody = '1 KiB'\nbody = '2 KiB'\n");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("g.toml:1:8: this is not TOML: "), "{found:?}");
}

#[test]
fn a_value_outside_its_limits_is_refused_and_both_ends_are_inside() {
    assert_eq!(mistakes("name = 'x'\ngrace = '2h'"), ["g.toml:2:1: `grace` is 2h; it must lie between 0s and 1h"]);
    for grace in ["0s", "1h"] {
        assert!(load::<Config>(&Sources::text("g.toml", format!("name = 'x'\ngrace = '{grace}'"))).is_ok(), "{grace}");
    }
}

#[test]
fn the_environment_overrides_the_file_down_to_named_tables() {
    let text = "name = 'house'\n[listener.main-door]\naddress = '127.0.0.1:1'\n";
    let variables = [("GATEHOUSE__LISTENER__MAIN_DOOR__ADDRESS", "127.0.0.1:2"), ("GATEHOUSE__LISTENER__BACK__ADDRESS", "127.0.0.1:3")];
    let config = environment(text, &variables).expect("no mistakes").config;
    assert_eq!(config.listeners["main-door"].address.port(), 2);
    assert_eq!(config.listeners["back"].address.port(), 3);
}

#[test]
fn a_variable_that_sets_nothing_or_nonsense_is_a_mistake() {
    let variables = [("GATEHOUSE__LIMITS__CONECTIONS", "5"), ("GATEHOUSE__LIMITS__BODY", "big")];
    let mistakes = environment("name = 'house'", &variables).expect_err("mistakes").to_string();
    assert!(mistakes.contains("$GATEHOUSE__LIMITS__BODY: `limits.body` expected a size"), "{mistakes}");
    assert!(mistakes.contains("$GATEHOUSE__LIMITS__CONECTIONS: sets no key; did you mean `GATEHOUSE__LIMITS__CONNECTIONS`?"), "{mistakes}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let found = mistakes("name = 'house'\npassword = 'correct horse'");
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("name a file with `password_file`, or set $GATEHOUSE__PASSWORD"), "{found:?}");
    assert!(!found[0].contains("horse"));
}

#[test]
fn a_secret_comes_from_the_environment_or_from_a_file_that_only_the_owner_reads() {
    let secret = Some(Secret::from("correct horse".to_owned()));
    assert_eq!(environment("name = 'x'", &[("GATEHOUSE__PASSWORD", "correct horse")]).expect("no mistakes").config.password, secret);

    let folder = tempfile::tempdir().expect("folder");
    fs::write(folder.path().join("password"), "correct horse\n").expect("written");
    fs::write(folder.path().join("g.toml"), "name = 'x'\npassword_file = 'password'").expect("written");
    let load_file = || load::<Config>(&Sources::file(&folder.path().join("g.toml")).expect("readable"));
    fs::set_permissions(folder.path().join("password"), fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(load_file().expect("no mistakes").config.password, secret);
    fs::set_permissions(folder.path().join("password"), fs::Permissions::from_mode(0o640)).expect("chmod");
    let mistakes = load_file().expect_err("others may read it").to_string();
    assert!(mistakes.contains(":2:1: `password_file` names ") && mistakes.contains("chmod 600"), "{mistakes}");
}

#[test]
fn an_open_door_is_remarked_and_not_refused() {
    let loaded = load::<Config>(&Sources::text("g.toml", "name = 'x'\nlistener.api.address = '0.0.0.0:1'")).expect("no mistakes");
    assert_eq!(loaded.remarks.len(), 1);
    assert_eq!((loaded.remarks[0].key.as_str(), loaded.remarks[0].origin.to_string().as_str()), ("listener.api.address", "g.toml:2:14"));
}

#[test]
fn a_file_that_is_not_there_is_a_mistake_with_its_name() {
    let mistakes = Sources::file("/nonexistent/g.toml".as_ref()).expect_err("no such file").to_string();
    assert!(mistakes.contains("/nonexistent/g.toml:1:1: the file cannot be read"), "{mistakes}");
}
