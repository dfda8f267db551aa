//! The authority over a real store, with a clock that tests move.

mod forgetting;
mod halting;
mod hierarchy;
mod issuing;
mod listeners;
mod revocation;

use gatehouse_base::{SimulatedClock, SystemRandom};
use gatehouse_ca::{
    Authority, CaId, InstancePlan, IssueError, Issued, Issuing, KeyHome, Keyring, Order, Renewal, RootCustody, Seat, Settings, StretchCost,
    unlock::{Key, Unlock},
};
use gatehouse_events::{Events, LocalBus};
use gatehouse_pki::{Builtin, DeviceName, Facts, KeyAlgorithm, Profile, SignedCsr, SoftwareKey};
use gatehouse_store::Store;
use gatehouse_types::{OrganisationId, UnixTime};
use std::{sync::Arc, time::Duration};

pub(crate) const START: UnixTime = UnixTime::from_secs(1_800_000_000);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(crate) const HERE: KeyHome = KeyHome::Here(KeyAlgorithm::P256);

/// An instance in a box.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) unlock: Unlock,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) authority: Authority,
    pub(crate) organisation: OrganisationId,
}

impl World {
    /// Over an empty store, with keyring and without hierarchy.
    pub(crate) async fn bare(store: Store) -> Self {
        let unlock = Unlock::Key(Key::generate(&SystemRandom));
        let clock = Arc::new(SimulatedClock::new(START));
        Keyring::create(store.clone(), &unlock, StretchCost::DEFAULT, Arc::new(SystemRandom)).await.expect("a keyring");
        let authority = open(&store, &unlock, &clock).await;
        Self { store, unlock, clock, authority, organisation: OrganisationId::from_random([7; 16]) }
    }

    /// With root, service authority and one organisation that signs directly.
    pub(crate) async fn new() -> Self {
        Self::with(Issuing::Direct).await
    }

    pub(crate) async fn with(issuing: Issuing) -> Self {
        let world = Self::bare(Store::memory().expect("a store")).await;
        world.authority.init(&plan(RootCustody::Held(HERE))).await.expect("the first ceremony");
        let name = "Acme".parse().expect("a name");
        world.authority.add_organisation(world.organisation, &name, &HERE, issuing).await.expect("an organisation");
        world
    }

    pub(crate) fn seat(&self) -> Seat {
        Seat::Devices(self.organisation)
    }

    pub(crate) fn device_ca(&self) -> CaId {
        CaId::new(self.seat(), 1)
    }

    /// Another handle to the same state, as another process would have it.
    pub(crate) async fn again(&self) -> Authority {
        open(&self.store, &self.unlock, &self.clock).await
    }

    /// An identity for a device, with a key of its own.
    pub(crate) async fn identity(&self, device: u8) -> Result<Issued, IssueError> {
        let key = SoftwareKey::generate(KeyAlgorithm::P256).expect("a key");
        self.identity_for(device, &key).await
    }

    pub(crate) async fn identity_for(&self, device: u8, key: &SoftwareKey) -> Result<Issued, IssueError> {
        let profile = Profile::builtin(Builtin::OcfIdentity);
        let csr = SignedCsr::for_key(key).expect("it signs");
        let facts = Facts::new().device(name(device));
        self.authority.issue(Order { seat: self.seat(), profile: &profile, csr, facts, renewal: Renewal::Supersede }).await
    }
}

pub(crate) fn plan(root: RootCustody) -> InstancePlan {
    InstancePlan { organisation: "Example".parse().expect("a name"), root, service: HERE }
}

pub(crate) fn name(device: u8) -> DeviceName {
    format!("uuid:921e7b6e-5ff7-4559-60d9-bf03bc730c{device:02x}").parse().expect("a device's name")
}

async fn open(store: &Store, unlock: &Unlock, clock: &Arc<SimulatedClock>) -> Authority {
    let keyring = Keyring::open(store.clone(), unlock, Arc::new(SystemRandom)).await.expect("the keyring opens");
    let settings = Settings { crl_base: Some("https://gatehouse.example/crl".to_owned()), ..Settings::default() };
    let events = Events::new(store.clone(), Arc::new(LocalBus::default()), Arc::new(keyring.clone()), Arc::new(SystemRandom));
    Authority::open(events, keyring, clock.clone(), Arc::new(SystemRandom), settings).await.expect("the authority opens")
}
