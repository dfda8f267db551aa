//! What the command line asks of custody, and how it is carried out.

use super::super::control::{Refusal, Request};
use gatehouse_base::Kind;
use gatehouse_ca::{
    Authority, CaId, CaInfo, CertificateId, InstancePlan, Issuance, Issuing, KeyHome, KeyInfo, Reason, Record, Renewal, RootCustody, Seat,
    Standing, StretchCost, unlock::KeySource,
};
use gatehouse_pki::{Builtin, Certificate, CertificateList, Csr, Facts, Fingerprint, KeyAlgorithm, KeyId, Profile};
use gatehouse_types::{OrganisationId, UnixTime};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// Something that custody is to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Make the root and the service authority.
    Init(NewAuthority),
    /// Make an organisation's device authority.
    AddOrganisation {
        /// Its id; drawn when none is given.
        id: Option<OrganisationId>,
        /// Its name and key.
        new: NewAuthority,
        /// Sign through short-lived intermediates.
        through: bool,
    },
    /// How everything is.
    Status,
    /// Which private keys there are.
    Keys,
    /// Certificates, in the order of their ids.
    List {
        /// Only those with this subject.
        subject: Option<String>,
        /// Only those over this public key, by its SHA-256 in hexadecimal.
        key: Option<String>,
        /// Behind this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
    },
    /// One certificate, by serial number or id.
    Show {
        /// Its serial number in hexadecimal, or its id.
        certificate: String,
    },
    /// Issue a certificate for a request.
    Issue {
        /// Who signs.
        seat: SeatName,
        /// The name of a built-in profile.
        profile: String,
        /// The request in PEM.
        csr: String,
        /// What it shall say.
        facts: FactsGiven,
    },
    /// Revoke a certificate.
    Revoke {
        /// Its serial number in hexadecimal, or its id.
        certificate: String,
        /// Why.
        reason: Reason,
    },
    /// The revocation list of an authority.
    Crl {
        /// Which authority.
        authority: CaId,
    },
    /// Stop issuing.
    Halt {
        /// Who, and what for.
        note: String,
    },
    /// Go on issuing.
    Resume {
        /// Who says so.
        by: String,
    },
    /// Change the key-encryption key.
    RotateKey(KeyRotation),
    /// Make the next generation of a seat.
    RollOver {
        /// Which seat.
        seat: SeatName,
        /// The new key.
        algorithm: Algorithm,
        /// Where the key lives, if in a token.
        token: Option<String>,
    },
    /// Withdraw an old generation.
    Withdraw {
        /// Which one.
        authority: CaId,
    },
    /// The request that an offline root is to sign.
    Request {
        /// Which authority awaits it.
        authority: CaId,
    },
    /// Take in what the offline root signed.
    Adopt {
        /// Which authority.
        authority: CaId,
        /// The chain in PEM, the authority's own certificate first.
        chain: String,
    },
    /// An authority's certificates.
    Export {
        /// Which authority.
        authority: CaId,
    },
    /// All revocations, signed.
    ExportJournal,
}

/// What a new authority needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAuthority {
    /// The organisation in the subject.
    pub organisation: String,
    /// The kind of key.
    pub algorithm: Algorithm,
    /// The token that holds the (root's) key.
    pub token: Option<String>,
    /// The root is kept elsewhere.
    pub offline_root: bool,
}

/// A kind of key that authorities have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// What every device can check.
    #[default]
    P256,
    /// Stronger; constrained devices may not know it.
    P384,
}

/// A seat, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SeatName(pub Seat);

/// What is known about a subject.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct FactsGiven {
    /// A device's id.
    pub device: Option<String>,
    /// A hub's id.
    pub hub: Option<String>,
    /// A common name.
    pub common_name: Option<String>,
    /// An organisation's name.
    pub organisation: Option<String>,
    /// Host names and addresses.
    pub hosts: Vec<String>,
    /// For how many days.
    pub days: Option<u32>,
}

/// Where the new key-encryption key is.
#[derive(Debug, Serialize, Deserialize)]
pub enum KeyRotation {
    /// In a key file.
    File(PathBuf),
    /// A passphrase in a file.
    PassphraseFile(PathBuf),
}

/// What custody answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; a sentence says what.
    Done(String),
    /// How everything is.
    Status(StatusInfo),
    /// Private keys.
    Keys(Vec<KeyInfo>),
    /// Certificates.
    Certificates(Vec<RecordInfo>),
    /// A certificate that was issued or asked for, with its chain in PEM.
    Certificate(CertificateInfo),
    /// A text to be written somewhere: PEM.
    Text(String),
}

/// How everything is.
#[derive(Debug, Serialize, Deserialize)]
pub struct StatusInfo {
    /// Whether certificates are issued.
    pub issuance: Issuance,
    /// All authorities.
    pub authorities: Vec<CaInfo>,
    /// The latest revocation lists: authority, number, entries, next update.
    pub lists: Vec<(CaId, u64, u64, UnixTime)>,
}

/// What is shown of a certificate in a list.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordInfo {
    /// Its id.
    pub id: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub authority: CaId,
    /// By which profile.
    pub profile: String,
    /// Its last second.
    pub not_after: UnixTime,
    /// Where in its life it is.
    pub standing: Standing,
}

/// A certificate with its chain.
#[derive(Debug, Serialize, Deserialize)]
pub struct CertificateInfo {
    /// What is remembered.
    pub record: RecordInfo,
    /// The certificate and those above it in PEM, without the root.
    pub chain: String,
}

impl Request for Order {
    const NAME: &'static str = "ca";
    type Answer = Answer;
}

/// Carries an order out.
///
/// # Errors
/// Whatever the authority refuses, in its words.
pub async fn perform(authority: &Authority, order: Order, now: UnixTime) -> Result<Answer, Refusal> {
    match order {
        Order::Init(new) => {
            let service = KeyHome::Here(new.algorithm.into());
            let root = if new.offline_root { RootCustody::Offline } else { RootCustody::Held(new.home()) };
            authority.init(&InstancePlan { organisation: parse("organisation", &new.organisation)?, root, service }).await?;
            authority.upkeep().await?;
            let next = "service.1 awaits its certificate: `gatehouse ca request service.1` prints what the offline root is to sign";
            Ok(Answer::Done(if new.offline_root { next.to_owned() } else { "root.1 and service.1 are active".to_owned() }))
        }
        Order::AddOrganisation { id, new, through } => {
            let id = id.unwrap_or_else(random_id);
            let issuing = if through { Issuing::Through } else { Issuing::Direct };
            let name = parse("organisation", &new.organisation)?;
            let made = authority.add_organisation(id, &name, &new.home(), issuing).await?;
            authority.upkeep().await?;
            Ok(Answer::Done(format!("{made} is active")))
        }
        Order::Status => Ok(Answer::Status(status(authority).await?)),
        Order::Keys => Ok(Answer::Keys(authority.keyring().list().await?)),
        Order::List { subject, key, after, limit } => {
            let after = after.map(|id| parse::<CertificateId>("after", &id)).transpose()?;
            let limit = limit.min(LIST_MAX);
            let mut records = match (subject, key) {
                (Some(subject), _) => authority.records_by_subject(&subject).await?,
                (None, Some(key)) => authority.records_by_key(&fingerprint(&key)?).await?,
                (None, None) => authority.records(after.as_ref(), limit).await?,
            };
            records.truncate(limit);
            Ok(Answer::Certificates(records.iter().map(|(id, record)| info(id, record, now)).collect()))
        }
        Order::Show { certificate } => {
            let (id, record) = find(authority, &certificate).await?;
            let own = Certificate::from_der(record.der()).map_err(|error| invalid("certificate", error))?;
            let above = key_id(&id).and_then(|key_id| authority.chain_by_key_id(&key_id)).unwrap_or_default();
            Ok(Answer::Certificate(CertificateInfo { record: info(&id, &record, now), chain: pem(&own, &above) }))
        }
        Order::Issue { seat, profile, csr, facts } => issue(authority, seat.0, &profile, &csr, facts, now).await,
        Order::Revoke { certificate, reason } => {
            let (id, _) = find(authority, &certificate).await?;
            let record = authority.revoke(&id, reason).await?;
            authority.publish().await?;
            Ok(Answer::Done(format!("{} ({}) is revoked: {reason}", id.serial_text(), record.subject)))
        }
        Order::Crl { authority: id } => {
            authority.publish().await?;
            let own = own(authority, id)?;
            let list = authority.crl(&own.public_key().key_id()).ok_or_else(|| missing(id))?;
            let list = CertificateList::from_der(list.der()).map_err(|error| invalid("authority", error))?;
            Ok(Answer::Text(list.pem()))
        }
        Order::Halt { note } => match authority.halt(&note).await? {
            Issuance::Halted { cause, since } => Ok(Answer::Done(format!("issuing is halted since {since}: {cause}"))),
            Issuance::Open => Err(Refusal::new(Kind::Internal, "halt", "the switch did not turn")),
        },
        Order::Resume { by } => {
            let lifted = authority.resume(&by).await?;
            Ok(Answer::Done(if lifted { "issuing goes on" } else { "issuing was not halted" }.to_owned()))
        }
        Order::RotateKey(new) => {
            let source = match new {
                KeyRotation::File(path) => KeySource::File(path),
                KeyRotation::PassphraseFile(path) => KeySource::PassphraseFile(path),
            };
            let unlock = source.load().map_err(|error| Refusal::new(Kind::Invalid, "key-encryption-key", error.to_string()))?;
            let keys = authority.rotate_key_encryption_key(&unlock, StretchCost::DEFAULT).await?;
            Ok(Answer::Done(format!(
                "{keys} keys are wrapped under the new key-encryption key ({source}). Name it in `[key_encryption]` of the configuration \
                 before the next start; the old one opens only backups made before now"
            )))
        }
        Order::RollOver { seat, algorithm, token } => {
            let home = token.map_or(KeyHome::Here(algorithm.into()), KeyHome::Token);
            let next = authority.roll_over(seat.0, &home).await?;
            authority.upkeep().await?;
            Ok(Answer::Done(format!("{next} is made; what the generation before it signed stays good until `gatehouse ca withdraw`")))
        }
        Order::Withdraw { authority: id } => {
            authority.withdraw(id).await?;
            Ok(Answer::Done(format!("{id} is withdrawn")))
        }
        Order::Request { authority: id } => Ok(Answer::Text(authority.request(id).await?)),
        Order::Adopt { authority: id, chain } => {
            let chain = Certificate::chain_from_pem(chain.as_bytes()).map_err(|error| invalid("chain", error))?;
            authority.adopt(id, chain).await?;
            authority.upkeep().await?;
            Ok(Answer::Done(format!("{id} is active")))
        }
        Order::Export { authority: id } => {
            let chain = authority.chain(id).filter(|chain| !chain.is_empty()).ok_or_else(|| missing(id))?;
            Ok(Answer::Text(chain.iter().map(Certificate::pem).collect()))
        }
        Order::ExportJournal => Ok(Answer::Text(authority.export_journal().await?)),
    }
}

/// A page of a list; longer lists come in several.
const LIST_MAX: usize = 1000;

async fn issue(authority: &Authority, seat: Seat, profile: &str, csr: &str, given: FactsGiven, now: UnixTime) -> Result<Answer, Refusal> {
    let profiles = || Builtin::ALL.into_iter().map(Profile::builtin);
    let profile = profiles().find(|known| known.name() == profile).ok_or_else(|| {
        let names: Vec<String> = profiles().filter(|known| !known.is_ca()).map(|known| known.name().to_owned()).collect();
        Refusal::new(Kind::Invalid, "profile", format!("there is no profile {profile:?}; the built-in ones are {}", names.join(", ")))
    })?;
    let csr = Csr::from_pem(csr.as_bytes()).and_then(Csr::verify).map_err(|error| invalid("csr", error))?;
    let issued =
        authority.issue(gatehouse_ca::Order { seat, profile: &profile, csr, facts: given.facts()?, renewal: Renewal::Supersede }).await?;
    let (id, record) = find(authority, &issued.id.to_string()).await?;
    Ok(Answer::Certificate(CertificateInfo { record: info(&id, &record, now), chain: pem(&issued.certificate, &issued.chain) }))
}

async fn status(authority: &Authority) -> Result<StatusInfo, Refusal> {
    authority.refresh().await?;
    let authorities = authority.authorities();
    let list = |ca: &CaInfo| {
        let own = authority.chain(ca.id)?.into_iter().next()?;
        let crl = authority.crl(&own.public_key().key_id())?;
        Some((ca.id, crl.number, crl.entries, crl.next_update))
    };
    Ok(StatusInfo { issuance: authority.issuance().await?, lists: authorities.iter().filter_map(list).collect(), authorities })
}

/// By id, or by serial number where that says enough.
async fn find(authority: &Authority, text: &str) -> Result<(CertificateId, Record), Refusal> {
    let unknown = || Refusal::new(Kind::NotFound, "unknown-certificate", format!("there is no certificate {text}"));
    if let Ok(id) = text.parse::<CertificateId>() {
        let record = authority.record(&id).await?.ok_or_else(unknown)?;
        return Ok((id, record));
    }
    let serial = gatehouse_ca::serial_from_text(text).ok_or_else(|| {
        Refusal::new(Kind::Invalid, "certificate", format!("{text:?} is neither a serial number in hexadecimal nor an id"))
    })?;
    let mut found = authority.records_by_serial(&serial).await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => Err(unknown()),
        (Some(_), false) => Err(Refusal::new(Kind::Invalid, "certificate", "two authorities used this serial number; give the id")),
    }
}

fn info(id: &CertificateId, record: &Record, now: UnixTime) -> RecordInfo {
    RecordInfo {
        id: id.to_string(),
        serial: id.serial_text(),
        subject: record.subject.clone(),
        authority: record.authority,
        profile: record.profile.clone(),
        not_after: record.not_after,
        standing: record.standing(now),
    }
}

fn own(authority: &Authority, id: CaId) -> Result<Certificate, Refusal> {
    authority.chain(id).and_then(|chain| chain.into_iter().next()).ok_or_else(|| missing(id))
}

fn missing(id: CaId) -> Refusal {
    Refusal::new(Kind::NotFound, "unknown-authority", format!("there is no authority {id} with a certificate"))
}

fn key_id(id: &CertificateId) -> Option<KeyId> {
    Some((*id.issuer()).into())
}

fn fingerprint(text: &str) -> Result<Fingerprint, Refusal> {
    let digits = text.as_bytes();
    let wrong = || invalid("key", "a key is named by the SHA-256 of its SubjectPublicKeyInfo: 64 hexadecimal digits");
    if digits.len() != 2 * Fingerprint::LEN || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(wrong());
    }
    let mut bytes = [0; Fingerprint::LEN];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(wrong)?;
    }
    Ok(bytes.into())
}

fn random_id() -> OrganisationId {
    use gatehouse_types::Random;
    let mut bytes = [0; 16];
    gatehouse_base::SystemRandom.fill(&mut bytes);
    OrganisationId::from_random(bytes)
}

/// The certificate and what is above it, without the root: what its holder presents.
fn pem(own: &Certificate, above: &[Certificate]) -> String {
    let sent = above.len().saturating_sub(1);
    std::iter::once(own).chain(&above[..sent]).map(Certificate::pem).collect()
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(field: &'static str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error| invalid(field, error))
}

fn invalid(field: &'static str, error: impl std::fmt::Display) -> Refusal {
    Refusal::new(Kind::Invalid, field, error.to_string())
}

impl FactsGiven {
    fn facts(self) -> Result<Facts, Refusal> {
        let mut facts = Facts::new();
        if let Some(device) = self.device {
            facts = facts.device(parse("device", &uuid_name(&device))?);
        }
        if let Some(hub) = self.hub {
            facts = facts.hub(parse("hub", &uuid_name(&hub))?);
        }
        if let Some(name) = self.common_name {
            facts = facts.common_name(parse("common-name", &name)?);
        }
        if let Some(name) = self.organisation {
            facts = facts.organisation(parse("organisation", &name)?);
        }
        for host in self.hosts {
            facts = facts.host(parse("host", &host)?);
        }
        if let Some(days) = self.days {
            facts = facts.lifetime(Duration::from_secs(u64::from(days) * 24 * 3600));
        }
        Ok(facts)
    }
}

/// People write the id with or without the prefix that certificates have.
fn uuid_name(id: &str) -> String {
    if id.starts_with("uuid:") { id.to_owned() } else { format!("uuid:{id}") }
}

impl NewAuthority {
    fn home(&self) -> KeyHome {
        self.token.clone().map_or(KeyHome::Here(self.algorithm.into()), KeyHome::Token)
    }
}

impl From<Algorithm> for KeyAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::P256 => Self::P256,
            Algorithm::P384 => Self::P384,
        }
    }
}

impl std::str::FromStr for SeatName {
    type Err = gatehouse_ca::SeatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for SeatName {
    type Error = gatehouse_ca::SeatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SeatName> for String {
    fn from(seat: SeatName) -> Self {
        seat.0.to_string()
    }
}
