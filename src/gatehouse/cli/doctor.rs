//! `gatehouse doctor`: whether the machine gives the server what it needs.

use super::{Context, Exit, Failure, Output, Tint};
use crate::app::{Config, Status, StatusReport};
use clap::Args;
use gatehouse_base::{Clock, SystemClock};
use gatehouse_ca::unlock::KeySource;
use gatehouse_net::FileCertificates;
use gatehouse_pki::Certificate;
use gatehouse_types::UnixTime;
use rustix::{
    fs::statvfs,
    process::{Resource, geteuid, getrlimit},
};
use serde::Serialize;
use std::{
    fmt, fs,
    net::{TcpListener, UdpSocket},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::Duration,
};

/// Less free space than this is a warning, and a tenth of it is bad: stores grow while they tidy up.
const FREE_SPACE: u64 = 1 << 30;

/// A certificate that ends within this time is a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Files besides connections: the store, listeners, logs, and some room.
const OTHER_FILES: u64 = 256;

/// The day when this program was last worked on; a clock before it is wrong.
const NOT_BEFORE: UnixTime = UnixTime::from_secs(1_793_000_000);

/// Check that the machine gives the server what it needs
///
/// Looks at file modes, ports, the clock, disk space, certificates and the limit on open files. Each finding says what
/// to do. Ends with 4 when something has to be done; warnings alone end with 0.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse doctor
  gatehouse --json doctor")]
pub(super) struct Doctor {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    findings: Vec<Finding>,
    #[serde(skip)]
    output: Output,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = context.config_path();
        let config = context.load()?.config;
        let running = context.ask_if_running(&config, &Status {})?;
        let mut findings = vec![Finding::good("configuration", format!("{} has no mistakes", path.display()))];
        findings.push(private("configuration file", &path));
        findings.push(data_dir(&config.data_dir));
        findings.extend(key(&config));
        findings.extend(ports(&config, running.as_ref()));
        findings.push(clock(SystemClock.now(), newest_file(&config.store.path)));
        findings.push(disk_space(&config.data_dir));
        findings.push(revocation_lists(&config));
        findings.extend(certificates(&config, SystemClock.now()));
        findings.push(open_files(config.net.connections as u64));
        let bad = findings.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
        context.output.answer(&Answer { findings, output: context.output })?;
        match bad {
            0 => Ok(()),
            1 => Err(Failure::new(Exit::Invalid, "one thing has to be done before the server can be relied on")),
            more => Err(Failure::new(Exit::Invalid, format!("{more} things have to be done before the server can be relied on"))),
        }
    }
}

impl Finding {
    fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Good, text: text.into(), advice: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, text: text.into(), advice: Some(advice.into()) }
    }

    fn bad(check: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Bad, text: text.into(), advice: Some(advice.into()) }
    }
}

/// A file that nobody else may change. Reading it tells where the key is kept, which is no secret but nobody's business.
fn private(check: &'static str, path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => Finding::bad(check, format!("{shown} cannot be looked at: {error}"), "make it readable for this user"),
        Ok(found) if found.mode() & 0o022 != 0 => {
            Finding::bad(check, format!("others may change {shown} (mode {:o})", found.mode() & 0o777), format!("run `chmod 600 {shown}`"))
        }
        Ok(found) if found.uid() != geteuid().as_raw() && found.uid() != 0 => {
            Finding::bad(check, format!("{shown} belongs to user {}", found.uid()), "let it belong to the server's user or to root")
        }
        Ok(_) => Finding::good(check, format!("only its owner may change {shown}")),
    }
}

fn data_dir(path: &Path) -> Finding {
    const CHECK: &str = "data directory";
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) => {
            Finding::warning(CHECK, format!("{shown}: {error}"), "`gatehouse serve` makes it when it can write to the folder above")
        }
        Ok(found) if found.permissions().mode() & 0o077 != 0 => Finding::bad(
            CHECK,
            format!("other users may enter {shown} (mode {:o})", found.mode() & 0o777),
            format!("run `chmod 700 {shown}`"),
        ),
        Ok(found) if found.uid() != geteuid().as_raw() && !geteuid().is_root() => {
            Finding::bad(CHECK, format!("{shown} belongs to user {}", found.uid()), "run this as the server's user")
        }
        Ok(_) => Finding::good(CHECK, format!("only its owner may enter {shown}")),
    }
}

fn key(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "key-encryption key";
    let mut findings = match config.key_encryption.source.load() {
        Ok(_) => vec![Finding::good(CHECK, format!("the {} can be read, and nobody else may", config.key_encryption.source))],
        Err(error) => vec![Finding::bad(CHECK, chain(&error), "the text above says what to do")],
    };
    if let KeySource::File(path) | KeySource::PassphraseFile(path) = &config.key_encryption.source
        && path.starts_with(&config.data_dir)
    {
        let text = format!("{} lies in the data directory: who copies the one has the other", path.display());
        findings.push(Finding::warning(CHECK, text, "move it elsewhere and change [key_encryption]"));
    }
    findings
}

fn ports(config: &Config, running: Option<&StatusReport>) -> Vec<Finding> {
    const CHECK: &str = "ports";
    if let Some(report) = running {
        return vec![Finding::good(CHECK, format!("the server that runs (process {}) holds them", report.pid))];
    }
    let bind = |listener: &crate::app::ListenerConfig| match listener.role.is_datagrams() {
        true => UdpSocket::bind(listener.address).map(drop),
        false => TcpListener::bind(listener.address).map(drop),
    };
    let try_one = |(name, listener): (&String, &crate::app::ListenerConfig)| match bind(listener) {
        Ok(()) => Finding::good(CHECK, format!("{} is free for listener `{name}`", listener.address)),
        Err(error) => {
            let advice = match error.kind() {
                std::io::ErrorKind::AddrInUse => format!("`ss -lntup` shows who has it; stop that, or change [listener.{name}]"),
                std::io::ErrorKind::PermissionDenied => "take a port above 1023, or let systemd give CAP_NET_BIND_SERVICE".to_owned(),
                _ => format!("use an address of this machine in [listener.{name}]"),
            };
            Finding::bad(CHECK, format!("{} cannot be used for listener `{name}`: {error}", listener.address), advice)
        }
    };
    config.listeners.iter().map(try_one).collect()
}

/// The newest change among the store's files: the clock has been there already.
fn newest_file(store: &Path) -> Option<UnixTime> {
    let files = fs::read_dir(store).ok()?.filter_map(|entry| entry.ok()?.metadata().ok());
    files.map(|found| UnixTime::from_secs(found.mtime())).max()
}

fn clock(now: UnixTime, store_changed: Option<UnixTime>) -> Finding {
    const CHECK: &str = "clock";
    let advice = "set the clock and let it be kept right (timedatectl set-ntp true); certificates depend on it";
    if now < NOT_BEFORE {
        return Finding::bad(CHECK, format!("the clock says {now}, before this program was written"), advice);
    }
    match store_changed {
        Some(changed) if now + Duration::from_secs(60) < changed => {
            Finding::bad(CHECK, format!("the clock says {now}, but the store was changed at {changed}: it was set back"), advice)
        }
        _ => Finding::good(CHECK, format!("the clock says {now}")),
    }
}

fn disk_space(path: &Path) -> Finding {
    const CHECK: &str = "disk space";
    let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
    let Ok(found) = statvfs(there) else {
        return Finding::warning(CHECK, format!("the free space at {} is unknown", there.display()), "look with `df`");
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB are free at {}", free >> 20, there.display());
    let advice = "free some space or move `data_dir`: a full disk stops every change";
    match free {
        free if free < FREE_SPACE / 10 => Finding::bad(CHECK, text, advice),
        free if free < FREE_SPACE => Finding::warning(CHECK, text, advice),
        _ => Finding::good(CHECK, text),
    }
}

fn revocation_lists(config: &Config) -> Finding {
    const CHECK: &str = "revocation lists";
    match config.authority.unanswered(&config.external_address, &config.listeners) {
        None => {
            Finding::good(CHECK, format!("certificates name {}", config.authority.crl_base(&config.external_address, &config.listeners)))
        }
        Some(problem) => Finding::warning(
            CHECK,
            format!("`authority.crl_base` {problem}"),
            "name the address of a listener with the role http, or one that reaches it, and renew certificates that name another",
        ),
    }
}

fn certificates(config: &Config, now: UnixTime) -> Vec<Finding> {
    let files = config.listeners.iter().filter_map(|(name, listener)| Some((name, listener.certificate.as_ref()?)));
    files.map(|(name, files)| certificate(name, &files.chain, &files.key, now)).collect()
}

fn certificate(listener: &str, chain_file: &Path, key_file: &Path, now: UnixTime) -> Finding {
    const CHECK: &str = "certificates";
    let advice = "get a new certificate and put it into the same files; a running server takes it over by itself";
    let shown = format!("the certificate of listener `{listener}`");
    if let Err(error) = FileCertificates::open(chain_file, key_file) {
        return Finding::bad(
            CHECK,
            format!("{shown} cannot be used: {}", chain(&error)),
            "put chain and key, in PEM and belonging together, there",
        );
    }
    let parsed = fs::read(chain_file).ok().and_then(|pem| Certificate::chain_from_pem(&pem).ok());
    let Some(leaf) = parsed.as_ref().and_then(|chain| chain.first()) else {
        return Finding::warning(
            CHECK,
            format!("{shown} has a form that its dates cannot be read from"),
            "look with `openssl x509 -noout -dates`",
        );
    };
    if now < leaf.not_before() {
        return Finding::bad(CHECK, format!("{shown} is not valid before {}", leaf.not_before()), "check the clock, or wait");
    }
    if leaf.not_after() < now {
        return Finding::bad(CHECK, format!("{shown} expired at {}", leaf.not_after()), advice);
    }
    if leaf.not_after() < now + EXPIRES_SOON {
        return Finding::warning(CHECK, format!("{shown} ends soon, at {}", leaf.not_after()), advice);
    }
    Finding::good(CHECK, format!("{shown} is valid until {}", leaf.not_after()))
}

fn open_files(connections: u64) -> Finding {
    const CHECK: &str = "open files";
    // The server raises the soft limit to the hard one.
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let needed = connections + OTHER_FILES;
    if limit < needed {
        let text = format!("{limit} files may be open, and `[net] connections` with the rest needs {needed}");
        return Finding::warning(CHECK, text, "raise it (LimitNOFILE= for a service, `ulimit -Hn` in a shell), or lower `connections`");
    }
    Finding::good(CHECK, format!("{limit} files may be open, {needed} are needed at most"))
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

impl fmt::Display for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let (tint, word) = match finding.verdict {
                Verdict::Good => (Tint::Good, "good   "),
                Verdict::Warning => (Tint::Warning, "warning"),
                Verdict::Bad => (Tint::Bad, "bad    "),
            };
            writeln!(out, "{} {}: {}", self.output.tint(tint, word), finding.check, finding.text)?;
            if let Some(advice) = &finding.advice {
                writeln!(out, "        → {advice}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_this_program_or_before_the_store_is_bad() {
        let now = NOT_BEFORE + Duration::from_secs(1000);
        assert_eq!(clock(now, Some(now)).verdict, Verdict::Good);
        assert_eq!(clock(UnixTime::EPOCH, None).verdict, Verdict::Bad);
        assert_eq!(clock(now, Some(now + Duration::from_secs(3600))).verdict, Verdict::Bad);
    }

    #[test]
    fn a_file_that_others_may_change_is_bad() {
        let file = tempfile::NamedTempFile::new().expect("file");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_eq!(private("file", file.path()).verdict, Verdict::Good);
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o620)).expect("chmod");
        assert_eq!(private("file", file.path()).verdict, Verdict::Bad);
    }

    #[test]
    fn a_limit_below_the_connections_is_a_warning() {
        assert_eq!(open_files(u64::MAX / 2).verdict, Verdict::Warning);
        assert_eq!(open_files(1).verdict, Verdict::Good);
    }
}
