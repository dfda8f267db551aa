//! The whole configuration, composed of the parts' own sections, and where it lies.

use super::{
    custody::{AuthorityConfig, TokenConfig},
    listen::{self, Role},
    retention::Config as RetentionConfig,
};
use gatehouse_base::{
    config::{Choice, Configure, Loaded, Mistakes, Section, Size, Sources, Value, load},
    telemetry,
};
use gatehouse_ca::unlock::KeySource;
use gatehouse_mail::Delivery;
use gatehouse_pki::Host;
use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that an operator can set.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host name or address under which devices and people reach this installation. It goes into certificates, so
    /// that changing it later means new ones. Required.
    pub external_address: Host,
    /// The folder that holds all state; only its owner may enter. Default `/var/lib/gatehouse` for root, and
    /// `$XDG_DATA_HOME/gatehouse` for everybody else.
    pub data_dir: PathBuf,
    /// How long a stopping server finishes what it has accepted. Default 30 s; systemd and container engines have a
    /// limit of their own, which must be longer.
    pub grace: Duration,
    /// The unix socket through which the command line talks to the running server. Default `control.sock` in
    /// `data_dir`. Only this user and root are answered.
    pub control_socket: PathBuf,
    /// Where the key is that opens the private keys at rest.
    pub key_encryption: KeyEncryption,
    /// `[authority]`: how certificates live, and how far the clock is trusted.
    pub authority: AuthorityConfig,
    /// `[accounts]`: how long sessions last, and how dear passwords are.
    pub accounts: gatehouse_accounts::Config,
    /// `[mail]`: in whose name letters go out, and who carries them.
    pub mail: gatehouse_mail::Config,
    /// `[outgoing]`: which servers may be asked that somebody else names.
    pub outgoing: gatehouse_outgoing::Config,
    /// `[tokens]`: where keys that live in PKCS#11 tokens are.
    pub tokens: Option<TokenConfig>,
    /// `[retention]`: how long events and the records of ended certificates are kept.
    pub retention: RetentionConfig,
    /// `[store]`: where and how state is kept.
    pub store: gatehouse_store::Config,
    /// `[log]`: what is logged and how.
    pub log: telemetry::Config,
    /// `[net]`: how many peers may be there at once.
    pub net: gatehouse_net::Config,
    /// `[http]`: how much a request may hold and how long it may take.
    pub http: gatehouse_http::Config,
    /// `[coap]`: how much a CoAP peer may hold and how long things may take.
    pub coap: gatehouse_coap::Config,
    /// `[listener.<name>]`: the addresses that are listened on. When none is configured, `public` and `metrics` on
    /// loopback.
    pub listeners: BTreeMap<String, listen::Config>,
    /// The file that this was read from, to be read again on SIGHUP.
    pub file: Option<PathBuf>,
}

impl Config {
    /// Where the configuration lies when nobody says otherwise: `/etc/gatehouse/gatehouse.toml` for root, and
    /// `$XDG_CONFIG_HOME/gatehouse/gatehouse.toml` for everybody else.
    pub fn default_path() -> PathBuf {
        base_folder("XDG_CONFIG_HOME", ".config", "/etc").join("gatehouse.toml")
    }

    /// Where state lies when nobody says otherwise.
    pub fn default_data_dir() -> PathBuf {
        base_folder("XDG_DATA_HOME", ".local/share", "/var/lib")
    }

    /// Reads the file under the overrides of this process's environment.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn load(path: &Path) -> Result<Loaded<Self>, Mistakes> {
        // A variable that is not Unicode cannot be one of ours.
        let variables = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut loaded = load::<Self>(&Sources::file(path)?.with_environment(variables))?;
        loaded.config.file = Some(path.to_owned());
        Ok(loaded)
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let external_address = from.required::<ExternalAddress>("external_address");
        let data_dir = from.path("data_dir").unwrap_or_else(Self::default_data_dir);
        let grace = from.within("grace", Duration::from_secs(30), Duration::ZERO..=Duration::from_secs(3600));
        let control_socket = from.path("control_socket").unwrap_or_else(|| data_dir.join("control.sock"));
        let key_encryption = from.section("key_encryption");
        let authority = from.section("authority");
        let accounts = from.section("accounts");
        let mail = from.section("mail");
        let outgoing = from.section("outgoing");
        let tokens = if from.mentions("tokens") { Some(from.section("tokens")) } else { None };
        let retention = from.section("retention");
        let store = from.section::<StoreSection>("store");
        let log = from.section("log");
        let net = from.section("net");
        let http = from.section("http");
        let coap = from.section("coap");
        let mut listeners = from.named::<listen::Config>("listener")?;
        if !from.mentions("listener") {
            listeners = listen::Config::defaults();
        }
        let (external_address, authority): (Host, AuthorityConfig) = (external_address?.0, authority?);
        if let Some(problem) = authority.unanswered(&external_address, &listeners) {
            from.remark("authority.crl_base", problem);
        }
        let mail: gatehouse_mail::Config = mail?;
        let reached = |listener: &listen::Config| listener.role == Role::Https && !listener.address.ip().is_loopback();
        if matches!(mail.delivery, Some(Delivery::Capture(_))) && listeners.values().any(reached) {
            from.remark("mail.capture", "writes letters into files, where they reach nobody: [mail.smtp] sends them");
        }
        Some(Self {
            external_address,
            grace,
            control_socket,
            key_encryption: key_encryption?,
            authority,
            accounts: accounts?,
            mail,
            outgoing: outgoing?,
            tokens: match tokens {
                Some(tokens) => Some(tokens?),
                None => None,
            },
            retention: retention?,
            store: store?.at(&data_dir),
            data_dir,
            log: log?,
            net: net?,
            http: http?,
            coap: coap?,
            listeners,
            file: None,
        })
    }
}

/// The section `[key_encryption]`: exactly one of its keys.
#[derive(Clone, Debug)]
pub struct KeyEncryption {
    /// Where to look.
    pub source: KeySource,
}

impl Configure for KeyEncryption {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let file = from.path("file").map(KeySource::File);
        let environment = from.optional("environment").map(KeySource::Environment);
        let passphrase = from.path("passphrase_file").map(KeySource::PassphraseFile);
        let mentioned = ["file", "environment", "passphrase_file"].iter().filter(|key| from.mentions(key)).count();
        if mentioned != 1 {
            let found = if mentioned == 0 { "none is set" } else { "more than one is set" };
            from.refuse("file", format!("or `environment` or `passphrase_file` names what opens the private keys; {found}"));
            return None;
        }
        Some(Self { source: file.or(environment).or(passphrase)? })
    }
}

struct ExternalAddress(Host);

impl Value for ExternalAddress {
    fn expected() -> String {
        "a host name or IP address without scheme and port, like \"gatehouse.example.com\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn to_text(&self) -> String {
        self.0.to_string()
    }
}

/// `[store]`, before it is known where `data_dir` is.
struct StoreSection {
    path: Option<PathBuf>,
    engine: Engine,
    cache: Size,
    queue: usize,
    reserve: Size,
    snapshot: Size,
}

#[derive(Clone, Copy, PartialEq)]
struct Engine(gatehouse_store::EngineName);

impl Choice for Engine {
    const ALL: &'static [(&'static str, Self)] =
        &[("fjall", Self(gatehouse_store::EngineName::Fjall)), ("sled", Self(gatehouse_store::EngineName::Sled))];
}

impl Configure for StoreSection {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = gatehouse_store::Config::new("");
        Some(Self {
            path: from.path("path"),
            engine: from.or("engine", Engine(defaults.engine)),
            cache: from.within("cache", Size::bytes(defaults.cache_bytes), Size::mib(1)..=Size::mib(1 << 20)),
            queue: from.within("queue", defaults.queue, 1..=1_000_000),
            reserve: from.within("reserve", Size::bytes(defaults.reserve_bytes), Size::bytes(0)..=Size::mib(1 << 20)),
            snapshot: from.within("snapshot", Size::bytes(defaults.snapshot_bytes as u64), Size::mib(1)..=Size::mib(1 << 20)),
        })
    }
}

impl StoreSection {
    fn at(self, data_dir: &Path) -> gatehouse_store::Config {
        gatehouse_store::Config {
            path: self.path.unwrap_or_else(|| data_dir.join("store")),
            engine: self.engine.0,
            cache_bytes: self.cache.get(),
            queue: self.queue,
            reserve_bytes: self.reserve.get(),
            snapshot_bytes: self.snapshot.as_usize(),
        }
    }
}

/// XDG where it is asked for or where a person works; the system's folders for root.
fn base_folder(variable: &str, in_home: &str, system: &str) -> PathBuf {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let asked = env::var_os(variable).map(PathBuf::from).and_then(absolute);
    let home = || env::var_os("HOME").map(PathBuf::from).and_then(absolute).filter(|_| !rustix::process::geteuid().is_root());
    asked.or_else(|| Some(home()?.join(in_home))).unwrap_or_else(|| PathBuf::from(system)).join("gatehouse")
}
