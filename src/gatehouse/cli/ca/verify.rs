//! `gatehouse ca verify`: whether a chain leads to an anchor, judged by the rules that the server uses.

use super::super::{Context, Exit, Failure, Output, Tint};
use clap::{Args, ValueEnum};
use gatehouse_base::{Clock, SystemClock};
use gatehouse_pki::{Anchors, Certificate, CertificateError, CertificateList, Policy, Purpose, Revocation};
use gatehouse_types::UnixTime;
use serde::Serialize;
use std::{
    fmt, fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Judge a chain by the rules that the server uses; needs no server and no configuration
///
/// Exits with 0 when the chain is good, 1 when it is not, and 2 when it cannot be judged: a file that cannot be read, or an
/// anchor that is none.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gatehouse ca verify --anchors roots.pem --chain device.pem
  gatehouse ca verify --anchors roots.pem --chain server.pem --purpose server --at 2027-01-01T00:00:00Z
  gatehouse --json ca verify --anchors roots.pem --chain device.pem --crl root.crl --crl line.crl")]
pub(super) struct Verify {
    /// The certificates that are believed, in PEM
    #[arg(long, value_name = "FILE")]
    anchors: PathBuf,
    /// The chain, in PEM: the leaf first, the rest in any order
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// At this time [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<UnixTime>,
    /// What the leaf is presented for
    #[arg(long, default_value = "client")]
    purpose: For,
    /// A revocation list, in PEM or DER; may be given several times. With any of them, every certificate below the anchor needs one
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// CAs that the peer may leave out, in PEM
    #[arg(long, value_name = "FILE")]
    intermediates: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    Client,
    Server,
    OcfDevice,
}

#[derive(Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
enum Verdict {
    Good {
        /// Leaf first, anchor last.
        path: Vec<String>,
        valid_until: UnixTime,
    },
    Bad {
        rule: String,
        certificate: Option<String>,
        blame: String,
        message: String,
    },
}

struct Shown(Verdict, Output);

impl Verify {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let verdict = self.judge()?;
        let good = matches!(verdict, Verdict::Good { .. });
        context.output.answer(&Shown(verdict, context.output))?;
        // The verdict is the answer; the exit code repeats it for scripts.
        if good { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }

    fn judge(&self) -> Result<Verdict, Failure> {
        let (believed, unreadable) = certificates(&self.anchors)?;
        // An anchor that breaks a rule is no anchor; the others still count.
        if let (true, Some(error)) = (believed.is_empty(), unreadable) {
            return Ok(bad(&error, "the anchor"));
        }
        let mut anchors = believed.into_iter().fold(Anchors::builder(), |all, one| all.anchor(one));
        if let Some(path) = &self.intermediates {
            anchors = certificates(path)?.0.into_iter().fold(anchors, |all, one| all.intermediate(one));
        }
        for path in &self.crl {
            match revocation_list(path)? {
                Ok(list) => anchors = anchors.revocation_list(list),
                Err(error) => return Ok(bad(&error, "the revocation list")),
            }
        }
        let anchors = anchors.build().map_err(|error| unusable(&self.anchors, &error))?;
        let revocation = if self.crl.is_empty() { Revocation::Ignore } else { Revocation::Require };
        let policy = Policy { revocation, ..Policy::new(self.purpose.into()) };
        // A certificate that cannot be read makes a bad chain; a file without one is a mistake of whoever asks.
        let presented = pem_blocks(&self.chain, &read(&self.chain)?)?;
        Ok(match anchors.verify(&presented, &policy, self.at.unwrap_or_else(|| SystemClock.now())) {
            Ok(chain) => Verdict::Good {
                path: chain.path().iter().map(|certificate| certificate.subject().to_string()).collect(),
                valid_until: chain.valid_until(),
            },
            Err(rejection) => Verdict::Bad {
                rule: rejection.rule().code().to_owned(),
                certificate: rejection.place().map(|place| place.to_string()),
                blame: format!("{:?}", rejection.blame()).to_lowercase(),
                message: rejection.to_string(),
            },
        })
    }
}

impl From<For> for Purpose {
    fn from(purpose: For) -> Self {
        match purpose {
            For::Client => Self::Client,
            For::Server => Self::Server,
            For::OcfDevice => Self::OcfDevice,
        }
    }
}

/// Revocation lists are the largest of these files.
const FILE_MAX: u64 = 16 * 1024 * 1024;

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| unusable(path, &error))?;
    if bytes.len() as u64 > FILE_MAX { Err(unusable(path, &"it is too long")) } else { Ok(bytes) }
}

/// The certificates in a file that can be read, and what is wrong with the first that cannot.
fn certificates(path: &Path) -> Result<(Vec<Certificate>, Option<CertificateError>), Failure> {
    let (mut good, mut first) = (Vec::new(), None);
    for block in pem_blocks(path, &read(path)?)? {
        match Certificate::from_der(&block) {
            Ok(certificate) => good.push(certificate),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Ok((good, first))
}

fn revocation_list(path: &Path) -> Result<Result<CertificateList, CertificateError>, Failure> {
    let bytes = read(path)?;
    Ok(if bytes.starts_with(b"-----BEGIN") { CertificateList::from_pem(&bytes) } else { CertificateList::from_der(&bytes) })
}

fn bad(error: &CertificateError, what: &str) -> Verdict {
    Verdict::Bad {
        rule: error.rule().code().to_owned(),
        certificate: Some(what.to_owned()),
        blame: "configuration".to_owned(),
        message: format!("{what}: {error}"),
    }
}

/// The blocks of a file as a peer would send them: in DER, read by nobody yet.
fn pem_blocks(path: &Path, text: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = String::from_utf8_lossy(text);
    let bodies = text.split("-----BEGIN CERTIFICATE-----").skip(1).map(|rest| rest.split_once("-----END CERTIFICATE-----"));
    let decoded = bodies.map(|body| STANDARD.decode(body?.0.split_whitespace().collect::<String>()).ok());
    let blocks: Vec<Vec<u8>> = decoded.collect::<Option<_>>().ok_or_else(|| unusable(path, &"a block in it is not PEM"))?;
    if blocks.is_empty() { Err(unusable(path, &"there is no certificate in PEM in it")) } else { Ok(blocks) }
}

fn unusable(path: &Path, error: &dyn fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("{} cannot be used: {error}", path.display()))
}

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Verdict::Good { path, valid_until } => {
                writeln!(out, "{} until {valid_until}", self.1.tint(Tint::Good, "good"))?;
                path.iter().try_for_each(|subject| writeln!(out, "  {subject}"))
            }
            Verdict::Bad { rule, message, blame, .. } => {
                writeln!(out, "{} {message}", self.1.tint(Tint::Bad, "bad:"))?;
                writeln!(out, "  rule: {rule}; to be mended by: {blame}")
            }
        }
    }
}
