//! The section `[outgoing]`.

use gatehouse_base::config::{Configure, Section, Size};
use gatehouse_net::Network;
use std::{path::PathBuf, time::Duration};

/// What an operator can set about requests to servers that somebody else names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Networks that may be reached although they are not the public Internet: `["10.0.0.0/8"]`. Everything that can make this
    /// installation ask a URL can then reach them. Default: none.
    pub allow: Vec<Network>,
    /// Whether `http://` may be used, to addresses of `allow` only. Default `false`.
    pub danger_unencrypted: bool,
    /// A file with certificates of authorities that are believed besides those of this system. Default: none.
    pub anchors: Option<PathBuf>,
    /// How long a request may take from the look-up of the name to the last byte of the answer. Default 10 s.
    pub timeout: Duration,
    /// How long one address may take to accept a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// The largest head of an answer. Default 16 KiB, at least 8 KiB.
    pub head_size: Size,
    /// The largest body of an answer. Default 1 MiB.
    pub body_size: Size,
    /// Requests, and look-ups of names, that are under way at once. Who wants more is refused. Default 64.
    pub at_once: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            danger_unencrypted: false,
            anchors: None,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            head_size: Size::kib(16),
            body_size: Size::mib(1),
            at_once: 64,
        }
    }
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let defaults = Self::default();
        let seconds = |low: u64, high: u64| Duration::from_secs(low)..=Duration::from_secs(high);
        let config = Self {
            allow: from.or("allow", defaults.allow),
            danger_unencrypted: from.or("danger_unencrypted", defaults.danger_unencrypted),
            anchors: from.path("anchors"),
            timeout: from.within("timeout", defaults.timeout, seconds(1, 120)),
            connect_timeout: from.within("connect_timeout", defaults.connect_timeout, seconds(1, 60)),
            head_size: from.within("head_size", defaults.head_size, Size::kib(8)..=Size::mib(1)),
            body_size: from.within("body_size", defaults.body_size, Size::kib(64)..=Size::mib(64)),
            at_once: from.within("at_once", defaults.at_once, 1..=10_000),
        };
        if !config.allow.is_empty() {
            from.remark("allow", "lets everybody who may name a URL, such as a provider's, reach these networks from this machine");
        }
        if config.danger_unencrypted {
            from.remark("danger_unencrypted", "lets whoever sits between read and change what is asked over http://");
        }
        Some(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatehouse_base::config::{Sources, load};

    fn loaded(text: &str) -> Result<gatehouse_base::config::Loaded<Config>, String> {
        load::<Config>(&Sources::text("gatehouse.toml", text)).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn nothing_said_is_the_public_internet_over_https() {
        let loaded = loaded("").expect("good");
        assert_eq!(loaded.config, Config::default());
        assert!(loaded.remarks.is_empty() && loaded.config.allow.is_empty() && !loaded.config.danger_unencrypted);
    }

    #[test]
    fn what_opens_our_own_network_is_remarked_on_and_limits_have_limits() {
        let good = loaded("allow = [\"10.0.0.0/8\", \"::1\"]\ndanger_unencrypted = true\n").expect("good");
        assert_eq!(good.remarks.len(), 2);
        for wrong in ["allow = [\"10.0.0.0/99\"]", "timeout = \"0s\"", "head_size = \"1 KiB\"", "body_size = \"1 GiB\"", "at_once = 0"] {
            assert!(loaded(wrong).is_err(), "{wrong}");
        }
    }
}
