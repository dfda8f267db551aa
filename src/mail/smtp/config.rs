//! The section `[mail.smtp]`.

use gatehouse_base::config::{Choice, Configure, Section};
use gatehouse_types::Secret;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// Where the mail server is and how it is spoken to.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name, which its certificate has to have, or its address. Required.
    pub host: String,
    /// Its port. Default 587 with `starttls`, 465 with `tls`, 25 with `plain`.
    pub port: u16,
    /// How the connection is secured. Default `starttls`.
    pub security: Security,
    /// Who we are to the server: `user`, and the password from the file that `password_file` names or from
    /// `GATEHOUSE__MAIL__SMTP__PASSWORD`. Default: nobody.
    pub credentials: Option<(String, Secret)>,
    /// A file with the certificates of the authorities that the server's certificate is held against. Default: those of this system.
    pub anchors: Option<PathBuf>,
    /// How long the server may take to let us in, to greet us, and for three steps of the rest. Default 30 s.
    pub timeout: Duration,
    /// How many letters go over one connection at most. Default 100; with 1 each letter has its own.
    pub letters: u32,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS is asked for first of all (RFC 3207); a server without it gets nothing.
    StartTls,
    /// TLS from the first byte (RFC 8314).
    Tls,
    /// Nothing, which is for servers on this machine.
    Plain,
}

impl Choice for Security {
    const ALL: &'static [(&'static str, Self)] = &[("starttls", Self::StartTls), ("tls", Self::Tls), ("plain", Self::Plain)];
}

impl Configure for Config {
    fn read(from: &mut Section<'_>) -> Option<Self> {
        let host: Option<String> = from.required("host");
        let security = from.or("security", Security::StartTls);
        let usual = match security {
            Security::StartTls => 587,
            Security::Tls => 465,
            Security::Plain => 25,
        };
        let port = from.within("port", usual, 1..=u16::MAX);
        let user: Option<String> = from.optional("user");
        let mentioned = from.mentions("password") || from.mentions("password_file");
        let password = from.secret("password");
        let anchors = from.path("anchors");
        let timeout = from.within("timeout", Duration::from_secs(30), Duration::from_secs(1)..=Duration::from_secs(300));
        let letters = from.within("letters", 100, 1..=10_000);
        let danger = from.or("danger_unencrypted", false);
        if user.is_some() != mentioned {
            let text = "and `user` go together: the password comes from the file that `password_file` names, or from the environment";
            from.refuse("password", text);
        }
        if password.as_ref().is_some_and(|password| std::str::from_utf8(password.expose()).is_err()) {
            from.refuse("password_file", "holds something that is not UTF-8");
        }
        let here = host.as_deref().is_some_and(is_here);
        if security == Security::Plain && host.is_some() && !here {
            match danger {
                true => from.remark("danger_unencrypted", "sends letters in the clear: who listens on the way can use the links in them"),
                false => from.refuse("security", "is \"plain\" for a server elsewhere; `danger_unencrypted = true` would allow that"),
            }
        }
        Some(Self { host: host?, port, security, credentials: user.zip(password), anchors, timeout, letters })
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
