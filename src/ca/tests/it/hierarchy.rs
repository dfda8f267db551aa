use crate::{HERE, World, plan};
use gatehouse_ca::{CaId, CaState, CeremonyError, InstancePlan, IssueError, KeyHome, RootCustody, Seat};
use gatehouse_pki::{
    Anchors, Builtin, Certificate, Csr, Facts, Issuer, KeyAlgorithm, Policy, Profile, Purpose, SignedCsr, Signer, SoftwareKey,
};
use gatehouse_store::Store;
use std::sync::Arc;

fn verifies(anchors: &[Certificate], leaf: &Certificate, chain: &[Certificate], world: &World) -> bool {
    let anchors = anchors.iter().cloned().fold(Anchors::builder(), |all, one| all.anchor(one)).build().expect("anchors");
    let presented: Vec<&[u8]> = std::iter::once(leaf.der()).chain(chain.iter().map(Certificate::der)).collect();
    let now = gatehouse_base::Clock::now(&*world.clock);
    anchors.verify(&presented, &Policy::new(Purpose::OcfDevice), now).is_ok()
}

#[tokio::test]
async fn a_second_first_ceremony_is_refused() {
    let world = World::new().await;
    assert!(matches!(world.authority.init(&plan(RootCustody::Held(HERE))).await, Err(CeremonyError::Exists(Seat::Root))));
    let name = "Acme".parse().expect("a name");
    let again = world.authority.add_organisation(world.organisation, &name, &HERE, Default::default()).await;
    assert!(matches!(again, Err(CeremonyError::Exists(_))));
}

#[tokio::test]
async fn without_an_authority_nothing_is_issued() {
    let world = World::bare(Store::memory().expect("a store")).await;
    assert!(matches!(world.identity(1).await, Err(IssueError::NoAuthority(_))));
}

#[tokio::test]
async fn two_generations_are_trusted_side_by_side_until_the_old_one_is_withdrawn() {
    let world = World::new().await;
    let old = world.identity(1).await.expect("issues");
    let next = world.authority.roll_over(world.seat(), &HERE).await.expect("rolls over");
    assert_eq!(next, CaId::new(world.seat(), 2));
    let new = world.identity(2).await.expect("issues");
    assert_eq!(new.authority, next);
    let both = world.authority.anchors(world.seat());
    assert_eq!(both.len(), 2);
    for issued in [&old, &new] {
        assert!(verifies(&both, &issued.certificate, &issued.chain, &world));
    }
    let refused = world.authority.withdraw(world.device_ca()).await;
    assert!(matches!(refused, Err(CeremonyError::StillInUse { certificates: 1, .. })), "{refused:?}");
    let active = world.authority.withdraw(next).await;
    assert!(matches!(active, Err(CeremonyError::State { state: CaState::Active, .. })), "{active:?}");
}

#[tokio::test]
async fn an_old_generation_is_withdrawn_when_nothing_good_is_left_of_it() {
    let world = World::new().await;
    let issued = world.identity(1).await.expect("issues");
    world.authority.roll_over(world.seat(), &HERE).await.expect("rolls over");
    world.authority.revoke(&issued.id, gatehouse_ca::Reason::Superseded).await.expect("revokes");
    world.authority.withdraw(world.device_ca()).await.expect("withdraws");
    assert_eq!(world.authority.anchors(world.seat()).len(), 1);
    let again = world.authority.withdraw(world.device_ca()).await;
    assert!(matches!(again, Err(CeremonyError::State { state: CaState::Withdrawn, .. })));
    assert!(matches!(world.authority.withdraw(CaId::new(Seat::Root, 9)).await, Err(CeremonyError::Unknown(_))));
    let keys = world.authority.keyring().list().await.expect("lists");
    assert!(!keys.iter().any(|key| key.purpose == world.device_ca().to_string()), "its key is gone");
}

#[tokio::test]
async fn the_root_takes_the_service_authority_along() {
    let world = World::new().await;
    world.authority.roll_over(Seat::Root, &HERE).await.expect("rolls over");
    let states: Vec<(String, CaState)> = world.authority.authorities().iter().map(|ca| (ca.id.to_string(), ca.state)).collect();
    for (name, state) in
        [("root.1", CaState::Trusted), ("root.2", CaState::Active), ("service.1", CaState::Trusted), ("service.2", CaState::Active)]
    {
        assert!(states.contains(&(name.to_owned(), state)), "{name} {states:?}");
    }
    let chain = world.authority.chain(CaId::new(Seat::Service, 2)).expect("is there");
    assert_eq!(chain[1].der(), world.authority.chain(CaId::new(Seat::Root, 2)).expect("is there")[0].der());
}

/// A root in a safe: an issuer that the instance does not know.
fn safe(world: &World) -> Issuer {
    let key = Arc::new(SoftwareKey::generate(KeyAlgorithm::P384).expect("a key"));
    let facts = Facts::new().organisation("Example".parse().expect("a name")).common_name("Offline Root".parse().expect("a name"));
    let now = gatehouse_base::Clock::now(&*world.clock);
    let approved = Profile::builtin(Builtin::CustomerRoot).approve(SignedCsr::for_key(&*key).expect("it signs"), &facts, now);
    let own = Issuer::self_signed(approved.expect("approved"), &*key, &gatehouse_base::SystemRandom).expect("a root");
    Issuer::new(vec![own], key).expect("it issues")
}

fn sign(world: &World, root: &Issuer, request: &str, builtin: Builtin) -> Vec<Certificate> {
    let csr = Csr::from_pem(request.as_bytes()).expect("a request").verify().expect("signed by its key");
    let name = Facts::new().common_name("Service CA 1".parse().expect("a name"));
    let facts = if builtin == Builtin::CustomerIntermediate { name.organisation("Example".parse().expect("a name")) } else { name };
    let now = gatehouse_base::Clock::now(&*world.clock);
    let approved = Profile::builtin(builtin).approve(csr, &facts, now).expect("approved");
    vec![root.issue(approved, &gatehouse_base::SystemRandom).expect("signs"), root.certificate().clone()]
}

#[tokio::test]
async fn an_offline_root_signs_our_request_and_its_certificate_is_taken_in() {
    let world = World::bare(Store::memory().expect("a store")).await;
    world.authority.init(&plan(RootCustody::Offline)).await.expect("the first ceremony");
    let service = CaId::new(Seat::Service, 1);
    let agent = Facts::new().common_name("agent".parse().expect("a name"));
    assert!(matches!(crate::issuing::order(&world, Seat::Service, agent.clone()).await, Err(IssueError::NoAuthority(_))));
    let request = world.authority.request(service).await.expect("a request");
    let csr = Csr::from_pem(request.as_bytes()).expect("our own reader takes it");
    assert_eq!(csr.subject().to_string(), "O=Example, CN=Service CA 1");
    let chain = sign(&world, &safe(&world), &request, Builtin::CustomerIntermediate);
    world.authority.adopt(service, chain).await.expect("takes it in");
    let issued = crate::issuing::order(&world, Seat::Service, agent).await.expect("issues");
    assert_eq!(issued.chain.len(), 2);
    assert!(matches!(world.authority.request(service).await, Err(CeremonyError::State { .. })));
}

#[tokio::test]
async fn a_chain_that_does_not_fit_is_not_taken_in() {
    let world = World::bare(Store::memory().expect("a store")).await;
    world.authority.init(&plan(RootCustody::Offline)).await.expect("the first ceremony");
    let service = CaId::new(Seat::Service, 1);
    let request = world.authority.request(service).await.expect("a request");
    let root = safe(&world);
    let good = sign(&world, &root, &request, Builtin::CustomerIntermediate);
    let leaf = sign(&world, &root, &request, Builtin::AgentClient);
    let foreign = sign(&world, &safe(&world), &request, Builtin::CustomerIntermediate);
    for (chain, why) in [
        (vec![], "empty"),
        (vec![good[0].clone()], "without the root"),
        (vec![good[1].clone()], "the root alone"),
        (vec![good[1].clone(), good[0].clone()], "the wrong way round"),
        (leaf, "a leaf"),
        (vec![foreign[0].clone(), good[1].clone()], "another root's"),
    ] {
        assert!(matches!(world.authority.adopt(service, chain).await, Err(CeremonyError::Chain(_))), "{why}");
    }
    world.authority.adopt(service, good).await.expect("the good one");
}

#[tokio::test]
async fn openssl_reads_our_request() {
    let world = World::bare(Store::memory().expect("a store")).await;
    let p384 = InstancePlan { service: KeyHome::Here(KeyAlgorithm::P384), ..plan(RootCustody::Offline) };
    world.authority.init(&p384).await.expect("the first ceremony");
    let request = world.authority.request(CaId::new(Seat::Service, 1)).await.expect("a request");
    let request = openssl::x509::X509Req::from_pem(request.as_bytes()).expect("OpenSSL reads it");
    assert!(request.verify(&request.public_key().expect("a key")).expect("a signature"));
    let names: Vec<String> = request.subject_name().entries().map(|entry| entry.data().to_string().expect("text")).collect();
    assert_eq!(names, ["Example", "Service CA 1"]);
}

#[tokio::test]
async fn requests_for_the_authoritys_own_keys_are_refused() {
    let world = World::new().await;
    let keys = world.authority.keyring().list().await.expect("lists");
    let key = keys.iter().find(|key| key.purpose == "service.1").expect("is there");
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&key.fingerprint[at * 2..at * 2 + 2], 16).expect("hex")).collect();
    let fingerprint = <[u8; 32]>::try_from(bytes).expect("32 bytes").into();
    let signer: Arc<dyn Signer> = world.authority.keyring().signer(&fingerprint).await.expect("opens");
    let profile = Profile::builtin(Builtin::OcfIdentity);
    let order = gatehouse_ca::Order {
        seat: world.seat(),
        profile: &profile,
        csr: SignedCsr::for_key(&*signer).expect("it signs"),
        facts: Facts::new().device(crate::name(1)),
        renewal: Default::default(),
    };
    assert!(matches!(world.authority.issue(order).await, Err(IssueError::OwnKey)));
}
