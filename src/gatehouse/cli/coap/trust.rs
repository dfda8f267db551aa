//! What is presented to a server, and which servers are believed.

use crate::cli::{Exit, Failure};
use clap::Args;
use gatehouse_client::{ConnectError, Expected, Security, Trust};
use gatehouse_net::{Credentials, PresharedKey};
use gatehouse_pki::{Anchors, Certificate, Fingerprint};
use gatehouse_types::Secret;
use std::{
    fmt, fs,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Security (coaps and coaps+tcp)")]
pub(super) struct TrustOptions {
    /// Believe servers whose chain leads to a certificate in this file, in PEM
    #[arg(long, value_name = "FILE", group = "believed")]
    ca: Option<PathBuf>,
    /// Believe the server that presents the certificate with this SHA-256 fingerprint, 64 hexadecimal digits
    #[arg(long, value_name = "SHA256", group = "believed", value_parser = fingerprint)]
    pin: Option<Fingerprint>,
    /// Present this chain to the server, in PEM, our own certificate first
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of --cert, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Share this key with the server: its text, 0x and hexadecimal digits, or @FILE. Other users of the machine can see arguments
    #[arg(long, value_name = "KEY", group = "believed", requires = "psk_identity", env = "GATEHOUSE_COAP_PSK", hide_env_values = true)]
    psk: Option<String>,
    /// The name under which the server knows the shared key
    #[arg(long, value_name = "NAME", conflicts_with = "cert")]
    psk_identity: Option<String>,
    /// The name or address that the server's certificate must have [default: the host of the URL]
    #[arg(long, value_name = "HOST", requires = "ca")]
    server_name: Option<String>,
    /// DANGER: believe every holder of a certificate below --ca, whatever its name is
    #[arg(long, requires = "ca", conflicts_with = "server_name")]
    danger_accept_any_name: bool,
    /// DANGER: believe whoever answers; anybody on the way can read and change everything
    #[arg(long, group = "believed")]
    danger_accept_any_server: bool,
}

impl TrustOptions {
    pub(super) fn security(&self) -> Result<Security, Failure> {
        let credentials = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let key = Secret::new(read(key)?);
                let credentials = Credentials::from_pem(&read(cert)?, &key).map_err(|error| Failure::from(error).during(cert.display()))?;
                Some(Arc::new(credentials))
            }
            _ => None,
        };
        Ok(Security { trust: self.trust()?, credentials })
    }

    fn trust(&self) -> Result<Trust, Failure> {
        if let Some(path) = &self.ca {
            return Ok(Trust::Anchors { anchors: Arc::new(anchors(path)?), name: self.expected() });
        }
        if let Some(pinned) = self.pin {
            return Ok(Trust::Fingerprint(pinned));
        }
        if let Some(key) = &self.psk {
            let identity = self.psk_identity.as_deref().unwrap_or_default();
            let key = PresharedKey::new(identity.as_bytes(), shared_key(key)?);
            let refused = "a shared key has 1 to 64 bytes, and its name up to 128 without a zero";
            return Ok(Trust::Shared(key.ok_or_else(|| Failure::new(Exit::Usage, refused))?));
        }
        Ok(if self.danger_accept_any_server { Trust::DangerAnybody } else { Trust::Nobody })
    }

    fn expected(&self) -> Expected {
        match &self.server_name {
            _ if self.danger_accept_any_name => Expected::DangerAny,
            None => Expected::Host,
            Some(name) => name.parse::<IpAddr>().map_or_else(|_| Expected::Name(name.clone()), Expected::Address),
        }
    }

    /// What to do about a refusal.
    pub(super) fn advise(error: ConnectError) -> Failure {
        let advice = match &error {
            ConnectError::NoTrust(_) => "give --ca FILE, --pin SHA256, or --psk KEY with --psk-identity NAME",
            ConnectError::WrongName { .. } => "if that is the server, --server-name HOST says which name it has",
            ConnectError::Handshake(gatehouse_net::ConnectError::Refused(_)) => "--ca FILE names the authorities that are believed",
            _ => return error.into(),
        };
        Failure::from(error).advise(advice)
    }
}

fn anchors(path: &Path) -> Result<Anchors, Failure> {
    let certificates = Certificate::chain_from_pem(&read(path)?).map_err(|error| unusable(path, &error))?;
    let builder = certificates.into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
    builder.build().map_err(|error| unusable(path, &error))
}

fn shared_key(text: &str) -> Result<Secret, Failure> {
    if let Some(path) = text.strip_prefix('@') {
        let mut key = read(Path::new(path))?;
        // Editors end files with a line.
        key.truncate(key.trim_ascii_end().len());
        return Ok(Secret::new(key));
    }
    match text.strip_prefix("0x") {
        Some(digits) => {
            let bytes = hexadecimal(digits).ok_or_else(|| Failure::new(Exit::Usage, "the shared key is not hexadecimal"))?;
            Ok(Secret::new(bytes))
        }
        None => Ok(Secret::from(text.to_owned())),
    }
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    let bytes: Option<[u8; Fingerprint::LEN]> = hexadecimal(&digits).and_then(|bytes| bytes.try_into().ok());
    bytes.map(Fingerprint::from).ok_or_else(|| "a fingerprint has 64 hexadecimal digits, with or without colons".to_owned())
}

/// The bytes that pairs of hexadecimal digits write.
pub(super) fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Keys and chains are short.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| unusable(path, &error))?;
    if bytes.len() as u64 > MAX_FILE { Err(unusable(path, &"it is too long")) } else { Ok(bytes) }
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, format!("{} cannot be used: {error}", path.display()))
}

const MAX_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_with_or_without_colons() {
        let plain = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
        let colons = plain.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair)).collect::<Vec<_>>().join(":");
        assert_eq!(fingerprint(plain), fingerprint(&colons));
        for wrong in ["", "00", &plain[2..], &format!("{plain}00"), &plain.replace('a', "g")] {
            assert!(fingerprint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_shared_key_is_text_or_hexadecimal_or_a_file() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("key");
        fs::write(&path, "secret\n").expect("written");
        for text in ["secret", "0x736563726574", &format!("@{}", path.display())] {
            assert_eq!(shared_key(text).expect("a key").expose(), b"secret", "{text}");
        }
        assert!(shared_key("0xabc").is_err());
    }
}
