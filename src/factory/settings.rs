//! `factory.toml`: what the maker decides, read with every mistake at once.

use crate::{
    name::{LineName, StationName},
    serial::Numbering,
};
use gatehouse_base::config::{Choice, Configure, Mistakes, Section, Sources, Value, load};
use gatehouse_pki::{CrlAddress, OrganisationName};
use gatehouse_types::UnixTime;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// As many as the machine keeps busy.
const DEFAULT_WORKERS: u32 = 0;

const DEFAULT_PART: u32 = 500;

/// How many bundles a part of a batch has at most: one part is one record, one flush and one folder.
const MAX_PART: u32 = 1000;

/// The settings of a factory or of a station.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who makes the devices; stands in every certificate.
    pub manufacturer: OrganisationName,
    /// The station, when this is one and not the factory itself.
    pub station: Option<StationName>,
    /// Where a device finds its provisioning service; goes into every bundle.
    pub provisioning: ProvisioningAddress,
    /// What a device's certificate is for.
    pub profile: DeviceProfile,
    /// How long a device's certificate is good; it does not end when this is left out.
    pub lifetime: Option<Duration>,
    /// Where the revocation lists of the lines are published; goes into every certificate.
    pub crl: Option<CrlAddress>,
    /// How long a revocation list is good.
    pub crl_validity: Duration,
    /// How serials are counted; without it every serial must be named.
    pub numbering: Option<Numbering>,
    /// The lines.
    pub lines: BTreeMap<LineName, LineSettings>,
    /// How many threads make devices; some for each processor when it is 0.
    pub workers: u32,
    /// How many bundles lie in one folder and are flushed together.
    pub part: u32,
}

/// One line: an intermediate certificate, and the limits of what its key signs.
#[derive(Clone, Debug)]
pub struct LineSettings {
    /// The line signs nothing from this time on.
    pub until: UnixTime,
    /// The line signs so many device certificates in all.
    pub budget: u64,
    /// Where the line's key is, when it is in a token.
    pub token: Option<TokenSettings>,
}

/// A key in a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The token's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label in the token.
    pub key: String,
    /// The file that holds the PIN.
    pub pin_file: PathBuf,
}

/// What a device's certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceProfile {
    /// Client authentication only (IEEE 802.1AR).
    Device,
    /// Also what OCF onboarding tools ask for: server authentication and the OCF identity.
    OcfOnboarding,
}

impl Choice for DeviceProfile {
    const ALL: &'static [(&'static str, Self)] = &[("device", Self::Device), ("ocf-onboarding", Self::OcfOnboarding)];
}

/// Where a device finds its provisioning service, like `coaps+tcp://dps.example.com:5684`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningAddress(String);

impl ProvisioningAddress {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for ProvisioningAddress {
    fn expected() -> String {
        "an address like \"coaps+tcp://dps.example.com:20030\"".to_owned()
    }

    fn from_text(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("coaps+tcp://").or_else(|| text.strip_prefix("coaps://"))?;
        let (host, port) = rest.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let sound = host.parse::<gatehouse_pki::Host>().is_ok() && port.parse::<u16>().is_ok_and(|port| port > 0);
        sound.then(|| Self(text.to_owned()))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// A value whose type is its own parser.
struct Parsed<T>(T);

macro_rules! parsed {
    ($($type:ty, $expected:literal;)*) => {$(
        impl Value for Parsed<$type> {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok().map(Self)
            }

            fn to_text(&self) -> String {
                self.0.to_string()
            }
        }
    )*};
}

parsed! {
    OrganisationName, "the maker's name";
    StationName, "a station's name in lower-case letters, digits and hyphens";
    CrlAddress, "an address like \"http://crl.example.com/line-1.crl\"";
    UnixTime, "a time like \"2030-01-01T00:00:00Z\"";
}

/// Nobody has to sign a list more often than four times a year.
const DEFAULT_CRL_VALIDITY: Duration = Duration::from_secs(90 * 86_400);

impl Configure for Settings {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let manufacturer = from.required::<Parsed<OrganisationName>>("manufacturer");
        let station = from.optional::<Parsed<StationName>>("station").map(|station| station.0);
        let provisioning = from.required("provisioning");
        let profile = from.or("profile", DeviceProfile::Device);
        let lifetime = from.optional("lifetime");
        let crl = from.optional::<Parsed<CrlAddress>>("crl").map(|address| address.0);
        let crl_validity = from.or("crl_validity", DEFAULT_CRL_VALIDITY);
        let numbering = if from.mentions("numbering") { Some(from.section("numbering")) } else { None };
        let named = from.named::<LineSettings>("line");
        let workers = from.within("workers", DEFAULT_WORKERS, 0..=256);
        let part = from.within("part", DEFAULT_PART, 1..=MAX_PART);
        let mut lines = BTreeMap::new();
        for (name, line) in named? {
            match name.parse() {
                Ok(name) => drop(lines.insert(name, line)),
                Err(_) => from.refuse("line", format!("has a table {name:?}; a line's name begins with a letter")),
            }
        }
        let numbering = match numbering {
            Some(read) => Some(read?),
            None => None,
        };
        let (manufacturer, provisioning) = (manufacturer?.0, provisioning?);
        Some(Self { manufacturer, station, provisioning, profile, lifetime, crl, crl_validity, numbering, lines, workers, part })
    }
}

impl Configure for Numbering {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let prefix = from.required::<String>("prefix");
        let digits = from.within("digits", 8, 1..=18);
        let numbering = Self { prefix: prefix?, digits };
        if numbering.all().is_none() {
            from.refuse("prefix", "does not begin a serial: use letters, digits, '-' and '.', with no digit at the end");
        }
        Some(numbering)
    }
}

impl Configure for LineSettings {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let until = from.required::<Parsed<UnixTime>>("until");
        let budget = from.required("budget");
        let token = if from.mentions("pkcs11") { Some(from.section("pkcs11")) } else { None };
        let token = match token {
            Some(read) => Some(read?),
            None => None,
        };
        Some(Self { until: until?.0, budget: budget?, token })
    }
}

impl Configure for TokenSettings {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let module = from.path("module");
        let pin_file = from.path("pin_file");
        for (key, path) in [("module", &module), ("pin_file", &pin_file)] {
            if path.is_none() {
                from.refuse(key, "is missing; expected a path");
            }
        }
        let (token, key) = (from.required("token"), from.required("key"));
        Some(Self { module: module?, token: token?, key: key?, pin_file: pin_file? })
    }
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        load::<Self>(&Sources::file(path)?).map(|loaded| loaded.config)
    }

    /// Reads a text, for those who make settings without a file.
    ///
    /// # Errors
    /// Every mistake that is in it.
    pub fn from_toml(text: &str) -> Result<Self, Mistakes> {
        load::<Self>(&Sources::text("factory.toml", text)).map(|loaded| loaded.config)
    }

    /// The file's text with what differs from the defaults, and a remark beside each setting.
    pub(crate) fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut out =
            String::from("# The settings of this factory. docs/factory.md says what each of them does; unknown keys are refused.\n\n");
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("manufacturer = {}", quoted(self.manufacturer.as_str())));
        if let Some(station) = &self.station {
            line(format!("station = {}", quoted(station.as_str())));
        }
        line("# Where a device finds its provisioning service; goes into every bundle.".into());
        line(format!("provisioning = {}", quoted(self.provisioning.as_str())));
        line("# \"device\" (client authentication only) or \"ocf-onboarding\".".into());
        line(format!("profile = {}", quoted(&self.profile.to_text())));
        line("# How long a device's certificate is good, like \"7300d\". Left out: it does not end (IEEE 802.1AR).".into());
        if let Some(lifetime) = self.lifetime {
            line(format!("lifetime = {}", quoted(&lifetime.to_text())));
        }
        if let Some(crl) = &self.crl {
            line(format!("crl = {}", quoted(crl.as_str())));
        }
        if self.crl_validity != DEFAULT_CRL_VALIDITY {
            line(format!("crl_validity = {}", quoted(&self.crl_validity.to_text())));
        }
        for (name, value, default) in [("workers", self.workers, DEFAULT_WORKERS), ("part", self.part, DEFAULT_PART)] {
            if value != default {
                line(format!("{name} = {value}"));
            }
        }
        if let Some(numbering) = &self.numbering {
            line(format!("\n# What --count counts.\n[numbering]\nprefix = {}\ndigits = {}", quoted(&numbering.prefix), numbering.digits));
        }
        for (name, settings) in &self.lines {
            let _ = write!(out, "\n[line.{name}]\nuntil = {}\nbudget = {}\n", quoted(&settings.until.to_string()), settings.budget);
            if let Some(TokenSettings { module, token, key, pin_file }) = &settings.token {
                let path = |path: &Path| quoted(&path.display().to_string());
                let _ = write!(out, "\n[line.{name}.pkcs11]\nmodule = {}\ntoken = {}\n", path(module), quoted(token));
                let _ = write!(out, "key = {}\npin_file = {}\n", quoted(key), path(pin_file));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        manufacturer = "Example Devices"
        provisioning = "coaps+tcp://dps.example.com:20030"
        profile = "ocf-onboarding"
        lifetime = "3650d"
        crl = "http://crl.example.com/line-1.crl"
        crl_validity = "14d"
        workers = 3
        part = 20
        numbering = { prefix = "GH-", digits = 8 }
        [line.line-1]
        until = "2030-01-01T00:00:00Z"
        budget = 1000
        [line.line-2]
        until = "2031-01-01T00:00:00Z"
        budget = 5
        pkcs11 = { module = "/usr/lib/softhsm/libsofthsm2.so", token = "factory", key = "line-2", pin_file = "/etc/pin" }
    "#;

    #[test]
    fn settings_are_written_as_they_are_read() {
        let settings = Settings::from_toml(TEXT).expect("settings");
        let again = Settings::from_toml(&settings.to_toml()).expect("settings");
        assert_eq!(format!("{settings:?}"), format!("{again:?}"));
        assert_eq!(settings.lines.len(), 2);
        assert_eq!(settings.numbering, Some(Numbering { prefix: "GH-".into(), digits: 8 }));
        assert!(settings.lines.values().nth(1).is_some_and(|line| line.token.is_some()));
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let wrong = TEXT.replace("budget = 5", "budgit = 5").replace(":20030", "").replace("GH-", "GH-1").replace("\"3650d\"", "3650");
        let mistakes = Settings::from_toml(&wrong).expect_err("mistakes").to_string();
        let expected = ["factory.toml:3:", "factory.toml:5:", "factory.toml:10:", "did you mean `budget`", "line-2.budget` is missing"];
        for part in expected {
            assert!(mistakes.contains(part), "{part} is not in:\n{mistakes}");
        }
    }

    #[test]
    fn a_provisioning_address_has_a_scheme_a_host_and_a_port() {
        for text in ["coaps+tcp://dps.example.com:20030", "coaps://192.0.2.1:5684", "coaps+tcp://[2001:db8::1]:20030"] {
            assert!(ProvisioningAddress::from_text(text).is_some(), "{text}");
        }
        for text in ["https://dps.example.com:1", "coaps+tcp://dps.example.com", "coaps+tcp://:1", "coaps+tcp://a b:1", "coaps+tcp://a:0"] {
            assert!(ProvisioningAddress::from_text(text).is_none(), "{text}");
        }
    }
}
