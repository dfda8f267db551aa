//! Why the factory does not do what it is asked.

use crate::{
    bundle::BundleError,
    cms::sealed::SealError,
    custody::CustodyError,
    files::FileError,
    input::InputError,
    journal::JournalError,
    ledger::Refusal,
    name::{LineName, StationName},
};
use gatehouse_base::{Fault, Kind, config};
use gatehouse_pki::{CertificateError, CsrError, IssueError, IssuerError, PrivateKeyError, SignerError};
use std::path::PathBuf;

/// Why an operation of the factory failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryError {
    /// The folder holds no factory.
    #[error("{folder} holds no factory; `gatehouse factory init --factory {folder}` makes one", folder = folder.display())]
    NoFactory {
        /// Which folder.
        folder: PathBuf,
    },
    /// The folder is there already.
    #[error("{folder} exists; a factory is made in a folder that does not", folder = folder.display())]
    Exists {
        /// Which folder.
        folder: PathBuf,
    },
    /// The settings have mistakes.
    #[error("the settings have mistakes:\n{0}")]
    Settings(config::Mistakes),
    /// The settings and the journal belong to different factories.
    #[error("factory.toml says {settings} and the journal says {journal}")]
    OtherFactory {
        /// Whom the settings name.
        settings: String,
        /// Whom the journal names.
        journal: String,
    },
    /// The ledger does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The input of a batch is wrong.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A key of the factory cannot be used.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A key cannot be sealed or opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A certificate is not good.
    #[error("a certificate cannot be used")]
    Certificate(#[from] CertificateError),
    /// A request is not good.
    #[error("the request is refused")]
    Request(#[from] CsrError),
    /// The profile does not give such a certificate.
    #[error("the profile gives no such certificate")]
    Profile(#[from] gatehouse_pki::Refusal),
    /// The certificate could not be issued.
    #[error("the certificate could not be issued")]
    Issue(#[from] IssueError),
    /// The line's chain or key is not one that can sign.
    #[error("the line cannot sign")]
    Issuer(#[from] IssuerError),
    /// A key could not be made.
    #[error("a key could not be made")]
    Key(#[from] PrivateKeyError),
    /// A signature could not be made.
    #[error("a signature could not be made")]
    Signer(#[from] SignerError),
    /// The line is not in the settings.
    #[error("factory.toml has no [line.{line}]")]
    UnknownLine {
        /// Which line.
        line: LineName,
    },
    /// There are several lines and none was named.
    #[error("there are several lines; name one with --line")]
    WhichLine,
    /// The line exists already.
    #[error("line {line} exists already")]
    LineExists {
        /// Which line.
        line: LineName,
    },
    /// Only the factory itself does this.
    #[error("this is station {station}; do this at the factory")]
    AtStation {
        /// Which station.
        station: StationName,
    },
    /// Only a station does this.
    #[error("this is the factory itself and not a station")]
    NotStation,
    /// A name became too long for a certificate.
    #[error("the names are too long for a certificate: {0}")]
    Names(String),
    /// A thread that made devices ended without a word.
    #[error("a worker ended unexpectedly; run the same command again to go on")]
    Worker,
    /// What is signed is not what it claims to be.
    #[error(transparent)]
    Signed(#[from] crate::cms::signed::SignedError),
    /// A manifest is refused.
    #[error(transparent)]
    Manifest(#[from] crate::manifest::ManifestError),
    /// An allotment is refused.
    #[error(transparent)]
    Allotment(#[from] crate::station::AllotmentError),
    /// The merge found serials or keys that are used twice.
    #[error("{} serials or keys are used twice:\n{}", .0.len(), told(.0))]
    Duplicates(Vec<crate::ledger::Duplicate>),
    /// A journal is not the continuation of what was merged before.
    #[error("the journal of station {station} is not the continuation of what was merged before: line {line} was another one")]
    OtherHistory {
        /// Which station.
        station: StationName,
        /// Which line.
        line: u64,
    },
    /// The token cannot be used.
    #[error("the token of line {line} cannot be used")]
    Token {
        /// Which line.
        line: LineName,
        /// Why.
        #[source]
        source: gatehouse_pkcs11::TokenError,
    },
    /// The token holds another key than the line's certificate.
    #[error("the token of line {line} holds another key than the line's certificate names")]
    TokenKey {
        /// Which line.
        line: LineName,
    },
    /// The line's key is elsewhere.
    #[error("the key of line {line} is at its station; do this there")]
    AwayLine {
        /// Which line.
        line: LineName,
    },
    /// A revocation list is not made.
    #[error("the revocation list could not be signed")]
    List(#[from] gatehouse_pki::CrlError),
    /// Devices cannot be received.
    #[error(transparent)]
    Bind(#[from] gatehouse_net::BindError),
}

fn told(duplicates: &[crate::ledger::Duplicate]) -> String {
    const MOST: usize = 50;
    let mut text: Vec<_> = duplicates.iter().take(MOST).map(ToString::to_string).collect();
    if duplicates.len() > MOST {
        text.push(format!("and {} more", duplicates.len() - MOST));
    }
    text.join("\n")
}

impl Fault for FactoryError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoFactory { .. } | Self::UnknownLine { .. } => Kind::NotFound,
            Self::Refused(refusal) => match refusal {
                Refusal::NotMade { .. } | Refusal::UnknownCertificate { .. } | Refusal::UnknownOrder { .. } => Kind::NotFound,
                _ => Kind::Conflict,
            },
            Self::Exists { .. }
            | Self::LineExists { .. }
            | Self::AtStation { .. }
            | Self::NotStation
            | Self::AwayLine { .. }
            | Self::OtherHistory { .. } => Kind::Conflict,
            Self::Journal(JournalError::Locked { .. }) | Self::Token { .. } | Self::Signer(SignerError::Away(_)) => Kind::Unavailable,
            Self::Custody(_) | Self::TokenKey { .. } => Kind::Forbidden,
            Self::Bind(error) => error.kind(),
            Self::Journal(_) | Self::File(_) | Self::Key(_) | Self::Signer(_) | Self::Worker | Self::Issue(_) | Self::Issuer(_) => {
                Kind::Internal
            }
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NoFactory { .. } => "no-factory",
            Self::Exists { .. } => "exists",
            Self::Settings(_) => "settings",
            Self::OtherFactory { .. } => "other-factory",
            Self::Refused(_) => "refused",
            Self::Journal(JournalError::Locked { .. }) => "in-use",
            Self::Journal(_) => "journal",
            Self::File(_) => "file",
            Self::Input(_) => "input",
            Self::Custody(_) => "custody",
            Self::Seal(_) => "seal",
            Self::Bundle(_) => "bundle",
            Self::Certificate(_) => "certificate",
            Self::Request(_) => "request",
            Self::Profile(_) => "profile",
            Self::Issue(_) | Self::Issuer(_) => "issue",
            Self::Key(_) | Self::Signer(_) => "key",
            Self::UnknownLine { .. } | Self::WhichLine | Self::LineExists { .. } => "line",
            Self::AtStation { .. } | Self::NotStation => "place",
            Self::Names(_) => "names",
            Self::Worker => "worker",
            Self::Signed(_) => "signed",
            Self::Manifest(_) => "manifest",
            Self::Allotment(_) => "allotment",
            Self::Duplicates(_) => "duplicates",
            Self::OtherHistory { .. } => "other-history",
            Self::Token { .. } | Self::TokenKey { .. } => "token",
            Self::AwayLine { .. } => "line",
            Self::List(_) => "list",
            Self::Bind(_) => "bind",
        }
    }
}
