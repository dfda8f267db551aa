//! Ceremonies: making authorities, rolling them over, withdrawing them.
//!
//! A ceremony is one batch: keys, rows, records and facts are there together or not at all. All of them are refused
//! while issuing is halted, except withdrawal, which only takes trust away.

use crate::{
    authority::{Authority, STATE},
    error::StateError,
    event::Fact,
    hierarchy::{Ca, CaInfo, CaRow, CaState, Hierarchy, Issuing, new_row},
    issue::{IssueError, issued_fact, record_rows},
    keyring::NewKey,
    offline,
    record::{CertificateId, Record},
    seat::{CaId, Seat},
    switch::ISSUANCE,
};
use gatehouse_base::{Fault, Kind};
use gatehouse_pki::{
    Builtin, Certificate, CertificateError, CommonName, Csr, Facts, Issuer, KeyAlgorithm, KeyId, OrganisationName, Profile, SignedCsr,
};
use gatehouse_store::Batch;
use gatehouse_types::{OrganisationId, UnixTime};
use std::{sync::Arc, time::Duration};

/// Where an authority's key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyHome {
    /// Made here and sealed in the keyring.
    Here(KeyAlgorithm),
    /// In a token, under this URI (RFC 7512).
    Token(String),
}

/// How the instance's root is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCustody {
    /// With us.
    Held(KeyHome),
    /// Elsewhere: requests go out, certificates come in.
    Offline,
}

/// The instance's first ceremony.
#[derive(Clone, Debug)]
pub struct InstancePlan {
    /// The organisation in the subjects.
    pub organisation: OrganisationName,
    /// Where the root is.
    pub root: RootCustody,
    /// Where the service authority's key lives.
    pub service: KeyHome,
}

/// A ceremony was not held.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The seat has an authority already.
    #[error("{0} has an authority already; `gatehouse ca rollover` makes the next generation")]
    Exists(Seat),
    /// There is no such authority.
    #[error("there is no authority {0}")]
    Unknown(CaId),
    /// There is nothing to roll over.
    #[error("{0} has no active authority")]
    NothingActive(Seat),
    /// The state does not allow it.
    #[error("the authority {authority} is {state}: {rule}")]
    State {
        /// Which one.
        authority: CaId,
        /// Its state.
        state: CaState,
        /// What it would have to be.
        rule: &'static str,
    },
    /// Certificates that it signed are still good.
    #[error("{authority} signed {certificates} certificates that are still good; renew or revoke them first")]
    StillInUse {
        /// Which one.
        authority: CaId,
        /// How many; counting stops at a thousand.
        certificates: usize,
    },
    /// The certificate from the offline root does not fit.
    #[error("the chain cannot be taken in: {0}")]
    Chain(String),
    /// A certificate from outside cannot be read.
    #[error("the chain cannot be read")]
    Certificate(#[from] CertificateError),
    /// A request could not be made.
    #[error("the request could not be signed")]
    Request(#[source] gatehouse_pki::SignerError),
    /// Issuing is halted, the clock is wrong, a profile refused or the state failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// An authority that is decided and signed, and not written yet.
struct Planned {
    id: CaId,
    batch: Batch,
    facts: Vec<Fact>,
    issuer: Option<Issuer>,
}

impl Planned {
    fn signs(&self) -> Option<(CaId, &Issuer)> {
        self.issuer.as_ref().map(|issuer| (self.id, issuer))
    }
}

impl Authority {
    /// Makes the instance's root and service authority. With an offline root the service authority awaits its
    /// certificate.
    ///
    /// # Errors
    /// When they exist already, issuing is halted, or a key cannot be made.
    pub async fn init(&self, plan: &InstancePlan) -> Result<(), CeremonyError> {
        let hierarchy = self.hierarchy();
        if let Some(seat) = [Seat::Root, Seat::Service].into_iter().find(|seat| hierarchy.next_generation(*seat) > 1) {
            return Err(CeremonyError::Exists(seat));
        }
        let now = self.permitted().await?;
        let organisation = &plan.organisation;
        let service = CaId::new(Seat::Service, 1);
        let planned = match &plan.root {
            RootCustody::Held(home) => {
                let root = self.plan_root(CaId::new(Seat::Root, 1), home, organisation, Issuing::Direct, now)?;
                let below = self.plan_below(service, &plan.service, organisation, root.signs(), None, now)?;
                vec![root, below]
            }
            RootCustody::Offline => vec![self.plan_awaiting(service, &plan.service, organisation, now)?],
        };
        self.hold(planned, Batch::new(), now).await
    }

    /// Makes an organisation's device authority, a root of its own.
    ///
    /// # Errors
    /// When it has one, issuing is halted, or the key cannot be made.
    pub async fn add_organisation(
        &self,
        id: OrganisationId,
        name: &OrganisationName,
        home: &KeyHome,
        issuing: Issuing,
    ) -> Result<CaId, CeremonyError> {
        let seat = Seat::Devices(id);
        if self.hierarchy().next_generation(seat) > 1 {
            return Err(CeremonyError::Exists(seat));
        }
        let now = self.permitted().await?;
        let planned = self.plan_root(CaId::new(seat, 1), home, name, issuing, now)?;
        let id = planned.id;
        self.hold(vec![planned], Batch::new(), now).await?;
        Ok(id)
    }

    /// Makes the next generation of a seat. The old one is trusted beside it and signs no more certificates. The
    /// root takes the service authority along.
    ///
    /// # Errors
    /// When there is nothing to roll over, issuing is halted, or a key cannot be made.
    pub async fn roll_over(&self, seat: Seat, home: &KeyHome) -> Result<CaId, CeremonyError> {
        let now = self.permitted().await?;
        let hierarchy = self.hierarchy();
        let old = hierarchy.active(seat).ok_or(CeremonyError::NothingActive(seat))?;
        let organisation: OrganisationName =
            old.row.organisation.parse().map_err(|_| IssueError::from(StateError::Damaged("an organisation's name".to_owned())))?;
        let id = CaId::new(seat, hierarchy.next_generation(seat));
        let mut retired = retire(&hierarchy, old);
        let planned = match seat {
            Seat::Devices(_) => vec![self.plan_root(id, home, &organisation, old.row.issuing, now)?],
            Seat::Service => match hierarchy.active(Seat::Root) {
                Some(root) => vec![self.plan_below(id, home, &organisation, Some((root.id, root.signs()?)), None, now)?],
                // The old one goes on signing until the new one has its certificate.
                None => {
                    retired = (Batch::new(), Vec::new());
                    vec![self.plan_awaiting(id, home, &organisation, now)?]
                }
            },
            Seat::Root => {
                let root = self.plan_root(id, home, &organisation, Issuing::Direct, now)?;
                let service = CaId::new(Seat::Service, hierarchy.next_generation(Seat::Service));
                let below = self.plan_below(service, home, &organisation, root.signs(), None, now)?;
                if let Some(old) = hierarchy.active(Seat::Service) {
                    let (batch, facts) = retire(&hierarchy, old);
                    retired = (retired.0.and(batch), [retired.1, facts].concat());
                }
                vec![root, below]
            }
        };
        let mut planned = planned;
        planned[0].facts.splice(0..0, retired.1);
        self.hold(planned, retired.0, now).await?;
        Ok(id)
    }

    /// Withdraws an authority that was rolled over: nothing that it signed is good any more.
    ///
    /// # Errors
    /// When it is active, certificates that it signed are still good, or the store fails.
    pub async fn withdraw(&self, id: CaId) -> Result<(), CeremonyError> {
        let hierarchy = self.hierarchy();
        let ca = hierarchy.find(id).ok_or(CeremonyError::Unknown(id))?;
        let state = ca.row.state;
        if state == CaState::Active {
            return Err(CeremonyError::State { authority: id, state, rule: "roll it over first" });
        }
        if state == CaState::Withdrawn {
            return Err(CeremonyError::State { authority: id, state, rule: "nothing is left to withdraw" });
        }
        let now = self.now();
        let certificates = self.good_certificates(ca, now).await.map_err(IssueError::from)?;
        if certificates > 0 {
            return Err(CeremonyError::StillInUse { authority: id, certificates });
        }
        let batch = ca.with_state(CaState::Withdrawn).and(self.0.keyring.remove(&ca.key));
        let facts = vec![Fact::AuthorityWithdrawn { authority: id }];
        self.finish(batch, facts, now).await
    }

    /// The request that an offline root is to sign, in PEM.
    ///
    /// # Errors
    /// When the authority awaits nothing, or its key is not to be had.
    pub async fn request(&self, id: CaId) -> Result<String, CeremonyError> {
        let hierarchy = self.hierarchy();
        let ca = awaiting(&hierarchy, id)?;
        let signer = self.0.keyring.signer(&ca.key).await.map_err(|error| IssueError::from(StateError::from(error)))?;
        Csr::write_pem(Some(&ca.row.organisation), common_name(id).as_str(), &*signer).map_err(CeremonyError::Request)
    }

    /// Takes the certificate in that an offline root signed: the authority's own first, the root last.
    ///
    /// # Errors
    /// When the authority awaits nothing, or the chain is not one by which it could sign.
    pub async fn adopt(&self, id: CaId, chain: Vec<Certificate>) -> Result<(), CeremonyError> {
        let now = self.permitted().await?;
        let hierarchy = self.hierarchy();
        let ca = awaiting(&hierarchy, id)?;
        let signer = self.0.keyring.signer(&ca.key).await.map_err(|error| IssueError::from(StateError::from(error)))?;
        let issuer = Issuer::new(chain.clone(), signer).map_err(|error| CeremonyError::Chain(error.to_string()))?;
        offline::check_chain(&issuer, now, &*self.0.random).map_err(CeremonyError::Chain)?;
        let (mut batch, mut facts) = hierarchy.active(id.seat).map_or_else(Default::default, |old| retire(&hierarchy, old));
        let chain = chain.iter().map(|certificate| certificate.der().to_vec().into()).collect();
        let row = CaRow { state: CaState::Active, chain, ..ca.row.clone() };
        batch = batch.and(ca.unchanged()).put(crate::authority::HIERARCHY, crate::hierarchy::row_of(id), crate::codec::encode(&row));
        facts.push(Fact::AuthorityActivated { authority: id });
        self.finish(batch, facts, now).await
    }

    /// All authorities.
    pub fn authorities(&self) -> Vec<CaInfo> {
        self.hierarchy().all.iter().map(|ca| ca.info()).collect()
    }

    /// The certificates of an authority, its own first and the root last; empty while it awaits its own.
    pub fn chain(&self, id: CaId) -> Option<Vec<Certificate>> {
        self.hierarchy().find(id).map(|ca| ca.chain.clone())
    }

    /// The certificates of the authority with this key, its own first and the root last.
    pub fn chain_by_key_id(&self, key_id: &KeyId) -> Option<Vec<Certificate>> {
        self.hierarchy().by_key_id(key_id).map(|ca| ca.chain.clone())
    }

    /// What whoever trusts the seat has to trust now; during a roll-over both generations.
    pub fn anchors(&self, seat: Seat) -> Vec<Certificate> {
        self.hierarchy().anchors(seat)
    }

    /// Makes the next short-lived intermediate below an authority. It ends when leaves of this lifetime end that are
    /// signed now.
    pub(crate) async fn next_turn(&self, of: CaId, lifetime: Duration) -> Result<CaId, IssueError> {
        let (now, _) = self.may_issue().await?;
        let hierarchy = self.hierarchy();
        let above = hierarchy.find(of).ok_or(IssueError::NoAuthority(of.seat))?;
        let turn = 1 + hierarchy.turns(of).map(|turn| turn.id.turn).max().unwrap_or(0);
        let id = CaId { turn, ..of };
        let organisation: OrganisationName =
            above.row.organisation.parse().map_err(|_| StateError::Damaged("an organisation's name".to_owned()))?;
        let home = KeyHome::Here(KeyAlgorithm::P256);
        let planned = self.plan_below(id, &home, &organisation, Some((above.id, above.signs()?)), Some(lifetime), now);
        let planned = planned.map_err(|error| match error {
            CeremonyError::Issue(error) => error,
            other => IssueError::CannotSign { authority: of, reason: other.to_string() },
        })?;
        // Intermediates that have ended sign nothing any more, not even revocations: what they signed has ended too.
        let mut condition = above.unchanged();
        let mut facts = Vec::new();
        for old in hierarchy.turns(of).filter(|old| old.row.state == CaState::Active) {
            if old.chain.first().is_none_or(|own| own.not_after() < now) {
                condition = condition.and(old.with_state(CaState::Withdrawn)).and(self.0.keyring.remove(&old.key));
                facts.push(Fact::AuthorityWithdrawn { authority: old.id });
            }
        }
        let mut planned = planned;
        planned.facts.splice(0..0, facts);
        match self.hold(vec![planned], condition, now).await {
            Ok(()) => Ok(id),
            // Somebody else made the same turn at the same time; the caller finds it in the hierarchy.
            Err(CeremonyError::Issue(IssueError::State(StateError::Contention))) => Ok(id),
            Err(CeremonyError::Issue(error)) => Err(error),
            Err(other) => Err(IssueError::CannotSign { authority: of, reason: other.to_string() }),
        }
    }

    async fn permitted(&self) -> Result<UnixTime, CeremonyError> {
        Ok(self.may_issue().await?.0)
    }

    fn new_key(&self, id: CaId, home: &KeyHome, now: UnixTime) -> Result<NewKey, CeremonyError> {
        let purpose = id.to_string();
        let made = match home {
            KeyHome::Here(algorithm) => self.0.keyring.generate(&purpose, *algorithm, now),
            KeyHome::Token(uri) => self.0.keyring.adopt_token(&purpose, uri, now),
        };
        Ok(made.map_err(StateError::from).map_err(IssueError::from)?)
    }

    fn plan_root(
        &self,
        id: CaId,
        home: &KeyHome,
        organisation: &OrganisationName,
        issuing: Issuing,
        now: UnixTime,
    ) -> Result<Planned, CeremonyError> {
        let key = self.new_key(id, home, now)?;
        let facts = Facts::new().organisation(organisation.clone()).common_name(common_name(id));
        let request = proven(id, &key)?;
        let approved = Profile::builtin(Builtin::CustomerRoot).approve(request, &facts, now).map_err(IssueError::from)?;
        let own = Issuer::self_signed(approved, &*key.signer, &*self.0.random).map_err(IssueError::Sign)?;
        planned(id, key, vec![own], organisation, issuing, None, now)
    }

    fn plan_below(
        &self,
        id: CaId,
        home: &KeyHome,
        organisation: &OrganisationName,
        above: Option<(CaId, &Issuer)>,
        lifetime: Option<Duration>,
        now: UnixTime,
    ) -> Result<Planned, CeremonyError> {
        let (above_id, above) = above.ok_or(CeremonyError::NothingActive(Seat::Root))?;
        let key = self.new_key(id, home, now)?;
        let mut facts = Facts::new().organisation(organisation.clone()).common_name(common_name(id));
        if let Some(lifetime) = lifetime {
            facts = facts.lifetime(lifetime);
        }
        let request = proven(id, &key)?;
        let approved = Profile::builtin(Builtin::CustomerIntermediate).approve(request, &facts, now).map_err(IssueError::from)?;
        let own = above.issue(approved, &*self.0.random).map_err(IssueError::Sign)?;
        let chain = std::iter::once(own).chain(above.chain().iter().cloned()).collect();
        planned(id, key, chain, organisation, Issuing::Direct, Some(above_id), now)
    }

    fn plan_awaiting(&self, id: CaId, home: &KeyHome, organisation: &OrganisationName, now: UnixTime) -> Result<Planned, CeremonyError> {
        let key = self.new_key(id, home, now)?;
        let row = new_ca(&key, CaState::Awaiting, Vec::new(), organisation, Issuing::Direct, now);
        let batch = key.batch.and(new_row(id, &row));
        Ok(Planned { id, batch, facts: vec![Fact::AuthorityPlanned { authority: id }], issuer: None })
    }

    /// Commits what was planned.
    async fn hold(&self, planned: Vec<Planned>, condition: Batch, now: UnixTime) -> Result<(), CeremonyError> {
        let (_, switch) = self.may_issue().await?;
        let mut batch = condition.require_unchanged(STATE, ISSUANCE, switch.as_ref());
        let mut facts = Vec::new();
        for one in planned {
            batch = batch.and(one.batch);
            facts.extend(one.facts);
        }
        self.finish(batch, facts, now).await
    }

    async fn finish(&self, batch: Batch, facts: Vec<Fact>, now: UnixTime) -> Result<(), CeremonyError> {
        let committed = self.commit(batch, now, facts).await.map_err(IssueError::from)?;
        self.reload().await.map_err(IssueError::from)?;
        self.0.work.notify_one();
        match committed {
            Some(_) => Ok(()),
            None => Err(IssueError::from(StateError::Contention).into()),
        }
    }

    async fn good_certificates(&self, ca: &Ca, now: UnixTime) -> Result<usize, StateError> {
        const ENOUGH: usize = 1000;
        let mut good = 0;
        let mut range = gatehouse_store::Range::prefix(ca.key_id.as_bytes().to_vec());
        loop {
            let rows = self.0.store.scan(crate::authority::RECORDS, range.clone(), crate::authority::PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(good) };
            range = range.after(last);
            for (_, entry) in rows {
                let record: Record = crate::codec::decode(&entry.value)?;
                // A root's own certificate is what is being withdrawn, not something that hangs on it.
                let own = ca.chain.first().is_some_and(|own| own.der() == record.der());
                good += usize::from(!own && record.standing(now).is_good());
            }
            if good >= ENOUGH {
                return Ok(good);
            }
        }
    }
}

fn awaiting(hierarchy: &Arc<Hierarchy>, id: CaId) -> Result<&Ca, CeremonyError> {
    let ca = hierarchy.find(id).ok_or(CeremonyError::Unknown(id))?;
    match ca.row.state {
        CaState::Awaiting => Ok(ca),
        state => Err(CeremonyError::State { authority: id, state, rule: "it awaits no certificate" }),
    }
}

/// The old generation signs no more certificates, and neither do the intermediates below it.
fn retire(hierarchy: &Hierarchy, old: &Ca) -> (Batch, Vec<Fact>) {
    let below = hierarchy.turns(old.id).filter(|turn| turn.row.state == CaState::Active);
    std::iter::once(old).chain(below).fold(Default::default(), |(batch, mut facts): (Batch, Vec<Fact>), ca| {
        facts.push(Fact::AuthorityRetired { authority: ca.id });
        (batch.and(ca.with_state(CaState::Trusted)), facts)
    })
}

fn proven(id: CaId, key: &NewKey) -> Result<SignedCsr, CeremonyError> {
    SignedCsr::for_key(&*key.signer).map_err(|error| IssueError::CannotSign { authority: id, reason: error.to_string() }.into())
}

fn new_ca(
    key: &NewKey,
    state: CaState,
    chain: Vec<Certificate>,
    organisation: &OrganisationName,
    issuing: Issuing,
    now: UnixTime,
) -> CaRow {
    let public = key.signer.public_key();
    CaRow {
        key: public.fingerprint().as_bytes().to_vec().into(),
        key_id: public.key_id().as_bytes().to_vec().into(),
        state,
        chain: chain.iter().map(|certificate| certificate.der().to_vec().into()).collect(),
        created: now,
        issuing,
        organisation: organisation.to_string(),
    }
}

fn planned(
    id: CaId,
    key: NewKey,
    chain: Vec<Certificate>,
    organisation: &OrganisationName,
    issuing: Issuing,
    above: Option<CaId>,
    now: UnixTime,
) -> Result<Planned, CeremonyError> {
    let own = chain.first().expect("a signed authority has a certificate");
    let certificate = CertificateId::new(chain.get(1).unwrap_or(own).public_key().key_id(), own.serial());
    let profile = Profile::builtin(if above.is_some() { Builtin::CustomerIntermediate } else { Builtin::CustomerRoot });
    let record = Record::new(above.unwrap_or(id), profile.name(), own, now, None);
    let facts = vec![issued_fact(&certificate, &record), Fact::AuthorityActivated { authority: id }];
    let issuer = Issuer::new(chain.clone(), key.signer.clone())
        .map_err(|error| IssueError::CannotSign { authority: id, reason: error.to_string() })?;
    let row = new_ca(&key, CaState::Active, chain, organisation, issuing, now);
    let batch = key.batch.and(new_row(id, &row)).and(record_rows(&certificate, &record));
    Ok(Planned { id, batch, facts, issuer: Some(issuer) })
}

/// What stands in the subject; another one for every generation, so that chains cannot be mixed up.
fn common_name(id: CaId) -> CommonName {
    let seat = match id.seat {
        Seat::Root => "Root",
        Seat::Service => "Service CA",
        Seat::Devices(_) => "Device CA",
    };
    let turn = if id.turn > 0 { format!(".{}", id.turn) } else { String::new() };
    format!("{seat} {}{turn}", id.generation).parse().expect("a few letters and digits are a common name")
}

impl Fault for CeremonyError {
    fn kind(&self) -> Kind {
        match self {
            Self::Exists(_) | Self::State { .. } | Self::StillInUse { .. } => Kind::Conflict,
            Self::Unknown(_) | Self::NothingActive(_) => Kind::NotFound,
            Self::Chain(_) | Self::Certificate(_) => Kind::Invalid,
            Self::Request(_) => Kind::Unavailable,
            Self::Issue(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Exists(_) => "authority-exists",
            Self::Unknown(_) => "unknown-authority",
            Self::NothingActive(_) => "no-authority",
            Self::State { .. } => "authority-state",
            Self::StillInUse { .. } => "authority-in-use",
            Self::Chain(_) | Self::Certificate(_) => "bad-chain",
            Self::Request(_) => "signing-failed",
            Self::Issue(error) => error.code(),
        }
    }
}
